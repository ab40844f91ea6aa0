//! The one write: exactly one row or none, compared with all that was shown, over every shape; and by whom else it can be written.

use super::proxy::{Manner, Proxy, place};
use super::{config_with, database, image, open, paying, record, sql};
use crate::bench::{Bench, Options, until};
use chrono::{DurationRound, Utc};
use nightdesk::config::Writer;
use nightdesk::config::schema::Column;
use nightdesk::domain::At;
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::domain::ids::SubjectKey;
use nightdesk::domain::row::{Change, Field, Image, Value};
use nightdesk::gateway::application::{Application, resync_by_command};
use nightdesk::protocol::command::Outcome;
use nightdesk::sandbox::schema::Shape;

fn change(shown: &Image, field: Field, to: Value) -> Change {
    Change { field, from: shown[&field].clone(), to }
}

fn now() -> At {
    Utc::now().duration_trunc(chrono::Duration::microseconds(1)).expect("in range")
}

/// The image without the column that every write moves on.
fn without_updated(mut image: Image) -> Image {
    image.remove(&Field::UpdatedAt);
    image
}

#[tokio::test]
async fn one_row_changes_and_can_be_put_back_over_every_shape() {
    for shape in Shape::all() {
        let bench = Bench::start(Options { shape, customers: 60, ..Options::default() }).await;
        let database = database(&bench);
        let person = paying(&bench);
        let before = record(&bench, &database, &person).await;
        let (key, shown) = (before.subject.key.clone(), image(&before));
        let changes = vec![
            change(&shown, Field::Tier, Value::text("FREE")),
            change(&shown, Field::Status, Value::text("canceled")),
            change(&shown, Field::PeriodEnd, Value::Time(now())),
            change(&shown, Field::CancelAt, Value::Time(now())),
            change(&shown, Field::CancelAtPeriodEnd, Value::Bool(true)),
            change(&shown, Field::Subscription, Value::Null),
        ];
        let done = database.set_subscription_row(key.clone(), shown.clone(), changes.clone()).await;
        assert!(matches!(done, Outcome::Done { .. }), "{shape:?} {done:?}");
        let after = image(&record(&bench, &database, &person).await);
        for c in &changes {
            assert_eq!(after[&c.field], c.to, "{shape:?} {:?}", c.field);
        }
        assert!(after[&Field::UpdatedAt] > shown[&Field::UpdatedAt], "{shape:?}: updated_at moves on");
        // The same again finds another row than was shown.
        let again = database.set_subscription_row(key.clone(), shown.clone(), changes.clone()).await;
        assert!(matches!(&again, Outcome::NotDone(f) if f.kind == FaultKind::Conflict), "{shape:?} {again:?}");
        let back = changes.iter().map(|c| Change { field: c.field, from: c.to.clone(), to: c.from.clone() }).collect();
        let undone = database.set_subscription_row(key, after, back).await;
        assert!(matches!(undone, Outcome::Done { .. }), "{shape:?} {undone:?}");
        let restored = image(&record(&bench, &database, &person).await);
        assert_eq!(without_updated(restored), without_updated(shown), "{shape:?}");
        database.close().await;
    }
}

#[tokio::test]
async fn a_concurrent_change_wins_and_is_named() {
    let bench = Bench::start(Options::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    let shown = image(&record(&bench, &database, &person).await);
    // A tenth of a microsecond's worth of difference in a column that is not to be changed is enough.
    sql(
        &bench,
        &format!(
            "UPDATE subscriptions SET current_period_start = current_period_start + interval '1 microsecond' WHERE profile_id = '{}'",
            person.profile
        ),
    )
    .await;
    let changes = vec![change(&shown, Field::Tier, Value::text("FREE"))];
    let outcome = database.set_subscription_row(SubjectKey(person.profile.to_string()), shown.clone(), changes).await;
    let Outcome::NotDone(fault) = outcome else { panic!("{outcome:?}") };
    assert_eq!(fault.kind, FaultKind::Conflict);
    assert!(fault.say.contains("period start is"), "{fault}");
    assert_eq!(image(&record(&bench, &database, &person).await)[&Field::Tier], shown[&Field::Tier]);
}

#[tokio::test]
async fn nothing_is_written_where_one_row_is_not_what_there_is() {
    let bench = Bench::start(Options::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    let shown = image(&record(&bench, &database, &person).await);
    let changes = vec![change(&shown, Field::Tier, Value::text("FREE"))];
    let nobody = SubjectKey(uuid::Uuid::nil().to_string());
    for key in [nobody, SubjectKey("not a key".into())] {
        let outcome = database.set_subscription_row(key, shown.clone(), changes.clone()).await;
        assert!(matches!(outcome, Outcome::NotDone(_)), "{outcome:?}");
    }
    // Two rows for one profile, as far as the comparison can see.
    sql(&bench, "ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_profile_id_key; ALTER TABLE subscriptions DROP CONSTRAINT subscriptions_stripe_customer_id_key").await;
    sql(&bench, &format!("INSERT INTO subscriptions (profile_id, stripe_customer_id, stripe_subscription_id, tier, status, billing_interval, current_period_start, current_period_end, cancel_at, cancel_at_period_end, created_at, updated_at) SELECT profile_id, stripe_customer_id, stripe_subscription_id, tier, status, billing_interval, current_period_start, current_period_end, cancel_at, cancel_at_period_end, created_at, updated_at FROM subscriptions WHERE profile_id = '{}'", person.profile)).await;
    let key = SubjectKey(person.profile.to_string());
    let outcome = database.set_subscription_row(key.clone(), shown.clone(), changes).await;
    assert!(matches!(&outcome, Outcome::NotDone(f) if f.say.contains("2 rows")), "{outcome:?}");
    let (free,): (i64,) = sqlx::query_as("SELECT count(*) FROM subscriptions WHERE profile_id = $1 AND tier = 'FREE'")
        .bind(person.profile)
        .fetch_one(&bench.admin)
        .await
        .unwrap();
    assert_eq!(free, 0, "neither was touched");
    let wrong = vec![change(&shown, Field::Status, Value::text("suspended"))];
    sql(&bench, "DELETE FROM subscriptions a USING subscriptions b WHERE a.profile_id = b.profile_id AND a.id > b.id").await;
    let outcome = database.set_subscription_row(key, shown, wrong).await;
    assert!(matches!(&outcome, Outcome::NotDone(f) if f.say.contains("constraint")), "what the column does not admit: {outcome:?}");
}

#[tokio::test]
async fn a_locked_row_is_not_waited_for() {
    let bench = Bench::start(Options::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    let shown = image(&record(&bench, &database, &person).await);
    let mut lock = bench.admin.begin().await.unwrap();
    sqlx::query("SELECT 1 FROM subscriptions WHERE profile_id = $1 FOR UPDATE").bind(person.profile).execute(&mut *lock).await.unwrap();
    let changes = vec![change(&shown, Field::Tier, Value::text("FREE"))];
    let key = SubjectKey(person.profile.to_string());
    let outcome = database.set_subscription_row(key.clone(), shown.clone(), changes.clone()).await;
    assert!(matches!(&outcome, Outcome::NotDone(f) if f.kind == FaultKind::Timeout && f.say.contains("locked")), "{outcome:?}");
    lock.rollback().await.unwrap();
    let outcome = database.set_subscription_row(key, shown, changes).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
}

#[tokio::test]
async fn enums_documents_and_text_keys_are_written_in_their_own_types() {
    let bench = Bench::start(Options::default()).await;
    let person = paying(&bench);
    sql(
        &bench,
        "CREATE TYPE plan AS ENUM ('FREE', 'PRO', 'ENTERPRISE');
         CREATE TABLE odd (who text PRIMARY KEY, plan plan, billing jsonb, stamp timestamptz);
         GRANT SELECT, UPDATE ON odd TO nightdesk",
    )
    .await;
    let insert = "INSERT INTO odd VALUES ('KEY', 'PRO', '{\"stripe\": {\"customer\": \"cus_abc\"}, \"ends\": \"2026-05-01T00:00:00Z\", \"other\": 1}', now())";
    sql(&bench, &insert.replace("KEY", &person.profile.to_string())).await;
    let mut config = config_with(&bench, &[]);
    let json = |path: &[&str]| Column::Json { column: "billing".into(), path: path.iter().map(ToString::to_string).collect() };
    let map = &mut config.schema.subscription;
    map.table = "odd".into();
    map.subject = "who".into();
    map.tier = Column::Plain("plan".into());
    map.stripe_customer_id = json(&["stripe", "customer"]);
    map.stripe_subscription_id = json(&["stripe", "subscription"]);
    map.current_period_end = json(&["ends"]);
    map.updated_at = Column::Plain("stamp".into());
    for column in
        [&mut map.status, &mut map.billing_interval, &mut map.current_period_start, &mut map.cancel_at, &mut map.cancel_at_period_end]
    {
        *column = Column::Off;
    }
    let database = open(config);
    let before = record(&bench, &database, &person).await;
    let shown = image(&before);
    assert_eq!(shown[&Field::Customer], Value::text("cus_abc"));
    assert_eq!(shown[&Field::Subscription], Value::Null);
    let at = now();
    let changes = vec![
        change(&shown, Field::Tier, Value::text("ENTERPRISE")),
        change(&shown, Field::Customer, Value::text("cus_xyz")),
        change(&shown, Field::Subscription, Value::text("sub_xyz")),
        change(&shown, Field::PeriodEnd, Value::Time(at)),
    ];
    let outcome = database.set_subscription_row(before.subject.key.clone(), shown, changes).await;
    assert!(matches!(outcome, Outcome::Done { .. }), "{outcome:?}");
    let after = image(&record(&bench, &database, &person).await);
    assert_eq!(after[&Field::Tier], Value::text("ENTERPRISE"));
    assert_eq!((&after[&Field::Customer], &after[&Field::Subscription]), (&Value::text("cus_xyz"), &Value::text("sub_xyz")));
    assert_eq!(after[&Field::PeriodEnd], Value::Time(at));
    let (other,): (i32,) = sqlx::query_as("SELECT (billing ->> 'other')::int FROM odd").fetch_one(&bench.admin).await.unwrap();
    assert_eq!(other, 1, "the rest of the document stays");
}

#[tokio::test]
async fn other_writers_tell_what_happened_and_never_guess() {
    let bench = Bench::start(Options::default()).await;
    let subject = SubjectKey(paying(&bench).profile.to_string());
    let application = |path: &str| {
        let mut config = config_with(&bench, &[]);
        config.writer = Writer::Http { path: path.into() };
        Application::new(&config).expect("it is configured")
    };
    let done = application("/admin/licensing/entitlements/{subject}/reset").resync(&subject, "cus_1", "nd-1").await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
    let refused = application("/nowhere/{subject}").resync(&subject, "cus_1", "nd-1").await;
    assert!(matches!(refused, Outcome::NotDone(_)), "{refused:?}");
    let command =
        |argv: &[&str]| Writer::Command { argv: argv.iter().map(ToString::to_string).collect(), limit: std::time::Duration::from_secs(20) };
    let test = ["sh", "-c", "test \"$1\" = \"$2\" && test -n \"$NIGHTDESK_IDEMPOTENCY_KEY\"", "sh", "{subject}"];
    let good = command(&[&test[..], &[subject.as_str()]].concat());
    assert!(matches!(resync_by_command(&good, &subject, "cus_1", "nd-1").await, Outcome::Done { .. }));
    let bad = command(&[&test[..], &["somebody else"]].concat());
    assert!(matches!(resync_by_command(&bad, &subject, "cus_1", "nd-1").await, Outcome::Unknown(_)));
    let absent = command(&["/nonexistent/resync"]);
    assert!(matches!(resync_by_command(&absent, &subject, "cus_1", "nd-1").await, Outcome::NotDone(_)));
}

#[tokio::test]
async fn a_line_that_breaks_before_the_commit_is_not_done_and_one_that_breaks_at_it_is_unknown() {
    let bench = Bench::start(Options::default()).await;
    let url = bench.variable("DATABASE_URL");
    let proxy = Proxy::start(place(&url), false).await;
    let database = open(config_with(&bench, &[("DATABASE_URL", &proxy.url(&url))]));
    let person = paying(&bench);
    let before = record(&bench, &database, &person).await;
    let (key, shown) = (before.subject.key.clone(), image(&before));
    let changes = vec![change(&shown, Field::Tier, Value::text("FREE"))];
    proxy.set(Manner::CutBefore("UPDATE"));
    let outcome = database.set_subscription_row(key.clone(), shown.clone(), changes.clone()).await;
    assert!(matches!(&outcome, Outcome::NotDone(f) if f.kind == FaultKind::Unreachable), "{outcome:?}");
    proxy.set(Manner::CutAfter("COMMIT"));
    // The connection is opened again by itself; until then nothing is begun.
    let mut outcome = Outcome::NotDone(Fault::new(Source::Database, FaultKind::Unreachable, "not asked yet"));
    until("it is sent", async || {
        if matches!(outcome, Outcome::NotDone(_)) {
            outcome = database.set_subscription_row(key.clone(), shown.clone(), changes.clone()).await;
        }
        matches!(outcome, Outcome::Unknown(_))
    })
    .await;
    proxy.set(Manner::Open);
    let direct = super::database(&bench);
    until("the server has it", async || image(&record(&bench, &direct, &person).await)[&Field::Tier] == Value::text("FREE")).await;
}

#[tokio::test]
async fn a_write_whose_commit_is_late_is_rolled_back_soon_and_stays_so() {
    let bench = Bench::start(Options::default()).await;
    let url = bench.variable("DATABASE_URL");
    let proxy = Proxy::start(place(&url), false).await;
    let database = open(config_with(&bench, &[("DATABASE_URL", &proxy.url(&url))]));
    let person = paying(&bench);
    let before = record(&bench, &database, &person).await;
    let (key, shown) = (before.subject.key.clone(), image(&before));
    let changes = vec![change(&shown, Field::Tier, Value::text("FREE"))];
    proxy.set(Manner::HoldAt("COMMIT"));
    let write = tokio::spawn(async move { database.set_subscription_row(key, shown, changes).await });
    let lock = format!("SELECT 1 FROM subscriptions WHERE profile_id = '{}' FOR UPDATE NOWAIT", person.profile);
    let free = async || sqlx::raw_sql(sqlx::AssertSqlSafe(lock.clone())).execute(&bench.admin).await.is_ok();
    until("the row is being written", async || !free().await).await;
    let begun = std::time::Instant::now();
    until("the server gives up", free).await;
    assert!(begun.elapsed() < std::time::Duration::from_secs(5), "{:?}", begun.elapsed());
    proxy.set(Manner::Open);
    let outcome = write.await.expect("it ends");
    assert!(matches!(outcome, Outcome::NotDone(_)), "the server itself said so: {outcome:?}");
    let after = record(&bench, &super::database(&bench), &person).await;
    assert_eq!(image(&after), image(&before));
}

#[tokio::test]
async fn a_column_that_changes_its_type_costs_one_refused_write() {
    let bench = Bench::start(Options::default()).await;
    let database = database(&bench);
    let person = paying(&bench);
    let key = SubjectKey(person.profile.to_string());
    let set = async |tier: &str| {
        let shown = image(&record(&bench, &super::database(&bench), &person).await);
        let changes = vec![change(&shown, Field::Tier, Value::text(tier))];
        database.set_subscription_row(key.clone(), shown, changes).await
    };
    assert!(matches!(set("FREE").await, Outcome::Done { .. }));
    sql(
        &bench,
        "DO $$ DECLARE c text; BEGIN FOR c IN SELECT conname FROM pg_constraint WHERE conrelid = 'subscriptions'::regclass AND contype = 'c' \
         LOOP EXECUTE format('ALTER TABLE subscriptions DROP CONSTRAINT %I', c); END LOOP; END $$;
         CREATE TYPE plan AS ENUM ('FREE', 'PRO', 'ENTERPRISE');
         ALTER TABLE subscriptions ALTER COLUMN tier DROP DEFAULT, ALTER COLUMN tier TYPE plan USING tier::text::plan",
    )
    .await;
    let refused = set("PRO").await;
    assert!(matches!(&refused, Outcome::NotDone(f) if f.kind == FaultKind::Schema), "{refused:?}");
    let done = set("PRO").await;
    assert!(matches!(done, Outcome::Done { .. }), "{done:?}");
}
