//! The sandbox's own HTTP server on loopback: its state, the application's manner, restart and deploys, incidents; none of it is part of
//! the system under care.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use clap::ValueEnum;
use serde::Deserialize;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::app::Manner;
use super::incidents::{Ground, Incident, IncidentError};
use super::mirror::{Mirror, Pace};

/// The most subjects one request may break.
const MOST: usize = 1_000;

pub struct Control {
    address: SocketAddr,
    server: JoinHandle<()>,
}

#[derive(Clone)]
struct Shared {
    ground: Arc<Ground>,
    postgres: String,
    mirror: Option<Arc<Mirror>>,
}

#[derive(Deserialize)]
struct NewManner {
    manner: Manner,
}

#[derive(Deserialize, Default)]
struct NewIncident {
    count: Option<usize>,
}

/// What an operator may set; absent: as it is.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewSettings {
    webhook_secret: Option<String>,
    /// False: the handler works on nothing before it writes.
    slow_handler: Option<bool>,
    /// 0: its machine's clock is put right.
    clock_off_seconds: Option<i64>,
}

/// How the mirror of Stripe keeps up; absent: as it does.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NewPace {
    lag_seconds: Option<i64>,
    stopped: Option<bool>,
}

impl Control {
    pub async fn start(ground: Arc<Ground>, postgres: String, mirror: Option<Arc<Mirror>>) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/status", get(status))
            .route("/manner", get(manner_now).post(set_manner))
            .route("/incidents", get(incidents))
            .route("/incidents/{name}", get(labels).post(strike).delete(lift))
            .route("/app/restart", post(restart))
            .route("/app/settings", post(settings))
            .route("/deploys", get(deploys))
            .route("/deploys/rollback", post(roll_back))
            .route("/mirror", get(mirror_now).post(set_mirror))
            .route("/requests", get(requests))
            .fallback(|| async {
                refuse(
                    StatusCode::NOT_FOUND,
                    "there is /status, /manner, /incidents, /app/restart, /app/settings, /deploys, /deploys/rollback, /mirror and /requests",
                )
            })
            .with_state(Shared { ground, postgres, mirror });
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { address, server })
    }

    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    pub fn stop(self) {
        self.server.abort();
    }
}

async fn status(State(shared): State<Shared>) -> Json<Value> {
    let population = shared.ground.population();
    Json(json!({
        "ok": true,
        "seed": population.seed(),
        "customers": population.len(),
        "born": population.born(),
        "postgres": shared.postgres,
        "manner": shared.ground.app().manner().get(),
    }))
}

async fn manner_now(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "manner": shared.ground.app().manner().get() }))
}

async fn set_manner(State(shared): State<Shared>, Json(new): Json<NewManner>) -> Json<Value> {
    shared.ground.app().manner().set(new.manner);
    manner_now(State(shared)).await
}

async fn mirror_now(State(shared): State<Shared>) -> Response {
    match &shared.mirror {
        Some(mirror) => Json(mirror.pace()).into_response(),
        None => refuse(StatusCode::NOT_FOUND, "this sandbox has no mirror of Stripe: start it with --mirror"),
    }
}

async fn set_mirror(State(shared): State<Shared>, Json(new): Json<NewPace>) -> Response {
    if new.lag_seconds.is_some_and(|lag| lag < 0) {
        return refuse(StatusCode::BAD_REQUEST, "lag_seconds may not be below 0");
    }
    if let Some(mirror) = &shared.mirror {
        let now = mirror.pace();
        mirror.set_pace(Pace { lag_seconds: new.lag_seconds.unwrap_or(now.lag_seconds), stopped: new.stopped.unwrap_or(now.stopped) });
    }
    mirror_now(State(shared)).await
}

async fn incidents(State(shared): State<Shared>) -> Json<Value> {
    // In a drill that does not say what it is, the numbers would.
    let subjects = |i: Incident| (!shared.ground.is_secret()).then(|| shared.ground.labels(i).len());
    let all: Vec<_> =
        Incident::ALL.iter().map(|i| json!({ "name": i.name(), "title": i.title(), "ends": i.ends(), "subjects": subjects(*i) })).collect();
    Json(json!({ "incidents": all }))
}

async fn labels(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let Ok(incident) = Incident::from_str(&name, false) else { return unknown(&name) };
    if shared.ground.is_secret() {
        return refuse(StatusCode::FORBIDDEN, "what is broken here is told in the end");
    }
    match report(&shared.ground, incident).await {
        Ok(report) => Json(report).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

async fn report(ground: &Ground, incident: Incident) -> Result<Value, IncidentError> {
    let mut labels = Vec::new();
    for label in ground.labels(incident) {
        let mut entry = json!(label);
        entry["repaired"] = ground.repaired(&label).await?.into();
        labels.push(entry);
    }
    Ok(json!({ "name": incident.name(), "title": incident.title(), "labels": labels }))
}

async fn strike(State(shared): State<Shared>, Path(name): Path<String>, body: Option<Json<NewIncident>>) -> Response {
    let Ok(incident) = Incident::from_str(&name, false) else { return unknown(&name) };
    let count = body.and_then(|Json(new)| new.count).unwrap_or(incident.usual());
    if count > MOST {
        return refuse(StatusCode::BAD_REQUEST, &format!("count may be at most {MOST}"));
    }
    let ground = Arc::clone(&shared.ground);
    match to_its_end(async move { ground.strike(incident, count).await }).await {
        Ok(struck) => (StatusCode::CREATED, Json(json!({ "name": name, "labels": struck }))).into_response(),
        Err(error @ (IncidentError::NobodyLeft { .. } | IncidentError::Unwell(_))) => refuse(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What a change of configuration or a restart would end; rows are not repaired.
async fn lift(State(shared): State<Shared>, Path(name): Path<String>) -> Response {
    let Ok(incident) = Incident::from_str(&name, false) else { return unknown(&name) };
    let ground = Arc::clone(&shared.ground);
    match to_its_end(async move { ground.lift(incident).await }).await {
        Ok(()) => Json(json!({ "name": name, "lifted": true })).into_response(),
        Err(error @ IncidentError::NothingToLift(_)) => refuse(StatusCode::CONFLICT, &error.to_string()),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What an operator's restart does: the present configuration, other connections, nothing remembered.
async fn restart(State(shared): State<Shared>) -> Response {
    match shared.ground.app().restart().await {
        Ok(()) => Json(json!({ "ok": true })).into_response(),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What an operator's change of configuration does: it takes effect at once, with a restart.
async fn settings(State(shared): State<Shared>, Json(new): Json<NewSettings>) -> Response {
    if new.slow_handler == Some(true) {
        return refuse(StatusCode::BAD_REQUEST, "slow_handler may be false only: nobody makes the handler slow on purpose");
    }
    if new.clock_off_seconds.is_some_and(|off| off != 0) {
        return refuse(StatusCode::BAD_REQUEST, "clock_off_seconds may be 0 only: nobody puts a clock wrong on purpose");
    }
    shared.ground.app().configure(|settings| {
        if new.clock_off_seconds.is_some() {
            settings.clock_off = chrono::TimeDelta::zero();
        }
        if let Some(secret) = new.webhook_secret {
            settings.webhook_secret = secret;
        }
        if new.slow_handler == Some(false) {
            settings.handler_takes = None;
        }
    });
    restart(State(shared)).await
}

/// What an operator's rollback does: the version before, again.
async fn roll_back(State(shared): State<Shared>) -> Response {
    let app = shared.ground.app();
    match app.roll_back().await {
        Ok(true) => Json(json!({ "ok": true, "version": app.settings().deploy.version })).into_response(),
        Ok(false) => refuse(StatusCode::CONFLICT, "nothing was deployed that could be rolled back"),
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
    }
}

/// What was deployed, oldest first.
async fn deploys(State(shared): State<Shared>) -> Response {
    match tokio::fs::read_to_string(shared.ground.app().deploys()).await {
        Ok(lines) => {
            let all: Vec<Value> = lines.lines().filter_map(|line| serde_json::from_str(line).ok()).collect();
            Json(json!({ "deploys": all })).into_response()
        }
        Err(error) => refuse(StatusCode::INTERNAL_SERVER_ERROR, &format!("the record of deploys could not be read: {error}")),
    }
}

/// What people asked for, in order.
async fn requests(State(shared): State<Shared>) -> Json<Value> {
    Json(json!({ "requests": shared.ground.requests() }))
}

/// Whoever asked may go away before it is done, and with them their request; half an incident would have no label.
async fn to_its_end<T: Send + 'static>(work: impl Future<Output = Result<T, IncidentError>> + Send + 'static) -> Result<T, IncidentError> {
    tokio::spawn(work).await.unwrap_or_else(|gone| std::panic::resume_unwind(gone.into_panic()))
}

fn unknown(name: &str) -> Response {
    let known: Vec<_> = Incident::ALL.iter().map(|i| i.name()).collect();
    refuse(StatusCode::NOT_FOUND, &format!("no incident is called {name:?}; there are {}", known.join(", ")))
}

fn refuse(status: StatusCode, reason: &str) -> Response {
    (status, Json(json!({ "ok": false, "error": reason }))).into_response()
}
