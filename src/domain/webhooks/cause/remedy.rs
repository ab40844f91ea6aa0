//! What brings a missing effect about, by its cause and by what stands in the way of each means. It performs nothing.

use super::evidence::{Held, Named, Receipt};
use super::look::Look;
use super::{Cause, Remedy};
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::verdict::Verdict;

/// Stripe resends events, and shows them, for so many days.
pub(super) const RESENT_FOR_DAYS: i64 = 30;

/// The remedy, and its sentence where it says more than the rule's own advice.
pub(super) fn remedy(cause: Cause, look: &Look) -> (Remedy, Option<String>) {
    if let Some(why) = beyond_help(cause, look) {
        return (Remedy::Skip(why.clone()), Some(why));
    }
    match &look.e.held {
        Held::Placeholder(_) | Held::Other(_) | Held::Nowhere => {
            let say = "Linking the row to the customer helps; resending does not, it would find nobody again.";
            return (Remedy::Link, Some(say.into()));
        }
        Held::NoRow | Held::Unknown | Held::Customer => {}
    }
    if let Some(why) = would_be_in_vain(look) {
        return (Remedy::Apply, Some(why));
    }
    let unsent = matches!(cause, Cause::EndpointDisabled | Cause::NotSubscribed);
    match cannot_resend(look) {
        // Where a handler has to run, and nobody but us can have it run.
        why if (why.is_some() && passes(cause) && look.e.may_be_over() || unsent) && can_deliver(look) => {
            let say = "Stripe sends it nothing; policy lets us deliver it ourselves, signed anew, so that the handler runs.";
            (Remedy::Deliver, Some(say.into()))
        }
        Some(why) => (Remedy::Apply, Some(why)),
        None if passes(cause) && look.e.may_be_over() => (Remedy::Resend, None),
        // The handler finds the row now that it is linked.
        None if cause == Cause::NoRowForCustomer && look.e.held == Held::Customer => (Remedy::Resend, None),
        None => (Remedy::Apply, None),
    }
}

/// Causes that stand in the way of events for a while, and of none once they are over.
fn passes(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::BadSignature
            | Cause::WrongPath
            | Cause::Redirect
            | Cause::Tls
            | Cause::Dns
            | Cause::Timeout
            | Cause::Down
            | Cause::Database
            | Cause::ApiVersion
            | Cause::ClockSkew
            | Cause::Unknown
    )
}

/// Why nothing that we send or write can bring the effect about.
fn beyond_help(cause: Cause, look: &Look) -> Option<String> {
    let e = look.e;
    if cause == Cause::TypeNotHandled {
        return Some("Nothing is due: the application does not act upon this type, however often it is sent.".into());
    }
    if cause == Cause::ModeMismatch {
        return Some("Events of the other mode belong to the other environment; open that one.".into());
    }
    if let Some(price) = &e.unmapped {
        return Some(format!(
            "Map price {price} under [tiers] in the configuration, or give it a lookup key; until then nobody knows which tier is due."
        ));
    }
    match &e.named {
        // A row that holds the customer has no need of anybody's name.
        _ if e.held == Held::Customer => None,
        _ if e.held == Held::NoRow => {
            Some("The profile has no subscription row, and nothing here creates one: the application must.".into())
        }
        Named::Nobody => Some("Nothing at Stripe names a profile: find the customer by hand, and link the row.".into()),
        Named::Malformed(_) => Some("Correct metadata.profileId at Stripe first: it names no profile, and resending repeats that.".into()),
        Named::Gone(_) => Some("The profile that Stripe names does not exist: find out who paid before anything is written.".into()),
        Named::Unknown | Named::Profile(_) => {
            (e.verdict == Verdict::NoSubject).then(|| "No profile can be named: find the customer by hand, and link the row.".to_string())
        }
    }
}

/// We may deliver it, and the endpoint is there to take it.
fn can_deliver(look: &Look) -> bool {
    look.scene.deliver && !look.scene.application_down && HANDLED.contains(&look.e.kind.as_str())
}

/// Why no delivery of the event, by whomever, would bring its effect.
fn would_be_in_vain(look: &Look) -> Option<String> {
    let e = look.e;
    if (look.now - e.at).num_days() >= RESENT_FOR_DAYS {
        return Some(format!("Stripe resends events for {RESENT_FOR_DAYS} days, and this one is older; copying from Stripe helps."));
    }
    if matches!(e.receipt, Receipt::Processed(_)) || look.was_applied() {
        return Some("The application takes a second delivery for a duplicate; copying from Stripe helps.".into());
    }
    None
}

/// Why Stripe cannot send the event once more, and what works.
fn cannot_resend(look: &Look) -> Option<String> {
    let e = look.e;
    let endpoint = look.scene.endpoint();
    match endpoint {
        Some(endpoint) if !endpoint.enabled => {
            Some("The endpoint is disabled at Stripe: enable it for what comes, and copy from Stripe what is missing.".into())
        }
        Some(endpoint) if HANDLED.contains(&e.kind.as_str()) && !endpoint.subscribes_to(&e.kind) => Some(format!(
            "Subscribe the endpoint to {} for what comes; what has happened is not resent to it, copying from Stripe helps.",
            e.kind
        )),
        None if look.scene.endpoints.as_ref().is_some_and(|all| all.is_empty() || look.scene.url.is_some()) => {
            Some("No endpoint at Stripe has the configured URL: register it for what comes, and copy from Stripe what is missing.".into())
        }
        _ => None,
    }
}
