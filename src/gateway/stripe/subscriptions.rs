//! Subscriptions, one by id, all of a customer's or page by page, with what is needed to tell which tier each price buys.

use super::Stripe;
use super::client::Lane;
use super::decode;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::StripeId;
use crate::domain::mask;
use crate::domain::stripe::{Metadata, Subscription};
use crate::protocol::query::{Reply, SubscriptionRange};
use std::time::Duration;
use stripe_billing::subscription::{ListSubscription, ListSubscriptionStatus, RetrieveSubscription};
use stripe_product::product::RetrieveProduct;
use stripe_types::{RangeBoundsTs, RangeQueryTs};
use tokio::time::Instant;

/// Pages of a hundred: whoever has more has to be looked at elsewhere.
const PAGES: usize = 3;
/// Products change rarely; a change of their metadata shows within this time.
const FRESH: Duration = Duration::from_secs(60);

/// All subscriptions of a customer, newest first, ended ones included; empty where Stripe has no such customer. One that cannot be
/// read makes the answer a fault, and so do more than three hundred: beside ended ones, the one that pays must not go missing.
pub async fn of_customer(stripe: &Stripe, lane: Lane<'_>, customer: &StripeId) -> Result<Vec<Subscription>, Fault> {
    let mut all: Vec<Subscription> = Vec::new();
    let mut cursor: Option<String> = None;
    for page in 1.. {
        let mut request = ListSubscription::new().customer(customer.as_str()).status(ListSubscriptionStatus::All).limit(100);
        if let Some(last) = cursor.take() {
            request = request.starting_after(last);
        }
        // A deleted customer still lists; one that never was does not.
        let Some(answer) = lane.maybe(&request).await? else { return Ok(all) };
        all.extend(decode::all(&answer, decode::subscription)?);
        cursor = answer["data"].as_array().and_then(|d| d.last()).and_then(|v| v["id"].as_str()).map(str::to_string);
        if answer["has_more"] != true || cursor.is_none() {
            break;
        }
        if page == PAGES {
            let say = format!(
                "{} has more than {} subscriptions, and an older one may be the one that counts: look at the customer in Stripe's dashboard",
                mask::id(customer.as_str()),
                all.len()
            );
            return Err(Fault::new(Source::Stripe, FaultKind::TooMany, say));
        }
    }
    for subscription in all.iter_mut().filter(|s| s.status.is_live()) {
        products(stripe, lane, subscription).await?;
    }
    all.sort_by_key(|s| std::cmp::Reverse(s.created));
    Ok(all)
}

/// One subscription by its id, ended or not; `None` where Stripe has none.
pub async fn by_id(stripe: &Stripe, lane: Lane<'_>, id: &StripeId) -> Result<Option<Subscription>, Fault> {
    let Some(value) = lane.maybe(&RetrieveSubscription::new(id.as_str())).await? else { return Ok(None) };
    let odd =
        || Fault::new(Source::Stripe, FaultKind::Schema, format!("subscription {id} cannot be read: it has another shape than expected"));
    let mut subscription = decode::subscription(&value).ok_or_else(odd)?;
    if subscription.status.is_live() {
        products(stripe, lane, &mut subscription).await?;
    }
    Ok(Some(subscription))
}

/// One page of all subscriptions of the account. What cannot be read as one stands beside the others as it is.
pub async fn page(stripe: &Stripe, lane: Lane<'_>, range: &SubscriptionRange) -> Result<Reply, Fault> {
    let bounds = RangeBoundsTs { gt: None, gte: range.since.map(|t| t.timestamp()), lt: range.before.map(|t| t.timestamp()), lte: None };
    let mut request = ListSubscription::new().status(ListSubscriptionStatus::All).limit(100);
    if range.since.is_some() || range.before.is_some() {
        request = request.created(RangeQueryTs::Bounds(bounds));
    }
    if let Some(last) = &range.after {
        request = request.starting_after(last.as_str());
    }
    let answer = lane.json(&request).await?;
    let (mut subscriptions, raw) = decode::beside(&answer, decode::subscription)?;
    for subscription in subscriptions.iter_mut().filter(|s| s.status.is_live()) {
        products(stripe, lane, subscription).await?;
    }
    Ok(Reply::SubscriptionPage { subscriptions, raw, next: decode::next(&answer) })
}

/// Fills in the products' metadata: Stripe expands a list no further than the price.
async fn products(stripe: &Stripe, lane: Lane<'_>, subscription: &mut Subscription) -> Result<(), Fault> {
    for item in &mut subscription.items {
        let price = &mut item.price;
        let Some(product) = price.product.clone() else { continue };
        // What is asked first has spoken: the product's word would not count.
        if stripe.tiers().tier_of(price).is_some() {
            continue;
        }
        match product_metadata(stripe, lane, &product).await {
            Ok(metadata) => price.product_metadata = metadata,
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

async fn product_metadata(stripe: &Stripe, lane: Lane<'_>, product: &StripeId) -> Result<Metadata, Fault> {
    let known = stripe.products().lock().await.get(product).filter(|(_, at)| at.elapsed() < FRESH).cloned();
    if let Some((metadata, _)) = known {
        return Ok(metadata);
    }
    let found = lane.maybe(&RetrieveProduct::new(product.as_str())).await?;
    let metadata = found.map(|v| decode::metadata(&v["metadata"])).unwrap_or_default();
    stripe.products().lock().await.insert(product.clone(), (metadata.clone(), Instant::now()));
    Ok(metadata)
}
