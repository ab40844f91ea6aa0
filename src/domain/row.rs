//! The product's own rows as the console sees them: typed fields by contract, never by the name of somebody's column.

use super::At;
use super::ids::SubjectKey;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fmt;

/// A profile: whom a subscription belongs to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subject {
    pub key: SubjectKey,
    pub email: Option<String>,
    pub name: Option<String>,
    pub created_at: Option<At>,
}

/// A column of the subscription contract.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Field {
    Tier,
    Customer,
    Subscription,
    Status,
    Interval,
    PeriodStart,
    PeriodEnd,
    CancelAt,
    CancelAtPeriodEnd,
    UpdatedAt,
}

/// A field's value, in domain terms: times are UTC whatever the column's type says.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Value {
    Null,
    Text(String),
    Time(At),
    Bool(bool),
}

/// A row, or a part of one: only mapped columns are in it.
pub type Image = BTreeMap<Field, Value>;

/// The subscription row of one subject.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubscriptionRow {
    pub subject: SubjectKey,
    pub image: Image,
}

/// One field that is to change. A plan is a list of these; swapped, it is the undo.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Change {
    pub field: Field,
    pub from: Value,
    pub to: Value,
}

/// A usage counter of one subject and feature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Counter {
    pub feature: String,
    pub used: i64,
    pub period_start: Option<At>,
    pub period_end: Option<At>,
}

/// What the database holds about one subject, read in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Record {
    pub subject: Subject,
    pub row: Option<SubscriptionRow>,
    pub counters: Vec<Counter>,
    /// Feature → value of the plan of the row's tier; empty where no limits are mapped. `-1` unlimited, `0` not in the plan.
    pub limits: BTreeMap<String, i64>,
}

impl Field {
    pub const ALL: [Field; 10] = [
        Field::Tier,
        Field::Customer,
        Field::Subscription,
        Field::Status,
        Field::Interval,
        Field::PeriodStart,
        Field::PeriodEnd,
        Field::CancelAt,
        Field::CancelAtPeriodEnd,
        Field::UpdatedAt,
    ];

    /// The label in tables and diffs.
    #[must_use]
    pub fn label(self) -> &'static str {
        match self {
            Field::Tier => "tier",
            Field::Customer => "customer",
            Field::Subscription => "subscription",
            Field::Status => "status",
            Field::Interval => "interval",
            Field::PeriodStart => "period start",
            Field::PeriodEnd => "paid until",
            Field::CancelAt => "cancel at",
            Field::CancelAtPeriodEnd => "cancel at end",
            Field::UpdatedAt => "updated",
        }
    }

    /// The name of the contract's column in the configuration.
    #[must_use]
    pub fn contract_name(self) -> &'static str {
        match self {
            Field::Tier => "tier",
            Field::Customer => "stripe_customer_id",
            Field::Subscription => "stripe_subscription_id",
            Field::Status => "status",
            Field::Interval => "billing_interval",
            Field::PeriodStart => "current_period_start",
            Field::PeriodEnd => "current_period_end",
            Field::CancelAt => "cancel_at",
            Field::CancelAtPeriodEnd => "cancel_at_period_end",
            Field::UpdatedAt => "updated_at",
        }
    }
}

impl Value {
    #[must_use]
    pub fn text(text: impl Into<String>) -> Self {
        Value::Text(text.into())
    }

    #[must_use]
    pub fn time(at: Option<At>) -> Self {
        at.map_or(Value::Null, Value::Time)
    }

    #[must_use]
    pub fn as_text(&self) -> Option<&str> {
        match self {
            Value::Text(t) => Some(t),
            _ => None,
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Value::Null => f.write_str("none"),
            Value::Text(t) => f.write_str(t),
            Value::Time(at) => write!(f, "{}", at.format("%Y-%m-%d %H:%M:%SZ")),
            Value::Bool(b) => f.write_str(if *b { "yes" } else { "no" }),
        }
    }
}

impl SubscriptionRow {
    /// The field's value; `None` where the column is not mapped.
    #[must_use]
    pub fn get(&self, field: Field) -> Option<&Value> {
        self.image.get(&field)
    }

    #[must_use]
    pub fn text(&self, field: Field) -> Option<&str> {
        self.get(field).and_then(Value::as_text)
    }
}

/// What must change for `row` to hold `wanted`; fields that are not mapped, or already equal, are left out.
#[must_use]
pub fn diff(row: &Image, wanted: &Image) -> Vec<Change> {
    wanted
        .iter()
        .filter_map(|(field, to)| {
            let from = row.get(field)?;
            (!same(from, to)).then(|| Change { field: *field, from: from.clone(), to: to.clone() })
        })
        .collect()
}

/// Equal as far as a database can tell: times to the second, since Stripe counts in seconds; a missing flag is a false one.
#[must_use]
pub fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Time(a), Value::Time(b)) => a.timestamp() == b.timestamp(),
        (Value::Null, Value::Bool(false)) | (Value::Bool(false), Value::Null) => true,
        (a, b) => a == b,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_diff_names_only_what_differs_and_is_mapped() {
        let row = Image::from([(Field::Tier, Value::text("FREE")), (Field::Status, Value::text("active"))]);
        let wanted =
            Image::from([(Field::Tier, Value::text("PRO")), (Field::Status, Value::text("active")), (Field::CancelAt, Value::Null)]);
        assert_eq!(diff(&row, &wanted), [Change { field: Field::Tier, from: Value::text("FREE"), to: Value::text("PRO") }]);
    }
}
