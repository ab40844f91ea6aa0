//! The mirror of Stripe in the product's database: read in both layouts, distrusted where it is stale, shown where Stripe is silent.

mod commands;
mod console;
mod database;
mod served;
mod survey;

use crate::bench::{Bench, cluster};
use nightdesk::config::Config;
use nightdesk::domain::ids::StripeId;
use nightdesk::domain::mirror::Mirrored;
use nightdesk::gateway::postgres::Database;
use nightdesk::gateway::stripe::Stripe;
use nightdesk::protocol::query::{MirrorOf, Query, Reply};
use nightdesk::sandbox::mirror::{Layout, Mirror};
use nightdesk::sandbox::population::Person;
use nightdesk::sandbox::schema::roles;
use std::sync::Arc;

fn config(bench: &Bench) -> Config {
    let variables = bench.environment();
    let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    Config::load(None, None, &lookup).expect("the bench's variables are a configuration")
}

fn database(bench: &Bench) -> Database {
    Database::start(Arc::new(config(bench))).expect("an address").expect("one is configured")
}

fn stripe(bench: &Bench) -> Stripe {
    Stripe::new(&config(bench)).expect("a key is given")
}

async fn mirror(bench: &Bench, layout: Layout) -> Mirror {
    let (cluster, _) = cluster().await;
    let superuser = roles::superuser(cluster, &bench.database);
    Mirror::start(superuser, layout, bench.simulator.clone(), &bench.population).await.expect("a mirror")
}

async fn mirrored(database: &Database, of: MirrorOf) -> Option<Mirrored> {
    match database.ask(Query::Mirrored(of)).await.expect("an answer") {
        Reply::Mirrored(found) => found.map(|found| *found),
        other => panic!("{other:?}"),
    }
}

async fn is_there(database: &Database) -> bool {
    let Reply::Shape(shape) = database.ask(Query::Shape).await.expect("a shape") else { panic!() };
    shape.mirror
}

fn id(text: &str) -> StripeId {
    StripeId::parse(text).expect("an id")
}

/// Those who pay, as they were when the bench was made.
fn paying(bench: &Bench) -> Vec<Person> {
    let all = (0..bench.population.len()).map(|n| bench.population.person(n));
    all.filter(|p| p.email_in_profile && p.plan.as_ref().is_some_and(|plan| plan.status == "active")).collect()
}

/// Runs statements as the superuser.
async fn sql(bench: &Bench, text: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_string())).execute(&bench.admin).await.unwrap_or_else(|e| panic!("{text}: {e}"));
}
