//! A list that is being written to a file when its command is killed: what is there says that it is not complete.

use super::sql;
use crate::bench::{Bench, Options, until};
use crate::command::Desk;
use nix::sys::signal::Signal;

#[tokio::test(flavor = "multi_thread")]
async fn more_limits_than_a_price_list_has_are_no_price_list() {
    let bench = Bench::start(Options::default()).await;
    sql(&bench, "INSERT INTO plan_features (tier, feature, value) SELECT 'T' || n, 'searches', 5 FROM generate_series(1, 2000) AS n").await;
    Desk::of(&bench).say(&["quota"]).await.refused(&["more than 2000 limits", "[schema.limit]"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_file_that_was_broken_off_is_never_taken_for_a_whole_one() {
    let bench = Bench::start(Options::default()).await;
    sql(&bench, "UPDATE profiles SET data = data || '{\"name\": \"=HYPERLINK(0)\"}'").await;
    let desk = Desk::of(&bench).configured("[quota]\ntimeout_s = 120\n");
    let (whole, partial) = (desk.state.path().join("near.csv"), desk.state.path().join("near.csv.partial"));
    let arguments = ["quota", "--threshold", "1", "--unmasked", "--export", &whole.to_string_lossy()];
    for signal in [Signal::SIGKILL, Signal::SIGTERM, Signal::SIGINT] {
        // With the limits locked no page comes: the file begins and goes no further.
        let mut lock = bench.admin.begin().await.unwrap();
        sqlx::raw_sql("LOCK TABLE plan_features IN ACCESS EXCLUSIVE MODE").execute(&mut *lock).await.unwrap();
        let mut child = desk.begin(&arguments);
        until("the file is begun", async || partial.exists()).await;
        child.signal(signal);
        child.ended().await;
        assert!(partial.exists() && !whole.exists(), "{signal}");
        lock.rollback().await.unwrap();
    }
    let said = desk.say(&arguments).await;
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(whole.exists() && !partial.exists(), "what was broken off is gone once it is whole");
    let text = std::fs::read_to_string(&whole).unwrap();
    assert!(said.out.contains(&format!("{} rows", text.lines().count() - 1)) && text.contains("\"'=HYPERLINK(0)\""), "{said:?} {text}");
    assert!(text.lines().all(|l| l.split(',').all(|cell| !cell.starts_with(['=', '+', '-', '@']))), "{text}");
}
