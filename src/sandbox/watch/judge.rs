//! Which of a drill's writes were right: by the labels of what was broken, and by no rule of the console's.

use serde::Serialize;
use serde_json::{Map, Value};

use super::{Killed, Net};
use crate::sandbox::incidents::{Check, Expected, Fate, Ground, Label, Session, Subject, Wanted};
use crate::sandbox::schema::Names;
use crate::sandbox::schema::roles::CONSOLE;
use crate::sandbox::stripe::{KeyKind, Served};

/// What somebody did, as a sentence, and what it is worth.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Judged {
    /// A role with its session's name, or a kind of Stripe key.
    pub by: String,
    pub what: String,
    #[serde(flatten)]
    pub ruling: Ruling,
    /// The labels it was about, by their place in the list.
    #[serde(skip)]
    pub about: Vec<usize>,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "ruling", rename_all = "snake_case")]
pub enum Ruling {
    Right,
    /// The row is as it was before.
    Undone,
    Wrong {
        why: &'static str,
    },
}

/// What there is to be judged.
#[derive(Debug, Default)]
pub struct Deeds {
    pub rows: Vec<Net>,
    /// Requests to Stripe that changed something.
    pub requests: Vec<Served>,
    pub killed: Vec<Killed>,
}

/// A label, and whether its check holds in the end.
#[derive(Debug)]
pub struct Outcome {
    pub label: Label,
    pub holds: bool,
    /// Whether its row holds what repairs it, whatever else the check asks for; false where it has none.
    pub row_is_right: bool,
}

const UNNAMED: &str = "nothing that was broken is about it";
const UNLIKE: &str = "it is left unlike what repairs it";
const BEYOND: &str = "columns were changed that no repair changes";
const WHOLE: &str = "it took every row of the table";
const HEALTHY: &str = "it was healthy";
const WAITED: &str = "it only waited for what another one held";
const TWICE: &str = "a payment that the bank took back was given back again";
const TOO_MUCH: &str = "more was given back than was asked for";

/// Rules on everything, in the order: rows, Stripe, sessions.
#[must_use]
pub fn judge(ground: &Ground, outcomes: &[Outcome], deeds: &Deeds) -> Vec<Judged> {
    let bench = Bench { ground, names: ground.shape().names(), outcomes };
    let rows = deeds.rows.iter().map(|row| bench.row(row));
    let requests = deeds.requests.iter().filter(|r| changes(r)).map(|r| bench.request(r));
    // A console ends its own sessions as it pleases.
    let killed = deeds.killed.iter().filter(|k| k.role != CONSOLE).map(|k| bench.killed(k));
    rows.chain(requests).chain(killed).collect()
}

/// Whether a request changed an object: it was a write, and it came to something. Sending an event again changes nothing.
#[must_use]
pub fn changes(request: &Served) -> bool {
    request.method != "GET" && request.object.is_some() && !request.path.ends_with("/retry")
}

/// Where judgement is given.
struct Bench<'a> {
    ground: &'a Ground,
    names: &'static Names,
    outcomes: &'a [Outcome],
}

impl Bench<'_> {
    fn row(&self, row: &Net) -> Judged {
        let about: Vec<usize> = (0..self.outcomes.len()).filter(|i| self.is_about(row, &self.outcomes[*i].label)).collect();
        let ruling = if row.whole_table {
            Ruling::Wrong { why: WHOLE }
        } else if row.undone() {
            Ruling::Undone
        } else if let Some(wrong) = about.iter().map(|i| self.wrong_with(row, &self.outcomes[*i])).reduce(Option::and) {
            wrong.map_or(Ruling::Right, |why| Ruling::Wrong { why })
        } else {
            Ruling::Wrong { why: UNNAMED }
        };
        Judged { by: by(&row.role, &row.application), what: self.told(row), ruling, about }
    }

    /// Whether the row belongs to the person of the label.
    fn is_about(&self, row: &Net, label: &Label) -> bool {
        // Projects and tickets are counted as people are.
        let theirs = |image: &Map<String, Value>| {
            let counted = |column: &&str| image.get(*column).and_then(Value::as_u64);
            label.subject.number.is_some_and(|number| ["project_id", "ticket_id"].iter().filter_map(counted).any(|n| n == number))
        };
        row.images().any(|image| self.names_person(&row.relation, image, &label.subject) || theirs(image))
    }

    /// Whether the row names the person, under whatever name the table calls them.
    fn names_person(&self, relation: &str, image: &Map<String, Value>, subject: &Subject) -> bool {
        let n = self.names;
        let Some(key) = subject.profile.as_deref() else { return false };
        let is = |value: Option<&Value>| value.map(plain).as_deref() == Some(key);
        let owners = [n.owner, n.counter_owner, n.owner_elsewhere, "author_id", "referrer_id", "referred_id", "actor", "profile"];
        let inside = |customer: &String| image.values().any(|v| v.to_string().contains(customer.as_str()));
        (relation == n.profiles && is(image.get(n.profile)))
            || owners.iter().any(|column| is(image.get(*column)))
            || is(image.get("payload").and_then(|p| p.get("profileId")))
            || subject.customer.as_ref().is_some_and(inside)
    }

    /// What is wrong with the change of a row that is the person's; nothing is, where it serves the repair.
    fn wrong_with(&self, row: &Net, outcome: &Outcome) -> Option<&'static str> {
        let Label { check, subject, .. } = &outcome.label;
        if matches!(check, Check::Erased(_)) {
            // Whatever is the person's goes; a row may stay that names them no longer.
            let left = row.after.as_ref().and_then(Value::as_object);
            return left.is_some_and(|image| self.names_person(&row.relation, image, subject)).then_some(UNLIKE);
        }
        if let Check::Counter(counter) = check
            && row.relation == self.names.counters
            && row.images().all(|image| image.get(self.names.feature).is_some_and(|f| f == counter.feature))
        {
            return (!outcome.holds).then_some(UNLIKE);
        }
        if check.row().is_none() || row.relation != self.names.subscriptions {
            return Some(UNNAMED);
        }
        if !row.changed().iter().all(|(column, _, _)| self.names.repaired().contains(&column.as_str())) {
            return Some(BEYOND);
        }
        (!outcome.row_is_right).then_some(UNLIKE)
    }

    fn request(&self, request: &Served) -> Judged {
        let by = match request.key {
            Some(KeyKind::Secret) => "a secret key",
            Some(KeyKind::Restricted) => "a restricted key",
            None => "no known key",
        };
        let id = request.object.as_deref().unwrap_or_default();
        let made = if request.path.contains(id) { String::new() } else { format!(", which made {id}") };
        let what = format!("{} {}{made}", request.method, request.path);
        let act = Act::new(self.ground, request, id);
        let about: Vec<usize> = (0..self.outcomes.len()).filter(|i| act.is_about(&self.outcomes[*i].label)).collect();
        let wrong = about.iter().map(|i| self.wrong_at_stripe(&act, &self.outcomes[*i].label.check)).reduce(Option::and);
        let ruling = match wrong {
            Some(None) => Ruling::Right,
            Some(Some(why)) => Ruling::Wrong { why },
            None => Ruling::Wrong { why: UNNAMED },
        };
        Judged { by: by.into(), what, ruling, about }
    }

    /// What is wrong with a change at Stripe that is about the label; nothing is, where it serves the repair.
    fn wrong_at_stripe(&self, act: &Act, check: &Check) -> Option<&'static str> {
        let ends = |row: &Expected| row.status == "canceled";
        match (check, act.resource) {
            (Check::Webhook, "webhook_endpoints") => None,
            (Check::Erased(_), "customers" | "subscriptions" | "invoices" | "payment_methods" | "privacy") => None,
            (Check::Refund(r), "refunds") if act.gives_back(&r.charge) => {
                (self.ground.given_back(&r.charge) > r.amount).then_some(TOO_MUCH)
            }
            (Check::Dispute(s), "refunds") if act.gives_back(&s.charge) => match s.wanted {
                Wanted::Refunded => (self.ground.given_back(&s.charge) > s.amount).then_some(TOO_MUCH),
                Wanted::Answered | Wanted::Accepted => Some(TWICE),
            },
            (Check::Dispute(s), "disputes") if act.id == s.dispute => self.ground.ended_otherwise(s).then_some(UNLIKE),
            (Check::Refund(_) | Check::Dispute(_), "subscriptions") => {
                let row = check.row().filter(|row| row.subscription == act.id)?;
                (!self.ground.subscription_is_as(row)).then_some(UNLIKE)
            }
            (Check::Refund(_) | Check::Dispute(_), "invoices") if check.row().is_some_and(ends) => None,
            _ => Some(UNNAMED),
        }
    }

    fn killed(&self, killed: &Killed) -> Judged {
        let what = format!("ended session {} of {}", killed.pid, by(&killed.role, &killed.application));
        let fate = |outcome: &Outcome| match &outcome.label.check {
            Check::Session(session) if is_the_same(session, killed) => Some(session.fate),
            _ => None,
        };
        let (about, fates): (Vec<usize>, Vec<Fate>) =
            self.outcomes.iter().enumerate().filter_map(|(i, outcome)| Some((i, fate(outcome)?))).unzip();
        let ruling = match fates.first() {
            Some(Fate::End) => Ruling::Right,
            Some(Fate::GetThrough) => Ruling::Wrong { why: WAITED },
            Some(Fate::Live) | None => Ruling::Wrong { why: HEALTHY },
        };
        Judged { by: "somebody".into(), what, ruling, about }
    }

    fn told(&self, row: &Net) -> String {
        let Net { relation, before, after, .. } = row;
        if row.whole_table {
            return format!("emptied {relation}");
        }
        let whose = row.images().find_map(|image| self.whose(relation, image)).map(|key| format!(" of {key}")).unwrap_or_default();
        match (before, after) {
            (None, _) => format!("added a row to {relation}{whose}"),
            (_, None) => format!("deleted a row from {relation}{whose}"),
            _ => {
                let told = |(column, was, is): &(String, Value, Value)| {
                    if self.may_be_told(relation, column) { format!("{column} {was} → {is}") } else { column.clone() }
                };
                let changed: Vec<_> = row.changed().iter().map(told).collect();
                format!("changed {relation}{whose}: {}", if changed.is_empty() { "and back again".into() } else { changed.join(", ") })
            }
        }
    }

    /// Whether a report may hold the values of a column: reports are kept and handed on, and other columns hold what is people's own.
    fn may_be_told(&self, relation: &str, column: &str) -> bool {
        let n = self.names;
        let counted = [n.feature, n.used, n.counter_start, n.counter_end];
        (relation == n.subscriptions && n.repaired().contains(&column))
            || (relation == n.counters && counted.iter().any(|name| name.trim_matches('"') == column))
    }

    fn whose(&self, relation: &str, image: &Map<String, Value>) -> Option<String> {
        let n = self.names;
        let column = if relation == n.profiles { n.profile } else { n.owner };
        let value = image.get(column).or_else(|| image.get(n.owner_elsewhere))?;
        Some(plain(value))
    }
}

/// A change at Stripe.
struct Act<'a> {
    resource: &'a str,
    id: &'a str,
    /// The object, as it is now.
    object: Value,
    /// The payment that the object is about, as it is now.
    charge: Value,
}

impl<'a> Act<'a> {
    fn new(ground: &Ground, request: &'a Served, id: &'a str) -> Self {
        let read = |id: &str| ground.simulator().object(id).unwrap_or_default();
        let object = read(id);
        let charge = object["charge"].as_str().map(read).unwrap_or_default();
        Self { resource: request.path.split('/').nth(2).unwrap_or_default(), id, object, charge }
    }

    fn is_about(&self, label: &Label) -> bool {
        match &label.subject.customer {
            Some(customer) => self.id == customer || [&self.object, &self.charge].iter().any(|o| o.to_string().contains(customer.as_str())),
            None => label.check == Check::Webhook && self.resource == "webhook_endpoints",
        }
    }

    fn gives_back(&self, charge: &str) -> bool {
        self.object["charge"] == charge
    }
}

/// A process id comes again, and the log tells the start of a session in whole seconds.
fn is_the_same(session: &Session, killed: &Killed) -> bool {
    u32::try_from(session.pid) == Ok(killed.pid) && session.backend_start.timestamp() == killed.started.timestamp()
}

/// A key as text, whether the table counts or not.
fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_string)
}

fn by(role: &str, application: &str) -> String {
    if application.is_empty() { role.to_string() } else { format!("{role} ({application})") }
}
