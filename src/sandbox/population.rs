//! Who the sandbox's people are and what they pay for: a pure function of seed and number, in memory nowhere.

pub mod ids;

use chrono::{DateTime, Datelike, Duration, DurationRound, Months, Utc};
use fake::Fake;
use fake::faker::name::raw::{FirstName, LastName};
use fake::locales::{AR_SA, DE_DE, EN, FR_FR, IT_IT, JA_JP, PT_BR, TR_TR, ZH_CN};
use rand::SeedableRng;
use rand::rngs::SmallRng;
use uuid::Uuid;

use ids::{Kind, Place, mix};

pub const PRICE_PRO_MONTH: &str = "price_pro_month";
pub const PRICE_PRO_YEAR: &str = "price_pro_year";
pub const PRICE_ENT_MONTH: &str = "price_ent_month";
pub const PRICE_ENT_YEAR: &str = "price_ent_year";
/// A price without lookup key and metadata that nobody pays until an incident says so.
pub const PRICE_LEGACY_GOLD: &str = "price_legacy_gold";

/// Everybody the sandbox knows. Two values made with the same arguments are the same people.
#[derive(Debug, Clone)]
pub struct Population {
    seed: u64,
    customers: u64,
    born: DateTime<Utc>,
}

/// One person: what the database and Stripe agree on before any incident.
#[derive(Debug, Clone, PartialEq)]
pub struct Person {
    pub number: u64,
    /// The profile's id where profiles have uuids; [`Person::profile_serial`] where they count.
    pub profile: Uuid,
    pub name: String,
    /// Unique; ends its local part with the person's number, which is how an address is found without a table.
    pub email: String,
    /// False for a few per thousand: Stripe knows the address, the profile does not hold one.
    pub email_in_profile: bool,
    /// When the profile was made, whole seconds; never decreases with the number.
    pub created: DateTime<Utc>,
    /// The Stripe customer; `None` for people who never reached Stripe (their row holds [`Person::placeholder`]).
    pub customer: Option<String>,
    /// The subscription, a canceled one included; `None` for people who never paid.
    pub plan: Option<Paid>,
}

/// A person's subscription as it stands when the sandbox starts.
#[derive(Debug, Clone, PartialEq)]
pub struct Paid {
    pub tier: SandboxTier,
    pub price: &'static str,
    pub interval: Interval,
    /// Stripe's word: `active`, `trialing`, `past_due` or `canceled`.
    pub status: &'static str,
    pub started: DateTime<Utc>,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub cancel_at_period_end: bool,
    /// When it ended; only for `canceled`.
    pub ended: Option<DateTime<Utc>>,
    /// The billing cycle of the newest invoice, counted from 0.
    pub cycle: u8,
    pub subscription: String,
    pub item: String,
    pub invoice: String,
    pub payment_intent: String,
    pub session: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SandboxTier {
    Pro,
    Enterprise,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Interval {
    Month,
    Year,
}

/// The shape of a person's billing, without names and ids: cheap enough to scan a million people.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Billing {
    /// Never reached Stripe.
    Placeholder,
    /// A Stripe customer who never paid.
    Free,
    Paid(Cycle),
}

/// The billing cycle a subscription is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cycle {
    pub tier: SandboxTier,
    pub interval: Interval,
    pub status: &'static str,
    pub started: DateTime<Utc>,
    pub period_start: DateTime<Utc>,
    pub period_end: DateTime<Utc>,
    pub cancel_at_period_end: bool,
    /// The cycle of the newest invoice, counted from 0. A canceled subscription ended at the boundary after it.
    pub cycle: u8,
}

/// How far back the oldest profile lies.
const SPAN_DAYS: i64 = 730;
/// From the profile to the finished checkout.
pub const JOIN_MINUTES: i64 = 3;
const TRIAL_DAYS: i64 = 14;

impl Population {
    /// `born` is the sandbox's start, to which all times are relative (cut to whole seconds).
    pub fn new(seed: u64, customers: u64, born: DateTime<Utc>) -> Self {
        let born = born.duration_trunc(Duration::seconds(1)).unwrap_or(born);
        Self { seed, customers, born }
    }

    pub fn len(&self) -> u64 {
        self.customers
    }

    pub fn is_empty(&self) -> bool {
        self.customers == 0
    }

    pub fn seed(&self) -> u64 {
        self.seed
    }

    pub fn born(&self) -> DateTime<Utc> {
        self.born
    }

    /// The person with that number, in `0..len()`.
    pub fn person(&self, number: u64) -> Person {
        let (name, email) = self.name_and_email(number);
        let billing = self.billing(number);
        Person {
            number,
            profile: self.profile(number),
            name,
            email,
            email_in_profile: self.roll(number, Roll::NoEmail, 1_000) >= 4,
            created: self.created(number),
            customer: (billing != Billing::Placeholder).then(|| self.id(Kind::Customer, number, 0)),
            plan: match billing {
                Billing::Paid(cycle) => Some(self.paid(number, cycle)),
                _ => None,
            },
        }
    }

    /// Tier, status and period, without names and ids.
    pub fn billing(&self, number: u64) -> Billing {
        let roll = self.roll(number, Roll::Class, 10_000);
        let (tier, leaves) = match roll {
            0..3_500 => return Billing::Placeholder,
            3_500..7_000 => return Billing::Free,
            7_000..7_250 => (SandboxTier::Pro, true),
            7_250..9_600 => (SandboxTier::Pro, false),
            _ => (SandboxTier::Enterprise, false),
        };
        Billing::Paid(self.cycle(number, tier, leaves))
    }

    /// When the Stripe customer and, for those who pay, the subscription were made.
    pub fn joined(&self, number: u64) -> DateTime<Utc> {
        self.created(number) + Duration::minutes(JOIN_MINUTES)
    }

    /// When the profile was made. The product has been growing: the newer, the denser.
    pub fn created(&self, number: u64) -> DateTime<Utc> {
        let jitter = self.roll(number, Roll::Created, 1_000) as f64 / 1_000.0;
        let back = ((self.customers.saturating_sub(number)) as f64 - jitter).max(0.0) / self.customers.max(1) as f64;
        let seconds = (SPAN_DAYS * 86_400) as f64 * (0.3 * back + 0.7 * back * back);
        self.born - Duration::hours(2) - Duration::seconds(seconds as i64)
    }

    pub fn id(&self, kind: Kind, number: u64, cycle: u8) -> String {
        ids::encode(self.seed, kind, Place { number, cycle, which: 0 })
    }

    pub fn id_at(&self, kind: Kind, place: Place) -> String {
        ids::encode(self.seed, kind, place)
    }

    /// What an id of the population names; `None` for ids of nobody, of another seed, or of a cycle that never was.
    pub fn locate(&self, id: &str) -> Option<(Kind, Place)> {
        let (kind, place) = ids::decode(self.seed, id)?;
        if place.number >= self.customers {
            return None;
        }
        let exists = match (kind, self.billing(place.number)) {
            (_, Billing::Placeholder) => false,
            (Kind::Customer | Kind::Event, Billing::Free) => place.cycle == 0,
            (_, Billing::Free) => false,
            // A canceled subscription's last event stands at the boundary after its last invoice.
            (Kind::Event, Billing::Paid(c)) => place.cycle <= c.cycle + u8::from(c.status == "canceled"),
            (_, Billing::Paid(c)) => place.cycle <= c.cycle,
        };
        exists.then_some((kind, place))
    }

    /// The number of the person with this `cus_` id, without a table.
    pub fn customer_number(&self, id: &str) -> Option<u64> {
        self.locate(id).filter(|(kind, _)| *kind == Kind::Customer).map(|(_, place)| place.number)
    }

    /// The number of the person to whom this `sub_`, `si_`, `in_`, `inpay_`, `pi_`, `cs_test_` or `evt_` id belongs.
    pub fn subscription_number(&self, id: &str) -> Option<u64> {
        self.locate(id).filter(|(kind, _)| *kind != Kind::Customer).map(|(_, place)| place.number)
    }

    /// The number of the person with this address, capitals aside.
    pub fn email_number(&self, email: &str) -> Option<u64> {
        let local = email.split_once('@')?.0;
        let digits = local.trim_start_matches(|c: char| !c.is_ascii_digit());
        let number: u64 = digits.parse().ok()?;
        (number < self.customers && self.name_and_email(number).1.eq_ignore_ascii_case(email)).then_some(number)
    }

    pub fn name_and_email(&self, number: u64) -> (String, String) {
        let mut rng = SmallRng::seed_from_u64(mix(self.seed, number));
        let (first, last): (&str, &str) = match self.roll(number, Roll::Locale, 100) {
            0..58 => (FirstName(EN).fake_with_rng(&mut rng), LastName(EN).fake_with_rng(&mut rng)),
            58..70 => (FirstName(DE_DE).fake_with_rng(&mut rng), LastName(DE_DE).fake_with_rng(&mut rng)),
            70..78 => (FirstName(FR_FR).fake_with_rng(&mut rng), LastName(FR_FR).fake_with_rng(&mut rng)),
            78..84 => (FirstName(IT_IT).fake_with_rng(&mut rng), LastName(IT_IT).fake_with_rng(&mut rng)),
            84..89 => (FirstName(PT_BR).fake_with_rng(&mut rng), LastName(PT_BR).fake_with_rng(&mut rng)),
            89..92 => (FirstName(TR_TR).fake_with_rng(&mut rng), LastName(TR_TR).fake_with_rng(&mut rng)),
            92..95 => (FirstName(JA_JP).fake_with_rng(&mut rng), LastName(JA_JP).fake_with_rng(&mut rng)),
            95..98 => (FirstName(ZH_CN).fake_with_rng(&mut rng), LastName(ZH_CN).fake_with_rng(&mut rng)),
            _ => (FirstName(AR_SA).fake_with_rng(&mut rng), LastName(AR_SA).fake_with_rng(&mut rng)),
        };
        let ascii = |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        let (a, b) = (ascii(first), ascii(last));
        let mut local = match (a.is_empty(), b.is_empty()) {
            (false, false) => format!("{a}.{b}"),
            (true, true) => "mail".to_string(),
            _ => format!("{a}{b}"),
        };
        // Addresses are case-sensitive at Stripe; a few people type them with capitals.
        if self.roll(number, Roll::Capitals, 100) < 3 {
            local[..1].make_ascii_uppercase();
        }
        let host = ["example.com", "example.org", "example.net"][self.roll(number, Roll::Host, 3) as usize];
        (format!("{first} {last}"), format!("{local}{number}@{host}"))
    }

    fn profile(&self, number: u64) -> Uuid {
        let high = self.hash(number, Roll::ProfileHigh);
        let low = self.hash(number, Roll::ProfileLow);
        uuid::Builder::from_random_bytes(((u128::from(high) << 64) | u128::from(low)).to_be_bytes()).into_uuid()
    }

    fn paid(&self, number: u64, c: Cycle) -> Paid {
        Paid {
            tier: c.tier,
            price: price(c.tier, c.interval),
            interval: c.interval,
            status: c.status,
            started: c.started,
            period_start: c.period_start,
            period_end: c.period_end,
            cancel_at_period_end: c.cancel_at_period_end,
            ended: (c.status == "canceled").then_some(c.period_end),
            cycle: c.cycle,
            subscription: self.id(Kind::Subscription, number, 0),
            item: self.id(Kind::Item, number, 0),
            invoice: self.id(Kind::Invoice, number, c.cycle),
            payment_intent: self.id(Kind::PaymentIntent, number, c.cycle),
            session: self.id(Kind::Session, number, 0),
        }
    }

    fn cycle(&self, number: u64, tier: SandboxTier, leaves: bool) -> Cycle {
        let started = self.joined(number);
        let interval = if self.roll(number, Roll::Yearly, 100) < 15 && !leaves { Interval::Year } else { Interval::Month };
        let mut c = Cycle {
            tier,
            interval,
            status: "active",
            started,
            period_start: started,
            period_end: interval.after(started, 1),
            cancel_at_period_end: false,
            cycle: 0,
        };
        if self.born - started < Duration::days(TRIAL_DAYS) && self.roll(number, Roll::Trial, 100) < 40 {
            c.status = "trialing";
            c.period_end = started + Duration::days(TRIAL_DAYS);
            return c;
        }
        let months = (self.born.year() - started.year()) * 12 + self.born.month() as i32 - started.month() as i32;
        let mut past = (months / interval.months() as i32).max(0) as u32;
        // Rounding to whole months may overshoot by one boundary.
        while past > 0 && interval.after(started, past) > self.born {
            past -= 1;
        }
        c.cycle = past as u8;
        c.period_start = interval.after(started, past);
        c.period_end = interval.after(started, past + 1);
        let roll = self.roll(number, Roll::Status, 100);
        if leaves && c.cycle > 0 {
            // Left at the end of one of the past periods, as `cancel_at_period_end` had asked.
            let last = self.roll(number, Roll::Left, u64::from(c.cycle)) as u8;
            c.status = "canceled";
            c.cycle = last;
            c.period_start = interval.after(started, u32::from(last));
            c.period_end = interval.after(started, u32::from(last) + 1);
            c.cancel_at_period_end = true;
        } else if roll < 7 && c.cycle > 0 && self.born - c.period_start < Duration::days(21) {
            c.status = "past_due";
        } else if roll >= 95 {
            c.cancel_at_period_end = true;
        }
        c
    }

    fn hash(&self, number: u64, roll: Roll) -> u64 {
        mix(mix(self.seed, roll as u64), number)
    }

    fn roll(&self, number: u64, roll: Roll, sides: u64) -> u64 {
        self.hash(number, roll) % sides
    }
}

impl Person {
    /// What the subscription's row holds in place of a Stripe customer who was never linked.
    pub fn placeholder(&self) -> String {
        format!("cus_temp_{}", self.profile.simple())
    }

    /// The profile's id where profiles have bigint keys.
    pub fn profile_serial(&self) -> i64 {
        1_000 + i64::try_from(self.number).expect("invariant: populations are far below 2^63")
    }
}

impl Interval {
    /// Stripe's word.
    pub fn word(self) -> &'static str {
        match self {
            Interval::Month => "month",
            Interval::Year => "year",
        }
    }

    pub fn months(self) -> u32 {
        match self {
            Interval::Month => 1,
            Interval::Year => 12,
        }
    }

    /// The boundary `count` cycles after `start`: on the same day of the month, or in the last second of a month that is too short.
    /// That last second keeps boundaries in the order of their starts, which is what lists are computed from.
    pub fn after(self, start: DateTime<Utc>, count: u32) -> DateTime<Utc> {
        let same = start.checked_add_months(Months::new(count * self.months())).expect("invariant: sandbox times lie near the present");
        if same.day() == start.day() {
            return same;
        }
        same.date_naive().and_hms_opt(23, 59, 59).expect("invariant: a valid time of day").and_utc()
    }
}

/// The price of a tier, by interval.
pub fn price(tier: SandboxTier, interval: Interval) -> &'static str {
    match (tier, interval) {
        (SandboxTier::Pro, Interval::Month) => PRICE_PRO_MONTH,
        (SandboxTier::Pro, Interval::Year) => PRICE_PRO_YEAR,
        (SandboxTier::Enterprise, Interval::Month) => PRICE_ENT_MONTH,
        (SandboxTier::Enterprise, Interval::Year) => PRICE_ENT_YEAR,
    }
}

/// Independent draws about one person.
#[derive(Debug, Clone, Copy)]
enum Roll {
    Class = 1,
    Created,
    Locale,
    Capitals,
    Host,
    NoEmail,
    ProfileHigh,
    ProfileLow,
    Yearly,
    Trial,
    Status,
    Left,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn population(seed: u64, customers: u64) -> Population {
        Population::new(seed, customers, DateTime::from_timestamp(1_790_000_000, 0).expect("valid"))
    }

    #[test]
    fn the_same_seed_makes_the_same_people_and_another_seed_others() {
        let (a, b, c) = (population(7, 500), population(7, 500), population(8, 500));
        assert!((0..500).all(|n| a.person(n) == b.person(n)));
        assert!((0..500).all(|n| a.person(n).profile != c.person(n).profile));
    }

    #[test]
    fn ids_and_addresses_lead_back_to_their_person() {
        let p = population(3, 2_000);
        for n in 0..p.len() {
            let person = p.person(n);
            assert_eq!(p.email_number(&person.email), Some(n), "{}", person.email);
            if let Some(id) = &person.customer {
                assert_eq!(p.customer_number(id), Some(n));
                assert_eq!(p.subscription_number(id), None);
            }
            if let Some(paid) = &person.plan {
                for id in [&paid.subscription, &paid.item, &paid.invoice, &paid.payment_intent, &paid.session] {
                    assert_eq!(p.subscription_number(id), Some(n), "{id}");
                }
            }
            assert_eq!(p.customer_number(&person.placeholder()), None);
        }
        assert_eq!(p.email_number("nobody@example.com"), None);
    }

    #[test]
    fn the_mix_is_as_documented_and_time_runs_with_the_number() {
        let p = population(42, 2_000);
        let people: Vec<_> = (0..p.len()).map(|n| p.person(n)).collect();
        let live = |t| people.iter().filter_map(|x| x.plan.as_ref()).filter(|x| x.status != "canceled" && x.tier == t).count();
        let status = |s| people.iter().filter_map(|x| x.plan.as_ref()).filter(|x| x.status == s).count();
        assert!((420..560).contains(&live(SandboxTier::Pro)), "{}", live(SandboxTier::Pro));
        assert!((50..120).contains(&live(SandboxTier::Enterprise)), "{}", live(SandboxTier::Enterprise));
        for (word, least) in [("active", 400), ("trialing", 3), ("past_due", 5), ("canceled", 15)] {
            assert!(status(word) >= least, "{word}: {}", status(word));
        }
        assert!((600..800).contains(&people.iter().filter(|x| x.customer.is_none()).count()));
        assert!(people.iter().any(|x| !x.email_in_profile) && people.iter().any(|x| !x.name.is_ascii()));
        assert!(people.windows(2).all(|w| w[0].created <= w[1].created));
        assert!(people.iter().filter_map(|x| x.plan.as_ref()).all(|x| x.status == "canceled" || x.period_end > p.born()));
        assert!(people.iter().all(|x| x.created < p.born()));
    }
}
