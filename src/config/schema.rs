//! The map of other people's tables: four contracts, each a set of named columns. What is not mapped is off.

use serde::Deserialize;

/// Where a contract's value is kept: a column, or a place inside a JSON document.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "ColumnEntry")]
pub enum Column {
    Plain(String),
    Json {
        column: String,
        path: Vec<String>,
    },
    /// This product has no such thing (`false` in the file).
    Off,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum ColumnEntry {
    Flag(bool),
    Plain(String),
    Json { column: String, json: JsonPath },
}

#[derive(Deserialize)]
#[serde(untagged)]
enum JsonPath {
    One(String),
    Many(Vec<String>),
}

impl TryFrom<ColumnEntry> for Column {
    type Error = &'static str;

    fn try_from(entry: ColumnEntry) -> Result<Self, Self::Error> {
        Ok(match entry {
            ColumnEntry::Flag(true) => return Err("name the column, or write false where there is none"),
            ColumnEntry::Flag(false) => Column::Off,
            ColumnEntry::Plain(name) => Column::Plain(name),
            ColumnEntry::Json { column, json: JsonPath::One(key) } => Column::Json { column, path: vec![key] },
            ColumnEntry::Json { column, json: JsonPath::Many(path) } => Column::Json { column, path },
        })
    }
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SchemaMap {
    pub subject: SubjectMap,
    pub subscription: SubscriptionMap,
    pub counter: CounterMap,
    pub limit: LimitMap,
    pub event: EventMap,
}

/// Whom a subscription belongs to. Tables may be qualified: `app.profiles`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubjectMap {
    pub table: String,
    pub key: String,
    /// Without a word about it: a column `email`, else `data->>'email'`, whichever is found at connect.
    pub email: Option<Column>,
    pub name: Option<Column>,
    pub created_at: Column,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct SubscriptionMap {
    pub table: String,
    /// The column that holds the subject's key.
    pub subject: String,
    pub stripe_customer_id: Column,
    pub stripe_subscription_id: Column,
    pub tier: Column,
    pub status: Column,
    pub billing_interval: Column,
    pub current_period_start: Column,
    pub current_period_end: Column,
    pub cancel_at: Column,
    pub cancel_at_period_end: Column,
    pub updated_at: Column,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CounterMap {
    pub table: String,
    pub subject: String,
    pub feature: String,
    pub used: String,
    pub period_start: Column,
    pub period_end: Column,
}

#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct LimitMap {
    pub table: String,
    pub tier: String,
    pub feature: String,
    pub value: String,
}

/// The application's own record of the events it was sent: evidence where it is there, never required.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct EventMap {
    pub table: String,
    pub stripe_event_id: String,
    pub processed: Column,
    pub processed_at: Column,
}

fn plain(name: &str) -> Column {
    Column::Plain(name.into())
}

impl Default for SubjectMap {
    fn default() -> Self {
        Self { table: "profiles".into(), key: "id".into(), email: None, name: None, created_at: plain("created_at") }
    }
}

impl Default for SubscriptionMap {
    fn default() -> Self {
        Self {
            table: "subscriptions".into(),
            subject: "profile_id".into(),
            stripe_customer_id: plain("stripe_customer_id"),
            stripe_subscription_id: plain("stripe_subscription_id"),
            tier: plain("tier"),
            status: plain("status"),
            billing_interval: plain("billing_interval"),
            current_period_start: plain("current_period_start"),
            current_period_end: plain("current_period_end"),
            cancel_at: plain("cancel_at"),
            cancel_at_period_end: plain("cancel_at_period_end"),
            updated_at: plain("updated_at"),
        }
    }
}

impl Default for CounterMap {
    fn default() -> Self {
        Self {
            table: "rate_limits".into(),
            subject: "profile_id".into(),
            feature: "feature".into(),
            used: "used".into(),
            period_start: plain("period_start"),
            period_end: plain("period_end"),
        }
    }
}

impl Default for EventMap {
    fn default() -> Self {
        Self {
            table: "stripe_events".into(),
            stripe_event_id: "stripe_event_id".into(),
            processed: plain("processed"),
            processed_at: plain("processed_at"),
        }
    }
}

impl Default for LimitMap {
    fn default() -> Self {
        Self { table: "plan_features".into(), tier: "tier".into(), feature: "feature".into(), value: "value".into() }
    }
}
