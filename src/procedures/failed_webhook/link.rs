//! The profile of a customer that no row holds: found as a customer's screen finds it, and taken only where the evidence carries it.

use crate::domain::facts::{Case, Handle, Known};
use crate::domain::ids::{StripeId, is_placeholder};
use crate::domain::link::preselected;
use crate::domain::row::{Field, SubscriptionRow};
use crate::protocol::answers::{Answers, assemble, next_reads};
use crate::protocol::query::Query;

/// So many customers without a row are looked into; the others are left to their own screens.
pub const AT_MOST: usize = 40;

pub fn reads(customer: &StripeId, answers: &Answers) -> Vec<Query> {
    // What the application enforces is read when the row has been written.
    let handle = Handle::Stripe(customer.clone());
    next_reads(&handle, None, answers).into_iter().filter(|q| !matches!(q, Query::Entitlement(_))).collect()
}

/// The case, and the row that is to be linked.
///
/// # Errors
/// Why there is none: one sentence.
pub fn row(customer: &StripeId, answers: &Answers) -> Result<(Case, SubscriptionRow), String> {
    let case = assemble(&Handle::Stripe(customer.clone()), None, answers);
    if let Some(fault) = case.record.fault().or(case.subscriptions.fault()) {
        return Err(fault.say.clone());
    }
    let named = preselected(&case.links, customer).map(|l| l.profile.clone());
    let Known::Is { value: Some(record), .. } = &case.record else {
        return Err("nothing at Stripe names a profile for certain: find the customer by hand, and link the row".into());
    };
    if named.as_ref() != Some(&record.subject.key) {
        return Err("the evidence does not say for certain whose it is: open the customer and choose".into());
    }
    let Some(row) = record.row.clone() else {
        return Err("the profile has no subscription row, and nothing here creates one: the application must".into());
    };
    match row.text(Field::Customer) {
        Some(held) if !is_placeholder(held) && held != customer.as_str() => {
            Err("the row holds another real customer: open the customer and decide".into())
        }
        _ => Ok((case, row)),
    }
}
