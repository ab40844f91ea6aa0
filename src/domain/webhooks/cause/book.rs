//! The rule book: which evidence about an event means which cause, and what helps. One rule is one entry; who reads them is elsewhere.

use super::Cause;
use super::evidence::{Held, Named};
use super::look::{Look, TOLERANCE_SECONDS, cut};
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::log::LogLine;
use crate::domain::webhooks::probe::{Came, Shot};
use crate::domain::webhooks::saying::Saying;
use crate::domain::webhooks::verdict::Verdict;
use crate::domain::{age, mask};

/// One entry of the book.
pub(super) struct Rule {
    /// For the evidence and for tests.
    pub name: &'static str,
    /// The reason in one sentence, where the rule applies.
    pub when: fn(&Look) -> Option<String>,
    pub cause: Cause,
    pub advice: Advice,
}

/// What helps, in one sentence.
pub(super) enum Advice {
    Always(&'static str),
    /// As long as it stands in the way of every event; and once it is over.
    While(&'static str, &'static str),
}

use Advice::{Always, While};

const SECRET: Advice = While(
    "Set the application's webhook secret to the endpoint's and restart it; until then copying from Stripe helps, resending does not.",
    "Signatures are accepted again: resending helps.",
);
const CLOCK: Advice = While(
    "Put the application's clock right (NTP); until then copying from Stripe helps, resending does not.",
    "Signatures are accepted again: resending helps.",
);
const DATABASE: Advice = While(
    "Look at the application's connections and grants; until its updates pass, copying from Stripe helps, resending does not.",
    "Its updates pass again: resending helps.",
);
const SHAPE: Advice = While(
    "Roll the application back, or pin its endpoint to the API version that it reads; until then copying from Stripe helps, resending does not.",
    "It reads the objects again: resending helps.",
);
const UNLINKED: Advice = Always("Linking the row to the customer helps; resending does not, it would find nobody again.");
const PROFILE: Advice = Always("Check metadata.profileId at Stripe: it must be the id of a profile. Resending repeats what it says.");
const OVERTAKEN: Advice = Always("Copying from Stripe helps; the application should compare times before it writes.");
const PATH: Advice = While(
    "Correct the URL at Stripe, or serve the path; until then copying from Stripe helps, resending does not.",
    "The path is served again: resending helps.",
);
const REACH: Advice = While(
    "Bring the endpoint up and probe it; Stripe tries again for up to three days, copying from Stripe helps at once.",
    "It takes events again: resending helps.",
);

/// First what the event is, since of some nothing is due whatever happened to them. Then whether an older one was applied after all that is
/// known of it. Then what the application said about this very event: no witness is better, and a later state of row or endpoint cannot
/// contradict it. Then what the row itself tells. Then what was in the way
/// of all events at the time, and at last what the endpoint is like now, which may not be what it was like then.
pub(super) const BOOK: &[Rule] = &[
    // -- what the event is
    Rule {
        name: "type not handled",
        when: |l| {
            let unhandled = l.e.verdict == Verdict::UnhandledType || !HANDLED.contains(&l.e.kind.as_str());
            unhandled.then(|| format!("The application acknowledges {} and does nothing about it.", l.e.kind))
        },
        cause: Cause::TypeNotHandled,
        advice: Always("Nothing is due; resending changes nothing."),
    },
    Rule {
        name: "event of the other mode",
        when: |l| {
            let ours = l.scene.livemode.filter(|ours| *ours != l.e.livemode)?;
            Some(format!("It is a {} event, and our key is a {} one.", mode(l.e.livemode), mode(ours)))
        },
        cause: Cause::ModeMismatch,
        advice: Always("Events of the other mode belong to the other environment; open that one."),
    },
    // -- what came after it
    Rule { name: "overtaken since", when: |l| l.was_overtaken_since().then(overtaken), cause: Cause::OlderApplied, advice: OVERTAKEN },
    // -- what the application said about this very event
    Rule {
        name: "the log: other mode",
        when: |l| l.said(Saying::Mode).map(told),
        cause: Cause::ModeMismatch,
        advice: Always("The application uses a key of the other mode: give it this account's, then resend."),
    },
    // A key that is none and a profile that is gone are Stripe's side of "not found"; a placeholder is the database's.
    Rule {
        name: "the log: malformed profile",
        when: |l| l.said(Saying::MalformedProfile).map(told),
        cause: Cause::ProfileNotFound,
        advice: PROFILE,
    },
    Rule {
        name: "the log: no such profile",
        when: |l| {
            let line = l.said(Saying::NotFound)?;
            match &l.e.named {
                Named::Malformed(text) => Some(format!("Metadata names `{}`, which is no profile's id.", cut(text))),
                Named::Gone(key) => Some(format!("Metadata names profile {}, and there is none.", mask::id(key.as_str()))),
                Named::Nobody if l.e.held == Held::Unknown => Some(told(line)),
                _ => None,
            }
        },
        cause: Cause::ProfileNotFound,
        advice: PROFILE,
    },
    Rule {
        name: "the log: found nobody",
        when: |l| {
            let line = l.said(Saying::NotFound)?;
            Some(match &l.e.held {
                Held::Customer => "The handler found no row for the customer when the event came; it is linked now.".into(),
                held => nobody(held).unwrap_or_else(|| told(line)),
            })
        },
        cause: Cause::NoRowForCustomer,
        advice: UNLINKED,
    },
    Rule {
        name: "the log: unknown price",
        when: |l| l.said(Saying::UnknownPrice).map(told),
        cause: Cause::PriceNotMapped,
        advice: Always("Teach the application the price; until then copying from Stripe helps, resending does not."),
    },
    Rule { name: "the log: too old", when: |l| l.said(Saying::Tolerance).map(skewed), cause: Cause::ClockSkew, advice: CLOCK },
    Rule { name: "the log: signature", when: |l| l.said(Saying::Signature).map(told), cause: Cause::BadSignature, advice: SECRET },
    Rule { name: "the log: shape", when: |l| l.said(Saying::Shape).map(told), cause: Cause::ApiVersion, advice: SHAPE },
    Rule {
        name: "the log: database",
        when: |l| l.said(Saying::Database).or_else(|| l.said(Saying::Connections)).map(told),
        cause: Cause::Database,
        advice: DATABASE,
    },
    Rule {
        name: "the log: duplicate",
        when: |l| l.said(Saying::Duplicate).map(told),
        cause: Cause::Duplicate,
        advice: Always("The application holds it for done; copying from Stripe helps, resending does not."),
    },
    // -- what our own delivery was answered
    Rule { name: "the answer: too old", when: |l| l.answered(Saying::Tolerance).map(answer), cause: Cause::ClockSkew, advice: CLOCK },
    Rule { name: "the answer: signature", when: |l| l.answered(Saying::Signature).map(answer), cause: Cause::BadSignature, advice: SECRET },
    Rule { name: "the answer: shape", when: |l| l.answered(Saying::Shape).map(answer), cause: Cause::ApiVersion, advice: SHAPE },
    Rule {
        name: "the answer: database",
        when: |l| l.answered(Saying::Database).or_else(|| l.answered(Saying::Connections)).map(answer),
        cause: Cause::Database,
        advice: DATABASE,
    },
    // -- what the row tells
    Rule { name: "older object in the row", when: |l| l.was_overtaken().then(overtaken), cause: Cause::OlderApplied, advice: OVERTAKEN },
    // An event that never came as far as the handler was kept out before anybody looked for a row, whatever the row holds.
    Rule { name: "kept out: too old", when: |l| kept_out(l, Saying::Tolerance).map(skewed), cause: Cause::ClockSkew, advice: CLOCK },
    Rule { name: "kept out: signature", when: |l| kept_out(l, Saying::Signature).map(told), cause: Cause::BadSignature, advice: SECRET },
    Rule { name: "unlinked row", when: |l| nobody(&l.e.held), cause: Cause::NoRowForCustomer, advice: UNLINKED },
    Rule {
        name: "no such profile",
        when: |l| match &l.e.named {
            _ if l.e.held == Held::Customer => None,
            Named::Malformed(text) => Some(format!("Metadata names `{}`, which is no profile's id.", cut(text))),
            Named::Gone(key) => Some(format!("Metadata names profile {}, and there is none.", mask::id(key.as_str()))),
            Named::Unknown | Named::Nobody | Named::Profile(_) => None,
        },
        cause: Cause::ProfileNotFound,
        advice: PROFILE,
    },
    Rule {
        name: "unmapped price",
        when: |l| l.e.unmapped.as_ref().map(|price| format!("Price {price} is mapped to no tier.")),
        cause: Cause::PriceNotMapped,
        advice: Always("Map the price under [tiers] in the configuration, or give it a lookup key."),
    },
    Rule {
        name: "applied once",
        when: |l| l.was_applied().then(|| "The application processed the event, and the row has been changed since.".to_string()),
        cause: Cause::WrittenOver,
        advice: Always(
            "Copying from Stripe helps; find out who wrote the row, or what was restored. Resending does not, it is a duplicate.",
        ),
    },
    // -- what was said at the time about no event by name
    Rule {
        name: "at the time: database",
        when: |l| l.around(Saying::Database).or_else(|| l.around(Saying::Connections)).map(told),
        cause: Cause::Database,
        advice: DATABASE,
    },
    Rule { name: "at the time: shape", when: |l| l.around(Saying::Shape).map(told), cause: Cause::ApiVersion, advice: SHAPE },
    Rule {
        name: "at the time: malformed profile",
        when: |l| l.around(Saying::MalformedProfile).map(told),
        cause: Cause::ProfileNotFound,
        advice: PROFILE,
    },
    // -- how the endpoint is registered
    Rule {
        name: "endpoint disabled",
        when: |l| {
            let endpoint = l.scene.endpoint().filter(|e| !e.enabled && l.may_be_unsent())?;
            Some(format!("The endpoint {} is disabled at Stripe: it sends nothing there.", mask::id(endpoint.id.as_str())))
        },
        cause: Cause::EndpointDisabled,
        advice: Always("Enable the endpoint for what comes; what is missing is copied from Stripe, resending does not reach it."),
    },
    Rule {
        name: "not subscribed",
        when: |l| {
            let endpoint = l.scene.endpoint().filter(|e| !e.subscribes_to(&l.e.kind) && l.may_be_unsent())?;
            Some(format!("The endpoint {} is not subscribed to {}.", mask::id(endpoint.id.as_str()), l.e.kind))
        },
        cause: Cause::NotSubscribed,
        advice: Always("Subscribe the endpoint to the type for what comes; what has happened is copied from Stripe, it is not resent."),
    },
    Rule {
        name: "endpoint of the other mode",
        when: |l| {
            let endpoint = l.scene.endpoint().filter(|e| e.livemode != l.e.livemode)?;
            Some(format!("It is a {} event, and the endpoint is a {} one.", mode(l.e.livemode), mode(endpoint.livemode)))
        },
        cause: Cause::ModeMismatch,
        advice: Always("Register an endpoint of the event's mode for what comes; copying from Stripe helps."),
    },
    Rule {
        name: "no endpoint for the URL",
        when: |l| {
            let (all, url) = l.scene.endpoints.as_ref().zip(l.scene.url.as_ref())?;
            let elsewhere = l.scene.leads_astray() && !l.is_seen() && !l.e.recovered;
            let whither = all.iter().find(|e| e.enabled).map_or("nowhere".into(), |e| format!("to {}", e.url));
            elsewhere.then(|| format!("Stripe sends {whither}, and the application takes events at {url}."))
        },
        cause: Cause::WrongPath,
        advice: PATH,
    },
    Rule {
        name: "no endpoint for the URL until lately",
        when: |l| {
            let until = l.scene.astray_until.filter(|until| l.e.at < *until && !l.is_seen())?;
            Some(format!("Until {} no endpoint at Stripe led to the application.", until.format("%H:%MZ")))
        },
        cause: Cause::WrongPath,
        advice: Always("An endpoint leads to the application again: copying from Stripe helps, and so does resending."),
    },
    // -- what the endpoint answers now
    Rule {
        name: "probe: DNS",
        when: |l| came(l, |c| matches!(c, Came::Dns), "The endpoint's name leads nowhere."),
        cause: Cause::Dns,
        advice: REACH,
    },
    Rule {
        name: "probe: TLS",
        when: |l| match l.path()? {
            Came::Tls(why) => Some(format!("No secure connection to the endpoint: {}.", cut(why))),
            _ => None,
        },
        cause: Cause::Tls,
        advice: REACH,
    },
    Rule {
        name: "probe: refused",
        when: |l| came(l, |c| matches!(c, Came::Refused), "Nothing listens where Stripe sends its events."),
        cause: Cause::Down,
        advice: REACH,
    },
    Rule {
        name: "probe: time-out",
        when: |l| came(l, |c| matches!(c, Came::Timeout), "The endpoint takes the connection and does not answer in time."),
        cause: Cause::Timeout,
        advice: REACH,
    },
    Rule {
        name: "probe: redirect",
        when: |l| match l.path()? {
            Came::Answer { status: status @ 300..=399, location, .. } => {
                let whither = location.as_ref().map_or(String::new(), |to| format!(" to {}", cut(to)));
                Some(format!("The endpoint redirects{whither} ({status}), and Stripe does not follow."))
            }
            _ => None,
        },
        cause: Cause::Redirect,
        advice: While(
            "Register the URL that it redirects to; until then copying from Stripe helps, resending does not.",
            "The redirect is gone: resending helps.",
        ),
    },
    Rule {
        name: "probe: no such path",
        when: |l| {
            l.path_answer().filter(|(s, _)| matches!(s, 404 | 405 | 410)).map(|(s, _)| format!("The path answers {s}: nobody serves it."))
        },
        cause: Cause::WrongPath,
        advice: PATH,
    },
    Rule {
        name: "probe: nobody behind the proxy",
        when: |l| {
            let (status, _) = l.path_answer().filter(|(s, _)| (502..=504).contains(s))?;
            Some(format!("What stands in front answers {status}: it does not reach what handles webhooks."))
        },
        cause: Cause::Down,
        advice: REACH,
    },
    Rule {
        name: "probe: clock",
        when: |l| {
            let skew = l.skew()?;
            let (far, whither) = (age::rounded(skew.abs()), if skew < 0 { "behind" } else { "ahead" });
            Some(format!("The application's clock is {far} {whither}; signatures may be {} old.", tolerance()))
        },
        cause: Cause::ClockSkew,
        advice: CLOCK,
    },
    Rule {
        name: "probe: right signature refused",
        when: |l| {
            let Came::Answer { status, body, .. } = l.came(Shot::Signed)? else { return None };
            let words = super::saying(body) == Some(Saying::Signature);
            (words || matches!(status, 400 | 401 | 403)).then(|| format!("It refuses a right signature: {status} {}.", cut(body)))
        },
        cause: Cause::BadSignature,
        advice: SECRET,
    },
    Rule {
        name: "probe: database",
        when: |l| match l.came(Shot::Ready)? {
            Came::Answer { status: status @ 500.., .. } => {
                Some(format!("The application runs and does not reach its database: /ready answers {status}."))
            }
            _ => None,
        },
        cause: Cause::Database,
        advice: DATABASE,
    },
    // -- where it can have ended, if nobody says anything
    Rule {
        name: "application down",
        when: |l| (l.scene.was_down(l.e.at) && !l.e.recovered && !l.is_seen()).then(|| "The application does not answer.".to_string()),
        cause: Cause::Down,
        advice: REACH,
    },
    Rule {
        name: "never sent",
        when: |l| {
            let say = "Stripe owes nobody a delivery of it, and the application never saw it: the endpoint was off, or not subscribed, when it happened.";
            (l.log_is_silent() && !l.e.pending).then(|| say.to_string())
        },
        cause: Cause::NeverSent,
        advice: Always("Copying from Stripe helps; Stripe does not resend to an endpoint that was off when the event happened."),
    },
    Rule {
        name: "reached nobody",
        when: |l| {
            let say = "Stripe still owes a delivery of it, and the application never saw it: it reached nobody.";
            (l.log_is_silent() && l.e.pending).then(|| say.to_string())
        },
        cause: Cause::Down,
        advice: While(
            "A probe of the endpoint tells what stands in the way; copying from Stripe helps at once.",
            "The application takes events again: resending helps.",
        ),
    },
];

/// What was said around the event, where the event itself never came as far as the handler. Where a log names no events, what the row holds
/// is the better witness.
fn kept_out<'a>(look: &Look<'a>, what: Saying) -> Option<&'a LogLine> {
    let line = look.around(what)?;
    (look.is_unseen() || !look.is_seen() && nobody(&look.e.held).is_none()).then_some(line)
}

fn overtaken() -> String {
    "The row is as an older event had it: that one was applied after this one.".into()
}

/// Why a handler that looks the customer up finds no row.
fn nobody(held: &Held) -> Option<String> {
    match held {
        Held::Placeholder(id) => Some(format!("The row holds {}, so the handler finds nobody.", mask::id(id))),
        Held::Other(Some(id)) => Some(format!("The row holds another customer, {}, so the handler finds nobody.", mask::id(id))),
        Held::Other(None) => Some("The row holds no customer, so the handler finds nobody.".into()),
        Held::NoRow => Some("The profile has no subscription row, so the handler finds nobody.".into()),
        Held::Nowhere => Some("No row holds the customer, so the handler finds nobody.".into()),
        Held::Unknown | Held::Customer => None,
    }
}

fn came(look: &Look, is: fn(&Came) -> bool, because: &str) -> Option<String> {
    look.path().filter(|c| is(c)).map(|_| because.to_string())
}

fn told(line: &LogLine) -> String {
    format!("The application's log says: {}.", cut(line.text.trim_end_matches('.')))
}

fn skewed(line: &LogLine) -> String {
    format!("{} Its clock, or ours, is more than {} off.", told(line), tolerance())
}

fn answer(answer: String) -> String {
    format!("It answered {}.", cut(&answer))
}

fn tolerance() -> String {
    age::words(TOLERANCE_SECONDS)
}

fn mode(live: bool) -> &'static str {
    if live { "live" } else { "test" }
}
