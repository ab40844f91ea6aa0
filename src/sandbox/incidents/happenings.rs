//! Ordinary things that happen to customers while something is broken: who, what, and which event tells the application; it breaks nothing.

use chrono::{DateTime, Duration, Utc};

use super::check::Standing;
use super::ground::Turn;
use super::people::{Suits, outlasts};
use super::{Cause, Check, Expected, Ground, Incident, IncidentError, Label, Subject, Truth};
use crate::sandbox::population::{Billing, Interval, PRICE_ENT_MONTH, SandboxTier};
use crate::sandbox::schema::TIERS;
use crate::sandbox::stripe::NewCheckout;

/// What happens to one customer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Somebody whose row is linked pays for the first time.
    Checkout,
    /// PRO by the month becomes ENTERPRISE.
    Upgrade,
    /// To end with the period.
    LeaveLater,
    /// Ends at once.
    LeaveNow,
}

/// Who does what.
#[derive(Debug, Clone, Copy)]
pub struct Part {
    pub number: u64,
    pub act: Act,
}

/// What has happened.
#[derive(Debug, Clone)]
pub struct Happening {
    pub number: u64,
    pub profile: String,
    pub customer: String,
    pub subscription: String,
    pub at: DateTime<Utc>,
    pub act: Act,
    /// What it leaves them with.
    pub standing: Standing,
    /// The event that demands a change of the row.
    pub event: String,
    /// All events, in order.
    pub events: Vec<String>,
}

/// What happens to the n-th subject, over and over.
const MIX: [Act; 5] = [Act::Checkout, Act::Upgrade, Act::Checkout, Act::LeaveLater, Act::LeaveNow];

/// Finds somebody for each act whom nothing has happened to.
pub fn cast(ground: &Ground, incident: Incident, turn: Turn) -> Result<Vec<Part>, IncidentError> {
    let acts = || (0..turn.count).map(|index| MIX[index % MIX.len()]);
    let settled = move |billing: Billing| steady(billing, turn.present);
    let free = |billing: Billing| billing == Billing::Free;
    let upgradable = |billing: Billing| {
        matches!(billing, Billing::Paid(c) if c.tier == SandboxTier::Pro && c.interval == Interval::Month) && settled(billing)
    };
    let each = |act: Act| acts().filter(|a| *a == act).count();
    let kinds: [(usize, Suits); 4] = [
        (each(Act::Checkout), &free),
        (each(Act::Upgrade), &upgradable),
        (each(Act::LeaveLater), &settled),
        (each(Act::LeaveNow), &settled),
    ];
    let mut found = ground.pick_each(incident, &kinds)?;
    let parts = acts().map(|act| {
        let kind = [Act::Checkout, Act::Upgrade, Act::LeaveLater, Act::LeaveNow].iter().position(|a| *a == act);
        let people = &mut found[kind.expect("invariant: every act is among them")];
        Part { act, number: people.pop().expect("invariant: as many were found as there are acts") }
    });
    Ok(parts.collect())
}

/// Active, going on, and in this period for more than a day, and for another at least.
pub fn steady(billing: Billing, present: DateTime<Utc>) -> bool {
    matches!(billing, Billing::Paid(c)
        if c.status == "active" && !c.cancel_at_period_end && present - c.period_start > Duration::days(1) && outlasts(c, present))
}

/// Lets it happen in Stripe; nothing is delivered.
pub fn perform(ground: &Ground, part: Part, turn: Turn, index: usize, at: DateTime<Utc>) -> Happening {
    let (simulator, profile) = (ground.simulator(), ground.key(part.number));
    if part.act == Act::Checkout {
        let price = turn.purchase(index).price;
        let made = simulator.checkout(NewCheckout {
            number: part.number,
            price: price.to_string(),
            client_reference_id: Some(profile.clone()),
            metadata: Vec::new(),
            at,
            new_customer: false,
        });
        let (events, event) = (made.events(), made.subscribed.subscription_created.clone());
        let (customer, subscription) = (made.customer, made.subscribed.subscription);
        let standing = Standing::bought(price);
        return Happening { number: part.number, profile, customer, subscription, at, act: part.act, standing, event, events };
    }
    let person = ground.population().person(part.number);
    let plan = person.plan.expect("invariant: cast among those who pay");
    let (subscription, tier) = (plan.subscription, plan.tier.word());
    let (event, standing) = match part.act {
        Act::Upgrade => (simulator.change_price(&subscription, PRICE_ENT_MONTH, at), Standing::active(TIERS[2])),
        Act::LeaveLater => (simulator.cancel_at_period_end(&subscription, true, at), Standing::active(tier)),
        Act::LeaveNow | Act::Checkout => (simulator.cancel_subscription(&subscription, at), Standing::ENDED),
    };
    let event = event.expect("invariant: cast among those to whom it can happen");
    let customer = person.customer.expect("invariant: whoever pays is a customer");
    Happening { number: part.number, profile, customer, subscription, at, act: part.act, standing, events: vec![event.clone()], event }
}

/// Lets it happen and posts it now, oldest first, to an endpoint that does not reach the application; the labels say that nothing arrived.
pub async fn unheard(ground: &Ground, parts: Vec<Part>, incident: Incident, turn: Turn, cause: Cause, broke: &'static str) -> Vec<Label> {
    let happened = in_order(ground, parts, turn);
    for event in happened.iter().flat_map(|h| &h.events) {
        ground.simulator().send(event);
    }
    without_effect(ground, &happened, incident, cause, broke).await
}

/// Lets it happen and delivers each thing as of its own time, to an application that takes it in and makes nothing of it.
pub async fn unheeded(ground: &Ground, parts: Vec<Part>, incident: Incident, turn: Turn, cause: Cause, broke: &'static str) -> Vec<Label> {
    let happened = in_order(ground, parts, turn);
    for happening in &happened {
        for event in &happening.events {
            ground.hand_over(event, happening.at + Duration::seconds(2)).await;
        }
    }
    without_effect(ground, &happened, incident, cause, broke).await
}

fn in_order(ground: &Ground, parts: Vec<Part>, turn: Turn) -> Vec<Happening> {
    let performed = parts.into_iter().enumerate().map(|(index, part)| perform(ground, part, turn, index, turn.purchase(index).at));
    let mut happened: Vec<Happening> = performed.collect();
    happened.sort_by_key(|h| h.at);
    happened
}

async fn without_effect(ground: &Ground, happened: &[Happening], incident: Incident, cause: Cause, broke: &'static str) -> Vec<Label> {
    // Whatever is answered: it has no effect. Where it was a failure, Stripe will try again.
    ground.simulator().deliveries_done().await;
    happened.iter().map(|h| h.label(ground, incident, cause, Truth::Missing, broke)).collect()
}

/// The label of what stands in the way of all webhooks.
pub fn root(ground: &Ground, incident: Incident, turn: Turn, cause: Cause, broke: &'static str) -> Label {
    Label {
        incident,
        broke: broke.into(),
        // Before the first event that it kept from its effect.
        at: turn.present - Duration::minutes(110),
        cause,
        truth: None,
        subject: Subject { endpoint: ground.simulator().webhook_endpoint(), ..Subject::default() },
        check: Check::Webhook,
    }
}

impl Happening {
    /// What the row must hold, as Stripe stands now.
    pub fn expected(&self, ground: &Ground) -> Expected {
        ground.demanded(&self.profile, &self.subscription, self.standing)
    }

    pub fn label(&self, ground: &Ground, incident: Incident, cause: Cause, truth: Truth, broke: &'static str) -> Label {
        Label {
            incident,
            broke: broke.into(),
            at: self.at,
            cause,
            truth: Some(truth),
            check: Check::Row(self.expected(ground)),
            subject: Subject {
                number: Some(self.number),
                profile: Some(self.profile.clone()),
                customer: Some(self.customer.clone()),
                event: Some(self.event.clone()),
                event_type: Some(self.act.event_type().into()),
                ..Subject::default()
            },
        }
    }
}

impl Act {
    fn event_type(self) -> &'static str {
        match self {
            Self::Checkout => "customer.subscription.created",
            Self::Upgrade | Self::LeaveLater => "customer.subscription.updated",
            Self::LeaveNow => "customer.subscription.deleted",
        }
    }
}
