//! The sandbox itself: cluster, shapes of the database, sample application, incidents, and that it leaves nothing behind.

mod application;
mod data;
mod incidents;
mod incidents_database;
mod incidents_webhooks;
mod processes;
pub mod served;
mod usage;

use nightdesk::sandbox::population::{Billing, Person};
use sqlx::AssertSqlSafe;

use crate::bench::Bench;

type Row = (String, String, Option<String>, Option<f64>, Option<f64>);

/// Tier, status, interval, and the period in Unix seconds.
async fn row(bench: &Bench, person: &Person) -> Row {
    let n = bench.shape.names();
    let sql = format!(
        "SELECT {}, {}, {}, extract(epoch FROM {})::float8, extract(epoch FROM {})::float8 FROM {} WHERE {} = $1::text::{}",
        n.tier, n.status, n.interval, n.period_start, n.period_end, n.subscriptions, n.owner, n.key
    );
    sqlx::query_as(AssertSqlSafe(sql)).bind(n.key_of(person)).fetch_one(&bench.admin).await.unwrap()
}

fn someone(bench: &Bench, suits: impl Fn(Billing) -> bool) -> Person {
    let number = (0..bench.population.len()).find(|n| suits(bench.population.billing(*n))).unwrap();
    bench.population.person(number)
}
