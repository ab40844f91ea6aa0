//! Reads a whole case through the gateway, round by round, as the screen does.

use super::drive::now;
use super::hands::Hands;
use crate::domain::facts::{Case, Handle};
use crate::domain::ids::SubjectKey;
use crate::domain::needle::Needle;
use crate::protocol::answers::{Answers, assemble, next_reads};
use crate::protocol::query::{Hit, NeedleText, Query, Reply};

/// Everything all sources know about whom the handle names.
pub async fn read(hands: &Hands, handle: &Handle, chosen: Option<&SubjectKey>) -> Case {
    let mut answers = Answers::default();
    loop {
        let wanted = next_reads(handle, chosen, &answers);
        if wanted.is_empty() {
            return assemble(handle, chosen, &answers);
        }
        let replies = futures_util::future::join_all(wanted.iter().map(|q| hands.ask(q.clone()))).await;
        for (query, result) in wanted.into_iter().zip(replies) {
            answers.put(query, result, now());
        }
    }
}

/// Nobody has it.
pub fn not_found(text: &str) -> String {
    format!("`{text}` is in neither the database nor Stripe; paste a whole id, or more of the name")
}

/// What a text that names nobody exactly leads to.
pub enum Found {
    Exactly(Handle),
    Several(Vec<Hit>),
}

/// The one handle that the text names, or the hits of a search in both sources.
pub async fn locate(hands: &Hands, text: &str) -> Result<Found, String> {
    let needle = Needle::parse(text).ok_or("nothing to look for: give an id, an e-mail address or a link")?;
    if let Some(handle) = Handle::named_by(&needle) {
        return Ok(Found::Exactly(handle));
    }
    let ask = |query| hands.ask(query);
    let text = NeedleText(needle.text().to_string());
    let (database, stripe) =
        tokio::join!(ask(Query::FindInDatabase { needle: text.clone(), limit: 20 }), ask(Query::FindInStripe { needle: text, limit: 20 }));
    let mut hits = Vec::new();
    let mut faults = Vec::new();
    for result in [database, stripe] {
        match result {
            Ok(Reply::Hits { hits: more, .. }) => hits.extend(more),
            Ok(_) => {}
            Err(fault) => faults.push(fault.say),
        }
    }
    hits.sort_by_key(|h| h.rank);
    match hits.len() {
        0 if !faults.is_empty() => Err(format!("nothing found, and not everywhere was looked: {}", faults.join("; "))),
        1 => Ok(Found::Exactly(hits.remove(0).handle)),
        0 => Err(not_found(needle.text())),
        _ => Ok(Found::Several(hits)),
    }
}
