//! What a scan has found: the drifted subjects, worst first and bounded, and the count of all of them by class.

use super::{Class, Drifted};
use crate::domain::findings::{About, Finding, whole};
use crate::domain::ids::StripeId;
use crate::domain::mask;
use crate::domain::money::{Money, group};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The drifted subjects. Of more than [`KEPT`] the worst stay by name, the others are only counted.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Found {
    by_class: BTreeMap<Class, BTreeMap<String, Drifted>>,
    /// By what it is known → its class.
    known: BTreeMap<String, Class>,
    beyond: BTreeMap<Class, u64>,
}

/// All subjects of one class.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group<'a> {
    pub class: Class,
    /// How many there are, the unnamed ones included.
    pub subjects: u64,
    /// The named ones, the dearest first.
    pub named: Vec<&'a Drifted>,
    /// What the named ones are billed per month, by currency, largest first.
    pub monthly: Vec<Money>,
}

/// So many are kept by name: flat memory, whatever the account's size.
pub const KEPT: usize = 2_000;

impl Found {
    /// Takes a subject in; `whole`: all of the customer's subscriptions were looked at, so that it replaces what was thought before.
    /// Otherwise the worse of the two stays.
    pub fn insert(&mut self, drifted: Drifted, whole: bool) {
        let key = drifted.key().to_string();
        if let Some(class) = self.known.get(&key).copied() {
            if !whole && class <= drifted.class {
                return;
            }
            self.take(&key, class);
        }
        self.known.insert(key.clone(), drifted.class);
        self.by_class.entry(drifted.class).or_default().insert(key, drifted);
        if self.known.len() > KEPT {
            self.let_go_of_one();
        }
    }

    /// It agrees after all.
    pub fn remove(&mut self, key: &str) {
        if let Some(class) = self.known.get(key).copied() {
            self.take(key, class);
        }
    }

    #[must_use]
    pub fn contains(&self, key: &str) -> bool {
        self.known.contains_key(key)
    }

    /// The one that is known by this, where it is kept by name.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Drifted> {
        self.by_class.get(self.known.get(key)?)?.get(key)
    }

    /// How many subjects have drifted, the unnamed ones included.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.known.len() as u64 + self.beyond.values().sum::<u64>()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// By class, the worst first.
    #[must_use]
    pub fn groups(&self) -> Vec<Group<'_>> {
        Class::ALL.iter().filter_map(|class| self.group(*class)).collect()
    }

    /// One class, where anybody is in it.
    #[must_use]
    pub fn group(&self, class: Class) -> Option<Group<'_>> {
        let mut named: Vec<&Drifted> = self.by_class.get(&class).into_iter().flat_map(BTreeMap::values).collect();
        named.sort_by_key(|d| std::cmp::Reverse(d.monthly.as_ref().map(|m| m.minor)));
        let subjects = named.len() as u64 + self.beyond.get(&class).copied().unwrap_or(0);
        let monthly = sums(&named);
        (subjects > 0).then_some(Group { class, subjects, named, monthly })
    }

    fn take(&mut self, key: &str, class: Class) {
        self.known.remove(key);
        if let Some(of_class) = self.by_class.get_mut(&class) {
            of_class.remove(key);
            if of_class.is_empty() {
                self.by_class.remove(&class);
            }
        }
    }

    /// The mildest by class goes; who in it does not matter.
    fn let_go_of_one(&mut self) {
        let mildest = self.by_class.last_key_value().and_then(|(class, of)| Some((*class, of.last_key_value()?.0.clone())));
        if let Some((class, key)) = mildest {
            self.take(&key, class);
            *self.beyond.entry(class).or_default() += 1;
        }
    }
}

impl Group<'_> {
    /// The same without these, where anybody is left: those who are accepted, or told of elsewhere.
    #[must_use]
    pub fn without(self, these: impl Fn(&Drifted) -> bool) -> Option<Self> {
        let all = self.named.len();
        let named: Vec<&Drifted> = self.named.into_iter().filter(|d| !these(d)).collect();
        let subjects = self.subjects - (all - named.len()) as u64;
        let monthly = sums(&named);
        (subjects > 0).then_some(Group { class: self.class, subjects, named, monthly })
    }
}

/// By currency, largest first.
fn sums(of: &[&Drifted]) -> Vec<Money> {
    let mut sums: BTreeMap<&str, i64> = BTreeMap::new();
    for money in of.iter().filter_map(|d| d.monthly.as_ref()) {
        let sum = sums.entry(&money.currency).or_default();
        *sum = sum.saturating_add(money.minor);
    }
    let mut monthly: Vec<Money> = sums.into_iter().map(|(currency, minor)| Money::new(minor, currency)).collect();
    monthly.sort_by_key(|m| std::cmp::Reverse(m.minor));
    monthly
}

/// Home's line about one class; `None` where it is somebody else's to say, or nobody's.
#[must_use]
pub fn finding(of: &Group) -> Option<Finding> {
    let n = of.subjects;
    let who = format!("{} {}", group(n), if n == 1 { "customer" } else { "customers" });
    let (are, rows) = if n == 1 { ("is", "1 row".to_string()) } else { ("are", format!("{} rows", group(n))) };
    let copying = "The whole account was compared; copying from Stripe helps.";
    let (sentence, reason) = match of.class {
        Class::PaidNotServed => (format!("{who} paid and {are} not served"), copying),
        Class::ServedNotPaid => (format!("{who} {are} served what nobody pays for"), copying),
        Class::SeveralLive => (format!("{who} with several live subscriptions"), "Which of them counts is a choice."),
        Class::WrongTier => (format!("{who} {are} served another tier than they pay for"), copying),
        Class::Unlinked => (format!("{rows} not linked to Stripe"), "Webhooks find nobody there. Linking helps, resending does not."),
        Class::OrphanCustomer => (format!("{who} pay, and no profile can be named"), "Nothing names the profile for certain."),
        Class::OrphanRow => (format!("{rows} name what Stripe does not have"), "Nobody is hurt; no webhook will ever reach them."),
        Class::UnknownPrice => (format!("{who} whose tier cannot be told"), "Prices that are mapped to no tier, or items of two tiers."),
        Class::WrongStatus => (format!("{rows} with another status than Stripe"), copying),
        Class::Period => (format!("{rows} with another period than Stripe"), copying),
        Class::CancelFlags => (format!("{rows} wrong about a cancellation"), copying),
        Class::Interval => (format!("{rows} with another interval than Stripe"), copying),
    };
    let customers: Vec<StripeId> = of.named.iter().filter_map(|d| d.customer.clone()).collect();
    let size = of.monthly.iter().map(whole).collect::<Vec<_>>().join(" + ");
    let size = if size.is_empty() { size } else { format!("{size}/mo") };
    let evidence = of.named.iter().take(20).map(|d| format!("{}: {}", mask::id(d.key()), d.sentence)).collect();
    (!customers.is_empty()).then(|| Finding {
        word: of.class.severity(),
        sentence,
        size,
        reason: reason.into(),
        about: About::Customers(customers),
        evidence,
    })
}
