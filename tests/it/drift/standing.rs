//! What a scan does when it is not let: 429, the flag file, waiters, an element nobody can read; and that it goes on.

use super::{Outside, drifted};
use crate::bench::{Bench, Options, http, until};
use chrono::Utc;
use nightdesk::domain::webhooks::drift::Class;
use nightdesk::procedures::drift_scan::{Scan, Scope, Standing};
use nightdesk::protocol::query::{Query, Reply, SubscriptionRange};
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::stripe::{Effect, Rule, When};
use serde_json::{Value, json};
use std::time::{Duration, Instant};

async fn bench() -> Bench {
    Bench::start(Options::default()).await
}

fn listed(bench: &Bench) -> Vec<(chrono::DateTime<Utc>, Option<u16>)> {
    bench.simulator.requests().iter().filter(|r| r.path.starts_with("/v1/subscriptions")).map(|r| (r.at, r.status)).collect()
}

#[tokio::test]
async fn a_429_is_heeded_for_as_long_as_it_asks_and_the_scan_comes_to_its_end() {
    let bench = bench().await;
    let outside = Outside::of(&bench, "[stripe]\nbackground_per_s = 50");
    let limit =
        Effect::Status { status: 429, code: None, message: None, should_retry: None, headers: vec![("Retry-After".into(), "2".into())] };
    bench.simulator.faults().add(Rule::always("/v1/subscriptions", limit).when(When::First(2)));
    let scan = outside.scan(Scope::Account).await;
    assert_eq!(*scan.standing(), Standing::Done);
    let asked = listed(&bench);
    let refused: Vec<_> = asked.iter().filter(|(_, status)| *status == Some(429)).map(|(at, _)| *at).collect();
    assert_eq!(refused.len(), 2);
    let last = refused.iter().max().expect("two");
    let after = asked.iter().filter(|(at, _)| at > last).map(|(at, _)| *at).min().expect("it was asked again");
    assert!((after - *last).num_milliseconds() >= 1_900, "nothing for two seconds: {}", after - *last);
    outside.reader.close().await;
}

#[tokio::test]
async fn it_stands_still_while_the_flag_file_is_there() {
    let bench = bench().await;
    let place = tempfile::tempdir().expect("a directory");
    let flag = place.path().join("stop");
    std::fs::write(&flag, "").expect("written");
    let outside = Outside::of(&bench, &format!("[policy]\npause_file = {:?}", flag.to_str().expect("text")));
    let mut scan = Scan::new(Scope::Account, Utc::now());
    outside.scan_until(&mut scan, |s| matches!(s.standing(), Standing::Held(_))).await;
    assert!(matches!(scan.standing(), Standing::Held(why) if why.contains("stop") && why.contains("remove it")));
    let before = listed(&bench).len();
    assert!(before <= 1, "one page may have gone out before the first answer: {before}");
    std::fs::remove_file(&flag).expect("removed");
    outside.scan_until(&mut scan, |s| !s.is_under_way()).await;
    assert_eq!(*scan.standing(), Standing::Done);
    assert!(scan.progress().subscriptions > 0);
    outside.reader.close().await;
}

#[tokio::test]
async fn it_stands_back_while_sessions_wait_for_locks() {
    let bench = bench().await;
    let outside = Outside::of(&bench, "");
    let mut holder = bench.admin.begin().await.expect("a transaction");
    sqlx::raw_sql("LOCK TABLE rate_limits IN ACCESS EXCLUSIVE MODE").execute(&mut *holder).await.expect("locked");
    let (cluster, _) = crate::bench::cluster().await;
    let options = nightdesk::sandbox::schema::roles::superuser(cluster, &bench.database);
    let waiters: Vec<_> = (0..5)
        .map(|_| {
            let options = options.clone();
            tokio::spawn(async move {
                let mut connection = sqlx::ConnectOptions::connect(&options).await.expect("a connection");
                sqlx::raw_sql("SELECT count(*) FROM rate_limits").execute(&mut connection).await.expect("in the end");
            })
        })
        .collect();
    until("the queue is seen", async || {
        let reply = outside.reader.ask(Query::Pressure).await.expect("an answer");
        matches!(reply, Reply::Pressure(reasons) if reasons.iter().any(|r| r.contains("wait for locks")))
    })
    .await;
    holder.rollback().await.expect("let go");
    for waiter in waiters {
        waiter.await.expect("it ends");
    }
    outside.reader.close().await;
}

#[tokio::test]
async fn a_scan_that_was_kept_goes_on_in_another_process_and_finds_the_same() {
    let bench = Bench::start(Options { customers: 600, ..Options::default() }).await;
    bench.strike(Incident::Drift, 9).await;
    let whole = Outside::of(&bench, "[stripe]\nbackground_per_s = 200");
    let due = drifted(&whole.scan(Scope::Account).await);
    let mut scan = Scan::new(Scope::Account, Utc::now());
    whole.scan_until(&mut scan, |s| s.progress().subscriptions >= 100).await;
    let kept = serde_json::to_string(&scan).expect("a scan is plain data");
    whole.reader.close().await;
    let other = Outside::of(&bench, "[stripe]\nbackground_per_s = 200");
    let mut again: Scan = serde_json::from_str(&kept).expect("the same");
    again.reopen();
    other.scan_until(&mut again, |s| !s.is_under_way()).await;
    assert_eq!(drifted(&again), due);
    other.reader.close().await;
}

#[tokio::test]
async fn one_element_that_nobody_can_read_leaves_the_others() {
    let bench = bench().await;
    let url = format!("{}/v1/subscriptions?limit=100&status=all", bench.simulator.base_url());
    let page = http().get(url).bearer_auth(bench.simulator.secret_key()).send().await.expect("an answer").text().await.expect("a body");
    let mut page: Value = serde_json::from_str(&page).expect("a list");
    let all = page["data"].as_array().expect("a list").len();
    let last = all - 1;
    page["data"][last] = json!({ "id": "sub_odd0001", "object": "subscription", "customer": 7, "items": "none" });
    page["has_more"] = true.into();
    let body = page.to_string();
    let router = axum::Router::new().fallback(move || {
        let body = body.clone();
        async move { ([("content-type", "application/json")], body) }
    });
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let base = format!("http://{}", listener.local_addr().expect("an address"));
    let server = tokio::spawn(async move { axum::serve(listener, router).await });
    let outside = Outside::of(&bench, &format!("[env.test]\nstripe_base = {base:?}\nstripe_key = {{ env = \"STRIPE_SECRET_KEY\" }}"));
    let range = SubscriptionRange { since: None, before: None, after: None };
    let Reply::SubscriptionPage { subscriptions, raw, next } = outside.reader.ask(Query::SubscriptionPage(range)).await.expect("a page")
    else {
        panic!()
    };
    assert_eq!((subscriptions.len(), raw.len()), (all - 1, 1));
    assert_eq!(raw[0].id.as_deref(), Some("sub_odd0001"));
    assert!(raw[0].text.contains("\"customer\":7"), "shown as it came: {}", raw[0].text);
    assert_eq!(next.map(|n| n.to_string()).as_deref(), Some("sub_odd0001"), "the next page begins behind it all the same");
    server.abort();
    outside.reader.close().await;
}

#[tokio::test]
async fn where_our_role_may_not_see_every_row_nothing_is_called_drift() {
    let bench = bench().await;
    bench.strike(Incident::Drift, 9).await;
    sqlx::raw_sql("ALTER TABLE subscriptions ENABLE ROW LEVEL SECURITY; CREATE POLICY most ON subscriptions USING (true)")
        .execute(&bench.admin)
        .await
        .expect("a policy");
    let outside = Outside::of(&bench, "[stripe]\nbackground_per_s = 200");
    let scan = outside.scan(Scope::Account).await;
    let found = drifted(&scan);
    assert!(found.values().all(|c| *c == Class::UnknownPrice) && found.is_empty(), "{found:?}");
    assert!(scan.progress().unknown >= 9, "{:?}", scan.progress());
    outside.reader.close().await;
}

#[tokio::test]
async fn the_budget_is_used_and_never_passed_whatever_an_answer_takes() {
    let bench = Bench::start(Options { customers: 3_000, ..Options::default() }).await;
    let outside = Outside::of(&bench, "[stripe]\nbackground_per_s = 20");
    // Longer than five requests' worth of the budget: one page after the other would use a third of it.
    bench.simulator.faults().add(Rule::always("/v1/subscriptions", Effect::Delay { ms: 150 }));
    let mut scan = Scan::new(Scope::Account, Utc::now());
    let begun = Instant::now();
    outside.scan_until(&mut scan, |s| !s.is_under_way() || s.progress().rows > 0).await;
    let took = begun.elapsed().max(Duration::from_millis(1));
    let pages = listed(&bench).len();
    assert!(pages >= 10, "{pages}");
    let most = 20.0 + took.as_secs_f64() * 20.0 + 1.0;
    assert!((pages as f64) <= most, "{pages} requests in {took:?}");
    outside.reader.close().await;
}
