//! The HTTP side: what every request goes through before and after the endpoint that answers it.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, RwLock};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::answer::{Answer, Exchange};
use super::clock::Clock;
use super::connection::Cutter;
use super::delivery::{DeliveryResult, Parcel};
use super::failure::Failure;
use super::faults::{Effect, Faults, Point};
use super::form::Params;
use super::idempotency::{Idempotency, Name, Stored};
use super::keys::{KeyKind, Keys};
use super::resources;
use super::route::{Call, Route, Run};
use super::state::{API_VERSION, State};
use super::{debug, faults};
use crate::sandbox::population::ids::{digits, mix};

const LARGEST_BODY: usize = 1 << 20;
const REQUESTS_KEPT: usize = 10_000;

/// Everything the simulator's tasks share.
pub struct Shared {
    pub address: SocketAddr,
    pub account: String,
    pub seed: u64,
    pub clock: Clock,
    pub state: RwLock<State>,
    pub keys: Mutex<Keys>,
    pub faults: Faults,
    pub idempotency: Idempotency,
    pub attempts: Mutex<VecDeque<DeliveryResult>>,
    pub requests: Mutex<VecDeque<Served>>,
    pub deliveries: AtomicBool,
    pub delivery_ms: AtomicU64,
    pub parcels: mpsc::Sender<Parcel>,
    pub http: reqwest::Client,
    pub stop: CancellationToken,
    pub count: AtomicU64,
}

/// A request that came in, without its parameters.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Served {
    pub id: String,
    pub method: String,
    pub path: String,
    pub idempotency_key: Option<String>,
    /// `None` where no key was given, or none that is known.
    pub key: Option<KeyKind>,
    /// `None` while, or because, no answer was given.
    pub status: Option<u16>,
    /// True once the endpoint did its work, whatever became of the answer.
    pub worked: bool,
    /// The object that the endpoint made, changed or read, once it succeeded.
    pub object: Option<String>,
}

/// A request that passed all checks.
struct Ready {
    route: &'static Route,
    call: Call,
    /// The API key and the idempotency key.
    name: Option<Name>,
    fingerprint: String,
    key: KeyKind,
}

impl Shared {
    pub fn delivery_timeout(&self) -> Duration {
        Duration::from_millis(self.delivery_ms.load(Ordering::Relaxed))
    }

    /// Lets happen what is due by the simulator's time.
    pub fn settle(&self) {
        let now = self.clock.now();
        if self.state.read().unwrap_or_else(PoisonError::into_inner).is_due(now) {
            let mut state = self.state.write().unwrap_or_else(PoisonError::into_inner);
            state.settle(now);
            self.dispatch(&mut state);
        }
    }

    /// Sends what an act left in the outbox on its way.
    pub fn dispatch(&self, state: &mut State) {
        let automatic = self.deliveries.load(Ordering::Relaxed);
        let fresh = std::mem::take(&mut state.outbox).into_iter().filter(|_| automatic).map(|event| Parcel { event, endpoint: None });
        let again = std::mem::take(&mut state.resends).into_iter().map(|(event, endpoint)| Parcel { event, endpoint: Some(endpoint) });
        for parcel in fresh.chain(again) {
            // A full queue loses the delivery and not the event, which stays pending, as at any overloaded sender.
            let _ = self.parcels.try_send(parcel);
        }
    }

    fn log(&self, id: &str, change: impl FnOnce(&mut Served)) {
        let mut requests = self.requests.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(entry) = requests.iter_mut().rev().find(|r| r.id == id) {
            change(entry);
        }
    }
}

pub async fn handle(Extract(shared): Extract<Arc<Shared>>, ConnectInfo(cutter): ConnectInfo<Cutter>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let (method, path) = (parts.method, parts.uri.path().to_string());
    let exchange = Exchange::new(&shared, &parts.headers, &method);
    let Ok(body) = axum::body::to_bytes(body, LARGEST_BODY).await else {
        return finish(&shared, &exchange, Answer::failure(Failure::new(413, "Request body is too large.")));
    };
    if path.starts_with("/_sim/") {
        return debug::handle(&shared, &method, &path, &body);
    }
    record(&shared, &exchange, &method, &path);
    let fault = shared.faults.strike(method.as_str(), &path);
    let ready = prepare(&shared, &parts.headers, &method, &path, parts.uri.query().unwrap_or_default(), &body, &exchange);
    if let Ok(ready) = &ready {
        shared.log(&exchange.request, |r| r.key = Some(ready.key));
    }
    let claim = match claim(&shared, &ready) {
        Ok(claim) => claim,
        Err(answer) => return finish(&shared, &exchange, *answer),
    };
    if let Some((Point::Before, effect)) = &fault
        && let Some(answer) = suffer(&shared, &cutter, effect).await
    {
        return finish(&shared, &exchange, answer);
    }
    let mut answer = match ready {
        Ok(ready) => work(&shared, ready, claim, exchange.request.clone()).await,
        Err(failure) => Answer::failure(failure),
    };
    if let Some((Point::After, effect)) = &fault
        && let Some(instead) = suffer(&shared, &cutter, effect).await
    {
        return finish(&shared, &exchange, instead);
    }
    if matches!(fault, Some((_, Effect::Truncate))) {
        answer.truncated = true;
    }
    finish(&shared, &exchange, answer)
}

fn record(shared: &Shared, exchange: &Exchange, method: &Method, path: &str) {
    let mut requests = shared.requests.lock().unwrap_or_else(PoisonError::into_inner);
    if requests.len() == REQUESTS_KEPT {
        requests.pop_front();
    }
    requests.push_back(Served {
        id: exchange.request.clone(),
        method: method.to_string(),
        path: path.to_string(),
        idempotency_key: exchange.idempotency_key.clone(),
        key: None,
        status: None,
        worked: false,
        object: None,
    });
}

fn finish(shared: &Shared, exchange: &Exchange, answer: Answer) -> Response {
    if !answer.silent {
        shared.log(&exchange.request, |r| r.status = Some(answer.status));
    }
    answer.into_response(exchange, &shared.account)
}

/// Key, version, route, permission, parameters: in that order, as the real API refuses.
fn prepare(
    shared: &Shared,
    headers: &HeaderMap,
    method: &Method,
    path: &str,
    query: &str,
    body: &Bytes,
    exchange: &Exchange,
) -> Result<Ready, Failure> {
    let keys = shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
    let caller = keys.authenticate(headers)?;
    let dated = exchange.version.get(..10).is_some_and(|d| chrono::NaiveDate::parse_from_str(d, "%Y-%m-%d").is_ok());
    if !dated {
        return Err(Failure::new(400, format!("Invalid Stripe API version: {}", exchange.version)));
    }
    let inside = path.strip_prefix("/v1/").unwrap_or_default();
    let Some((route, id)) = resources::routes().find_map(|r| Some((r, r.matches(method.as_str(), inside)?))) else {
        return Err(unrecognized(method, path));
    };
    caller.check(route.permission, &shared.account)?;
    let params = Params::parse(query, &String::from_utf8_lossy(body));
    params.check(route.params)?;
    if exchange.idempotency_key.as_ref().is_some_and(|k| k.len() > 255) {
        return Err(Failure::new(400, "Idempotency keys may be at most 255 characters long."));
    }
    let fingerprint = format!("{method} {path} {}", params.canonical());
    // Keys mean something for POST only; on other methods they are echoed and ignored.
    let key = caller.kind();
    let name = exchange.idempotency_key.clone().filter(|_| method == Method::POST).map(|k| (caller.key, k));
    Ok(Ready { route, call: Call { params, id, now: shared.clock.now() }, name, fingerprint, key })
}

fn unrecognized(method: &Method, path: &str) -> Failure {
    let advice = if path.ends_with('/') {
        " If you are trying to list objects, remove the trailing slash. If you are trying to retrieve an object, make sure you passed a valid (non-empty) identifier in your code."
    } else {
        ""
    };
    Failure::new(
        404,
        format!(
            "Unrecognized request URL ({method}: {path}).{advice} Please see https://stripe.com/docs or we can help at https://support.stripe.com/."
        ),
    )
}

/// An idempotency key in use by one request; freed if the request comes to nothing.
struct Claim {
    shared: Arc<Shared>,
    name: Name,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.idempotency.release(&self.name);
    }
}

fn claim(shared: &Arc<Shared>, ready: &Result<Ready, Failure>) -> Result<Option<Claim>, Box<Answer>> {
    let Ok(Ready { name: Some(name), fingerprint, call, .. }) = ready else { return Ok(None) };
    match shared.idempotency.begin(name, fingerprint, call.now.timestamp()) {
        Ok(None) => Ok(Some(Claim { shared: shared.clone(), name: name.clone() })),
        Ok(Some(stored)) => Err(Box::new(Answer::replayed(stored))),
        Err(failure) => Err(Box::new(Answer::failure(failure))),
    }
}

/// Runs the endpoint to its end, even if the client is gone by then: a write is done once, or not at all.
async fn work(shared: &Arc<Shared>, ready: Ready, claim: Option<Claim>, request: String) -> Answer {
    let shared = shared.clone();
    let done = tokio::task::spawn_blocking(move || {
        shared.settle();
        let result = match ready.route.run {
            Run::Read(read) => read(&shared.state.read().unwrap_or_else(PoisonError::into_inner), &ready.call),
            Run::Write(write) => {
                let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
                let result = write(&mut state, &ready.call);
                shared.dispatch(&mut state);
                result
            }
        };
        let object = result.as_ref().ok().and_then(|value| value["id"].as_str()).map(str::to_string);
        let answer = match result {
            Ok(value) => Answer::ok(serde_json::to_string(&value).expect("invariant: a JSON value can be written")),
            Err(failure) => Answer::failure(failure),
        };
        shared.log(&request, |r| {
            r.worked = true;
            r.object = object;
        });
        if let Some(claim) = claim
            && answer.status != 400
        {
            // What was refused for its parameters is not remembered: the corrected request may use the key.
            let body = answer.text(&request, &shared.account);
            shared.idempotency.finish(&claim.name, Stored { status: answer.status, body, request });
        }
        answer
    });
    done.await.unwrap_or_else(|_| Answer::failure(internal()))
}

fn internal() -> Failure {
    let mut failure = Failure::new(500, "An unknown error occurred");
    failure.kind = "api_error";
    failure
}

/// What a fault does to a request; `None` lets it go on.
async fn suffer(shared: &Shared, cutter: &Cutter, effect: &Effect) -> Option<Answer> {
    match effect {
        Effect::Status { .. } => Some(Answer::fault(effect)),
        Effect::Delay { ms } => {
            tokio::select! {
                () = tokio::time::sleep(Duration::from_millis(*ms)) => None,
                () = shared.stop.cancelled() => Some(Answer::silence(cutter)),
            }
        }
        Effect::Hang => {
            shared.stop.cancelled().await;
            Some(Answer::silence(cutter))
        }
        Effect::Reset => Some(Answer::silence(cutter)),
        Effect::Garbage { status } => Some(Answer::garbage(*status)),
        Effect::Truncate => None,
    }
}

impl Exchange {
    fn new(shared: &Shared, headers: &HeaderMap, method: &Method) -> Self {
        let text = |name: &str| headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_string);
        let count = shared.count.fetch_add(1, Ordering::Relaxed);
        Self {
            request: format!("req_{}", digits(mix(shared.seed ^ 0x4E9, count), 14)),
            version: text("Stripe-Version").unwrap_or_else(|| API_VERSION.to_string()),
            idempotency_key: text("Idempotency-Key").filter(|_| method != Method::GET),
        }
    }
}

impl Answer {
    fn fault(effect: &Effect) -> Self {
        let faults::Effect::Status { status, code, message, should_retry, headers } = effect else { return Answer::failure(internal()) };
        let (usual_code, usual_message) = match status {
            429 => {
                (Some("rate_limit"), "Request rate limit exceeded. Learn more about rate limits here https://stripe.com/docs/rate-limits.")
            }
            409 => (
                Some("lock_timeout"),
                "This object cannot be accessed right now because another API request or Stripe process is currently accessing it.",
            ),
            500.. => (None, "Sorry! There was an error while talking to one of our backends. Support has been notified."),
            _ => (None, "The request could not be carried out."),
        };
        let mut failure = Failure::new(*status, message.clone().unwrap_or_else(|| usual_message.to_string()));
        failure.code = code.clone().or_else(|| usual_code.map(str::to_string));
        failure.should_retry = *should_retry;
        if *status >= 500 {
            failure.kind = "api_error";
        }
        let mut answer = Answer::failure(failure);
        answer.headers.clone_from(headers);
        answer
    }
}

pub fn plain(status: StatusCode, text: &str) -> Response {
    let mut response = Response::new(Body::from(text.to_string()));
    *response.status_mut() = status;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("text/plain; charset=utf-8"));
    response
}
