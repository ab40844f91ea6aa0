//! Hundreds of failed events against the whole system: every effect, each event sent once, within the budget, also after a kill.

use crate::bench::{Bench, Options};
use crate::command::{Desk, Said};
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::{Incident, Label};
use nightdesk::sandbox::schema::roles;
use nightdesk::sandbox::stripe::{DeliveryEffect, DeliveryRule, KeyKind, Served, When};
use sqlx::AssertSqlSafe;
use std::process::Stdio;

/// Events a second that the tests allow: more than by default, so that they end sooner.
const RESENDS: usize = 20;
/// The same of everything that is read.
const READS: usize = 20;

/// So many happened unheeded; the cause is over, one delivery of twenty is lost.
async fn failed(manner: Manner, count: usize) -> (Bench, Vec<Label>, Desk) {
    let bench = Bench::start(Options { manner, customers: 1_500, ..Options::default() }).await;
    let n = bench.shape.names();
    let mut labels = bench.ground.strike(Incident::Webhook500, count).await.expect("there are enough");
    labels.remove(0);
    bench.ground.lift(Incident::Webhook500).await.expect("lifted");
    bench.simulator.delivery_rules().add(DeliveryRule::always(DeliveryEffect::Drop).when(When::Share(0.05)));
    // What is written to the rows from here on, by whomever, and whether it was another value than before.
    let sql = format!(
        "CREATE TABLE writes (owner text, who text DEFAULT current_user, at timestamptz DEFAULT clock_timestamp(), changed boolean);
         GRANT INSERT ON writes TO PUBLIC;
         CREATE FUNCTION note_write() RETURNS trigger LANGUAGE plpgsql AS
         $$ BEGIN INSERT INTO writes (owner, changed) VALUES (NEW.{0}::text, to_jsonb(NEW) - '{1}' <> to_jsonb(OLD) - '{1}'); RETURN NEW; END $$;
         CREATE TRIGGER note_write AFTER UPDATE ON {2} FOR EACH ROW EXECUTE FUNCTION note_write();",
        n.owner, n.updated, n.subscriptions
    );
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&bench.admin).await.unwrap();
    let desk = Desk::of(&bench).configured(&format!("[stripe]\nresends_per_s = {RESENDS}\nbackground_per_s = {READS}\n"));
    (bench, labels, desk)
}

/// The rows that were written more than once, as the condition has it: whose, by whom and when.
async fn written_twice(bench: &Bench, by: &str) -> Vec<(String, String)> {
    let sql =
        format!("SELECT owner, array_agg(who || ' at ' || at ORDER BY at)::text FROM writes WHERE {by} GROUP BY owner HAVING count(*) > 1");
    sqlx::query_as(AssertSqlSafe(sql)).fetch_all(&bench.admin).await.unwrap()
}

/// No row was changed twice, nor written twice by the console. What Stripe tries again by itself, whoever has mended it meanwhile, the
/// application writes once more as it is.
async fn changed_once_each(bench: &Bench) {
    let (changed, ours) = (written_twice(bench, "changed").await, written_twice(bench, &format!("who = '{}'", roles::CONSOLE)).await);
    assert!(changed.is_empty(), "at most one change for each: {changed:?}; sent: {:?}", resent(bench));
    assert!(ours.is_empty(), "written twice by us: {ours:?}");
}

/// The events that were resent, with the moment of each request.
pub fn resent(bench: &Bench) -> Vec<(String, chrono::DateTime<chrono::Utc>)> {
    let requests = bench.simulator.requests();
    let retries = requests.iter().filter(|r| r.method == "POST" && r.path.ends_with("/retry"));
    retries.map(|r| (r.path.split('/').rev().nth(1).unwrap_or_default().to_string(), r.at)).collect()
}

async fn planned(desk: &Desk) -> (String, serde_json::Value) {
    let plan = desk.say(&["replay", "--since-last-applied", "--dry-run", "--json"]).await.well();
    (plan["plan"]["confirm"].as_str().expect("a count to type").to_string(), plan)
}

async fn all_repaired(bench: &Bench, labels: &[Label]) {
    for label in labels {
        assert!(bench.ground.repaired(label).await.unwrap(), "{label:?}");
    }
}

fn once_each_and_in_time(bench: &Bench) {
    let sent = resent(bench);
    let mut events: Vec<_> = sent.iter().map(|(e, _)| e).collect();
    let all = events.len();
    events.sort();
    events.dedup();
    assert_eq!(events.len(), all, "no event is sent twice");
    // Of either kind one more may come in at a second's edge than began in it; of both together there are never more than both budgets allow.
    let requests = bench.simulator.requests();
    let ours = || requests.iter().filter(|r| r.key == Some(KeyKind::Secret));
    let most = |kept: fn(&&Served) -> bool| {
        let mut at: Vec<_> = ours().filter(kept).map(|r| r.at).collect();
        at.sort();
        at.iter().enumerate().map(|(n, from)| at[n..].iter().take_while(|t| (**t - *from).num_milliseconds() < 1_000).count()).max()
    };
    let (reads, resends, all) = (most(|r| r.method == "GET"), most(|r| r.method == "POST"), most(|_| true));
    eprintln!("at most in a second: {reads:?} reads, {resends:?} resends, {all:?} together");
    assert!(reads.unwrap_or(0) <= READS + 1, "{reads:?} reads in a second");
    assert!(resends.unwrap_or(0) <= RESENDS + 1, "{resends:?} resends in a second");
    assert!(all.unwrap_or(0) <= READS + RESENDS, "{all:?} requests in a second");
}

/// A replay of what `failed` left, killed with -9 once so many were sent; how many had been.
async fn killed(bench: &Bench, desk: &Desk, confirm: &str, at: usize) -> usize {
    let mut command = tokio::process::Command::new(crate::bench::executable());
    command.args(["replay", "--since-last-applied", "--confirm", confirm, "--reason", "a test", "--json"]);
    command.env_clear().stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null()).kill_on_drop(true);
    command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
    command.env("NIGHTDESK_STATE_DIR", desk.state.path()).env("NIGHTDESK_OPERATOR", "test");
    command.envs(desk.variables.iter().map(|(n, v)| (n, v)));
    let mut child = command.spawn().expect("it runs");
    let patience = std::time::Instant::now() + std::time::Duration::from_secs(90);
    while resent(bench).len() < at {
        assert!(std::time::Instant::now() < patience, "it sends");
        tokio::time::sleep(std::time::Duration::from_millis(20)).await;
    }
    child.start_kill().expect("SIGKILL");
    child.wait().await.expect("it ends");
    let before = resent(bench).len();
    assert!(before < confirm.parse::<usize>().unwrap(), "in the middle");
    before
}

async fn replay(manner: Manner, count: usize) {
    let (bench, labels, desk) = failed(manner, count).await;
    let (confirm, plan) = planned(&desk).await;
    assert_eq!(confirm, labels.iter().filter(|l| l.hurts()).count().to_string(), "{plan:#}");
    let text = desk.say(&["replay", "--since-last-applied", "--dry-run"]).await.out;
    assert!(
        text.contains(" customers: sent on trial, copied from Stripe where that has no effect.")
            && text.contains(&format!("--confirm \"{confirm}\"")),
        "{text}"
    );
    assert!(text.lines().count() < 20 && !text.contains("UPDATE") && !text.contains("/retry"), "{text}");
    let exactly = desk.say(&["replay", "--since-last-applied", "--dry-run", "--explain"]).await.out;
    assert!(exactly.contains("$ POST /v1/events/evt_") && exactly.contains("$ UPDATE"), "{exactly}");
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM writes").fetch_one(&bench.admin).await.unwrap();
    assert!(written == 0 && resent(&bench).is_empty(), "a dry run does nothing");
    let said = desk.say(&["replay", "--since-last-applied", "--confirm", &confirm, "--reason", "a test", "--json"]).await;
    let done = said.well();
    assert_eq!((done["state"].as_str(), done["progress"]["failed"].as_u64()), (Some("done"), Some(0)), "{}", done["says"]);
    assert_eq!(done["progress"]["applied"].to_string(), confirm);
    eprintln!("{}", done["says"]);
    all_repaired(&bench, &labels).await;
    once_each_and_in_time(&bench);
    changed_once_each(&bench).await;
    let again = desk.say(&["replay", "--since", "1d", "--dry-run", "--json"]).await.json();
    assert!(again["says"].as_str().unwrap().contains("Every effect is there"), "{again}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_effect_comes_once_where_one_delivery_of_twenty_is_lost() {
    replay(Manner::Honest, 300).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_where_the_application_answers_200_to_its_errors() {
    replay(Manner::Swallowing, 40).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_killed_replay_is_resumed_with_the_rest_only() {
    let (bench, labels, desk) = failed(Manner::Honest, 300).await;
    let (confirm, _) = planned(&desk).await;
    let before = killed(&bench, &desk, &confirm, 120).await;

    let runs = desk.say(&["runs", "--json"]).await.well();
    let run = runs[0]["run"].as_str().unwrap().to_string();
    // What remains is counted anew: nobody confirms a number that is no longer true. What was on its way when the process died may still
    // take effect between the question and its answer, and then the number is another one.
    let mut typed = confirm.clone();
    let mut tries = 0;
    let done = loop {
        let said: Said = desk.say(&["runs", "resume", &run, "--confirm", &typed, "--reason", "a test", "--json"]).await;
        if said.code == Some(0) {
            break said.well();
        }
        let sentence = said.sentence();
        let count = sentence.split("--confirm \"").nth(1).and_then(|t| t.split('"').next());
        typed = count.unwrap_or_else(|| panic!("it names the count: {said:?}")).to_string();
        tries += 1;
        assert!(tries < 6, "the count comes to rest: {said:?}");
    };
    assert!(tries > 0, "the old count is refused");
    let rest = typed;
    assert_eq!(done["state"], "done", "{done}");
    assert!(rest.parse::<usize>().unwrap() <= confirm.parse::<usize>().unwrap() - before + 5, "{rest} of {confirm} after {before}");
    all_repaired(&bench, &labels).await;
    once_each_and_in_time(&bench);
    changed_once_each(&bench).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_that_is_given_up_stands_in_nobodys_way_and_what_it_sent_is_not_sent_again() {
    let (bench, labels, desk) = failed(Manner::Honest, 40).await;
    let (confirm, _) = planned(&desk).await;
    killed(&bench, &desk, &confirm, 15).await;
    let run = desk.say(&["runs", "--json"]).await.well()[0]["run"].as_str().unwrap().to_string();
    let blocked = desk.say(&["replay", "--since-last-applied", "--confirm", "1", "--reason", "a test"]).await;
    assert_ne!(blocked.code, Some(0), "{blocked:?}");
    assert!(desk.say(&["runs", "abandon", &run]).await.err.contains("--reason"));
    let first = desk.say(&["runs", "abandon", &run, "--reason", "ticket 4411", "--json"]).await;
    let given_up = if first.code == Some(0) {
        first.well()
    } else {
        // Killed while one was on its way: that is said, and nothing is ended unseen.
        first.declined(&["is not known", "runs resume", "--settled-by-hand"]);
        desk.say(&["runs", "abandon", &run, "--reason", "ticket 4411", "--settled-by-hand", "--json"]).await.well()
    };
    assert_eq!(given_up["state"], "handed-over", "{given_up}");
    desk.say(&["runs", "abandon", &run, "--reason", "again"]).await.declined(&["is finished"]);
    desk.say(&["runs", "resume", &run, "--reason", "again", "--yes"]).await.declined(&["is finished"]);
    let (rest, plan) = planned(&desk).await;
    let done = desk.say(&["replay", "--since-last-applied", "--confirm", &rest, "--reason", "a test", "--json"]).await.well();
    assert_eq!(done["state"], "done", "{done} after {plan:#}");
    all_repaired(&bench, &labels).await;
    once_each_and_in_time(&bench);
    assert_eq!(desk.say(&["audit", "verify", "--json"]).await.code, Some(0));
}
