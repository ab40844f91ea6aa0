//! Who the sandbox's people are and what they pay for: a pure function of seed and number, in memory nowhere.

mod calendar;
pub mod ids;
mod names;

use chrono::{DateTime, Duration, DurationRound, Utc};
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
    /// What the subscription is paid with.
    pub payment_method: String,
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

const DAY: i64 = 86_400;
/// How far back the oldest profile lies.
const SPAN_DAYS: i64 = 730;
/// Before the sandbox's start, in seconds.
const QUIET: i64 = 2 * 3_600;
/// From the profile to the finished checkout.
pub const JOIN_MINUTES: i64 = 3;
const TRIAL_DAYS: i64 = 14;
/// Who has been past due for longer has paid, or has been given up.
pub const PAST_DUE_DAYS: i64 = 21;
/// The bigint key of the first profile.
const FIRST_SERIAL: i64 = 1_000;

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
        moment(self.joined_at(number))
    }

    /// The billing boundary so many months after joining, in Unix seconds.
    pub fn boundary(&self, number: u64, months: u32) -> i64 {
        calendar::months_after(self.joined_at(number), months)
    }

    /// When the profile was made.
    pub fn created(&self, number: u64) -> DateTime<Utc> {
        moment(self.created_at(number))
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

    /// The number of the person to whom this `sub_`, `si_`, `in_`, `inpay_`, `pi_`, `ch_`, `cs_test_` or `evt_` id belongs.
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

    /// The number of the person with this profile. Profiles hold no number: this hashes through everybody, and makes nothing else of them.
    pub fn profile_number(&self, profile: Uuid) -> Option<u64> {
        (0..self.customers).find(|n| self.profile(*n) == profile)
    }

    /// The number of the person with this profile where profiles have bigint keys.
    pub fn profile_serial_number(&self, serial: i64) -> Option<u64> {
        u64::try_from(serial.checked_sub(FIRST_SERIAL)?).ok().filter(|n| *n < self.customers)
    }

    /// Name and address alone: what search looks through.
    pub fn name_and_email(&self, number: u64) -> (String, String) {
        let draw = |roll, sides| self.roll(number, roll, sides);
        let name = names::draw(mix(self.seed, number), draw(Roll::Locale, 100));
        // Addresses are case-sensitive at Stripe; a few people type them with capitals.
        let local = name.local_part(draw(Roll::Capitals, 100) < 3);
        let host = ["example.com", "example.org", "example.net"][draw(Roll::Host, 3) as usize];
        (name.full(), format!("{local}{number}@{host}"))
    }

    /// The product has been growing: the newer, the denser. Nobody joins, and so nobody renews, at the time of day of the last two hours:
    /// in them an incident happens, and a renewal that came through would belie it.
    fn created_at(&self, number: u64) -> i64 {
        let jitter = self.roll(number, Roll::Created, 1_000) as f64 / 1_000.0;
        let back = ((self.customers.saturating_sub(number)) as f64 - jitter).max(0.0) / self.customers.max(1) as f64;
        let seconds = ((SPAN_DAYS * DAY) as f64 * (0.3 * back + 0.7 * back * back)) as i64;
        let of_day = seconds % DAY * (DAY - QUIET) / DAY;
        self.born.timestamp() - QUIET - seconds / DAY * DAY - of_day
    }

    fn joined_at(&self, number: u64) -> i64 {
        self.created_at(number) + JOIN_MINUTES * 60
    }

    /// The profile's id where profiles have uuids.
    pub fn profile(&self, number: u64) -> Uuid {
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
            payment_method: self.id(Kind::PaymentMethod, number, 0),
        }
    }

    fn cycle(&self, number: u64, tier: SandboxTier, leaves: bool) -> Cycle {
        let (born, started) = (self.born.timestamp(), self.joined_at(number));
        let interval = if self.roll(number, Roll::Yearly, 100) < 15 && !leaves { Interval::Year } else { Interval::Month };
        let after = |cycles: u32| calendar::months_after(started, cycles * interval.months());
        let (mut status, mut cycle, mut leaving) = ("active", 0, false);
        let (from, to);
        if born - started < TRIAL_DAYS * DAY && self.roll(number, Roll::Trial, 100) < 40 {
            status = "trialing";
            (from, to) = (started, started + TRIAL_DAYS * DAY);
        } else {
            let months = (calendar::month_count(born) - calendar::month_count(started)).max(0) as u32;
            cycle = months / interval.months();
            // Rounding to whole months may overshoot by one boundary.
            while cycle > 0 && after(cycle) > born {
                cycle -= 1;
            }
            let roll = self.roll(number, Roll::Status, 100);
            if leaves && cycle > 0 {
                // Left at the end of one of the past periods, as `cancel_at_period_end` had asked.
                cycle = self.roll(number, Roll::Left, u64::from(cycle)) as u32;
                (status, leaving) = ("canceled", true);
            }
            (from, to) = (after(cycle), after(cycle + 1));
            if status == "active" && roll < 7 && cycle > 0 && born - from < PAST_DUE_DAYS * DAY {
                status = "past_due";
            } else if status == "active" && roll >= 95 {
                leaving = true;
            }
        }
        Cycle {
            tier,
            interval,
            status,
            started: moment(started),
            period_start: moment(from),
            period_end: moment(to),
            cancel_at_period_end: leaving,
            cycle: cycle as u8,
        }
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
        profile_serial(self.number)
    }
}

impl SandboxTier {
    /// The product's word, as prices and products carry it in their metadata.
    pub fn word(self) -> &'static str {
        match self {
            SandboxTier::Pro => "PRO",
            SandboxTier::Enterprise => "ENTERPRISE",
        }
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
        moment(calendar::months_after(start.timestamp(), count * self.months()))
    }
}

fn moment(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).expect("invariant: sandbox times lie near the present")
}

/// The profile's id of the person with that number where profiles have bigint keys.
pub fn profile_serial(number: u64) -> i64 {
    FIRST_SERIAL + i64::try_from(number).expect("invariant: populations are far below 2^63")
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
mod tests;
