//! The HTTP side: what every request goes through before and after the endpoint that answers it.

use std::sync::atomic::Ordering;
use std::sync::{Arc, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;
use axum::extract::{ConnectInfo, Request, State as Extract};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};

use super::answer::{Answer, Exchange, Pace};
use super::connection::Cutter;
use super::debug;
use super::expand;
use super::failure::Failure;
use super::faults::{Effect, Point, Struck};
use super::form::Params;
use super::idempotency::{Fingerprint, Stored};
use super::limits::Slot;
use super::resources;
use super::route::{Call, Route, Run};
use super::shared::{Served, Shared};
use super::state::{API_VERSION, Cause};
use super::unmodelled;
use crate::sandbox::population::ids::{digits, mix};

const LARGEST_BODY: usize = 1 << 20;

/// A request that passed all checks.
struct Ready {
    route: &'static Route,
    call: Call,
    /// The idempotency key, where it means something, and what it stands for.
    keyed: Option<(String, Fingerprint)>,
    /// Held until the answer is there.
    slot: Slot,
}

pub async fn handle(Extract(shared): Extract<Arc<Shared>>, ConnectInfo(cutter): ConnectInfo<Cutter>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = axum::body::to_bytes(body, LARGEST_BODY).await;
    let path = parts.uri.path().to_string();
    if path.starts_with("/_sim/") {
        let run = move || debug::handle(&shared, &parts.method, &path, parts.uri.query().unwrap_or_default(), &body.unwrap_or_default());
        return tokio::task::spawn_blocking(run).await.unwrap_or_else(|_| StatusCode::INTERNAL_SERVER_ERROR.into_response());
    }
    let exchange = Exchange::new(&shared, &parts.headers, &parts.method);
    enter(&shared, &exchange, &parts.method, &path);
    let Ok(body) = body else {
        return finish(&shared, &exchange, Answer::failure(Failure::new(413, "Request body is too large.")));
    };
    let fault = shared.faults.strike(parts.method.as_str(), &path);
    let ready = prepare(&shared, &parts, &path, &body, &exchange);
    let claim = claim(&shared, &ready);
    let key = claim.as_ref().ok().and_then(|claim| Some(claim.as_ref()?.name.clone()));
    if let Some(answer) = strike(&shared, &cutter, fault.as_ref(), Point::Before, key.as_deref(), &exchange).await {
        return finish(&shared, &exchange, answer);
    }
    let mut answer = match (ready, claim) {
        (Ok(ready), Ok(claim)) => work(&shared, ready, claim, &exchange).await,
        (Err(failure), _) => Answer::failure(failure),
        // The key's first answer, which is lost on its way as easily as the first time.
        (_, Err(answer)) => *answer,
    };
    if let Some(instead) = strike(&shared, &cutter, fault.as_ref(), Point::After, key.as_deref(), &exchange).await {
        return finish(&shared, &exchange, instead);
    }
    answer.pace = match fault.map(|f| f.effect) {
        Some(Effect::Truncate) => Pace::Half,
        Some(Effect::Drip { bytes, ms }) => Pace::Drip { bytes, pause: Duration::from_millis(ms) },
        _ => Pace::Whole,
    };
    finish(&shared, &exchange, answer)
}

fn enter(shared: &Shared, exchange: &Exchange, method: &Method, path: &str) {
    shared.enter(Served {
        id: exchange.request.clone(),
        at: shared.clock.now(),
        method: method.to_string(),
        path: path.to_string(),
        key_name: None,
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

/// Key, account, version, route, permission, limits, parameters: in that order, as the real API refuses.
fn prepare(shared: &Shared, parts: &Parts, path: &str, body: &Bytes, exchange: &Exchange) -> Result<Ready, Failure> {
    let method = &parts.method;
    let keys = shared.keys.lock().unwrap_or_else(PoisonError::into_inner);
    let caller = keys.authenticate(&parts.headers)?;
    shared.log(&exchange.request, |r| {
        r.key = Some(caller.kind());
        r.key_name = Some(caller.name.to_string());
    });
    if let Some(other) = text(&parts.headers, "Stripe-Account").filter(|a| *a != shared.account) {
        return Err(caller.stranger(&other));
    }
    let dated = exchange.version.get(..10).is_some_and(|d| chrono::NaiveDate::parse_from_str(d, "%Y-%m-%d").is_ok());
    if !dated {
        return Err(Failure::new(400, format!("Invalid Stripe API version: {}", exchange.version)));
    }
    let inside = path.strip_prefix("/v1/").unwrap_or_default();
    let Some((route, id)) = resources::routes().find_map(|r| Some((r, r.matches(method.as_str(), inside)?))) else {
        return Err(unrecognized(method, path));
    };
    caller.check(route.permission, &shared.account)?;
    let slot = shared.limiter.admit(route, Instant::now())?;
    let form = |kind: String| kind.to_ascii_lowercase().starts_with("application/x-www-form-urlencoded");
    if !body.is_empty() && !text(&parts.headers, header::CONTENT_TYPE.as_str()).is_none_or(form) {
        return Err(Failure::new(
            400,
            "Invalid request (check that your POST content type is application/x-www-form-urlencoded). If you have any questions, we can help at https://support.stripe.com/.",
        ));
    }
    let params = Params::parse(parts.uri.query().unwrap_or_default(), &String::from_utf8_lossy(body));
    params.check(route.params).map_err(|failure| unmodelled::explain(route, failure))?;
    if exchange.idempotency_key.as_ref().is_some_and(|k| k.len() > 255) {
        return Err(Failure::new(400, "Idempotency keys may be at most 255 characters long."));
    }
    // Keys mean something for POST only; on other methods they are echoed and ignored.
    let key = exchange.idempotency_key.clone().filter(|_| method == Method::POST);
    let keyed = key.map(|key| (key, Fingerprint { path: path.to_string(), params: params.canonical() }));
    let call = Call { params, id, now: shared.clock.now() };
    shared.limiter.check_locks(route, &call)?;
    Ok(Ready { route, call, keyed, slot })
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
    name: String,
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.shared.idempotency.release(&self.name);
    }
}

fn claim(shared: &Arc<Shared>, ready: &Result<Ready, Failure>) -> Result<Option<Claim>, Box<Answer>> {
    let Ok(Ready { keyed: Some((name, fingerprint)), call, .. }) = ready else { return Ok(None) };
    match shared.idempotency.begin(name, fingerprint, call.now.timestamp()) {
        Ok(None) => Ok(Some(Claim { shared: shared.clone(), name: name.clone() })),
        Ok(Some(stored)) => Err(Box::new(Answer::replayed(stored))),
        Err(failure) => Err(Box::new(Answer::failure(failure))),
    }
}

/// Runs the endpoint to its end, even if the client is gone by then: a write is done once, or not at all.
async fn work(shared: &Arc<Shared>, ready: Ready, claim: Option<Claim>, exchange: &Exchange) -> Answer {
    let shared = shared.clone();
    let request = exchange.request.clone();
    let cause = Cause { request: request.clone(), idempotency_key: exchange.idempotency_key.clone() };
    let done = tokio::task::spawn_blocking(move || {
        let Ready { route, call, slot: _held, .. } = ready;
        shared.settle();
        let result = match route.run {
            Run::Read(read) => read(&shared.state.read().unwrap_or_else(PoisonError::into_inner), &call),
            Run::Write(write) => {
                let mut state = shared.state.write().unwrap_or_else(PoisonError::into_inner);
                state.cause = Some(cause);
                let result = expand::check(route, &call).and_then(|()| write(&mut state, &call));
                state.cause = None;
                shared.dispatch(&mut state);
                result
            }
        };
        let object = result.as_ref().ok().and_then(|value| value["id"].as_str()).map(str::to_string);
        // What was refused for its parameters is not remembered: the corrected request may use the key.
        let remembered = !matches!(&result, Err(failure) if failure.is_validation());
        let answer = match result {
            Ok(value) => Answer::ok(serde_json::to_string(&value).expect("invariant: a JSON value can be written")),
            Err(failure) => Answer::failure(failure),
        };
        shared.log(&request, |r| {
            r.worked = true;
            r.object = object;
        });
        if let Some(claim) = claim.filter(|_| remembered) {
            let body = answer.text(&request, &shared.account);
            shared.idempotency.finish(&claim.name, Stored { status: answer.status, body, request });
        }
        answer
    });
    done.await.unwrap_or_else(|_| Answer::failure(Failure::internal()))
}

/// What a fault on this side of the work answers in place of the endpoint; `None` lets the request go on.
async fn strike(
    shared: &Shared,
    cutter: &Cutter,
    fault: Option<&Struck>,
    point: Point,
    key: Option<&str>,
    exchange: &Exchange,
) -> Option<Answer> {
    let fault = fault.filter(|f| f.point == point)?;
    let answer = suffer(shared, cutter, &fault.effect).await?;
    if let Some(key) = key.filter(|_| fault.remembered && !answer.silent) {
        let body = answer.text(&exchange.request, &shared.account);
        shared.idempotency.finish(key, Stored { status: answer.status, body, request: exchange.request.clone() });
    }
    Some(answer)
}

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
        Effect::Truncate | Effect::Drip { .. } => None,
    }
}

impl Exchange {
    fn new(shared: &Shared, headers: &HeaderMap, method: &Method) -> Self {
        let count = shared.count.fetch_add(1, Ordering::Relaxed);
        let idempotency_key = text(headers, "Idempotency-Key").filter(|_| method != Method::GET);
        Self {
            request: format!("req_{}", digits(mix(shared.seed ^ 0x4E9, count), 14)),
            version: text(headers, "Stripe-Version").unwrap_or_else(|| API_VERSION.to_string()),
            original: method == Method::POST && idempotency_key.is_some(),
            idempotency_key,
        }
    }
}

fn text(headers: &HeaderMap, name: &str) -> Option<String> {
    headers.get(name).and_then(|v| v.to_str().ok()).map(str::to_string)
}
