//! The probe's verdict table: from what came back, and what is registered in Stripe, to findings, the worst first.

use super::finding::{Assessment, Finding, Found, Manner, ShotLine};
use super::read::{Reading, read, speaks_of_signature, speaks_of_time};
use super::target::{host, path, shown};
use super::{Came, Probed, Shot};
use crate::domain::age;
use crate::domain::text::sentence;
use crate::domain::webhooks::endpoint::Endpoint;

/// What is known besides the answers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Surroundings<'a> {
    /// The endpoints as they are registered; `None`: Stripe has not said.
    pub endpoints: Option<&'a [Endpoint]>,
    /// The configured webhook URL.
    pub configured: Option<&'a str>,
}

/// Stripe's libraries refuse a signature that is older or newer by more than this, in seconds.
const TOLERANCE: i64 = 300;
/// A clock that is off by more than this is worth a word, in seconds: `Date` has whole seconds, and an answer takes time.
const DRIFT: i64 = 60;

/// What the answers say.
#[must_use]
pub fn assess(probed: &Probed, around: &Surroundings<'_>) -> Assessment {
    let mut found = Vec::new();
    let none = Came::NotSent(String::new());
    let shot = |s: Shot| probed.came(s).unwrap_or(&none);
    let (unsigned, wrong) = (shot(Shot::Unsigned), shot(Shot::WronglySigned));
    // A forgery with a signature goes furthest: of one without, what stands in front may think otherwise.
    let forged = if matches!(wrong, Came::NotSent(_)) { unsigned } else { wrong };
    let skew = [forged, shot(Shot::Health), shot(Shot::Ready)].into_iter().find_map(skew);
    let at = shown(&probed.url);

    let lost = lost(forged, &at);
    let reached = lost.is_none();
    found.extend(lost);
    if [unsigned, wrong].into_iter().any(|came| read(came) == Reading::Taken) {
        let say = "it answers forgeries as if it took them";
        let help = "see that the handler verifies the signature before anything else, of every type; if it does not, shut the path to all but \
                    Stripe's addresses until it does";
        found.push(new(Finding::AcceptsForgeries, say, Some(help)));
    }
    found.extend(in_front(probed, forged, &at));
    registration(probed, around, &mut found);
    if let Some(clock) = clock(probed, skew, shot(Shot::Signed), [shot(Shot::TooOld), shot(Shot::TooNew)]) {
        found.push(clock);
    }
    secret(shot(Shot::Signed), shot(Shot::TooOld), &mut found);
    if reached {
        found.extend(readiness(shot(Shot::Health), shot(Shot::Ready)));
    }
    let manner = manner_of(beside(probed, forged));
    let (manner, unmannerly) = manner.map_or((None, None), |(manner, found)| (Some(manner), found));
    found.extend(unmannerly);
    if found.is_empty() {
        found.push(new(Finding::RejectsForgeries, "it answers, and refuses what is not signed by Stripe", None));
    }
    found.sort_by_key(|f| f.finding);
    let lines = probed.shots.iter().map(|(shot, came)| line(*shot, came, beside(probed, came))).collect();
    Assessment { found, manner, skew_seconds: skew, lines }
}

/// Whether the application accepts right signatures now. `None`: none was sent, or nothing tells its answer from that to a forgery.
#[must_use]
pub fn accepts_signatures(probed: &Probed) -> Option<bool> {
    let came = |shot: Shot| probed.came(shot).map_or(Reading::None, |came| beside(probed, came));
    match (came(Shot::Signed), came(Shot::WronglySigned)) {
        (Reading::Taken, _) => Some(true),
        // Success without a word: it tells something only where a forgery is answered otherwise.
        (Reading::Silent, Reading::Refused | Reading::Swallowed | Reading::Failed) => Some(true),
        (Reading::Refused, _) => Some(false),
        _ => None,
    }
}

/// What an answer says beside those to right signatures: who refuses without a word and takes one of them is the handler.
fn beside(probed: &Probed, came: &Came) -> Reading {
    let takes_some = || [Shot::Signed, Shot::TooOld, Shot::TooNew].into_iter().filter_map(|shot| probed.came(shot)).any(takes);
    match read(came) {
        Reading::Proxy if takes_some() => Reading::Refused,
        other => other,
    }
}

/// Where nothing of the application is reached at all.
fn lost(came: &Came, at: &str) -> Option<Found> {
    let host = host(at);
    let found = match came {
        Came::Dns => new(
            Finding::Dns,
            format!("no such host: {host} has no address"),
            Some("correct the DNS record, or the URL that is registered in Stripe"),
        ),
        Came::Refused => {
            new(Finding::Refused, format!("nothing listens at {host}"), Some("start the application, or what stands in front of it"))
        }
        Came::Tls(why) => new(
            Finding::Tls,
            format!("no secure connection to {host}: {why}"),
            Some("renew or correct the certificate; Stripe delivers over valid TLS only"),
        ),
        Came::Timeout => new(
            Finding::Timeout,
            format!("{host} does not answer within 5 s"),
            Some("look at the application's load and its database; answer Stripe first and work later"),
        ),
        Came::Broken(why) => new(
            Finding::Broken,
            format!("{host} breaks off: {why}"),
            Some("look at the application's log for a crash, and at what stands in front"),
        ),
        Came::Answer { .. } if read(came) == Reading::WantsTls => {
            new(Finding::Tls, format!("{host} speaks TLS only, and the URL begins with http://"), Some("register the URL with https://"))
        }
        Came::Answer { .. } | Came::NotSent(_) => return None,
    };
    Some(found)
}

/// Where something answers, and it is not the handler.
fn in_front(probed: &Probed, came: &Came, at: &str) -> Option<Found> {
    let Came::Answer { status, location, .. } = came else { return None };
    Some(match beside(probed, came) {
        Reading::NoSuchPath => new(
            Finding::WrongPath,
            format!("{status}: no handler is at {} for POST", path(at)),
            Some("register the application's real path in Stripe, or route this one to the handler"),
        ),
        Reading::Moved => {
            let to = location
                .as_deref()
                .map(|l| format!(" to {}", if l.contains("://") { shown(l) } else { path(l).to_string() }))
                .unwrap_or_default();
            new(
                Finding::Redirects,
                format!("{status}: it redirects{to}, and Stripe does not follow"),
                Some("register the URL that it leads to"),
            )
        }
        Reading::Gateway => new(
            Finding::BadGateway,
            format!("{status}: what stands in front answers, and cannot reach the application"),
            Some("restart the application; if it runs, look at the proxy's upstream"),
        ),
        Reading::Proxy if matches!(probed.came(Shot::Signed), Some(Came::Answer { .. })) => new(
            Finding::AuthProxy,
            format!(
                "{status} to a right signature too, without a word about signatures: something in front asks for credentials that Stripe has \
                 not got, or the handler verifies with another secret"
            ),
            Some(
                "exempt the webhook's path from the login, firewall or gateway in front; where there is none, give the application the signing \
                 secret that Stripe shows for this endpoint",
            ),
        ),
        Reading::Proxy => new(
            Finding::RefusesAll,
            format!(
                "{status} to a forgery, without a word about signatures: the handler refuses it, as it should, or something in front refuses \
                 everything"
            ),
            Some("look whether events have effects; with signed_probe and the webhook secret configured, the probe tells the two apart"),
        ),
        Reading::Limited => {
            new(Finding::Limited, "429: something in front limits requests", Some("exempt the webhook's path from the rate limit"))
        }
        _ => return None,
    })
}

fn registration(probed: &Probed, around: &Surroundings<'_>, found: &mut Vec<Found>) {
    let Some(endpoints) = around.endpoints else { return };
    let here: Vec<&Endpoint> = endpoints.iter().filter(|e| e.is_for(&probed.url)).collect();
    let Some(endpoint) = here.iter().find(|e| e.enabled).or_else(|| here.first()) else {
        let others: Vec<String> = endpoints.iter().take(3).map(|e| shown(&e.url)).collect();
        let registered = match endpoints.len() {
            0 => "no endpoint is registered in Stripe: nothing is delivered to anybody".to_string(),
            _ => format!("no endpoint in Stripe leads to {}; registered: {}", shown(&probed.url), others.join(", ")),
        };
        return found.push(new(
            Finding::NotRegistered,
            registered,
            Some("register the URL in Stripe, and give its secret to the application"),
        ));
    };
    if !endpoint.enabled {
        let say = format!("{} is disabled in Stripe: nothing is delivered", endpoint.id);
        let help = "enable it in Stripe; what was sent meanwhile does not come by itself: backfill";
        found.push(new(Finding::Disabled, say, Some(help)));
    }
    let lacks = endpoint.lacks();
    if !lacks.is_empty() {
        let say = format!("{} is not subscribed to {}", endpoint.id, lacks.join(", "));
        found.push(new(
            Finding::NotSubscribed,
            say,
            Some("subscribe it to these types in Stripe; then backfill: earlier events do not come"),
        ));
    }
    if let Some(configured) = around.configured.filter(|c| path(c) != path(&probed.url)) {
        let say = format!("Stripe sends to {}, and the configuration names {}", path(&probed.url), path(configured));
        found.push(new(Finding::PathDiffers, say, Some("make webhook_url and the registered URL the same")));
    }
    if here.iter().filter(|e| e.enabled).count() > 1 {
        let ids: Vec<&str> = here.iter().filter(|e| e.enabled).map(|e| e.id.as_str()).collect();
        let say = format!("{} lead to one URL: every event comes as many times, each signed with another secret", ids.join(" and "));
        found.push(new(Finding::Doubled, say, Some("disable all but one in Stripe")));
    }
}

fn clock(probed: &Probed, skew: Option<i64>, signed: &Came, others: [&Came; 2]) -> Option<Found> {
    let off = skew.filter(|s| s.abs() > DRIFT);
    let how = |s: i64| {
        let direction = if s > 0 { "ahead of" } else { "behind" };
        format!("{} {direction}", age::rounded(s.abs()))
    };
    let help = "set the clock of the application's machine (NTP); then backfill what was refused";
    let refused = matches!(beside(probed, signed), Reading::Refused | Reading::Swallowed);
    match off {
        Some(s) if s.abs() > TOLERANCE => {
            let say = format!("its clock is {} Stripe's: it takes every signature for too old or too new", how(s));
            Some(new(Finding::ClockOff, say, Some(help)))
        }
        _ if refused && (speaks_of_time(signed) || others.into_iter().any(takes)) => {
            let say = "it refuses a signature made this moment for its time: its clock is off by more than five minutes";
            Some(new(Finding::ClockOff, say, Some(help)))
        }
        Some(s) => {
            Some(new(Finding::ClockDrifts, format!("its clock is {} Stripe's: at five minutes signatures fail", how(s)), Some(help)))
        }
        None => None,
    }
}

fn secret(signed: &Came, old: &Came, found: &mut Vec<Found>) {
    let clock_is_off = found.iter().any(|f| f.finding == Finding::ClockOff);
    let refused = match read(signed) {
        Reading::Refused => true,
        Reading::Swallowed => speaks_of_signature(signed),
        _ => false,
    };
    if refused && !clock_is_off {
        let say = "it refuses what is signed with the configured webhook_secret: it verifies with another one";
        let help = "give the application the signing secret that Stripe shows for this endpoint, restart it, then backfill";
        found.push(new(Finding::WrongSecret, say, Some(help)));
    }
    if takes(signed) && takes(old) {
        let say = "it takes a right signature that is ten minutes old: a recorded delivery can be played back to it";
        found.push(new(Finding::TakesOld, say, Some("check the signature's age, as Stripe's libraries do")));
    }
}

fn takes(came: &Came) -> bool {
    matches!(read(came), Reading::Taken | Reading::Silent)
}

fn readiness(health: &Came, ready: &Came) -> Option<Found> {
    let help = "look at the application's database connections, then at its log";
    match (ready, health) {
        // Not everybody has a readiness check.
        (Came::Answer { status, .. }, _) if *status >= 500 => {
            Some(new(Finding::NotReady, format!("it runs and is not ready: /ready answers {status}"), Some(help)))
        }
        (Came::Timeout, _) => Some(new(Finding::NotReady, "it runs and is not ready: /ready does not answer within 5 s", Some(help))),
        (_, Came::Answer { status, .. }) if *status >= 500 => {
            Some(new(Finding::NotReady, format!("/health answers {status}"), Some("look at the application's log")))
        }
        _ => None,
    }
}

/// How the handler answers a forgery, where it was the handler, and what is wrong with that.
fn manner_of(forged: Reading) -> Option<(Manner, Option<Found>)> {
    let help =
        "answer 400 to a bad signature and 500 to a failure, so that Stripe sends again; until then only effects tell what was applied";
    match forged {
        Reading::Refused => Some((Manner::Honest, None)),
        Reading::Failed => {
            let say = "it answers 5xx to a forged signature, where a 400 belongs";
            Some((Manner::Honest, Some(new(Finding::Fails, say, Some("catch the failed verification in the handler, and answer 400")))))
        }
        Reading::Swallowed => {
            let say = "it refuses forgeries and answers 200 all the same: Stripe calls failures delivered and repeats nothing";
            Some((Manner::Swallowing, Some(new(Finding::SwallowsErrors, say, Some(help)))))
        }
        Reading::Silent => {
            let say = "it answers 200 to a forgery, and nothing says whether it was refused: Stripe calls everything delivered";
            Some((Manner::Swallowing, Some(new(Finding::SwallowsErrors, say, Some(help)))))
        }
        _ => None,
    }
}

fn line(shot: Shot, came: &Came, reading: Reading) -> ShotLine {
    let (text, says) = match came {
        Came::Answer { status, milliseconds, .. } => {
            let says = match (shot, reading) {
                (Shot::Health | Shot::Ready, _) => "",
                (_, Reading::Refused) => "refused",
                (_, Reading::Swallowed) => "refused in the body, 200 to Stripe",
                (_, Reading::Silent) => "says nothing",
                (_, Reading::Taken) => "taken",
                (_, Reading::Failed) => "failed",
                (_, Reading::Gateway) => "the proxy answers",
                (_, Reading::Proxy) => "refused without a word",
                (_, Reading::Moved) => "redirect",
                (_, Reading::NoSuchPath) => "no such path",
                (_, Reading::Limited) => "limited",
                (_, Reading::WantsTls) => "wants TLS",
                (_, Reading::None) => "",
            };
            (format!("{status} in {milliseconds} ms"), says)
        }
        Came::Refused => ("connection refused".into(), ""),
        Came::Timeout => ("no answer in 5 s".into(), ""),
        Came::Dns => ("no such host".into(), ""),
        Came::Tls(why) => (format!("TLS: {why}"), ""),
        Came::Broken(why) => (format!("broke off: {why}"), ""),
        Came::NotSent(why) => (format!("not sent: {why}"), ""),
    };
    ShotLine { shot, came: text, says: says.into() }
}

fn skew(came: &Came) -> Option<i64> {
    if let Came::Answer { skew_seconds, .. } = came { *skew_seconds } else { None }
}

fn new(finding: Finding, say: impl AsRef<str>, helps: Option<&str>) -> Found {
    Found { finding, level: finding.level(), sentence: sentence(say.as_ref()), helps: helps.map(sentence) }
}
