//! Home's findings: whom what is wrong hurts, and what helps. Ranked, worst first. Which events are missing is the survey's.

use super::At;
use super::age;
use super::diagnosis::{Cause, Class, Diagnosis, Word};
use super::fault::Source;
use super::ids::StripeId;
use super::money::Money;
use super::row::{Field, Subject};
use super::stripe::{Interval, Subscription};
use super::text::capitalised;
use super::tiers::TierRules;
use super::webhooks::drift;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use uuid::Uuid;

/// A customer whose case was read because an event looked unapplied, with what the case says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Judged {
    pub customer: StripeId,
    pub subject: Option<Subject>,
    pub email: Option<String>,
    /// What the row serves; `None` without a row.
    pub served: Option<String>,
    /// The customer id that the row holds, placeholders included.
    pub held: Option<String>,
    /// The tier that the application enforces; `None` where nobody asked.
    pub enforced: Option<String>,
    /// What the subscription bills per month.
    pub monthly: Option<Money>,
    pub diagnosis: Diagnosis,
    /// What a drift scan calls it; `None` where the row is as Stripe demands.
    #[serde(default)]
    pub drift: Option<drift::Class>,
}

/// Why a run that is open here wants somebody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Here {
    Asks,
    Paused,
    /// Whether its last act took effect is not known.
    InDoubt,
}

/// A run that is not finished and that nobody works on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Interrupted {
    pub run: Uuid,
    /// Its short name.
    pub name: String,
    /// `None` for the operator's own.
    pub operator: Option<String>,
    /// The title of the last step that was begun.
    pub step: Option<String>,
    /// It is open in this console, and why somebody has to look at it.
    pub here: Option<Here>,
    pub state: String,
    pub last: At,
}

/// A source that cannot be relied on at the moment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Silent {
    pub source: Source,
    pub trouble: Trouble,
    /// For so long it has given no good answer.
    pub seconds: i64,
    pub reason: String,
}

/// What is wrong with a source as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It does not answer at all.
    Down,
    /// It refuses our credentials, or what we ask with them.
    Refused,
    /// It asks us to wait.
    Limited,
    /// It has no free connection: neither for us nor for the application.
    Full,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum About {
    /// These customers, worst first.
    Customers(Vec<StripeId>),
    Run(Uuid),
    Source(Source),
    /// All events since then, and whom they hurt.
    Webhooks {
        since: At,
        customers: Vec<StripeId>,
    },
    /// Stripe delivers nothing to the application's endpoint, whatever happens.
    Endpoint,
    /// Payments fail that used to succeed.
    Payments,
    /// How far anything can be told at all.
    Sight,
    /// This machine's own clock.
    Clock,
    /// How long effects take to come.
    Lag,
    /// The database's connections.
    Pool,
    /// Counters that were not reset for a period that was paid for.
    Quota,
}

/// One finding: a word, a sentence, a size; below it the reason or what helps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    pub word: Word,
    pub sentence: String,
    pub size: String,
    pub reason: String,
    pub about: About,
    /// What it rests on, a line each.
    pub evidence: Vec<String>,
}

/// What a subscription bills per month, where all its prices recur and share a currency.
#[must_use]
pub fn monthly(subscription: &Subscription) -> Option<Money> {
    let mut sum = 0i64;
    let mut currency: Option<&str> = None;
    for item in &subscription.items {
        let amount = item.price.unit_amount.as_ref()?;
        if currency.is_some_and(|c| c != amount.currency) {
            return None;
        }
        currency = Some(&amount.currency);
        let billed = amount.minor.checked_mul(i64::try_from(item.quantity).ok()?)?;
        let every = i64::from(item.price.interval_count.max(1));
        let by_month = match item.price.interval? {
            Interval::Day => billed.checked_mul(365)? / 12,
            Interval::Week => billed.checked_mul(52)? / 12,
            Interval::Month => billed,
            Interval::Year => billed / 12,
        };
        sum = sum.checked_add(by_month / every)?;
    }
    Some(Money::new(sum, currency?))
}

/// All findings, worst first: by word, then money, then customers, then age.
#[must_use]
pub fn findings(judged: &[Judged], runs: &[Interrupted], silent: &[Silent], now: At) -> Vec<Finding> {
    let mut ranked: Vec<(Rank, Finding)> = Vec::new();
    let mut causes = Vec::new();
    let mut groups: BTreeMap<(Class, Cause), Vec<&Judged>> = BTreeMap::new();
    for j in each_once(judged) {
        // Where only the row has the wrong tier, nobody is hurt: it differs like others do.
        let class = if j.is_served_rightly() && j.diagnosis.class == Class::WrongTier { Class::Differs } else { j.diagnosis.class };
        groups.entry((class, j.diagnosis.cause)).or_default().push(j);
    }
    for ((class, cause), mut group) in groups {
        group.sort_by_key(|j| std::cmp::Reverse(j.monthly.as_ref().map(|m| m.minor)));
        ranked.push(of_customers(class, cause, &group));
        causes.push(cause);
    }
    tell_apart(&mut ranked, &causes);
    ranked.extend(silent.iter().map(|s| {
        let found = of_source(s);
        (Rank::new(found.word, 0, 0, s.seconds), found)
    }));
    ranked.extend(runs.iter().map(|r| (Rank::new(Word::Warn, 0, 0, (now - r.last).num_seconds()), of_run(r, now))));
    ranked.sort_by_key(|r| std::cmp::Reverse(r.0));
    ranked.into_iter().map(|(_, f)| f).collect()
}

/// Those with whom something is wrong; a person with several customers at Stripe by what is worst.
fn each_once(judged: &[Judged]) -> Vec<&Judged> {
    let mut worst: BTreeMap<&str, &Judged> = BTreeMap::new();
    for j in judged.iter().filter(|j| matches!(j.diagnosis.word, Word::Fail | Word::Warn | Word::Unknown)) {
        let person = j.subject.as_ref().map_or(j.customer.as_str(), |s| s.key.as_str());
        let harm = |j: &Judged| (j.diagnosis.word, std::cmp::Reverse(j.diagnosis.class), j.monthly.as_ref().map(|m| m.minor));
        let held = worst.entry(person).or_insert(j);
        if harm(j) > harm(held) {
            *held = j;
        }
    }
    let kept: std::collections::BTreeSet<&StripeId> = worst.into_values().map(|j| &j.customer).collect();
    judged.iter().filter(|j| kept.contains(&j.customer)).collect()
}

/// Whether the two sentences say the same, of however many.
#[must_use]
pub fn are_alike(a: &str, b: &str) -> bool {
    let words = |s: &str| {
        let counted = s.trim_start_matches(|c: char| c.is_ascii_digit() || c == ',');
        counted.split(' ').map(singular).collect::<Vec<_>>().join(" ")
    };
    words(a) == words(b)
}

/// `rows differ` as `row differs` is said of one.
fn singular(word: &str) -> String {
    match word {
        "customers" => "customer",
        "rows" => "row",
        "differ" => "differs",
        "are" => "is",
        "have" => "has",
        "changes" => "change",
        same => same,
    }
    .to_string()
}

/// Findings that say the same and help in the same way say what they differ in: no two have one title.
fn tell_apart(ranked: &mut [(Rank, Finding)], causes: &[Cause]) {
    let said: Vec<(String, String)> = ranked.iter().map(|(_, f)| (f.sentence.clone(), f.reason.clone())).collect();
    for ((_, finding), cause) in ranked.iter_mut().zip(causes) {
        let same = |(sentence, reason): &&(String, String)| {
            *sentence == finding.sentence || *reason == finding.reason && are_alike(sentence, &finding.sentence)
        };
        if said.iter().filter(same).count() > 1 {
            finding.sentence.push_str(match cause {
                Cause::Placeholder => ", placeholder id",
                Cause::OtherCustomer => ", another's id",
                Cause::NoProfile => ", no profile",
                _ => ", row as before",
            });
        }
    }
}

/// What decides the order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Rank {
    word: Word,
    money: i64,
    customers: usize,
    seconds: i64,
}

impl Rank {
    fn new(word: Word, money: i64, customers: usize, seconds: i64) -> Self {
        Self { word, money, customers, seconds }
    }
}

fn of_customers(class: Class, cause: Cause, group: &[&Judged]) -> (Rank, Finding) {
    let n = group.len();
    let first = &group[0].diagnosis;
    let (word, sentence, reason) = words(class, cause, group);
    let counts_money = matches!(class, Class::PaidNotServed | Class::Unlinked | Class::ServedNotPaid | Class::WrongTier);
    let size = if counts_money { billed(group) } else { String::new() };
    let money = if counts_money { total(group).iter().map(|m| m.minor).sum() } else { 0 };
    let mut evidence = vec![format!("{} confirmed by reading the subscriptions anew, not by the events alone", customers(n))];
    if n == 1 {
        evidence.extend(first.evidence.clone());
    } else {
        evidence.extend(group.iter().take(20).map(|j| format!("{}: {}", super::mask::id(j.customer.as_str()), j.diagnosis.sentence)));
        if n > 20 {
            evidence.push(format!("and {} more", n - 20));
        }
    }
    let about = About::Customers(group.iter().map(|j| j.customer.clone()).collect());
    (Rank::new(word, money, n, 0), Finding { word, sentence, size, reason, about, evidence })
}

fn words(class: Class, cause: Cause, group: &[&Judged]) -> (Word, String, String) {
    let n = group.len();
    let who = customers(n);
    let (are, have) = if n == 1 { ("is", "has") } else { ("are", "have") };
    let first = &group[0].diagnosis;
    let served = group[0].served.as_deref().filter(|t| group.iter().all(|j| j.served.as_deref() == Some(*t)));
    let still = served.map_or_else(|| "below what they paid for".to_string(), |t| format!("still {t}"));
    let own = |text: &str| first.reason.clone().filter(|_| n == 1).unwrap_or_else(|| text.to_string());
    let rows = if n == 1 { "1 row differs".to_string() } else { format!("{n} rows differ") };
    let unlinked = if n == 1 { "1 row not linked".to_string() } else { format!("{n} rows not linked") };
    let (sentence, reason) = match (class, cause) {
        (Class::PaidNotServed, Cause::Placeholder) => {
            (format!("{who} paid and {are} {still}"), "Placeholder id in the row. Linking helps, resending does not.".to_string())
        }
        (Class::PaidNotServed, Cause::OtherCustomer) => {
            (format!("{who} paid and {are} {still}"), "Another customer's id in the row. Linking helps, resending does not.".to_string())
        }
        (Class::PaidNotServed, _) => {
            (format!("{who} paid and {are} {still}"), "The row is linked and still as before; copying from Stripe helps.".to_string())
        }
        (Class::ServedNotPaid, _) => {
            (format!("{who} {are} served what nobody pays for"), own("The row was not changed when the subscription did."))
        }
        (Class::Unlinked, Cause::NoProfile) => (
            format!("{who} paid, and no profile can be named"),
            own("Nothing names the profile for certain; the review lists the evidence."),
        ),
        (Class::Unlinked, _) => {
            (format!("{who} {have} no profile of their own"), own("The evidence gives them to somebody else, or to nobody."))
        }
        (Class::SeveralLive, _) => {
            (format!("{who} with several live subscriptions"), "Which of them counts is a choice; the review asks.".to_string())
        }
        (Class::NoPlan, _) => {
            (format!("{who} whose tier cannot be told"), own("Prices that are mapped to no tier, or items of two tiers."))
        }
        // Only what the application enforces differs: the case says no other cause of it.
        (Class::Differs, Cause::None) => {
            (format!("{who} {have} another tier enforced than is due"), own("The row is right; the application may cache."))
        }
        (Class::WrongTier, _) => (
            format!("{who} {are} served another tier than they pay for"),
            own("The rows were not changed when the subscriptions did; copying from Stripe helps."),
        ),
        (Class::Differs, Cause::Placeholder | Cause::OtherCustomer) => {
            (format!("{unlinked} to Stripe"), "Webhooks find nobody there. Linking helps, resending does not.".to_string())
        }
        (Class::Differs, _) => {
            (format!("{rows} from Stripe, access is as paid for"), own("Status, period or flags are behind; copying from Stripe helps."))
        }
        (Class::Undecided | Class::Fine | Class::NotFound, _) => {
            let changes = if n == 1 { "1 change".to_string() } else { format!("{n} changes") };
            (format!("{changes} at Stripe cannot be judged"), first.reason.clone().unwrap_or_default())
        }
    };
    (group.iter().map(|j| j.diagnosis.word).max().unwrap_or(Word::Warn), sentence, reason)
}

fn of_source(s: &Silent) -> Finding {
    let name = capitalised(s.source.name());
    let (word, verb, size) = match s.trouble {
        Trouble::Down => (Word::Fail, "does not answer", age::words(s.seconds)),
        Trouble::Full => (Word::Fail, "has no connection left", "FULL".into()),
        Trouble::Refused => (Word::Warn, "answers, and refuses what we ask", "AUTH".into()),
        Trouble::Limited => (Word::Warn, "answers, and asks us to wait", "LIMIT".into()),
    };
    Finding {
        word,
        sentence: format!("{name} {verb}"),
        size,
        reason: s.reason.clone(),
        about: About::Source(s.source),
        evidence: vec![format!("{}: {}", s.source.word(), s.reason)],
    }
}

fn of_run(r: &Interrupted, now: At) -> Finding {
    let whose = r.operator.as_ref().map_or_else(|| format!("Your run {}", r.name), |o| format!("Run {} of {o}", r.name));
    let begun = r.step.as_ref().map_or_else(|| " stopped before it sent anything".to_string(), |s| format!(" stopped at step {s}"));
    let (how, reason) = match r.here {
        Some(Here::Asks) => (" waits for your answer".into(), "Enter shows what it asks.".into()),
        Some(Here::Paused) => (" is paused".into(), "Enter shows how far it came.".into()),
        Some(Here::InDoubt) => (" may or may not have taken effect".into(), "It goes on looking, and repeats nothing.".into()),
        None => (begun, format!("{} It looks first, it repeats nothing.", r.state)),
    };
    Finding {
        word: Word::Warn,
        sentence: format!("{whose}{how}"),
        size: age::words((now - r.last).num_seconds()),
        reason,
        about: About::Run(r.run),
        evidence: vec![format!("journal: run {}, last entry {}", r.run, r.last.format("%-d %b %H:%M:%SZ"))],
    }
}

fn customers(n: usize) -> String {
    let figure = super::money::group(n as u64);
    format!("{figure} {}", if n == 1 { "customer" } else { "customers" })
}

/// `USD 99 + EUR 49/mo`: what these are billed per month; empty where nothing is known of it.
#[must_use]
pub fn billed(group: &[&Judged]) -> String {
    let sums: Vec<String> = total(group).iter().map(whole).collect();
    if sums.is_empty() { String::new() } else { format!("{}/mo", sums.join(" + ")) }
}

/// Sums by currency, largest first.
fn total(group: &[&Judged]) -> Vec<Money> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for m in group.iter().filter_map(|j| j.monthly.as_ref()) {
        let sum = sums.entry(&m.currency).or_default();
        *sum = sum.saturating_add(m.minor);
    }
    let mut sums: Vec<Money> = sums.into_iter().map(|(c, minor)| Money::new(minor, c)).collect();
    sums.sort_by_key(|m| std::cmp::Reverse(m.minor));
    sums
}

/// `EUR 686`, with cents only where there are some.
#[must_use]
pub fn whole(money: &Money) -> String {
    let text = money.to_string();
    text.strip_suffix(".00").or(text.strip_suffix(".000")).unwrap_or(&text).to_string()
}

impl Judged {
    /// What the application enforces is another tier than the row's: where the row is wrong, it is what is due.
    #[must_use]
    pub fn is_served_rightly(&self) -> bool {
        self.enforced.as_ref().is_some_and(|tier| self.served.as_ref() != Some(tier))
    }

    /// `FREE, due PRO` where both are known: what stands beside the customer in a list.
    #[must_use]
    pub fn note(&self) -> String {
        let served = self.served.clone().unwrap_or_else(|| "no row".into());
        self.monthly.as_ref().map_or(served.clone(), |m| format!("{served} · {}/mo", whole(m)))
    }

    /// What a case that was read to its end says about this customer.
    #[must_use]
    pub fn of(customer: StripeId, case: &super::facts::Case, rules: &TierRules, diagnosis: Diagnosis) -> Self {
        let row = case.record().and_then(|r| r.row.as_ref());
        Self {
            subject: case.record().map(|r| r.subject.clone()),
            email: case.customer.value().and_then(Option::as_ref).and_then(|c| c.email.clone()),
            served: row.and_then(|r| r.text(Field::Tier)).map(String::from),
            held: row.and_then(|r| r.text(Field::Customer)).map(String::from),
            enforced: case.entitlement.value().and_then(Option::as_ref).map(|e| e.tier.clone()),
            monthly: case.subscription().or(case.live_subscriptions().first().copied()).and_then(monthly),
            drift: drift::class_of(case, &customer, rules),
            customer,
            diagnosis,
        }
    }
}
