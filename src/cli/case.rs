//! Reads a whole case through the gateway, round by round, as the screen does.

use super::drive::now;
use super::hands::Hands;
use crate::domain::facts::{Case, Handle};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::link::LinkedBy;
use crate::domain::mirror::Mirrored;
use crate::domain::needle::Needle;
use crate::protocol::answers::{Answers, StandIn, assemble, next_reads, stand_in, whom};
use crate::protocol::query::{Hit, NeedleText, Query, Reply};
use std::collections::BTreeSet;

/// What was read about somebody.
pub struct Read {
    pub case: Case,
    /// What stands in Stripe's place while Stripe is silent.
    pub mirror: Option<InPlace>,
}

/// The case with the mirror's copies in the place of what Stripe did not answer.
pub struct InPlace {
    pub found: Mirrored,
    pub case: Case,
    /// By what the copies name the profile, where nothing else does.
    pub by: Option<LinkedBy>,
}

/// Everything all sources know about whom the handle names. Where Stripe is silent it is not asked a second time, and its mirror is looked into.
pub async fn read(hands: &Hands, handle: &Handle, chosen: Option<&SubjectKey>) -> Read {
    let mut answers = Answers::default();
    loop {
        let wanted = next_reads(handle, chosen, &answers);
        if wanted.is_empty() {
            break;
        }
        // One that has just kept us waiting in vain would do so again.
        let silent = answers.faults().find(|f| f.source == Source::Stripe && f.passes()).cloned();
        let ask = async |query: &Query| match &silent {
            Some(fault) if query.source() == Source::Stripe => Err(fault.clone()),
            _ => hands.ask(query.clone()).await,
        };
        let replies = futures_util::future::join_all(wanted.iter().map(ask)).await;
        for (query, result) in wanted.into_iter().zip(replies) {
            answers.put(query, result, now());
        }
    }
    let case = assemble(handle, chosen, &answers);
    let mirror = in_place(hands, handle, &case, &answers).await;
    Read { case, mirror }
}

/// The mirror in Stripe's place; `None` where Stripe has answered, or there is no mirror that can be read.
async fn in_place(hands: &Hands, handle: &Handle, case: &Case, answers: &Answers) -> Option<InPlace> {
    let silent = |f: &Fault| f.source == Source::Stripe && f.kind != FaultKind::NotSetUp;
    let missing = [case.customer.fault(), case.subscriptions.fault()].into_iter().flatten().any(silent);
    if !missing || !case.shape.value().is_some_and(|s| s.mirror) {
        return None;
    }
    let Ok(Reply::Mirrored(Some(found))) = hands.ask(Query::Mirrored(whom(case)?)).await else { return None };
    let mut beside = Answers::default();
    loop {
        let StandIn { case, by, wants: wanted } = stand_in(handle, answers, &beside, &found, now());
        if wanted.is_empty() {
            return Some(InPlace { case, by, found: *found });
        }
        let replies = futures_util::future::join_all(wanted.iter().map(|q| hands.ask(q.clone()))).await;
        for (query, result) in wanted.into_iter().zip(replies) {
            beside.put(query, result, now());
        }
    }
}

/// Nobody has it.
pub fn not_found(text: &str) -> String {
    format!("`{text}` is in neither the database nor Stripe; paste a whole id, or more of the name")
}

/// There is no word in it.
pub const NOTHING: &str = "nothing to look for: give an id, an e-mail address or a link";

/// What a text that names nobody exactly leads to.
pub enum Found {
    Exactly(Handle),
    Several(Vec<Hit>),
    /// Both sources answered, and neither has it.
    Nobody,
}

/// The one handle that the text names, or the hits of a search in both sources.
pub async fn locate(hands: &Hands, text: &str) -> Result<Found, String> {
    let needle = Needle::parse(text).ok_or(NOTHING)?;
    if let Some(handle) = Handle::named_by(&needle) {
        return Ok(Found::Exactly(handle));
    }
    let ask = |query| hands.ask(query);
    let text = NeedleText(needle.text().to_string());
    let (database, stripe) = tokio::join!(
        ask(Query::FindInDatabase { needle: text.clone(), limit: 20 }),
        ask(Query::FindInStripe { needle: text.clone(), limit: 20 })
    );
    let mut hits = Vec::new();
    let mut faults = Vec::new();
    for result in [database, stripe] {
        match result {
            Ok(Reply::Hits { hits: more, .. }) => hits.extend(more),
            Ok(_) => {}
            Err(fault) => faults.push(fault),
        }
    }
    if faults.iter().any(|f| f.source == Source::Stripe && f.kind != FaultKind::NotSetUp)
        && let Ok(Reply::MirrorHits { hits: more, mirror, .. }) = ask(Query::FindInMirror { needle: text, limit: 20 }).await
    {
        let note = format!("mirror, {}", mirror.age_said(hands.stripe_now()));
        hits.extend(more.into_iter().map(|hit| Hit { note: note.clone(), ..hit }));
        let mut met = BTreeSet::new();
        // The row that holds a customer is named already.
        hits.retain(|hit| hit.customer.as_ref().is_none_or(|c| met.insert(c.clone())));
    }
    hits.sort_by_key(|h| h.rank);
    let says = || faults.iter().map(|f| f.say.as_str()).collect::<Vec<_>>().join("; ");
    match hits.len() {
        0 if !faults.is_empty() => Err(format!("nothing found, and not everywhere was looked: {}", says())),
        1 => Ok(Found::Exactly(hits.remove(0).handle)),
        0 => Ok(Found::Nobody),
        _ => Ok(Found::Several(hits)),
    }
}
