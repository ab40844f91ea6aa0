//! Which screen is shown, and the way back: a stack that always begins with Home.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Screen {
    Home,
    Webhooks,
    /// One event of the webhooks pane.
    Event,
    Customers,
    Customer,
    Subscription,
    Pool,
    Runbook,
    Run(Uuid),
}

/// The finished panes, each with its final digit.
pub const PANES: &[(char, &str, Screen)] = &[
    ('1', "Home", Screen::Home),
    ('2', "Webhooks", Screen::Webhooks),
    ('3', "Customers", Screen::Customers),
    ('5', "Pool", Screen::Pool),
    ('6', "Runbook", Screen::Runbook),
];

/// Screens from Home to the one shown.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stack(Vec<Screen>);

impl Default for Stack {
    fn default() -> Self {
        Self(vec![Screen::Home])
    }
}

impl Stack {
    #[must_use]
    pub fn top(&self) -> Screen {
        *self.0.last().expect("invariant: Home is never popped")
    }

    /// One step back; `false` at Home.
    pub fn back(&mut self) -> bool {
        self.0.len() > 1 && self.0.pop().is_some()
    }

    /// Goes to a pane by its digit: the way back leads to Home.
    pub fn go(&mut self, pane: Screen) {
        self.0 = vec![Screen::Home];
        self.open(pane);
    }

    /// Opens a screen on top; one that is open already is gone back to.
    pub fn open(&mut self, screen: Screen) {
        let same = |s: &Screen| std::mem::discriminant(s) == std::mem::discriminant(&screen);
        if let Some(at) = self.0.iter().position(same) {
            self.0.truncate(at);
        }
        self.0.push(screen);
    }

    /// Whether it is shown, or on the way back.
    #[must_use]
    pub fn holds(&self, screen: Screen) -> bool {
        self.0.contains(&screen)
    }

    pub fn remove(&mut self, screen: Screen) {
        self.0.retain(|s| *s != screen);
    }

    /// The pane whose digit is marked: the nearest one below.
    #[must_use]
    pub fn pane(&self) -> Screen {
        *self.0.iter().rev().find(|s| PANES.iter().any(|(_, _, p)| p == *s)).expect("invariant: Home is a pane")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_leads_back_to_home() {
        let mut s = Stack::default();
        for screen in [Screen::Customers, Screen::Customer, Screen::Run(Uuid::nil()), Screen::Customer, Screen::Subscription] {
            s.open(screen);
        }
        assert_eq!((s.top(), s.pane()), (Screen::Subscription, Screen::Customers));
        let steps = std::iter::from_fn(|| s.back().then_some(())).count();
        assert_eq!((s.top(), steps), (Screen::Home, 3), "the customer stood in it once");
    }
}
