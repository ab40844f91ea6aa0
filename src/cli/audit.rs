//! `nightdesk audit`: the journal's newest records; and whether its chain is whole, here and in the shared store.

use super::hands::journal;
use super::{End, print_json};
use crate::config::Config;
use crate::domain::At;
use crate::domain::fault::Fault;
use crate::gateway::journal::compare;
use crate::gateway::journal::store::Store;
use crate::protocol::record::{Entry, Recorded};
use crate::protocol::run::short;
use serde::Serialize;
use uuid::Uuid;

#[derive(Serialize)]
struct Report {
    file: String,
    records: u64,
    head: Option<String>,
    payloads_removed: u64,
    /// The first thing that is wrong, with its line.
    broken: Option<String>,
    /// Problems in the shared store; `None` where there is none, or where it could not be read.
    store: Option<Vec<String>>,
    store_unread: Option<String>,
}

#[derive(Serialize)]
struct Shown<'a> {
    at: At,
    operator: &'a str,
    run: Option<Uuid>,
    #[serde(flatten)]
    entry: &'a Entry,
    /// How it ended, or what was typed; `null` where nothing was, or it was removed.
    said: Option<&'a str>,
}

/// Prints the newest records, oldest first.
///
/// # Errors
/// The journal cannot be read.
pub async fn newest(config: &Config, last: usize, json: bool) -> Result<End, String> {
    let records = journal(config)?.newest(last).await.map_err(|e| e.to_string())?;
    if json {
        let shown = |r: &'_ Recorded| -> serde_json::Value {
            let shown = Shown { at: r.at, operator: &r.operator, run: r.entry.run(), entry: &r.entry, said: r.said.as_deref() };
            serde_json::to_value(shown).expect("invariant: what is printed is plain data")
        };
        print_json(&records.iter().map(shown).collect::<Vec<_>>());
        return Ok(End::Well);
    }
    if records.is_empty() {
        println!("nothing is in this journal yet");
    }
    for Recorded { at, operator, entry, said } in &records {
        let run = entry.run().map(|run| format!("run {}  ", short(run))).unwrap_or_default();
        let said = said.as_deref().filter(|s| !s.is_empty()).map(|s| format!(": {s}")).unwrap_or_default();
        println!("{}  {operator}  {run}{}{said}", at.format("%Y-%m-%d %H:%M:%SZ"), entry.say());
    }
    Ok(End::Well)
}

/// Recomputes every hash and link.
///
/// # Errors
/// The journal cannot be read.
pub async fn verify(config: &Config, json: bool) -> Result<End, String> {
    let journal = journal(config)?;
    let found = journal.verify().await.map_err(|e| e.to_string())?;
    let (mut store, mut store_unread) = (None, None);
    if let Some(shared) = Store::of(config) {
        let looked = async {
            let store = shared?;
            let of_all = store.verify().await?;
            Ok((of_all, compare(&journal, &store).await?))
        };
        match looked.await {
            Ok((of_all, of_ours)) => {
                let of_all = of_all.into_iter().map(|b| format!("record {}: {}", b.seq, b.problem));
                let of_ours = of_ours.map(|b| format!("this journal's record {}: {}", b.seq, b.problem));
                store = Some(of_all.chain(of_ours).collect::<Vec<_>>());
            }
            Err::<_, Fault>(fault) => store_unread = Some(fault.say),
        }
    }
    let report = Report {
        file: journal.path().display().to_string(),
        records: found.records,
        head: found.head.map(|h| h.hash),
        payloads_removed: found.removed,
        broken: found.broken.map(|b| if b.line == 0 { b.what } else { format!("line {}: {}", b.line, b.what) }),
        store,
        store_unread,
    };
    let sound = report.broken.is_none() && report.store.as_ref().is_none_or(Vec::is_empty);
    if json {
        print_json(&report);
    } else {
        print(&report);
    }
    Ok(if sound { End::Well } else { End::Badly })
}

fn print(report: &Report) {
    println!("{}", report.file);
    let head = report.head.as_deref().map_or("empty", |h| &h[..h.len().min(12)]);
    println!("  {} records, head {head}, {} payloads removed", report.records, report.payloads_removed);
    match &report.broken {
        None => println!("  the chain is whole"),
        Some(what) => println!("  BROKEN at {what}"),
    }
    match (&report.store, &report.store_unread) {
        (Some(problems), _) if problems.is_empty() => println!("  the shared store's chain is whole"),
        (Some(problems), _) => problems.iter().for_each(|p| println!("  STORE BROKEN at {p}")),
        (None, Some(why)) => println!("  the shared store was not verified: {why}"),
        (None, None) => {}
    }
}
