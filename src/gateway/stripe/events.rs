//! Stripe's events: a range of them page by page, and one with its whole object.

use super::client::Lane;
use super::decode;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::text::is_hostile;
use crate::domain::webhooks::endpoint::HANDLED;
use crate::protocol::query::{EventRange, Reply};
use stripe_core::event::{ListEvent, RetrieveEvent};
use stripe_types::{RangeBoundsTs, RangeQueryTs};

/// One page of the range. What cannot be read as an event stands beside the others as it is.
pub async fn page(lane: Lane<'_>, range: &EventRange) -> Result<Reply, Fault> {
    let answer = lane.json(&request(range)).await?;
    let (events, raw) = decode::beside(&answer, decode::event)?;
    Ok(Reply::EventPage { events, raw, next: decode::next(&answer), clock_ahead: lane.client.ahead() })
}

/// One event as Stripe renders it, indented; `None` where Stripe no longer has it.
pub async fn whole(lane: Lane<'_>, id: &StripeId) -> Result<Option<String>, Fault> {
    let found = lane.maybe(&RetrieveEvent::new(id.as_str())).await?;
    let harmless = |text: String| text.chars().map(|c| if c != '\n' && is_hostile(c) { '\u{FFFD}' } else { c }).collect();
    Ok(found.map(|value| harmless(serde_json::to_string_pretty(&value).expect("invariant: JSON renders"))))
}

fn request(range: &EventRange) -> ListEvent {
    let bounds = RangeBoundsTs { gt: None, gte: Some(range.since.timestamp()), lt: None, lte: range.until.map(|u| u.timestamp()) };
    let mut request = ListEvent::new().created(RangeQueryTs::Bounds(bounds)).limit(100);
    if range.handled_only {
        request = request.types(HANDLED.iter().map(ToString::to_string).collect::<Vec<_>>());
    }
    if range.undelivered_only {
        request = request.delivery_success(false);
    }
    match &range.after {
        Some(last) => request.starting_after(last.as_str()),
        None => request,
    }
}
