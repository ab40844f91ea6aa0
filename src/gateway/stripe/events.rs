//! Stripe's events: those that can change a row since a point in time, a range of any of them page by page, and one with its whole object.

use super::client::Lane;
use super::decode;
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::domain::ids::StripeId;
use crate::domain::stripe::StripeEvent;
use crate::domain::text::is_hostile;
use crate::domain::webhooks::endpoint::HANDLED;
use crate::protocol::query::{EventRange, Reply};
use stripe_core::event::{ListEvent, RetrieveEvent};
use stripe_types::{RangeBoundsTs, RangeQueryTs};

const PAGES: usize = 5;

/// The events, newest first, and whether that is all of them.
pub async fn since(lane: Lane<'_>, at: At) -> Result<Reply, Fault> {
    let mut events: Vec<StripeEvent> = Vec::new();
    let mut unread = 0;
    let mut range = EventRange { since: at, until: None, handled_only: true, undelivered_only: false, after: None };
    for _ in 0..PAGES {
        let answer = lane.json(&request(&range)).await?;
        let (page, odd) = decode::readable(&answer, decode::event)?;
        events.extend(page);
        unread += odd;
        range.after = decode::next(&answer);
        if range.after.is_none() {
            return Ok(Reply::Events { events, complete: unread == 0 });
        }
    }
    Ok(Reply::Events { events, complete: false })
}

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
