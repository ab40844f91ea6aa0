//! `nightdesk find`: the answer to one paste, as text or JSON.

use super::case::{Found, InPlace, NOTHING, Read, locate, not_found, read};
use super::hands::Hands;
use super::shown::ShownDiagnosis;
use super::{End, print_json};
use crate::domain::At;
use crate::domain::diagnosis::{Class, Diagnosis, Moment, Word, diagnose};
use crate::domain::expected::tier_due;
use crate::domain::facts::{Case, Known};
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::link::LinkedBy;
use crate::domain::mask;
use crate::domain::mirror::Copied;
use crate::domain::needle::Needle;
use crate::domain::row::Field;
use crate::domain::shape::Shape;
use crate::domain::stripe::Subscription;
use crate::protocol::query::Hit;
use chrono::Duration;
use serde::Serialize;

/// What `--json` prints. Personal data is left out: ids lead to it for whoever may see it.
#[derive(Serialize)]
struct Answer<'a> {
    found: bool,
    profile: Option<&'a SubjectKey>,
    customers: Vec<&'a StripeId>,
    diagnosis: ShownDiagnosis<'a>,
    /// What the mirror of Stripe says while Stripe is silent; `null` while it is not, or where there is no mirror.
    mirror: Option<ShownMirror<'a>>,
    faults: Vec<&'a str>,
}

#[derive(Serialize)]
struct ShownMirror<'a> {
    /// `null`: it does not say.
    age_seconds: Option<i64>,
    /// Too old to be believed, or of an age that nobody can tell.
    stale: bool,
    /// The profile that its copies lead to, and by what where nothing else names it.
    profile: Option<&'a SubjectKey>,
    named_by: Option<&'static str>,
    customers: Vec<&'a StripeId>,
    subscriptions: Vec<ShownCopy<'a>>,
    notes: &'a [String],
}

#[derive(Serialize)]
struct ShownCopy<'a> {
    id: &'a StripeId,
    customer: &'a StripeId,
    status: &'a str,
    /// The tier that its price says; `null`: open.
    tier: Option<String>,
    /// Stripe's state at this time, or a later one.
    as_of: Option<At>,
}

#[derive(Serialize)]
struct Candidates<'a> {
    found: bool,
    hits: Vec<HitLine<'a>>,
}

#[derive(Serialize)]
struct HitLine<'a> {
    source: &'a str,
    profile: Option<&'a SubjectKey>,
    customer: Option<&'a str>,
    note: &'a str,
}

/// Looks the text up; several hits are listed, one is diagnosed. That nobody has it is an answer.
///
/// # Errors
/// A source that decides did not answer.
pub async fn run(hands: &Hands, text: &str, json: bool) -> Result<End, String> {
    if Needle::parse(text).is_none() {
        return Ok(End::Wrong(NOTHING.into()));
    }
    match locate(hands, text).await? {
        Found::Exactly(handle) => {
            let Read { case, mirror } = read(hands, &handle, None).await;
            let late = case.shape.value().map_or_else(Duration::zero, Shape::late);
            let usual = Moment::from(hands.stripe_now());
            let diagnosis = diagnose(&case, &hands.env.tiers, Moment { allowance: usual.allowance + late, ..usual });
            let found = case.record().is_some() || !case.customers.is_empty();
            if json {
                print_json(&Answer {
                    found,
                    profile: case.record().map(|r| &r.subject.key),
                    customers: case.customers.iter().map(|c| &c.id).collect(),
                    diagnosis: ShownDiagnosis::of(&diagnosis),
                    mirror: mirror.as_ref().map(|m| shown(m, hands)),
                    faults: faults(&case),
                });
            } else {
                print_who(&case);
                if let Some(m) = &mirror {
                    print_mirror(m, &shown(m, hands), hands);
                }
            }
            let silent = undecided_by(&case);
            if !silent.is_empty() {
                return Err(format!("cannot tell: {}", silent.join("; ")));
            }
            if diagnosis.class == Class::NotFound && !json {
                println!("{}", not_found(text));
            } else if !json {
                print(&case, &diagnosis);
            }
            Ok(if matches!(diagnosis.word, Word::Ok | Word::Settling) { End::Well } else { End::Badly })
        }
        Found::Several(hits) => {
            if json {
                print_json(&Candidates { found: true, hits: hits.iter().map(line).collect() });
            } else {
                println!("{} hits; name one of these:", hits.len());
                for hit in &hits {
                    let l = line(hit);
                    let who = l.profile.map_or("-", SubjectKey::as_str);
                    println!("  {:<6}  {who:<36}  {:<24}  {}", l.source, l.customer.unwrap_or("-"), l.note);
                }
            }
            Ok(End::Well)
        }
        Found::Nobody => {
            if json {
                print_json(&Candidates { found: false, hits: Vec::new() });
            } else {
                println!("{}", not_found(text.trim()));
            }
            Ok(End::Badly)
        }
    }
}

fn print_who(case: &Case) {
    if let Some(record) = case.record() {
        let email = record.subject.email.as_deref().map(mask::email).unwrap_or_default();
        println!("profile   {}  {email}", record.subject.key);
    }
    for customer in &case.customers {
        println!("customer  {}{}", customer.id, if customer.deleted { "  deleted" } else { "" });
    }
}

fn shown<'a>(m: &'a InPlace, hands: &Hands) -> ShownMirror<'a> {
    let now = hands.stripe_now();
    let copy = |s: &'a Copied<Subscription>| ShownCopy {
        id: &s.value.id,
        customer: &s.value.customer,
        status: s.value.status.word(),
        tier: tier_due(&s.value, &hands.env.tiers).ok(),
        as_of: s.as_of,
    };
    ShownMirror {
        age_seconds: m.found.mirror.age(now).map(|age| age.num_seconds()),
        stale: m.found.mirror.is_stale(now),
        profile: m.case.record().map(|r| &r.subject.key),
        named_by: m.by.map(LinkedBy::say),
        customers: m.found.customers.iter().map(|c| &c.value.id).collect(),
        subscriptions: m.found.subscriptions.iter().map(copy).collect(),
        notes: &m.found.mirror.notes,
    }
}

/// What the mirror has of Stripe's side, beside the row. Nothing is concluded from it.
fn print_mirror(m: &InPlace, shown: &ShownMirror, hands: &Hands) {
    let believed = if shown.stale { "not believed" } else { "nothing is concluded from it" };
    println!("\nmirror    Stripe is silent; its mirror in Postgres is {}: {believed}", m.found.mirror.age_said(hands.stripe_now()));
    if shown.customers.is_empty() && shown.subscriptions.is_empty() {
        println!("          it holds nothing of them: that is not known");
    }
    for s in &shown.subscriptions {
        let tier = s.tier.as_deref().unwrap_or("tier open");
        let as_of = s.as_of.map_or_else(|| "as of an unknown time".into(), |at| format!("as of {}", at.format("%-d %b %H:%M:%SZ")));
        println!("          {}  {}, {tier}, {as_of}", s.id, s.status);
    }
    for note in shown.notes {
        println!("          {note}");
    }
    if let (Some(by), Some(record)) = (m.by, m.case.record()) {
        let email = record.subject.email.as_deref().map(mask::email).unwrap_or_default();
        println!("profile   {}  {email}: {} ({})", record.subject.key, by.say(), by.confidence().word());
    }
    let row = m.case.record().and_then(|r| r.row.as_ref());
    println!("row       {}", row.and_then(|r| r.text(Field::Tier)).unwrap_or("not known"));
    if let Known::Is { value: Some(e), .. } = &m.case.entitlement {
        println!("enforced  {}", e.tier);
    }
}

fn print(case: &Case, diagnosis: &Diagnosis) {
    println!("\n{:<6}{}", diagnosis.word.shown(), diagnosis.sentence);
    if let Some(reason) = &diagnosis.reason {
        println!("      {reason}");
    }
    for evidence in &diagnosis.evidence {
        println!("      · {evidence}");
    }
    for fault in faults(case) {
        println!("      ! {fault}");
    }
    if let (Some(fix), Some(record)) = (&diagnosis.fix, case.record()) {
        println!("\nfix   {}", fix.say);
        println!("      nightdesk run {} --customer {} --reason \"…\"", fix.procedure, record.subject.key);
    }
}

/// What stands in the way of any verdict, each once.
fn undecided_by(case: &Case) -> Vec<&str> {
    // Whose customer it is, only the sessions may say.
    let sessions = case.sessions_unread.as_ref().filter(|_| case.record().is_none());
    let all = [case.shape.fault(), case.record.fault(), case.customer.fault(), case.subscriptions.fault(), sessions];
    let mut says: Vec<&str> = all.into_iter().flatten().map(|f| f.say.as_str()).collect();
    says.sort_unstable();
    says.dedup();
    says
}

/// What could not be read, each once.
fn faults(case: &Case) -> Vec<&str> {
    let mut says: Vec<&str> = case.faults().into_iter().map(|f| f.say.as_str()).collect();
    says.sort_unstable();
    says.dedup();
    says
}

fn line(hit: &Hit) -> HitLine<'_> {
    HitLine { source: hit.source.word(), profile: hit.subject.as_ref(), customer: hit.customer.as_deref(), note: &hit.note }
}
