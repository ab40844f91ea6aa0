//! This machine's clock against Stripe's: what `check` and `webhooks` say of it, asked through a proxy whose answers bear another date.

use crate::bench::{Bench, Options, http};
use crate::command::Desk;
use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use chrono::{Duration, Utc};
use nightdesk::sandbox::incidents::Incident;

/// Where to ask instead: Stripe's clock seems that far ahead of ours. It serves as long as the test's runtime lives.
async fn dated(simulator: String, ahead: Duration) -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let router = Router::new().fallback(pass).with_state((simulator, http(), ahead));
    tokio::spawn(async move { axum::serve(listener, router).await });
    format!("http://{address}")
}

async fn pass(State((simulator, http, ahead)): State<(String, reqwest::Client, Duration)>, uri: Uri, headers: HeaderMap) -> Response {
    let key = headers.get(header::AUTHORIZATION).expect("a key").clone();
    let answer = http.get(format!("{simulator}{uri}")).header(header::AUTHORIZATION, key).send().await.expect("an answer");
    let status = StatusCode::from_u16(answer.status().as_u16()).expect("a status");
    let date = (Utc::now() + ahead).format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    (status, [(header::CONTENT_TYPE, "application/json".to_string()), (header::DATE, date)], answer.text().await.expect("a body"))
        .into_response()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clock_ten_minutes_off_is_named_by_check_and_by_the_list() {
    let bench = Bench::start(Options { customers: 300, ..Options::default() }).await;
    let desk = Desk::of(&bench);
    let base = desk.variable("STRIPE_API_BASE").to_string();
    for (ahead, sentence) in [
        (600, Some("This machine's clock is 10 min behind Stripe's")),
        (-600, Some("This machine's clock is 10 min ahead of Stripe's")),
        (0, None),
    ] {
        let desk = desk.but("STRIPE_API_BASE", &dated(base.clone(), Duration::seconds(ahead)).await);
        let (check, list) = (desk.say(&["check"]).await, desk.say(&["webhooks"]).await);
        for said in [&check, &list] {
            match sentence {
                Some(sentence) => assert!(said.out.contains(sentence), "{said:?}"),
                None => assert!(!said.out.contains("This machine's clock"), "{said:?}"),
            }
        }
        let said = desk.say(&["webhooks", "--json"]).await.json();
        let told = said["clock_ahead"].as_i64().expect("a number");
        assert!((told - ahead).abs() <= 5, "{told} for {ahead}");
    }
}

/// An effect of five minutes ago is missing, and one of just now is not yet; a clock that is off turns neither round.
#[tokio::test(flavor = "multi_thread")]
async fn what_a_replay_leaves_to_settle_goes_by_stripes_clock() {
    let bench = Bench::start(Options { customers: 300, ..Options::default() }).await;
    let desk = Desk::of(&bench);
    let base = desk.variable("STRIPE_API_BASE").to_string();
    let mut events = Vec::new();
    for ago in [5, 0] {
        // Whoever pays first did so eight minutes before the incident.
        let at = Utc::now() + Duration::minutes(8 - ago);
        let label = bench.ground.strike_at(Incident::MissedWebhooks, 1, at).await.expect("there are enough").remove(0);
        events.push(label.subject.event.expect("an event"));
    }
    // How old each is by Stripe's clock decides, whatever this machine's says.
    for (ahead, missing) in [(0, [true, false]), (600, [true, true]), (-600, [false, false])] {
        let desk = desk.but("STRIPE_API_BASE", &dated(base.clone(), Duration::seconds(ahead)).await);
        for (event, missing) in events.iter().zip(missing) {
            let said = desk.say(&["replay", event, "--dry-run", "--json"]).await.well();
            assert_eq!(said["state"], if missing { "planned" } else { "done" }, "{ahead}: {said:#}");
            assert_eq!(said["says"].as_str().is_some_and(|s| s.contains("left to settle")), !missing, "{ahead}: {said:#}");
        }
    }
}
