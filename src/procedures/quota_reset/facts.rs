//! The facts of a quota reset: whose counters, what is used of what, and what the application enforces. Stripe is asked only whose an id is.

use crate::domain::At;
use crate::domain::entitlement::Entitlement;
use crate::domain::facts::{Handle, Known};
use crate::domain::ids::{StripeKind, SubjectKey};
use crate::domain::mask;
use crate::domain::quota::{CounterSheet, QuotaLine, Resets, live, quota_lines, resets};
use crate::domain::row::{Counter, Record};
use crate::domain::text::sentence;
use crate::protocol::answers::Answers;
use crate::protocol::query::{Locator, Query, Reply};
use crate::protocol::run::{Choice, Decision, Inputs, Refusal};

/// Everything a plan rests on, complete.
pub(super) struct Facts {
    pub record: Record,
    pub sheet: CounterSheet,
    pub app: Known<Option<Entitlement>>,
    /// Every feature that counters, plan or application know.
    pub uses: Vec<Use>,
}

/// One feature of the subject.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Use {
    pub feature: String,
    /// In the period that runs.
    pub used: i64,
    /// What is enforced: the application's answer, else the plan's row.
    pub limit: Option<i64>,
    /// The plan's row where the application enforces something else.
    pub plan_differs: Option<i64>,
    pub resets: Resets,
    /// Who says whether it resets.
    pub because: &'static str,
    /// The counter, where its period runs.
    pub counter: Option<Counter>,
}

/// What is still to be asked.
pub(super) fn reads(inputs: &Inputs, answers: &Answers) -> Vec<Query> {
    let mut wanted = vec![Query::Shape];
    match whose(inputs, answers) {
        Whose::Ask(query) => wanted.push(query),
        Whose::Nobody => {}
        Whose::Records(locator) => {
            let query = Query::Records(locator);
            if let Some(record) = answers.get(&query).and_then(records).and_then(|all| only(all, inputs)) {
                wanted.extend([Query::Counters(record.subject.key.clone()), Query::Entitlement(record.subject.key.clone())]);
            }
            wanted.push(query);
        }
    }
    wanted.retain(|q| answers.get(q).is_none());
    wanted
}

impl Facts {
    pub(super) fn of(inputs: &Inputs, answers: &Answers, now: At) -> Result<Facts, Refusal> {
        let shape = match answers.get(&Query::Shape) {
            Some(Known::Is { value: Reply::Shape(shape), .. }) => shape,
            other => return Err(unread(other, "The shape of the database")),
        };
        if let Some(reason) = shape.trust.reasons().first() {
            let say = format!("Nothing is written where rows may be hidden from us or late: {reason}");
            return Err(Refusal::Because(sentence(&say)));
        }
        let record = subject(inputs, answers)?.clone();
        let key = record.subject.key.clone();
        let sheet = match answers.get(&Query::Counters(key.clone())) {
            Some(Known::Is { value: Reply::Counters(Some(sheet)), .. }) => sheet.clone(),
            Some(Known::Is { value: Reply::Counters(None), .. }) => {
                let say = "This database has no table of counters: name it under [schema.counter] in the configuration.";
                return Err(Refusal::Because(say.into()));
            }
            other => return Err(unread(other, "The counters")),
        };
        let app = match answers.get(&Query::Entitlement(key)) {
            Some(Known::Is { value: Reply::Entitlement(e), at }) => Known::Is { value: e.clone(), at: *at },
            Some(Known::Failed(fault)) => Known::Failed(fault.clone()),
            other => return Err(unread(other, "What the app enforces")),
        };
        let uses = uses(&record, &sheet, app.value().and_then(Option::as_ref), now);
        Ok(Facts { record, sheet, app, uses })
    }

    pub(super) fn app(&self) -> Option<&Entitlement> {
        self.app.value().and_then(Option::as_ref)
    }

    pub(super) fn key(&self) -> &SubjectKey {
        &self.record.subject.key
    }

    pub(super) fn who(&self) -> String {
        name(&self.record)
    }
}

impl Use {
    /// `100 of 100`, `7`, `7, unlimited`.
    pub(super) fn figure(&self) -> String {
        figure(self.used, self.limit)
    }
}

pub(super) fn figure(used: i64, limit: Option<i64>) -> String {
    match limit {
        Some(limit) if limit >= 0 => format!("{used} of {limit}"),
        Some(_) => format!("{used}, unlimited"),
        None => format!("{used}, no limit known"),
    }
}

fn uses(record: &Record, sheet: &CounterSheet, app: Option<&Entitlement>, now: At) -> Vec<Use> {
    let of = |line: QuotaLine| {
        let (resets, because) = resets(&line.feature, sheet, app);
        Use {
            counter: sheet.counters.iter().find(|c| c.feature == line.feature).filter(|c| live(c, now)).cloned(),
            feature: line.feature,
            used: line.used,
            limit: line.limit,
            plan_differs: line.plan_differs,
            resets,
            because,
        }
    };
    quota_lines(&sheet.counters, &record.limits, app, now).into_iter().map(of).collect()
}

/// Where the subject's record is to be found.
enum Whose {
    Records(Locator),
    /// This has to be known first.
    Ask(Query),
    Nobody,
}

fn whose(inputs: &Inputs, answers: &Answers) -> Whose {
    if let Some(subject) = &inputs.subject {
        return Whose::Records(Locator::Subjects(vec![subject.clone()]));
    }
    Whose::Records(match &inputs.handle {
        None => return Whose::Nobody,
        Some(Handle::Subject(key)) => Locator::Subjects(vec![key.clone()]),
        Some(Handle::Email(email)) => Locator::Email(email.clone()),
        Some(Handle::Placeholder(id)) => Locator::CustomerId(id.clone()),
        Some(Handle::Stripe(id)) => match id.kind() {
            StripeKind::Customer => Locator::CustomerId(id.to_string()),
            StripeKind::Subscription => Locator::SubscriptionId(id.to_string()),
            _ => {
                let query = Query::CustomerOf(id.clone());
                match answers.get(&query) {
                    Some(Known::Is { value: Reply::Customers(all), .. }) => match all.first() {
                        Some(customer) => Locator::CustomerId(customer.id.to_string()),
                        None => return Whose::Nobody,
                    },
                    _ => return Whose::Ask(query),
                }
            }
        },
    })
}

fn records(known: &Known<Reply>) -> Option<&[Record]> {
    match known.value() {
        Some(Reply::Records(records)) => Some(records),
        _ => None,
    }
}

/// The subject's key, where the answers lead to one.
pub(super) fn found(inputs: &Inputs, answers: &Answers) -> Option<SubjectKey> {
    let Whose::Records(locator) = whose(inputs, answers) else { return None };
    let record = answers.get(&Query::Records(locator)).and_then(records).and_then(|all| only(all, inputs))?;
    Some(record.subject.key.clone())
}

/// The one record that can be meant.
fn only<'a>(records: &'a [Record], inputs: &Inputs) -> Option<&'a Record> {
    match (&inputs.subject, records) {
        (Some(chosen), all) => all.iter().find(|r| r.subject.key == *chosen),
        (None, [one]) => Some(one),
        (None, _) => None,
    }
}

fn subject<'a>(inputs: &Inputs, answers: &'a Answers) -> Result<&'a Record, Refusal> {
    let nobody = "No profile can be named by that: give the profile's own id, or an e-mail address.";
    let query = match whose(inputs, answers) {
        Whose::Records(locator) => Query::Records(locator),
        Whose::Ask(query) => return Err(unread(answers.get(&query), "Whose it is")),
        Whose::Nobody => return Err(Refusal::Because(nobody.into())),
    };
    let Some(known) = answers.get(&query).filter(|k| records(k).is_some()) else {
        return Err(unread(answers.get(&query), "The profile"));
    };
    let all = records(known).unwrap_or_default();
    match (only(all, inputs), all) {
        (Some(record), _) => Ok(record),
        (None, []) => Err(Refusal::Because(nobody.into())),
        (None, several) => {
            let option = |r: &Record| Choice {
                value: r.subject.key.to_string(),
                say: name(r),
                evidence: r.subject.created_at.map_or_else(String::new, |at| format!("since {}", at.format("%-d %b %Y"))),
            };
            let question = format!("{} profiles fit. Whose counters?", several.len());
            Err(Refusal::Decide(Decision { id: "subject".into(), question, options: several.iter().map(option).collect() }))
        }
    }
}

pub(super) fn name(record: &Record) -> String {
    record.subject.email.as_deref().map_or_else(|| format!("profile {}", mask::id(record.subject.key.as_str())), mask::email)
}

fn unread(known: Option<&Known<Reply>>, what: &str) -> Refusal {
    match known {
        Some(Known::Failed(fault)) => Refusal::Because(fault.say.clone()),
        _ => Refusal::Because(format!("{what} has not been read yet.")),
    }
}
