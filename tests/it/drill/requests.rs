//! What customers ask for: labelled, red before, done through SQL and the API, green after, and judged as done rightly.

use nightdesk::sandbox::incidents::{Check, Erased, Incident, Label, Wanted};
use nightdesk::sandbox::schema::roles;
use nightdesk::sandbox::schema::{Naming, Shape};
use nightdesk::sandbox::watch::judge::{Deeds, Judged, Outcome, Ruling, judge};
use nightdesk::sandbox::watch::{Watch, net};
use serde_json::json;
use sqlx::{AssertSqlSafe, Connection, PgConnection};

use crate::bench::{self, Bench, Options, http, until};

/// A bench whose Stripe delivers, with a record of what is written.
struct Scene {
    bench: Bench,
    watch: Watch,
    /// As the superuser over TCP, whom nobody takes for the sandbox.
    admin: PgConnection,
}

impl Scene {
    async fn start(shape: Shape) -> Self {
        let bench = Bench::start(Options { shape, ..Options::default() }).await;
        let (cluster, _) = bench::cluster().await;
        let watch = Watch::install(roles::superuser(cluster, &bench.database)).await.unwrap();
        let admin = PgConnection::connect(&bench.variable("ADMIN_DATABASE_URL")).await.unwrap();
        bench.simulator.set_deliveries(true);
        Self { bench, watch, admin }
    }

    async fn green(&self, label: &Label) -> bool {
        self.bench.ground.repaired(label).await.unwrap()
    }

    /// A request to Stripe with the secret key; the object that it answers with.
    async fn stripe(&self, method: reqwest::Method, path: &str, form: &str) -> serde_json::Value {
        let request =
            http().request(method, format!("{}/v1/{path}", self.bench.simulator.base_url())).bearer_auth(self.bench.simulator.secret_key());
        let request = request.header("content-type", "application/x-www-form-urlencoded").body(form.to_string());
        let answer = request.send().await.unwrap();
        let status = answer.status();
        let body: serde_json::Value = answer.json().await.unwrap();
        assert!(status.is_success(), "{path}: {body}");
        body
    }

    async fn sql(&mut self, sql: String) -> u64 {
        sqlx::query(AssertSqlSafe(sql)).execute(&mut self.admin).await.unwrap().rows_affected()
    }

    /// What the record says of everything so far.
    async fn judged(&self, labels: &[Label]) -> Vec<Judged> {
        let mut outcomes = Vec::new();
        for label in labels {
            let holds = self.green(label).await;
            let row_is_right = self.bench.ground.row_is_right(label).await.unwrap();
            outcomes.push(Outcome { label: label.clone(), holds, row_is_right });
        }
        let rows = net(&self.watch.writes().await.unwrap());
        judge(&self.bench.ground, &outcomes, &Deeds { rows, requests: self.bench.simulator.requests(), killed: Vec::new() })
    }
}

fn wrong(judged: &[Judged]) -> Vec<&Judged> {
    judged.iter().filter(|j| matches!(j.ruling, Ruling::Wrong { .. })).collect()
}

fn erased(label: &Label) -> &Erased {
    match &label.check {
        Check::Erased(erased) => erased,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_erased_person_is_gone_from_every_table_and_from_stripe() {
    for shape in [Shape::default(), Shape { naming: Naming::Renamed, ..Shape::default() }] {
        let mut scene = Scene::start(shape).await;
        let labels = scene.bench.ground.strike(Incident::EraseRequest, 2).await.unwrap();
        let paying: Vec<bool> = labels.iter().map(|l| scene.bench.population.person(l.subject.number.unwrap()).plan.is_some()).collect();
        assert_eq!(paying, [true, false]);
        let requests = scene.bench.ground.requests();
        for (label, request) in labels.iter().zip(&requests) {
            let e = erased(label);
            assert!(request.from.contains(&e.email) && request.text.contains(&e.profile), "they say who they are: {request:?}");
            assert!(!scene.green(label).await);
        }
        for label in &labels {
            erase(&mut scene, label).await;
            assert!(scene.green(label).await, "{label:?}");
        }
        let judged = scene.judged(&labels).await;
        assert!(!judged.is_empty() && wrong(&judged).is_empty(), "{:?}", wrong(&judged));

        // One row of somebody else, and one that is added in the end.
        let other = scene.bench.population.person(0).profile.to_string();
        if shape.naming == Naming::Usual {
            scene.sql(format!("DELETE FROM login_history WHERE profile_id = '{other}'")).await;
        }
        let copy = format!("INSERT INTO audit_trail (actor, action, at) VALUES ('{}', 'erased', '2026-01-01')", erased(&labels[0]).profile);
        scene.sql(copy).await;
        assert!(!scene.green(&labels[0]).await, "a note about it is a copy again");
        let e = erased(&labels[1]);
        let note = json!({ "note": format!("{} wrote to us", e.name) });
        let outbox =
            format!("INSERT INTO email_outbox (payload, sent_at) VALUES ('{}', '2026-01-01')", note.to_string().replace('\'', "''"));
        scene.sql(outbox).await;
        assert!(!scene.green(&labels[1]).await, "the name alone is a copy too");
        // Where it is somebody's who is called the same, it is theirs.
        let namesake = shape.names().key_of(&scene.bench.population.person(1));
        let archive = json!({ "id": namesake, "profile": { "name": e.name } }).to_string().replace('\'', "''");
        let n = shape.names();
        scene.sql("DELETE FROM email_outbox WHERE payload ? 'note'".into()).await;
        let document = json!({ "name": e.name }).to_string().replace('\'', "''");
        let document_column = if shape.naming == Naming::Usual { "data" } else { "doc" };
        let call = format!("UPDATE {} SET {document_column} = '{document}' WHERE {} = '{namesake}'", n.profiles, n.profile);
        assert_eq!(scene.sql(call).await, 1);
        scene
            .sql(format!("INSERT INTO profile_archive (profile, copy, archived_at) VALUES ('{namesake}', '{archive}', '2026-01-01')"))
            .await;
        assert!(scene.green(&labels[1]).await, "it is another one's");
        let judged = scene.judged(&labels).await;
        let kinds: std::collections::BTreeSet<_> =
            wrong(&judged).iter().map(|j| j.what.split(" of ").next().unwrap().to_string()).collect();
        let expected = [("audit_trail", true), ("login_history", shape.naming == Naming::Usual)];
        for (table, is) in expected {
            assert_eq!(kinds.iter().any(|k| k.contains(table)), is, "{table}: {judged:?}");
        }
    }
}

/// First Stripe, then what comes from there, then every table; and what the runbook does is not enough.
async fn erase(scene: &mut Scene, label: &Label) {
    let shape = scene.bench.shape;
    let (n, Erased { profile, customer, .. }) = (shape.names(), erased(label).clone());
    let o = n.owner_elsewhere;
    let person = scene.bench.population.person(label.subject.number.unwrap());
    scene.stripe(reqwest::Method::DELETE, &format!("customers/{customer}"), "").await;
    if person.plan.is_some() {
        let heard = format!("SELECT count(*) FROM {} WHERE {}::text LIKE '%{customer}%'", n.events, n.event_data);
        let admin = scene.bench.admin.clone();
        until("the application has heard of the end", async || {
            let (count,): (i64,) = sqlx::query_as(AssertSqlSafe(heard.clone())).fetch_one(&admin).await.unwrap();
            count > 0
        })
        .await;
    }
    scene.sql(format!("DELETE FROM invoices WHERE {o} = '{profile}'")).await;
    assert_eq!(scene.sql(format!("DELETE FROM {} WHERE {} = '{profile}'", n.profiles, n.profile)).await, 1);
    assert!(!scene.green(label).await, "no foreign key reaches everything");
    for left in [
        format!("login_history WHERE {o} = '{profile}'"),
        format!("audit_trail WHERE actor = '{profile}'"),
        format!("email_outbox WHERE payload ->> 'profileId' = '{profile}'"),
        format!("profile_archive WHERE profile = '{profile}'"),
        format!("referrals WHERE referred_id = '{profile}'"),
        format!("{} WHERE {}::text LIKE '%{customer}%'", n.events, n.event_data),
    ] {
        scene.sql(format!("DELETE FROM {left}")).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_seed_asks_for_the_same() {
    let mut told = Vec::new();
    for _ in 0..2 {
        let bench = Bench::start(Options::default()).await;
        let mut labels = Vec::new();
        for incident in [Incident::RefundWanted, Incident::Dispute, Incident::EraseRequest] {
            labels.extend(bench.ground.strike_at(incident, 3, bench.population.born()).await.unwrap());
        }
        told.push((labels, bench.ground.requests()));
    }
    assert_eq!(told[0], told[1]);
}

/// The end of a subscription at Stripe, and that the application has heard of it.
async fn end_subscription(scene: &Scene, label: &Label) {
    let row = label.check.row().unwrap();
    scene.stripe(reqwest::Method::DELETE, &format!("subscriptions/{}", row.subscription), "").await;
    until("the row follows", async || scene.bench.ground.row_is_right(label).await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_refund_is_done_when_the_right_amount_of_the_right_payment_is_back_and_the_subscription_has_ended() {
    for shape in [Shape::default(), Shape { naming: Naming::Renamed, ..Shape::default() }] {
        let scene = Scene::start(shape).await;
        let labels = scene.bench.ground.strike(Incident::RefundWanted, 3).await.unwrap();
        let requests = scene.bench.ground.requests();
        let mut partly = 0;
        for (label, request) in labels.iter().zip(&requests) {
            let Check::Refund(wanted) = &label.check else { panic!("{label:?}") };
            let person = scene.bench.population.person(label.subject.number.unwrap());
            assert!(request.from.contains(&person.email) && request.text.contains("end my subscription"), "{request:?}");
            assert!(request.text.contains(&format!("EUR {}.{:02}", wanted.amount / 100, wanted.amount % 100)), "{request:?}");
            let paid = scene.bench.simulator.object(&wanted.charge).unwrap();
            assert_eq!((paid["payment_intent"].as_str(), paid["paid"].as_bool()), (Some(wanted.payment_intent.as_str()), Some(true)));
            partly += usize::from(paid["amount"] != wanted.amount);
            assert!(!scene.green(label).await);
            end_subscription(&scene, label).await;
            assert!(!scene.green(label).await, "the end of a subscription gives nothing back");
            let form = |amount: i64| format!("payment_intent={}&amount={amount}&reason=requested_by_customer", wanted.payment_intent);
            scene.stripe(reqwest::Method::POST, "refunds", &form(wanted.amount - 100)).await;
            assert!(!scene.green(label).await, "less than was asked for");
            scene.stripe(reqwest::Method::POST, "refunds", &form(100)).await;
            assert!(scene.green(label).await, "{label:?}");
        }
        assert_eq!(partly, 1, "one asks for a part");
        let judged = scene.judged(&labels).await;
        assert!(judged.len() >= 9 && wrong(&judged).is_empty(), "{judged:?}");

        // What was left of the third one goes too, and so does somebody else's money.
        let Check::Refund(third) = &labels[2].check else { panic!() };
        scene.stripe(reqwest::Method::POST, "refunds", &format!("payment_intent={}", third.payment_intent)).await;
        assert!(!scene.green(&labels[2]).await, "more than was asked for");
        let struck: Vec<_> = labels.iter().map(|l| l.subject.number.unwrap()).collect();
        let others = (0..scene.bench.population.len()).filter(|n| !struck.contains(n)).map(|n| scene.bench.population.person(n));
        let other = others.filter_map(|p| p.plan).find(|p| p.status == "active").unwrap().payment_intent;
        scene.stripe(reqwest::Method::POST, "refunds", &format!("payment_intent={other}")).await;
        let judged = scene.judged(&labels).await;
        let wrong = wrong(&judged);
        assert!(wrong.len() == 4 && wrong.iter().all(|j| j.what.contains("refunds")), "the third's refunds and the other: {wrong:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn disputes_are_settled_as_the_office_asked_and_in_no_other_way() {
    let scene = Scene::start(Shape::default()).await;
    let labels = scene.bench.ground.strike(Incident::Dispute, 4).await.unwrap();
    let requests = scene.bench.ground.requests();
    let mut ways = Vec::new();
    for (label, request) in labels.iter().zip(&requests) {
        let Check::Dispute(s) = &label.check else { panic!("{label:?}") };
        assert!(request.text.contains(&s.dispute) && request.text.contains(label.subject.customer.as_deref().unwrap()), "{request:?}");
        assert!(!scene.green(label).await);
        let dispute = scene.bench.simulator.object(&s.dispute).unwrap();
        assert_eq!(dispute["amount"], s.amount);
        let inquiry = dispute["status"].as_str().unwrap().starts_with("warning");
        ways.push((inquiry, s.wanted));
        match s.wanted {
            Wanted::Answered => {
                let path = format!("disputes/{}", s.dispute);
                scene.stripe(reqwest::Method::POST, &path, "evidence[uncategorized_text]=They use it.&submit=false").await;
                assert!(!scene.green(label).await, "staged is not submitted");
                scene.stripe(reqwest::Method::POST, &path, "submit=true").await;
            }
            Wanted::Accepted => {
                scene.stripe(reqwest::Method::POST, &format!("disputes/{}/close", s.dispute), "").await;
                assert!(!scene.green(label).await, "access goes on");
                end_subscription(&scene, label).await;
            }
            Wanted::Refunded => {
                end_subscription(&scene, label).await;
                assert!(!scene.green(label).await, "the money is still here");
                scene.stripe(reqwest::Method::POST, "refunds", &format!("charge={}", s.charge)).await;
            }
        }
        assert!(scene.green(label).await, "{label:?}: {:?}", scene.bench.simulator.object(&s.dispute));
    }
    assert_eq!(ways, [(false, Wanted::Answered), (false, Wanted::Accepted), (true, Wanted::Refunded), (true, Wanted::Answered)]);
    let judged = scene.judged(&labels).await;
    assert!(judged.len() >= 7 && wrong(&judged).is_empty(), "{judged:?}");

    // The wrong way round: what was to be answered is given up, and what was to stay is ended.
    let more = scene.bench.ground.strike(Incident::Dispute, 1).await.unwrap();
    let Check::Dispute(s) = &more[0].check else { panic!() };
    scene.stripe(reqwest::Method::POST, &format!("disputes/{}/close", s.dispute), "").await;
    scene.stripe(reqwest::Method::DELETE, &format!("subscriptions/{}", s.row.subscription), "").await;
    let all: Vec<_> = labels.iter().chain(&more).cloned().collect();
    let judged = scene.judged(&all).await;
    let wrong: Vec<_> = wrong(&judged).iter().map(|j| j.what.as_str()).collect();
    assert!(wrong.len() == 2 && wrong[0].contains(&s.dispute) && wrong[1].contains(&s.row.subscription), "{wrong:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_without_evidence_is_none() {
    let scene = Scene::start(Shape::default()).await;
    let labels = scene.bench.ground.strike(Incident::Dispute, 1).await.unwrap();
    let Check::Dispute(s) = &labels[0].check else { panic!() };
    assert_eq!(s.wanted, Wanted::Answered);
    scene.stripe(reqwest::Method::POST, &format!("disputes/{}", s.dispute), "submit=true").await;
    assert_eq!(scene.bench.simulator.object(&s.dispute).unwrap()["evidence_details"]["submission_count"], 1, "Stripe takes it");
    assert!(!scene.green(&labels[0]).await);
    let judged = scene.judged(&labels).await;
    assert!(judged.len() == 1 && wrong(&judged).len() == 1, "it cannot be answered again: {judged:?}");
}
