//! What only writes do: resends under key and rate, deliveries of our own, the restart, and the key that is there only while writes are on.

use super::{config, findings, open};
use crate::bench::{Bench, Options, Payer, http, until};
use nightdesk::config::Config;
use nightdesk::config::secret::{Kept, SecretRef};
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::policy::{Mode, Standing, Writes};
use nightdesk::domain::webhooks::probe::Finding;
use nightdesk::gateway::sources::Sources;
use nightdesk::gateway::writes::Performer;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::gate::admit;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::stripe::Served;
use std::time::Instant;

async fn perform(sources: &Sources, command: Command, key: &str) -> Outcome {
    let now = chrono::Utc::now();
    let writes = Writes::On { until: now + chrono::Duration::minutes(15), reason: "a test".into() };
    let standing = Standing { mode: Mode::Test, writes, now, confirmed: true, journal: true };
    let permit = admit(&command, &standing).expect("all stands");
    sources.perform(&permit, key).await
}

fn resend(event: &str, endpoint: &str) -> Command {
    let id = |text: &str| StripeId::parse(text).expect("an id");
    Command::ResendEvent { event: id(event), endpoint: id(endpoint), subject: None }
}

fn deliver(event: &str) -> Command {
    Command::DeliverEvent { event: StripeId::parse(event).expect("an id"), subject: None }
}

/// Customers whose events the application refused, for it had another secret; now it has the right one.
async fn unheard(manner: Manner, count: usize) -> (Bench, Vec<Payer>, String) {
    let bench = Bench::start(Options { manner, ..Options::default() }).await;
    let labels = bench.ground.strike(Incident::WrongSecret, count + 2).await.expect("there are enough");
    let theirs = labels.into_iter().filter(|l| l.subject.number.is_some() && l.subject.event.is_some() && l.expected().is_some());
    let payers: Vec<Payer> = theirs.map(Payer::of).take(count).collect();
    assert_eq!(payers.len(), count);
    bench.ground.lift(Incident::WrongSecret).await.expect("the right secret");
    let endpoint = bench.simulator.webhook_endpoint().expect("registered");
    (bench, payers, endpoint)
}

fn attempts(bench: &Bench, event: &str) -> usize {
    bench.simulator.attempts().into_iter().filter(|a| a.event == event).count()
}

fn retries(bench: &Bench) -> Vec<Served> {
    bench.simulator.requests().into_iter().filter(|r| r.path.ends_with("/retry")).collect()
}

async fn repaired(bench: &Bench, payer: &Payer) -> bool {
    bench.ground.repaired(&payer.label).await.expect("told")
}

#[track_caller]
fn not_done(outcome: &Outcome, words: &str) {
    assert!(matches!(outcome, Outcome::NotDone(f) if f.say.contains(words)), "{words}: {outcome:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_resend_is_queued_once_under_its_key_and_takes_effect() {
    let (bench, payers, endpoint) = unheard(Manner::Honest, 1).await;
    let sources = open(config(&bench));
    let payer = &payers[0];
    assert!(!repaired(&bench, payer).await, "the test can fail");
    let before = attempts(&bench, &payer.event);
    for _ in 0..2 {
        let done = perform(&sources, resend(&payer.event, &endpoint), "nd-one").await;
        assert!(matches!(&done, Outcome::Done { note, .. } if note.contains("queued")), "{done:?}");
    }
    until("the effect is there", async || repaired(&bench, payer).await).await;
    bench.simulator.deliveries_done().await;
    assert_eq!(attempts(&bench, &payer.event), before + 1, "the second had the first one's key");
    let sent = retries(&bench);
    assert!(sent.iter().all(|r| r.idempotency_key.as_deref() == Some("nd-one") && r.key_name != Some("application".into())), "{sent:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn resends_keep_to_their_rate() {
    let (bench, payers, endpoint) = unheard(Manner::Honest, 5).await;
    let mut config = config(&bench);
    config.stripe_resends_per_s = 4;
    let sources = open(config);
    let begun = Instant::now();
    let all = payers.iter().enumerate().map(|(n, payer)| {
        let (sources, command) = (sources.clone(), resend(&payer.event, &endpoint));
        async move { perform(&sources, command, &format!("nd-{n}")).await }
    });
    for done in futures_util::future::join_all(all).await {
        assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    }
    assert!(begun.elapsed().as_millis() >= 1_000, "five at four a second: {:?}", begun.elapsed());
    let at: Vec<_> = retries(&bench).into_iter().map(|r| r.at).collect();
    let closest = at.windows(2).map(|w| (w[1] - w[0]).num_milliseconds()).min().expect("five");
    assert!(closest >= 150, "never two at once: {at:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_stripe_cannot_send_is_refused_with_the_reason() {
    let (bench, payers, endpoint) = unheard(Manner::Swallowing, 1).await;
    let sources = open(config(&bench));
    let event = payers[0].event.as_str();
    let before = attempts(&bench, event);
    not_done(&perform(&sources, resend(event, "we_1neverissuedxxxx"), "nd-1").await, "no longer registered");
    let url = format!("{}/v1/webhook_endpoints/{endpoint}", bench.simulator.base_url());
    let set = async |form: &'static str| {
        let request = http().post(&url).bearer_auth(bench.simulator.secret_key());
        let request = request.header("Content-Type", "application/x-www-form-urlencoded").body(form);
        assert_eq!(request.send().await.unwrap().status(), 200);
    };
    set("disabled=true").await;
    not_done(&perform(&sources, resend(event, &endpoint), "nd-2").await, "disabled in Stripe");
    set("disabled=false").await;
    bench.simulator.advance(std::time::Duration::from_secs(31 * 86_400));
    not_done(&perform(&sources, resend(event, &endpoint), "nd-3").await, "30 days");
    not_done(&perform(&sources, deliver(event), "nd-4").await, "30 days");
    let gone = http().delete(&url).bearer_auth(bench.simulator.secret_key()).send().await.unwrap();
    assert_eq!(gone.status(), 200);
    assert_eq!(attempts(&bench, event), before, "nothing was sent");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_for_writes_is_there_while_writes_are_on() {
    let (bench, payers, endpoint) = unheard(Manner::Honest, 2).await;
    let kept = |key: &str| Kept::new("stripe_write_key", SecretRef::Command { command: vec!["echo".into(), key.into()] }, &|_| None);
    let with = |key: &str| -> Config {
        let mut config = config(&bench);
        config.stripe_key = Some(nightdesk::config::secret::Credential::new(bench.simulator.restricted_key(&["rak_event_read"])));
        config.stripe_write_key = Some(kept(key));
        config
    };
    let command = |n: usize| resend(&payers[n].event, &endpoint);
    let writer = bench.simulator.named_key("the writer", Some(&["rak_webhook_write"]));
    let sources = open(with(&writer));
    not_done(&perform(&sources, command(0), "nd-1").await, "turn writes on again");
    sources.arm();
    let done = perform(&sources, command(0), "nd-1").await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    assert!(retries(&bench).iter().all(|r| r.key_name.as_deref() == Some("the writer")), "{:?}", retries(&bench));
    sources.disarm();
    not_done(&perform(&sources, command(1), "nd-2").await, "turn writes on again");

    let weak = open(with(&bench.simulator.restricted_key(&["rak_event_read"])));
    weak.arm();
    not_done(&perform(&weak, command(1), "nd-3").await, "rak_webhook_write");
    let live = open(with("rk_live_abcdefghijklmnop"));
    live.arm();
    not_done(&perform(&live, command(1), "nd-4").await, "different modes");
    let mut absent = with("");
    absent.stripe_write_key =
        Some(Kept::new("stripe_write_key", SecretRef::Command { command: vec!["/nonexistent/vault".into()] }, &|_| None));
    let absent = open(absent);
    absent.arm();
    not_done(&perform(&absent, command(1), "nd-5").await, "stripe_write_key: vault could not be run");
    assert_eq!(retries(&bench).len(), 2, "one that was allowed, one that was not");
}

#[tokio::test(flavor = "multi_thread")]
async fn our_own_delivery_does_what_stripe_s_would() {
    for manner in [Manner::Honest, Manner::Swallowing] {
        let (bench, payers, _) = unheard(manner, 1).await;
        let payer = &payers[0];
        let mut forbidden = config(&bench);
        forbidden.policy.deliver = false;
        not_done(&perform(&open(forbidden), deliver(&payer.event), "nd-1").await, "[policy] deliver is off");

        bench.app.configure(|s| s.webhook_secret = "whsec_another".into());
        bench.app.restart().await.unwrap();
        let sources = open(config(&bench));
        let refused = perform(&sources, deliver(&payer.event), "nd-2").await;
        match manner {
            Manner::Honest => not_done(&refused, "webhook_secret"),
            Manner::Swallowing => {
                assert!(matches!(&refused, Outcome::Done { note, .. } if note.contains("\"ok\":false")), "{refused:?}");
            }
        }
        assert!(!repaired(&bench, payer).await);
        bench.app.configure(|s| s.webhook_secret.clone_from(&bench.webhook_secret));
        bench.app.restart().await.unwrap();
        let done = perform(&sources, deliver(&payer.event), "nd-3").await;
        assert!(matches!(&done, Outcome::Done { note, .. } if note.contains("received")), "{done:?}");
        assert!(repaired(&bench, payer).await, "{manner:?}");
        bench.app.halt().await.unwrap();
        assert!(matches!(perform(&sources, deliver(&payer.event), "nd-4").await, Outcome::NotDone(f) if f.kind == FaultKind::Unreachable));
        assert_eq!(retries(&bench).len(), 0, "Stripe was only asked for the event");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_restart_is_the_configured_command_and_its_lines_are_heard() {
    let bench = Bench::start(Options { customers: 60, manner: Manner::Honest, ..Options::default() }).await;
    let directory = tempfile::tempdir().unwrap();
    let proof = directory.path().join("restarted");
    let script = format!("echo stopping; echo starting >&2; touch {}", proof.display());
    let mut with = config(&bench);
    with.hooks.restart_app = Some(["sh", "-c", &script].iter().map(ToString::to_string).collect());
    let sources = open(with);
    assert!(sources.environment().offers.restart_app);
    let (mut heard, mut elsewhere) = (sources.hear("nd-1"), sources.hear("nd-9"));
    let done = perform(&sources, Command::RunHook { hook: "restart_app".into() }, "nd-1").await;
    assert!(matches!(&done, Outcome::Done { note, .. } if note.contains("stopping") && note.contains("starting")), "{done:?}");
    assert!(proof.exists());
    let mut lines = [heard.recv().await.unwrap(), heard.recv().await.unwrap()];
    lines.sort();
    assert_eq!(lines, ["starting", "stopping"]);
    assert!(elsewhere.try_recv().is_err(), "another run's command has printed nothing");
    let without = open(config(&bench));
    not_done(&perform(&without, Command::RunHook { hook: "restart_app".into() }, "nd-2").await, "set [hooks] restart_app");
    not_done(&perform(&sources, Command::RunHook { hook: "deploys".into() }, "nd-3").await, "[hooks] deploys");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_sandbox_s_own_hook_brings_a_dead_application_back() {
    let served = tokio::task::spawn_blocking(|| crate::sandbox::served::Served::start(&["--customers", "200", "--manner", "honest"]));
    let served = served.await.unwrap();
    let variables = |name: &str| served.environment.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone());
    let config = Config::load(Some(served.get("NIGHTDESK_CONFIG").as_ref()), None, &variables).expect("the sandbox's own");
    let sources = open(config);
    assert_eq!(findings(&sources).await, [Finding::RejectsForgeries]);
    let broken = http().post(format!("{}/incidents/endpoint-down", served.get("NIGHTDESK_SANDBOX_URL"))).send().await.unwrap();
    assert!(broken.status().is_success(), "{broken:?}");
    let found = findings(&sources).await;
    assert!(found[0] == Finding::Refused || found[0] == Finding::BadGateway, "{found:?}");
    let done = perform(&sources, Command::RunHook { hook: "restart_app".into() }, "nd-1").await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    assert_eq!(findings(&sources).await, [Finding::RejectsForgeries]);
}
