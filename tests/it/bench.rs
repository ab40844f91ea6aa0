//! The test bench: one cluster per test binary, a seeded template per shape, a database, simulator and application per test.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, LazyLock, Mutex, OnceLock};
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use hmac::{Hmac, KeyInit, Mac};
use nightdesk::sandbox::app::{App, AppOptions, Manner};
use nightdesk::sandbox::cluster::{Cluster, ClusterOptions, SUPERUSER};
use nightdesk::sandbox::incidents::{Expected, Ground, Incident, Label};
use nightdesk::sandbox::population::Population;
use nightdesk::sandbox::reference;
use nightdesk::sandbox::schema::roles::{self, Roles};
use nightdesk::sandbox::schema::{self, Shape};
use nightdesk::sandbox::stripe::{Simulator, SimulatorOptions};
use serde_json::Value;
use sha2::Sha256;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::{ConnectOptions, PgPool};
use tokio::sync::OnceCell;

/// What a test asks for; the default is the usual shape, 300 customers, a swallowing application.
#[derive(Debug, Clone)]
pub struct Options {
    pub shape: Shape,
    pub customers: u64,
    pub manner: Manner,
}

impl Default for Options {
    fn default() -> Self {
        Self { shape: Shape::default(), customers: 300, manner: Manner::Swallowing }
    }
}

/// A whole system of the test's own: nothing another test does shows here, except on the shared cluster's activity.
pub struct Bench {
    pub shape: Shape,
    pub population: Arc<Population>,
    pub database: String,
    pub app: App,
    /// Made by the test's own population; delivers nothing by itself until told to.
    pub simulator: Simulator,
    /// Incidents over this bench's database and simulator.
    pub ground: Ground,
    pub log: PathBuf,
    pub admin_token: String,
    pub webhook_secret: String,
    /// As the superuser: sees and may do everything.
    pub admin: PgPool,
    _dropped: DropDatabase,
}

/// The incidents that leave behind customers who paid and are still FREE.
pub const PAID_FOR: [Incident; 2] = [Incident::MissedWebhooks, Incident::PlaceholderCustomers];

/// A label about somebody's row, with what is in it at hand.
#[derive(Debug, Clone)]
pub struct Payer {
    pub label: Label,
    pub number: u64,
    pub profile: String,
    pub event: String,
    pub expected: Expected,
}

static CLUSTER: OnceCell<(Cluster, Roles)> = OnceCell::const_new();
static BORN: OnceLock<DateTime<Utc>> = OnceLock::new();
type Templates = HashMap<(Shape, u64), Arc<OnceCell<String>>>;
static TEMPLATES: LazyLock<Mutex<Templates>> = LazyLock::new(Mutex::default);

/// The binary under test, which is also its own supervisor.
pub fn executable() -> &'static Path {
    Path::new(env!("CARGO_BIN_EXE_nightdesk"))
}

/// The cluster all tests share, and the passwords of its roles.
pub async fn cluster() -> &'static (Cluster, Roles) {
    CLUSTER
        .get_or_init(|| async {
            let options = ClusterOptions { max_connections: 400, parent: Some(home()), ..ClusterOptions::default() };
            let cluster = tokio::task::spawn_blocking(move || Cluster::start(&options, executable())).await.unwrap().unwrap();
            let roles = roles::create(&cluster).await.unwrap();
            (cluster, roles)
        })
        .await
}

/// Where clusters of tests live: in memory, if there is room, because each database is some hundred small files.
pub fn home() -> PathBuf {
    memory().unwrap_or_else(std::env::temp_dir)
}

fn memory() -> Option<PathBuf> {
    let shm = PathBuf::from("/dev/shm");
    let facts = nix::sys::statvfs::statvfs(&shm).ok()?;
    let free = u128::from(facts.blocks_available()) * u128::from(facts.fragment_size());
    (free > 4 << 30).then_some(shm)
}

/// A new database with the sample application's tables, filled; the name, and what drops it.
pub async fn database(shape: Shape, customers: u64) -> (String, DropDatabase, Arc<Population>) {
    let (cluster, _) = cluster().await;
    let born = *BORN.get_or_init(Utc::now);
    let population = Arc::new(Population::new(42, customers, born));
    let cell = Arc::clone(TEMPLATES.lock().unwrap().entry((shape, customers)).or_default());
    let template = cell
        .get_or_init(|| async {
            let name = fresh("template");
            roles::create_database(cluster, &name, None).await.unwrap();
            schema::create(&roles::superuser(cluster, &name), shape, &population).await.unwrap();
            name
        })
        .await;
    let name = fresh("test");
    roles::create_database(cluster, &name, Some(template)).await.unwrap();
    (name.clone(), DropDatabase(name), population)
}

impl Bench {
    pub async fn start(options: Options) -> Self {
        let (cluster, _) = cluster().await;
        let (database, dropped, population) = database(options.shape, options.customers).await;
        let log = cluster.directory().join(format!("{database}.log"));
        let simulator = Simulator::start(SimulatorOptions::new(Arc::clone(&population))).await.unwrap();
        simulator.set_profile_reference(reference(options.shape));
        let (admin_token, webhook_secret) = (fresh("token"), simulator.webhook_secret());
        let app = App::start(AppOptions {
            database: app_role(&database).await,
            shape: options.shape,
            webhook_path: "/webhooks/stripe".into(),
            webhook_secret: webhook_secret.clone(),
            admin_token: admin_token.clone(),
            stripe_base: simulator.base_url(),
            stripe_key: simulator.restricted_key(&["rak_subscription_read"]),
            log: log.clone(),
            deploys: log.with_extension("deploys"),
            manner: options.manner,
            pool: 10,
            port: 0,
        })
        .await
        .unwrap();
        simulator.set_webhook_url(app.webhook_url());
        let admin = PgPoolOptions::new().max_connections(3).connect_lazy_with(roles::superuser(cluster, &database));
        let ground = Ground::new(admin.clone(), options.shape, Arc::clone(&population), simulator.clone(), app.clone());
        Self {
            shape: options.shape,
            population,
            database,
            app,
            simulator,
            ground,
            log,
            admin_token,
            webhook_secret,
            admin,
            _dropped: dropped,
        }
    }

    /// Lets an incident happen whose labels are all about somebody's row.
    pub async fn strike(&self, incident: Incident, count: usize) -> Vec<Payer> {
        let labels = self.ground.strike(incident, count).await.expect("there are enough");
        labels.into_iter().map(Payer::of).collect()
    }

    /// What the application enforces for a profile, from its admin API.
    pub async fn entitlements(&self, profile: &str) -> Value {
        let url = format!("{}/admin/licensing/entitlements/{profile}", self.app.base_url());
        http().get(url).bearer_auth(&self.admin_token).send().await.unwrap().json().await.unwrap()
    }

    /// Sends an event to the application as Stripe does, signed with `secret`.
    pub async fn send_event(&self, event: &Value, secret: &str) -> reqwest::Response {
        let body = event.to_string();
        let header = signature(secret, Utc::now().timestamp(), body.as_bytes());
        http().post(self.app.webhook_url()).header("stripe-signature", header).body(body).send().await.unwrap()
    }

    /// What `nightdesk sandbox --serve` would export, except for the sandbox's own server: for the console and its binary.
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let (cluster, roles) = CLUSTER.get().expect("a bench was started");
        let mut out = vec![
            ("DATABASE_URL", cluster.url(roles::CONSOLE, &roles.console, &self.database)),
            ("ADMIN_DATABASE_URL", cluster.url(SUPERUSER, &roles.superuser, &self.database)),
            ("STRIPE_API_BASE", self.simulator.base_url()),
            ("STRIPE_SECRET_KEY", self.simulator.secret_key()),
            ("STRIPE_WEBHOOK_SECRET", self.webhook_secret.clone()),
            ("APP_URL", self.app.base_url()),
            ("APP_WEBHOOK_URL", self.app.webhook_url()),
            ("APP_ADMIN_TOKEN", self.admin_token.clone()),
            ("APP_LOG", self.log.to_string_lossy().into_owned()),
        ];
        if let Some(map) = self.shape.console_map() {
            let path = self.log.with_extension("toml");
            std::fs::write(&path, map).unwrap();
            out.push(("NIGHTDESK_CONFIG", path.to_string_lossy().into_owned()));
        }
        out
    }

    /// One of [`Self::environment`].
    pub fn variable(&self, name: &str) -> String {
        self.environment().into_iter().find(|(n, _)| *n == name).unwrap_or_else(|| panic!("{name} is exported")).1
    }
}

impl Payer {
    pub fn of(label: Label) -> Self {
        let subject = label.subject.clone();
        let expected = label.expected().expect("a label about a row").clone();
        let event = subject.event.expect("an event");
        Self { number: subject.number.expect("a person"), profile: subject.profile.expect("a profile"), event, expected, label }
    }
}

impl std::ops::Deref for Payer {
    type Target = Label;

    fn deref(&self) -> &Label {
        &self.label
    }
}

/// A client for plain HTTP on loopback.
pub fn http() -> reqwest::Client {
    // Needed even where nothing is encrypted; another test may have been first.
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::builder().no_proxy().build().unwrap()
}

/// Stripe's signature header.
pub fn signature(secret: &str, at: i64, body: &[u8]) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(format!("{at}.").as_bytes());
    mac.update(body);
    format!("t={at},v1={}", hex::encode(mac.finalize().into_bytes()))
}

/// How the sample application connects to a database.
pub async fn app_role(database: &str) -> PgConnectOptions {
    let (cluster, roles) = cluster().await;
    cluster.url(roles::APP, &roles.app, database).parse().unwrap()
}

/// Polls until it holds; fails the test with `what` after half a minute, which is far more than anything needs on a machine of its own.
pub async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let patience = Instant::now() + Duration::from_secs(30);
    while !holds().await {
        assert!(Instant::now() < patience, "not within half a minute: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn fresh(what: &str) -> String {
    format!("{what}_{}", uuid::Uuid::new_v4().simple())
}

/// Drops its database when the test ends, however it ends; nobody waits for it.
pub struct DropDatabase(String);

impl Drop for DropDatabase {
    fn drop(&mut self) {
        let Some((cluster, _)) = CLUSTER.get() else { return };
        let (options, name) = (roles::superuser(cluster, "postgres"), self.0.clone());
        // The test's own runtime is on its way out.
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            runtime.block_on(async {
                if let Ok(mut connection) = options.connect().await {
                    let sql = sqlx::AssertSqlSafe(format!("DROP DATABASE IF EXISTS {name} WITH (FORCE)"));
                    let _ = sqlx::raw_sql(sql).execute(&mut connection).await;
                }
            });
        });
    }
}
