//! What consoles have written to rows themselves, by the journal: an effect that came so tells nothing of the application. It judges no event.

use super::Survey;
use super::feed::History;
use crate::domain::At;
use crate::domain::ids::StripeId;
use crate::domain::row::Field;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::record::RunSummary;
use chrono::Duration;
use serde::{Deserialize, Serialize};
use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use uuid::Uuid;

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

/// Whose rows a run of this process is bringing in line, and since when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AtWork {
    since: At,
    commands: usize,
    customers: BTreeSet<StripeId>,
}

/// How far the journal's clock and the database's may be apart.
const CLOCKS: Duration = Duration::seconds(5);
/// So long after its last entry a run that is open may still have effects.
const AFTERWARDS: Duration = Duration::minutes(10);

impl Survey {
    pub(super) fn take_runs(&mut self, runs: &[RunSummary]) {
        // What the journal has as finished, it tells of.
        let before = self.at_work.len();
        self.at_work.retain(|run, _| !runs.iter().any(|r| r.run == *run && r.is_finished()));
        self.version += u64::from(self.at_work.len() != before);
        let open = runs.iter().filter(|run| !run.is_finished()).flat_map(|run| &run.commands);
        let hands = of(runs, &self.customers_of(open.flatten().map(|(command, _)| command)));
        if *self.hands != hands {
            self.hands = Arc::new(hands);
            self.version += 1;
        }
    }

    /// A run of this process performs these commands, all of them sooner or later: what becomes of them from now on is its doing, however late the
    /// journal is read.
    pub fn at_work<'a>(&mut self, run: Uuid, commands: impl Iterator<Item = &'a Command> + Clone, now: At) {
        self.scenery.ask_for_runs();
        let n = commands.clone().count();
        if self.at_work.get(&run).is_some_and(|work| work.commands == n) {
            return;
        }
        let of_event = self.customers_of(commands.clone());
        let customers = commands.filter_map(|command| Some(whose(command, &of_event)?.0)).collect();
        drop(of_event);
        let work = self.at_work.entry(run).or_insert_with(|| AtWork { since: now, commands: 0, customers: BTreeSet::new() });
        work.commands = n;
        // A plan that is made anew holds only what remains.
        work.customers.extend::<BTreeSet<StripeId>>(customers);
        self.version += 1;
    }

    /// By event that one of the commands has sent, whom it is about. Mostly there is none, and then nothing is looked through.
    fn customers_of<'c>(&self, commands: impl Iterator<Item = &'c Command>) -> HashMap<&StripeId, &StripeId> {
        let sent: HashSet<&StripeId> = commands.filter_map(sent).collect();
        if sent.is_empty() {
            return HashMap::new();
        }
        let lines = self.feed.lines.iter().filter(|l| sent.contains(&l.id));
        lines.filter_map(|l| Some((&l.id, l.customer.as_ref()?))).collect()
    }

    /// A run here is at work on the row, and the case says that it is right by now: newer than the row as it was read.
    pub(super) fn is_mended_unread(&self, h: &History) -> bool {
        let in_work = self.at_work.values().any(|work| work.customers.contains(&h.customer));
        let row = self.rows.get(&h.customer).map(|r| &r.image);
        in_work && h.row_at.is_some_and(|at| self.cases.cleared(&h.customer, h.newest(), row, at))
    }

    fn is_worked_on(&self, customer: &StripeId, written: At) -> bool {
        self.at_work.values().any(|work| written >= work.since - CLOCKS && work.customers.contains(customer))
    }

    /// The row of this customer was written then by a run of a console.
    pub(super) fn is_by_hand(&self, customer: &StripeId, written: At) -> bool {
        self.is_worked_on(customer, written)
            || self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| (hand.from..=hand.to).contains(&written)))
    }

    /// That was a run that is not over yet: it has had the event sent again.
    pub(super) fn is_being_sent(&self, customer: &StripeId, written: At) -> bool {
        self.is_worked_on(customer, written)
            || self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| hand.sends && (hand.from..=hand.to).contains(&written)))
    }

    /// Before a console linked the row of this customer, the application could not have found it.
    pub(super) fn was_linked(&self, customer: &StripeId) -> bool {
        self.hands.get(customer).is_some_and(|runs| runs.iter().any(|hand| hand.linked))
    }
}

/// What writes the row itself; and as long as the run is open what it has sent again: a half-done repair is no sign that the application works.
/// After that an event that was sent again is the application's to have applied. `customer_of`: by event, whom it is about.
fn of(runs: &[RunSummary], customer_of: &HashMap<&StripeId, &StripeId>) -> Hands {
    let mut hands = Hands::new();
    for run in runs {
        let open = !run.is_finished();
        let (from, to) = (run.opened - CLOCKS, run.last + if open { AFTERWARDS } else { CLOCKS });
        let sent = run.attempts.iter().zip(&run.commands).filter(|((_, outcome), _)| !matches!(outcome, Some(Outcome::NotDone(_))));
        for command in sent.filter_map(|(_, command)| command.as_ref().map(|(command, _)| command)) {
            let Some((customer, sends)) = whose(command, customer_of).filter(|(_, sends)| open || !sends) else { continue };
            let linked =
                matches!(command, Command::SetSubscriptionRow { changes, .. } if changes.iter().any(|c| c.field == Field::Customer));
            hands.entry(customer).or_default().push(Hand { from, to, linked, sends });
        }
    }
    hands
}

/// Whose row the command brings in line, and whether it only has an event sent for that.
fn whose(command: &Command, customer_of: &HashMap<&StripeId, &StripeId>) -> Option<(StripeId, bool)> {
    match sent(command) {
        Some(event) => Some(((*customer_of.get(event)?).clone(), true)),
        None if command.writes_a_row() => Some((StripeId::parse(command.customer()?).ok()?, false)),
        None => None,
    }
}

/// The event that the command has sent once more.
fn sent(command: &Command) -> Option<&StripeId> {
    match command {
        Command::ResendEvent { event, .. } | Command::DeliverEvent { event, .. } => Some(event),
        _ => None,
    }
}
