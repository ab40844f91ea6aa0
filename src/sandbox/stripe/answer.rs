//! Answers: body, status and the headers every answer carries. Why an answer is what it is, is decided elsewhere.

use std::io;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::{StreamExt, stream};

use super::connection::Cutter;
use super::failure::Failure;
use super::faults::Effect;
use super::idempotency::Stored;

/// What a request's headers say that its answer repeats.
pub struct Exchange {
    pub request: String,
    pub version: String,
    pub idempotency_key: Option<String>,
    /// Whether an idempotency key makes this the original of later replays.
    pub original: bool,
}

pub struct Answer {
    pub status: u16,
    content: Content,
    /// The request that first gave this result.
    original: Option<String>,
    pub headers: Vec<(String, String)>,
    pub pace: Pace,
    /// Nothing is sent at all: the connection was cut.
    pub silent: bool,
}

/// How the body is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pace {
    Whole,
    /// Half of it, then the connection ends.
    Half,
    /// In pieces.
    Drip {
        bytes: usize,
        pause: Duration,
    },
}

enum Content {
    Json(String),
    Failure(Failure),
    Garbage,
}

const GARBAGE: &str = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n<center><h1>502 Bad Gateway</h1></center>\r\n</body>\r\n</html>\r\n";

impl Answer {
    pub fn ok(body: String) -> Self {
        Self::new(200, Content::Json(body))
    }

    pub fn failure(failure: Failure) -> Self {
        Self::new(failure.status, Content::Failure(failure))
    }

    /// The answer a rule wants in place of the endpoint's; Stripe's usual words where it gives none.
    pub fn fault(effect: &Effect) -> Self {
        let Effect::Status { status, code, message, should_retry, headers } = effect else { return Answer::failure(Failure::internal()) };
        let mut failure = match (status, code.as_deref()) {
            (429, None | Some("rate_limit")) => Failure::rate_limited("global-rate"),
            (409, None) | (_, Some("lock_timeout")) => Failure::lock_timeout(),
            (500.., _) => Failure::internal(),
            _ => Failure::new(*status, "The request could not be carried out."),
        };
        failure.status = *status;
        if let Some(code) = code {
            failure = failure.code(code);
        }
        if let Some(message) = message {
            failure.message.clone_from(message);
        }
        failure.should_retry = *should_retry;
        let mut answer = Answer::failure(failure);
        answer.headers.clone_from(headers);
        answer
    }

    pub fn replayed(stored: Stored) -> Self {
        let mut answer = Self::new(stored.status, Content::Json(stored.body));
        answer.original = Some(stored.request);
        answer
    }

    pub fn garbage(status: u16) -> Self {
        Self::new(status, Content::Garbage)
    }

    /// No answer: the connection is reset as soon as something would be written.
    pub fn silence(cutter: &Cutter) -> Self {
        cutter.cut();
        let mut answer = Self::new(200, Content::Json(String::new()));
        answer.silent = true;
        answer
    }

    pub fn text(&self, request: &str, account: &str) -> String {
        match &self.content {
            Content::Json(text) => text.clone(),
            Content::Failure(failure) => failure.body(request, account).to_string(),
            Content::Garbage => GARBAGE.to_string(),
        }
    }

    pub fn into_response(self, exchange: &Exchange, account: &str) -> Response {
        let text = self.text(&exchange.request, account);
        let length = text.len();
        let body = match self.pace {
            Pace::Whole => Body::from(text),
            Pace::Half => half(text),
            Pace::Drip { bytes, pause } => drip(text, bytes, pause),
        };
        let mut response = Response::new(body);
        *response.status_mut() = StatusCode::from_u16(self.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let headers = response.headers_mut();
        let mut set = |name: &str, value: &str| {
            // What came in as a header can go out as one; anything else is left out.
            if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
                headers.insert(name, value);
            }
        };
        let kind = if matches!(self.content, Content::Garbage) { "text/html" } else { "application/json" };
        set(header::CONTENT_TYPE.as_str(), kind);
        set(header::CONTENT_LENGTH.as_str(), &length.to_string());
        if !matches!(self.content, Content::Garbage) {
            set("Request-Id", &exchange.request);
            set("Stripe-Version", &exchange.version);
            if let Some(key) = &exchange.idempotency_key {
                set("Idempotency-Key", key);
            }
        }
        match &self.original {
            Some(original) => {
                set("Idempotent-Replayed", "true");
                set("Original-Request", original);
            }
            None if exchange.original && !matches!(self.content, Content::Garbage) => set("Original-Request", &exchange.request),
            None => {}
        }
        if let Content::Failure(failure) = &self.content {
            if let Some(retry) = failure.should_retry {
                set("Stripe-Should-Retry", if retry { "true" } else { "false" });
            }
            if let Some(reason) = failure.rate_limited {
                set("Stripe-Rate-Limited-Reason", reason);
            }
            if failure.status == 401 {
                set(header::WWW_AUTHENTICATE.as_str(), "Basic realm=\"Stripe\"");
            }
        }
        for (name, value) in &self.headers {
            set(name, value);
        }
        response
    }

    fn new(status: u16, content: Content) -> Self {
        Self { status, content, original: None, headers: Vec::new(), pace: Pace::Whole, silent: false }
    }
}

fn drip(text: String, bytes: usize, pause: Duration) -> Body {
    let pieces = text.into_bytes();
    let pieces: Vec<Bytes> = pieces.chunks(bytes.max(1)).map(Bytes::copy_from_slice).collect();
    Body::from_stream(stream::iter(pieces).then(move |piece| async move {
        tokio::time::sleep(pause).await;
        Ok::<_, io::Error>(piece)
    }))
}

fn half(text: String) -> Body {
    let length = text.len();
    let first = Bytes::from(text).slice(..length / 2);
    let sent = stream::once(async move { Ok::<_, io::Error>(first) });
    // The pause lets the first half leave before the connection goes.
    let broken = stream::once(async {
        tokio::time::sleep(Duration::from_millis(20)).await;
        Err(io::ErrorKind::ConnectionReset.into())
    });
    Body::from_stream(sent.chain(broken))
}
