//! The gateway against a real Postgres, the simulator and the sample application, faults included.

mod executor;
mod postgres;
mod proxy;
mod trust;
mod writes;

use crate::bench::Bench;
use nightdesk::config::Config;
use nightdesk::domain::fault::Fault;
use nightdesk::domain::ids::SubjectKey;
use nightdesk::domain::row::{Image, Record};
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{Hit, Locator, NeedleText, Query, Reply};
use nightdesk::sandbox::population::Person;
use std::path::PathBuf;
use std::sync::Arc;

/// The bench's configuration, some of its variables replaced.
fn config_with(bench: &Bench, replaced: &[(&str, &str)]) -> Config {
    let variables = bench.environment();
    let map = variables.iter().find(|(n, _)| *n == "NIGHTDESK_CONFIG").map(|(_, path)| PathBuf::from(path));
    let lookup = |name: &str| {
        let other = replaced.iter().find(|(n, _)| *n == name).map(|(_, v)| (*v).to_string());
        other.or_else(|| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone()))
    };
    Config::load(map.as_deref(), None, &lookup).expect("the bench's variables are a configuration")
}

fn open(config: Config) -> Database {
    Database::start(Arc::new(config)).expect("an address").expect("one is configured")
}

fn database(bench: &Bench) -> Database {
    open(config_with(bench, &[]))
}

async fn records(database: &Database, locator: Locator) -> Result<Vec<Record>, Fault> {
    match database.ask(Query::Records(locator)).await? {
        Reply::Records(records) => Ok(records),
        other => panic!("{other:?}"),
    }
}

/// The one record of a person.
async fn record(bench: &Bench, database: &Database, person: &Person) -> Record {
    let key = SubjectKey(bench.shape.names().key_of(person));
    let mut found = records(database, Locator::Subjects(vec![key])).await.expect("records");
    assert_eq!(found.len(), 1, "one record");
    found.remove(0)
}

fn image(record: &Record) -> Image {
    record.row.as_ref().expect("a row").image.clone()
}

async fn find(database: &Database, term: &str) -> (Vec<Hit>, bool) {
    let query = Query::FindInDatabase { needle: NeedleText(term.to_string()), limit: 20 };
    match database.ask(query).await.unwrap_or_else(|f| panic!("{term}: {f}")) {
        Reply::Hits { hits, truncated } => (hits, truncated),
        other => panic!("{other:?}"),
    }
}

/// Somebody who pays and whose address the profile holds.
fn paying(bench: &Bench) -> Person {
    let suits = |p: &Person| p.email_in_profile && p.plan.as_ref().is_some_and(|plan| plan.status == "active");
    (0..bench.population.len()).map(|n| bench.population.person(n)).find(suits).expect("somebody pays")
}

/// Runs statements as the superuser.
async fn sql(bench: &Bench, text: &str) {
    sqlx::raw_sql(sqlx::AssertSqlSafe(text.to_string())).execute(&bench.admin).await.unwrap_or_else(|e| panic!("{text}: {e}"));
}
