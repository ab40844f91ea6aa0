//! Which reads are under way: a generation per slot, so that a stale answer dies at the door.

use crate::protocol::effect::Effect;
use crate::protocol::query::Query;
use crate::protocol::ticket::{Slot, Ticket};
use serde::{Deserialize, Serialize};

/// The reads that are still wanted. Generations only grow, also when a paste takes the screen back in time.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tickets {
    last: u64,
    /// In the order of asking; a slot stands here once.
    wanted: Vec<(Ticket, Query)>,
}

impl Tickets {
    /// Asks: whatever the slot waited for before is no longer wanted.
    pub fn read(&mut self, slot: Slot, query: Query) -> Effect {
        self.last += 1;
        let ticket = Ticket { slot, generation: self.last };
        self.cancel(slot);
        self.wanted.push((ticket, query.clone()));
        Effect::Read { ticket, query }
    }

    pub fn cancel(&mut self, slot: Slot) {
        self.wanted.retain(|(t, _)| t.slot != slot);
    }

    pub fn cancel_where(&mut self, unwanted: impl Fn(Slot) -> bool) -> Vec<(Slot, Query)> {
        let (gone, kept) = std::mem::take(&mut self.wanted).into_iter().partition(|(t, _)| unwanted(t.slot));
        self.wanted = kept;
        let gone: Vec<(Ticket, Query)> = gone;
        gone.into_iter().map(|(t, q)| (t.slot, q)).collect()
    }

    /// Whether this answer is still wanted; it is taken off the list if so.
    pub fn arrived(&mut self, ticket: &Ticket) -> bool {
        let before = self.wanted.len();
        self.wanted.retain(|(t, _)| t != ticket);
        self.wanted.len() < before
    }

    #[must_use]
    pub fn is_waiting(&self, of: impl Fn(Slot) -> bool) -> bool {
        self.wanted.iter().any(|(t, _)| of(t.slot))
    }

    /// Goes back to what was wanted `before`, and asks again for what has been replaced since.
    pub fn back_to(&mut self, before: Tickets) -> Vec<Effect> {
        let now = std::mem::take(&mut self.wanted);
        let mut effects = Vec::new();
        for (ticket, query) in before.wanted {
            if now.iter().any(|(t, _)| *t == ticket) {
                self.wanted.push((ticket, query));
            } else {
                effects.push(self.read(ticket.slot, query));
            }
        }
        effects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket(effect: &Effect) -> Ticket {
        match effect {
            Effect::Read { ticket, .. } => *ticket,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn only_the_newest_answer_of_a_slot_gets_in_and_only_once() {
        let mut t = Tickets::default();
        let old = ticket(&t.read(Slot::Case(0), Query::Shape));
        let new = ticket(&t.read(Slot::Case(0), Query::Account));
        assert!(!t.arrived(&old));
        assert!(t.arrived(&new) && !t.arrived(&new));
    }

    #[test]
    fn going_back_asks_again_for_what_was_replaced() {
        let mut t = Tickets::default();
        let kept = ticket(&t.read(Slot::Survey(0), Query::Runs));
        let lost = ticket(&t.read(Slot::Case(0), Query::Shape));
        let before = t.clone();
        let stray = ticket(&t.read(Slot::Case(0), Query::Account));
        let again = t.back_to(before);
        assert_eq!(again.len(), 1);
        assert!(t.arrived(&kept) && !t.arrived(&lost) && !t.arrived(&stray));
        assert!(ticket(&again[0]).generation > stray.generation && t.arrived(&ticket(&again[0])));
    }
}
