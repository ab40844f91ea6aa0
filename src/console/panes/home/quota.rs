//! What Home says about quotas: who has paid for a new period and is blocked by the use of the one before. Asked only what costs nothing.

use crate::console::ask::Ask;
use crate::console::context::Context;
use crate::domain::diagnosis::Word;
use crate::domain::fault::{Fault, Source};
use crate::domain::findings::{About, Finding};
use crate::domain::money::group;
use crate::domain::quota::{NearPage, ServedBy};
use crate::protocol::freshness::Health;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Quota {
    /// What was told last; `None`: it was not cheap to tell, or nobody has answered.
    told: Option<NearPage>,
    asked: Option<u64>,
    /// The last answer was none: asked again soon.
    #[serde(default)]
    unanswered: bool,
}

/// How often it is asked, in milliseconds.
const EVERY: u64 = 30_000;
const UNANSWERED_EVERY: u64 = 5_000;
const SLOT: Slot = Slot::Beside(4);

impl Quota {
    /// Once a second. Nothing is asked before the first look at events is through: those come first.
    pub fn ticked(&mut self, cx: &Context) -> Vec<Ask> {
        let every = if self.unanswered { UNANSWERED_EVERY } else { EVERY };
        let due = self.asked.is_none_or(|t| cx.tick.saturating_sub(t) >= every);
        if !due || cx.env.is_none() || cx.survey.is_first() || cx.health(Source::Database) != Health::Ok {
            return Vec::new();
        }
        self.asked = Some(cx.tick);
        vec![Ask::Read { slot: SLOT, query: Query::Unreset }]
    }

    /// What was told is no longer so.
    pub fn hurry(&mut self) {
        self.asked = None;
    }

    /// What was not answered is as unknown as before the first answer: nothing is said of it.
    pub fn replied(&mut self, slot: Slot, result: &Result<Reply, Fault>) {
        if slot == SLOT {
            self.unanswered = result.is_err();
            self.told = if let Ok(Reply::Unreset(told)) = result { told.clone() } else { None };
        }
    }

    #[must_use]
    pub fn finding(&self) -> Option<Finding> {
        let told = self.told.as_ref().filter(|t| !t.rows.is_empty())?;
        let customers: BTreeSet<_> = told.rows.iter().map(|r| &r.subject).collect();
        let features: BTreeSet<_> = told.rows.iter().map(|r| r.feature.as_str()).collect();
        let n = customers.len();
        // A page is what was asked for: behind a full one there may be more.
        let figure = if told.next.is_some() { format!("{} or more", group(n as u64)) } else { group(n as u64) };
        let who =
            if n == 1 && told.next.is_none() { "1 customer renewed and is".into() } else { format!("{figure} customers renewed and are") };
        let by = match &told.by {
            ServedBy::Tables => "the plain tables, which are small".to_string(),
            ServedBy::Watch(name) => name.clone(),
        };
        Some(Finding {
            word: Word::Warn,
            sentence: format!("{who} held to the old period's use"),
            size: format!("{figure} hurt"),
            reason: "Paid and blocked: their counters were not reset. A reset helps.".into(),
            about: About::Quota,
            evidence: vec![
                format!(
                    "database: {figure} with a counter at its limit whose period began before the one that was paid for, and covers it"
                ),
                format!("database: of {}; found by {by}", features.into_iter().collect::<Vec<_>>().join(", ")),
            ],
        })
    }

    /// It was told, and nobody is held up.
    #[must_use]
    pub fn is_fine(&self) -> bool {
        self.told.as_ref().is_some_and(|t| t.rows.is_empty() && t.limits_known)
    }
}
