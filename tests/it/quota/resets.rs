//! Counters reset with the real binary: through the application and through the database, proven, undone, and cut off with kill -9.

use super::sql;
use crate::bench::{self, Bench, Options, until};
use crate::command::Desk;
use nightdesk::sandbox::incidents::{Incident, Label};
use nightdesk::sandbox::schema::{Naming, STOCK, Shape};
use serde_json::Value;
use sqlx::{AssertSqlSafe, Connection, PgConnection};
use std::collections::BTreeMap;
use std::process::Stdio;

/// Somebody whose counter went on, and whose stock is used up rightly.
async fn spent(bench: &Bench) -> (Label, Label) {
    let labels = bench.ground.strike(Incident::QuotaSpent, 1).await.unwrap();
    let (stocks, resets): (Vec<_>, Vec<_>) = labels.into_iter().partition(|l| l.subject.feature == Some(STOCK));
    (resets.into_iter().next().unwrap(), stocks.into_iter().next().unwrap())
}

fn profile(label: &Label) -> &str {
    label.subject.profile.as_deref().unwrap()
}

/// Every counter of everybody, by whose and which.
async fn counters(bench: &Bench) -> BTreeMap<(String, String), Value> {
    let n = bench.shape.names();
    let text = format!("SELECT c.{}::text, c.{}::text, to_jsonb(c) FROM {} AS c", n.counter_owner, n.feature, n.counters);
    let rows: Vec<(String, String, Value)> = sqlx::query_as(AssertSqlSafe(text)).fetch_all(&bench.admin).await.unwrap();
    rows.into_iter().map(|(whose, which, row)| ((whose, which), row)).collect()
}

async fn used(bench: &Bench, label: &Label) -> i64 {
    let feature = label.subject.feature.unwrap();
    bench.entitlements(profile(label)).await["data"]["features"][feature]["used"].as_i64().unwrap()
}

async fn reset(desk: &Desk, label: &Label, feature: &str) -> Value {
    desk.say(&["run", "quota-reset", profile(label), "--feature", feature, "--yes", "--reason", "ticket 4411", "--json"]).await.well()
}

#[tokio::test(flavor = "multi_thread")]
async fn all_that_resets_goes_through_the_application_and_can_be_taken_back() {
    for shape in [Shape::default(), Shape { naming: Naming::Renamed, ..Shape::default() }] {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let desk = Desk::of(&bench);
        let (label, stock) = spent(&bench).await;
        let before = counters(&bench).await;
        let dry = desk.say(&["run", "quota-reset", profile(&label), "--feature", "all", "--dry-run"]).await;
        assert!(dry.code == Some(0) && dry.out.contains("/reset") && dry.out.contains("Left out: seats"), "{dry:?}");
        assert_eq!(counters(&bench).await, before, "a dry run does nothing");

        let done = reset(&desk, &label, "all").await;
        assert_eq!(done["state"], "done", "{done}");
        assert!(done["says"].as_str().unwrap().contains("the app enforces"), "{done}");
        assert!(bench.ground.repaired(&label).await.unwrap() && bench.ground.repaired(&stock).await.unwrap(), "{shape:?}");
        assert_eq!(used(&bench, &label).await, 0);
        let left: Vec<_> = counters(&bench).await.into_keys().collect();
        assert_eq!(left, before.keys().cloned().collect::<Vec<_>>(), "no row is deleted");

        let back = desk.undo(done["run"].as_str().unwrap()).await.well();
        assert_eq!(back["state"], "done", "{back}");
        assert_eq!(
            used(&bench, &label).await,
            before[&(profile(&label).to_string(), label.subject.feature.unwrap().to_string())][shape.names().used]
        );
        let audit = desk.say(&["audit", "verify", "--json"]).await.well();
        assert!(audit["broken"].is_null(), "{audit}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn one_feature_goes_through_the_database_and_leaves_every_other_row_alone() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let (label, stock) = spent(&bench).await;
    let feature = label.subject.feature.unwrap();
    let before = counters(&bench).await;
    let done = reset(&desk, &label, feature).await;
    assert!(done["state"] == "done" && bench.ground.repaired(&label).await.unwrap(), "{done}");
    let after = counters(&bench).await;
    let changed: Vec<_> = before.keys().filter(|k| before[*k] != after[*k]).collect();
    assert_eq!(changed, [&(profile(&label).to_string(), feature.to_string())], "exactly one row");
    let (was, is) = (&before[changed[0]], &after[changed[0]]);
    assert_eq!((is["used"].as_i64(), &is["period_end"]), (Some(0), &was["period_end"]), "the period stays");

    // Somebody counts on: what they used is not taken from them.
    sql(&bench, &format!("UPDATE rate_limits SET used = 3 WHERE profile_id = '{}' AND feature = '{feature}'", profile(&label))).await;
    let said = desk.undo(done["run"].as_str().unwrap()).await;
    assert!(said.code == Some(1) && said.out.contains("used 3 since the reset"), "{said:?}");
    sql(&bench, &format!("UPDATE rate_limits SET used = 0 WHERE profile_id = '{}' AND feature = '{feature}'", profile(&label))).await;
    desk.undo(done["run"].as_str().unwrap()).await.well();
    assert_eq!(counters(&bench).await, before);

    let said = desk.say(&["run", "quota-reset", profile(&stock), "--feature", STOCK, "--dry-run"]).await;
    assert!(said.code == Some(1) && said.out.contains("a stock, which no period empties"), "{said:?}");
    let said = desk.say(&["run", "quota-reset", profile(&stock), "--feature", "dreams", "--dry-run"]).await;
    assert!(said.code == Some(1) && said.out.contains("There is no feature dreams"), "{said:?}");
    desk.say(&["run", "quota-reset", "00000000-0000-4000-8000-000000000000", "--dry-run"]).await.refused(&["No profile can be named"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_application_the_configuration_says_what_resets() {
    let bench = Bench::start(Options::default()).await;
    let (label, stock) = spent(&bench).await;
    let alone = Desk::of(&bench).but("APP_URL", "").but("APP_ADMIN_TOKEN", "").but("APP_WEBHOOK_URL", "");
    let said = alone.say(&["run", "quota-reset", profile(&label), "--feature", "all", "--dry-run"]).await;
    assert!(said.code == Some(1) && said.out.contains("Nobody says which features reset"), "{said:?}");
    let told = alone.configured("[quota]\nresets = { searches = true, exports = true, api_calls = true }");
    let done = reset(&told, &label, "all").await;
    assert!(done["says"].as_str().unwrap().contains("No app is set up to ask"), "{done}");
    assert!(bench.ground.repaired(&label).await.unwrap() && bench.ground.repaired(&stock).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_without_the_right_is_told_before_anything_is_sent() {
    let bench = Bench::start(Options::default()).await;
    let (label, _) = spent(&bench).await;
    sql(&bench, "REVOKE UPDATE ON rate_limits FROM nightdesk").await;
    let desk = Desk::of(&bench);
    let said = desk.say(&["run", "quota-reset", profile(&label), "--feature", label.subject.feature.unwrap(), "--dry-run"]).await;
    assert!(said.code == Some(1) && said.out.contains("--grants") && said.out.contains("choose all"), "{said:?}");
    let done = reset(&desk, &label, "all").await;
    assert_eq!(done["state"], "done", "{done}");
    let said = desk.undo(done["run"].as_str().unwrap()).await;
    assert!(said.code == Some(1) && said.err.contains("nothing that takes it back"), "{said:?}");
}

const TRIGGERS: &str = "
CREATE TABLE changes (id bigserial PRIMARY KEY, profile text NOT NULL);
CREATE FUNCTION note_change() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER AS
  $$ BEGIN INSERT INTO public.changes (profile) VALUES (NEW.profile_id::text || NEW.feature); RETURN NULL; END $$;
CREATE FUNCTION wait_commit() RETURNS trigger LANGUAGE plpgsql SECURITY DEFINER SET lock_timeout = 0 AS
  $$ BEGIN PERFORM pg_advisory_xact_lock(2, hashtext(NEW.profile_id::text)); RETURN NULL; END $$;
CREATE TRIGGER note_change AFTER UPDATE ON rate_limits FOR EACH ROW WHEN (OLD.used <> NEW.used) EXECUTE FUNCTION note_change();
CREATE CONSTRAINT TRIGGER wait_commit AFTER UPDATE ON rate_limits DEFERRABLE INITIALLY DEFERRED
  FOR EACH ROW EXECUTE FUNCTION wait_commit();";

/// The reset is held up in its commit; the console is killed with -9; the reset goes through all the same.
#[tokio::test(flavor = "multi_thread")]
async fn a_console_killed_between_reset_and_record_looks_first_and_resets_once() {
    for all in [true, false] {
        let bench = Bench::start(Options::default()).await;
        let (label, _) = spent(&bench).await;
        sql(&bench, TRIGGERS).await;
        let desk = Desk::of(&bench);
        let (whose, which) = (profile(&label), label.subject.feature.unwrap());
        let mut gate = PgConnection::connect(&bench.variable("ADMIN_DATABASE_URL")).await.unwrap();
        let lock = "SELECT pg_advisory_lock(2, hashtext($1))";
        sqlx::query(lock).bind(whose).execute(&mut gate).await.unwrap();

        let mut console = std::process::Command::new(bench::executable())
            .args(["run", "quota-reset", whose, "--feature", if all { "all" } else { which }, "--yes", "--reason", "ticket 4411"])
            .env_clear()
            .envs(desk.variables.iter().map(|(n, v)| (n, v)))
            .env("NIGHTDESK_STATE_DIR", desk.state.path())
            .env("NIGHTDESK_OPERATOR", "test")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let waiting = "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted AND classid = 2
                       AND database = (SELECT oid FROM pg_database WHERE datname = current_database())";
        until("the reset waits in its commit", async || sqlx::query_scalar::<_, i64>(waiting).fetch_one(&bench.admin).await.unwrap() > 0)
            .await;
        console.kill().unwrap();
        tokio::task::spawn_blocking(move || console.wait().unwrap()).await.unwrap();
        sqlx::query("SELECT pg_advisory_unlock_all()").execute(&mut gate).await.unwrap();
        gate.close().await.unwrap();
        let changes = async || -> i64 {
            let text = "SELECT count(*) FROM changes WHERE profile = $1";
            sqlx::query_scalar(text).bind(format!("{whose}{which}")).fetch_one(&bench.admin).await.unwrap()
        };
        until("the reset went through", async || changes().await == 1).await;

        let runs = desk.say(&["runs", "--json"]).await.well();
        assert_eq!(runs[0]["state"], "unknown", "{runs}");
        let resumed =
            desk.say(&["runs", "resume", runs[0]["short"].as_str().unwrap(), "--yes", "--reason", "ticket 4411", "--json"]).await.well();
        assert_eq!(resumed["state"], "done", "{resumed}");
        assert_eq!(changes().await, 1, "once");
        assert!(bench.ground.repaired(&label).await.unwrap());
        assert_eq!(desk.say(&["runs", "--json"]).await.well()[0]["state"], "done");
    }
}
