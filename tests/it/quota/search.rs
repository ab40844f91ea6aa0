//! The search where the order of texts is a language's: beginnings of ids are found by the ordinary unique index all the same.

use super::{open, sql};
use crate::bench::{Bench, Options};
use nightdesk::protocol::query::{NeedleText, Query, Reply};

#[tokio::test(flavor = "multi_thread")]
async fn the_beginning_of_an_id_needs_no_scan_in_the_order_of_a_language() {
    let bench = Bench::start(Options::default()).await;
    sql(
        &bench,
        "ALTER TABLE subscriptions ALTER COLUMN stripe_customer_id TYPE varchar(255) COLLATE \"en-US-x-icu\"; ANALYZE subscriptions;
         UPDATE pg_class SET reltuples = 5000000 WHERE oid IN ('subscriptions'::regclass, 'profiles'::regclass)",
    )
    .await;
    let ids: Vec<String> =
        sqlx::query_scalar("SELECT stripe_customer_id FROM subscriptions WHERE stripe_customer_id LIKE 'cus\\_%' ORDER BY 1 LIMIT 20")
            .fetch_all(&bench.admin)
            .await
            .unwrap();
    let database = open(&bench, "");
    for id in ids {
        let needle = NeedleText(id[..9].to_string());
        let Reply::Hits { hits, truncated } = database.ask(Query::FindInDatabase { needle, limit: 20 }).await.unwrap() else {
            panic!("no hits")
        };
        assert!(hits.iter().any(|h| h.customer.as_deref() == Some(&id)), "{id}: {hits:?}");
        assert!(truncated, "a table of five million is not read to its end, and that is said");
    }
    database.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn whom_an_index_knows_costs_no_scan_for_others() {
    let bench = Bench::start(Options::default()).await;
    sql(
        &bench,
        "CREATE INDEX ON profiles ((data ->> 'email')); ANALYZE profiles; UPDATE pg_class SET reltuples = 900000 WHERE oid = 'profiles'::regclass",
    )
    .await;
    let (id, email): (String, String) =
        sqlx::query_as("SELECT id::text, data ->> 'email' FROM profiles WHERE data ->> 'email' IS NOT NULL ORDER BY id LIMIT 1")
            .fetch_one(&bench.admin)
            .await
            .unwrap();
    let database = open(&bench, "");
    for term in [email, id[..8].to_string()] {
        let needle = NeedleText(term.clone());
        let Reply::Hits { hits, truncated } = database.ask(Query::FindInDatabase { needle, limit: 20 }).await.unwrap() else {
            panic!("no hits")
        };
        assert!(hits.len() == 1 && hits[0].subject.as_ref().is_some_and(|s| s.0 == id) && truncated, "{term}: {hits:?}");
    }
    database.close().await;
}
