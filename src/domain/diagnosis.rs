//! The sentence about a customer: what is wrong, why, and which procedure mends it. One function, from the case to the words.

use super::At;
use super::expected::{Expected, NoExpectation, expected};
use super::facts::Case;
use super::ids::is_placeholder;
use super::mask;
use super::row::{Change, Field, Record, diff};
use super::stripe::{Invoice, Status, Subscription};
use super::tiers::TierRules;
use serde::{Deserialize, Serialize};

/// What was found, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Word {
    /// A source has not answered yet.
    Reading,
    Ok,
    /// Too young to judge: the webhook may still be on its way.
    Settling,
    /// A source did not answer, or cannot be trusted.
    Unknown,
    Warn,
    Fail,
}

/// The classes of finding that a console can group by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Class {
    Fine,
    PaidNotServed,
    ServedNotPaid,
    WrongTier,
    Differs,
    Unlinked,
    SeveralLive,
    NoPlan,
    NotFound,
    Undecided,
}

/// The verdict on one customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub word: Word,
    pub class: Class,
    pub sentence: String,
    pub reason: Option<String>,
    pub fix: Option<Fix>,
    /// What the sentence rests on, a line each, with its source.
    pub evidence: Vec<String>,
}

/// The one recommended procedure.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fix {
    /// The procedure's id.
    pub procedure: String,
    pub say: String,
    pub undoable: bool,
}

/// Younger effects than this are given time before anybody calls them missing, in seconds.
pub const SETTLING_SECONDS: i64 = 60;

/// What the case says, at `now`.
#[must_use]
pub fn diagnose(case: &Case, rules: &TierRules, now: At) -> Diagnosis {
    let mut evidence = Vec::new();
    if let Some(d) = unanswered(case) {
        return d;
    }
    let (Some(shape), Some(subscriptions)) = (case.shape.value(), case.subscriptions.value()) else {
        return plain(Word::Reading, Class::Undecided, "Reading the database and Stripe…", None);
    };
    let Some(record) = case.record() else { return nobody(case) };
    if let Some(link) = case.links.iter().find(|l| l.profile == record.subject.key) {
        evidence.push(format!("link: {} ({}, {})", link.by.say(), link.witness, link.by.confidence().word()));
    }
    let Some(row) = &record.row else {
        let mut d = plain(Word::Warn, Class::NoPlan, "This profile has no subscription row", None);
        d.reason = Some("The application writes one at sign-up; nothing here creates rows.".into());
        return d;
    };
    let served = row.text(Field::Tier).unwrap_or("no tier").to_string();
    evidence.push(format!("database: tier {served}, customer {}", row.text(Field::Customer).unwrap_or("none")));
    if let Some(app) = case.entitlement.value().and_then(Option::as_ref) {
        evidence.push(format!("app: enforces {}", app.tier));
    }
    let live = case.live_subscriptions();
    if live.len() > 1 {
        let mut d = plain(Word::Warn, Class::SeveralLive, &format!("{} live subscriptions at Stripe for one profile", live.len()), None);
        d.reason = Some("Which of them counts is the operator's choice; the review asks.".into());
        d.fix = Some(fix("Choose the subscription, then copy it from Stripe"));
        d.evidence = evidence;
        return d;
    }
    let Some(subscription) = case.subscription() else {
        let mut d = without_subscription(&served, rules, subscriptions.is_empty());
        d.evidence = evidence;
        return d;
    };
    evidence.push(format!("stripe: {} is {}, created {}", subscription.id, subscription.status, stamp(subscription.created)));
    let invoice = case.latest_invoice(subscription);
    if let Some(i) = invoice {
        evidence.push(format!("stripe: invoice {} is {}, {} paid of {}", i.id, i.status, i.amount_paid, i.total));
    }
    let demanded = match expected(subscription, rules, shape, None) {
        Ok(e) => e,
        Err(why) => return no_expectation(&why, evidence),
    };
    if let Some((price, by)) = &demanded.item {
        evidence.push(format!("stripe: price {price} buys {} {}", demanded.tier, by.say()));
    }
    let changes = diff(&row.image, &demanded.image);
    let mut d = judge(case, record, subscription, invoice, &demanded, &changes, &served, rules, now);
    d.evidence = evidence;
    d
}

/// A source that failed or has not answered decides first: nothing is called missing on half the facts.
fn unanswered(case: &Case) -> Option<Diagnosis> {
    let faults = [case.shape.fault(), case.record.fault(), case.customer.fault(), case.subscriptions.fault()];
    if let Some(fault) = faults.into_iter().flatten().next() {
        let mut d = plain(Word::Unknown, Class::Undecided, "Cannot tell: a source did not answer", None);
        d.reason = Some(fault.say.clone());
        return Some(d);
    }
    if case.record.is_waiting() || case.shape.is_waiting() {
        return Some(plain(Word::Reading, Class::Undecided, "Reading the database…", None));
    }
    if case.customer.is_waiting() || case.subscriptions.is_waiting() {
        return Some(plain(Word::Reading, Class::Undecided, "Reading Stripe…", None));
    }
    None
}

/// No profile can be named: never *missing* where rows may be hidden.
fn nobody(case: &Case) -> Diagnosis {
    let hidden = case.shape.value().map(|s| s.trust.reasons()).unwrap_or_default();
    if let Some(reason) = hidden.first() {
        let mut d = plain(Word::Unknown, Class::Undecided, "No row is visible, and rows may be hidden from us", None);
        d.reason = Some(reason.clone());
        return d;
    }
    if case.customers.is_empty() {
        return plain(Word::Warn, Class::NotFound, "Nobody here has this id", Some("Neither the database nor Stripe knows it."));
    }
    if case.live_subscriptions().is_empty() {
        let why = "Stripe knows this customer and bills them for nothing; no profile holds the id.";
        return plain(Word::Warn, Class::Unlinked, "A Stripe customer without a profile", Some(why));
    }
    let mut d = plain(Word::Fail, Class::Unlinked, "Paid in Stripe, and no profile can be named with certainty", None);
    if case.links.is_empty() {
        d.reason = Some("No checkout session, metadata or e-mail address names a profile.".into());
    } else {
        d.reason = Some("The evidence is not enough to choose by itself; the review lists it.".into());
        d.fix = Some(fix("Choose the profile, then copy from Stripe"));
    }
    d.evidence = case
        .links
        .iter()
        .map(|l| format!("link: {} → {} ({})", l.by.say(), mask::id(l.profile.as_str()), l.by.confidence().word()))
        .collect();
    d
}

fn without_subscription(served: &str, rules: &TierRules, none_ever: bool) -> Diagnosis {
    if served == rules.free() {
        return plain(Word::Ok, Class::Fine, &format!("On {served}, and Stripe has no subscription"), None);
    }
    let why = if none_ever { "Stripe has no subscription for them." } else { "All their subscriptions have ended." };
    plain(Word::Warn, Class::ServedNotPaid, &format!("Served {served}, and nothing is paid"), Some(why))
}

fn no_expectation(why: &NoExpectation, evidence: Vec<String>) -> Diagnosis {
    let mut d = plain(Word::Warn, Class::NoPlan, "Stripe's object does not say which tier is due", None);
    d.reason = Some(format!("{}.", capitalised(&why.to_string())));
    if matches!(why, NoExpectation::TwoTiers(_)) {
        d.fix = Some(fix("Choose the item that counts, then copy from Stripe"));
    }
    d.evidence = evidence;
    d
}

#[expect(clippy::too_many_arguments, reason = "one judgement over everything that is known; splitting it would only hide that")]
fn judge(
    case: &Case,
    record: &Record,
    subscription: &Subscription,
    invoice: Option<&Invoice>,
    demanded: &Expected,
    changes: &[Change],
    served: &str,
    rules: &TierRules,
    now: At,
) -> Diagnosis {
    let enforced = case.entitlement.value().and_then(Option::as_ref).map(|e| e.tier.as_str());
    if changes.is_empty() {
        if let Some(enforced) = enforced.filter(|e| *e != demanded.tier) {
            let why = "The row is right; the application answers otherwise. It may cache: look at it before writing anything.";
            return plain(Word::Warn, Class::Differs, &format!("The row says {served}, the app enforces {enforced}"), Some(why));
        }
        return fine(subscription, demanded, invoice);
    }
    let held = record.row.as_ref().and_then(|r| r.text(Field::Customer)).unwrap_or("no customer id");
    let rank = |tier: &str| rules.ladder.iter().position(|t| t == tier);
    let tier_changes = changes.iter().any(|c| c.field == Field::Tier);
    let linked = held == subscription.customer.as_str();
    let changed_at = invoice.and_then(|i| i.paid_at).unwrap_or(subscription.created).max(subscription.created);
    if (now - changed_at).num_seconds() < SETTLING_SECONDS && linked {
        let why = "The webhook may still be on its way; it is given a minute before this is called missing.";
        return plain(Word::Settling, Class::Undecided, "Changed at Stripe just now", Some(why));
    }
    if tier_changes && rank(&demanded.tier) > rank(served) {
        let paid = is_paid(subscription, invoice);
        let verb = if paid { "Paid in Stripe" } else { subscription_words(subscription) };
        let mut d = plain(Word::Fail, Class::PaidNotServed, &format!("{verb}, {served} in the app since {}", stamp(changed_at)), None);
        d.reason = Some(if is_placeholder(held) {
            format!("The row holds {}, so the webhook found nobody and changed nothing.", mask::id(held))
        } else if linked {
            "The row is linked and still as before: the webhook's effect never arrived.".into()
        } else {
            format!("The row holds another customer id, {}.", mask::id(held))
        });
        d.fix = Some(fix(&fix_words(changes, linked)));
        return d;
    }
    if tier_changes && rank(&demanded.tier) < rank(served) {
        let sentence = format!("Served {served}, and Stripe's {} subscription buys {}", subscription.status, demanded.tier);
        let mut d = plain(Word::Fail, Class::ServedNotPaid, &sentence, Some("The row was not changed when the subscription did."));
        d.fix = Some(fix(&fix_words(changes, linked)));
        return d;
    }
    let class = if tier_changes { Class::WrongTier } else { Class::Differs };
    let names: Vec<_> = changes.iter().map(|c| c.field.label()).collect();
    let mut d = plain(Word::Warn, class, &format!("The row differs from Stripe in {}", names.join(", ")), None);
    d.reason = Some(if linked { "An older event may have been applied last.".into() } else { format!("It holds {}.", mask::id(held)) });
    d.fix = Some(fix(&fix_words(changes, linked)));
    d
}

fn fine(subscription: &Subscription, demanded: &Expected, invoice: Option<&Invoice>) -> Diagnosis {
    let until =
        subscription.period_of(subscription.items.first()).map(|p| format!(" until {}", p.end.format("%-d %b %Y"))).unwrap_or_default();
    if !is_paid(subscription, invoice) && subscription.status.is_live() {
        let sentence = format!("{}{until}, and the last invoice is {}", demanded.tier, invoice.map_or("unknown", |i| i.status.as_str()));
        return plain(Word::Ok, Class::Fine, &sentence, Some("Stripe, the database and the app agree; Stripe goes on collecting."));
    }
    let sentence = match subscription.status {
        Status::Canceled => format!("{}, the subscription has ended", demanded.tier),
        _ => format!("{}{until}, {}", demanded.tier, subscription.status),
    };
    plain(Word::Ok, Class::Fine, &sentence, Some("Stripe, the database and the app agree."))
}

/// Paid for: the last invoice is, or nothing is due while the trial runs.
#[must_use]
pub fn is_paid(subscription: &Subscription, invoice: Option<&Invoice>) -> bool {
    match invoice {
        Some(i) => i.status == "paid",
        None => subscription.status == Status::Trialing,
    }
}

fn subscription_words(subscription: &Subscription) -> &'static str {
    match subscription.status {
        Status::Trialing => "On trial in Stripe",
        Status::PastDue => "Past due in Stripe and still served",
        _ => "Active in Stripe, last invoice not paid",
    }
}

/// What a repair by these changes does, in one line; `linked`: the row holds the right customer id already.
#[must_use]
pub fn fix_words(changes: &[Change], linked: bool) -> String {
    let copied = changes.iter().filter(|c| linked || c.field != Field::Customer).count();
    let fields = if copied == 1 { "one field".to_string() } else { format!("{copied} fields") };
    if linked { format!("Copy {fields} from Stripe") } else { format!("Link, then copy {fields} from Stripe") }
}

fn fix(say: &str) -> Fix {
    Fix { procedure: "tier-update".into(), say: say.into(), undoable: true }
}

fn plain(word: Word, class: Class, sentence: &str, reason: Option<&str>) -> Diagnosis {
    Diagnosis { word, class, sentence: sentence.into(), reason: reason.map(String::from), fix: None, evidence: Vec::new() }
}

fn stamp(at: At) -> String {
    at.format("%-d %b %H:%MZ").to_string()
}

fn capitalised(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |c| c.to_uppercase().chain(chars).collect())
}

impl Word {
    /// The word on screen; four columns wide at most.
    #[must_use]
    pub fn shown(self) -> &'static str {
        match self {
            Word::Reading => "…",
            Word::Ok => "OK",
            Word::Settling => "WAIT",
            Word::Unknown => "?",
            Word::Warn => "WARN",
            Word::Fail => "FAIL",
        }
    }
}
