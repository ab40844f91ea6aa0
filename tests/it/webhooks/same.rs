//! What a replay says of an event is what the list of causes says of it: both ask the same facts.

use super::survey::Watch;
use crate::fixtures::*;
use crate::panes_desk::environment;
use chrono::Duration;
use nightdesk::domain::fault::{Fault, Source};
use nightdesk::domain::row::{Field, Value};
use nightdesk::domain::stripe::Subscription;
use nightdesk::domain::webhooks::cause::Cause;
use nightdesk::domain::webhooks::endpoint::Endpoint;
use nightdesk::domain::webhooks::judge::Received;
use nightdesk::domain::webhooks::log::{Level, LogLine};
use nightdesk::procedures::{by_id, failed_webhook};
use nightdesk::protocol::answers::Answers;
use nightdesk::protocol::environment::Environment;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::protocol::run::{Inputs, Selection};

const EVENT: &str = "evt_Missed000001";
const URL: &str = "https://app.acme.example/webhooks/stripe";

/// A world with one change of 200 minutes ago that came to nothing, and what else the sources know of it.
struct Night {
    world: World,
    /// The application's own record of events; `None`: it keeps none.
    received: Option<Vec<Received>>,
    endpoints: Vec<Endpoint>,
}

impl Night {
    fn fell() -> Self {
        let mut world = World::empty();
        let old = begun();
        let new = Subscription { cancel_at_period_end: true, ..old.clone() };
        let mut update = event(EVENT, "customer.subscription.updated", &new, ago(200));
        update.previous = Some(Box::new(old.clone()));
        world.events.push(update);
        world.customers.push(customer(CUSTOMER, None));
        world.subscriptions.push(new);
        let mut night = Self { world, received: None, endpoints: Vec::new() };
        night.holds(&old, 600);
        night
    }

    /// The row is as that state demands, and was written so many minutes ago.
    fn holds(&mut self, state: &Subscription, minutes: i64) {
        let mut row = right_row(PROFILE, state);
        row.image.insert(Field::UpdatedAt, Value::Time(ago(minutes)));
        self.world.records = vec![record(PROFILE, None, Some(row))];
    }

    fn answer(&self, query: &Query) -> Result<Reply, Fault> {
        Ok(match query {
            Query::Received(of) => {
                Reply::Received(self.received.clone().map(|all| all.into_iter().filter(|r| of.contains(&r.event)).collect()))
            }
            Query::Endpoints => Reply::Endpoints(self.endpoints.clone()),
            _ => return self.world.answer(query),
        })
    }

    fn by_the_list(&self) -> Vec<Cause> {
        let mut watch = Watch::new(now());
        watch.env = env();
        for _ in 0..3 {
            watch.look(|q| Some(self.answer(q)));
            watch.pass(1);
        }
        watch.survey.groups().iter().map(|g| g.cause).collect()
    }

    #[track_caller]
    fn is_for(&self, cause: Cause) {
        assert_eq!(self.by_the_list(), [cause], "the list");
        assert_eq!(by_a_replay(&env(), |q| self.answer(q)), [cause], "the replay");
    }
}

/// The causes that a replay of the last five hours names, where the sources answer so.
pub fn by_a_replay(env: &Environment, answer: impl Fn(&Query) -> Result<Reply, Fault>) -> Vec<Cause> {
    let procedure = by_id("failed-webhook").expect("it exists");
    let inputs = Inputs::about(Selection::Window { from: ago(300), until: None });
    let mut answers = Answers::default();
    loop {
        let wanted = procedure.reads_under(&env.tiers, &inputs, &answers);
        if wanted.is_empty() {
            break;
        }
        for query in wanted {
            answers.asked(query.clone());
            answers.put(query.clone(), answer(&query), now());
        }
    }
    let found = failed_webhook::found(&inputs, &answers, env, now()).expect("all is known");
    found.lost.iter().map(|l| l.cause).collect()
}

fn env() -> Environment {
    let mut env = environment();
    env.set_up.insert(Source::Log);
    env.webhook_url = Some(URL.into());
    env
}

fn begun() -> Subscription {
    let mut s = subscription(SUBSCRIPTION, CUSTOMER);
    s.created = ago(600);
    s
}

fn line(minutes: i64, level: Level, text: &str, named: &str) -> LogLine {
    let at = ago(minutes) + Duration::seconds(1);
    LogLine { at: Some(at), level: Some(level), text: text.into(), source: "app.log".into(), ids: vec![named.into()] }
}

fn endpoint(enabled: bool) -> Endpoint {
    let id = id("we_Main00000001");
    Endpoint { id, url: URL.into(), enabled, api_version: None, events: vec!["*".into()], livemode: false }
}

#[test]
fn what_the_application_noted_of_an_event_counts_for_both() {
    let noted = |processed| Received { event: id(EVENT), processed: Some(processed), processed_at: processed.then(|| ago(199)) };
    Night { received: Some(vec![noted(true)]), endpoints: vec![endpoint(true)], ..Night::fell() }.is_for(Cause::WrittenOver);
    let mut silent = Night { received: Some(vec![noted(false)]), endpoints: vec![endpoint(true)], ..Night::fell() };
    silent.world.logs = vec![line(210, Level::Info, "Webhook processed", "evt_Other0000001")];
    silent.is_for(Cause::Unknown);
}

#[test]
fn a_log_that_is_silent_about_it_counts_for_both() {
    let mut night = Night { endpoints: vec![endpoint(true)], ..Night::fell() };
    night.world.logs = vec![line(210, Level::Info, "Webhook processed", "evt_Other0000001")];
    night.is_for(Cause::NeverSent);
    night.world.events[0].pending_webhooks = 1;
    night.is_for(Cause::Down);
}

#[test]
fn how_the_endpoint_is_registered_counts_for_both() {
    Night { endpoints: vec![endpoint(false)], ..Night::fell() }.is_for(Cause::EndpointDisabled);
    let other = Endpoint { url: "https://old.acme.example/hooks".into(), ..endpoint(true) };
    Night { endpoints: vec![other], ..Night::fell() }.is_for(Cause::WrongPath);
}

#[test]
fn an_older_state_in_the_row_counts_for_both() {
    let mut night = Night { endpoints: vec![endpoint(true)], ..Night::fell() };
    let older = night.world.subscriptions[0].clone();
    let mut newer = older.clone();
    newer.items[0].price = price("price_ent_month", Some("ENTERPRISE"));
    let mut update = event("evt_Missed000002", "customer.subscription.updated", &newer, ago(100));
    update.previous = Some(Box::new(older.clone()));
    night.world.events.insert(0, update);
    night.world.subscriptions = vec![newer];
    night.holds(&older, 50);
    night.is_for(Cause::OlderApplied);
}
