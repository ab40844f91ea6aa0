//! What is read from a real schema `stripe`, and every way in which it can be less than a mirror.

use super::*;
use crate::bench::{Options, until};
use nightdesk::domain::mirror::{Copied, Mirror};
use nightdesk::domain::stripe::{Status, Subscription};
use nightdesk::domain::text::is_hostile;
use nightdesk::protocol::query::NeedleText;
use nightdesk::sandbox::mirror::Pace;
use sqlx::Row;
use std::time::Duration;

async fn bench() -> Bench {
    Bench::start(Options { customers: 120, ..Options::default() }).await
}

fn subscription_of(person: &Person) -> StripeId {
    id(&person.plan.as_ref().expect("paying").subscription)
}

async fn copies(database: &Database, ids: Vec<StripeId>) -> Vec<Copied<Subscription>> {
    mirrored(database, MirrorOf::Subscriptions(ids)).await.expect("a mirror").subscriptions
}

async fn report(database: &Database) -> nightdesk::gateway::postgres::MirrorReport {
    database.report().await.expect("a report").mirror.expect("something like a mirror")
}

#[tokio::test]
async fn both_layouts_hold_what_stripe_says() {
    for layout in [Layout::Columns, Layout::Documents] {
        let bench = bench().await;
        let (database, stripe) = (database(&bench), stripe(&bench));
        assert!(!is_there(&database).await, "{layout:?}");
        let _mirror = mirror(&bench, layout).await;
        assert!(is_there(&database).await, "{layout:?}");
        let people = paying(&bench);
        let people = &people[..10];
        let found = copies(&database, people.iter().map(subscription_of).collect()).await;
        assert_eq!(found.len(), people.len());
        for person in people {
            let Reply::Subscriptions(truth) = stripe.answer(&Query::Subscription(subscription_of(person))).await.expect("an answer") else {
                panic!()
            };
            let copy = found.iter().find(|c| c.value.id == truth[0].id).expect("a copy");
            assert_eq!(copy.value, truth[0], "{layout:?}");
            assert!(copy.as_of.is_some() && copy.livemode == Some(false), "{copy:?}");
        }
        // By address alone, then by the subscription alone: the same customer with the same subscriptions.
        let person = &people[0];
        let by = |subscriptions, email| MirrorOf::Customers { ids: Vec::new(), subscriptions, email };
        let by_address = mirrored(&database, by(Vec::new(), Some(person.email.to_uppercase()))).await.expect("a mirror");
        let by_subscription = mirrored(&database, by(vec![subscription_of(person)], None)).await.expect("a mirror");
        let ids = |m: &Mirrored| m.customers.iter().map(|c| c.value.id.to_string()).collect::<Vec<_>>();
        assert_eq!(ids(&by_address), [person.customer.clone().expect("paying")], "{layout:?}");
        assert_eq!((ids(&by_address), &by_address.subscriptions), (ids(&by_subscription), &by_subscription.subscriptions), "{layout:?}");
        assert_eq!(by_address.mirror.notes, Vec::<String>::new());
        assert!(!by_address.mirror.is_stale(chrono::Utc::now()));
        for term in [person.email.clone(), person.customer.clone().expect("paying"), person.name.to_lowercase()] {
            let query = Query::FindInMirror { needle: NeedleText(term.clone()), limit: 20 };
            let Reply::MirrorHits { hits, mirror, .. } = database.ask(query).await.expect("hits") else { panic!() };
            assert!(hits.iter().any(|h| h.customer == person.customer), "{layout:?} {term}: {hits:?}");
            assert!(!mirror.is_stale(bench.simulator.now()), "{mirror:?}");
        }
        let report = report(&database).await;
        assert!(report.usable && report.says.is_empty() && report.newest.is_some(), "{report:?}");
        database.close().await;
    }
}

#[tokio::test]
async fn it_follows_events_lags_and_stops() {
    let bench = bench().await;
    let (database, mirror) = (database(&bench), mirror(&bench, Layout::Columns).await);
    let people = paying(&bench);
    let leaves = async |person: &Person, expected: bool| {
        copies(&database, vec![subscription_of(person)]).await[0].value.cancel_at_period_end == expected
    };
    let turn = |person: &Person| {
        let on = !person.plan.as_ref().expect("paying").cancel_at_period_end;
        // Later than the mirror was filled, by Stripe's whole seconds.
        bench.simulator.advance(Duration::from_secs(2));
        bench.simulator.cancel_at_period_end(subscription_of(person).as_str(), on, bench.simulator.now()).expect("it changes");
        on
    };
    let on = turn(&people[0]);
    until("the event is in the mirror", async || leaves(&people[0], on).await).await;
    mirror.set_pace(Pace { lag_seconds: 3_600, stopped: false });
    let on = turn(&people[1]);
    assert!(leaves(&people[1], !on).await, "an hour behind");
    mirror.set_pace(Pace { lag_seconds: 0, stopped: true });
    let stopped = turn(&people[2]);
    bench.simulator.advance(Duration::from_secs(700));
    let found = mirrored(&database, MirrorOf::Subscriptions(vec![subscription_of(&people[2])])).await.expect("a mirror");
    assert_eq!(found.subscriptions[0].value.cancel_at_period_end, !stopped);
    assert!(found.mirror.is_stale(bench.simulator.now()), "{:?}", found.mirror);
    mirror.set_pace(Pace::default());
    until("it catches up", async || leaves(&people[1], on).await && leaves(&people[2], stopped).await).await;
}

#[tokio::test]
async fn what_may_not_be_read_is_not_used_and_the_printed_grants_suffice() {
    let bench = bench().await;
    let (database, _mirror) = (database(&bench), mirror(&bench, Layout::Documents).await);
    sql(&bench, "REVOKE ALL ON ALL TABLES IN SCHEMA stripe FROM nightdesk; REVOKE USAGE ON SCHEMA stripe FROM nightdesk").await;
    assert!(!is_there(&database).await);
    assert_eq!(mirrored(&database, MirrorOf::Subscriptions(vec![id("sub_1neverissued")])).await, None);
    let found = report(&database).await;
    assert!(!found.usable && found.says[0].contains("may not read stripe.subscriptions"), "{found:?}");
    sql(&bench, "GRANT USAGE ON SCHEMA stripe TO nightdesk").await;
    for p in &found.needed {
        sql(&bench, &format!("GRANT SELECT (\"{}\") ON {} TO nightdesk", p.column, p.table)).await;
    }
    assert!(is_there(&database).await);
    assert!(report(&database).await.usable);
    // Without the products the copies stay readable, and what hangs on a product's word is of no known state.
    sql(&bench, "REVOKE ALL ON stripe.products FROM nightdesk; REVOKE SELECT (_raw_data) ON stripe.products FROM nightdesk").await;
    let person = &paying(&bench)[0];
    let one = |m: Mirrored| m.subscriptions.into_iter().next().expect("a copy");
    let copy = one(mirrored(&database, MirrorOf::Subscriptions(vec![subscription_of(person)])).await.expect("a mirror"));
    assert!(copy.as_of.is_some(), "its price says what it buys");
    let strip = "UPDATE stripe.subscriptions SET _raw_data = jsonb_set(jsonb_set(_raw_data, '{items,data,0,price,metadata}', '{}'),
        '{items,data,0,price,lookup_key}', 'null')";
    sql(&bench, strip).await;
    let found = mirrored(&database, MirrorOf::Subscriptions(vec![subscription_of(person)])).await.expect("a mirror");
    assert!(found.mirror.notes.iter().any(|n| n.contains("stripe.products")), "{:?}", found.mirror);
    assert_eq!(one(found).as_of, None);
}

#[tokio::test]
async fn what_only_looks_like_a_mirror_is_left_alone() {
    let bench = bench().await;
    let database = database(&bench);
    assert!(database.report().await.expect("a report").mirror.is_none());
    // What stands behind a view may be Stripe itself.
    sql(
        &bench,
        "CREATE SCHEMA stripe; CREATE VIEW stripe.subscriptions AS SELECT 'sub_x' AS id; GRANT USAGE ON SCHEMA stripe TO nightdesk",
    )
    .await;
    assert!(!is_there(&database).await);
    assert!(report(&database).await.says[0].contains("no table of its own"));
    sql(&bench, "DROP VIEW stripe.subscriptions; CREATE TABLE stripe.subscriptions (id text, plan_name text)").await;
    sql(&bench, "GRANT SELECT ON stripe.subscriptions TO nightdesk").await;
    assert!(!is_there(&database).await);
    let says = report(&database).await.says;
    assert!(says[0].contains("lacks customer, status, items, created"), "{says:?}");
}

#[tokio::test]
async fn a_mirror_of_the_first_days_says_no_state_and_is_shown_all_the_same() {
    let bench = bench().await;
    let (database, mirror) = (database(&bench), mirror(&bench, Layout::Columns).await);
    mirror.stop();
    for table in ["subscriptions", "customers", "products", "prices"] {
        sql(&bench, &format!("ALTER TABLE stripe.{table} DROP COLUMN last_synced_at")).await;
    }
    let person = &paying(&bench)[0];
    let found = mirrored(&database, MirrorOf::Subscriptions(vec![subscription_of(person)])).await.expect("a mirror");
    assert_eq!(found.subscriptions[0].as_of, None);
    assert!(found.mirror.newest.is_some() && found.mirror.notes[0].contains("no last_synced_at"), "{:?}", found.mirror);
}

#[tokio::test]
async fn alien_and_hostile_rows_stay_alone() {
    let bench = bench().await;
    let (database, mirror) = (database(&bench), mirror(&bench, Layout::Documents).await);
    mirror.stop();
    let people = paying(&bench);
    let ids: Vec<StripeId> = people[..5].iter().map(subscription_of).collect();
    let set = |n: usize, what: &str| format!("UPDATE stripe.subscriptions SET _raw_data = {what} WHERE id = '{}'", ids[n]);
    sql(&bench, &set(0, "_raw_data - 'items'")).await;
    sql(&bench, &set(1, "jsonb_set(_raw_data, '{items,data,0}', '7')")).await;
    sql(&bench, &set(2, "jsonb_set(_raw_data, '{status}', to_jsonb(E'act\\x1b[31m\\u202Eive'::text))")).await;
    sql(&bench, &set(3, "_raw_data || '{\"alien\": {\"deep\": [1, 2]}, \"created\": 1700000000}'")).await;
    let found = mirrored(&database, MirrorOf::Subscriptions(ids.clone())).await.expect("a mirror");
    assert_eq!((found.odd, found.subscriptions.len()), (2, 3));
    assert!(found.mirror.notes.iter().any(|n| n.starts_with("2 rows of it cannot be read")), "{:?}", found.mirror);
    let hostile = found.subscriptions.iter().find(|c| c.value.id == ids[2]).expect("a copy");
    let Status::Other(word) = &hostile.value.status else { panic!("{:?}", hostile.value.status) };
    assert!(!word.chars().any(is_hostile), "{word:?}");
    for term in ["'; DROP TABLE stripe.customers; --", "%%%", "nul\0byte", "o'neill"] {
        let query = Query::FindInMirror { needle: NeedleText(term.into()), limit: 20 };
        assert_eq!(
            database.ask(query).await.expect("hits"),
            Reply::MirrorHits { hits: Vec::new(), truncated: false, mirror: Mirror::default() },
            "{term:?}"
        );
    }
}

#[tokio::test]
async fn copies_come_by_their_key_and_a_large_table_is_not_read_through() {
    let bench = bench().await;
    let (database, mirror) = (database(&bench), mirror(&bench, Layout::Columns).await);
    mirror.stop();
    // As large as the planner thinks it is: nothing is read that has no index.
    sql(&bench, "UPDATE pg_class SET relpages = 20000, reltuples = 4000000 WHERE relname IN ('subscriptions', 'customers', 'products') AND relnamespace = 'stripe'::regnamespace").await;
    let person = &paying(&bench)[0];
    let found = mirrored(&database, MirrorOf::Subscriptions(vec![subscription_of(person)])).await.expect("a mirror");
    assert_eq!((found.subscriptions.len(), found.mirror.newest), (1, None), "by its key, and its age is not looked for");
    assert!(found.mirror.is_stale(chrono::Utc::now()), "what has no age is not believed");
    let email = Some(person.email.clone());
    let by_address = MirrorOf::Customers { ids: Vec::new(), subscriptions: Vec::new(), email };
    assert_eq!(mirrored(&database, by_address).await.expect("a mirror").customers, []);
    sql(&bench, "CREATE INDEX ON stripe.subscriptions (last_synced_at)").await;
    sql(&bench, "UPDATE pg_class SET relpages = 20000, reltuples = 4000000 WHERE relname = 'subscriptions' AND relnamespace = 'stripe'::regnamespace").await;
    let found = mirrored(&database, MirrorOf::Subscriptions(vec![subscription_of(person)])).await.expect("a mirror");
    assert!(found.mirror.newest.is_some());
    let plan =
        "EXPLAIN SELECT s.id FROM stripe.subscriptions AS s WHERE s.\"id\" = ANY (ARRAY['sub_x']::text[]) ORDER BY s.\"id\" LIMIT 500";
    let rows = sqlx::query(plan).fetch_all(&bench.admin).await.expect("a plan");
    let plan: Vec<String> = rows.iter().map(|r| r.get(0)).collect();
    assert!(plan.join("\n").contains("subscriptions_pkey"), "{plan:?}");
}
