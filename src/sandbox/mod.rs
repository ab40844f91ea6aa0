//! A whole system to practise and test on: a Postgres cluster, a Stripe simulator, a sample application, incidents.
//!
//! It shares no rule with the console: what it breaks is labelled here, by what broke it, and the console must find it.

pub mod app;
pub mod cluster;
mod control;
pub mod incidents;
pub mod mirror;
pub mod population;
pub mod schema;
pub mod stripe;
pub mod watch;

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use chrono::Utc;
use rand::distr::{Alphanumeric, SampleString};
use sqlx::postgres::PgPoolOptions;

use app::{App, AppError, AppOptions, Manner};
use cluster::{Cluster, ClusterError, ClusterOptions, SUPERUSER};
use control::Control;
use incidents::{Ground, House, Incident, IncidentError};
use mirror::Mirror;
use population::Population;
use schema::roles::{self, Roles};
use schema::{Naming, Shape};
use stripe::{Limits, ProfileReference, Schedule, Simulator, SimulatorOptions};
use watch::{Sessions, Watch};

/// The database of the sample application.
const DATABASE: &str = "app";
/// The application's log, beside the cluster.
const LOG: &str = "app.log";

/// What a sandbox is made of.
#[derive(Debug, Clone)]
pub struct SandboxOptions {
    pub seed: u64,
    pub customers: u64,
    pub shape: Shape,
    pub max_connections: u16,
    pub manner: Manner,
    /// Incidents to start with in full.
    pub incidents: Vec<Incident>,
    /// A mirror of Stripe in the application's database, of this layout.
    pub mirror: Option<mirror::Layout>,
    /// Whether a few of the others happen anyway, as in an ordinary start.
    pub background: bool,
    /// What the console calls this environment. Without it the console's own default, which several sandboxes would share.
    pub environment: Option<String>,
    /// Whose journal it is, whatever the variables of whoever starts a console say.
    pub operator: Option<String>,
}

impl Default for SandboxOptions {
    fn default() -> Self {
        Self {
            seed: 42,
            customers: 2_000,
            shape: Shape::default(),
            max_connections: 100,
            manner: Manner::default(),
            incidents: Vec::new(),
            mirror: None,
            background: true,
            environment: None,
            operator: None,
        }
    }
}

#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    #[error(transparent)]
    Cluster(#[from] ClusterError),
    #[error("the sandbox's database could not be filled: {0}")]
    Database(#[from] sqlx::Error),
    #[error("the Stripe simulator could not listen on a loopback port: {0}")]
    Simulator(io::Error),
    #[error(transparent)]
    App(#[from] AppError),
    #[error("the sandbox's own server could not listen on a loopback port: {0}")]
    Control(io::Error),
    #[error("{} could not be written: {source}", path.display())]
    Config { path: PathBuf, source: io::Error },
    #[error("the path of this program could not be found: {0}")]
    Executable(io::Error),
    #[error(transparent)]
    Incident(#[from] IncidentError),
}

/// A running sandbox. Dropping it ends the cluster too, a little later.
pub struct Sandbox {
    cluster: Cluster,
    simulator: Simulator,
    app: App,
    /// All but the address of the sandbox's own server.
    environment: Vec<(&'static str, String)>,
    ground: Arc<Ground>,
    control: Control,
    mirror: Option<Arc<Mirror>>,
}

impl Sandbox {
    /// Starts everything; `executable` is the binary that can be the cluster's supervisor, normally the running one.
    ///
    /// # Errors
    /// When a part does not start. The cluster, if it was started, ends again.
    pub async fn start(options: SandboxOptions, executable: PathBuf) -> Result<Self, SandboxError> {
        let population = Arc::new(Population::new(options.seed, options.customers, Utc::now()));
        let settings = ClusterOptions { max_connections: options.max_connections, ..ClusterOptions::default() };
        let supervisor = executable.clone();
        let cluster = tokio::task::spawn_blocking(move || Cluster::start(&settings, &supervisor))
            .await
            .map_err(|e| ClusterError::Start(e.to_string()))??;
        let roles = roles::create(&cluster).await?;
        roles::adopt_database(&cluster, DATABASE).await?;
        let superuser = roles::superuser(&cluster, DATABASE);
        schema::create(&superuser, options.shape, &population).await?;

        let simulator = Simulator::start(SimulatorOptions::new(Arc::clone(&population))).await.map_err(SandboxError::Simulator)?;
        simulator.set_profile_reference(reference(options.shape));
        // The console must live with the limits it will meet, and events with the retries of live mode.
        simulator.set_limits(Limits::live_mode());
        simulator.set_retry_schedule(Schedule::Live);
        let admin_token = Alphanumeric.sample_string(&mut rand::rng(), 32);
        let app = App::start(AppOptions {
            database: cluster.url(roles::APP, &roles.app, DATABASE).parse()?,
            shape: options.shape,
            webhook_path: "/webhooks/stripe".into(),
            webhook_secret: simulator.webhook_secret(),
            admin_token,
            stripe_base: simulator.base_url(),
            stripe_key: simulator.named_key("application", Some(&["rak_subscription_read"])),
            log: cluster.directory().join(LOG),
            deploys: cluster.directory().join("deploys.jsonl"),
            manner: options.manner,
            pool: 10,
            port: 0,
        })
        .await?;
        simulator.set_webhook_url(app.webhook_url());

        let pool = PgPoolOptions::new().max_connections(2).connect_lazy_with(superuser);
        let born = population.born();
        let ground = Arc::new(Ground::new(pool, options.shape, population, simulator.clone(), app.clone()));
        let config = console_config(&cluster, &options)?;
        let environment = variables(&cluster, &roles, &simulator, &app, &config);
        ground.settle(House { executable, environment: environment.clone(), restarter: cluster.restarter() });
        for incident in Incident::ALL.iter().copied() {
            let count = match options.incidents.contains(&incident) {
                true => incident.usual(),
                false if options.background => incident.background(),
                false => 0,
            };
            if count > 0 {
                ground.strike_at(incident, count, born).await?;
            }
        }
        // From here on Stripe behaves as Stripe does.
        simulator.set_deliveries(true);
        let mirror = match options.mirror {
            Some(layout) => {
                let superuser = roles::superuser(&cluster, DATABASE);
                Some(Arc::new(Mirror::start(superuser, layout, simulator.clone(), ground.population()).await?))
            }
            None => None,
        };
        let control =
            Control::start(Arc::clone(&ground), cluster.version().to_string(), mirror.clone()).await.map_err(SandboxError::Control)?;
        add_hooks(&config, &control, &app)?;
        Ok(Self { cluster, simulator, app, environment, ground, control, mirror })
    }

    /// What the console and other programs need to know, as environment variables.
    #[must_use]
    pub fn environment(&self) -> Vec<(&'static str, String)> {
        let mut out = self.environment.clone();
        out.push(("NIGHTDESK_SANDBOX_URL", self.control.base_url()));
        out.push(("SANDBOX_REQUESTS_URL", format!("{}/requests", self.control.base_url())));
        out
    }

    /// The incidents and what they did.
    #[must_use]
    pub fn ground(&self) -> &Arc<Ground> {
        &self.ground
    }

    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        &self.cluster
    }

    #[must_use]
    pub fn simulator(&self) -> &Simulator {
        &self.simulator
    }

    #[must_use]
    pub fn app(&self) -> &App {
        &self.app
    }

    /// From here on the database records who writes what, and the server's log is read for sessions that are ended.
    ///
    /// # Errors
    /// The database's.
    pub async fn watch(&self) -> Result<(Watch, Sessions), SandboxError> {
        let watch = Watch::install(roles::superuser(&self.cluster, DATABASE)).await?;
        Ok((watch, Sessions::new(self.cluster.directory().join("postgres.log"))))
    }

    /// Stops everything and waits until nothing is left.
    pub async fn stop(self) {
        self.control.stop();
        if let Some(mirror) = &self.mirror {
            mirror.stop();
        }
        self.simulator.stop().await;
        self.app.stop().await;
        self.ground.close().await;
        let cluster = self.cluster;
        let _ = tokio::task::spawn_blocking(move || cluster.stop()).await;
    }
}

/// How Stripe's objects name a profile of this database.
#[must_use]
pub fn reference(shape: Shape) -> ProfileReference {
    match shape.naming {
        Naming::Usual => ProfileReference::Uuid,
        Naming::Renamed => ProfileReference::Serial,
    }
}

fn variables(cluster: &Cluster, roles: &Roles, simulator: &Simulator, app: &App, config: &Path) -> Vec<(&'static str, String)> {
    let path = |path: &Path| path.to_string_lossy().into_owned();
    vec![
        ("DATABASE_URL", cluster.url(roles::CONSOLE, &roles.console, DATABASE)),
        ("ADMIN_DATABASE_URL", cluster.url(SUPERUSER, &roles.superuser, DATABASE)),
        ("STRIPE_API_BASE", simulator.base_url()),
        ("STRIPE_SECRET_KEY", simulator.secret_key()),
        ("STRIPE_WEBHOOK_SECRET", simulator.webhook_secret()),
        ("APP_URL", app.base_url()),
        ("APP_WEBHOOK_URL", app.webhook_url()),
        ("APP_ADMIN_TOKEN", app.admin_token().to_string()),
        ("APP_LOG", path(&cluster.directory().join(LOG))),
        ("APP_DEPLOYS", path(app.deploys())),
        ("NIGHTDESK_CONFIG", path(config)),
    ]
}

/// The console's configuration: what policy allows here, the environment's name where it has one, the schema's map where it needs one;
/// beside the cluster, so that it goes when the cluster goes. For a console within it says whose journal it is, too: that one does not ask
/// the caller's variables, which would.
fn console_config(cluster: &Cluster, options: &SandboxOptions) -> Result<PathBuf, SandboxError> {
    let operator = options.operator.as_ref().map(|who| format!("operator = {}\n", toml::Value::from(who.as_str()))).unwrap_or_default();
    let name = options.environment.as_ref().map(|name| format!("[env.{name}]\n{operator}\n"));
    // Nobody's endpoint is harmed here.
    let policy = "[policy]\nsigned_probe = true\ndeliver = true\n\n".to_string();
    let text: String = name.into_iter().chain([policy]).chain(options.shape.console_map()).collect();
    let path = cluster.directory().join("nightdesk.toml");
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
    write_config(&path, file, &text)?;
    Ok(path)
}

/// What an operator has commands for: to restart the application, and to list what was deployed.
fn add_hooks(config: &Path, control: &Control, app: &App) -> Result<(), SandboxError> {
    let restart = ["curl", "-fsS", "-X", "POST", &format!("{}/app/restart", control.base_url())].map(String::from);
    let deploys = ["cat", &app.deploys().to_string_lossy()].map(String::from);
    let text =
        format!("\n[hooks]\nrestart_app = {}\ndeploys = {}\n", toml::Value::from(restart.to_vec()), toml::Value::from(deploys.to_vec()));
    write_config(config, OpenOptions::new().append(true).open(config), &text)
}

fn write_config(path: &Path, file: io::Result<File>, text: &str) -> Result<(), SandboxError> {
    let written = file.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|source| SandboxError::Config { path: path.to_path_buf(), source })
}
