//! `nightdesk drift`: what it prints, how it ends, and that an interrupted scan is taken up.

use crate::bench::{Bench, Options, executable, until};
use crate::command::Desk;
use nightdesk::sandbox::incidents::Incident;
use nightdesk::sandbox::stripe::{Effect, Rule};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use std::process::Stdio;

#[tokio::test]
async fn it_names_classes_and_subjects_masked_and_ends_with_one_where_there_is_drift() {
    let bench = Bench::start(Options::default()).await;
    let payers = bench.strike(Incident::Drift, 9).await;
    let desk = Desk::of(&bench).configured("[stripe]\nbackground_per_s = 200");
    let said = desk.say(&["drift", "--full", "--json"]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    assert_eq!(report["scope"], "account");
    let named: Vec<&str> = report["classes"]
        .as_array()
        .expect("classes")
        .iter()
        .flat_map(|c| c["named"].as_array().expect("names"))
        .filter_map(|n| n["profile"].as_str())
        .collect();
    assert!(payers.iter().all(|p| named.contains(&p.profile.as_str())));
    assert!(report["progress"]["rows"].as_u64().is_some_and(|n| n > 0));

    let text = desk.say(&["drift", "--full", "--class", "wrong_tier"]).await;
    assert_eq!(text.code, Some(1), "{}", text.err);
    let victim = payers.iter().find(|p| p.label.broke == "the tier was written by hand").expect("one of nine");
    assert!(text.out.contains("wrong tier") && !text.out.contains("interval's words"), "{}", text.out);
    assert!(!text.out.contains(&victim.profile), "masked: {}", text.out);
    let whole = desk.say(&["drift", "--full", "--class", "wrong_tier", "--unmasked"]).await;
    assert!(whole.out.contains(&victim.profile), "{}", whole.out);

    let customers =
        payers.iter().filter(|p| p.label.broke == victim.label.broke).map(|p| p.label.subject.customer.clone().expect("a customer"));
    for customer in customers {
        let arguments = ["drift", "--accept", &customer, "--class", "wrong_tier", "--until", "14d", "--reason", "a gift"];
        let accepted = desk.say(&arguments).await;
        assert_eq!(accepted.code, Some(0), "{}", accepted.err);
    }
    let quiet = desk.say(&["drift", "--full", "--class", "wrong_tier"]).await;
    assert_eq!(quiet.code, Some(0), "what is accepted is not shown: {}", quiet.out);
}

#[tokio::test]
async fn bad_input_gets_one_sentence_that_says_what_would_do() {
    let bench = Bench::start(Options::default()).await;
    let desk = Desk::of(&bench);
    for (arguments, says) in [
        (&["drift", "--class", "late"][..], "there are paid_not_served"),
        (&["drift", "--since", "yesterday"], "write 90m, 24h, 7d"),
        (&["drift", "--since", "45d"], "30 days"),
        (&["drift", "--full", "--resume"], "no interrupted scan"),
        (&["drift", "--accept", "cus_1", "--class", "period", "--until", "2020-01-01", "--reason", "x"], "no time to come"),
        (
            &["drift", "--accept", "cus_1Neverissued", "--class", "period", "--until", "14d", "--reason", "x"],
            "neither Stripe nor the database has a customer cus_1Neverissued",
        ),
        (&["drift", "--accept", "sub_1", "--class", "period", "--until", "14d", "--reason", "x"], "not a customer's id"),
    ] {
        let said = desk.say(arguments).await;
        assert_eq!(said.code, Some(2), "{arguments:?}: {said:?}");
        assert!(said.err.contains(says), "{arguments:?}: {}", said.err);
    }
}

#[tokio::test]
async fn a_stripe_that_hangs_is_said_and_given_up_and_the_scan_is_taken_up() {
    let bench = Bench::start(Options::default()).await;
    bench.strike(Incident::Drift, 9).await;
    let desk = Desk::of(&bench).configured("[stripe]\nbackground_per_s = 200");
    let hang = bench.simulator.faults().add(Rule::always("/v1", Effect::Hang));
    let begun = std::time::Instant::now();
    let (full, recent) = tokio::join!(desk.say(&["drift", "--full"]), desk.say(&["drift", "--json"]));
    assert!(begun.elapsed().as_secs() < 110, "{:?}", begun.elapsed());
    for (said, words) in [(&full, "nightdesk drift --full --resume"), (&recent, "run it again")] {
        assert_eq!(said.code, Some(2), "{said:?}");
        assert!(said.err.contains("it is asked again for 30 s") && said.err.contains("Stripe does not answer"), "{said:?}");
        assert!(said.err.contains(words), "{said:?}");
        assert!(!said.out.contains("no drift"), "{said:?}");
    }
    bench.simulator.faults().remove(hang);
    let said = desk.say(&["drift", "--full", "--resume", "--json"]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
}

#[tokio::test]
async fn an_interrupted_scan_is_kept_and_taken_up() {
    let bench = Bench::start(Options::default()).await;
    bench.strike(Incident::Drift, 9).await;
    let desk = Desk::of(&bench).configured("[env.same]\n[stripe]\nbackground_per_s = 200");
    let slow = bench.simulator.faults().add(Rule::always("/v1/subscriptions", Effect::Hang));
    let child = tokio::process::Command::new(executable())
        .args(["drift", "--full"])
        .env_clear()
        .env("NIGHTDESK_STATE_DIR", desk.state.path())
        .env("NIGHTDESK_OPERATOR", "test")
        .envs(desk.variables.iter().map(|(n, v)| (n, v)))
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .expect("it starts");
    until("it has asked Stripe", async || bench.simulator.requests().iter().any(|r| r.path.starts_with("/v1/subscriptions"))).await;
    let pid = Pid::from_raw(i32::try_from(child.id().expect("it runs")).expect("a pid"));
    kill(pid, Signal::SIGINT).expect("told");
    let output = child.wait_with_output().await.expect("it ends");
    let err = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{err}");
    assert!(err.contains("nightdesk drift --full --resume"), "{err}");
    bench.simulator.faults().remove(slow);
    // The same state directory, environment and operator; what is compared is another's.
    let elsewhere = Bench::start(Options::default()).await;
    let mut other = Desk::of(&elsewhere).configured("[env.same]");
    other.variables.push(("NIGHTDESK_STATE_DIR".into(), desk.state.path().to_string_lossy().into_owned()));
    other.say(&["drift", "--full", "--resume"]).await.refused(&["the interrupted scan compared", "begin anew without --resume"]);
    let said = desk.say(&["drift", "--full", "--resume", "--json"]).await;
    assert_eq!(said.code, Some(1), "{}", said.err);
    let report: Value = serde_json::from_str(&said.out).expect("JSON");
    let subjects: u64 = report["classes"].as_array().expect("classes").iter().filter_map(|c| c["subjects"].as_u64()).sum();
    assert!(subjects >= 9, "{report}");
    let again = desk.say(&["drift", "--full", "--resume"]).await;
    assert_eq!(again.code, Some(2), "what is through is not taken up again: {again:?}");
}

#[tokio::test]
async fn many_are_fixed_under_one_review_and_whoever_needs_a_link_is_left_out() {
    let bench = Bench::start(Options::default()).await;
    let payers = bench.strike(Incident::Drift, 18).await;
    let customers: Vec<String> = payers.iter().map(|p| p.label.subject.customer.clone().expect("a customer")).collect();
    let desk = Desk::of(&bench).configured("[stripe]\nbackground_per_s = 200");
    let mut arguments = vec!["run", "drift-fix", "--reason", "a test"];
    customers.iter().for_each(|c| arguments.extend(["--customer", c]));
    let dry = desk.say(&[&arguments[..], &["--dry-run", "--json"]].concat()).await;
    assert_eq!(dry.code, Some(0), "{}", dry.err);
    let plan: Value = serde_json::from_str(&dry.out).expect("JSON");
    // Two of eighteen rows hold a placeholder: whose they are is decided one by one.
    assert_eq!(plan["plan"]["confirm"], "16", "{plan}");
    assert!(
        plan["plan"]["notes"].as_array().expect("notes").iter().any(|n| n.as_str().is_some_and(|n| n.contains("link them one by one")))
    );
    let without = desk.say(&[&arguments[..], &["--confirm", "17", "--json"]].concat()).await;
    assert_eq!(without.code, Some(1), "another count confirms nothing: {without:?}");
    let done = desk.say(&[&arguments[..], &["--confirm", "16", "--json"]].concat()).await;
    assert_eq!(done.code, Some(0), "{done:?}");
    let after = desk.say(&["drift", "--full", "--json"]).await;
    let report: Value = serde_json::from_str(&after.out).expect("JSON");
    let left: Vec<&str> = report["classes"]
        .as_array()
        .expect("classes")
        .iter()
        .flat_map(|c| c["named"].as_array().expect("names"))
        .filter_map(|n| n["profile"].as_str())
        .collect();
    let placeholders: Vec<&str> = payers.iter().filter(|p| p.label.broke.contains("placeholder")).map(|p| p.profile.as_str()).collect();
    let ours: Vec<&str> = payers.iter().map(|p| p.profile.as_str()).filter(|p| left.contains(p)).collect();
    assert_eq!(ours, placeholders, "everybody else is right now");
}
