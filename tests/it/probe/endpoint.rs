//! Probes of the sample application: both manners, its secret, what is registered for it; and that they leave nothing behind.

use super::{config, findings, open, probed};
use crate::bench::{Bench, Options, cluster, http};
use crate::command::Desk;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::webhooks::probe::{Came, Finding, Level, Manner as Found, Shot};
use nightdesk::gateway::journal::Journal;
use nightdesk::gateway::stripe::Priority;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::protocol::record::Entry;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::schema::roles;
use nightdesk::sandbox::watch::Watch;
use serde_json::{Value, json};

async fn bench(manner: Manner) -> Bench {
    Bench::start(Options { customers: 60, manner, ..Options::default() }).await
}

async fn kept_events(bench: &Bench) -> Vec<String> {
    let ids: Vec<(String,)> = sqlx::query_as("SELECT stripe_event_id FROM stripe_events WHERE stripe_event_id LIKE '%probe%'")
        .fetch_all(&bench.admin)
        .await
        .unwrap();
    ids.into_iter().map(|(id,)| id).collect()
}

async fn stripe(bench: &Bench, method: reqwest::Method, path: &str, form: &str) -> Value {
    let url = format!("{}/v1/{path}", bench.simulator.base_url());
    let request = http().request(method, url).bearer_auth(bench.simulator.secret_key());
    request.header("Content-Type", "application/x-www-form-urlencoded").body(form.to_string()).send().await.unwrap().json().await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn both_manners_are_told_apart() {
    for (manner, found, finding) in
        [(Manner::Honest, Found::Honest, Finding::RejectsForgeries), (Manner::Swallowing, Found::Swallowing, Finding::SwallowsErrors)]
    {
        let bench = bench(manner).await;
        let (probed, said) = probed(&open(config(&bench))).await;
        assert_eq!((said.manner, said.worst().finding), (Some(found), finding), "{said:?}");
        assert!(said.manner.is_some() && said.worst().level != Level::Fail);
        assert!(said.skew_seconds.is_some_and(|s| s.abs() <= 2), "{said:?}");
        assert_eq!(probed.url, bench.app.webhook_url());
        let Some(Came::Answer { status: 200, body, .. }) = probed.came(Shot::Signed) else { panic!("{probed:?}") };
        assert!(body.contains("received"), "{body}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn another_secret_is_found_in_both_manners() {
    for manner in [Manner::Honest, Manner::Swallowing] {
        let bench = bench(manner).await;
        let sources = open(config(&bench));
        bench.app.configure(|s| s.webhook_secret = "whsec_another".into());
        bench.app.restart().await.unwrap();
        assert_eq!(findings(&sources).await.first(), Some(&Finding::WrongSecret), "{manner:?}");
        bench.app.configure(|s| s.webhook_secret.clone_from(&bench.webhook_secret));
        bench.app.restart().await.unwrap();
        assert!(!findings(&sources).await.contains(&Finding::WrongSecret), "{manner:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_that_is_off_is_found_by_signatures_of_other_times() {
    for (manner, minutes) in [(Manner::Honest, 10), (Manner::Swallowing, -10)] {
        let bench = bench(manner).await;
        let sources = open(config(&bench));
        bench.app.configure(|s| s.clock_off = chrono::TimeDelta::minutes(minutes));
        bench.app.restart().await.unwrap();
        let found = findings(&sources).await;
        assert_eq!(found.first(), Some(&Finding::ClockOff), "{minutes}: {found:?}");
        assert!(!found.contains(&Finding::WrongSecret), "{minutes}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_nobody_serves_and_one_that_redirects_are_found_where_stripe_sends() {
    let bench = bench(Manner::Honest).await;
    let sources = open(config(&bench));
    let right = bench.app.webhook_url();
    for (url, wanted) in [
        (right.replace("/webhooks/", "/webhook/"), vec![Finding::WrongPath, Finding::PathDiffers]),
        (format!("{right}/"), vec![Finding::Redirects]),
    ] {
        bench.simulator.set_webhook_url(url.clone());
        let (probed, said) = probed(&sources).await;
        assert_eq!(probed.url, url);
        assert_eq!(said.found.iter().map(|f| f.finding).collect::<Vec<_>>(), wanted, "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_signed_is_sent_only_where_policy_and_a_secret_allow() {
    let bench = bench(Manner::Honest).await;
    let mut forbidden = config(&bench);
    forbidden.policy.signed_probe = false;
    let mut without = config(&bench);
    without.webhook_secret = None;
    for (config, why) in [(forbidden, "[policy] signed_probe"), (without, "webhook_secret")] {
        let sources = open(config);
        assert!(!sources.environment().offers.signed_probe);
        let (probed, said) = probed(&sources).await;
        for shot in [Shot::Signed, Shot::TooOld, Shot::TooNew] {
            assert!(matches!(probed.came(shot), Some(Came::NotSent(say)) if say.contains(why)), "{probed:?}");
        }
        assert!(said.healthy(), "{said:?}");
    }
    assert_eq!(kept_events(&bench).await, Vec::<String>::new(), "forgeries are kept by nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_leaves_no_write() {
    let bench = bench(Manner::Swallowing).await;
    let (cluster, _) = cluster().await;
    let mut watch = Watch::install(roles::superuser(cluster, &bench.database)).await.unwrap();
    watch.begin().await.unwrap();
    let rows = crate::repair::rows(&bench).await;
    let sources = open(config(&bench));
    for _ in 0..3 {
        probed(&sources).await;
    }
    assert_eq!(watch.writes().await.unwrap(), []);
    assert_eq!(crate::repair::rows(&bench).await, rows, "nobody's row changed");
    assert_eq!(kept_events(&bench).await, ["evt_nightdesk_probe"], "an application that keeps what it takes keeps it once");
    assert!(bench.simulator.requests().iter().all(|r| r.method == "GET"), "Stripe is only read");
    watch.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_registered_decides_with() {
    let bench = bench(Manner::Honest).await;
    let sources = open(config(&bench));
    let id = bench.simulator.webhook_endpoint().expect("registered");
    let path = format!("webhook_endpoints/{id}");
    stripe(&bench, reqwest::Method::POST, &path, "disabled=true").await;
    assert_eq!(findings(&sources).await, [Finding::Disabled]);
    stripe(&bench, reqwest::Method::POST, &path, "disabled=false&enabled_events[]=charge.refunded").await;
    assert_eq!(findings(&sources).await, [Finding::NotSubscribed]);
    stripe(&bench, reqwest::Method::POST, &path, "enabled_events[]=*").await;
    let other = "url=https://hooks.example.net/catch/1&enabled_events[]=*";
    stripe(&bench, reqwest::Method::POST, "webhook_endpoints", other).await;
    assert_eq!(findings(&sources).await, [Finding::RejectsForgeries], "somebody else's endpoint is nobody's business");

    // Deleted in between: the URL from the configuration is asked all the same.
    stripe(&bench, reqwest::Method::DELETE, &path, "").await;
    let (probed, said) = probed(&sources).await;
    assert_eq!((probed.url.as_str(), said.worst().finding), (bench.app.webhook_url().as_str(), Finding::NotRegistered));
    assert!(said.worst().sentence.contains("hooks.example.net") && said.manner.is_some(), "{said:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_configured_url_the_registered_one_must_be_clear() {
    let bench = bench(Manner::Honest).await;
    let open_without = || {
        let mut config = config(&bench);
        config.webhook_url = None;
        open(config)
    };
    assert_eq!(findings(&open_without()).await, [Finding::RejectsForgeries]);
    stripe(&bench, reqwest::Method::POST, "webhook_endpoints", "url=https://hooks.example.net/1&enabled_events[]=*").await;
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(state.path(), "test", "ada", None).unwrap();
    let unclear = open_without().probe(&journal).await.expect_err("which?");
    assert!(unclear.kind == FaultKind::NotSetUp && unclear.say.contains("several") && unclear.say.contains("webhook_url"), "{unclear}");
    assert_eq!(journal.newest(9).await.unwrap(), [], "nothing was about to be sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_probe_is_in_the_journal_before_it_is_sent_or_it_is_not_sent() {
    let bench = bench(Manner::Honest).await;
    let state = tempfile::tempdir().unwrap();
    let journal = Journal::open(state.path(), "test", "ada", None).unwrap();
    let recorded = async || journal.newest(9).await.unwrap().into_iter().map(|r| r.entry).collect::<Vec<_>>();
    let endpoint = bench.app.webhook_url();
    open(config(&bench)).probe(&journal).await.expect("a probe");
    assert_eq!(recorded().await, [Entry::Probed { endpoint: endpoint.clone(), signed: true }]);
    let mut unsigned = config(&bench);
    unsigned.policy.signed_probe = false;
    open(unsigned).probe(&journal).await.expect("a probe");
    assert_eq!(recorded().await[1..], [Entry::Probed { endpoint, signed: false }]);

    let kept = kept_events(&bench).await;
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let mut elsewhere = config(&bench);
    elsewhere.webhook_url = Some(format!("http://{}/elsewhere/stripe", listener.local_addr().unwrap()));
    std::fs::remove_file(journal.path()).unwrap();
    std::fs::create_dir(journal.path()).unwrap();
    let sources = open(elsewhere);
    let refused = sources.probe(&journal).await.expect_err("nothing is sent that cannot be journaled");
    assert_eq!(refused.kind, FaultKind::Journal, "{refused}");
    let nobody = tokio::time::timeout(std::time::Duration::from_millis(200), listener.accept()).await;
    assert!(nobody.is_err() && kept_events(&bench).await == kept);
    assert!(sources.ask(Query::Probe, Priority::Interactive).await.is_err(), "there is no other way");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_journal_that_is_printed_names_every_probe() {
    let bench = bench(Manner::Honest).await;
    let desk = Desk::of(&bench);
    desk.say(&["probe"]).await;
    let shown = desk.say(&["audit"]).await;
    let line = format!("probe of {}, nothing of it signed with the real secret", bench.app.webhook_url());
    assert!(shown.code == Some(0) && shown.out.contains(&line), "{shown:?}");
    let said = desk.say(&["audit", "--last", "1", "--json"]).await.well();
    assert_eq!((&said[0]["entry"], &said[0]["signed"], &said[0]["run"]), (&json!("probed"), &json!(false), &Value::Null), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_command_prints_the_table_and_ends_by_it() {
    let bench = bench(Manner::Honest).await;
    let desk = Desk::of(&bench);
    let said = desk.say(&["probe", "--json"]).await.well();
    assert_eq!((&said["healthy"], &said["manner"], &said["url"]), (&json!(true), &json!("honest"), &json!(bench.app.webhook_url())));
    assert_eq!(said["shots"].as_array().unwrap().len(), Shot::ALL.len());
    assert_eq!(said["endpoints"][0]["probed"], true);
    bench.app.manner().set(Manner::Swallowing);
    let text = desk.say(&["probe"]).await;
    assert_eq!(text.code, Some(1), "a finding: {text:?}");
    for words in [
        "WARN  It refuses forgeries and answers 200",
        "manner           swallowing",
        "wrong signature",
        "not sent: [policy] signed_probe is off",
    ] {
        assert!(text.out.contains(words), "{words}: {}", text.out);
    }
    bench.app.halt().await.unwrap();
    let down = desk.say(&["probe", "--json"]).await;
    assert_eq!((down.code, &down.json()["findings"][0]["finding"]), (Some(1), &json!("refused")));

    desk.but("STRIPE_API_BASE", "http://127.0.0.1:9")
        .but("APP_WEBHOOK_URL", "")
        .say(&["probe"])
        .await
        .refused(&["no webhook URL is known"]);
    desk.but("APP_WEBHOOK_URL", "api.example.com/x").say(&["probe"]).await.refused(&["webhook_url", "is not a URL"]);
    let silent = desk.but("STRIPE_API_BASE", "http://127.0.0.1:9").say(&["probe", "--json"]).await;
    assert_eq!(silent.json()["endpoints"], Value::Null, "what Stripe does not say is not made up: {silent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn deploys_are_told_by_the_configured_command() {
    let bench = bench(Manner::Honest).await;
    let mut config = config(&bench);
    config.hooks.deploys = Some(vec!["cat".into(), bench.app.deploys().to_string_lossy().into_owned()]);
    let sources = open(config);
    assert!(sources.environment().offers.deploys);
    let deploys = async || match sources.ask(Query::Deploys, Priority::Interactive).await.expect("deploys") {
        Reply::Deploys(all) => all,
        other => panic!("{other:?}"),
    };
    assert_eq!(deploys().await, [], "the first version was there before");
    bench.ground.strike(nightdesk::sandbox::incidents::Incident::Deploy, 2).await.unwrap();
    let told = deploys().await;
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].version.as_str(), told[0].by.is_some()), (bench.app.settings().deploy.version, true));
}
