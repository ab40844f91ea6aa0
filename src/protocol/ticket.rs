//! Tickets: a stale answer dies at the door. Taken at the start of a read, compared at its arrival.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// Who is asking. One read per slot and key is in flight; the newest replaces the older.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Slot {
    /// The search field of the customers pane, one per source.
    SearchDatabase,
    SearchStripe,
    /// The same in the mirror of Stripe, where Stripe itself is silent.
    SearchMirror,
    /// A read of the customer's case on screen.
    Case(u16),
    /// A read of the survey of events and rows.
    Survey(u16),
    /// The endpoints registered in Stripe.
    Endpoints,
    /// The probe of the webhook endpoint.
    Probe,
    /// A read about the event on screen.
    Event(u16),
    /// A read of the drift scan.
    Drift(u16),
    /// A read that this run needs.
    Run(Uuid, u16),
    /// A read that this run about many needs: one of so many that nobody waits for it alone.
    Bulk(Uuid, u16),
    /// What unfinished runs there are.
    Runs,
    /// What runs other operators have begun.
    TeamRuns,
    /// What stands on the desk.
    Desk,
    /// What Home wants to know beside its scan: payments, deploys.
    Beside(u16),
    /// All sessions of the database.
    Activity,
    /// What the sessions on screen run.
    SessionText,
    /// The pooler's pools.
    Pooler,
    /// The application's last lines, in the evidence panel.
    Log,
    /// A read of the quota pane: its page, its totals, use by tier.
    Quota(u16),
    /// A read of the runbook's pane.
    Book(u16),
}

/// A slot and the generation in which it was asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Ticket {
    pub slot: Slot,
    pub generation: u64,
}
