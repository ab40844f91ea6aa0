//! A product of a million customers for the benches that need one: its tables, its keys, and the console's way to them.

use nightdesk::config::Config;
use nightdesk::gateway::postgres::Database;
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions};
use nightdesk::sandbox::schema::roles;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

pub const PROFILES: u64 = 1_000_000;
/// Every figure is the median of so many rounds, after one that warms up.
pub const ROUNDS: usize = 5;

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
INSERT INTO subscriptions (id, profile_id, stripe_customer_id, stripe_subscription_id, tier, current_period_start, current_period_end)
    SELECT g, md5('p' || g)::uuid, 'cus_' || substr(md5('c' || g), 1, 14), 'sub_' || substr(md5('s' || g), 1, 14),
           CASE WHEN g % 10 < 7 THEN 'FREE' WHEN g % 10 < 9 THEN 'PRO' ELSE 'ENTERPRISE' END,
           current_date - 10, current_date + 20 FROM generate_series(1, @N@) AS g";

/// Keys and grants, made once the tables are full.
pub const KEYS: &str = "
ALTER TABLE profiles ADD PRIMARY KEY (id);
ALTER TABLE subscriptions ADD PRIMARY KEY (id), ADD UNIQUE (profile_id), ADD UNIQUE (stripe_customer_id), ADD UNIQUE (stripe_subscription_id);
ALTER TABLE rate_limits ADD UNIQUE (profile_id, feature);
GRANT SELECT ON profiles, subscriptions, rate_limits, plan_features TO nightdesk";

pub struct System {
    cluster: Cluster,
    console: String,
}

impl System {
    pub async fn start() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        // The memory that a server of this size has; the sandbox's own is small.
        let settings = [("shared_buffers", "512MB"), ("max_wal_size", "4GB"), ("max_parallel_workers_per_gather", "2")];
        let options = ClusterOptions {
            max_connections: 40,
            parent: Path::new("/dev/shm").exists().then(|| "/dev/shm".into()),
            settings: settings.map(|(n, v)| (n.to_string(), v.to_string())).into(),
            ..ClusterOptions::default()
        };
        let cluster = Cluster::start(&options, Path::new(env!("CARGO_BIN_EXE_nightdesk"))).expect("a cluster");
        let roles = roles::create(&cluster).await.expect("roles");
        Self { console: roles.console, cluster }
    }

    /// A database with profiles and subscriptions, without keys.
    pub async fn database(&self, name: &str, profiles: u64, plain: bool) -> PgConnection {
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

    pub fn open(&self, database: &str, workers: u8) -> Database {
        let place = tempfile::tempdir().expect("a directory");
        let file = place.path().join("nightdesk.toml");
        std::fs::write(&file, format!("[quota]\nworkers = {workers}\ntimeout_s = 120\n")).expect("written");
        let url = self.cluster.url(roles::CONSOLE, &self.console, database);
        let config = Config::load(Some(&file), None, &|name| (name == "DATABASE_URL").then(|| url.clone())).expect("a configuration");
        Database::start(Arc::new(config)).expect("an address").expect("one is configured")
    }
}

pub async fn run(connection: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_string())).execute(connection).await.unwrap_or_else(|e| panic!("{text}: {e}"));
}

/// The first number among the arguments, or a million.
pub fn profiles() -> u64 {
    std::env::args().filter_map(|a| a.parse().ok()).next().unwrap_or(PROFILES)
}

pub fn shape(plain: bool) -> &'static str {
    if plain { "plain" } else { "jsonb" }
}

pub fn median(mut rounds: Vec<Duration>) -> Duration {
    rounds.sort();
    rounds[rounds.len() / 2]
}

pub fn ms(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1000.0
}
