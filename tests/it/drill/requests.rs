//! What customers ask for: labelled, red before, done through SQL and the API, green after, and judged as done rightly.

use nightdesk::sandbox::incidents::{Check, Erased, Incident, Label};
use nightdesk::sandbox::schema::roles;
use nightdesk::sandbox::schema::{Naming, Shape};
use nightdesk::sandbox::watch::judge::{Deeds, Judged, Outcome, Ruling, judge};
use nightdesk::sandbox::watch::{Watch, net};
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
        for incident in [Incident::RefundWanted, Incident::EraseRequest] {
            labels.extend(bench.ground.strike_at(incident, 3, bench.population.born()).await.unwrap());
        }
        told.push((labels, bench.ground.requests()));
    }
    assert_eq!(told[0], told[1]);
}
