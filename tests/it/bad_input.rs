//! Bad input and configurations that cannot work, through the real binary: one clear sentence and exit code 2 where there is no answer,
//! 1 where there is a bad one, and never a write.

use crate::bench::{Bench, Options, Payer};
use crate::command::{Desk, Said};
use crate::repair::{rows, tier};
use chrono::{Duration, Utc};
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::population::{PRICE_ENT_MONTH, PRICE_LEGACY_GOLD, PRICE_PRO_MONTH, PRICE_PRO_YEAR};
use nightdesk::sandbox::schema::{Naming, Shape};
use serde_json::Value;

async fn one(bench: &Bench, incident: Incident) -> Payer {
    bench.strike(incident, 1).await.remove(0)
}

async fn sql(bench: &Bench, text: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_string())).execute(&bench.admin).await.unwrap();
}

/// `find` and `run` give no answer, and each says why in one sentence; nothing is journaled as a run.
async fn unanswered(desk: &Desk, id: &str, words: &[&str]) {
    desk.say(&["find", id]).await.refused(words);
    let said = desk.say(&["find", id, "--json"]).await;
    assert_eq!(said.code, Some(2), "{said:?}");
    desk.say(&["run", "tier-update", "--customer", id, "--yes", "--reason", "a test"]).await.refused(words);
    let runs = desk.say(&["runs", "--json"]).await.well();
    assert_eq!(runs, Value::Array(Vec::new()));
}

/// A run that ended short of its goal, and says why.
#[track_caller]
fn short_of(said: &Said, state: &str, words: &[&str]) -> Value {
    assert_eq!(said.code, Some(1), "{said:?}");
    let json = said.json();
    assert_eq!(json["state"], state, "{json}");
    for word in words {
        assert!(json["says"].as_str().unwrap().contains(word), "{word}: {json}");
    }
    json
}

#[tokio::test(flavor = "multi_thread")]
async fn a_configuration_that_is_none_is_told_with_its_place() {
    let desk = Desk::with(vec![("DATABASE_URL".into(), "postgres://u:p@127.0.0.1:1/x".into())]);
    let file = desk.state.path().join("nightdesk.toml");
    let path = file.to_str().unwrap();
    let cases: [(&str, &[&str]); 7] = [
        ("[env.prod\n", &[":1:10: "]),
        ("[env.prod]\nproduction = maybe\n", &[":2:14: "]),
        ("[env.prod]\n[policy]\nwritter = \"sql\"\n", &[":3:1: ", "writter", "writer"]),
        ("[policy]\nwriter = \"carrier pigeon\"\n", &["[policy] writer", "carrier pigeon", "sql, http, command"]),
        ("[policy]\nwriter = \"command\"\n", &["[hooks] resync"]),
        ("[policy]\nwriter = \"command\"\n[hooks]\nresync = [\"true\"]\ntimeout_s = 0\n", &["[hooks] timeout_s", "1 and 600"]),
        ("[env.prod]\ndatabase_url = { env = \"NOT_SET_ANYWHERE\" }\n", &["database_url", "NOT_SET_ANYWHERE"]),
    ];
    for (text, words) in cases {
        std::fs::write(&file, text).unwrap();
        for arguments in [&["check"][..], &["status"], &["find", "cus_1Abcdefgh"], &[]] {
            desk.say(&[&["--config", path], arguments].concat()).await.refused(words);
        }
    }
    std::fs::write(&file, [0xFF, 0xFE, 0x00]).unwrap();
    desk.say(&["--config", path, "check"]).await.refused(&["nightdesk.toml", "UTF-8"]);
    desk.say(&["--config", desk.state.path().to_str().unwrap(), "check"]).await.refused(&["directory"]);
    desk.say(&["--config", "/nonexistent/nightdesk.toml", "check"]).await.refused(&["/nonexistent/nightdesk.toml", "No such file"]);
    std::fs::write(&file, "[env.a]\n[env.b]\n").unwrap();
    desk.say(&["--config", path, "check"]).await.refused(&["choose one with --env"]);
    desk.say(&["--config", path, "--env", "c", "check"]).await.refused(&["no environment named `c`", "a, b"]);
    Desk::with(Vec::new()).say(&["check"]).await.refused(&["nothing to connect to", "DATABASE_URL", "--config"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_terminal_there_is_no_console() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    for arguments in [&[][..], &["sandbox"]] {
        desk.say(arguments).await.refused(&["the console needs a terminal", "nightdesk find"]);
    }
    let label = one(&bench, Incident::MissedWebhooks).await;
    let run = ["run", "tier-update", "--customer", &label.expected.customer];
    desk.say(&[&run[..], &["--reason", "a test", "--json"]].concat()).await.refused(&["--yes", "--dry-run"]);
    let said = desk.say(&[&run[..], &["--yes"]].concat()).await;
    assert!(said.code == Some(2) && said.err.contains("--reason"), "{said:?}");
    let said = desk.say(&[&run[..], &["--yes", "--reason", "  "]].concat()).await;
    said.refused(&["reason"]);
    assert!(!bench.ground.repaired(&label).await.unwrap());
    for command in ["find", "runs", "status", "check"] {
        let help = desk.say(&[command, "--help"]).await;
        assert!(help.code == Some(0) && help.out.contains("Exit codes:") && help.out.contains("  2  "), "{help:?}");
    }
    let help = desk.say(&["run", "tier-update", "--help"]).await;
    assert!(help.out.contains("Exit codes:"), "{help:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_database_that_cannot_be_reached_or_read_is_told() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = one(&bench, Incident::MissedWebhooks).await;
    let id = label.expected.customer.as_str();
    let url = desk.variable("DATABASE_URL").to_string();
    let (login, place) = url.rsplit_once('@').unwrap();
    let (place, database) = place.rsplit_once('/').unwrap();
    let password = login.rsplit_once(':').unwrap().1;
    let cases: [(String, &[&str]); 7] = [
        (String::new(), &["no database is configured", "DATABASE_URL"]),
        ("garbage".into(), &["database_url is not a Postgres address", "postgres://"]),
        ("postgres://u@host:port/x".into(), &["database_url is not a Postgres address"]),
        (format!("{login}@127.0.0.1:1/{database}"), &["nobody answers for Postgres at 127.0.0.1:1"]),
        (format!("postgres:///{database}?host=/nonexistent"), &["nobody answers for Postgres at /nonexistent"]),
        (format!("{login}@{place}/elsewhere"), &["there is no database elsewhere", "database_url"]),
        (url.replace(password, "wrong"), &["refuses the password of nightdesk", "database_url"]),
    ];
    for (url, words) in cases {
        let desk = desk.but("DATABASE_URL", &url);
        unanswered(&desk, id, words).await;
        // The lines about it repeat neither password nor address.
        let check = desk.say(&["check"]).await;
        assert!(!check.out.contains(password) && !check.err.contains(password), "{check:?}");
    }
    sql(&bench, "DROP TABLE subscriptions CASCADE").await;
    unanswered(&desk, id, &["there is no table subscriptions", "[schema.subscription]"]).await;
    let check = desk.say(&["check"]).await;
    assert!(check.code == Some(1) && check.out.contains("there is no table subscriptions"), "{check:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_map_that_names_what_is_not_there_is_told() {
    let bench = Bench::start(Options { shape: Shape { naming: Naming::Renamed, ..Shape::default() }, ..Options::default() }).await;
    let label = one(&bench, Incident::MissedWebhooks).await;
    let map = std::fs::read_to_string(bench.variable("NIGHTDESK_CONFIG")).unwrap();
    let cases = [
        ("tier = \"plan_level\"", "tier = \"plan_leval\"", &["memberships.plan_leval is not there", "[schema.subscription] tier"]),
        ("table = \"accounts\"", "table = \"acounts\"", &["there is no table acounts", "[schema.subject]"]),
        ("table = \"level_limits\"", "table = \"limits\"", &["there is no table limits", "[schema.limit]"]),
        ("\"paid_until\"", "\"plan_level\"", &["memberships.plan_level", "current_period_end needs a time"]),
    ];
    for (right, wrong, words) in cases {
        let desk = Desk::of(&bench).but("NIGHTDESK_CONFIG", "").configured(&map.replacen(right, wrong, 1));
        unanswered(&desk, &label.expected.customer, words).await;
        let check = desk.say(&["check"]).await;
        assert!(check.code == Some(1) && check.out.contains(words[0]), "{check:?}");
    }
    // Without its map the renamed schema is unknown.
    let unmapped = Desk::of(&bench).but("NIGHTDESK_CONFIG", "");
    unanswered(&unmapped, &label.expected.customer, &["there is no table profiles"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_limits_table_the_repair_works_all_the_same() {
    let bench = Bench::start(Options::default()).await;
    sql(&bench, "DROP TABLE plan_features").await;
    let label = one(&bench, Incident::PlaceholderCustomers).await;
    let desk = Desk::of(&bench);
    let warned =
        |said: &Said| said.out.lines().any(|l| l.starts_with("WARN") && l.contains("no limits table") && l.contains("[limits.TIER]"));
    let check = desk.say(&["check"]).await;
    assert!(warned(&check), "{check:?}");
    let limits = Desk::of(&bench).configured("[limits.FREE]\nsearches = 5\n[limits.PRO]\nsearches = 100");
    let check = limits.say(&["check"]).await;
    assert!(!warned(&check), "{check:?}");
    assert_eq!(desk.repair(&label.expected.customer, &[]).await.well()["state"], "done");
    assert!(bench.ground.repaired(&label).await.unwrap());
    assert_eq!(tier(&bench, &label.profile).await, "PRO");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_that_stripe_does_not_accept_or_that_may_not_enough_is_told() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = one(&bench, Incident::PlaceholderCustomers).await;
    let id = label.expected.customer.as_str();
    let before = rows(&bench).await;
    unanswered(&desk.but("STRIPE_SECRET_KEY", ""), id, &["no Stripe key is configured", "STRIPE_SECRET_KEY"]).await;
    // Nothing here is https: a live key does not even leave the process.
    let live = "sk_live_51abcdefghijklmnopqrstuvwxyz";
    let said = desk.but("STRIPE_SECRET_KEY", live).say(&["check"]).await;
    said.refused(&["STRIPE_API_BASE", "not https", "live"]);
    assert!(!said.err.contains(live), "{said:?}");
    for key in ["sk_test_51wrong", "with space"] {
        let desk = desk.but("STRIPE_SECRET_KEY", key);
        unanswered(&desk, id, &["Stripe"]).await;
        let check = desk.say(&["check"]).await;
        assert!(check.code == Some(1) && !check.out.contains(key), "{check:?}");
    }
    let all = [
        "rak_customer_read",
        "rak_subscription_read",
        "rak_plan_read",
        "rak_product_read",
        "rak_checkout_session_read",
        "rak_invoice_read",
        "rak_event_read",
        "rak_webhook_read",
        "rak_balance_read",
    ];
    let with_key = |but: &str| {
        let held: Vec<&str> = all.into_iter().filter(|p| *p != but).collect();
        desk.but("STRIPE_SECRET_KEY", &bench.simulator.restricted_key(&held))
    };
    for missing in ["rak_customer_read", "rak_subscription_read", "rak_checkout_session_read"] {
        let desk = with_key(missing);
        let words = ["the Stripe key lacks the permission", missing];
        if missing == "rak_checkout_session_read" {
            // What is left is the address, on which nobody is chosen without being asked.
            desk.say(&["find", id]).await.refused(&words);
            short_of(&desk.repair(id, &[]).await, "undecided", &words);
        } else {
            unanswered(&desk, id, &words).await;
        }
        let check = desk.say(&["check"]).await;
        assert!(check.out.lines().any(|l| l.starts_with("FAIL") && l.contains(missing)), "{check:?}");
    }
    let said = with_key("rak_invoice_read").repair(id, &[]).await;
    said.refused(&["rak_invoice_read"]);
    assert_eq!(rows(&bench).await, before);
    // What `check --grants` lists is enough for the whole repair.
    assert_eq!(with_key("").repair(id, &[]).await.well()["state"], "done");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_key_with_a_production_database_never_writes() {
    let bench = Bench::start(Options::default()).await;
    let label = one(&bench, Incident::MissedWebhooks).await;
    let desk = Desk::of(&bench).in_production();
    let id = label.expected.customer.as_str();
    desk.say(&["run", "tier-update", "--customer", id, "--yes", "--reason", "a test", "--json"])
        .await
        .refused(&["production", "writes stay off"]);
    assert!(!bench.ground.repaired(&label).await.unwrap());
    let found = desk.say(&["find", id]).await;
    assert!(found.code == Some(1) && found.out.contains("FREE in the app"), "reads go on: {found:?}");
    assert_eq!(desk.say(&["run", "tier-update", "--customer", id, "--dry-run", "--json"]).await.well()["state"], "planned");
    let check = desk.say(&["check"]).await;
    assert!(
        check.code == Some(1) && check.out.lines().any(|l| l.starts_with("FAIL") && l.contains("test key with a production")),
        "{check:?}"
    );
    let status = desk.say(&["status", "--json"]).await.well();
    assert_eq!(status["mode"], "mixed");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_id_that_exists_nowhere_is_told() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    for id in [
        "cus_Nobody0000001",
        "sub_1Nobody00000000000001",
        "in_1Nobody000000000000001",
        "evt_1Nobody00000000000001",
        "cus_temp_nobody",
        "7f3a5b7c-0000-4000-8000-000000000011",
        "nobody@nowhere.invalid",
        "Nobody Nowhere-Xyz",
    ] {
        let said = desk.say(&["find", id]).await;
        assert!(said.code == Some(1) && said.out.contains("in neither the database nor Stripe") && said.err.is_empty(), "{said:?}");
        let words = &[id, "in neither the database nor Stripe"];
        desk.say(&["run", "tier-update", "--customer", id, "--yes", "--reason", "a test"]).await.refused(words);
    }
    desk.say(&["find", "  "]).await.refused(&["nothing to look for"]);
    let label = one(&bench, Incident::MissedWebhooks).await;
    let customer = label.expected.customer.as_str();
    desk.repair(customer, &["--subscription", "cus_1"]).await.refused(&["`cus_1` is not a subscription's id"]);
    let nobody = desk.repair(customer, &["--subject", "7f3a5b7c-0000-4000-8000-000000000011"]).await;
    nobody.refused(&["is not in the database"]);
    short_of(&desk.repair(customer, &["--subscription", "sub_1Nobody00000000000001"]).await, "halted", &["is not among theirs"]);
    short_of(&desk.repair(customer, &["--tier", "GOLD"]).await, "halted", &["buys GOLD", "PRO"]);
    assert!(!bench.ground.repaired(&label).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_profile_without_a_subscription_has_nothing_to_copy() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let number = (0..bench.population.len()).find(|n| bench.population.person(*n).customer.is_none()).unwrap();
    let profile = bench.population.person(number).profile.to_string();
    let before = rows(&bench).await;
    let found = desk.say(&["find", &profile, "--json"]).await.well();
    assert_eq!(found["diagnosis"]["class"], "fine", "{found}");
    short_of(&desk.repair(&profile, &[]).await, "halted", &["nothing to copy from"]);
    sql(&bench, &format!("DELETE FROM subscriptions WHERE profile_id = '{profile}'")).await;
    let found = desk.say(&["find", &profile, "--json"]).await;
    assert_eq!((found.code, &found.json()["diagnosis"]["sentence"]), (Some(1), &"This profile has no subscription row".into()));
    let label = one(&bench, Incident::MissedWebhooks).await;
    sql(&bench, &format!("DELETE FROM subscriptions WHERE profile_id = '{}'", label.profile)).await;
    let gone = desk.repair(&label.expected.customer, &["--subject", &label.profile]).await;
    short_of(&gone, "halted", &["no subscription row"]);
    assert_eq!(rows(&bench).await.len(), before.len() - 2, "nothing here creates rows");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_two_customers_with_one_address_the_paying_one_counts() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = one(&bench, Incident::PlaceholderCustomers).await;
    let person = bench.population.person(label.number);
    let other = bench.simulator.add_customer(&person.name, Some(&person.email), Utc::now() - Duration::days(1));
    let found = desk.say(&["find", &person.email, "--json"]).await;
    let customers: Vec<_> = found.json()["customers"].as_array().unwrap().iter().map(|c| c.as_str().unwrap().to_string()).collect();
    assert_eq!(customers, [label.expected.customer.clone(), other.clone()], "{found:?}");
    // The other id leads no further by itself, and says what does.
    let dead = desk.say(&["find", &other]).await;
    assert!(dead.code == Some(1) && dead.out.contains("search by the address") && dead.out.contains("same e-mail address"), "{dead:?}");
    short_of(&desk.repair(&other, &[]).await, "halted", &["nothing to copy from"]);
    assert_eq!(desk.repair(&person.email, &[]).await.well()["state"], "done");
    assert!(bench.ground.repaired(&label).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_items_are_fine_while_they_buy_the_same() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let labels = bench.strike(Incident::MissedWebhooks, 2).await;
    bench.simulator.add_item(&labels[0].expected.subscription, PRICE_PRO_MONTH, Utc::now()).unwrap();
    assert_eq!(desk.repair(&labels[0].expected.customer, &[]).await.well()["state"], "done");
    assert!(bench.ground.repaired(&labels[0]).await.unwrap());

    let (customer, before) = (labels[1].expected.customer.as_str(), rows(&bench).await);
    bench.simulator.add_item(&labels[1].expected.subscription, PRICE_ENT_MONTH, Utc::now()).unwrap();
    let found = desk.say(&["find", customer]).await;
    assert!(found.code == Some(1) && found.out.contains("Two items map to different tiers"), "{found:?}");
    let undecided = short_of(&desk.repair(customer, &[]).await, "undecided", &["buy different tiers"]);
    let options: Vec<_> = undecided["decision"]["options"].as_array().unwrap().iter().map(|o| o["value"].as_str().unwrap()).collect();
    assert_eq!(options, ["PRO", "ENTERPRISE"]);
    let text = desk.say(&["run", "tier-update", "--customer", customer, "--dry-run"]).await;
    assert!(text.out.contains("--tier ENTERPRISE") && text.out.contains(PRICE_ENT_MONTH), "{text:?}");
    assert_eq!(rows(&bench).await, before, "nothing is written while it is open");
    let done = desk.repair(customer, &["--tier", "ENTERPRISE"]).await.well();
    assert_eq!(done["state"], "done");
    assert_eq!(tier(&bench, &labels[1].profile).await, "ENTERPRISE");
    desk.undo(done["run"].as_str().unwrap()).await.well();
    assert_eq!(tier(&bench, &labels[1].profile).await, "FREE");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_several_live_subscriptions_the_operator_chooses() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = one(&bench, Incident::PlaceholderCustomers).await;
    let (customer, before) = (label.expected.customer.as_str(), rows(&bench).await);
    let other = bench.simulator.add_subscription(customer, PRICE_PRO_YEAR, Utc::now() - Duration::minutes(5));
    let found = desk.say(&["find", customer]).await;
    assert!(found.code == Some(1) && found.out.contains("2 live subscriptions"), "{found:?}");
    let undecided = short_of(&desk.repair(customer, &[]).await, "undecided", &["2 subscriptions are live"]);
    let options = undecided["decision"]["options"].as_array().unwrap();
    assert!(
        [&label.expected.subscription, &other.subscription].iter().all(|s| options.iter().any(|o| o["value"] == s.as_str())),
        "{options:?}"
    );
    assert_eq!(rows(&bench).await, before);
    desk.repair(customer, &["--subscription", &label.expected.subscription]).await.well();
    assert!(bench.ground.repaired(&label).await.unwrap(), "the chosen one");
    desk.repair(customer, &["--subscription", &other.subscription]).await.well();
    assert_eq!(rows(&bench).await[&label.profile]["stripe_subscription_id"], other.subscription.as_str());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_price_that_is_mapped_to_nothing_is_never_guessed() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    let label = one(&bench, Incident::PlaceholderCustomers).await;
    let (customer, before) = (label.expected.customer.as_str(), rows(&bench).await);
    bench.simulator.change_price(&label.expected.subscription, PRICE_LEGACY_GOLD, Utc::now()).unwrap();
    let found = desk.say(&["find", customer]).await;
    assert!(found.code == Some(1) && found.out.contains(PRICE_LEGACY_GOLD) && found.out.contains("[tiers]"), "{found:?}");
    short_of(&desk.repair(customer, &[]).await, "halted", &[PRICE_LEGACY_GOLD, "mapped to no tier"]);
    assert_eq!(rows(&bench).await, before);
    let mapped = Desk::of(&bench).configured(&format!("[tiers.prices]\n{PRICE_LEGACY_GOLD} = \"ENTERPRISE\""));
    mapped.repair(customer, &[]).await.well();
    assert_eq!(tier(&bench, &label.profile).await, "ENTERPRISE");
}
