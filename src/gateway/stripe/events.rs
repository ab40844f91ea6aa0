//! Events that can change a row, since a point in time.

use super::client::Lane;
use super::decode;
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::domain::stripe::StripeEvent;
use crate::protocol::query::Reply;
use stripe_core::event::ListEvent;
use stripe_types::{RangeBoundsTs, RangeQueryTs};

/// What the application acts upon.
const TYPES: &[&str] =
    &["customer.subscription.created", "customer.subscription.updated", "customer.subscription.deleted", "invoice.payment_failed"];
const PAGES: usize = 5;

/// The events, newest first, and whether that is all of them.
pub async fn since(lane: Lane<'_>, at: At) -> Result<Reply, Fault> {
    let mut events: Vec<StripeEvent> = Vec::new();
    let mut unread = 0;
    let mut cursor: Option<String> = None;
    for _ in 0..PAGES {
        let from = RangeQueryTs::Bounds(RangeBoundsTs { gt: None, gte: Some(at.timestamp()), lt: None, lte: None });
        let types: Vec<String> = TYPES.iter().map(ToString::to_string).collect();
        let mut request = ListEvent::new().types(types).created(from).limit(100);
        if let Some(last) = cursor.take() {
            request = request.starting_after(last);
        }
        let answer = lane.json(&request).await?;
        let (page, odd) = decode::readable(&answer, decode::event)?;
        events.extend(page);
        unread += odd;
        let last = answer["data"].as_array().and_then(|d| d.last()).and_then(|v| v["id"].as_str()).map(str::to_string);
        if answer["has_more"] != true || last.is_none() {
            return Ok(Reply::Events { events, complete: unread == 0 });
        }
        cursor = last;
    }
    Ok(Reply::Events { events, complete: false })
}
