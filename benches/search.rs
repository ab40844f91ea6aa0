//! How long a search takes over a million customers, in both layouts of a profile, and how much longer than over a hundred thousand: ids
//! and their beginnings by the keys that every such table has, addresses and pieces of them with and without an index.
//! `cargo bench --bench search`; `-- 200000` for so many customers instead.

mod million;

use million::{KEYS, ROUNDS, System, median, ms, run, shape};
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{NeedleText, Query, Reply};
use sqlx::{AssertSqlSafe, PgConnection, Row};
use std::time::{Duration, Instant};

/// The population that a search over the large one is compared with, as its tenth.
const TENTH: u64 = 10;

/// One population with the terms that find somebody in it.
struct Place {
    name: String,
    customers: u64,
    admin: PgConnection,
    terms: Vec<(&'static str, String)>,
}

/// What came of one search.
struct Came {
    took: Duration,
    hits: usize,
    complete: bool,
}

#[tokio::main]
async fn main() {
    let customers = million::profiles();
    let system = System::start().await;
    println!("{} and {customers} customers; each figure the median of {ROUNDS} rounds", customers / TENTH);
    println!("{:<7} {:<40} {:>9} {:>9} {:>7} {:>5}  complete", "shape", "search, ms", customers / TENTH, customers, "ratio", "hits");
    for plain in [false, true] {
        let mut places = [fill(&system, customers / TENTH, plain).await, fill(&system, customers, plain).await];
        for at in 0..places[0].terms.len() {
            compare(&system, &places, at, "", plain).await;
        }
        let address = places[0].terms.iter().position(|(what, _)| *what == "an address").expect("one of them");
        let bare = if plain { "email" } else { "(data ->> 'email')" };
        for (index, words) in
            [(bare.to_string(), ", index on it"), (format!("lower({})", bare.trim_matches(['(', ')'])), ", on it in lower case")]
        {
            for place in &mut places {
                run(&mut place.admin, &format!("CREATE INDEX ON profiles ({index}); ANALYZE profiles")).await;
            }
            compare(&system, &places, address, words, plain).await;
        }
        for place in &places {
            overtaken(&system, place, plain).await;
        }
    }
}

async fn fill(system: &System, customers: u64, plain: bool) -> Place {
    let name = format!("search_{customers}_{}", shape(plain));
    let mut admin = system.database(&name, customers, plain).await;
    run(&mut admin, KEYS).await;
    run(&mut admin, "VACUUM ANALYZE").await;
    let g = customers * 2 / 3;
    let mut text = async |expression: &str| -> String {
        let statement = format!("SELECT {}", expression.replace("@G@", &g.to_string()));
        sqlx::query(AssertSqlSafe(statement)).fetch_one(&mut admin).await.expect("a text").get(0)
    };
    let customer = text("'cus_' || substr(md5('c' || @G@), 1, 14)").await;
    let subscription = text("'sub_' || substr(md5('s' || @G@), 1, 14)").await;
    let profile = text("md5('p' || @G@)::uuid::text").await;
    let terms = vec![
        ("the beginning of a profile's id", profile[..8].to_string()),
        ("a profile's id", profile),
        ("the beginning of a customer's id", customer[..10].to_string()),
        ("a customer's id", customer),
        ("a subscription's id", subscription),
        ("an address", format!("user{g}@example{}.com", g % 500)),
        ("a piece of an address", format!("{}@example", g % 100_000)),
        ("a name that nobody has", "zzyzx".to_string()),
    ];
    Place { name, customers, admin, terms }
}

async fn compare(system: &System, places: &[Place; 2], at: usize, more: &str, plain: bool) {
    let mut came = Vec::new();
    for place in places {
        let database = system.open(&place.name, 0);
        came.push(search(&database, &place.terms[at].1).await);
        database.close().await;
    }
    let [few, all] = <[Came; 2]>::try_from(came).unwrap_or_else(|_| unreachable!("two places"));
    let indexless = if more.is_empty() && at >= 5 { ", no index" } else { more };
    let what = format!("{}{indexless}", places[0].terms[at].0);
    let (ratio, complete) = (all.took.as_secs_f64() / few.took.as_secs_f64(), if all.complete { "yes" } else { "no" });
    println!("{:<7} {what:<40} {:>9.2} {:>9.2} {ratio:>7.1} {:>5}  {complete}", shape(plain), ms(few.took), ms(all.took), all.hits);
}

async fn search(database: &Database, term: &str) -> Came {
    let mut rounds = Vec::new();
    let (mut found, mut complete) = (0, true);
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let Reply::Hits { hits, truncated } = database.ask(query(term)).await.expect("hits") else {
            unreachable!("it answers what was asked")
        };
        if round > 0 {
            rounds.push(begun.elapsed());
        }
        (found, complete) = (hits.len(), !truncated);
    }
    Came { took: median(rounds), hits: found, complete }
}

fn query(term: &str) -> Query {
    Query::FindInDatabase { needle: NeedleText(term.to_string()), limit: 20 }
}

/// How long a whole id takes that is typed while the search for a piece of an address is still going on: the next key drops that.
async fn overtaken(system: &System, place: &Place, plain: bool) {
    let database = system.open(&place.name, 0);
    let of = |what: &str| place.terms.iter().find(|(w, _)| *w == what).map(|(_, term)| term.as_str()).expect("one of them");
    database.ask(query(of("a profile's id"))).await.expect("connected");
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let _ = tokio::time::timeout(Duration::from_millis(20), database.ask(query(of("a name that nobody has")))).await;
        let begun = Instant::now();
        database.ask(query(of("a profile's id"))).await.expect("hits");
        rounds.push(begun.elapsed());
    }
    let what = format!("a profile's id, the search before dropped at {}", place.customers);
    println!("{:<7} {what:<58} {:>9.2}", shape(plain), ms(median(rounds)));
    database.close().await;
}
