//! The sentence about a customer: what is wrong, why, and which procedure mends it. One function, from the case to the words.

use super::expected::{Expected, NoExpectation, expected};
use super::facts::Case;
use super::fault::{FaultKind, Source};
use super::ids::is_placeholder;
use super::link::{Link, LinkedBy, preselected};
use super::mask;
use super::quota::{quota_lines, unreset};
use super::row::{Change, Field, SubscriptionRow, Value, diff};
use super::stripe::{Invoice, Item, Status, Subscription};
use super::text::sentence;
use super::tiers::TierRules;
use super::{At, age};
use chrono::Duration;
use serde::{Deserialize, Serialize};

/// What was found, worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
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

/// Why a row is not as Stripe demands. Decides what helps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Cause {
    /// Nothing is wrong, or nobody knows.
    None,
    /// The row holds a placeholder customer id: webhooks find nobody.
    Placeholder,
    /// The row holds another customer's id.
    OtherCustomer,
    /// The row is linked, and the effect never arrived.
    Unapplied,
    /// No profile can be named.
    NoProfile,
}

/// The verdict on one customer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Diagnosis {
    pub word: Word,
    pub class: Class,
    pub sentence: String,
    pub reason: Option<String>,
    pub fix: Option<Fix>,
    /// Why the row is not as it should be, where that is known.
    pub cause: Cause,
    /// Since when it has been wrong, as far as Stripe's objects tell.
    pub since: Option<At>,
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

/// The present, and how long effects are given: a minute at least, longer where they were seen to take longer.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    pub now: At,
    pub allowance: Duration,
}

impl From<At> for Moment {
    fn from(now: At) -> Self {
        Self { now, allowance: Duration::seconds(SETTLING_SECONDS) }
    }
}

impl Moment {
    /// What changed then may still have its effect to come.
    #[must_use]
    pub fn is_young(self, at: At) -> bool {
        self.now - at < self.allowance
    }
}

/// What the case says at that moment.
#[must_use]
pub fn diagnose(case: &Case, rules: &TierRules, moment: impl Into<Moment>) -> Diagnosis {
    let moment = moment.into();
    let now = moment.now;
    if let Some(d) = unanswered(case) {
        return d;
    }
    let (Some(shape), Some(_)) = (case.shape.value(), case.subscriptions.value()) else {
        return plain(Word::Reading, Class::Undecided, "Reading the database and Stripe…", None);
    };
    let Some(record) = case.record() else { return nobody(case) };
    let doubt = shape.trust.reasons().first();
    let Some(row) = &record.row else {
        if let Some(reason) = doubt {
            return plain(Word::Unknown, Class::Undecided, "No subscription row is visible, and rows may be hidden from us", Some(reason));
        }
        let why = "The application writes one at sign-up; nothing here creates rows.";
        return plain(Word::Warn, Class::NoPlan, "This profile has no subscription row", Some(why));
    };
    let served = row.text(Field::Tier).unwrap_or("no tier").to_string();
    let mut evidence = Vec::new();
    if let Some(link) = case.links.iter().find(|l| l.profile == record.subject.key) {
        evidence.push(format!("link: {} ({}, {})", link.by.say(), mask::id(&link.witness), link.by.confidence().word()));
    }
    evidence.push(format!("database: tier {served}, customer {}", row.text(Field::Customer).map_or("none".into(), mask::id)));
    if let Some(app) = case.entitlement.value().and_then(Option::as_ref) {
        evidence.push(format!("app: enforces {}", app.tier));
    }
    let live = case.live_subscriptions();
    if live.len() > 1 {
        let sentence = format!("{} live subscriptions at Stripe for one profile", live.len());
        let why = "Which of them counts is the operator's choice; the review asks.";
        let mut d = plain(Word::Warn, Class::SeveralLive, &sentence, Some(why));
        d.fix = Some(fix("Choose the subscription, then copy it from Stripe"));
        d.evidence = evidence;
        d.evidence
            .extend(live.iter().map(|s| format!("stripe: {} is {}, created {}", mask::id(s.id.as_str()), s.status, stamp(s.created))));
        return d;
    }
    let Some(subscription) = case.subscription() else {
        let mut d = without_subscription(case, row, &served, rules);
        if let Some(reason) = doubt.filter(|_| d.class != Class::Fine) {
            d = plain(Word::Unknown, Class::Undecided, &format!("{}, and the row may not be what is there", d.sentence), Some(reason));
        }
        d.evidence = evidence;
        return d;
    };
    evidence.push(format!(
        "stripe: {} is {}, created {}",
        mask::id(subscription.id.as_str()),
        subscription.status,
        stamp(subscription.created)
    ));
    let invoice = case.latest_invoice(subscription);
    if let Some(i) = invoice {
        evidence.push(format!("stripe: invoice {} is {}, {} paid of {}", mask::id(i.id.as_str()), i.status, i.amount_paid, i.total));
    }
    let demanded = match expected(subscription, rules, shape, None) {
        Ok(e) => e,
        Err(why) => return no_expectation(&why, evidence),
    };
    if let Some(decided) = &demanded.item {
        evidence.push(format!("stripe: price {} buys {} {}", decided.price, demanded.tier, decided.by.say()));
    }
    evidence.extend(demanded.left_alone.iter().map(|l| format!("left alone: {l}")));
    let facts = Facts { case, row, subscription, invoice, demanded: &demanded, served: &served, rules, now, moment };
    let changes = diff(&row.image, &demanded.image);
    let mut d = match (changes.is_empty(), doubt) {
        (true, _) => agreed(&facts),
        (false, Some(reason)) => {
            let sentence = format!("The row differs from Stripe in {}, and it may not be what is there", names(&changes));
            plain(Word::Unknown, Class::Undecided, &sentence, Some(reason))
        }
        (false, None) => differing(&facts, &changes),
    };
    d.evidence = evidence;
    d
}

/// Everything that a judgement rests on, once it is all there.
struct Facts<'a> {
    case: &'a Case,
    row: &'a SubscriptionRow,
    subscription: &'a Subscription,
    invoice: Option<&'a Invoice>,
    demanded: &'a Expected,
    served: &'a str,
    rules: &'a TierRules,
    now: At,
    moment: Moment,
}

/// A source that failed or has not answered decides first: nothing is called missing on half the facts.
fn unanswered(case: &Case) -> Option<Diagnosis> {
    let faults = [case.shape.fault(), case.record.fault(), case.customer.fault(), case.subscriptions.fault()];
    if let Some(fault) = faults.into_iter().flatten().next() {
        let sentence = match fault.source {
            Source::Stripe if fault.kind == FaultKind::TooMany && case.customer.fault().is_none() => {
                "Cannot tell: too many subscriptions at Stripe come into question"
            }
            Source::Stripe if fault.kind == FaultKind::TooMany => "Cannot tell: too many customers at Stripe come into question",
            Source::Stripe => "Cannot tell: Stripe did not answer",
            Source::Database => "Cannot tell: the database did not answer",
            _ => "Cannot tell: a source did not answer",
        };
        return Some(plain(Word::Unknown, Class::Undecided, sentence, Some(&fault.say)));
    }
    if case.record.is_waiting() || case.shape.is_waiting() {
        let sentence = if case.subscriptions.is_waiting() { "Reading the database and Stripe…" } else { "Reading the database…" };
        return Some(plain(Word::Reading, Class::Undecided, sentence, None));
    }
    if case.customer.is_waiting() || case.subscriptions.is_waiting() || case.invoices.is_waiting() {
        return Some(plain(Word::Reading, Class::Undecided, "Reading Stripe…", None));
    }
    None
}

/// No profile can be named: never *missing* where rows may be hidden.
fn nobody(case: &Case) -> Diagnosis {
    let hidden = case.shape.value().map(|s| s.trust.reasons()).unwrap_or_default();
    if let Some(reason) = hidden.first() {
        return plain(Word::Unknown, Class::Undecided, "No row is visible, and rows may be hidden from us", Some(reason));
    }
    if let Some(fault) = &case.sessions_unread {
        let sentence = "Cannot tell whose customer this is: checkout sessions could not be read";
        return plain(Word::Unknown, Class::Undecided, sentence, Some(&fault.say));
    }
    if case.customers.is_empty() {
        return plain(Word::Warn, Class::NotFound, "Nobody here has this id", Some("Neither the database nor Stripe knows it."));
    }
    if case.live_subscriptions().is_empty() {
        let why = if case.links.iter().any(|l| l.by == LinkedBy::Email) {
            "Stripe bills them for nothing; a profile with their e-mail address holds another id: search by the address."
        } else {
            "Stripe knows this customer and bills them for nothing; no profile holds the id."
        };
        let mut d = plain(Word::Warn, Class::Unlinked, "A Stripe customer without a profile", Some(why));
        d.evidence = link_evidence(case);
        return d;
    }
    let mut d = plain(Word::Fail, Class::Unlinked, "Paid in Stripe, and no profile can be named with certainty", None);
    d.cause = Cause::NoProfile;
    let gone = case.customer.value().and_then(Option::as_ref).and_then(|c| preselected(&case.links, &c.id));
    if let Some(link) = gone {
        d.reason = Some(format!("The checkout names profile {}, which is not in the database.", mask::id(link.profile.as_str())));
    } else if case.links.is_empty() {
        d.reason = Some("No checkout session, metadata or e-mail address names a profile.".into());
    } else {
        d.reason = Some("The evidence is not enough to choose by itself; the review lists it.".into());
        d.fix = Some(fix("Choose the profile, then copy from Stripe"));
    }
    d.evidence = link_evidence(case);
    d
}

fn link_evidence(case: &Case) -> Vec<String> {
    let line = |l: &Link| format!("link: {} → {} ({})", l.by.say(), mask::id(l.profile.as_str()), l.by.confidence().word());
    case.links.iter().map(line).collect()
}

fn without_subscription(case: &Case, row: &SubscriptionRow, served: &str, rules: &TierRules) -> Diagnosis {
    let held = row.text(Field::Customer).unwrap_or_default();
    if case.others.iter().any(|o| o.as_str() == held) {
        let why = "Its checkout names somebody else. Nothing is copied from a customer that is not theirs.";
        let mut d = plain(Word::Warn, Class::Unlinked, "The row holds a Stripe customer of another profile", Some(why));
        d.cause = Cause::OtherCustomer;
        return d;
    }
    if served == rules.free() {
        let why = is_placeholder(held).then_some("The row holds a placeholder from a checkout that Stripe knows nothing of.");
        return plain(Word::Ok, Class::Fine, &format!("On {served}, and Stripe has no subscription"), why);
    }
    let why = if case.customers.is_empty() && !held.is_empty() {
        format!("Stripe does not know the customer that the row holds, {}.", mask::id(held))
    } else {
        "Stripe has no subscription for them.".into()
    };
    plain(Word::Fail, Class::ServedNotPaid, &format!("Served {served}, and nothing is paid"), Some(&why))
}

fn no_expectation(why: &NoExpectation, evidence: Vec<String>) -> Diagnosis {
    let reason = sentence(&why.to_string());
    let mut d = plain(Word::Warn, Class::NoPlan, "Stripe's object does not say which tier is due", Some(&reason));
    if matches!(why, NoExpectation::TwoTiers(_)) {
        d.fix = Some(fix("Choose the item that counts, then copy from Stripe"));
    }
    d.evidence = evidence;
    d
}

/// The row is as Stripe demands; what is left is whether the application enforces it.
fn agreed(facts: &Facts) -> Diagnosis {
    let Facts { case, subscription, demanded, served, invoice, .. } = facts;
    let app = &case.entitlement;
    let enforced = app.value().and_then(Option::as_ref).map(|e| e.tier.as_str());
    if let Some(enforced) = enforced.filter(|e| *e != demanded.tier) {
        let why = "The row is right; the application answers otherwise. It may cache: look at it before writing anything.";
        return plain(Word::Warn, Class::Differs, &format!("The row says {served}, the app enforces {enforced}"), Some(why));
    }
    let who = if enforced.is_some() { "Stripe, the database and the app agree." } else { "Stripe and the database agree." };
    let until =
        subscription.period_of(demanded.item_of(subscription)).map(|p| format!(" until {}", p.end.format("%-d %b %Y"))).unwrap_or_default();
    let unpaid = invoice.filter(|i| i.status != "paid" && subscription.status.is_live());
    let sentence = match (&subscription.status, unpaid) {
        (Status::Canceled | Status::IncompleteExpired, _) => format!("{}, the subscription has ended", demanded.tier),
        (_, Some(i)) => format!("{}{until}, {}, and the last invoice is {}", demanded.tier, subscription.status.spoken(), i.status),
        (status, None) => format!("{}{until}, {}", demanded.tier, status.spoken()),
    };
    let mut d = plain(Word::Ok, Class::Fine, &sentence, Some(who));
    if subscription.pause.is_some() {
        d.reason = Some(format!("{who} Collection is paused at Stripe."));
    }
    if let Some(held) = held_up(facts) {
        d.reason = d.reason.map(|reason| format!("{reason} {held}"));
    }
    d
}

/// What they paid for and cannot use, since a counter goes on with the use of the period before.
fn held_up(facts: &Facts) -> Option<String> {
    let Facts { case, row, subscription, served, rules, .. } = facts;
    let (Some(Value::Time(from)), Some(Value::Time(to))) = (row.image.get(&Field::PeriodStart), row.image.get(&Field::PeriodEnd)) else {
        return None;
    };
    let record = case.record().filter(|_| *served != rules.free() && subscription.status.is_live())?;
    let app = case.entitlement.value().and_then(Option::as_ref);
    let lines = quota_lines(&record.counters, &record.limits, app, facts.now);
    let features = unreset(&lines, &record.counters, (*from, *to));
    let (is, it) = if features.len() == 1 { ("is used up and was", "it") } else { ("are used up and were", "them") };
    let named = features.join(", ");
    (!features.is_empty()).then(|| format!("{named} {is} not reset at the renewal: f on the Quota tab resets {it}."))
}

/// The row is not as Stripe demands: too young to say, not served, served too much, or different in detail.
fn differing(facts: &Facts, changes: &[Change]) -> Diagnosis {
    let Facts { row, subscription, demanded, served, rules, now, moment, .. } = facts;
    let held = row.text(Field::Customer).unwrap_or("no customer id");
    let linked = held == subscription.customer.as_str();
    let since = changed_at(subscription, demanded.item_of(subscription), facts.invoice, *now);
    if moment.is_young(since) {
        let given = moment.allowance.num_seconds();
        let given = if given == SETTLING_SECONDS { "a minute".into() } else { age::rounded(given) };
        let why = format!("The webhook may still be on its way; it is given {given} before this is called missing.");
        return plain(Word::Settling, Class::Undecided, "Changed at Stripe just now", Some(&why));
    }
    let rank = |tier: &str| rules.ladder.iter().position(|t| t == tier);
    let tier_changes = changes.iter().any(|c| c.field == Field::Tier);
    let enforced = facts.case.entitlement.value().and_then(Option::as_ref).map(|e| e.tier.as_str());
    let mut d = if tier_changes && enforced == Some(demanded.tier.as_str()) {
        let sentence = format!("The row says {served}, and the app enforces {}, which is due", demanded.tier);
        plain(Word::Warn, Class::WrongTier, &sentence, Some("Nobody is hurt yet; copying from Stripe makes the row right too."))
    } else if tier_changes && rank(&demanded.tier) > rank(served) {
        let when = if since.date_naive() == now.date_naive() { since.format("%H:%MZ").to_string() } else { stamp(since) };
        let sentence = format!("{}, {served} in the app since {when}", paid_words(facts));
        let reason = if is_placeholder(held) {
            format!("The row holds {}, so the webhook found nobody to change.", mask::id(held))
        } else if linked {
            "The row is linked and still as before: the webhook's effect never arrived.".into()
        } else {
            format!("The row holds another customer id, {}.", mask::id(held))
        };
        plain(Word::Fail, Class::PaidNotServed, &sentence, Some(&reason))
    } else if tier_changes && rank(&demanded.tier) < rank(served) {
        let sentence = format!("Served {served}, and Stripe's {} subscription buys {}", subscription.status.spoken(), demanded.tier);
        // Who pays for less is served another tier; only who pays for nothing is served what nobody pays for.
        let nothing = demanded.tier == rules.free();
        let (word, class) = if nothing { (Word::Fail, Class::ServedNotPaid) } else { (Word::Warn, Class::WrongTier) };
        plain(word, class, &sentence, Some("The row was not changed when the subscription did."))
    } else {
        let class = if tier_changes { Class::WrongTier } else { Class::Differs };
        let reason = if linked { "What changed at Stripe last is not in it.".to_string() } else { format!("It holds {}.", mask::id(held)) };
        plain(Word::Warn, class, &format!("The row differs from Stripe in {}", names(changes)), Some(&reason))
    };
    d.cause = match linked {
        true => Cause::Unapplied,
        false if is_placeholder(held) => Cause::Placeholder,
        false => Cause::OtherCustomer,
    };
    d.since = Some(since);
    d.fix = Some(fix(&fix_words(changes, linked)));
    d
}

/// When Stripe's side last changed, as far as its objects tell: begun, renewed, billed, paid, canceled, ended. `item`: the one that decides.
#[must_use]
pub fn changed_at(subscription: &Subscription, item: Option<&Item>, invoice: Option<&Invoice>, now: At) -> At {
    let s = subscription;
    let period = s.period_of(item).map(|p| p.start);
    let invoice = invoice.into_iter().flat_map(|i| [Some(i.created), i.paid_at]);
    let moments = [s.canceled_at, s.ended_at, period].into_iter().chain(invoice).flatten();
    moments.filter(|at| *at <= now).fold(s.created, At::max)
}

fn paid_words(facts: &Facts) -> &'static str {
    match (&facts.subscription.status, facts.invoice) {
        (Status::Trialing, _) => "On trial in Stripe",
        (Status::PastDue, _) => "Past due in Stripe and still due",
        (_, Some(i)) if i.status == "paid" => "Paid in Stripe",
        (_, Some(_)) => "Active in Stripe, last invoice not paid",
        (_, None) => "Active in Stripe",
    }
}

fn names(changes: &[Change]) -> String {
    let names: Vec<_> = changes.iter().map(|c| c.field.label()).collect();
    match names.as_slice() {
        [a, b, c, rest @ ..] if rest.len() > 1 => format!("{a}, {b}, {c} and {} more", rest.len()),
        _ => names.join(", "),
    }
}

/// Paid for: the last invoice is, or nothing is due while the trial runs.
#[must_use]
pub fn is_paid(subscription: &Subscription, invoice: Option<&Invoice>) -> bool {
    match invoice {
        Some(i) => i.status == "paid",
        None => subscription.status == Status::Trialing,
    }
}

/// What a repair by these changes does, in one line; `linked`: the row holds the right customer id already.
#[must_use]
pub fn fix_words(changes: &[Change], linked: bool) -> String {
    let copied = changes.iter().filter(|c| linked || c.field != Field::Customer).count();
    if copied == 0 && !linked {
        return "Link the row to the customer at Stripe".into();
    }
    let fields = match copied {
        1 => "one field".to_string(),
        n @ 2..=9 => format!("{} fields", ["two", "three", "four", "five", "six", "seven", "eight", "nine"][n - 2]),
        n => format!("{n} fields"),
    };
    if linked { format!("Copy {fields} from Stripe") } else { format!("Link, then copy {fields} from Stripe") }
}

fn fix(say: &str) -> Fix {
    Fix { procedure: "tier-update".into(), say: say.into(), undoable: true }
}

fn plain(word: Word, class: Class, sentence: &str, reason: Option<&str>) -> Diagnosis {
    Diagnosis {
        word,
        class,
        sentence: sentence.into(),
        reason: reason.map(String::from),
        fix: None,
        cause: Cause::None,
        since: None,
        evidence: Vec::new(),
    }
}

fn stamp(at: At) -> String {
    at.format("%-d %b %H:%MZ").to_string()
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
