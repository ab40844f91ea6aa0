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

/// A person whom no row names any more, and whose customer Stripe has deleted. Payments stay, as the law wants them kept.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Erased {
    /// The key of the profile, as text.
    pub profile: String,
    // Not in what is kept or handed on: reports name people by their key.
    #[serde(skip)]
    pub email: String,
    #[serde(skip)]
    pub name: String,
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
        let submitted = was_submitted(&dispute);
        let settled = match s.wanted {
            Wanted::Answered => submitted && has_evidence(&dispute) && self.given_back(&s.charge) == 0,
            Wanted::Accepted => dispute["status"] == "lost" && !submitted && self.given_back(&s.charge) == 0,
            Wanted::Refunded => !submitted && self.given_back(&s.charge) == s.amount,
        };
        Ok(settled && self.subscription_is_as(&s.row) && self.row_holds(&s.row).await?)
    }

    /// Whether Stripe has deleted the customer, and no row of any table names profile, customer, address or person: in a column, as text,
    /// or inside a document.
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
            let sql = self.names_in(&table);
            let query = sqlx::query_as(AssertSqlSafe(sql)).bind(&e.profile).bind(&e.customer).bind(&e.email).bind(&e.name);
            let (named,): (bool,) = query.fetch_one(self.pool()).await?;
            if named {
                found.push(table);
            }
        }
        Ok(found)
    }

    /// Whether a row of the table names the profile `$1`, the customer `$2`, the address `$3` or the person `$4`. Others may be called the
    /// same: a name does not count in their own profiles and in rows that name their profile or customer.
    fn names_in(&self, table: &str) -> String {
        let n = self.shape().names();
        let (profiles, profile, subscriptions, owner, customer) = (n.profiles, n.profile, n.subscriptions, n.owner, n.customer);
        let called = |row: &str| format!("strpos(lower(to_jsonb({row})::text), lower($4)) > 0");
        let direct = format!("{} OR strpos(lower(to_jsonb(t)::text), lower($3)) > 0", self.names("t", "$1", "$2"));
        let named = if table == profiles {
            direct
        } else {
            let theirs = self.names("t", "o.profile", "o.customer");
            format!("{direct} OR {} AND NOT EXISTS (SELECT FROM others o WHERE {theirs})", called("t"))
        };
        format!(
            "WITH others AS MATERIALIZED (
                 SELECT p.{profile}::text AS profile, nullif(s.{customer}, '') AS customer
                 FROM {profiles} p LEFT JOIN {subscriptions} s ON s.{owner} = p.{profile}
                 WHERE p.{profile}::text <> $1 AND {}
             )
             SELECT EXISTS (SELECT FROM {table} t WHERE {named})",
            called("p")
        )
    }

    /// The condition that a row names the profile or the customer.
    fn names(&self, row: &str, profile: &str, customer: &str) -> String {
        let n = self.shape().names();
        let text = format!("to_jsonb({row})::text");
        let direct = format!("strpos({text}, {customer}) > 0");
        if n.key == "uuid" {
            return format!("(strpos({text}, {profile}) > 0 OR {direct})");
        }
        // A counted key is a number like others: only columns that hold keys count, and texts that are nothing else.
        let columns = [n.owner, n.counter_owner, n.owner_elsewhere, "author_id", "referrer_id", "referred_id"];
        let held = columns.map(|column| format!("to_jsonb({row}) ->> '{column}' = {profile}")).join(" OR ");
        format!("({held} OR to_jsonb({row}) @? ('$.** ? (@ == ' || to_json({profile}::text)::text || ')')::jsonpath OR {direct})")
    }

    /// Whether a dispute ended for good, and not as it was asked for.
    pub(crate) fn ended_otherwise(&self, s: &Settled) -> bool {
        let dispute = self.simulator().object(&s.dispute).unwrap_or_default();
        let submitted = was_submitted(&dispute);
        let answered = submitted && has_evidence(&dispute);
        let given_up = dispute["status"] == "lost" && !submitted;
        match s.wanted {
            Wanted::Answered => given_up || submitted && !answered,
            Wanted::Accepted => submitted,
            Wanted::Refunded => submitted || given_up,
        }
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

fn was_submitted(dispute: &Value) -> bool {
    dispute["evidence_details"]["submission_count"].as_i64().unwrap_or_default() > 0
}

/// Whether a dispute holds evidence of anybody's: Stripe fills in by itself who the customer is.
fn has_evidence(dispute: &Value) -> bool {
    let given = |(name, value): (&String, &Value)| {
        !matches!(name.as_str(), "customer_name" | "customer_email_address") && value.as_str().is_some_and(|text| !text.trim().is_empty())
    };
    dispute["evidence_details"]["has_evidence"] == true && dispute["evidence"].as_object().is_some_and(|all| all.iter().any(given))
}
