//! One process of the sample application, from its start to its end: listener, pool, routes; what it is started with is decided elsewhere.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize};
use std::time::Duration;

use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::{any, get, post};
use axum::{Json, Router};
use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use sqlx::PgPool;
use sqlx::postgres::PgPoolOptions;
use tokio::net::TcpSocket;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::log::Log;
use super::statements::Statements;
use super::{AppError, Inner, Manner, MannerSwitch, Settings, entitlements, resync, usage, webhook};
use crate::sandbox::schema::Shape;

/// Connections that wait to be accepted.
const BACKLOG: u32 = 1_024;

/// What the handlers of one process share.
#[derive(Debug)]
pub(super) struct Shared {
    pub pool: PgPool,
    pub shape: Shape,
    pub statements: Statements,
    pub settings: Settings,
    pub admin_token: String,
    pub stripe: Stripe,
    pub log: Log,
    /// The proxy in front answers webhooks itself.
    pub cut: AtomicBool,
    /// Events counted as they come in.
    pub received: AtomicUsize,
    manner: MannerSwitch,
}

/// The way to Stripe.
#[derive(Debug)]
pub(super) struct Stripe {
    pub http: reqwest::Client,
    pub base: String,
    pub key: String,
}

/// Whether there is a process.
#[derive(Debug)]
pub(super) enum Life {
    Up {
        shared: Arc<Shared>,
        stop: CancellationToken,
        server: JoinHandle<()>,
    },
    /// The port is bound, so that nobody else gets it, and not listened on: connections are refused.
    Down(TcpSocket),
    /// Gone for good, or in between.
    Gone,
}

/// Binds a loopback port without listening.
pub(super) fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind((Ipv4Addr::LOCALHOST, port).into())?;
    Ok(socket)
}

impl Life {
    pub async fn begin(app: &Inner, seat: TcpSocket) -> Result<Self, AppError> {
        let options = &app.options;
        let settings = app.settings.lock().unwrap_or_else(std::sync::PoisonError::into_inner).clone();
        let log = Log::open(&options.log, settings.deploy.version).map_err(|source| AppError::Log { path: options.log.clone(), source })?;
        let pool = PgPoolOptions::new()
            .max_connections(options.pool)
            .min_connections(2.min(options.pool))
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(options.database.clone().application_name("api"));
        // Its first user in a process may be us.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let http = reqwest::Client::builder().no_proxy().timeout(Duration::from_secs(8)).build().map_err(AppError::Client)?;
        let shared = Arc::new(Shared {
            pool,
            shape: options.shape,
            statements: Statements::new(options.shape),
            settings,
            admin_token: options.admin_token.clone(),
            stripe: Stripe { http, base: options.stripe_base.clone(), key: options.stripe_key.clone() },
            log,
            cut: AtomicBool::new(false),
            received: AtomicUsize::new(0),
            manner: app.manner.clone(),
        });
        let listener = seat.listen(BACKLOG).map_err(AppError::Listen)?;
        let stop = CancellationToken::new();
        let service = router(&shared, &options.webhook_path);
        let stopped = stop.clone().cancelled_owned();
        let server = tokio::spawn(async move {
            // An accept that fails is retried inside; there is nobody to tell of anything else.
            let _ = axum::serve(listener, service).with_graceful_shutdown(stopped).await;
        });
        shared.log.info("Server listening", &json!({ "port": app.address.port() }));
        Ok(Self::Up { shared, stop, server })
    }

    /// Ends the process, if there is one, and hands back its port.
    pub async fn end(&mut self, address: SocketAddr) -> io::Result<TcpSocket> {
        match std::mem::replace(self, Self::Gone) {
            Self::Down(seat) => Ok(seat),
            Self::Gone => reserve(address.port()),
            Self::Up { shared, stop, mut server } => {
                stop.cancel();
                if tokio::time::timeout(Duration::from_secs(1), &mut server).await.is_err() {
                    server.abort();
                    let _ = server.await;
                }
                let _ = tokio::time::timeout(Duration::from_secs(1), shared.pool.close()).await;
                reserve(address.port())
            }
        }
    }

    pub fn shared(&self) -> Option<Arc<Shared>> {
        match self {
            Self::Up { shared, .. } => Some(Arc::clone(shared)),
            _ => None,
        }
    }
}

impl Shared {
    pub fn manner(&self) -> Manner {
        self.manner.get()
    }

    /// Writes what the database said as the application's driver would put it.
    pub fn log_database(&self, at: DateTime<Utc>, message: &str, error: &sqlx::Error, mut about: Value) {
        let (kind, text) = match error {
            sqlx::Error::PoolTimedOut => ("Error", "timeout exceeded when trying to connect".to_string()),
            sqlx::Error::Database(error) => ("DatabaseError", error.message().to_string()),
            other => ("Error", other.to_string()),
        };
        if matches!(error, sqlx::Error::PoolTimedOut) {
            self.log.error("connection pool exhausted", &json!({ "max": self.pool.options().get_max_connections() }));
        }
        about["err"] = json!({ "type": kind, "message": text });
        self.log.write(at, 50, message, &about);
    }
}

fn router(shared: &Arc<Shared>, webhook_path: &str) -> Router {
    let moved = Redirect::permanent(webhook_path);
    Router::new()
        .route("/health", get(|| async { Json(json!({ "status": "ok" })) }))
        .route("/ready", get(ready))
        .route(webhook_path, any(webhook::receive))
        // As many frameworks do with a slash too many.
        .route(&format!("{webhook_path}/"), any(async move || moved))
        .route("/admin/licensing/entitlements/{profile_id}", get(entitlements::show))
        .route("/admin/licensing/entitlements/{profile_id}/reset", post(entitlements::reset))
        .route("/admin/licensing/resync/{profile_id}", post(resync::resync))
        .route("/v1/usage/{feature}", post(usage::count))
        .fallback(|| async { answer(StatusCode::NOT_FOUND, json!({ "ok": false, "error": "Not found" })) })
        .with_state(Arc::clone(shared))
}

/// Whether a request to the admin API carries its token.
pub(super) fn authorized(shared: &Shared, headers: &HeaderMap) -> bool {
    let token = headers.get(header::AUTHORIZATION).and_then(|v| v.to_str().ok()).and_then(|v| v.strip_prefix("Bearer "));
    token == Some(shared.admin_token.as_str())
}

async fn ready(State(shared): State<Arc<Shared>>) -> Response {
    match sqlx::query("SELECT 1").execute(&shared.pool).await {
        Ok(_) => answer(StatusCode::OK, json!({ "status": "ready" })),
        Err(error) => {
            shared.log_database(Utc::now(), "Readiness check failed", &error, json!({}));
            answer(StatusCode::SERVICE_UNAVAILABLE, json!({ "status": "unavailable" }))
        }
    }
}

pub(super) fn answer(status: StatusCode, body: Value) -> Response {
    (status, Json(body)).into_response()
}
