//! Attribution: the first rule of the book that applies to an event names its cause; and the sentence for many events of one cause.

use super::book::Advice::{Always, While};
use super::book::BOOK;
use super::evidence::{Attributed, Evidence, Scene};
use super::look::{Look, cut};
use super::remedy::remedy;
use super::{Cause, Remedy};
use crate::domain::At;
use crate::domain::webhooks::deploy::Deploy;

/// The cause of a missing or contradicted effect, at `now`. Where no rule applies it is unknown, with what was said or answered.
#[must_use]
pub fn attribute(evidence: &Evidence, scene: &Scene, now: At) -> Attributed {
    let look = Look::new(evidence, scene, now);
    let found = BOOK.iter().find_map(|rule| Some((rule, (rule.when)(&look)?)));
    let raw = look.raw();
    let (cause, name, because, advice) = match found {
        Some((rule, because)) => {
            let advice = match rule.advice {
                Always(say) => say,
                While(_, over) if evidence.may_be_over() => over,
                While(still, _) => still,
            };
            (rule.cause, rule.name, because, advice)
        }
        None => (Cause::Unknown, "", unexplained(&look, raw.as_deref()), unknown_advice(&look)),
    };
    let (remedy, say) = remedy(cause, &look);
    let helps = say.unwrap_or_else(|| advice.to_string());
    Attributed { cause, rule: name.into(), because, helps, remedy, raw, evidence: look.lines() }
}

/// The sentence below a finding about many events: what it likely is, and what changed just before. `first`: the first event that it hit.
/// `None` where the cause is not known.
#[must_use]
pub fn likely(cause: Cause, first: At, scene: &Scene) -> Option<String> {
    let (what, change) = match cause {
        Cause::BadSignature => ("the signing secret", "changed"),
        Cause::WrongPath => ("the webhook path", "changed"),
        Cause::Redirect => ("a redirect in front of the webhook path", "came"),
        Cause::Tls => ("the endpoint's certificate", "changed"),
        Cause::Dns => ("the endpoint's name", "changed"),
        Cause::Timeout => ("a handler that answers too late", "came"),
        // That it reached nobody then does not mean that it would reach nobody now.
        Cause::Down if !scene.takes_nothing() => ("the endpoint, which could not be reached", "went out of reach"),
        Cause::Down => ("the endpoint, which takes nothing", "went down"),
        Cause::Database => ("the application's database", "began to fail"),
        Cause::ApiVersion => ("the handler, which cannot read the objects", "changed"),
        Cause::ClockSkew => ("the application's clock", "changed"),
        Cause::PriceNotMapped => ("a price that the application does not know", "came"),
        Cause::EndpointDisabled => ("the endpoint, which is disabled at Stripe", "was disabled"),
        Cause::NeverSent => ("the endpoint, which was off or not subscribed", "was switched off"),
        Cause::NotSubscribed => ("the endpoint's subscriptions", "changed"),
        Cause::ModeMismatch => ("keys of the other mode", "came"),
        Cause::ProfileNotFound
        | Cause::NoRowForCustomer
        | Cause::TypeNotHandled
        | Cause::OlderApplied
        | Cause::Duplicate
        | Cause::WrittenOver
        | Cause::Unknown => return None,
    };
    let time = |at: At| at.format("%H:%M").to_string();
    let by_deploy = scene
        .deployed_before(first)
        .filter(|_| cause.may_be_deployed())
        .map(|Deploy { version, at, .. }| format!("deploy {version} at {}", time(*at)));
    // A restart alone is weaker, and still what somebody did just before.
    let by_start = || scene.log.as_ref()?.started_before(first).map(|at| format!("the restart at {}", time(at)));
    Some(match by_deploy.or_else(by_start) {
        Some(with) => format!("Likely {what}: it {change} with {with}."),
        None => format!("Likely {what}, since {}.", time(first)),
    })
}

impl Remedy {
    /// The words in lists and plans.
    #[must_use]
    pub fn say(&self) -> &str {
        match self {
            Remedy::Resend => "Stripe resends it",
            Remedy::Deliver => "we deliver it, signed anew",
            Remedy::Apply => "copy from Stripe",
            Remedy::Link => "link, then copy from Stripe",
            Remedy::Skip(why) => why,
        }
    }
}

/// The sentence of an unknown cause: the raw text, and how far the event is known to have come.
fn unexplained(look: &Look, raw: Option<&str>) -> String {
    match raw {
        Some(raw) => cut(raw),
        None if look.log_begins_later() => "The log that is at hand begins after it, and nothing else says why it had no effect.".into(),
        None if look.e.pending => "Its delivery failed, and nothing here says why.".into(),
        None => "Its delivery was answered with success, or never made; nothing here says why it had no effect.".into(),
    }
}

fn unknown_advice(look: &Look) -> &'static str {
    match (&look.scene.log, &look.scene.probe) {
        (None, None) => "Copying from Stripe helps. The application's log and a probe of the endpoint would tell the cause.",
        (None, Some(_)) => "Copying from Stripe helps. The application's log would tell the cause.",
        (Some(_), None) => "Copying from Stripe helps. A probe of the endpoint may tell the cause.",
        (Some(_), Some(_)) => "Copying from Stripe helps; the cause is for whoever knows the application.",
    }
}
