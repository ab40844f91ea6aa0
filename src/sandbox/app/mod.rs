//! The sample application: its HTTP server, its pool, its manner; it reads its own database and no rule of the console's.

mod entitlements;
mod log;
mod resync;
mod statements;
mod usage;
mod webhook;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::schema::Shape;
use log::Log;
use statements::Statements;

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
    pub manner: Manner,
    /// Connections in the pool.
    pub pool: u32,
    /// The loopback port; 0 for any free one.
    pub port: u16,
}

#[derive(Debug, thiserror::Error)]
pub enum AppError {
    #[error("the sample application could not listen on a loopback port: {0}")]
    Listen(io::Error),
    #[error("the sample application could not open its log {}: {source}", path.display())]
    Log { path: PathBuf, source: io::Error },
    #[error("the sample application could not make its HTTP client: {0}")]
    Client(reqwest::Error),
}

/// A running application.
#[derive(Debug)]
pub struct App {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: CancellationToken,
    server: JoinHandle<()>,
}

/// Switches the manner of a running application.
#[derive(Debug, Clone)]
pub struct MannerSwitch(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    pool: PgPool,
    shape: Shape,
    statements: Statements,
    webhook_path: String,
    webhook_secret: String,
    admin_token: String,
    stripe: Stripe,
    log: Log,
    honest: AtomicBool,
}

/// The way to Stripe.
#[derive(Debug)]
struct Stripe {
    http: reqwest::Client,
    base: String,
    key: String,
}

impl App {
    /// Starts the application; its pool fills in the background.
    ///
    /// # Errors
    /// When the port, the log file or an HTTP client cannot be had.
    pub async fn start(options: AppOptions) -> Result<Self, AppError> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, options.port)).await.map_err(AppError::Listen)?;
        let address = listener.local_addr().map_err(AppError::Listen)?;
        let log = Log::open(&options.log).map_err(|source| AppError::Log { path: options.log.clone(), source })?;
        let pool = PgPoolOptions::new()
            .max_connections(options.pool)
            .min_connections(2.min(options.pool))
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.database.application_name("api"));
        // Its first user in a process may be us.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(8)).build().map_err(AppError::Client)?;
        let shared = Arc::new(Shared {
            pool,
            shape: options.shape,
            statements: Statements::new(options.shape),
            webhook_path: options.webhook_path,
            webhook_secret: options.webhook_secret,
            admin_token: options.admin_token,
            stripe: Stripe { http, base: options.stripe_base, key: options.stripe_key },
            log,
            honest: AtomicBool::new(options.manner == Manner::Honest),
        });
        let stop = CancellationToken::new();
        let service = router(&shared);
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            // An accept that fails is retried inside; there is nobody to tell of anything else.
            let _ = axum::serve(listener, service).with_graceful_shutdown(stopped).await;
        });
        shared.log.info("Server listening", &json!({ "port": address.port() }));
        Ok(Self { shared, address, stop, server })
    }

    /// `http://127.0.0.1:PORT`.
    #[must_use]
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Where Stripe's events go.
    #[must_use]
    pub fn webhook_url(&self) -> String {
        format!("{}{}", self.base_url(), self.shared.webhook_path)
    }

    /// The loopback port, with which the application can be started again after a stop.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.address.port()
    }

    #[must_use]
    pub fn manner(&self) -> MannerSwitch {
        MannerSwitch(Arc::clone(&self.shared))
    }

    /// Stops listening, lets running requests finish for at most a second, closes the pool.
    pub async fn stop(mut self) {
        self.stop.cancel();
        if tokio::time::timeout(Duration::from_secs(1), &mut self.server).await.is_err() {
            self.server.abort();
        }
        let _ = tokio::time::timeout(Duration::from_secs(1), self.shared.pool.close()).await;
    }
}

impl MannerSwitch {
    #[must_use]
    pub fn get(&self) -> Manner {
        self.0.manner()
    }

    pub fn set(&self, manner: Manner) {
        self.0.honest.store(manner == Manner::Honest, Ordering::Relaxed);
    }
}

impl Shared {
    fn manner(&self) -> Manner {
        if self.honest.load(Ordering::Relaxed) { Manner::Honest } else { Manner::Swallowing }
    }

    /// Writes what the database said as the application's driver would put it.
    fn log_database(&self, message: &str, error: &sqlx::Error, mut about: Value) {
        let (kind, text) = match error {
            sqlx::Error::PoolTimedOut => ("Error", "timeout exceeded when trying to connect".to_string()),
            sqlx::Error::Database(error) => ("DatabaseError", error.message().to_string()),
            other => ("Error", other.to_string()),
        };
        if matches!(error, sqlx::Error::PoolTimedOut) {
            self.log.error("connection pool exhausted", &json!({ "max": self.pool.options().get_max_connections() }));
        }
        about["err"] = json!({ "type": kind, "message": text });
        self.log.error(message, &about);
    }
}

fn router(shared: &Arc<Shared>) -> Router {
    Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/ready", get(ready))
        .route(&shared.webhook_path, post(webhook::receive))
        .route("/admin/licensing/entitlements/{profile_id}", get(entitlements::show))
        .route("/admin/licensing/entitlements/{profile_id}/reset", post(entitlements::reset))
        .route("/admin/licensing/resync/{profile_id}", post(resync::resync))
        .route("/v1/usage/{feature}", post(usage::count))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, json!({ "ok": false, "error": "Not found" })) })
        .with_state(Arc::clone(shared))
}

/// Whether a request to the admin API carries its token.
fn authorized(shared: &Shared, headers: &HeaderMap) -> bool {
    let token = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    token == Some(shared.admin_token.as_str())
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match sqlx::query("SELECT 1").execute(&shared.pool).await {
        Ok(_) => answer(StatusCode::OK, json!({ "status": "ready" })),
        Err(error) => {
            shared.log_database("Readiness check failed", &error, json!({}));
            answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "unavailable" }))
        }
    }
}

fn answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}
