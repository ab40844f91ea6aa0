//! Pages of every list: forwards, backwards, at the edges, and what is no cursor and no limit.

use reqwest::Method;

use super::conform::conform;
use super::table::{Type, table};
use super::world::{Served, World};

/// Everything that pages, with the query its case needs.
async fn lists(world: &World) -> Vec<(Served, String)> {
    let mut all = Vec::new();
    for served in Served::all() {
        let pages = table().endpoints.get(&served.name()).is_some_and(|e| matches!(e.returns[..], [Type::List(_)]));
        if pages && served.method == Method::GET {
            let case = world.case(&served).await;
            all.push((served, format!("{}?{}", case.path, case.form)));
        }
    }
    assert!(all.len() >= 10, "the simulator has lists");
    all
}

#[tokio::test]
async fn every_list_pages_both_ways_and_knows_when_it_ends() {
    let world = World::new().await;
    // More than one page of what only requests make.
    for _ in 0..4 {
        world.furnish().await;
    }
    for (served, path) in lists(&world).await {
        // The end does not move under the walk: nothing is made meanwhile.
        let all = world.bench.walk(&format!("{path}&limit=100")).await;
        assert!(!all.is_empty(), "{path} has elements");
        let short: Vec<String> = all.iter().take(7).cloned().collect();
        for limit in [1, 3] {
            let mut found: Vec<String> = Vec::new();
            while found.len() < short.len() {
                let cursor = found.last().map(|id| format!("&starting_after={id}")).unwrap_or_default();
                let page = world.bench.get(&format!("{path}&limit={limit}{cursor}")).await;
                let (ids, more) = (page.ids(), page.json()["has_more"] == true);
                found.extend(ids.clone());
                assert_eq!(ids, all[found.len() - ids.len()..found.len()], "{} by {limit}", served.name());
                assert_eq!(more, found.len() < all.len(), "{} by {limit}: has_more after {}", served.name(), found.len());
            }
            // The same way back, from the last element seen.
            let mut back: Vec<String> = Vec::new();
            let last = found.len() - 1;
            while back.len() < last {
                let cursor = back.first().unwrap_or(&found[last]).clone();
                let page = world.bench.get(&format!("{path}&limit={limit}&ending_before={cursor}")).await;
                let more = page.json()["has_more"] == true;
                back.splice(0..0, page.ids());
                assert_eq!(back, found[last - back.len()..last], "{} back by {limit}", served.name());
                assert_eq!(more, back.len() < last, "{} back by {limit}: has_more", served.name());
            }
        }
        let beyond = world.bench.get(&format!("{path}&starting_after={}", all[all.len() - 1])).await;
        assert_eq!((beyond.ids().len(), &beyond.json()["has_more"]), (0, &false.into()), "{}", served.name());
        let before = world.bench.get(&format!("{path}&ending_before={}", all[0])).await;
        assert_eq!((before.ids().len(), &before.json()["has_more"]), (0, &false.into()), "{}", served.name());
        let exact = world.bench.get(&format!("{path}&limit={}", all.len().min(100))).await;
        assert_eq!(exact.json()["has_more"] == true, all.len() > 100, "{} in one page", served.name());
        let url = path.split('?').next().expect("a path");
        assert_eq!(exact.json()["url"], url, "a page names its list");
    }
}

#[tokio::test]
async fn a_list_can_be_narrowed_by_the_time_of_creation() {
    let world = World::new().await;
    world.furnish().await;
    for (served, path) in lists(&world).await.into_iter().filter(|(s, _)| s.takes("created")) {
        let all = world.bench.get(&format!("{path}&limit=100")).await.json();
        let times: Vec<i64> = all["data"].as_array().expect("a list").iter().map(made_at).collect();
        let Some(middle) = times.get(times.len() / 2) else { panic!("{path} has elements") };
        for (word, holds) in [("gt", i64::gt as fn(&i64, &i64) -> bool), ("gte", i64::ge), ("lt", i64::lt), ("lte", i64::le)] {
            let page = world.bench.get(&format!("{path}&limit=100&created[{word}]={middle}")).await.json();
            let found: Vec<i64> = page["data"].as_array().expect("a list").iter().map(made_at).collect();
            assert!(found.iter().all(|t| holds(t, middle)), "{} created[{word}]", served.name());
            if all["has_more"] != true {
                assert_eq!(found.len(), times.iter().filter(|t| holds(t, middle)).count(), "{} created[{word}]", served.name());
            }
        }
        let exact = world.bench.get(&format!("{path}&limit=100&created={middle}")).await.json();
        assert!(exact["data"].as_array().is_some_and(|d| !d.is_empty() && d.iter().all(|o| made_at(o) == *middle)), "{}", served.name());
        for bad in ["created=yesterday", "created[gte]=x", "created[after]=1", "created[gt][a]=1", "created[]=1"] {
            let reply = world.bench.get(&format!("{path}&{bad}")).await;
            assert_eq!(reply.status, 400, "{} {bad}: {}", served.name(), reply.text);
            assert_eq!(conform("error", &reply.json()), [], "{bad}");
        }
    }
}

#[tokio::test]
async fn bad_limits_and_cursors_are_refused_on_every_list() {
    let world = World::new().await;
    world.furnish().await;
    for (served, path) in lists(&world).await {
        let id = world.first(&path).await;
        for (query, code, message) in [
            ("limit=0", "parameter_invalid_integer", "greater than or equal to 1"),
            ("limit=101", "parameter_invalid_integer", "less than or equal to 100"),
            ("limit=-1", "parameter_invalid_integer", "greater than or equal to 1"),
            ("limit=ten", "parameter_invalid_integer", "Invalid integer: ten"),
            ("limit=99999999999999999999", "parameter_invalid_integer", "Invalid integer"),
            ("limit[]=1", "", "Invalid "),
            ("starting_after=nobody", "resource_missing", "No such "),
            ("ending_before=nobody", "resource_missing", "No such "),
            ("starting_after=acct_1", "resource_missing", "No such "),
        ] {
            let reply = world.bench.get(&format!("{path}&{query}")).await;
            assert_eq!(reply.status, 400, "{} {query}: {}", served.name(), reply.text);
            reply.refused(400, code, message);
            assert_eq!(conform("error", &reply.json()), [], "{query}");
        }
        let both = world.bench.get(&format!("{path}&starting_after={id}&ending_before={id}")).await;
        assert_eq!(both.status, 400, "{} with both cursors", served.name());
        both.refused(400, "", "Received both");
    }
}

/// Invoice items call it their date.
fn made_at(object: &serde_json::Value) -> i64 {
    object["created"].as_i64().or(object["date"].as_i64()).expect("a time")
}
