//! How much sooner the first page of who is near a limit comes than by the runbook's query, over a million profiles and five million
//! counters: serially, with the server's helpers, and with the DDL that `nightdesk check --ddl quota` prints. And how long a search takes.
//! `cargo bench --bench quota`; `-- 100000` for so many profiles instead.

use nightdesk::config::Config;
use nightdesk::domain::quota::{QuotaFilter, ServedBy, Threshold};
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{NeedleText, Query, Reply};
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions};
use nightdesk::sandbox::schema::roles;
use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row};
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

const PROFILES: u64 = 1_000_000;
/// The population that a search over the large one is compared with.
const FEW: u64 = 100_000;
const ROUNDS: usize = 5;

/// As people write it who have a million customers; the same shape as the sandbox's, with one feature more.
const TABLES: &str = "
CREATE TABLE profiles (id uuid NOT NULL, @PROFILE@, created_at timestamp NOT NULL DEFAULT now());
CREATE TABLE subscriptions (id bigint, profile_id uuid NOT NULL, stripe_customer_id varchar(255) NOT NULL,
    stripe_subscription_id varchar(255), tier varchar(20) NOT NULL, status varchar(30) NOT NULL DEFAULT 'active', billing_interval varchar(20),
    current_period_start timestamp, current_period_end timestamp, cancel_at timestamp, cancel_at_period_end boolean NOT NULL DEFAULT false,
    created_at timestamp NOT NULL DEFAULT now(), updated_at timestamp NOT NULL DEFAULT now());
CREATE TABLE rate_limits (profile_id uuid NOT NULL, feature varchar(50) NOT NULL, used integer NOT NULL DEFAULT 0,
    period_start timestamp, period_end timestamp);
CREATE TABLE plan_features (tier varchar(20), feature varchar(50), value integer NOT NULL, PRIMARY KEY (tier, feature));
INSERT INTO plan_features VALUES ('FREE','searches',5),('PRO','searches',100),('ENTERPRISE','searches',-1),('FREE','exports',2),
    ('PRO','exports',50),('ENTERPRISE','exports',-1),('FREE','seats',1),('PRO','seats',5),('ENTERPRISE','seats',50),('FREE','api_calls',0),
    ('PRO','api_calls',10000),('ENTERPRISE','api_calls',-1),('FREE','messages',50),('PRO','messages',1000),('ENTERPRISE','messages',-1);
INSERT INTO profiles SELECT md5('p' || g)::uuid, @FILL@, now() FROM generate_series(1, @N@) AS g;
INSERT INTO subscriptions (id, profile_id, stripe_customer_id, stripe_subscription_id, tier)
    SELECT g, md5('p' || g)::uuid, 'cus_' || substr(md5('c' || g), 1, 14), 'sub_' || substr(md5('s' || g), 1, 14),
           CASE WHEN g % 10 < 7 THEN 'FREE' WHEN g % 10 < 9 THEN 'PRO' ELSE 'ENTERPRISE' END FROM generate_series(1, @N@) AS g";

/// One in eight is at its limit or within a tenth of it, one in twelve has expired, and stocks know no period.
const COUNTERS: &str = "
INSERT INTO rate_limits
SELECT md5('p' || g)::uuid, f.name,
       CASE WHEN l.value > 0 AND hashint8(g * 7 + f.nth) & 7 = 0 THEN l.value - (hashint8(g * 11 + f.nth) & 1023) % (1 + l.value / 10)
            WHEN l.value > 0 THEN (hashint8(g * 13 + f.nth) & 1048575) % (1 + l.value * 3 / 4)
            WHEN l.value = 0 THEN 0 ELSE hashint8(g * 17 + f.nth) & 16383 END,
       now() - interval '10 days',
       CASE WHEN f.name = 'seats' THEN NULL WHEN hashint8(g * 19 + f.nth) % 12 = 0 THEN now() - interval '10 days'
            ELSE now() + interval '20 days' END
FROM generate_series(1, @N@) AS g,
     (VALUES (1, 'searches'), (2, 'exports'), (3, 'seats'), (4, 'api_calls'), (5, 'messages')) AS f(nth, name),
     LATERAL (SELECT value FROM plan_features AS p WHERE p.feature = f.name
              AND p.tier = CASE WHEN g % 10 < 7 THEN 'FREE' WHEN g % 10 < 9 THEN 'PRO' ELSE 'ENTERPRISE' END) AS l";

const KEYS: &str = "
ALTER TABLE profiles ADD PRIMARY KEY (id);
ALTER TABLE subscriptions ADD PRIMARY KEY (id), ADD UNIQUE (profile_id), ADD UNIQUE (stripe_customer_id), ADD UNIQUE (stripe_subscription_id);
ALTER TABLE rate_limits ADD UNIQUE (profile_id, feature);
GRANT SELECT ON profiles, subscriptions, rate_limits, plan_features TO nightdesk";

/// The runbook's near-limit query, word for word but for its alias, which is a reserved word.
const SEED: &str = "
SELECT s.profile_id, s.tier, r.feature, r.used,
       (SELECT value FROM plan_features WHERE tier = s.tier AND feature = r.feature) AS \"limit\"
FROM subscriptions s JOIN rate_limits r ON r.profile_id = s.profile_id
WHERE r.used >= (SELECT value FROM plan_features WHERE tier = s.tier AND feature = r.feature) * 0.8
ORDER BY r.used DESC";

struct System {
    cluster: Cluster,
    console: String,
}

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let profiles = std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(PROFILES);
    // The memory that a server of this size has; the sandbox's own is small.
    let settings = [("shared_buffers", "512MB"), ("max_wal_size", "4GB"), ("max_parallel_workers_per_gather", "2")];
    let options = ClusterOptions {
        max_connections: 40,
        parent: memory(),
        settings: settings.map(|(n, v)| (n.to_string(), v.to_string())).into(),
        ..ClusterOptions::default()
    };
    let executable = Path::new(env!("CARGO_BIN_EXE_nightdesk"));
    let cluster = Cluster::start(&options, executable).expect("a cluster");
    let roles = roles::create(&cluster).await.expect("roles");
    let system = System { console: roles.console.clone(), cluster };
    limits(&system, profiles).await;
    println!();
    println!("{:>10} {:<7} {:<34} {:>9} {:>6}  complete", "customers", "shape", "search", "ms", "hits");
    for plain in [false, true] {
        for customers in [FEW.min(profiles / 10), profiles] {
            searches(&system, customers, plain).await;
        }
    }
}

fn memory() -> Option<std::path::PathBuf> {
    Path::new("/dev/shm").exists().then(|| "/dev/shm".into())
}

impl System {
    /// A database with the first part of it filled.
    async fn database(&self, name: &str, profiles: u64, plain: bool) -> PgConnection {
        roles::create_database(&self.cluster, name, None).await.expect("a database");
        let mut admin = roles::superuser(&self.cluster, name).connect().await.expect("connected");
        let (columns, fill) = if plain {
            ("email varchar(320), name varchar(200)", "'user' || g || '@example' || g % 500 || '.com', 'Name' || g || ' Of' || g % 997")
        } else {
            (
                "data jsonb NOT NULL",
                "jsonb_build_object('email', 'user' || g || '@example' || g % 500 || '.com', 'name', 'Name' || g || ' Of' || g % 997)",
            )
        };
        let text = TABLES.replace("@PROFILE@", columns).replace("@FILL@", fill).replace("@N@", &profiles.to_string());
        run(&mut admin, &text).await;
        admin
    }

    fn open(&self, database: &str, workers: u8) -> Database {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("nightdesk.toml");
        std::fs::write(&file, format!("[quota]\nworkers = {workers}\ntimeout_s = 120\n")).expect("written");
        let url = self.cluster.url(roles::CONSOLE, &self.console, database);
        let config = Config::load(Some(&file), None, &|name| (name == "DATABASE_URL").then(|| url.clone())).expect("a configuration");
        Database::start(Arc::new(config)).expect("an address").expect("one is configured")
    }
}

async fn run(connection: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_string())).execute(connection).await.unwrap_or_else(|e| panic!("{text}: {e}"));
}

async fn limits(system: &System, profiles: u64) {
    let mut admin = system.database("limits", profiles, false).await;
    run(&mut admin, &COUNTERS.replace("@N@", &profiles.to_string())).await;
    run(&mut admin, KEYS).await;
    run(&mut admin, "VACUUM ANALYZE").await;
    println!("{profiles} profiles, {} counters", profiles * 5);
    run(&mut admin, "SET max_parallel_workers_per_gather = 0; SET jit = off").await;
    let seed = seed(&mut admin).await;
    println!("{:<46} {:>10.1} ms", "the runbook's query", ms(seed));
    run(&mut admin, "SET max_parallel_workers_per_gather = 2").await;
    println!("{:<46} {:>10.1} ms", "the same with two helpers", ms(self::seed(&mut admin).await));
    for (what, workers) in [("our first page, serially", 0), ("our first page, two helpers", 2)] {
        let database = system.open("limits", workers);
        let (took, by) = first_page(&database).await;
        assert_eq!(by, ServedBy::Tables);
        println!("{what:<46} {:>10.1} ms {:>8.1} times sooner", ms(took), seed.as_secs_f64() / took.as_secs_f64());
        let begun = Instant::now();
        let totals = Query::QuotaTotals { threshold: Threshold::default(), filter: QuotaFilter::default() };
        database.ask(totals).await.expect("totals");
        println!("{:<46} {:>10.1} ms", "  its totals", ms(begun.elapsed()));
        let begun = Instant::now();
        database.ask(Query::TierUsage(QuotaFilter::default())).await.expect("use by tier");
        println!("{:<46} {:>10.1} ms", "  use by tier", ms(begun.elapsed()));
        database.close().await;
    }
    let database = system.open("limits", 0);
    let ddl = database.quota_ddl().await.expect("the DDL");
    let own = &ddl[ddl.find("-- == A").expect("the first way")..ddl.find("-- == B").expect("the second")];
    let (body, after) = own.split_once("COMMIT;").expect("one transaction");
    let begun = Instant::now();
    run(&mut admin, &format!("{body}COMMIT;")).await;
    run(&mut admin, after).await;
    println!("{:<46} {:>10.1} ms", "the DDL, applied and filled", ms(begun.elapsed()));
    let (took, by) = first_page(&database).await;
    assert!(matches!(by, ServedBy::Watch(_)), "{by:?}");
    println!("{:<46} {:>10.1} ms {:>8.0} times sooner", "our first page, with the DDL", ms(took), seed.as_secs_f64() / took.as_secs_f64());
    let size: i64 = sqlx::query("SELECT pg_total_relation_size('quota_watch')").fetch_one(&mut admin).await.expect("a size").get(0);
    println!("{:<46} {:>10.1} MiB", "  its size", size as f64 / 1_048_576.0);
    database.close().await;
    admin.close().await.expect("closed");
}

async fn seed(admin: &mut PgConnection) -> Duration {
    let begun = Instant::now();
    // Counted where it is computed: rows on their way would be the client's time.
    let rows = format!("SELECT count(*) FROM ({SEED} OFFSET 0) AS all_of_them");
    sqlx::query(AssertSqlSafe(rows)).fetch_one(admin).await.expect("the runbook's query");
    begun.elapsed()
}

/// The median of some rounds, after one that warms up.
async fn first_page(database: &Database) -> (Duration, ServedBy) {
    let mut rounds = Vec::new();
    let mut by = ServedBy::Tables;
    for round in 0..=ROUNDS {
        let query = Query::NearLimit { threshold: Threshold::default(), filter: QuotaFilter::default(), after: None };
        let begun = Instant::now();
        let Reply::NearLimit(page) = database.ask(query).await.expect("a page") else { unreachable!("it answers what was asked") };
        if round > 0 {
            rounds.push(begun.elapsed());
        }
        assert!(!page.rows.is_empty());
        by = page.by;
    }
    rounds.sort();
    (rounds[ROUNDS / 2], by)
}

async fn searches(system: &System, customers: u64, plain: bool) {
    let name = format!("search_{customers}_{}", if plain { "plain" } else { "jsonb" });
    let mut admin = system.database(&name, customers, plain).await;
    run(&mut admin, KEYS).await;
    let of = |g: u64, expression: &str| format!("SELECT {}", expression.replace("@G@", &g.to_string()));
    let mut text =
        async |expression: String| -> String { sqlx::query(AssertSqlSafe(expression)).fetch_one(&mut admin).await.expect("a text").get(0) };
    let g = customers * 2 / 3;
    let customer = text(of(g, "'cus_' || substr(md5('c' || @G@), 1, 14)")).await;
    let subscription = text(of(g, "'sub_' || substr(md5('s' || @G@), 1, 14)")).await;
    let profile = text(of(g, "md5('p' || @G@)::uuid::text")).await;
    let email = format!("user{g}@example{}.com", g % 500);
    let index = if plain { "lower(email)" } else { "lower(data ->> 'email')" };
    let bare = if plain { "email" } else { "(data ->> 'email')" };
    run(&mut admin, "VACUUM ANALYZE").await;
    let shape = if plain { "plain" } else { "jsonb" };
    let rows = [
        ("a profile's id", profile.clone()),
        ("a customer's id", customer.clone()),
        ("a subscription's id", subscription),
        ("the beginning of a profile's id", profile[..8].to_string()),
        ("the beginning of a customer's id", customer[..10].to_string()),
        ("an address, no index", email.clone()),
        ("a piece of an address, no index", format!("{}@example", g % 100_000)),
        ("a name that nobody has, no index", "zzyzx".to_string()),
    ];
    for (what, term) in rows {
        search(system, &name, customers, shape, what, &term).await;
    }
    run(&mut admin, &format!("CREATE INDEX ON profiles ({bare}); ANALYZE profiles")).await;
    search(system, &name, customers, shape, "an address, index on it", &email).await;
    run(&mut admin, &format!("CREATE INDEX ON profiles ({index}); ANALYZE profiles")).await;
    search(system, &name, customers, shape, "an address, index on it in lower case", &email).await;
    admin.close().await.expect("closed");
}

async fn search(system: &System, database: &str, customers: u64, shape: &str, what: &str, term: &str) {
    let database = system.open(database, 0);
    let mut rounds = Vec::new();
    let (mut found, mut complete) = (0, true);
    for round in 0..=ROUNDS {
        let begun = Instant::now();
        let query = Query::FindInDatabase { needle: NeedleText(term.to_string()), limit: 20 };
        let Reply::Hits { hits, truncated } = database.ask(query).await.expect("hits") else { unreachable!("it answers what was asked") };
        if round > 0 {
            rounds.push(begun.elapsed());
        }
        (found, complete) = (hits.len(), !truncated);
    }
    rounds.sort();
    println!("{customers:>10} {shape:<7} {what:<34} {:>9.2} {found:>6}  {}", ms(rounds[ROUNDS / 2]), if complete { "yes" } else { "no" });
    database.close().await;
}

fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
