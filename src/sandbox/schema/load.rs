//! Fills the tables: every row a pure function of the population and a person's number; consistent with what Stripe holds.

use chrono::{DateTime, Duration, Months, Utc};
use serde_json::json;
use sqlx::PgConnection;
use tokio::task::JoinHandle;

use super::copy::Batch;
use super::{LIMITS, Naming, Profiles, STOCK, Shape, TIERS};
use crate::sandbox::population::ids::mix;
use crate::sandbox::population::{Paid, Person, Population, SandboxTier};

/// People per round of COPYs: some megabytes of text in memory, whatever the size of the population.
const ROUND: u64 = 5_000;

/// What a person's own random draws are for; each use has draws of its own.
#[derive(Clone, Copy)]
enum Draw {
    Counter = 101,
    Period,
    Used,
    Touched,
    Elsewhere,
    Ip,
}

/// Loads everything. The tables are empty and have no keys yet. Each connection takes tables of its own, so that rows stand in
/// the order of the people's numbers however the two run.
pub async fn load(connections: &mut [PgConnection; 2], shape: Shape, population: &Population) -> Result<(), sqlx::Error> {
    let [one, two] = connections;
    let mut start = 0;
    let mut pending = Some(round(shape, population, start));
    while let Some(made) = pending.take() {
        let mut tables = made.await.expect("invariant: making up rows does not panic");
        start += ROUND;
        // The next round is made up while the database takes this one.
        pending = (start < population.len()).then(|| round(shape, population, start));
        let [contracts, others] = tables.halves();
        tokio::try_join!(send(contracts, one), send(others, two))?;
    }
    Ok(())
}

async fn send(batches: Vec<&mut Batch>, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    for batch in batches {
        batch.send(connection).await?;
    }
    Ok(())
}

/// The rows of the people from `start` on, made up where that holds up nobody: it is work, not waiting.
fn round(shape: Shape, population: &Population, start: u64) -> JoinHandle<Tables> {
    let population = population.clone();
    tokio::task::spawn_blocking(move || {
        let mut tables = Tables::new(shape);
        if start == 0 {
            tables.limits();
        }
        for number in start..(start + ROUND).min(population.len()) {
            let person = population.person(number);
            Writer { tables: &mut tables, population: &population, person: &person, shape }.person();
        }
        tables
    })
}

struct Tables {
    profiles: Batch,
    subscriptions: Batch,
    counters: Batch,
    limits: Batch,
    sessions: Batch,
    keys: Batch,
    projects: Batch,
    members: Batch,
    notes: Batch,
    invoices: Batch,
    tickets: Batch,
    messages: Batch,
    referrals: Batch,
    usage: Batch,
    logins: Batch,
    audit: Batch,
    outbox: Batch,
    archive: Batch,
}

impl Tables {
    fn new(shape: Shape) -> Self {
        let n = shape.names();
        let owner = n.owner_elsewhere;
        let facts = match (shape.naming, shape.profiles) {
            (Naming::Usual, Profiles::Jsonb) => "data",
            (Naming::Usual, Profiles::Plain) => "email, name",
            (Naming::Renamed, Profiles::Jsonb) => "doc",
            (Naming::Renamed, Profiles::Plain) => "contact_email, display_name",
        };
        let list = |columns: &[&str]| columns.join(", ");
        Self {
            profiles: Batch::new(n.profiles, &list(&[n.profile, facts, n.profile_created, n.profile_updated])),
            subscriptions: Batch::new(
                n.subscriptions,
                &list(&[
                    n.owner,
                    n.customer,
                    n.subscription,
                    n.tier,
                    n.status,
                    n.interval,
                    n.period_start,
                    n.period_end,
                    n.cancel_at,
                    n.cancel_at_period_end,
                    n.created,
                    n.updated,
                ]),
            ),
            counters: Batch::new(n.counters, &list(&[n.counter_owner, n.feature, n.used, n.counter_start, n.counter_end])),
            limits: Batch::new(n.limits, &list(&[n.limit_tier, n.limit_feature, n.limit])),
            sessions: Batch::new("user_sessions", &list(&[owner, "token_hash", "created_at", "expires_at"])),
            keys: Batch::new("api_keys", &list(&[owner, "prefix", "last_used_at"])),
            projects: Batch::new("projects", &list(&["id", owner, "title", "created_at"])),
            members: Batch::new("project_members", &list(&["project_id", owner, "role"])),
            notes: Batch::new("project_notes", "id, project_id, parent_id, body"),
            invoices: Batch::new("invoices", &list(&[owner, "stripe_invoice_id", "currency", "total_cents", "issued_at"])),
            tickets: Batch::new("support_tickets", &list(&["id", owner, "subject", "opened_at"])),
            messages: Batch::new("ticket_messages", "ticket_id, author_id, body"),
            referrals: Batch::new("referrals", "referrer_id, referred_id, created_at"),
            usage: Batch::new("usage_events", &list(&[owner, "feature", "at"])),
            logins: Batch::new("login_history", &list(&[owner, "ip", "at"])),
            audit: Batch::new("audit_trail", "actor, action, at"),
            outbox: Batch::new("email_outbox", "payload, sent_at"),
            archive: Batch::new("profile_archive", "profile, copy, archived_at"),
        }
    }

    fn limits(&mut self) {
        for (feature, values) in LIMITS {
            for (tier, value) in TIERS.iter().zip(values) {
                self.limits.row().plain(tier).plain(feature).plain(value);
            }
        }
    }

    /// All of them, in two parts of about the same size.
    fn halves(&mut self) -> [Vec<&mut Batch>; 2] {
        let contracts = vec![&mut self.profiles, &mut self.subscriptions, &mut self.counters, &mut self.limits];
        let others = vec![
            &mut self.sessions,
            &mut self.keys,
            &mut self.projects,
            &mut self.members,
            &mut self.notes,
            &mut self.invoices,
            &mut self.tickets,
            &mut self.messages,
            &mut self.referrals,
            &mut self.usage,
            &mut self.logins,
            &mut self.audit,
            &mut self.outbox,
            &mut self.archive,
        ];
        [contracts, others]
    }
}

/// Writes the rows of one person.
struct Writer<'a> {
    tables: &'a mut Tables,
    population: &'a Population,
    person: &'a Person,
    shape: Shape,
}

impl Writer<'_> {
    fn person(&mut self) {
        self.profile();
        self.subscription();
        self.counters();
        self.elsewhere();
        self.without_keys();
    }

    fn draw(&self, what: Draw, salt: u64, sides: u64) -> u64 {
        mix(mix(self.population.seed() ^ salt.wrapping_mul(0x51_7C_C1_B7_27_22_0A_95), what as u64), self.person.number) % sides
    }

    fn key(&self) -> String {
        self.shape.names().key_of(self.person)
    }

    /// The key of somebody else; `None` when the population is too small for one.
    fn other_key(&self, salt: u64) -> Option<String> {
        let other = self.draw(Draw::Elsewhere, salt, self.population.len());
        (other != self.person.number).then(|| self.shape.names().key_of_number(self.population, other))
    }

    fn live(&self) -> Option<&Paid> {
        self.person.plan.as_ref().filter(|p| p.status != "canceled")
    }

    fn email(&self) -> Option<&str> {
        self.person.email_in_profile.then_some(self.person.email.as_str())
    }

    /// The profile as a document.
    fn document(&self) -> serde_json::Value {
        let mut document = match self.shape.naming {
            Naming::Usual => json!({ "name": self.person.name, "locale": "en", "onboarded": true }),
            Naming::Renamed => json!({ "name": self.person.name, "contact": {}, "locale": "en" }),
        };
        if let Some(email) = self.email() {
            let holder = if self.shape.naming == Naming::Usual { &mut document } else { &mut document["contact"] };
            holder["email"] = email.into();
        }
        document
    }

    /// When a row was last written: some time after `since`, never in the future.
    fn touched(&self, since: DateTime<Utc>, salt: u64) -> DateTime<Utc> {
        let room = (self.population.born() - since).num_seconds().max(1).cast_unsigned();
        since + seconds(self.draw(Draw::Touched, salt, room))
    }

    fn profile(&mut self) {
        let (key, document) = (self.key(), self.document());
        let touched = self.touched(self.person.created, 0);
        let row = self.tables.profiles.row().plain(key);
        let row = match self.shape.profiles {
            Profiles::Jsonb => row.text(&document.to_string()),
            Profiles::Plain if self.person.email_in_profile => row.text(&self.person.email).text(&self.person.name),
            Profiles::Plain => row.null().text(&self.person.name),
        };
        row.time(self.person.created).time(touched);
    }

    fn subscription(&mut self) {
        let (key, person) = (self.key(), self.person);
        let plan = person.plan.as_ref();
        let tier = self.live().map_or(TIERS[0], |p| tier_word(p.tier));
        let word = plan.map(|p| self.shape.interval_word(p.interval));
        let customer = person.customer.clone().unwrap_or_else(|| person.placeholder());
        let leaves = plan.is_some_and(|p| p.cancel_at_period_end);
        let updated = plan.map_or(person.created, |p| if p.status == "canceled" { p.period_end } else { p.period_start });
        self.tables
            .subscriptions
            .row()
            .plain(key)
            .plain(customer)
            .maybe(plan.map(|p| &p.subscription))
            .plain(tier)
            .plain(plan.map_or("active", |p| p.status))
            .maybe(word)
            .maybe_time(plan.map(|p| p.period_start))
            .maybe_time(plan.map(|p| p.period_end))
            .maybe_time(plan.filter(|_| leaves).map(|p| p.period_end))
            .plain(leaves)
            .time(person.created)
            .time(updated);
    }

    /// Some features of each person have a row; of these some have expired, some are near their limit, some are unlimited.
    fn counters(&mut self) {
        let key = self.key();
        let tier = self.live().map_or(0, |p| 1 + p.tier as usize);
        let born = self.population.born();
        for (salt, (feature, values)) in (0_u64..).zip(LIMITS) {
            let limit = u64::try_from(values[tier]).ok();
            let present = match (feature, limit) {
                ("searches", _) => 80,
                ("exports", _) => 40,
                (STOCK, _) => 60,
                (_, Some(0)) => 3,
                _ => 50,
            };
            if self.draw(Draw::Counter, salt, 100) >= present {
                continue;
            }
            let used = match limit {
                None => self.draw(Draw::Used, salt, 20_000),
                Some(0) => 0,
                // One in eight is at its limit or close to it.
                Some(limit) if self.draw(Draw::Period, salt + 10, 8) == 0 => limit - self.draw(Draw::Used, salt, 1 + limit / 10),
                Some(limit) => self.draw(Draw::Used, salt, 1 + limit * 3 / 4),
            };
            let started = born - seconds(self.draw(Draw::Period, salt, 27 * 86_400));
            // Who did not come back this month still has last month's row.
            let started = if self.draw(Draw::Period, salt + 20, 12) == 0 { started - Months::new(2) } else { started };
            let row = self.tables.counters.row().plain(&key).plain(feature).plain(used);
            if feature == STOCK {
                row.time(self.person.created).null();
            } else {
                row.time(started).time(started + Months::new(1));
            }
        }
    }

    fn elsewhere(&mut self) {
        let (key, person, number) = (self.key(), self.person, self.person.number);
        let born = self.population.born();
        if self.draw(Draw::Elsewhere, 1, 10) < 4 {
            let at = self.touched(person.created, 1);
            let hash = mix(self.population.seed(), number);
            self.tables.sessions.row().plain(&key).plain(format_args!("{hash:016x}")).time(at).time(at + Duration::days(30));
        }
        if self.live().is_some() && self.draw(Draw::Elsewhere, 2, 3) == 0 {
            let at = self.touched(person.created, 2);
            self.tables.keys.row().plain(&key).plain(format_args!("nk_{number}")).time(at);
        }
        if self.draw(Draw::Elsewhere, 3, 2) == 0 {
            self.tables.projects.row().plain(number).plain(&key).plain(format_args!("Project {number}")).time(person.created);
            self.tables.members.row().plain(number).plain(&key).plain("owner");
            if let Some(other) = self.other_key(4).filter(|_| number.is_multiple_of(5)) {
                self.tables.members.row().plain(number).plain(other).plain("guest");
            }
            self.tables.notes.row().plain(2 * number).plain(number).null().plain("First note");
            if number.is_multiple_of(3) {
                self.tables.notes.row().plain(2 * number + 1).plain(number).plain(2 * number).plain("An answer to it");
            }
        }
        if let Some(plan) = &person.plan {
            let cents = match (plan.tier, plan.interval.word()) {
                (SandboxTier::Pro, "month") => 4_900,
                (SandboxTier::Pro, _) => 49_000,
                (SandboxTier::Enterprise, "month") => 19_900,
                (SandboxTier::Enterprise, _) => 199_000,
            };
            self.tables.invoices.row().plain(&key).plain(&plan.invoice).plain("eur").plain(cents).time(plan.period_start);
        }
        if self.draw(Draw::Elsewhere, 5, 20) == 0 {
            let at = self.touched(person.created, 5);
            self.tables.tickets.row().plain(number).plain(&key).plain("A question about my invoice").time(at);
            self.tables.messages.row().plain(number).plain(&key).plain("Where do I find it?");
        }
        if let Some(other) = self.other_key(6).filter(|_| number % 25 == 7) {
            self.tables.referrals.row().plain(other).plain(&key).time(person.created);
        }
        for salt in 0..self.draw(Draw::Elsewhere, 7, 3) {
            let at = born - seconds(self.draw(Draw::Touched, 70 + salt, 60 * 86_400));
            self.tables.usage.row().plain(&key).plain("searches").time(at);
        }
    }

    /// The tables that a cascade does not reach.
    fn without_keys(&mut self) {
        let (key, person) = (self.key(), self.person);
        for salt in 0..=self.draw(Draw::Elsewhere, 8, 2) {
            let (at, host) = (self.touched(person.created, 80 + salt), self.draw(Draw::Ip, salt, 250) + 1);
            self.tables.logins.row().plain(&key).plain(format_args!("192.0.2.{host}")).time(at);
        }
        self.tables.audit.row().plain(&key).plain("signed_up").time(person.created);
        if self.draw(Draw::Elsewhere, 9, 4) == 0 {
            let payload = json!({ "template": "receipt", "to": self.email(), "profileId": key });
            let sent = self.touched(person.created, 9);
            self.tables.outbox.row().text(&payload.to_string()).time(sent);
        }
        if self.draw(Draw::Elsewhere, 10, 10) == 0 {
            let (copy, at) = (json!({ "id": key, "profile": self.document() }), self.touched(person.created, 10));
            self.tables.archive.row().plain(&key).text(&copy.to_string()).time(at);
        }
    }
}

/// The database's word for a tier.
#[must_use]
pub fn tier_word(tier: SandboxTier) -> &'static str {
    match tier {
        SandboxTier::Pro => TIERS[1],
        SandboxTier::Enterprise => TIERS[2],
    }
}

fn seconds(count: u64) -> Duration {
    Duration::seconds(i64::try_from(count).expect("invariant: spans are years at most"))
}
