//! What is read of colleagues' runs in the shared store: by a list where the schema has one, by all records where it is an older program's.

use super::store::database;
use nightdesk::gateway::journal::store::{RUNS_OF_OTHERS, Store, migrate};
use nightdesk::gateway::journal::{Journal, ship, team_runs};
use nightdesk::protocol::record::{Closed, Detail, Entry};
use nightdesk::sandbox::schema::roles;
use sqlx::Connection as _;
use sqlx::postgres::PgPoolOptions;
use tempfile::tempdir;
use uuid::Uuid;

/// Rows that a plan touches in these tables, by what it says itself after it was run.
fn touched(plan: &serde_json::Value) -> f64 {
    let number = |key: &str| plan[key].as_f64().unwrap_or_default();
    let of_ours = plan["Relation Name"].as_str().is_some_and(|r| r.starts_with("audit"));
    let rows = number("Actual Rows") + number("Rows Removed by Filter") + number("Rows Removed by Index Recheck");
    let own = if of_ours { rows * number("Actual Loops") } else { 0.0 };
    own + plan["Plans"].as_array().into_iter().flatten().map(touched).sum::<f64>()
}

/// Finished runs of this operator, three records each, by these numbers.
async fn finished_runs(admin: &sqlx::PgPool, operator: &str, numbers: std::ops::RangeInclusive<i32>) {
    let sql = r#"SELECT nightdesk.audit_append(format(
        '{"operator":%s,"environment":"test","chain":"%s","seq":%s,"entry":{"entry":%s}}', to_json($1::text), $2::uuid, n * 3 + k,
        CASE k WHEN 0 THEN format('"run-opened","run":"%s","procedure":"tier-update"', r)
               WHEN 1 THEN format('"verified","run":"%s","step":"row","holds":true', r)
               ELSE format('"run-closed","run":"%s","how":"done"', r) END))
        FROM (SELECT n, k, md5($1 || n)::uuid AS r FROM generate_series($3, $4) n, generate_series(0, 2) k ORDER BY n, k) x"#;
    let chain = Uuid::now_v7();
    sqlx::query(sql).bind(operator).bind(chain).bind(*numbers.start()).bind(*numbers.end()).execute(admin).await.unwrap();
}

#[tokio::test]
async fn what_is_read_of_colleagues_runs_does_not_grow_with_what_was_ever_recorded() {
    let db = database().await;
    migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap();
    let admin = PgPoolOptions::new().max_connections(1).connect(&db.superuser).await.unwrap();
    let state = tempdir().unwrap();
    let theirs = Journal::open(state.path(), "test", "ada", Some(b"one key for all consoles")).unwrap();
    let store = Store::of_url(&db.console).unwrap();
    let left = Uuid::now_v7();
    theirs.append(None, Entry::RunOpened { run: left, procedure: "failed-webhook".into() }, Detail::none()).await.unwrap();
    ship(&theirs, &store).await.unwrap();
    finished_runs(&admin, "eve", 1..=3_000).await;
    finished_runs(&admin, "zoe", 1..=3_000).await;
    sqlx::raw_sql("ANALYZE nightdesk.audit, nightdesk.audit_run").execute(&admin).await.unwrap();
    let explain = format!("EXPLAIN (ANALYZE, FORMAT JSON) {RUNS_OF_OTHERS}");
    // Whoever asks has runs of their own as well, or is the only one who has any.
    for (asking, records) in [("eve", 61.0), ("nobody", 61.0)] {
        let plan: serde_json::Value = sqlx::query_scalar(sqlx::AssertSqlSafe(explain.clone()))
            .bind("test")
            .bind(asking)
            .bind(20_i64)
            .fetch_one(&admin)
            .await
            .unwrap();
        let (plan, rows) = (&plan[0]["Plan"], touched(&plan[0]["Plan"]));
        assert_eq!(plan["Actual Rows"].as_f64(), Some(records), "an unfinished run, and three records each of twenty: {plan}");
        assert!(rows < 300.0, "{rows} rows of 18,001 were touched: {plan:#}");
    }
    sqlx::raw_sql("DELETE FROM nightdesk.audit_run WHERE operator <> 'eve'").execute(&admin).await.unwrap();
    let alone: serde_json::Value =
        sqlx::query_scalar(sqlx::AssertSqlSafe(explain)).bind("test").bind("eve").bind(20_i64).fetch_one(&admin).await.unwrap();
    assert!(touched(&alone[0]["Plan"]) < 30.0, "{alone:#}");
}

/// A store as an older program has made it, used by this one; and what is there already when it is brought up to date.
#[tokio::test]
async fn an_older_store_tells_the_same_runs_and_is_listed_when_it_is_brought_up_to_date() {
    let db = database().await;
    let mut admin = sqlx::PgConnection::connect(&db.superuser).await.unwrap();
    let all = sqlx::migrate!("./migrations");
    let mut older = sqlx::migrate::Migrator::with_migrations(all.iter().filter(|m| m.version < 3).cloned().collect());
    older.create_schema("nightdesk");
    older.dangerous_set_table_name("nightdesk._sqlx_migrations");
    older.run(&mut admin).await.unwrap();
    let grants = format!(
        "GRANT USAGE ON SCHEMA nightdesk TO {role}; GRANT SELECT ON nightdesk.audit, nightdesk.audit_head TO {role};
         GRANT SELECT ON nightdesk.lease TO {role}; GRANT EXECUTE ON FUNCTION nightdesk.audit_append(text) TO {role}",
        role = roles::CONSOLE
    );
    sqlx::raw_sql(sqlx::AssertSqlSafe(grants)).execute(&mut admin).await.unwrap();
    let state = tempdir().unwrap();
    let theirs = Journal::open(state.path(), "test", "ada", Some(b"one key for all consoles")).unwrap();
    let mine = Journal::open(state.path(), "test", "eve", Some(b"one key for all consoles")).unwrap();
    let store = Store::of_url(&db.console).unwrap();
    let runs = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    for run in runs {
        theirs.append(None, Entry::RunOpened { run, procedure: "tier-update".into() }, Detail::none()).await.unwrap();
    }
    for (run, how) in [(runs[1], Closed::HandedOver), (runs[2], Closed::Done), (runs[2], Closed::Undone)] {
        theirs.append(None, Entry::RunClosed { run, how }, Detail::none()).await.unwrap();
    }
    ship(&theirs, &store).await.expect("an older store takes records as ever");
    let before = team_runs(&mine, &store).await.unwrap();
    assert_eq!(before.len(), 3);
    assert_eq!(migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap(), 1);
    assert_eq!(team_runs(&mine, &store).await.unwrap(), before, "what was there is listed");
    let late = Uuid::now_v7();
    theirs.append(None, Entry::RunOpened { run: late, procedure: "tier-update".into() }, Detail::none()).await.unwrap();
    theirs.append(None, Entry::RunClosed { run: runs[0], how: Closed::Abandoned }, Detail::none()).await.unwrap();
    ship(&theirs, &store).await.unwrap();
    let listed = team_runs(&mine, &store).await.unwrap();
    assert_eq!((listed.len(), listed[0].run), (4, late), "what comes is listed too");
    assert_eq!(store.verify().await.unwrap(), []);
    let revoke = format!("REVOKE SELECT ON nightdesk.audit_run FROM {}", roles::CONSOLE);
    sqlx::raw_sql(sqlx::AssertSqlSafe(revoke)).execute(&mut admin).await.unwrap();
    assert_eq!(team_runs(&mine, &store).await.unwrap(), listed, "without the list it is only slower");
    // The other way round: this program beside a store of one that is newer still.
    let newer =
        "INSERT INTO nightdesk._sqlx_migrations (version, description, success, checksum, execution_time) VALUES (99, 'x', true, '', 0)";
    sqlx::raw_sql(newer).execute(&mut admin).await.unwrap();
    let refused = migrate(&db.superuser, Some(roles::CONSOLE)).await.unwrap_err();
    assert!(refused.say.contains("newer program"), "{refused}");
    assert_eq!(ship(&theirs, &store).await.unwrap(), 0, "which does not keep it from working");
    assert_eq!(team_runs(&mine, &store).await.unwrap(), listed);
}
