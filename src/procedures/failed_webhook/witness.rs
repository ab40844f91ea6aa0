//! What stands beside the events and may explain them: the endpoints, and the log back to the time of the oldest. Names no cause.

use super::events::Listed;
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::webhooks::cause::{Scene, Trail};
use crate::domain::webhooks::log::{LogLine, LogSearch, SEARCHES};
use crate::protocol::answers::Answers;
use crate::protocol::environment::Environment;
use crate::protocol::query::{Query, Reply};
use chrono::Duration;

/// So much before the oldest event, for what was said about it.
const BEFORE: Duration = Duration::minutes(5);

/// The searches that are still to be made: for the newest lines, and where those do not reach back to the oldest event, from that on.
pub fn reads(listed: &Listed, answers: &Answers) -> Vec<Query> {
    match heard(listed, answers) {
        Some(Heard { next: Some(search), .. }) => vec![Query::Logs(search)],
        _ => Vec::new(),
    }
}

/// What is the same for all of the events.
pub fn scene(listed: &Listed, answers: &Answers, env: &Environment) -> Scene {
    let endpoints = match answers.get(&Query::Endpoints) {
        Some(Known::Is { value: Reply::Endpoints(all), .. }) => Some(all.clone()),
        _ => None,
    };
    let log = heard(listed, answers).and_then(|heard| heard.log);
    Scene { endpoints, url: env.webhook_url.clone(), log, deliver: env.offers.deliver, ..Scene::default() }
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
    let mut lines: Vec<LogLine> = lines.clone();
    let begins: Option<At> = covers.filter(|covers| *covers > since);
    let mut next = begins.map(|_| LogSearch::explaining_from(since));
    for _ in 0..SEARCHES {
        let (Some(search), Some(begins)) = (next.clone(), begins) else { break };
        match answers.get(&Query::Logs(search.clone())) {
            None => return Some(Heard { log: None, next }),
            Some(Known::Is { value: Reply::Logs { lines: older, .. }, .. }) => {
                lines.extend(older.iter().filter(|l| l.at.is_some_and(|at| at < begins)).cloned());
                next = search.onward(older, begins);
            }
            Some(_) => break,
        }
    }
    Some(Heard { log: Some(Trail::new(lines, None)), next: None })
}
