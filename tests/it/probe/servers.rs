//! Probes against servers that are none of the application's: redirects, proxies, silence, wrong clocks, no TLS.

use super::{config, findings, open, probed};
use crate::bench::{Bench, Options};
use crate::command::Desk;
use chrono::{Duration, Utc};
use nightdesk::domain::webhooks::probe::{Came, Finding, Shot};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

/// A server that reads a request and answers every one with these bytes; with none it says nothing, and holds the line.
struct Raw {
    url: String,
    task: JoinHandle<()>,
}

impl Raw {
    async fn start(answer: Option<String>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/webhooks/stripe", listener.local_addr().unwrap());
        let task = tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let answer = answer.clone();
                tokio::spawn(async move {
                    let (mut request, mut read) = (vec![0; 8192], 0);
                    // The whole head, or the beginning of a TLS handshake.
                    while !request[..read].windows(4).any(|w| w == b"\r\n\r\n") && request[0] != 0x16 {
                        match stream.read(&mut request[read..]).await {
                            Ok(n) if n > 0 => read += n,
                            _ => return,
                        }
                    }
                    match answer {
                        Some(bytes) => {
                            let _ = stream.write_all(bytes.as_bytes()).await;
                            let _ = stream.shutdown().await;
                        }
                        None => std::future::pending().await,
                    }
                });
            }
        });
        Self { url, task }
    }

    /// An answer with its length.
    async fn saying(status: &str, headers: &str, body: &str) -> Self {
        Self::start(Some(format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len()))).await
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// What a probe finds where the registered endpoint is at that URL; the application itself is well.
async fn found_at(bench: &Bench, url: &str) -> Vec<Finding> {
    bench.simulator.set_webhook_url(url.to_string());
    let mut config = config(bench);
    config.webhook_url = Some(url.to_string());
    findings(&open(config)).await
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_answers_in_the_application_s_place_is_named() {
    use Finding as F;
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let official = "{\"error\":\"No signatures found matching the expected signature for payload\"}";
    for (status, headers, body, wanted) in [
        ("301 Moved Permanently", "Location: https://www.example.com/webhooks/stripe?token=abc\r\n", "", F::Redirects),
        ("308 Permanent Redirect", "Location: /webhooks/stripe/\r\n", "", F::Redirects),
        ("404 Not Found", "", "<html>nginx</html>", F::WrongPath),
        ("405 Method Not Allowed", "Allow: GET\r\n", "", F::WrongPath),
        ("401 Unauthorized", "WWW-Authenticate: Basic realm=\"staff\"\r\n", "", F::AuthProxy),
        ("403 Forbidden", "", "<html>blocked</html>", F::AuthProxy),
        ("502 Bad Gateway", "", "<html>nginx</html>", F::BadGateway),
        ("200 OK", "", "{\"ok\":true}", F::AcceptsForgeries),
        ("400 Bad Request", "", "The plain HTTP request was sent to HTTPS port", F::Tls),
        // It refuses everything, what is rightly signed too.
        ("400 Bad Request", "", official, F::WrongSecret),
    ] {
        let server = Raw::saying(status, headers, body).await;
        let found = found_at(&bench, &server.url).await;
        assert_eq!(found.first(), Some(&wanted), "{status} {body}: {found:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn where_nobody_answers_it_is_said_which_way() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    // Its port is taken, so that nobody else gets it, and not listened on.
    let seat = tokio::net::TcpSocket::new_v4().unwrap();
    seat.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let nobody = format!("http://{}/webhooks/stripe", seat.local_addr().unwrap());
    assert_eq!(found_at(&bench, &nobody).await, [Finding::Refused]);

    let plain = Raw::saying("400 Bad Request", "", "").await;
    assert_eq!(found_at(&bench, &plain.url.replace("http://", "https://")).await, [Finding::Tls]);

    let closing = Raw::start(Some(String::new())).await;
    assert_eq!(found_at(&bench, &closing.url).await, [Finding::Broken]);

    // A label that is too long for any name server: nobody is asked.
    let nowhere = format!("http://{}.invalid/webhooks/stripe", "x".repeat(64));
    assert_eq!(found_at(&bench, &nowhere).await, [Finding::Dns]);

    let silent = Raw::start(None).await;
    let begun = Instant::now();
    assert_eq!(found_at(&bench, &silent.url).await, [Finding::Timeout]);
    assert!(begun.elapsed().as_secs() < 15, "all at once: {:?}", begun.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_minutes_off_is_named_from_the_answer_s_date() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let late = "{\"error\":\"Timestamp outside the tolerance zone\"}";
    for (minutes, words) in [(10, "10 min ahead of"), (-10, "10 min behind")] {
        let date = (Utc::now() + Duration::minutes(minutes)).format("%a, %d %b %Y %H:%M:%S GMT");
        let server = Raw::saying("400 Bad Request", &format!("Date: {date}\r\n"), late).await;
        bench.simulator.set_webhook_url(server.url.clone());
        let mut config = config(&bench);
        config.webhook_url = Some(server.url.clone());
        let (_, said) = probed(&open(config)).await;
        assert_eq!(said.worst().finding, Finding::ClockOff, "{said:?}");
        assert!(said.worst().sentence.contains(words), "{said:?}");
        assert!(!said.has(Finding::WrongSecret), "the clock explains it: {said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_is_cut_and_cleaned() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let hostile = format!("\u{1b}]52;c;aGk=\u{7}{}", "x".repeat(3 << 20));
    let server = Raw::saying("400 Bad Request", "", &hostile).await;
    bench.simulator.set_webhook_url(server.url.clone());
    let mut config = config(&bench);
    config.webhook_url = Some(server.url.clone());
    let (probed, _) = probed(&open(config)).await;
    let Some(Came::Answer { body, .. }) = probed.came(Shot::WronglySigned) else { panic!("{probed:?}") };
    assert!(body.len() <= 1_100 && !body.chars().any(char::is_control), "{body:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn on_live_a_script_has_to_agree() {
    let bench = Bench::start(Options { customers: 60, ..Options::default() }).await;
    let server = Raw::saying("404 Not Found", "", "").await;
    bench.simulator.set_webhook_url(server.url.clone());
    let live = Desk::of(&bench).but("APP_WEBHOOK_URL", &server.url).in_production();
    live.say(&["probe", "--json"]).await.refused(&["LIVE", "two forged events", "--yes"]);
    let said = live.say(&["probe", "--json", "--yes"]).await;
    assert_eq!(said.code, Some(1), "{said:?}");
    assert_eq!(said.json()["findings"][0]["finding"], "wrong_path");
}
