//! What consoles have written to rows themselves, by the journal: an effect that came so tells nothing of the application. It judges no event.

use super::Survey;
use crate::domain::At;
use crate::domain::ids::StripeId;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::record::RunSummary;
use chrono::Duration;
use std::collections::BTreeMap;
use std::sync::Arc;

/// By the customer whose row it was: from when to when the runs went that wrote it.
pub type Hands = BTreeMap<StripeId, Vec<(At, At)>>;

/// How far the journal's clock and the database's may be apart.
const CLOCKS: Duration = Duration::seconds(5);

impl Survey {
    pub(super) fn take_runs(&mut self, runs: &[RunSummary]) {
        let hands = of(runs);
        if *self.hands != hands {
            self.hands = Arc::new(hands);
            self.version += 1;
        }
    }

    /// The row of this customer was written then by a run of a console.
    pub(super) fn is_by_hand(&self, customer: &StripeId, written: At) -> bool {
        self.hands.get(customer).is_some_and(|runs| runs.iter().any(|(from, to)| (*from..=*to).contains(&written)))
    }
}

/// Only what writes the row itself: an event that was sent again is the application's to apply.
fn of(runs: &[RunSummary]) -> Hands {
    let mut hands = Hands::new();
    for run in runs {
        let when = (run.opened - CLOCKS, run.last + CLOCKS);
        let sent = run.attempts.iter().zip(&run.commands).filter(|((_, outcome), _)| !matches!(outcome, Some(Outcome::NotDone(_))));
        let copies = sent
            .filter_map(|(_, command)| command.as_ref().map(|(command, _)| command))
            .filter(|c| matches!(c, Command::SetSubscriptionRow { .. } | Command::ResyncByHttp { .. } | Command::ResyncByCommand { .. }));
        for customer in copies.filter_map(|c| StripeId::parse(c.customer()?).ok()) {
            hands.entry(customer).or_default().push(when);
        }
    }
    hands
}
