//! Reads under way, one per slot: a newer one cancels the older, and an answer goes out with the ticket it was asked with.

use crate::gateway::reader::Reader;
use crate::gateway::stripe::Priority;
use crate::protocol::event::Event;
use crate::protocol::query::Query;
use crate::protocol::ticket::{Slot, Ticket};
use std::collections::HashMap;
use tokio::sync::mpsc;
use tokio::task::AbortHandle;

#[derive(Default)]
pub struct Reads {
    under_way: HashMap<Slot, (u64, AbortHandle)>,
}

/// Finished reads are forgotten when there are more entries than this.
const REMEMBERED: usize = 256;

impl Reads {
    pub fn start(&mut self, reader: &Reader, events: &mpsc::Sender<Event>, ticket: Ticket, query: Query) {
        if let Some((generation, older)) = self.under_way.get(&ticket.slot) {
            if *generation > ticket.generation {
                return;
            }
            older.abort();
        }
        if self.under_way.len() > REMEMBERED {
            self.under_way.retain(|_, (_, handle)| !handle.is_finished());
        }
        let (reader, events) = (reader.clone(), events.clone());
        let task = tokio::spawn(async move {
            let result = reader.ask_at(query.clone(), priority(ticket.slot)).await;
            // Where the queue is full, readers wait. Where it is closed, the console is gone.
            let _ = events.send(Event::ReplyArrived { ticket, query, result }).await;
        });
        self.under_way.insert(ticket.slot, (ticket.generation, task.abort_handle()));
    }

    pub fn abort_all(&mut self) {
        for (_, (_, handle)) in self.under_way.drain() {
            handle.abort();
        }
    }
}

/// Scans are asked for by nobody in particular, and of the reads of a run about many nobody waits for one.
fn priority(slot: Slot) -> Priority {
    match slot {
        Slot::Survey(_) | Slot::Beside(_) | Slot::Drift(_) | Slot::Bulk(..) | Slot::TeamRuns => Priority::Background,
        Slot::SearchDatabase
        | Slot::SearchStripe
        | Slot::SearchMirror
        | Slot::Case(_)
        | Slot::Run(..)
        | Slot::Runs
        | Slot::Desk
        | Slot::Book(_)
        | Slot::Log
        | Slot::Quota(_)
        | Slot::Endpoints
        | Slot::Probe
        | Slot::Activity
        | Slot::SessionText
        | Slot::Pooler
        | Slot::Event(_) => Priority::Interactive,
    }
}
