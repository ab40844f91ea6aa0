//! The chain of records: whole, private, and found out when it is tampered with.

use super::*;
use crate::world::{Driver, World, by_customer, subject};
use nightdesk::domain::ids::SubjectKey;
use nightdesk::gateway::journal::JournalError;
use nightdesk::procedures::engine::Phase;
use nightdesk::protocol::record::{Closed, Detail, Entry, OpenedDetail, RunState};
use serde_json::json;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt;
use tempfile::tempdir;
use uuid::Uuid;

#[tokio::test]
async fn a_chain_is_whole_private_and_names_nobody() {
    let (state, journal) = with_records(5).await;
    let found = journal.verify().await.unwrap();
    assert_eq!((found.records, found.removed, found.is_ok()), (5, 0, true));
    assert_eq!(found.head, journal.head().await.unwrap());
    let chain = fs::read_to_string(place(state.path(), "journal.jsonl")).unwrap();
    assert!(!chain.contains("jane") && !chain.contains(subject().as_str()), "whom it is about stands beside the chain only");
    assert!(fs::read_to_string(place(state.path(), "payloads.jsonl")).unwrap().contains("jane"));
    for file in ["journal.jsonl", "payloads.jsonl", "anchor.json"] {
        assert_eq!(fs::metadata(place(state.path(), file)).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
    assert_eq!(fs::metadata(place(state.path(), "")).unwrap().permissions().mode() & 0o777, 0o700);
}

#[tokio::test]
async fn whatever_is_tampered_with_is_found() {
    type Tamper = fn(Vec<String>) -> Vec<String>;
    let cases: [(&str, Tamper); 5] = [
        ("3: its content does not match", |mut l| {
            l[2] = l[2].replace("ada", "eve");
            l
        }),
        ("2: record 3 stands where 2 is due", |mut l| {
            l.remove(1);
            l
        }),
        ("3: record 4 stands where 3 is due", |mut l| {
            l.swap(2, 3);
            l
        }),
        ("0: record 5, which was seen here before", |mut l| {
            l.truncate(3);
            l
        }),
        ("4: it does not end in a hash", |mut l| {
            l[3] = "{}".into();
            l
        }),
    ];
    for (what, tamper) in cases {
        let (state, journal) = with_records(5).await;
        edit(&place(state.path(), "journal.jsonl"), tamper);
        let said = broken(&journal).await;
        assert!(said.starts_with(what), "{what}: {said}");
    }
    let (state, journal) = with_records(5).await;
    edit(&place(state.path(), "payloads.jsonl"), |l| l.iter().map(|l| l.replace("acme.com 2", "acme.com 9")).collect());
    assert!(broken(&journal).await.starts_with("3: what stands beside record 3 was altered"));
}

#[tokio::test]
async fn going_on_does_not_cover_up_a_cut() {
    let (state, journal) = with_records(5).await;
    edit(&place(state.path(), "journal.jsonl"), |mut l| {
        l.truncate(2);
        l
    });
    for _ in 0..6 {
        journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
    }
    assert!(broken(&journal).await.contains("record 5, which was seen here before"));
}

#[tokio::test]
async fn a_torn_line_is_kept_aside_and_the_chain_goes_on() {
    let (state, journal) = with_records(3).await;
    let chain = place(state.path(), "journal.jsonl");
    let whole = fs::read_to_string(&chain).unwrap();
    let third = whole.lines().nth(2).unwrap();
    for torn in [&third[..10], third, "\0\0\0\0"] {
        fs::OpenOptions::new().append(true).open(&chain).unwrap().write_all(torn.as_bytes()).unwrap();
        let before = journal.verify().await.unwrap();
        assert!(before.is_ok(), "what was never finished is no record: {before:?}");
        journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
        let after = journal.verify().await.unwrap();
        assert_eq!((after.is_ok(), after.records), (true, before.records + 1));
    }
    let aside = fs::read_to_string(place(state.path(), "torn.txt")).unwrap();
    assert!(aside.contains("10 bytes torn off") && aside.contains(&third[..10]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_appended_while_it_is_verified_is_not_taken_for_a_cut() {
    let (_state, journal) = with_records(200).await;
    let appending = tokio::spawn({
        let journal = journal.clone();
        async move {
            for _ in 0..300 {
                journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
            }
        }
    });
    let mut verified = 0;
    while !appending.is_finished() {
        let found = journal.verify().await.unwrap();
        assert!(found.is_ok(), "{found:?}");
        verified += 1;
    }
    appending.await.unwrap();
    assert!(verified > 1, "they ran side by side");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn appends_from_everywhere_make_one_chain() {
    let state = tempdir().unwrap();
    let mut tasks = Vec::new();
    for _ in 0..4 {
        // Each opens the files by itself, as another process does.
        let journal = journal(state.path());
        tasks.push(tokio::spawn(async move {
            for n in 0..15 {
                journal.append(Some(&subject()), Entry::Revealed, Detail(json!({ "n": n }))).await.unwrap();
            }
        }));
    }
    for task in tasks {
        task.await.unwrap();
    }
    let found = journal(state.path()).verify().await.unwrap();
    assert_eq!((found.records, found.removed, found.broken), (60, 0, None));
}

#[tokio::test]
async fn forgetting_a_person_breaks_nothing() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::placeholder().shared(), state.path(), by_customer()).await;
    d.confirm().await;
    let other = SubjectKey("somebody-else".into());
    d.journal.append(Some(&other), Entry::Revealed, Detail(json!({ "reason": "ticket" }))).await.unwrap();
    let removed = d.journal.forget(&subject()).await.unwrap();
    assert!(removed >= 4, "{removed}");
    let found = d.journal.verify().await.unwrap();
    assert_eq!((found.is_ok(), usize::try_from(found.removed).unwrap()), (true, removed));
    let run = d.journal.run(d.run.id).await.unwrap().unwrap();
    assert_eq!((run.inputs, run.who, run.subject, run.state), (None, None, None, RunState::Closed(Closed::Done)));
    let payloads = fs::read_to_string(place(state.path(), "payloads.jsonl")).unwrap();
    assert!(!payloads.contains(subject().as_str()) && payloads.contains("ticket"));
}

#[tokio::test]
async fn a_broken_end_is_named_and_forbids_writes() {
    let state = tempdir().unwrap();
    let mut d = Driver::draft(World::missed().shared(), state.path(), by_customer()).await;
    d.journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
    edit(&place(state.path(), "journal.jsonl"), |l| l.iter().map(|l| l.replace("ada", "eve")).collect());
    assert!(matches!(d.journal.ready().await, Err(JournalError::Broken { .. })));
    d.confirm().await;
    assert_eq!(d.run.phase, Phase::Review);
    assert!(d.run.note.as_deref().is_some_and(|n| n.contains("audit verify")), "{:?}", d.run.note);
    assert_eq!(d.counts(), (0, 0));
}

fn opened(run: Uuid) -> (Entry, Detail) {
    let inputs = nightdesk::protocol::run::Inputs::default();
    let detail = OpenedDetail { inputs, subject: Some(subject()), who: "j•••".into(), undoes: None };
    (Entry::RunOpened { run, procedure: "tier-update".into() }, Detail::of(&detail))
}

#[tokio::test]
async fn what_was_read_is_not_read_again_and_what_stands_in_its_place_is() {
    let state = tempdir().unwrap();
    let journal = journal(state.path());
    let (first, second, third) = (Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7());
    for run in [first, second] {
        let (entry, detail) = opened(run);
        journal.append(Some(&subject()), entry, detail).await.unwrap();
        let closed = Entry::RunClosed { run, how: Closed::Done };
        journal.append(Some(&subject()), closed, Detail::none()).await.unwrap();
    }
    let known = async |journal: &Journal| {
        let mut runs: Vec<Uuid> = journal.runs().await.unwrap().iter().map(|r| r.run).collect();
        runs.sort_unstable();
        runs
    };
    assert_eq!(known(&journal).await, [first, second]);
    let whole = fs::read_to_string(journal.path()).unwrap();
    // Spoilt at its beginning, in place: whoever reads on does not look there, whoever verifies does.
    fs::write(journal.path(), whole.replacen("tier-update", "tier-UPDATE", 1)).unwrap();
    let (entry, detail) = opened(third);
    journal.append(Some(&subject()), entry, detail).await.unwrap();
    assert_eq!(known(&journal).await, [first, second, third]);
    assert!(broken(&journal).await.starts_with("1: "), "it is found by a verification");
    assert_eq!(known(&super::journal(state.path())).await, [second, third], "and by whoever reads it for the first time");

    // Shortened, replaced, or with another end: all of it is read anew.
    edit(journal.path(), |lines| lines[2..4].to_vec());
    assert_eq!(known(&journal).await, [second]);
    let fresh = journal.path().with_extension("fresh");
    fs::write(&fresh, &whole).unwrap();
    fs::rename(&fresh, journal.path()).unwrap();
    assert_eq!(known(&journal).await, [first, second]);
    let lines: Vec<&str> = whole.lines().collect();
    let longer = "x".repeat(whole.len());
    fs::write(journal.path(), [lines[0], lines[1], lines[2], &longer, ""].join("\n")).unwrap();
    assert_eq!(journal.run(second).await.unwrap().map(|r| r.state), Some(RunState::Open), "its end is not there any more");
}

#[tokio::test]
async fn who_is_forgotten_is_forgotten_by_what_was_read_before_too() {
    let state = tempdir().unwrap();
    let (ours, theirs) = (journal(state.path()), journal(state.path()));
    let run = Uuid::now_v7();
    let (entry, detail) = opened(run);
    ours.append(Some(&subject()), entry, detail).await.unwrap();
    assert!(ours.run(run).await.unwrap().is_some_and(|r| r.inputs.is_some()));
    theirs.forget(&subject()).await.unwrap();
    assert!(ours.run(run).await.unwrap().is_some_and(|r| r.inputs.is_none() && r.who.is_none()), "removed by another process");
}

#[tokio::test]
async fn a_run_that_no_list_shows_any_more_is_found_by_its_id() {
    let state = tempdir().unwrap();
    let journal = journal(state.path());
    let runs: Vec<Uuid> = (0..30).map(|_| Uuid::now_v7()).collect();
    for run in &runs {
        let (entry, detail) = opened(*run);
        journal.append(Some(&subject()), entry, detail).await.unwrap();
        let how = if *run == runs[1] { Closed::HandedOver } else { Closed::Done };
        journal.append(Some(&subject()), Entry::RunClosed { run: *run, how }, Detail::none()).await.unwrap();
    }
    let listed: Vec<Uuid> = journal.runs().await.unwrap().iter().map(|r| r.run).collect();
    assert_eq!(listed.len(), 21, "twenty, and what was handed over");
    assert!(listed.contains(&runs[1]) && !listed.contains(&runs[0]));
    let old = journal.run(runs[0]).await.unwrap().expect("it is in the journal");
    assert!(old.inputs.is_some() && old.is_finished());
    assert!(journal.run(Uuid::now_v7()).await.unwrap().is_none());
}
