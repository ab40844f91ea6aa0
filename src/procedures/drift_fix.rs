//! Bulk repair of drift: Stripe's truth copied to the rows of many customers, the first alone, each row by compare-and-set. Links nobody:
//! whose row a customer's is, and which of several subscriptions counts, is decided one by one.

use super::undo::inverse_of;
use super::words::{changed, count, first_enforced, machine};
use super::{Book, Procedure};
use crate::domain::At;
use crate::domain::diagnosis::{SETTLING_SECONDS, changed_at};
use crate::domain::expected::expected;
use crate::domain::facts::{Handle, Known, in_question, live_among};
use crate::domain::fault::Source;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::mask;
use crate::domain::money::group;
use crate::domain::row::{Change, Field, Image, SubscriptionRow, diff};
use crate::domain::shape::Shape;
use crate::domain::text::sentence;
use crate::protocol::answers::Answers;
use crate::protocol::command::Command;
use crate::protocol::environment::{Environment, Writer};
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Expect, Inputs, Pace, Plan, Refusal, Selection, Step, StepKind, StepState, step_id};
use std::collections::BTreeMap;

/// Copies Stripe's truth to the rows of the selected customers.
pub struct DriftFix;

/// More than this is not reviewed by anybody: the worst come first, the rest in another run.
const AT_MOST: usize = 500;
/// Stripe is asked about so many customers at once.
const AT_ONCE: usize = 3;
/// So many of those who are left out are named for each reason.
const NAMED: usize = 3;
const PACE: Pace = Pace { canary: 1, per_second: 5, stop_percent: 20, patience_seconds: 15 };

impl Procedure for DriftFix {
    fn id(&self) -> &'static str {
        "drift-fix"
    }

    fn title(&self) -> &'static str {
        "Fix drift"
    }

    fn section(&self) -> &'static str {
        "Drift"
    }

    fn words(&self) -> &'static [&'static str] {
        &["fix drift", "drift", "database differs from stripe", "reconcile", "resync all", "repair many rows", "verify database state"]
    }

    fn book(&self) -> Book {
        Book {
            sentence: "If still failing, manually sync database state (see Manual Tier Update section)",
            differs: &[
                "repairs many customers under one review: the first alone, the rest only once its effect was read in the row and in the application",
                "changes each row only while it is as shown, exactly one or none, and stops when more than a fifth comes to nothing",
                "leaves out whoever needs a link or a choice: those are repaired one by one",
            ],
        }
    }

    fn reads(&self, inputs: &Inputs, answers: &Answers) -> Vec<Query> {
        let customers = customers(inputs);
        if customers.is_empty() || customers.len() > AT_MOST {
            return Vec::new();
        }
        let mut wanted = vec![Query::Shape, Query::RowsOf(customers.clone())];
        let under_way = answers.outstanding().filter(|q| q.source() == Source::Stripe).count();
        let open = customers.into_iter().map(Query::SubscriptionsOf).filter(|q| answers.get(q).is_none());
        wanted.extend(open.take(AT_ONCE.saturating_sub(under_way)));
        wanted.retain(|q| answers.get(q).is_none());
        wanted
    }

    fn plan(&self, inputs: &Inputs, answers: &Answers, env: &Environment, now: At) -> Result<Plan, Refusal> {
        let customers = customers(inputs);
        if customers.is_empty() {
            return Err(Refusal::Because("Name the customers: mark them in the list of drift, or give their Stripe ids.".into()));
        }
        if customers.len() > AT_MOST {
            let say =
                format!("{} customers are more than one review can hold: at most {AT_MOST} at a time.", group(customers.len() as u64));
            return Err(Refusal::Because(say));
        }
        let shape = shape(answers, env)?;
        let rows = rows(answers, &customers)?;
        let settling = i64::from(inputs.allowance_seconds.unwrap_or(0)).max(SETTLING_SECONDS);
        let mut work = Work { answers, env, shape, now, settling, acts: Vec::new(), left: BTreeMap::new(), right: 0 };
        for customer in &customers {
            if let Err(why) = work.one(customer, rows.get(customer.as_str()).copied()) {
                work.left.entry(why).or_default().push(customer.clone());
            }
        }
        work.plan(customers.len())
    }

    fn pin(&self, inputs: &Inputs, _answers: &Answers) -> Inputs {
        inputs.clone()
    }
}

fn customers(inputs: &Inputs) -> Vec<StripeId> {
    let mut all = match (&inputs.selection, &inputs.handle) {
        (Some(Selection::Customers(all)), _) => all.clone(),
        (None, Some(Handle::Stripe(id))) if id.kind() == StripeKind::Customer => vec![id.clone()],
        _ => Vec::new(),
    };
    all.sort();
    all.dedup();
    all
}

fn shape<'a>(answers: &'a Answers, env: &Environment) -> Result<&'a Shape, Refusal> {
    let shape = match answers.get(&Query::Shape) {
        Some(Known::Is { value: Reply::Shape(shape), .. }) => shape,
        Some(Known::Failed(fault)) => return Err(Refusal::Because(fault.say.clone())),
        _ => return Err(Refusal::Because("The shape of the database has not been read yet.".into())),
    };
    if let Some(reason) = shape.trust.reasons().first() {
        return Err(Refusal::Because(sentence(&format!("Nothing is written where rows may be hidden from us or late: {reason}"))));
    }
    if env.writer == Writer::Sql && !shape.updatable {
        let say = "The console's database role may not update the subscription row: `nightdesk check --grants` prints the grant.";
        return Err(Refusal::Because(say.into()));
    }
    Ok(shape)
}

/// By the customer id that they hold.
fn rows<'a>(answers: &'a Answers, customers: &[StripeId]) -> Result<BTreeMap<&'a str, &'a SubscriptionRow>, Refusal> {
    match answers.get(&Query::RowsOf(customers.to_vec())) {
        Some(Known::Is { value: Reply::Rows(rows), .. }) => {
            Ok(rows.iter().filter_map(|(r, _)| Some((r.text(Field::Customer)?, r))).collect())
        }
        Some(Known::Failed(fault)) => Err(Refusal::Because(fault.say.clone())),
        _ => Err(Refusal::Because("The rows have not been read yet.".into())),
    }
}

/// The plan in the making.
struct Work<'a> {
    answers: &'a Answers,
    env: &'a Environment,
    shape: &'a Shape,
    now: At,
    /// What effects are given to come, in seconds.
    settling: i64,
    acts: Vec<(Step, Vec<Change>)>,
    /// Why customers are left out, and who for it.
    left: BTreeMap<String, Vec<StripeId>>,
    right: usize,
}

impl Work<'_> {
    /// Adds the act for one customer, where there is something to repair; otherwise the reason why they are left out.
    fn one(&mut self, customer: &StripeId, row: Option<&SubscriptionRow>) -> Result<(), String> {
        let subscriptions = match self.answers.get(&Query::SubscriptionsOf(customer.clone())) {
            Some(Known::Is { value: Reply::Subscriptions(all), .. }) => all,
            Some(Known::Failed(fault)) => return Err(fault.say.clone()),
            _ => return Err("Stripe's subscriptions have not been read yet".into()),
        };
        let row = row.ok_or("no row holds their customer id: link them one by one")?;
        if live_among(subscriptions).len() > 1 {
            return Err("several subscriptions are live: choose one by one".into());
        }
        let due = in_question(subscriptions, row.text(Field::Subscription)).ok_or("Stripe has no subscription to copy from")?;
        let demanded = expected(due, &self.env.tiers, self.shape, None).map_err(|why| why.to_string())?;
        let changes = diff(&row.image, &demanded.image);
        if changes.is_empty() {
            self.right += 1;
            return Ok(());
        }
        if (self.now - changed_at(due, demanded.item_of(due), None, self.now)).num_seconds() < self.settling {
            return Err(format!("changed at Stripe less than {} s ago: the webhook may still be on its way", self.settling));
        }
        let expect: Image = demanded.image.into_iter().filter(|(field, _)| row.image.contains_key(field)).collect();
        let step = self.act(customer, row, &changes, expect);
        self.acts.push((step, changes));
        Ok(())
    }

    fn act(&self, customer: &StripeId, row: &SubscriptionRow, changes: &[Change], image: Image) -> Step {
        let subject = row.subject.clone();
        let command = match self.env.writer {
            Writer::Sql => Command::SetSubscriptionRow { subject: subject.clone(), shown: row.image.clone(), changes: changes.to_vec() },
            Writer::Http => Command::ResyncByHttp { subject: subject.clone(), customer: customer.to_string() },
            Writer::Command => Command::ResyncByCommand { subject: subject.clone(), customer: customer.to_string() },
        };
        let say = format!("{}: {}", mask::id(customer.as_str()), changed(changes));
        let mut step = Step::new(&step_id("apply", customer.as_str()), StepKind::Act, &mask::id(customer.as_str()), say);
        step.undo = self.shape.updatable.then(|| inverse_of(&subject, &row.image, changes));
        step.shown = (!command.is_compare_and_set()).then(|| row.image.clone());
        step.command = Some(command);
        step.expect = Some(Expect::Row { subject: subject.clone(), image });
        step.subject = Some(subject);
        step
    }

    fn plan(self, selected: usize) -> Result<Plan, Refusal> {
        let mut notes: Vec<String> = self.left.iter().map(|(why, who)| sentence(&format!("Left out, {}: {why}", named(who)))).collect();
        if self.acts.is_empty() {
            return Err(if notes.is_empty() {
                Refusal::AlreadyRight(format!("{} right: each row equals Stripe.", customers_of(self.right)))
            } else {
                Refusal::Because(notes.join(" "))
            });
        }
        let n = self.acts.len();
        notes.push(back(n, self.acts.iter().all(|(step, _)| step.undo.is_some())).into());
        let calls = match self.env.writer {
            Writer::Sql => count(n, "statement"),
            Writer::Http => format!("{} to the app", count(n, "call")),
            Writer::Command => count(n, "command"),
        };
        let fields = count(self.acts.iter().map(|(_, changes)| changes.len()).sum(), "field");
        let rows = count(n, "row");
        let evidence = self.acts.iter().take(50).map(|(step, _)| step.say.clone()).collect();
        let machine = self.acts.iter().take(20).filter_map(|(step, _)| step.command.as_ref()).flat_map(machine).collect();
        let who = customers_of(n);
        let diff = if let [(_, changes)] = self.acts.as_slice() { changes.clone() } else { Vec::new() };
        let subject = if n == 1 { self.acts[0].0.subject.clone() } else { None };
        let found = Step::new("compared", StepKind::Check, "compared", format!("{selected} read, {} right already", self.right));
        let mut steps = vec![found.in_state(StepState::Passed)];
        steps.extend(self.acts.into_iter().map(|(step, _)| step));
        steps.push(Step::new("rows", StepKind::Verify, "rows", "Each row equals Stripe"));
        steps.push(first_enforced(self.env));
        let mut plan = Plan {
            summary: format!("Copy Stripe's truth to {rows}"),
            subject,
            blast: format!("{who} · {rows} · {fields} · no money · {calls}"),
            who,
            diff,
            notes,
            evidence,
            afterwards: None,
            steps,
            machine,
            typed: None,
            pace: Some(PACE),
        };
        plan.typed = plan.text_to_type();
        Ok(plan)
    }
}

/// How it can be taken back.
fn back(rows: usize, invertible: bool) -> &'static str {
    match (rows, invertible) {
        (_, false) => "Cannot be undone: the console's role may not write the rows.",
        (1, true) => "Can be undone: u takes it back, for ten minutes after it was done.",
        (_, true) => "Cannot be undone from here: what each row held before stays in the journal.",
    }
}

/// `2 customers (cus_R…zp, cus_S…4k)`, the first of many.
fn named(who: &[StripeId]) -> String {
    let mut ids: Vec<String> = who.iter().take(NAMED).map(|id| mask::id(id.as_str())).collect();
    ids.extend((who.len() > NAMED).then(|| format!("{} more", who.len() - NAMED)));
    format!("{} ({})", customers_of(who.len()), ids.join(", "))
}

fn customers_of(n: usize) -> String {
    count(n, "customer")
}
