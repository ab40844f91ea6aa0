//! All state of the console in one tree: what is known, what is shown, what is waited for. Nothing else decides what a key means.

use super::burst::Burst;
use super::modal::Dialog;
use super::panes::{customer, customers, event, home, pool, runbook, subscription, webhooks};
use super::screen::{Screen, Stack};
use super::tasks::Tasks;
use super::tickets::Tickets;
use super::widgets::theme::Theme;
use super::world::World;
use crate::domain::At;
use crate::domain::facts::Handle;
use crate::domain::ids::SubjectKey;
use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct State {
    pub theme: Theme,
    pub world: World,
    pub screens: Stack,
    pub dialog: Option<Dialog>,
    pub home: home::Model,
    pub webhooks: webhooks::Model,
    pub event: event::Model,
    pub customers: customers::Model,
    pub customer: customer::Model,
    pub subscription: subscription::Model,
    pub pool: pool::Model,
    pub runbook: runbook::Model,
    pub tasks: Tasks,
    pub tickets: Tickets,
    pub said: Option<Said>,
    /// Customers opened lately, newest first, with their masked names.
    pub recent: Vec<(Handle, String)>,
    pub burst: Burst,
}

/// A line in the status row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Said {
    pub text: String,
    pub since: u64,
}

/// How long a message stays, in milliseconds.
const SAID_MS: u64 = 8_000;
/// How many customers are remembered.
const RECENT: usize = 9;

impl State {
    /// At start: Home, read-only, nothing known.
    #[must_use]
    pub fn new(theme: Theme, now: At) -> Self {
        Self {
            theme,
            world: World::new(now),
            screens: Stack::default(),
            dialog: None,
            home: home::Model::default(),
            webhooks: webhooks::Model::default(),
            event: event::Model::default(),
            customers: customers::Model::default(),
            customer: customer::Model::default(),
            subscription: subscription::Model::default(),
            pool: pool::Model::default(),
            runbook: runbook::Model::default(),
            tasks: Tasks::default(),
            tickets: Tickets::default(),
            said: None,
            recent: Vec::new(),
            burst: Burst::default(),
        }
    }

    pub fn say(&mut self, text: impl Into<String>) {
        self.said = Some(Said { text: text.into(), since: self.world.tick });
    }

    pub(super) fn forget_what_was_said(&mut self) {
        if self.said.as_ref().is_some_and(|s| s.since + SAID_MS <= self.world.tick) {
            self.said = None;
        }
    }

    /// Remembers the customer on screen, under the name known by now.
    pub(super) fn remember_customer(&mut self) {
        let Some(handle) = self.customer.handle().cloned() else { return };
        let title = self.customer.title();
        self.recent.retain(|(h, _)| *h != handle);
        self.recent.insert(0, (handle, title));
        self.recent.truncate(RECENT);
    }

    /// Whom the screen is about, where it is one person's, and the screen's name: what a record of showing it has to say.
    #[must_use]
    pub fn in_view(&self) -> (Option<SubjectKey>, &'static str) {
        let customer = || self.customer.case().and_then(|c| c.record().map(|r| r.subject.key.clone()));
        match self.screens.top() {
            Screen::Home => (None, "home"),
            Screen::Webhooks => (None, "webhooks"),
            Screen::Event => (self.event.subject().cloned(), "event"),
            Screen::Customers => (None, "customers"),
            Screen::Customer => (customer(), "customer"),
            Screen::Subscription => (customer(), "subscription"),
            Screen::Run(id) => (self.tasks.get(id).and_then(|r| r.run.plan.as_ref()).and_then(|p| p.subject.clone()), "run"),
            Screen::Pool => (None, "pool"),
            Screen::Runbook => (None, "runbook"),
        }
    }

    /// A text field has the focus, in a dialog or on the screen below.
    #[must_use]
    pub fn is_editing(&self) -> bool {
        if let Some(dialog) = &self.dialog {
            return dialog.modal.has_field();
        }
        match self.screens.top() {
            Screen::Home => self.home.is_editing(),
            Screen::Webhooks => self.webhooks.is_editing(),
            Screen::Event => self.event.is_editing(),
            Screen::Customers => self.customers.is_editing(),
            Screen::Customer => self.customer.is_editing(),
            Screen::Subscription => self.subscription.is_editing(),
            Screen::Pool => self.pool.is_editing(),
            Screen::Runbook => self.runbook.is_editing(),
            Screen::Run(id) => self.tasks.get(id).is_some_and(|r| r.is_editing(&self.world.context())),
        }
    }
}
