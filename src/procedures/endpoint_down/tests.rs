//! The stages of the emergency, from answers made by hand: asked about the probe, restart or hands, and the backfill once the endpoint is well.

use super::look::{Blocked, Look};
use super::*;
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::shape::{IntervalWords, KeyType, Shape, Trust};
use crate::domain::tiers::TierRules;
use crate::domain::webhooks::cause::Cause;
use crate::domain::webhooks::probe::{Came, Probed, Shot, Surroundings, assess};
use crate::protocol::command::Command;
use crate::protocol::environment::{Offers, Writer};
use crate::protocol::query::Reply;
use crate::protocol::run::{StepKind, StepState};
use chrono::Duration;

fn env(restart: bool) -> Environment {
    Environment {
        name: "prod".into(),
        production: true,
        operator: "ada".into(),
        tiers: TierRules::default(),
        writer: Writer::Sql,
        set_up: [Source::Stripe, Source::Database, Source::Application].into(),
        sandbox: false,
        webhook_url: Some("https://api.example.com/webhooks/stripe".into()),
        offers: Offers { restart_app: restart, ..Offers::default() },
        contacts: Vec::new(),
    }
}

fn now() -> At {
    At::from_timestamp(1_800_000_000, 0).expect("in range")
}

fn asked(send: &str) -> Inputs {
    let mut inputs = Inputs::default();
    inputs.attested.insert(PROBE.into(), send.into());
    inputs
}

/// Every question answered: nothing was sent by Stripe, and the probe came back with this.
fn answers(inputs: &Inputs, forged: &Came) -> Answers {
    let mut answers = Answers::default();
    loop {
        let wanted = EndpointDown.reads(inputs, &answers);
        if wanted.is_empty() {
            return answers;
        }
        for query in wanted {
            let reply = match &query {
                Query::Shape => Ok(Reply::Shape(Box::new(shape()))),
                Query::Endpoints => Ok(Reply::Endpoints(vec![endpoint()])),
                Query::EventPage(_) => Ok(Reply::EventPage { events: Vec::new(), raw: Vec::new(), next: None, clock_ahead: None }),
                Query::Probe => {
                    let shots = [Shot::Health, Shot::Ready, Shot::Unsigned, Shot::WronglySigned];
                    let shots = shots.into_iter().map(|s| (s, forged.clone())).collect();
                    Ok(Reply::Probed(Probed { url: endpoint().url, shots }))
                }
                other => Err(Fault::new(other.source(), FaultKind::NotSetUp, "not here")),
            };
            answers.put(query, reply, now());
        }
    }
}

fn endpoint() -> crate::domain::webhooks::endpoint::Endpoint {
    crate::domain::webhooks::endpoint::Endpoint {
        id: crate::domain::ids::StripeId::parse("we_1Pabcdefgh").expect("an id"),
        url: "https://api.example.com/webhooks/stripe".into(),
        enabled: true,
        api_version: None,
        events: vec!["*".into()],
        livemode: true,
    }
}

fn shape() -> Shape {
    Shape {
        server: "PostgreSQL 15.18".into(),
        database: "app".into(),
        profiles_in_json: true,
        naive_timestamps: true,
        key: KeyType::Uuid,
        interval: IntervalWords { month: Some("month".into()), year: Some("year".into()), found_in: "constraint".into() },
        status_words: None,
        plan_features: true,
        updatable: true,
        mirror: false,
        trust: Trust::Full,
        replica_lag: None,
    }
}

fn answer(status: u16) -> Came {
    Came::Answer { status, milliseconds: 3, body: String::new(), location: None, skew_seconds: Some(0) }
}

fn plan(inputs: &Inputs, forged: &Came, restart: bool) -> Result<Plan, Refusal> {
    EndpointDown.plan(inputs, &answers(inputs, forged), &env(restart), now())
}

#[test]
fn it_asks_once_before_it_probes_and_reads_nothing_of_it_otherwise() {
    let Err(Refusal::Decide(decision)) = plan(&Inputs::default(), &answer(400), true) else { panic!("it probed unasked") };
    assert_eq!(decision.id, PROBE);
    assert!(answers(&Inputs::default(), &answer(400)).get(&Query::Probe).is_none());
    assert!(answers(&asked(LEAVE), &answer(400)).get(&Query::Probe).is_none());
    assert!(answers(&asked(SEND), &answer(400)).get(&Query::Probe).is_some());
}

#[test]
fn on_test_it_probes_unasked_where_there_is_something_to_probe() {
    let told = EndpointDown.on_test(Inputs::default(), &env(true));
    assert_eq!(told, asked(SEND));
    assert_eq!(EndpointDown.on_test(asked(LEAVE), &env(true)), asked(LEAVE), "what was chosen stays");
    let nowhere = Environment { webhook_url: None, ..env(true) };
    assert_eq!(EndpointDown.on_test(Inputs::default(), &nowhere), Inputs::default());
}

#[test]
fn a_probe_that_could_not_be_sent_can_be_gone_on_without() {
    let mut answers = answers(&asked(SEND), &answer(400));
    answers.put(Query::Probe, Err(Fault::new(Source::Application, FaultKind::Timeout, "it took too long")), now());
    let Err(Refusal::Decide(decision)) = EndpointDown.plan(&asked(SEND), &answers, &env(true), now()) else { panic!("no way on") };
    assert!(decision.question.contains("could not be probed: it took too long"), "{}", decision.question);
    assert_eq!(decision.options.iter().map(|o| o.value.as_str()).collect::<Vec<_>>(), [LEAVE]);
    let answers_left = EndpointDown.plan(&asked(LEAVE), &answers, &env(true), now());
    assert!(matches!(answers_left, Err(Refusal::AlreadyRight(_))), "{answers_left:?}");
}

#[test]
fn what_is_down_is_restarted_by_the_command_or_by_hand() {
    let by_command = plan(&asked(SEND), &Came::Refused, true).expect("a plan");
    assert_eq!(by_command.commands(), [&Command::RunHook { hook: "restart_app".into() }]);
    assert_eq!(by_command.typed.as_deref(), Some("restart"));
    let by_hand = plan(&asked(SEND), &Came::Refused, false).expect("a plan");
    assert_eq!(by_hand.next_manual().map(|s| s.id.as_str()), Some("restart"));
    assert!(by_hand.commands().is_empty());
    for plan in [by_command, by_hand] {
        assert!(matches!(plan.steps[0].state, StepState::Failed(_)), "{:?}", plan.steps[0]);
        assert_eq!(plan.steps.last().map(|s| s.kind), Some(StepKind::Verify));
    }
}

#[test]
fn what_only_hands_can_change_says_what_and_where_and_waits() {
    let redirect = Came::Answer {
        status: 301,
        milliseconds: 3,
        body: String::new(),
        location: Some("https://www.example.com".into()),
        skew_seconds: None,
    };
    let plan = plan(&asked(SEND), &redirect, true).expect("a plan");
    assert_eq!(plan.next_manual().map(|s| s.id.as_str()), Some("mend"));
    assert!(plan.commands().is_empty() && !plan.notes.is_empty(), "{plan:?}");
}

#[test]
fn a_healthy_endpoint_is_said_to_be_and_nothing_is_restarted() {
    let Err(Refusal::AlreadyRight(say)) = plan(&asked(SEND), &answer(400), true) else { panic!("something to do") };
    assert!(say.starts_with("The endpoint was probed. It answers"), "{say}");
    let Err(Refusal::AlreadyRight(say)) = plan(&asked(LEAVE), &answer(400), true) else { panic!("something to do") };
    assert!(say.starts_with("The endpoint was not probed."), "{say}");
}

#[test]
fn a_forgery_that_is_refused_without_a_word_stands_in_nobody_s_way() {
    let bare =
        Came::Answer { status: 401, milliseconds: 3, body: "{\"error\":\"Unauthorized\"}".into(), location: None, skew_seconds: Some(0) };
    let Err(Refusal::AlreadyRight(say)) = plan(&asked(SEND), &bare, true) else { panic!("held up") };
    assert!(say.contains("the handler refuses it, as it should, or something in front refuses everything"), "{say}");
    let shots = vec![(Shot::Unsigned, bare.clone()), (Shot::WronglySigned, bare.clone()), (Shot::Signed, bare)];
    let probed = Probed { url: endpoint().url, shots };
    let assessed = assess(&probed, &Surroundings::default());
    let refused = Look { probe: Some(Ok((probed, assessed))), lines: Vec::new() }.blocked(&asked(SEND), None);
    assert!(matches!(refused, Some(Blocked::Mend { .. })), "a right signature is refused too: {refused:?}");
}

/// A probe whose forgeries are refused, with what its right signature came back with.
fn looked(signed: Came) -> Look {
    let shots = vec![(Shot::Unsigned, answer(400)), (Shot::WronglySigned, answer(400)), (Shot::Signed, signed)];
    let probed = Probed { url: endpoint().url, shots };
    let assessed = assess(&probed, &Surroundings::default());
    Look { probe: Some(Ok((probed, assessed))), lines: Vec::new() }
}

#[test]
fn a_right_signature_that_is_accepted_now_outranks_what_was_refused_before() {
    let lost = [(Some(now() - Duration::minutes(20)), Cause::BadSignature), (Some(now() - Duration::minutes(10)), Cause::BadSignature)];
    assert!(!looked(answer(200)).refuses_signatures(&lost, None));
    let unsigned = looked(Came::NotSent("no secret".into()));
    assert!(unsigned.refuses_signatures(&lost, None), "the probe cannot tell");
    assert!(unsigned.refuses_signatures(&lost, Some(now() - Duration::minutes(15))), "refused after that");
    assert!(!unsigned.refuses_signatures(&lost, Some(now() - Duration::minutes(5))), "accepted since");
    let unprobed = Look { probe: None, lines: Vec::new() };
    assert!(unprobed.refuses_signatures(&lost, None));
    assert!(!unprobed.refuses_signatures(&lost, Some(now())));
    let others = [lost[1], (lost[1].0, Cause::Down), (lost[1].0, Cause::Down)];
    assert!(!unprobed.refuses_signatures(&others, None), "most were not refused");
}

#[test]
fn an_endpoint_that_fails_at_forgeries_alone_needs_no_restart() {
    let blocked = |rest: &[(Shot, Came)]| {
        let mut shots = vec![(Shot::Unsigned, answer(500)), (Shot::WronglySigned, answer(500))];
        shots.extend(rest.iter().cloned());
        let probed = Probed { url: endpoint().url, shots };
        let assessed = assess(&probed, &Surroundings::default());
        Look { probe: Some(Ok((probed, assessed))), lines: Vec::new() }.blocked(&asked(SEND), None)
    };
    assert_eq!(blocked(&[(Shot::Signed, answer(200)), (Shot::Ready, answer(200))]), None);
    assert_eq!(blocked(&[(Shot::Signed, answer(200)), (Shot::Ready, answer(404))]), None, "not everybody has a readiness check");
    assert_eq!(blocked(&[(Shot::Signed, Came::NotSent("off".into())), (Shot::Ready, answer(204))]), None, "the best that is known");
    let restart = |rest: &[(Shot, Came)]| assert!(matches!(blocked(rest), Some(Blocked::Restart(_))), "{rest:?}");
    restart(&[(Shot::Signed, answer(500)), (Shot::Ready, answer(200))]);
    restart(&[(Shot::Signed, answer(200)), (Shot::Ready, answer(503))]);
    restart(&[(Shot::Ready, answer(404))]);
    restart(&[]);
}
