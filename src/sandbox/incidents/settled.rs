//! When a request counts as done: the payment given back, the dispute settled, the person gone; looked up, by no rule of the console's.

use serde::Serialize;
use serde_json::Value;
use sqlx::AssertSqlSafe;

use super::{Expected, Ground, IncidentError};
use crate::sandbox::schema::TIERS;

/// A payment given back, and the subscription ended.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Refunded {
    pub payment_intent: String,
    pub charge: String,
    /// How much of it, in cents; not more and not less.
    pub amount: i64,
    pub row: Expected,
}

/// A dispute or an inquiry dealt with as it was asked for.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Settled {
    pub dispute: String,
    pub charge: String,
    /// What it is about, in cents.
    pub amount: i64,
    pub wanted: Wanted,
    pub row: Expected,
}

/// How a dispute is to be settled.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Wanted {
    /// Evidence was submitted, which Stripe takes only in time.
    Answered,
    /// Closed without evidence: lost.
    Accepted,
    /// An inquiry's payment was given back.
    Refunded,
}

/// A person of whom nothing is left.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Erased {
    /// The key of the profile, as text.
    pub profile: String,
    pub email: String,
    pub customer: String,
}

impl Wanted {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Answered => "answered",
            Self::Accepted => "accepted",
            Self::Refunded => "given back",
        }
    }
}

impl Expected {
    /// The same subscription once it has ended at once: no access, its ids and its last period kept.
    pub(super) fn ended(self) -> Self {
        Self { tier: TIERS[0], status: "canceled".into(), ..self }
    }
}

impl Ground {
    pub(super) async fn is_refunded(&self, r: &Refunded) -> Result<bool, IncidentError> {
        Ok(self.given_back(&r.charge) == r.amount && self.subscription_is_as(&r.row) && self.row_holds(&r.row).await?)
    }

    pub(super) async fn is_settled(&self, s: &Settled) -> Result<bool, IncidentError> {
        let dispute = self.simulator().object(&s.dispute).unwrap_or_default();
        let submitted = dispute["evidence_details"]["submission_count"].as_i64().unwrap_or_default() > 0;
        let settled = match s.wanted {
            Wanted::Answered => submitted && self.given_back(&s.charge) == 0,
            Wanted::Accepted => dispute["status"] == "lost" && !submitted && self.given_back(&s.charge) == 0,
            Wanted::Refunded => !submitted && self.given_back(&s.charge) == s.amount,
        };
        Ok(settled && self.subscription_is_as(&s.row) && self.row_holds(&s.row).await?)
    }

    /// Whether Stripe has deleted the customer, and no row of any table names profile, customer or address: in a column, as text, or
    /// inside a document.
    pub(super) async fn is_erased(&self, e: &Erased) -> Result<bool, IncidentError> {
        let customer = self.simulator().object(&e.customer).unwrap_or_default();
        Ok(customer["deleted"] == true && self.tables_that_name(e).await?.is_empty())
    }

    async fn tables_that_name(&self, e: &Erased) -> Result<Vec<String>, IncidentError> {
        let tables: Vec<(String,)> = sqlx::query_as(
            "SELECT c.oid::regclass::text FROM pg_class c
             WHERE c.relnamespace = 'public'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition",
        )
        .fetch_all(self.pool())
        .await?;
        let mut found = Vec::new();
        for (table,) in tables {
            let sql = format!("SELECT EXISTS (SELECT FROM {table} t WHERE {})", self.names("t"));
            let (named,): (bool,) =
                sqlx::query_as(AssertSqlSafe(sql)).bind(&e.profile).bind(&e.customer).bind(&e.email).fetch_one(self.pool()).await?;
            if named {
                found.push(table);
            }
        }
        Ok(found)
    }

    /// The condition that a row names the profile `$1`, the customer `$2` or the address `$3`.
    fn names(&self, row: &str) -> String {
        let n = self.shape().names();
        let text = format!("to_jsonb({row})::text");
        let direct = format!("strpos({text}, $2) > 0 OR strpos(lower({text}), lower($3)) > 0");
        if n.key == "uuid" {
            return format!("strpos({text}, $1) > 0 OR {direct}");
        }
        // A counted key is a number like others: only columns that hold keys count, and texts that are nothing else.
        let columns = [n.owner, n.counter_owner, n.owner_elsewhere, "author_id", "referrer_id", "referred_id"];
        let held = columns.map(|column| format!("to_jsonb({row}) ->> '{column}' = $1")).join(" OR ");
        format!("{held} OR to_jsonb({row}) @? ('$.** ? (@ == ' || to_json($1)::text || ')')::jsonpath OR {direct}")
    }

    /// Whether a dispute ended for good, and not as it was asked for.
    pub(crate) fn ended_otherwise(&self, s: &Settled) -> bool {
        let dispute = self.simulator().object(&s.dispute).unwrap_or_default();
        let submitted = dispute["evidence_details"]["submission_count"].as_i64().unwrap_or_default() > 0;
        let given_up = dispute["status"] == "lost" && !submitted;
        submitted && s.wanted != Wanted::Answered || given_up && s.wanted != Wanted::Accepted
    }

    /// How much of a charge went back, in cents.
    pub(crate) fn given_back(&self, charge: &str) -> i64 {
        self.simulator().object(charge).and_then(|c| c["amount_refunded"].as_i64()).unwrap_or_default()
    }

    /// Whether the subscription stands at Stripe as its row must.
    pub(crate) fn subscription_is_as(&self, row: &Expected) -> bool {
        let status = |object: Value| object["status"] == row.status.as_str();
        self.simulator().object(&row.subscription).is_some_and(status)
    }
}
