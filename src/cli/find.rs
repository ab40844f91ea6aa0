//! `nightdesk find`: the answer to one paste, as text or JSON.

use super::case::{Found, locate, not_found, read};
use super::hands::Hands;
use super::shown::ShownDiagnosis;
use super::{End, print_json};
use crate::domain::diagnosis::{Class, Diagnosis, Word, diagnose};
use crate::domain::facts::Case;
use crate::domain::ids::{StripeId, SubjectKey};
use crate::domain::mask;
use crate::protocol::query::Hit;
use serde::Serialize;

/// What `--json` prints. Personal data is left out: ids lead to it for whoever may see it.
#[derive(Serialize)]
struct Answer<'a> {
    found: bool,
    profile: Option<&'a SubjectKey>,
    customers: Vec<&'a StripeId>,
    diagnosis: ShownDiagnosis<'a>,
    faults: Vec<&'a str>,
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

/// Looks the text up; several hits are listed, one is diagnosed.
///
/// # Errors
/// Nobody has this id, or a source that decides did not answer.
pub async fn run(hands: &Hands, text: &str, json: bool) -> Result<End, String> {
    match locate(hands, text).await? {
        Found::Exactly(handle) => {
            let case = read(hands, &handle, None).await;
            let diagnosis = diagnose(&case, &hands.env.tiers, hands.stripe_now());
            let found = case.record().is_some() || !case.customers.is_empty();
            if json {
                print_json(&Answer {
                    found,
                    profile: case.record().map(|r| &r.subject.key),
                    customers: case.customers.iter().map(|c| &c.id).collect(),
                    diagnosis: ShownDiagnosis::of(&diagnosis),
                    faults: faults(&case),
                });
            } else {
                print_who(&case);
            }
            let silent = undecided_by(&case);
            if !silent.is_empty() {
                return Err(format!("cannot tell: {}", silent.join("; ")));
            }
            if diagnosis.class == Class::NotFound {
                return Err(not_found(text));
            }
            if !json {
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
