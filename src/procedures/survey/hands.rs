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
    /// It has the event sent once more: what comes of that is the run's doing for as long as the run is open.
    #[serde(default)]
    sends: bool,
}

/// How far the journal's clock and the database's may be apart.
const CLOCKS: Duration = Duration::seconds(5);
/// So long after its last entry a run that is open may still have effects.
const AFTERWARDS: Duration = Duration::minutes(10);

impl Survey {
    pub(super) fn take_runs(&mut self, runs: &[RunSummary]) {
        let customer_of: BTreeMap<&StripeId, &StripeId> =
            self.feed.lines.iter().filter_map(|l| Some((&l.id, l.customer.as_ref()?))).collect();
        let hands = of(runs, |event| customer_of.get(event).map(|c| (*c).clone()));
        if *self.hands != hands {
            self.hands = Arc::new(hands);
            self.version += 1;
        }
    }

    /// The row of this customer was written then by a run of a console.
    pub(super) fn is_by_hand(&self, customer: &StripeId, written: At) -> bool {
        self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| (hand.from..=hand.to).contains(&written)))
    }

    /// That was a run that is not over yet: it has had the event sent again.
    pub(super) fn is_being_sent(&self, customer: &StripeId, written: At) -> bool {
        self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| hand.sends && (hand.from..=hand.to).contains(&written)))
    }

    /// Before a console linked the row of this customer, the application could not have found it.
    pub(super) fn was_linked(&self, customer: &StripeId) -> bool {
        self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| hand.linked))
    }
}

/// What writes the row itself; and as long as the run is open what it has sent again: a half-done repair is no sign that the application works.
/// After that an event that was sent again is the application's to have applied. `customer_of`: whom an event is about.
fn of(runs: &[RunSummary], customer_of: impl Fn(&StripeId) -> Option<StripeId>) -> Hands {
    let mut hands = Hands::new();
    for run in runs {
        let open = !run.is_finished();
        let (from, to) = (run.opened - CLOCKS, run.last + if open { AFTERWARDS } else { CLOCKS });
        let sent = run.attempts.iter().zip(&run.commands).filter(|((_, outcome), _)| !matches!(outcome, Some(Outcome::NotDone(_))));
        for command in sent.filter_map(|(_, command)| command.as_ref().map(|(command, _)| command)) {
            let (customer, sends) = match command {
                Command::ResendEvent { event, .. } | Command::DeliverEvent { event, .. } if open => (customer_of(event), true),
                _ if command.writes_a_row() => (command.customer().and_then(|c| StripeId::parse(c).ok()), false),
                _ => continue,
            };
            let Some(customer) = customer else { continue };
            let linked =
                matches!(command, Command::SetSubscriptionRow { changes, .. } if changes.iter().any(|c| c.field == Field::Customer));
            hands.entry(customer).or_default().push(Hand { from, to, linked, sends });
        }
    }
    hands
}
