//! The least rights, as `check --grants` prints them: enough for every check and the repair, and nothing beside them.

use crate::bench::{self, Bench, Options, PAID_FOR};
use crate::command::{Desk, Said};
use nightdesk::sandbox::schema::{Naming, Shape};
use sqlx::{AssertSqlSafe, Connection, PgConnection};

/// The statements and the Stripe permissions of what was printed.
fn printed(said: &Said) -> (String, Vec<&str>) {
    assert_eq!(said.code, Some(0), "{said:?}");
    let statements: Vec<&str> = said.out.lines().filter(|l| !l.starts_with("--")).collect();
    let slugs = said.out.lines().filter_map(|l| l.trim_start_matches(['-', ' ']).split(' ').next()).filter(|w| w.starts_with("rak_"));
    (statements.join("\n"), slugs.collect())
}

/// A role made by exactly these statements, but for its name and password; how it connects.
async fn role(bench: &Bench, statements: &str) -> (String, String) {
    let name = format!("desk_{}", uuid::Uuid::new_v4().simple());
    let sql = format!("{}\nALTER ROLE {name} PASSWORD 'secret'", statements.replace("nightdesk", &name));
    sqlx::raw_sql(AssertSqlSafe(sql)).execute(&bench.admin).await.unwrap();
    let url = bench::cluster().await.0.url(&name, "secret", &bench.database);
    (name, url)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_printed_is_enough_and_no_more() {
    for (naming, answers) in [(Naming::Usual, true), (Naming::Renamed, false)] {
        let shape = Shape { naming, ..Shape::default() };
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let own = Desk::of(&bench);
        // The role is yet to be made: then the map alone is what there is.
        let nobody = bench::cluster().await.0.url("nobody", "x", &bench.database);
        let said = if answers {
            own.say(&["check", "--grants"]).await
        } else {
            own.but("DATABASE_URL", &nobody).say(&["check", "--grants"]).await
        };
        assert_eq!(said.out.contains("did not answer"), !answers, "{said:?}");
        let (statements, slugs) = printed(&said);
        let (name, url) = role(&bench, &statements).await;
        let with_key = |slugs: &[&str]| own.but("DATABASE_URL", &url).but("STRIPE_SECRET_KEY", &bench.simulator.restricted_key(slugs));
        let desk = with_key(&slugs);

        let check = desk.say(&["check"]).await;
        assert!(check.code == Some(0) && check.out.lines().all(|l| l.starts_with("OK")), "{check:?}");
        for incident in PAID_FOR {
            let label = bench.strike(incident, 1).await.remove(0);
            let done = desk.repair(&label.expected.customer, &[]).await.well();
            assert!(done["state"] == "done" && bench.ground.repaired(&label).await.unwrap(), "{done}");
            desk.undo(done["run"].as_str().unwrap()).await.well();
        }

        for slug in ["rak_charge_read", "rak_payment_intent_read", "rak_account_read"] {
            let fewer: Vec<&str> = slugs.iter().copied().filter(|s| *s != slug).collect();
            assert_eq!(fewer.len() + 1, slugs.len(), "{slug} is printed once");
            let check = with_key(&fewer).say(&["check"]).await;
            assert!(check.code == Some(1) && check.out.lines().any(|l| l.starts_with("FAIL") && l.contains(slug)), "{slug}: {check:?}");
        }
        let mut direct = PgConnection::connect(&url).await.unwrap();
        let n = shape.names();
        for sql in [
            format!("SELECT * FROM {}", n.profiles),
            format!("SELECT * FROM {}", n.subscriptions),
            format!("UPDATE {} SET {} = {}", n.subscriptions, n.owner, n.owner),
            format!("DELETE FROM {}", n.subscriptions),
        ] {
            let refused = sqlx::raw_sql(AssertSqlSafe(sql.clone())).execute(&mut direct).await.expect_err(&sql);
            assert_eq!(refused.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{sql}");
        }
        direct.close().await.unwrap();
        let drop = format!("DROP OWNED BY {name}; DROP ROLE {name}");
        sqlx::raw_sql(AssertSqlSafe(drop)).execute(&bench.admin).await.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_administrators_secret_is_needed_by_migrate_alone() {
    let bench = Bench::start(Options::default()).await;
    let url = bench.variable("DATABASE_URL");
    let desk = Desk::of(&bench)
        .but("ADMIN_DATABASE_URL", "")
        .but("DATABASE_URL", "")
        .configured("[env.prod]\ndatabase_url = { env = \"CONSOLE\" }\nadmin_url = { command = [\"/nonexistent/vault\"] }");
    let mut desk = desk;
    desk.variables.push(("CONSOLE".into(), url));
    let status = desk.say(&["status", "--json"]).await.well();
    assert_eq!(status["sources"][0]["state"], "ok", "{status}");
    desk.say(&["migrate"]).await.refused(&["admin_url", "/nonexistent/vault could not be run"]);
    let migrated = Desk::of(&bench).say(&["migrate"]).await;
    assert!(migrated.code == Some(0) && migrated.out.contains("3 migration(s) applied"), "{migrated:?}");
}
