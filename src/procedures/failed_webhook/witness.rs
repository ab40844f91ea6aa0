//! What stands beside the events and may explain them: the endpoints, what the application noted of them, and the log back to the time of
//! the oldest; the same as the survey asks. Names no cause.

use super::events::{Listed, Told};
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::ids::StripeId;
use crate::domain::webhooks::cause::{Receipt, Scene, Trail};
use crate::domain::webhooks::judge::Received;
use crate::domain::webhooks::log::{LogLine, LogSearch, SEARCHES};
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use chrono::Duration;
use std::collections::{BTreeMap, HashSet};

/// So much before the oldest event, for what was said about it.
const BEFORE: Duration = Duration::minutes(5);
/// What was noted is looked up for so many events, the newest.
const RECEIPTS: usize = 2_000;

/// The searches that are still to be made: for the newest lines, and where those do not reach back to the oldest event, from that on.
pub fn reads(listed: &Listed, answers: &Answers) -> Vec<Query> {
    match heard(listed, answers) {
        Some(Heard { next: Some(search), .. }) => vec![Query::Logs(search)],
        _ => Vec::new(),
    }
}

/// The record that the application keeps of the events it was sent, for these.
pub fn receipts_of(lost: &[&Told]) -> Option<Query> {
    let mut newest: Vec<&&Told> = lost.iter().collect();
    newest.sort_by_key(|t| std::cmp::Reverse(t.at));
    let mut of: Vec<StripeId> = newest.into_iter().take(RECEIPTS).map(|t| t.id.clone()).collect();
    of.sort();
    (!of.is_empty()).then_some(Query::Received(of))
}

/// What that record says; nothing where none is kept.
pub fn receipts(answers: &Answers) -> BTreeMap<&StripeId, Receipt> {
    let mut all = BTreeMap::new();
    for (query, known) in answers.all() {
        if let (Query::Received(of), Known::Is { value: Reply::Received(Some(found)), .. }) = (query, known) {
            let found: BTreeMap<&StripeId, &Received> = found.iter().map(|r| (&r.event, r)).collect();
            all.extend(of.iter().map(|id| (id, Receipt::of(found.get(id).copied()))));
        }
    }
    all
}

/// What is the same for all of the events.
pub fn scene(listed: &Listed, answers: &Answers, env: &Environment) -> Scene {
    let endpoints = match answers.get(&Query::Endpoints) {
        Some(Known::Is { value: Reply::Endpoints(all), .. }) => Some(all.clone()),
        _ => None,
    };
    let (probe, probed_at) = match answers.get(&Query::Probe) {
        Some(Known::Is { value: Reply::Probed(probed), at }) => (Some(probed.clone()), Some(*at)),
        _ => (None, None),
    };
    let log = heard(listed, answers).and_then(|heard| heard.log);
    Scene { endpoints, url: env.webhook_url.clone(), probe, probed_at, log, deliver: env.offers.deliver, ..Scene::default() }
}

/// The log as far as it was read.
struct Heard {
    log: Option<Trail>,
    next: Option<LogSearch>,
}

/// `None`: nothing is selected.
fn heard(listed: &Listed, answers: &Answers) -> Option<Heard> {
    let since = listed.selected.iter().map(|t| t.at).min()? - BEFORE;
    let newest = LogSearch::explaining(since);
    let Some(known) = answers.get(&Query::Logs(newest.clone())) else { return Some(Heard { log: None, next: Some(newest) }) };
    let Known::Is { value: Reply::Logs { lines, covers, .. }, .. } = known else { return Some(Heard { log: None, next: None }) };
    let mut older: Vec<LogLine> = Vec::new();
    let begins: Option<At> = covers.filter(|covers| *covers > since);
    let mut next = begins.map(|_| LogSearch::explaining_from(since));
    for _ in 0..SEARCHES {
        let (Some(search), Some(begins)) = (next.clone(), begins) else { break };
        match answers.get(&Query::Logs(search.clone())) {
            None => return Some(Heard { log: None, next }),
            Some(Known::Is { value: Reply::Logs { lines: found, .. }, .. }) => {
                older.extend(found.iter().filter(|l| l.at.is_some_and(|at| at < begins)).cloned());
                next = search.onward(found, begins);
            }
            Some(_) => break,
        }
    }
    let selected: HashSet<&str> = listed.selected.iter().map(|t| t.id.as_str()).collect();
    let matters = |line: &LogLine| line.ids.iter().any(|id| selected.contains(id.as_str()));
    let log = Trail::new(lines.iter().cloned(), *covers).after(&Trail::new(older, None), matters);
    Some(Heard { log: Some(log), next: None })
}
