//! The sample application: its HTTP server, its pool, its manner, and its life (deployed, started, stopped, started again); it reads its
//! own database and no rule of the console's.

mod deploys;
mod entitlements;
mod log;
mod process;
mod resync;
mod statements;
mod usage;
mod webhook;

use std::io;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::postgres::PgConnectOptions;
use tokio::sync::Mutex as AsyncMutex;

use super::schema::Shape;
use log::Log;
use process::{Life, Shared};

pub use deploys::{Deploy, Flaw};

/// Longer than Stripe keeps its events.
const LOG_REACHES_BACK: TimeDelta = TimeDelta::days(40);

/// How the application answers when its webhook handler fails.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// 200 to everything: errors, no matching row, even a wrong signature.
    #[default]
    Swallowing,
    /// 400 to a wrong signature, 500 to a failure.
    Honest,
}

#[derive(Debug, Clone)]
pub struct AppOptions {
    /// How the application's own role connects.
    pub database: PgConnectOptions,
    pub shape: Shape,
    /// The path of the webhook endpoint, with its leading slash.
    pub webhook_path: String,
    pub webhook_secret: String,
    pub admin_token: String,
    /// Stripe's address, and the application's own key there.
    pub stripe_base: String,
    pub stripe_key: String,
    /// The JSON-lines log, appended to.
    pub log: PathBuf,
    /// Where deploys are recorded, as JSON lines.
    pub deploys: PathBuf,
    pub manner: Manner,
    /// Connections in the pool.
    pub pool: u32,
    /// The loopback port; 0 for any free one.
    pub port: u16,
}

/// What a process of the application is started with; a change takes effect with the next start.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    pub webhook_secret: String,
    /// The newest deploy: the version that the next process runs.
    pub deploy: Deploy,
    /// How long the webhook handler works on an event before it writes; the second for every other event. Normally none.
    pub handler_takes: Option<[Duration; 2]>,
    /// How far the clock of its machine is ahead of the time; negative: behind.
    pub clock_off: TimeDelta,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the sample application could not listen on a loopback port: {0}")]
    Listen(io::Error),
    #[error("the sample application could not open its log {}: {source}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("the sample application could not record a deploy in {}: {source}", path.display())]
    Deploys { path: PathBuf, source: io::Error },
    #[error("the sample application could not make its HTTP client: {0}")]
    Client(reqwest::Error),
}

/// An application, running or down; clones are the same one.
#[derive(Debug, Clone)]
pub struct App(Arc<Inner>);

/// Switches the manner of the application, of later processes too.
#[derive(Debug, Clone)]
pub struct MannerSwitch(Arc<AtomicBool>);

/// What became of an event that was handed over in the process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It was handled, or needed no handling.
    Handled,
    /// The handler failed, and has logged why.
    Failed,
    /// The signature was not accepted.
    Refused,
    /// Nobody was there.
    Down,
}

#[derive(Debug)]
struct Inner {
    options: AppOptions,
    address: SocketAddr,
    manner: MannerSwitch,
    settings: Mutex<Settings>,
    /// What the newest deploy replaced.
    replaced: Mutex<Option<Deploy>>,
    life: AsyncMutex<Life>,
}

impl App {
    /// Starts the application; its pool fills in the background.
    ///
    /// # Errors
    /// When the port, the log file or an HTTP client cannot be had.
    pub async fn start(options: AppOptions) -> Result<Self, AppError> {
        let seat = process::reserve(options.port).map_err(AppError::Listen)?;
        let address = seat.local_addr().map_err(AppError::Listen)?;
        let settings = Settings {
            webhook_secret: options.webhook_secret.clone(),
            deploy: deploys::first(),
            handler_takes: None,
            clock_off: TimeDelta::zero(),
        };
        let manner = MannerSwitch(Arc::new(AtomicBool::new(options.manner == Manner::Honest)));
        let life = AsyncMutex::new(Life::Down(seat));
        let app = Self(Arc::new(Inner { options, address, manner, settings: Mutex::new(settings), replaced: Mutex::default(), life }));
        deploys::record(&app.0.options.deploys, &app.settings().deploy)?;
        app.log_reaches_back()?;
        app.restart().await?;
        Ok(app)
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.0.address)
    }

    /// Where Stripe's events go.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("{}{}", self.base_url(), self.0.options.webhook_path)
    }

    #[must_use]
    pub fn manner(&self) -> MannerSwitch {
        self.0.manner.clone()
    }

    /// How the application's own role connects.
    #[must_use]
    pub fn database(&self) -> &PgConnectOptions {
        &self.0.options.database
    }

    /// The token of the admin API.
    #[must_use]
    pub fn admin_token(&self) -> &str {
        &self.0.options.admin_token
    }

    /// Where deploys are recorded.
    #[must_use]
    pub fn deploys(&self) -> &std::path::Path {
        &self.0.options.deploys
    }

    /// What the next process is started with.
    #[must_use]
    pub fn settings(&self) -> Settings {
        self.0.settings.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Changes what the next process is started with, as somebody edits a configuration: the running one keeps what it has.
    pub fn configure(&self, change: impl FnOnce(&mut Settings)) {
        change(&mut self.0.settings.lock().unwrap_or_else(PoisonError::into_inner));
    }

    /// What the running process was started with; `None` while it is down.
    pub async fn running(&self) -> Option<Settings> {
        self.process().await.map(|p| p.settings.clone())
    }

    /// Records a deploy and starts its version.
    ///
    /// # Errors
    /// When it cannot be recorded or started.
    pub async fn deploy(&self, deploy: Deploy) -> Result<(), AppError> {
        deploys::record(&self.0.options.deploys, &deploy)?;
        let replaced = std::mem::replace(&mut self.0.settings.lock().unwrap_or_else(PoisonError::into_inner).deploy, deploy);
        *self.replaced() = Some(replaced);
        self.restart().await
    }

    /// Deploys the version before the newest again; false where there is none. Only the newest deploy can be rolled back.
    ///
    /// # Errors
    /// As [`Self::deploy`].
    pub async fn roll_back(&self) -> Result<bool, AppError> {
        let Some(before) = self.replaced().take() else { return Ok(false) };
        let again = before.again(&self.settings().deploy, Utc::now());
        let done = self.deploy(again).await;
        *self.replaced() = None;
        done.map(|()| true)
    }

    /// Ends the process, if it runs, and starts one with the present settings on the same port: other connections, nothing remembered.
    ///
    /// # Errors
    /// When the port, the log file or an HTTP client cannot be had.
    pub async fn restart(&self) -> Result<(), AppError> {
        let mut life = self.0.life.lock().await;
        let seat = life.end(self.0.address).await.map_err(AppError::Listen)?;
        *life = Life::begin(&self.0, seat).await?;
        Ok(())
    }

    /// Ends the process. Its port is kept and refuses connections.
    ///
    /// # Errors
    /// When the port cannot be kept.
    pub async fn halt(&self) -> Result<(), AppError> {
        let mut life = self.0.life.lock().await;
        *life = Life::Down(life.end(self.0.address).await.map_err(AppError::Listen)?);
        Ok(())
    }

    /// The proxy in front no longer reaches what handles webhooks, and answers 502 in its place; everything else goes on.
    /// It lasts until the next start.
    pub async fn cut_webhooks(&self) {
        if let Some(process) = self.process().await {
            process.cut.store(true, Ordering::Relaxed);
        }
    }

    /// Hands an event, signed with `secret`, to the webhook as if it had been delivered at that moment, without HTTP: for days of traffic
    /// in seconds.
    pub async fn take(&self, event: &Value, secret: &str, at: DateTime<Utc>) -> Taken {
        match self.process().await {
            None => Taken::Down,
            Some(process) => webhook::knock(&process, event, secret, at).await,
        }
    }

    /// Stops listening, lets running requests finish for at most a second, closes the pool.
    pub async fn stop(&self) {
        let mut life = self.0.life.lock().await;
        let _ = life.end(self.0.address).await;
    }

    /// The log begins when the version that runs did, as logs do: else nothing that is not in it could be said to be missing there.
    fn log_reaches_back(&self) -> Result<(), AppError> {
        let path = &self.0.options.log;
        let log = Log::open(path, self.settings().deploy.version).map_err(|source| AppError::Log { path: path.clone(), source })?;
        log.write(Utc::now() - LOG_REACHES_BACK, 30, "Server listening", &json!({ "port": self.0.address.port() }));
        Ok(())
    }

    fn replaced(&self) -> MutexGuard<'_, Option<Deploy>> {
        self.0.replaced.lock().unwrap_or_else(PoisonError::into_inner)
    }

    async fn process(&self) -> Option<Arc<Shared>> {
        self.0.life.lock().await.shared()
    }
}

impl MannerSwitch {
    #[must_use]
    pub fn get(&self) -> Manner {
        if self.0.load(Ordering::Relaxed) { Manner::Honest } else { Manner::Swallowing }
    }

    pub fn set(&self, manner: Manner) {
        self.0.store(manner == Manner::Honest, Ordering::Relaxed);
    }
}
