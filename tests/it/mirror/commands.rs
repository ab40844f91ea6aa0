//! The command line while Stripe hangs: what the mirror knows is said with its age, what nobody knows is not, and nothing is silent for long.

use super::{Layout, mirror};
use crate::bench::{Bench, Options, executable};
use crate::command::Desk;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::stripe::{Effect, Rule};
use serde_json::Value;
use std::process::Stdio;
use std::time::{Duration, Instant};
use tokio::io::{AsyncBufReadExt, BufReader};

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn find_shows_the_mirror_in_stripes_place() {
    let bench = Bench::start(Options::default()).await;
    let payers = bench.strike(Incident::PlaceholderCustomers, 3).await;
    let _mirror = mirror(&bench, Layout::Documents).await;
    let desk = Desk::of(&bench);
    bench.simulator.faults().add(Rule::always("/v1", Effect::Hang));
    for payer in &payers {
        let customer = payer.label.subject.customer.as_deref().expect("a customer");
        let begun = Instant::now();
        let (plain, scripted) = (["find", customer], ["find", customer, "--json"]);
        let (text, json) = tokio::join!(desk.say(&plain), desk.say(&scripted));
        assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
        assert_eq!((text.code, json.code), (Some(2), Some(2)), "{text:?} {json:?}");
        assert!(text.err.contains("cannot tell"), "{text:?}");
        assert!(text.out.contains("Stripe is silent; its mirror in Postgres is ") && text.out.contains(" s old"), "{}", text.out);
        assert!(text.out.contains("active, ") && text.out.contains("as of "), "{}", text.out);
        let found: Value = serde_json::from_str(&json.out).expect("JSON");
        let copies = &found["mirror"];
        assert!(copies["age_seconds"].as_i64().is_some_and(|s| (0..60).contains(&s)), "{copies}");
        assert_eq!((copies["stale"].as_bool(), copies["customers"][0].as_str()), (Some(false), Some(customer)), "{copies}");
        assert_eq!(copies["subscriptions"][0]["status"], "active", "{copies}");
        // Whose it is, where the copies say so; else it stays open, and is not said to be nobody's.
        let led = copies["profile"].as_str();
        assert!(led.is_none_or(|profile| profile == payer.profile), "{copies}");
        if payer.label.subject.named_by == Some("metadata.profileId") {
            assert!(led.is_some() && text.out.contains("names the profile (likely)"), "{copies} {}", text.out);
        }
        assert!(text.out.contains(if led.is_some() { "row       FREE" } else { "row       not known" }), "{}", text.out);
    }
    let known = payers.iter().filter(|p| p.label.subject.named_by == Some("metadata.profileId")).count();
    assert_eq!(known, 1, "one of three is named by metadata");
    // By name nobody is found exactly: the mirror is searched.
    let person = bench.population.person(payers[0].number);
    let said = desk.say(&["find", &person.name, "--json"]).await;
    assert!(said.out.contains("mirror"), "{said:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn check_prints_each_line_as_it_is_known_and_stripes_last() {
    let bench = Bench::start(Options::default()).await;
    let _mirror = mirror(&bench, Layout::Columns).await;
    let desk = Desk::of(&bench);
    bench.simulator.faults().add(Rule::always("/v1", Effect::Hang));
    let mut child = tokio::process::Command::new(executable())
        .arg("check")
        .env_clear()
        .env("NIGHTDESK_STATE_DIR", desk.state.path())
        .envs(desk.variables.iter().map(|(n, v)| (n, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    let begun = Instant::now();
    let mut lines = BufReader::new(child.stdout.take().expect("piped")).lines();
    let mut seen: Vec<(Duration, String)> = Vec::new();
    while let Some(line) = lines.next_line().await.expect("text") {
        seen.push((begun.elapsed(), line));
    }
    assert_eq!(child.wait().await.expect("it ends").code(), Some(1), "{seen:#?}");
    let at = |what: &str| seen.iter().find(|(_, line)| line[6..].starts_with(what)).unwrap_or_else(|| panic!("no {what}: {seen:#?}")).0;
    let silent = seen.iter().find(|(_, l)| l.starts_with("FAIL  stripe ")).unwrap_or_else(|| panic!("{seen:#?}")).0;
    for what in ["configuration", "journal", "database", "application"] {
        assert!(at(what) + Duration::from_secs(2) < silent, "{what}: {seen:#?}");
    }
    assert!(silent < Duration::from_secs(12), "{seen:#?}");
    assert!(seen.iter().any(|(_, line)| line.contains("stripe mirror") && line.contains(" old")), "{seen:#?}");
    let json = desk.say(&["check", "--json"]).await;
    assert_eq!(json.json().as_array().map(Vec::len), Some(seen.len()));
}
