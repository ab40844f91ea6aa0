//! How soon Home says that nothing is applied any more: the application gets another secret than its endpoint's, then things happen, and the
//! clock runs from the first event until the sentence stands there. `cargo bench --bench silence`.

#![allow(dead_code, reason = "the terminal is shared with the integration tests, which use more of it")]

mod served;
#[path = "../tests/it/terminal.rs"]
mod terminal;

use chrono::Utc;
use serde_json::{Value, json};
use served::Sandbox;
use std::time::{Duration, Instant};
use terminal::Terminal;

const SENTENCE: &str = "Nothing Stripe sent was applied since";
/// An effect is given so long at least before it is missed, in seconds.
const SETTLING: f64 = 60.0;
/// Subscriptions that are changed while the secret is wrong.
const CHANGES: usize = 5;

#[tokio::main]
async fn main() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    for manner in ["swallowing", "honest"] {
        incident(manner).await;
        as_it_happens(manner).await;
    }
}

/// The incident with its events of the last two hours: all of them are old enough when it strikes.
async fn incident(manner: &str) {
    let (sandbox, console, _state) = begin(manner);
    let http = client();
    let url = format!("{}/incidents/wrong-secret", sandbox.variable("NIGHTDESK_SANDBOX_URL"));
    let answer = http.post(url).json(&json!({ "count": 14 })).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    let struck = Instant::now();
    let took = sentence(&console, struck);
    println!("{manner}: {took:.1} s after an incident of the last two hours, by then of any age");
    cause(&console, struck);
}

/// Changes at Stripe after the secret is wrong: delivered, and without effect.
async fn as_it_happens(manner: &str) {
    let (sandbox, console, _state) = begin(manner);
    let http = client();
    let settings = format!("{}/app/settings", sandbox.variable("NIGHTDESK_SANDBOX_URL"));
    let answer = http.post(settings).json(&json!({ "webhook_secret": "whsec_ofAnotherEndpoint" })).send().await.expect("an answer");
    assert!(answer.status().is_success(), "{}", answer.status());
    let base = sandbox.variable("STRIPE_API_BASE");
    let key = sandbox.variable("STRIPE_SECRET_KEY");
    let list: Value = http
        .get(format!("{base}/v1/subscriptions?limit=100&status=active"))
        .bearer_auth(key)
        .send()
        .await
        .expect("an answer")
        .json()
        .await
        .expect("a list");
    // The newest belong to the findings of an ordinary start.
    let stay = list["data"].as_array().expect("a list").iter().filter(|s| s["cancel_at_period_end"] == false);
    let first = Instant::now();
    for subscription in stay.skip(20).take(CHANGES) {
        let url = format!("{base}/v1/subscriptions/{}", subscription["id"].as_str().expect("an id"));
        let answer = change(http.post(url).bearer_auth(key)).send().await.expect("an answer");
        assert!(answer.status().is_success(), "{}", answer.status());
    }
    let took = sentence(&console, first);
    println!(
        "{manner}: {took:.1} s after the first event, {:.1} s after it had settled; asked at {}",
        took - SETTLING,
        Utc::now().format("%H:%M:%SZ")
    );
    cause(&console, first);
    let since = Utc::now() - chrono::Duration::hours(1);
    let undelivered = format!("{base}/v1/events?limit=100&delivery_success=false&created[gte]={}", since.timestamp());
    let list: Value = http.get(undelivered).bearer_auth(key).send().await.expect("an answer").json().await.expect("a list");
    println!("{manner}: Stripe lists {} of them as undelivered", list["data"].as_array().map_or(0, Vec::len));
}

fn begin(manner: &str) -> (Sandbox, Terminal, tempfile::TempDir) {
    let sandbox = Sandbox::start(2_000, &["--manner", manner]);
    let state = tempfile::tempdir().expect("a directory");
    let mut variables: Vec<(String, String)> = sandbox.variables.clone().into_iter().collect();
    variables.push(("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()));
    let console = Terminal::start(120, 36, &[], &variables);
    console.wait_until("the findings of an ordinary start", |s| s.contains("Placeholder id in the row") && !s.contains("looking closer"));
    (sandbox, console, state)
}

/// Seconds from then until Home says it.
fn sentence(console: &Terminal, since: Instant) -> f64 {
    served::wait(SENTENCE, Duration::from_secs(300), || console.screen().contains(SENTENCE));
    since.elapsed().as_secs_f64()
}

/// Prints the sentence as it stands, once its cause is there or after a while.
fn cause(console: &Terminal, since: Instant) {
    let named = |screen: &str| screen.to_lowercase().contains("sign");
    let began = Instant::now();
    while !named(&console.screen()) && began.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(50));
    }
    let screen = console.screen();
    let lines: Vec<&str> = screen.lines().map(str::trim).collect();
    let at = lines.iter().position(|l| l.contains(SENTENCE)).unwrap_or(0);
    println!("    {:.1} s: {}", since.elapsed().as_secs_f64(), lines[at..].iter().take(2).copied().collect::<Vec<_>>().join(" | "));
}

/// What somebody does who does not want to stay.
fn change(request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
    request.header("Content-Type", "application/x-www-form-urlencoded").body("cancel_at_period_end=true")
}

fn client() -> reqwest::Client {
    reqwest::Client::builder().no_proxy().build().expect("a client")
}
