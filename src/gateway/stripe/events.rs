//! Stripe's events: those that can change a row since a point in time, a range of any of them page by page, and one with its whole object.

use super::client::Lane;
use super::decode;
use crate::domain::At;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::StripeId;
use crate::domain::stripe::StripeEvent;
use crate::domain::text::{clean, is_hostile};
use crate::domain::webhooks::endpoint::HANDLED;
use crate::domain::webhooks::feed::RawEvent;
use crate::protocol::query::{EventRange, Reply};
use serde_json::Value;
use stripe_core::event::{ListEvent, RetrieveEvent};
use stripe_types::{RangeBoundsTs, RangeQueryTs};

const PAGES: usize = 5;
/// So much of an element that cannot be read is shown, in characters.
const RAW_AT_MOST: usize = 2_000;

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
        range.after = next(&answer);
        if range.after.is_none() {
            return Ok(Reply::Events { events, complete: unread == 0 });
        }
    }
    Ok(Reply::Events { events, complete: false })
}

/// One page of the range. What cannot be read as an event stands beside the others as it is.
pub async fn page(lane: Lane<'_>, range: &EventRange) -> Result<Reply, Fault> {
    let answer = lane.json(&request(range)).await?;
    let Some(elements) = answer["data"].as_array() else {
        return Err(Fault::new(Source::Stripe, FaultKind::Schema, "Stripe's answer is not the list of events that was asked for"));
    };
    let (mut events, mut raw) = (Vec::new(), Vec::new());
    for element in elements {
        match decode::event(element) {
            Some(event) => events.push(event),
            None => raw.push(RawEvent {
                id: element["id"].as_str().map(clean),
                text: clean(&element.to_string()).chars().take(RAW_AT_MOST).collect(),
            }),
        }
    }
    Ok(Reply::EventPage { events, raw, next: next(&answer) })
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

/// The last event of the page where another page follows. By its id alone: an element that cannot be read may be the last one.
fn next(answer: &Value) -> Option<StripeId> {
    let last = answer["data"].as_array().and_then(|d| d.last()).and_then(|v| v["id"].as_str());
    last.filter(|_| answer["has_more"] == true).and_then(|id| StripeId::parse(id).ok())
}
