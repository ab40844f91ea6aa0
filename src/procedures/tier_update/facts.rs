//! The facts of a tier update: which subscription, which profile, whether the row may be touched. Every one that is missing is a refusal.

use crate::domain::entitlement::Entitlement;
use crate::domain::facts::{Case, Handle, Known};
use crate::domain::ids::SubjectKey;
use crate::domain::link::{Link, preselected};
use crate::domain::mask;
use crate::domain::row::{Record, SubscriptionRow};
use crate::domain::shape::Shape;
use crate::domain::stripe::{Invoice, Subscription};
use crate::domain::text::sentence;
use crate::procedures::words::day;
use crate::protocol::answers::{Answers, assemble, next_reads};
use crate::protocol::environment::{Environment, Writer};
use crate::protocol::query::{Locator, Query, Reply};
use crate::protocol::run::{Choice, Decision, Inputs, Refusal};

/// Everything a plan rests on, complete.
pub(super) struct Facts {
    pub shape: Shape,
    pub record: Record,
    pub row: SubscriptionRow,
    pub subscription: Subscription,
    /// The evidence that ties the customer to the profile, strongest first.
    pub links: Vec<Link>,
    /// The operator chose the profile.
    pub chosen: bool,
    pub invoice: Option<Invoice>,
    pub entitlement: Known<Option<Entitlement>>,
}

/// What is still to be asked.
pub(super) fn reads(inputs: &Inputs, answers: &Answers) -> Vec<Query> {
    let Some(handle) = &inputs.handle else { return Vec::new() };
    let mut wanted = next_reads(handle, inputs.subject.as_ref(), answers);
    let case = assemble(handle, inputs.subject.as_ref(), answers);
    if let Ok(subscription) = subscription(&case, inputs) {
        // Both ids are unique columns in most products: somebody else's row that holds one forbids the write.
        wanted.push(Query::Records(Locator::CustomerId(subscription.customer.to_string())));
        wanted.push(Query::Records(Locator::SubscriptionId(subscription.id.to_string())));
        // The subscription chosen among several may belong to another customer than the one in question.
        wanted.push(Query::InvoicesOf(subscription.customer.clone()));
    }
    wanted.retain(|q| answers.get(q).is_none());
    let mut once: Vec<Query> = Vec::new();
    for query in wanted {
        if !once.contains(&query) {
            once.push(query);
        }
    }
    once
}

/// The same people by the ids that do not change through the repair itself: a placeholder leads nowhere once it is replaced.
pub(super) fn pin(inputs: &Inputs, answers: &Answers) -> Inputs {
    let mut pinned = inputs.clone();
    let Some(handle) = &inputs.handle else { return pinned };
    let case = assemble(handle, inputs.subject.as_ref(), answers);
    if let Ok(subscription) = subscription(&case, inputs) {
        pinned.handle = Some(Handle::Stripe(subscription.customer.clone()));
        pinned.subscription = Some(subscription.id.clone());
    }
    if let Some(record) = case.record() {
        pinned.subject = Some(record.subject.key.clone());
    }
    pinned
}

impl Facts {
    pub(super) fn of(inputs: &Inputs, answers: &Answers, env: &Environment) -> Result<Facts, Refusal> {
        let handle = inputs.handle.as_ref().ok_or_else(|| Refusal::Because("Name the customer whose row it is.".into()))?;
        let case = assemble(handle, inputs.subject.as_ref(), answers);
        let shape = need(&case.shape, "The shape of the database")?;
        need(&case.record, "The row")?;
        if let Some(reason) = shape.trust.reasons().first() {
            let say = format!("Nothing is written where rows may be hidden from us or late: {reason}");
            return Err(Refusal::Because(sentence(&say)));
        }
        need(&case.customer, "Stripe's customer")?;
        need(&case.subscriptions, "Stripe's subscriptions")?;
        let subscription = subscription(&case, inputs)?.clone();
        let record = profile(&case, inputs, &subscription)?.clone();
        let no_row = "This profile has no subscription row. The application writes one at sign-up; nothing here creates rows.";
        let row = record.row.clone().ok_or_else(|| Refusal::Because(no_row.into()))?;
        unheld_by_others(answers, &subscription, &record.subject.key)?;
        if env.writer == Writer::Sql && !shape.updatable {
            let say = "The console's database role may not update the subscription row: `nightdesk check --grants` prints the grant.";
            return Err(Refusal::Because(say.into()));
        }
        let invoices = match answers.get(&Query::InvoicesOf(subscription.customer.clone())) {
            Some(Known::Is { value: Reply::Invoices(invoices), .. }) => invoices.clone(),
            Some(Known::Failed(fault)) => return Err(Refusal::Because(fault.say.clone())),
            _ => return Err(unread("Stripe's invoices")),
        };
        Ok(Facts {
            shape: shape.clone(),
            invoice: subscription.latest_among(&invoices).cloned(),
            links: case.links.iter().filter(|l| l.customer == subscription.customer && l.profile == record.subject.key).cloned().collect(),
            chosen: inputs.subject.is_some(),
            entitlement: case.entitlement.clone(),
            subscription,
            record,
            row,
        })
    }
}

fn need<'a, T>(known: &'a Known<T>, what: &str) -> Result<&'a T, Refusal> {
    match known {
        Known::Is { value, .. } => Ok(value),
        Known::Failed(fault) => Err(Refusal::Because(fault.say.clone())),
        Known::Waiting => Err(unread(what)),
    }
}

fn unread(what: &str) -> Refusal {
    Refusal::Because(format!("{what} has not been read yet."))
}

/// The subscription that decides: the chosen one, else the only live one, else the one that ended.
fn subscription<'a>(case: &'a Case, inputs: &Inputs) -> Result<&'a Subscription, Refusal> {
    let all = need(&case.subscriptions, "Stripe's subscriptions")?;
    let live = case.live_subscriptions();
    if let Some(chosen) = &inputs.subscription {
        let none = || Refusal::Because(format!("Subscription {chosen} is not among theirs at Stripe."));
        let found = all.iter().find(|s| s.id == *chosen).ok_or_else(none)?;
        // Chosen while it was live, or before the other began: copying it now would take away what is paid for.
        if !found.status.is_live() && !live.is_empty() {
            let say = format!("Subscription {chosen} has ended and another is live: choose anew.");
            return Err(Refusal::Because(say));
        }
        return Ok(found);
    }
    if live.len() > 1 {
        let options = live
            .iter()
            .map(|s| {
                let price = s.items.first().map_or("no item", |i| i.price.id.as_str());
                let until = s.period_of(s.items.first()).map_or_else(|| "no period".into(), |p| format!("until {}", day(p.end)));
                Choice {
                    value: s.id.to_string(),
                    say: format!("{}, {}, {until}", mask::id(s.id.as_str()), s.status),
                    evidence: format!("customer {}, price {price}, created {}", mask::id(s.customer.as_str()), day(s.created)),
                }
            })
            .collect();
        let question = format!("{} subscriptions are live at Stripe. Which one counts?", live.len());
        return Err(Refusal::Decide(Decision { id: "subscription".into(), question, options }));
    }
    case.subscription().ok_or_else(|| {
        let why = if case.customers.is_empty() { "Stripe knows no customer for them" } else { "Stripe has no subscription for them" };
        Refusal::Because(format!("{why}: there is nothing to copy from."))
    })
}

/// The profile, where the evidence is enough to choose it or the operator has.
fn profile<'a>(case: &'a Case, inputs: &Inputs, subscription: &Subscription) -> Result<&'a Record, Refusal> {
    let record = case.record();
    if let (Some(chosen), None) = (&inputs.subject, record) {
        return Err(Refusal::Because(format!("Profile {chosen} is not in the database.")));
    }
    let certain = preselected(&case.links, &subscription.customer).map(|l| &l.profile);
    if let Some(record) = record.filter(|r| inputs.subject.is_some() || certain == Some(&r.subject.key)) {
        return Ok(record);
    }
    let mut options: Vec<Choice> = case.links.iter().filter(|l| l.customer == subscription.customer).map(choice).collect();
    if let Some(asked) = record.filter(|r| !options.iter().any(|o| o.value == r.subject.key.as_str())) {
        options.push(Choice {
            value: asked.subject.key.to_string(),
            say: name(asked),
            evidence: "you came from this profile; nothing at Stripe names it".into(),
        });
    }
    if let (Some(fault), true) = (&case.sessions_unread, options.is_empty()) {
        return Err(Refusal::Because(fault.say.clone()));
    }
    if options.is_empty() {
        let say = "No profile can be named: no checkout session, metadata or e-mail address leads to one. \
                   Find the profile by other means and choose it explicitly.";
        return Err(Refusal::Because(say.into()));
    }
    let mut question = format!("Which profile does {} belong to?", subscription.customer);
    if let Some(fault) = &case.sessions_unread {
        question.push_str(&format!(" Its checkout sessions could not be read: {}", fault.say));
    }
    Err(Refusal::Decide(Decision { id: "subject".into(), question, options }))
}

fn choice(link: &Link) -> Choice {
    Choice {
        value: link.profile.to_string(),
        say: format!("profile {}", mask::id(link.profile.as_str())),
        evidence: format!("{} ({}, {})", link.by.say(), link.witness, link.by.confidence().word()),
    }
}

fn name(record: &Record) -> String {
    record.subject.email.as_deref().map_or_else(|| format!("profile {}", mask::id(record.subject.key.as_str())), mask::email)
}

/// Nobody else's row may hold the ids that are to be written.
fn unheld_by_others(answers: &Answers, subscription: &Subscription, subject: &SubjectKey) -> Result<(), Refusal> {
    let places = [
        (Locator::CustomerId(subscription.customer.to_string()), subscription.customer.as_str()),
        (Locator::SubscriptionId(subscription.id.to_string()), subscription.id.as_str()),
    ];
    for (locator, id) in places {
        match answers.get(&Query::Records(locator)) {
            Some(Known::Is { value: Reply::Records(records), .. }) => {
                if let Some(other) = records.iter().find(|r| r.subject.key != *subject) {
                    let whom = mask::id(other.subject.key.as_str());
                    let say = format!("Another row, of profile {whom}, holds {id} already. Settle which of the two it belongs to first.");
                    return Err(Refusal::Because(say));
                }
            }
            Some(Known::Failed(fault)) => return Err(Refusal::Because(fault.say.clone())),
            _ => return Err(unread("Whether another row holds these ids")),
        }
    }
    Ok(())
}
