//! What operators say about causes and drift: kept, shared between consoles, audited; on screen who has what.

use super::bench;
use nightdesk::domain::At;
use nightdesk::domain::desk::{DeskState, Standing};
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::ids::{StripeId, SubjectKey};
use nightdesk::domain::webhooks::cause::Cause;
use nightdesk::domain::webhooks::drift::Class;
use nightdesk::gateway::journal::store::{Store, migrate};
use nightdesk::gateway::journal::{Desk, Journal, ship, team_recorded, team_runs};
use nightdesk::protocol::desk::DeskWrite;
use nightdesk::protocol::record::{Detail, Entry, OpenedDetail};
use nightdesk::sandbox::cluster::SUPERUSER;
use nightdesk::sandbox::schema::{Shape, roles};
use sqlx::postgres::PgPoolOptions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use tempfile::tempdir;
use uuid::Uuid;

fn at(minutes: i64) -> At {
    chrono::Utc::now() + chrono::Duration::minutes(minutes)
}

fn journal(state: &Path, operator: &str) -> Journal {
    Journal::open(state, "test", operator, Some(b"one key for all consoles")).unwrap()
}

fn take() -> DeskWrite {
    DeskWrite::TakeCause { cause: Cause::BadSignature, since: at(-30) }
}

fn accept() -> DeskWrite {
    let customer = StripeId::parse("cus_QxAbCdEf98d").unwrap();
    DeskWrite::AcceptDrift { customer, class: Class::OrphanCustomer, until: at(600), reason: "a test of ours".into() }
}

#[tokio::test]
async fn without_a_store_it_is_kept_beside_the_journal_for_all_operators_of_the_machine() {
    let state = tempdir().unwrap();
    let (ada, eve) = (Desk::new(journal(state.path(), "ada"), None), Desk::new(journal(state.path(), "eve"), None));
    assert_eq!(ada.state().await.unwrap(), DeskState::default());
    ada.write(&take()).await.unwrap();
    ada.write(&DeskWrite::MuteCause { cause: Cause::Timeout, until: at(60), reason: "the deploy".into() }).await.unwrap();
    let seen = eve.write(&accept()).await.unwrap();
    assert_eq!(seen.owner(Cause::BadSignature, at(-30)), Some("ada"));
    assert_eq!(seen.muted(Cause::Timeout, at(0)).map(|m| m.reason.as_str()), Some("the deploy"));
    assert_eq!((seen.accepted.len(), seen.accepted[0].by.as_str(), seen.shared), (1, "eve", false));
    let file = state.path().join("test/desk.jsonl");
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    // Written to the end or not at all: what a crash tore off says nothing.
    std::fs::OpenOptions::new().append(true).open(&file).and_then(|mut f| std::io::Write::write_all(&mut f, b"{\"at\":\"20")).unwrap();
    let seen = ada.write(&DeskWrite::DropCause { cause: Cause::BadSignature }).await.unwrap();
    assert_eq!((seen.standing(Cause::BadSignature, Some(at(-30))), seen.accepted.len()), (Standing::Open, 1));
    let after = ada.write(&DeskWrite::Unmute { cause: Cause::Timeout }).await.unwrap();
    assert!(after.muted.is_empty());
}

#[tokio::test]
async fn every_write_is_audited_and_what_names_a_customer_can_be_removed() {
    let state = tempdir().unwrap();
    let journal = journal(state.path(), "ada");
    let desk = Desk::new(journal.clone(), None);
    desk.write(&take()).await.unwrap();
    desk.write(&accept()).await.unwrap();
    let chain = std::fs::read_to_string(journal.path()).unwrap();
    assert!(chain.contains("take-cause") && chain.contains("accept-drift") && !chain.contains("cus_QxAbCdEf98d"), "{chain}");
    let said = || std::fs::read_to_string(state.path().join("test/desk.jsonl")).unwrap();
    assert!(said().contains("cus_QxAbCdEf98d"));
    let seen = desk.state().await.unwrap();
    assert_eq!((seen.accepted.len(), seen.taken.len()), (1, 1));
    assert_eq!(journal.forget(&SubjectKey("cus_QxAbCdEf98d".into())).await.unwrap(), 2, "in the payloads, and on the desk");
    assert!(!said().contains("cus_QxAbCdEf98d") && said().contains("take-cause"), "{}", said());
    let seen = desk.state().await.unwrap();
    assert_eq!((seen.accepted.len(), seen.taken.len()), (0, 1), "what was read before is no reason to know it");
    assert!(journal.verify().await.unwrap().broken.is_none());
}

#[tokio::test]
async fn what_cannot_be_journaled_is_not_said() {
    let state = tempdir().unwrap();
    let journal = journal(state.path(), "ada");
    journal.append(None, Entry::WritesTurnedOff, Detail::none()).await.unwrap();
    std::fs::write(journal.path(), "nonsense\n").unwrap();
    let desk = Desk::new(journal, None);
    assert_eq!(desk.write(&take()).await.unwrap_err().kind, FaultKind::Journal);
    assert_eq!(desk.state().await.unwrap(), DeskState::default());
}

/// A database of the test's own, as the console and as its administrator see it.
async fn database() -> (String, String, bench::DropDatabase) {
    let (cluster, roles) = bench::cluster().await;
    let (name, dropped, _) = bench::database(Shape::default(), 300).await;
    (cluster.url(roles::CONSOLE, &roles.console, &name), cluster.url(SUPERUSER, &roles.superuser, &name), dropped)
}

#[tokio::test]
async fn two_consoles_on_one_store_see_each_others_owner() {
    let (console, superuser, _dropped) = database().await;
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let desk = |state: &Path, operator: &str| Desk::new(journal(state, operator), Some(Store::of_url(&console).unwrap()));
    let (ada, eve) = (desk(ours.path(), "ada"), desk(theirs.path(), "eve"));
    // Before the store is migrated each has its own.
    assert!(!ada.write(&take()).await.unwrap().shared);
    assert_eq!(eve.state().await.unwrap(), DeskState::default());

    migrate(&superuser, Some(roles::CONSOLE)).await.unwrap();
    assert_eq!(ada.state().await.unwrap(), DeskState { shared: true, ..DeskState::default() });
    ada.write(&take()).await.unwrap();
    ada.write(&accept()).await.unwrap();
    let seen = eve.state().await.unwrap();
    assert_eq!((seen.owner(Cause::BadSignature, at(-30)), seen.shared), (Some("ada"), true));
    let seen = eve.write(&take()).await.unwrap();
    assert_eq!(seen.owner(Cause::BadSignature, at(-30)), Some("eve"), "taken over");
    assert_eq!(ada.state().await.unwrap(), seen);

    let pool = PgPoolOptions::new().max_connections(1).connect(&console).await.unwrap();
    for sql in [
        "UPDATE nightdesk.desk SET operator = 'eve'",
        "UPDATE nightdesk.desk SET write = NULL",
        "DELETE FROM nightdesk.desk",
        "TRUNCATE nightdesk.desk",
        "INSERT INTO nightdesk.desk (environment, operator, write) VALUES ('test', 'eve', '{}')",
    ] {
        let error = sqlx::raw_sql(sql).execute(&pool).await.expect_err(sql);
        assert_eq!(error.as_database_error().and_then(|e| e.code()).as_deref(), Some("42501"), "{sql}");
    }
    let admin = PgPoolOptions::new().max_connections(1).connect(&superuser).await.unwrap();
    assert!(sqlx::raw_sql("UPDATE nightdesk.desk SET operator = 'eve'").execute(&admin).await.is_err(), "not even its owner by accident");
    sqlx::raw_sql("UPDATE nightdesk.desk SET write = NULL WHERE write::text LIKE '%cus_QxAbCdEf98d%'").execute(&admin).await.unwrap();
    assert_eq!(ada.state().await.unwrap().accepted, []);
    let roles: Vec<String> = sqlx::query_scalar("SELECT DISTINCT db_role::text FROM nightdesk.desk").fetch_all(&pool).await.unwrap();
    assert_eq!(roles, [roles::CONSOLE], "as PostgreSQL authenticated them");
}

#[tokio::test]
async fn a_store_that_is_gone_takes_nothing_and_says_so() {
    let state = tempdir().unwrap();
    let desk = Desk::new(journal(state.path(), "ada"), Some(Store::of_url("postgres://x:y@127.0.0.1:1/none").unwrap()));
    desk.write(&take()).await.unwrap_err();
    assert!(!state.path().join("test/desk.jsonl").exists(), "the others would not see it");
}

#[tokio::test]
async fn the_teams_runs_come_from_the_store_without_what_names_people() {
    let (console, superuser, _dropped) = database().await;
    migrate(&superuser, Some(roles::CONSOLE)).await.unwrap();
    let (ours, theirs) = (tempdir().unwrap(), tempdir().unwrap());
    let (ada, eve) = (journal(ours.path(), "ada"), journal(theirs.path(), "eve"));
    let store = Store::of_url(&console).unwrap();
    let (run, subject) = (Uuid::now_v7(), SubjectKey("7f3a5b7c-0000-4000-8000-000000000011".into()));
    let detail =
        Detail::of(&OpenedDetail {
            inputs: crate::world::by_customer(), subject: Some(subject.clone()), who: "j•••".into(), undoes: None
        });
    eve.append(Some(&subject), Entry::RunOpened { run, procedure: "tier-update".into() }, detail).await.unwrap();
    ship(&eve, &store).await.unwrap();
    let seen = team_runs(&ada, &store).await.unwrap();
    assert_eq!(seen.iter().map(|r| (r.run, r.operator.as_str(), r.who.clone(), r.held)).collect::<Vec<_>>(), [(run, "eve", None, false)]);
    assert_eq!(team_runs(&eve, &store).await.unwrap(), [], "her own are in her own journal");
    assert_eq!(store.lease("test", &eve.subject_hash(&subject), run, "eve").await.unwrap(), None);
    assert!(team_runs(&ada, &store).await.unwrap()[0].held, "she works on it");
    assert_eq!(team_recorded(&ada, &store, run).await.unwrap().len(), 1);
    assert_eq!(team_recorded(&ada, &store, Uuid::now_v7()).await.unwrap(), []);
}

#[tokio::test]
async fn what_others_say_meanwhile_is_heard_without_reading_everything_again() {
    let state = tempdir().unwrap();
    let (ada, eve) = (Desk::new(journal(state.path(), "ada"), None), Desk::new(journal(state.path(), "eve"), None));
    assert_eq!(ada.state().await.unwrap(), DeskState::default(), "there is no file yet");
    let early = DeskWrite::MuteCause { cause: Cause::BadSignature, until: at(60), reason: "the early one".into() };
    eve.write(&early).await.unwrap();
    for n in 1..=20 {
        let until = at(n);
        eve.write(&DeskWrite::MuteCause { cause: Cause::Timeout, until, reason: format!("the deploy, {n}") }).await.unwrap();
        assert_eq!(ada.state().await.unwrap().muted.get(&Cause::Timeout).map(|m| m.until), Some(until));
    }
    // Only what is new is looked at: what was read is not read again, whatever stands there by now.
    let file = state.path().join("test/desk.jsonl");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("the early one", "the EARLY one")).unwrap();
    ada.write(&take()).await.unwrap();
    let seen = ada.state().await.unwrap();
    assert_eq!(seen.muted[&Cause::BadSignature].reason, "the early one");
    assert_eq!(seen.taken.len(), 1);
    let anew = Desk::new(journal(state.path(), "ada"), None).state().await.unwrap();
    assert_eq!(anew.muted[&Cause::BadSignature].reason, "the EARLY one");
    // Another end than the one that was read is another file.
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replace("ada", "eva")).unwrap();
    assert_eq!(ada.state().await.unwrap().muted[&Cause::BadSignature].reason, "the EARLY one");
}
