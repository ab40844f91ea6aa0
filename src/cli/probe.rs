//! `nightdesk probe`: what stands at the webhook endpoint, as a table and a sentence.

use super::hands::Hands;
use super::{End, print_json};
use crate::domain::policy::Mode;
use crate::domain::webhooks::endpoint::Endpoint;
use crate::domain::webhooks::probe::{Assessment, Came, Found, Manner, Probed, Shot, Surroundings, assess};
use crate::protocol::query::{Query, Reply};
use serde::Serialize;
use std::io::{self, IsTerminal, Write};

#[derive(Serialize)]
struct Answer<'a> {
    url: &'a str,
    healthy: bool,
    /// `honest`, `swallowing`; none where no handler answered.
    manner: Option<Manner>,
    /// The worst first.
    findings: &'a [Found],
    /// How far the answering clock is ahead of Stripe's.
    clock_skew_seconds: Option<i64>,
    /// What is registered in Stripe; none where Stripe did not say.
    endpoints: Option<Vec<Registered<'a>>>,
    shots: Vec<Sent<'a>>,
}

#[derive(Serialize)]
struct Registered<'a> {
    id: &'a str,
    url: &'a str,
    enabled: bool,
    /// Whether this is the one that was probed.
    probed: bool,
    missing_types: Vec<&'static str>,
}

#[derive(Serialize)]
struct Sent<'a> {
    shot: Shot,
    /// `answer`, `refused`, `timeout`, `dns`, `tls`, `broken`, `not_sent`.
    came: &'static str,
    status: Option<u16>,
    milliseconds: Option<u64>,
    /// The first kilobyte.
    body: Option<&'a str>,
    location: Option<&'a str>,
    why: Option<&'a str>,
    says: &'a str,
}

/// Probes and tells. On LIVE it asks first, once.
///
/// # Errors
/// Nobody agreed, or there is nothing to probe.
pub async fn run(hands: &Hands, yes: bool, json: bool) -> Result<End, String> {
    if !yes && is_live(hands).await && !agreed(hands, json)? {
        return Ok(End::Refused("nothing was sent".into()));
    }
    let probed = match hands.ask(Query::Probe).await.map_err(|f| f.say)? {
        Reply::Probed(probed) => probed,
        _ => return Err("the probe was answered with something else".into()),
    };
    let read = hands.ask(Query::Endpoints).await;
    let endpoints = if let Ok(Reply::Endpoints(all)) = &read { Some(all.as_slice()) } else { None };
    let found = assess(&probed, &Surroundings { endpoints, configured: hands.env.webhook_url.as_deref() });
    if json {
        print_json(&answer(&probed, &found, endpoints));
    } else {
        let unread = read.as_ref().err().map(|f| f.say.as_str());
        print(&probed, &found, endpoints, unread);
    }
    Ok(if found.healthy() { End::Well } else { End::Badly })
}

/// A world that may be a live one is one.
pub async fn is_live(hands: &Hands) -> bool {
    let told = match hands.ask(Query::Account).await {
        Ok(Reply::Account(account)) => Some(account.livemode),
        _ => hands.sources().stripe().ok().and_then(|stripe| stripe.key_livemode()),
    };
    hands.env.production || Mode::of(told, false) == Mode::Mixed
}

/// Asks at the prompt, once.
fn agreed(hands: &Hands, json: bool) -> Result<bool, String> {
    let place = hands.env.webhook_url.as_deref().unwrap_or("the endpoint that is registered in Stripe");
    let signed = if hands.env.offers.signed_probe { ", and three of a type that nobody handles, signed with the real secret" } else { "" };
    let what = format!("this is LIVE: the probe posts two forged events{signed} to {place}");
    // Beside JSON no question would be seen.
    if json || !io::stdin().is_terminal() {
        return Err(format!("{what}; agree with --yes"));
    }
    let asked = || -> io::Result<String> {
        eprint!("{}\nIt changes nothing. Go on? [y/N] ", crate::domain::text::sentence(&what));
        io::stderr().flush()?;
        let mut line = String::new();
        io::stdin().read_line(&mut line)?;
        Ok(line)
    };
    let line = asked().map_err(|e| format!("the question could not be asked: {e}; agree with --yes"))?;
    Ok(matches!(line.trim(), "y" | "Y" | "yes"))
}

fn answer<'a>(probed: &'a Probed, found: &'a Assessment, endpoints: Option<&'a [Endpoint]>) -> Answer<'a> {
    let registered = |e: &'a Endpoint| Registered {
        id: e.id.as_str(),
        url: &e.url,
        enabled: e.enabled,
        probed: e.is_for(&probed.url),
        missing_types: e.lacks(),
    };
    Answer {
        url: &probed.url,
        healthy: found.healthy(),
        manner: found.manner,
        findings: &found.found,
        clock_skew_seconds: found.skew_seconds,
        endpoints: endpoints.map(|all| all.iter().map(registered).collect()),
        shots: probed.shots.iter().zip(&found.lines).map(|((shot, came), line)| sent(*shot, came, &line.says)).collect(),
    }
}

fn sent<'a>(shot: Shot, came: &'a Came, says: &'a str) -> Sent<'a> {
    let word = |came, why| Sent { shot, came, status: None, milliseconds: None, body: None, location: None, why, says };
    match came {
        Came::Answer { status, milliseconds, body, location, .. } => Sent {
            status: Some(*status),
            milliseconds: Some(*milliseconds),
            body: Some(body),
            location: location.as_deref(),
            ..word("answer", None)
        },
        Came::Refused => word("refused", None),
        Came::Timeout => word("timeout", None),
        Came::Dns => word("dns", None),
        Came::Tls(why) => word("tls", Some(why)),
        Came::Broken(why) => word("broken", Some(why)),
        Came::NotSent(why) => word("not_sent", Some(why)),
    }
}

fn print(probed: &Probed, found: &Assessment, endpoints: Option<&[Endpoint]>, unread: Option<&str>) {
    println!("{}", probed.url);
    for line in &found.lines {
        println!("  {:<16} {:<20} {}", line.shot.word(), line.came, line.says);
    }
    match endpoints {
        Some(all) => {
            for endpoint in all {
                let state = if endpoint.enabled { "enabled" } else { "disabled" };
                let here = if endpoint.is_for(&probed.url) { "this one" } else { "" };
                println!("  {:<16} {:<20} {}  {here}", "in Stripe", state, endpoint.url);
            }
        }
        None => println!("  {:<16} {}", "in Stripe", unread.unwrap_or("not read")),
    }
    if let Some(manner) = found.manner {
        println!("  {:<16} {}", "manner", manner.word());
    }
    for one in &found.found {
        println!("\n{:<6}{}", one.level.word(), one.sentence);
        if let Some(helps) = &one.helps {
            println!("      {helps}");
        }
    }
}
