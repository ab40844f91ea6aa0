//! The one HTTP client of the gateway and what its failures mean; knows nobody it talks to.

use crate::domain::fault::{Fault, FaultKind, Source};
use bytes::{Bytes, BytesMut};
use chrono::{DateTime, Utc};
use std::sync::LazyLock;
use std::time::Duration;

/// Shared, so that connections are: to Stripe and the application.
static REMOTE: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| build(reqwest::Client::builder()));
/// To this machine itself, past any proxy that the environment names.
static LOOPBACK: LazyLock<Result<reqwest::Client, String>> = LazyLock::new(|| build(reqwest::Client::builder().no_proxy()));

fn build(builder: reqwest::ClientBuilder) -> Result<reqwest::Client, String> {
    // Another part of the process may have been first; any provider will do.
    let _ = rustls::crypto::ring::default_provider().install_default();
    builder
        .user_agent(concat!("nightdesk/", env!("CARGO_PKG_VERSION")))
        .connect_timeout(Duration::from_secs(3))
        .pool_idle_timeout(Duration::from_secs(60))
        // A redirect from an API means that something else answers.
        .redirect(reqwest::redirect::Policy::none())
        .build()
        .map_err(|e| e.to_string())
}

/// No answer that we ask for is longer, in bytes.
const LARGEST: usize = 8 << 20;

/// The answer's body. One that is too long is cut there, and is no JSON any more.
///
/// # Errors
/// Where the connection breaks off.
pub async fn body(mut response: reqwest::Response) -> Result<Bytes, reqwest::Error> {
    let mut body = BytesMut::new();
    while let Some(chunk) = response.chunk().await? {
        if body.len() + chunk.len() > LARGEST {
            body.extend_from_slice(&chunk[..LARGEST - body.len()]);
            break;
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}

/// The clock of whoever answered: its `Date`, in whole seconds.
pub fn date(response: &reqwest::Response) -> Option<DateTime<Utc>> {
    let text = response.headers().get("date")?.to_str().ok()?;
    DateTime::parse_from_rfc2822(text).ok().map(|at| at.with_timezone(&Utc))
}

/// The client for that address.
///
/// # Errors
/// Where the system's certificates cannot be used.
pub fn client(source: Source, base: &str) -> Result<&'static reqwest::Client, Fault> {
    let local = ["http://127.", "http://localhost", "http://[::1]"].iter().any(|p| base.starts_with(p));
    let client = if local { &LOOPBACK } else { &REMOTE };
    client.as_ref().map_err(|why| Fault::new(source, FaultKind::Tls, format!("no HTTP client can be made here: {why}")))
}

/// Why no answer came, as a probe tells it.
#[derive(Debug)]
pub enum Lost {
    Timeout,
    /// The host has no address.
    Dns,
    /// Nobody listens.
    Refused,
    Tls(String),
    Broken(String),
}

/// Which of them it was.
pub fn lost(error: &reqwest::Error) -> Lost {
    let causes = causes(error);
    let why = || causes.last().cloned().unwrap_or_else(|| error.to_string());
    if error.is_timeout() {
        Lost::Timeout
    } else if is_tls(&causes) {
        Lost::Tls(why())
    } else if causes.iter().any(|c| c.contains("dns error") || c.contains("lookup address")) {
        Lost::Dns
    } else if causes.iter().any(|c| c.contains("Connection refused")) {
        Lost::Refused
    } else {
        Lost::Broken(why())
    }
}

/// Why no answer came, in words that name the host and nothing else of the address.
pub fn fault(source: Source, error: &reqwest::Error) -> Fault {
    let host = error.url().map_or_else(|| source.word().to_string(), place);
    if error.is_timeout() {
        return Fault::new(source, FaultKind::Timeout, format!("{host} did not answer in time"));
    }
    let causes = causes(error);
    if is_tls(&causes) {
        let why = causes.last().cloned().unwrap_or_default();
        return Fault::new(source, FaultKind::Tls, format!("TLS with {host} failed: {why}"));
    }
    if error.is_connect() {
        let why = causes.last().cloned().unwrap_or_default();
        return Fault::new(source, FaultKind::Unreachable, format!("nobody answers at {host} ({why})"));
    }
    Fault::new(source, FaultKind::Unreachable, format!("{host} broke off in the middle of an answer"))
}

fn is_tls(causes: &[String]) -> bool {
    let words = ["certificate", "TLS", "tls handshake", "InvalidContentType", "corrupt message"];
    causes.iter().any(|cause| words.iter().any(|word| cause.contains(word)))
}

fn place(url: &reqwest::Url) -> String {
    let host = url.host_str().unwrap_or("?");
    url.port().map_or_else(|| host.to_string(), |port| format!("{host}:{port}"))
}

fn causes(error: &reqwest::Error) -> Vec<String> {
    let mut causes = Vec::new();
    let mut next = std::error::Error::source(error);
    while let Some(cause) = next {
        // The system's number behind its words says nothing that they do not.
        let text = cause.to_string();
        causes.push(text.split_once(" (os error ").map_or(text.as_str(), |(words, _)| words).to_string());
        next = cause.source();
    }
    causes
}

/// The text as one path segment of a URL.
pub fn segment(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_' | b'~') {
            out.push(char::from(b));
        } else {
            out.push_str(&format!("%{b:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_leaves_its_path_segment() {
        assert_eq!(segment("../a b?x=ä"), "%2E%2E%2Fa%20b%3Fx%3D%C3%A4");
    }

    #[tokio::test]
    async fn an_endless_answer_is_cut() {
        let endless = futures_util::stream::repeat(Ok::<_, std::convert::Infallible>(Bytes::from_static(&[b' '; 64 * 1024])));
        let router = axum::Router::new().route("/", axum::routing::get(|| async move { axum::body::Body::from_stream(endless) }));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let base = format!("http://{}", listener.local_addr().expect("bound"));
        let server = tokio::spawn(axum::serve(listener, router).into_future());
        let response = client(Source::Stripe, &base).expect("a client").get(&base).send().await.expect("an answer");
        assert_eq!(body(response).await.expect("cut").len(), LARGEST);
        server.abort();
    }
}
