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
    let looked_back = if let Wanted::Cause(_, since, _) = &wanted { Some(*since) } else { None };
    let inputs = match wanted {
        Wanted::These(selection) => Inputs::about(selection),
        Wanted::Cause(cause, since, until) => of_cause(hands, cause, since, until).await?,
    };
    let nothing = looked_back.filter(|_| matches!(&inputs.selection, Some(Selection::Events(none)) if none.is_empty()));
    let (mut run, effects) = Run::draft(Uuid::now_v7(), "failed-webhook", inputs);
    if let Some(since) = nothing {
        let since = since.format("%-d %b %H:%MZ");
        let say = format!("No effect is missing for this cause since {since}: `nightdesk webhooks` lists the causes that there are.");
        run.phase = Phase::Done(say);
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
    /// Whichever events the list shows under this cause, of this time.
    Cause(Cause, At, Option<At>),
}

/// The very events that the list has under the cause, with the time that it gives to effects: as on screen.
async fn of_cause(hands: &Hands, cause: Cause, since: At, until: Option<At>) -> Result<Inputs, String> {
    let hours = ((now() - since).num_minutes().div_euclid(60) + 1).clamp(1, KEPT_DAYS * 24);
    let survey = webhooks::read(hands, hours).await;
    if let Some(fault) = survey.fault() {
        return Err(fault.say.clone());
    }
    if let Some(doubt) = survey.doubt() {
        return Err(format!("{}: {}", doubt.sentence, doubt.reason));
    }
    let of_it = |l: &&Line| l.at >= since && until.is_none_or(|until| l.at <= until) && l.cause == Some(cause);
    let events: Vec<StripeId> = survey.lines().iter().filter(of_it).map(|l| l.id.clone()).collect();
    if events.is_empty() && !survey.is_complete() {
        return Err("Stripe's list or the rows could not be read to their end: try again, or give a shorter --since".into());
    }
    let allowance_seconds = u32::try_from(survey.allowance().num_seconds()).ok();
    Ok(Inputs { allowance_seconds, ..Inputs::about(Selection::Events(events)) })
}

fn wanted(args: &Replay, now: At) -> Result<Wanted, String> {
    let since = args.since.as_deref().map(|text| moment(text, now)).transpose()?;
    let until = args.until.as_deref().map(|text| moment(text, now)).transpose()?;
    if until.is_some() && since.is_none() && args.cause.is_none() {
        return Err("--until ends a time that --since begins: give both, or --cause".into());
    }
    match (args.events.as_slice(), &args.cause, since, args.since_last_applied) {
        ([], Some(word), since, false) => {
            let since = since.map_or_else(|| moment(webhooks::SINCE, now), Ok)?;
            Ok(Wanted::Cause(webhooks::cause(word)?, since, ended(since, until)?))
        }
        ([], None, Some(from), false) => Ok(Wanted::These(Selection::Window { from, until: ended(from, until)? })),
        ([], None, None, true) => Ok(Wanted::These(Selection::SinceLastApplied)),
        ([], None, None, false) => Err("say which events: ids (evt_…), --since TIME, --cause WORD, or --since-last-applied".into()),
        (ids, None, None, false) => Ok(Wanted::These(Selection::Events(ids.iter().map(|text| event(text)).collect::<Result<_, _>>()?))),
        _ => Err("name events, or a time, or a cause: --cause alone goes together with --since and --until".into()),
    }
}

/// The end of a time that begins so.
fn ended(since: At, until: Option<At>) -> Result<Option<At>, String> {
    if until.is_some_and(|until| until <= since) {
        return Err("--until is no later than --since: between the two nothing can have happened".into());
    }
    Ok(until)
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

/// `90s`, `45m`, `2h`, `3d` ago, or a time as RFC 3339 that is past.
fn moment(text: &str, now: At) -> Result<At, String> {
    let wrong = || format!("`{text}` is no time: give 45m, 2h or 3d, or a time such as 2026-11-22T02:41:00Z");
    if let Ok(at) = DateTime::parse_from_rfc3339(text) {
        let at = at.with_timezone(&Utc);
        return if at < now { Ok(at) } else { Err(format!("`{text}` is not over yet: give a time that is past")) };
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
    now.checked_sub_signed(ago).ok_or_else(wrong)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::args::How;

    fn args(events: &[&str], since: Option<&str>, cause: Option<&str>, last: bool) -> Replay {
        let how = How { dry_run: true, explain: false, yes: false, confirm: None, reason: None, json: false };
        let events = events.iter().map(ToString::to_string).collect();
        Replay { events, since: since.map(String::from), until: None, since_last_applied: last, cause: cause.map(String::from), how }
    }

    #[test]
    fn a_selection_is_one_thing() {
        let now = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let of = |a: Replay| wanted(&a, now);
        assert_eq!(of(args(&[], None, None, true)), Ok(Wanted::These(Selection::SinceLastApplied)));
        let window = Selection::Window { from: now - Duration::hours(2), until: None };
        assert_eq!(of(args(&[], Some("2h"), None, false)), Ok(Wanted::These(window)));
        let by_cause = of(args(&[], Some("1d"), Some("bad-signature"), false));
        assert_eq!(by_cause, Ok(Wanted::Cause(Cause::BadSignature, now - Duration::days(1), None)));
        let listed = of(args(&[], None, Some("bad-signature"), false));
        assert_eq!(listed, by_cause, "as `nightdesk webhooks` lists it");
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

    #[test]
    fn a_time_may_have_an_end() {
        let now = At::from_timestamp(1_800_000_000, 0).expect("in range");
        let of = |since, until: &str, cause, last| wanted(&Replay { until: Some(until.into()), ..args(&[], since, cause, last) }, now);
        let ago = |hours| now - Duration::hours(hours);
        let window = |from, until| Ok(Wanted::These(Selection::Window { from: ago(from), until: Some(ago(until)) }));
        assert_eq!(of(Some("3h"), "2h", None, false), window(3, 2));
        assert_eq!(of(Some("3h"), &ago(1).to_rfc3339(), None, false), window(3, 1));
        let by_cause = of(None, "2h", Some("bad-signature"), false);
        assert_eq!(by_cause, Ok(Wanted::Cause(Cause::BadSignature, ago(24), Some(ago(2)))));
        let tomorrow = (now + Duration::days(1)).to_rfc3339();
        for (since, until, cause, last, says) in [
            (None, "2h", None, false, "that --since begins"),
            (None, "2h", None, true, "that --since begins"),
            (Some("2h"), "3h", None, false, "no later than --since"),
            (Some("2h"), "2h", None, false, "no later than --since"),
            (None, "2d", Some("bad-signature"), false, "no later than --since"),
            (Some("2h"), "noon", None, false, "`noon` is no time"),
            (Some("2h"), "", None, false, "`` is no time"),
            (Some("4294967295d"), "2h", None, false, "is no time"),
            (Some("2h"), tomorrow.as_str(), None, false, "is not over yet"),
            (Some(tomorrow.as_str()), "1h", None, false, "is not over yet"),
        ] {
            let refused = of(since, until, cause, last).expect_err(until);
            assert!(refused.contains(says), "{until}: {refused}");
        }
        let id = Replay { until: Some("2h".into()), ..args(&["evt_1Abcdefghijklmn"], None, None, false) };
        assert!(wanted(&id, now).is_err_and(|e| e.contains("--since")));
    }
}
