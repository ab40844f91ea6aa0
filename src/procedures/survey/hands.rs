//! What consoles have written to rows themselves, by the journal: an effect that came so tells nothing of the application. It judges no event.

use super::Survey;
use crate::domain::At;
use crate::domain::ids::StripeId;
use crate::domain::row::Field;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::record::RunSummary;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::sync::Arc;

/// By the customer whose row it was.
pub type Hands = BTreeMap<StripeId, Vec<Hand>>;

/// A run that wrote a customer's row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hand {
    /// From when to when it went.
    from: At,
    to: At,
    /// It has put the customer into the row too, where the application could not have found it.
    linked: bool,
}

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
        self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| (hand.from..=hand.to).contains(&written)))
    }

    /// Before a console linked the row of this customer, the application could not have found it.
    pub(super) fn was_linked(&self, customer: &StripeId) -> bool {
        self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| hand.linked))
    }
}

/// Only what writes the row itself: an event that was sent again is the application's to apply.
fn of(runs: &[RunSummary]) -> Hands {
    let mut hands = Hands::new();
    for run in runs {
        let (from, to) = (run.opened - CLOCKS, run.last + CLOCKS);
        let sent = run.attempts.iter().zip(&run.commands).filter(|((_, outcome), _)| !matches!(outcome, Some(Outcome::NotDone(_))));
        let copies = sent
            .filter_map(|(_, command)| command.as_ref().map(|(command, _)| command))
            .filter(|c| matches!(c, Command::SetSubscriptionRow { .. } | Command::ResyncByHttp { .. } | Command::ResyncByCommand { .. }));
        for command in copies {
            let Some(customer) = command.customer().and_then(|c| StripeId::parse(c).ok()) else { continue };
            let linked =
                matches!(command, Command::SetSubscriptionRow { changes, .. } if changes.iter().any(|c| c.field == Field::Customer));
            hands.entry(customer).or_default().push(Hand { from, to, linked });
        }
    }
    hands
}
