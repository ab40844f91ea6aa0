//! `nightdesk replay …`: the missing effects of events brought about, without a screen; through the same plan, gate and journal.

use super::End;
use super::args::Replay;
use super::drive::{drive, now};
use super::hands::Hands;
use super::procedures::{confirm_and_finish, report, unanswered};
use super::webhooks;
use crate::domain::At;
use crate::domain::facts::Known;
use crate::domain::ids::{StripeId, StripeKind};
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::feed::Line;
use crate::procedures::engine::{Phase, Run};
use crate::protocol::query::{Query, Reply};
use crate::protocol::run::{Inputs, Selection};
use chrono::{DateTime, Duration, Utc};
use uuid::Uuid;

/// As long as Stripe keeps events, in days.
const KEPT_DAYS: i64 = 30;
/// So many letters and digits an event's id has at least, its prefix among them.
const SHORTEST: usize = 17;
/// Why an id may lead to nothing, and what to do then.
const NO_EVENT: &str = "it never was in this account and mode, or is older than the 30 days that Stripe keeps events. Check the id; if it is old, \
                        repair its customer with `nightdesk run tier-update --customer …`";

/// # Errors
/// Bad input, or a source that does not answer.
pub async fn run(hands: &Hands, args: &Replay) -> Result<End, String> {
    let wanted = match wanted(args, now()) {
        Ok(wanted) => wanted,
        Err(why) => return Ok(End::Wrong(why)),
    };
    let inputs = match wanted {
        Wanted::These(selection) => Inputs::about(selection),
        Wanted::Cause(cause, since) => of_cause(hands, cause, since).await?,
    };
    let nothing = matches!((&args.cause, &inputs.selection), (Some(_), Some(Selection::Events(none))) if none.is_empty());
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "failed-webhook", inputs);
    if nothing {
        run.phase = Phase::Done("No effect is missing for this cause: `nightdesk webhooks` lists the causes that there are.".into());
        return Ok(report(&run, &args.how));
    }
    drive(&mut run, effects, hands, &hands.env).await;
    if matches!(run.phase, Phase::Halted(_))
        && let Some(why) = none_of_them(&run)
    {
        return Err(why);
    }
    if let Some(why) = unanswered(&run) {
        if args.how.json {
            report(&run, &args.how);
        }
        return Err(why);
    }
    confirm_and_finish(hands, run, &args.how).await
}

/// What the arguments ask for.
#[derive(Debug, PartialEq, Eq)]
enum Wanted {
    These(Selection),
    /// Whichever events the list shows under this cause.
    Cause(Cause, At),
}

/// The very events that the list has under the cause, with the time that it gives to effects: as on screen.
async fn of_cause(hands: &Hands, cause: Cause, since: At) -> Result<Inputs, String> {
    let hours = ((now() - since).num_minutes().div_euclid(60) + 1).clamp(1, KEPT_DAYS * 24);
    let survey = webhooks::read(hands, hours).await;
    if let Some(fault) = survey.fault() {
        return Err(fault.say.clone());
    }
    if let Some(doubt) = survey.doubt() {
        return Err(format!("{}: {}", doubt.sentence, doubt.reason));
    }
    let of_it = |l: &&Line| l.at >= since && l.cause == Some(cause);
    let events: Vec<StripeId> = survey.lines().iter().filter(of_it).map(|l| l.id.clone()).collect();
    if events.is_empty() && !survey.is_complete() {
        return Err("Stripe's list or the rows could not be read to their end: try again, or give a shorter --since".into());
    }
    let allowance_seconds = u32::try_from(survey.allowance().num_seconds()).ok();
    Ok(Inputs { allowance_seconds, ..Inputs::about(Selection::Events(events)) })
}

fn wanted(args: &Replay, now: At) -> Result<Wanted, String> {
    let since = args.since.as_deref().map(|text| moment(text, now)).transpose()?;
    match (args.events.as_slice(), &args.cause, since, args.since_last_applied) {
        ([], Some(word), since, false) => Ok(Wanted::Cause(webhooks::cause(word)?, since.unwrap_or(now - Duration::days(KEPT_DAYS)))),
        ([], None, Some(from), false) => Ok(Wanted::These(Selection::Window { from, until: None })),
        ([], None, None, true) => Ok(Wanted::These(Selection::SinceLastApplied)),
        ([], None, None, false) => Err("say which events: ids (evt_…), --since TIME, --cause WORD, or --since-last-applied".into()),
        (ids, None, None, false) => Ok(Wanted::These(Selection::Events(ids.iter().map(|text| event(text)).collect::<Result<_, _>>()?))),
        _ => Err("name events, or a time, or a cause: --cause alone goes together with --since".into()),
    }
}

/// An event's id, as Stripe issues them: what is shorter was cut off, or made up.
fn event(text: &str) -> Result<StripeId, String> {
    let long_enough = |id: &StripeId| id.as_str().bytes().filter(u8::is_ascii_alphanumeric).count() >= SHORTEST;
    StripeId::of(StripeKind::Event, text.trim())
        .filter(long_enough)
        .ok_or_else(|| format!("`{text}` is not an event's id: evt_ and at least 14 letters and digits; copy the whole of it"))
}

/// Events that were asked for by id, where Stripe has none of them: that is no verdict.
fn none_of_them(run: &Run) -> Option<String> {
    let Some(Selection::Events(ids)) = &run.inputs.selection else { return None };
    let unknown =
        |id: &&StripeId| matches!(run.answers.get(&Query::Event((*id).clone())), Some(Known::Is { value: Reply::Event(None), .. }));
    let first = ids.first().filter(|_| ids.iter().all(|id| unknown(&id)))?;
    Some(match ids.len() {
        1 => format!("Stripe has no event {first}: {NO_EVENT}"),
        n => format!("Stripe has none of the {n} events, {first} the first of them: {NO_EVENT}"),
    })
}

/// `90s`, `45m`, `2h`, `3d` ago, or a time as RFC 3339.
fn moment(text: &str, now: At) -> Result<At, String> {
    let wrong = || format!("`{text}` is no time: give 45m, 2h or 3d, or a time such as 2026-11-22T02:41:00Z");
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        return Ok(at.with_timezone(&Utc));
    }
    let (number, unit) = text.split_at_checked(text.len().saturating_sub(1)).ok_or_else(wrong)?;
    let number: u32 = number.parse().map_err(|_| wrong())?;
    let ago = match unit {
        "s" => Duration::seconds(number.into()),
        "m" => Duration::minutes(number.into()),
        "h" => Duration::hours(number.into()),
        "d" => Duration::days(number.into()),
        _ => return Err(wrong()),
    };
    Ok(now - ago)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::How;

    fn args(events: &[&str], since: Option<&str>, cause: Option<&str>, last: bool) -> Replay {
        let how = How { dry_run: true, explain: false, yes: false, confirm: None, reason: None, json: false };
        let events = events.iter().map(ToString::to_string).collect();
        Replay { events, since: since.map(String::from), since_last_applied: last, cause: cause.map(String::from), how }
    }

    #[test]
    fn a_selection_is_one_thing() {
        let now = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let of = |a: Replay| wanted(&a, now);
        assert_eq!(of(args(&[], None, None, true)), Ok(Wanted::These(Selection::SinceLastApplied)));
        let window = Selection::Window { from: now - Duration::hours(2), until: None };
        assert_eq!(of(args(&[], Some("2h"), None, false)), Ok(Wanted::These(window)));
        let by_cause = of(args(&[], Some("1d"), Some("bad-signature"), false));
        assert_eq!(by_cause, Ok(Wanted::Cause(Cause::BadSignature, now - Duration::days(1))));
        let whole = "evt_1Abcdefghijklmn";
        assert!(matches!(of(args(&[whole], None, None, false)), Ok(Wanted::These(Selection::Events(ids))) if ids.len() == 1));
        for wrong in [
            args(&[], None, None, false),
            args(&["cus_1A"], None, None, false),
            args(&["evt_nope"], None, None, false),
            args(&[whole], Some("2h"), None, false),
            args(&[], Some("yesterday"), None, false),
            args(&[], Some("é"), None, false),
            args(&[], None, Some("bad luck"), false),
        ] {
            assert!(of(wrong).is_err());
        }
    }
}
