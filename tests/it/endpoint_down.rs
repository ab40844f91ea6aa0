//! The emergency *Webhook endpoint down* in the real console: keys counted from Home, the restart by command or by hand, the backfill, a kill
//! in between; and the call for help.

use crate::bench::{Bench, Options, http, until};
use crate::command;
use crate::hands::Hands;
use crate::terminal::Terminal;
use nightdesk::sandbox::app::Manner;
use nightdesk::sandbox::incidents::{Incident, Label};
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// The bar: so many keys from Home to all effects applied. Reasons, phrases and the count are typed extra.
const MOST: usize = 7;
/// The answer to whether the endpoint may be probed, which is asked on LIVE alone.
const ASKED_ON_LIVE: usize = 2;
/// A system whose webhooks reach nobody, or are refused, and the place of the one who mends it.
struct Night {
    bench: Bench,
    incident: Incident,
    labels: Vec<Label>,
    seat: command::Desk,
}

impl Night {
    async fn begin(incident: Incident, manner: Manner, hooks: &str) -> Self {
        let bench = Bench::start(Options { manner, ..Options::default() }).await;
        let labels = bench.ground.strike(incident, 8).await.expect("there are enough");
        let seat = command::Desk::of(&bench);
        let hooks = hooks.replace("PLACE", &seat.state.path().to_string_lossy());
        let seat = seat.configured(&format!("[stripe]\nresends_per_s = 20\nbackground_per_s = 50\n{hooks}"));
        Self { bench, incident, labels, seat }
    }

    /// A command that restarts the application: it says that it has begun, and goes on until the application is up again.
    async fn with_command(manner: Manner) -> Self {
        let script = "echo stopping; echo once >> PLACE/restarts; while [ ! -e PLACE/up ]; do sleep 0.05; done; echo started";
        Self::begin(Incident::EndpointDown, manner, &format!("[hooks]\nrestart_app = [\"sh\", \"-c\", {script:?}]\n")).await
    }

    fn place(&self, file: &str) -> PathBuf {
        self.seat.state.path().join(file)
    }

    /// What the command waits for.
    async fn bring_up(&self) {
        self.bench.ground.lift(self.incident).await.expect("up again");
        std::fs::write(self.place("up"), "").expect("written");
    }

    /// The run whose end `said` told goes on with the backfill, confirmed by the count that is asked for.
    async fn resumed(&self, said: &command::Said) -> serde_json::Value {
        let run = said.sentence().split("run ").nth(1).and_then(|t| t.split(' ').next()).expect("an id").to_string();
        let resume = ["runs", "resume", &run, "--reason", "ticket 4411", "--json"];
        let told = self.seat.say(&resume).await;
        let count = told.sentence().split("--confirm ").nth(1).map(|t| t.chars().filter(char::is_ascii_digit).collect::<String>());
        let count = count.unwrap_or_else(|| panic!("{told:?}"));
        self.seat.say(&[&resume[..], &["--confirm", &count]].concat()).await.well()
    }

    fn restarts(&self) -> usize {
        std::fs::read_to_string(self.place("restarts")).unwrap_or_default().lines().count()
    }

    fn console(&self) -> Hands {
        let mut variables = self.seat.variables.clone();
        variables.push(("NIGHTDESK_STATE_DIR".into(), self.seat.state.path().to_string_lossy().into_owned()));
        variables.push(("NIGHTDESK_OPERATOR".into(), "test".into()));
        Hands { terminal: Terminal::start(100, 30, &[], &variables), pressed: 0 }
    }

    /// Every effect is there, and the whole account agrees with its rows.
    async fn is_over(&self) {
        for label in self.labels.iter().filter(|l| l.hurts()) {
            assert!(self.bench.ground.repaired(label).await.unwrap(), "{label:?}");
        }
        let drift = self.seat.say(&["drift", "--full", "--json"]).await;
        assert_eq!(drift.code, Some(0), "drift 0: {drift:?}");
    }
}

impl Hands {
    /// Home has said what is wrong, and why: no key was pressed.
    fn told(&self, why: &str) {
        self.terminal.wait_until(why, |s| s.contains("Nothing Stripe sent was applied since") && s.contains(why));
        assert_eq!(self.pressed, 0, "the answer is there before a key");
    }

    fn begin(&mut self) {
        self.press("f");
    }

    fn is_within_the_bar(&self) {
        assert!(self.pressed + ASKED_ON_LIVE <= MOST, "{} keys", self.pressed);
    }

    fn writes_on(&mut self) {
        self.terminal.wait_for("turns writes on");
        self.press("w");
        self.terminal.wait_for("Why? The reason is journaled");
        self.enter("ticket 4411");
    }

    /// Types the count that the review of the backfill asks for.
    fn backfill(&mut self) {
        let asks = |s: &str| s.split("Type ").nth(1).and_then(|t| t.split_whitespace().next()).is_some_and(|w| w.parse::<u32>().is_ok());
        let screen = self.terminal.wait_until("a count to type", asks);
        let count = screen.split("Type ").nth(1).and_then(|t| t.split_whitespace().next()).expect("just seen").to_string();
        self.enter(&count);
        let screen = self.terminal.wait_for("DONE");
        let said = in_one_line(&screen);
        assert!(said.contains(&format!("✓ drift 0 of {count}")) && said.contains("No row of these customers differs"), "{screen}");
    }
}

/// What is on screen, without its line breaks.
fn in_one_line(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

async fn by_command(manner: Manner) {
    let night = Night::with_command(manner).await;
    let mut hands = night.console();
    hands.told("Likely the endpoint, which takes nothing");
    hands.begin();
    hands.terminal.wait_for("Restart the application");
    hands.writes_on();
    hands.terminal.wait_for("Type restart");
    hands.enter("restart");
    // The command goes on until the application is up: what it prints is on screen before it has ended.
    hands.terminal.wait_for("stopping");
    night.bring_up().await;
    hands.terminal.wait_for("One step further");
    hands.backfill();
    hands.is_within_the_bar();
    assert_eq!(night.restarts(), 1);
    night.is_over().await;
}

async fn by_hand(incident: Incident, manner: Manner, why: &str, to_do: &str) {
    let night = Night::begin(incident, manner, "").await;
    let mut hands = night.console();
    hands.told(why);
    hands.begin();
    let screen = hands.terminal.wait_for("Done by hand:");
    assert!(screen.contains(to_do), "{screen}");
    night.bring_up().await;
    hands.enter("mended by the platform rota");
    hands.writes_on();
    hands.backfill();
    hands.is_within_the_bar();
    night.is_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_down_is_restarted_by_the_command_and_what_was_missed_comes() {
    by_command(Manner::Honest).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_down_is_restarted_by_hand_where_no_command_does_it() {
    let why = "Likely the endpoint, which takes nothing";
    by_hand(Incident::EndpointDown, Manner::Swallowing, why, "Restart the application with your own tools").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_screen_what_is_down_is_restarted_and_the_backfill_is_confirmed_by_its_count() {
    let night = Night::with_command(Manner::Honest).await;
    let reason = ["--reason", "ticket 4411", "--json"];
    let emergency = ["run", "endpoint-down"];
    let planned = night.seat.say(&[&emergency[..], &["--dry-run", "--json"]].concat()).await.well();
    assert_eq!((&planned["state"], &planned["plan"]["confirm"]), (&"planned".into(), &"restart".into()), "{planned}");
    assert_eq!(night.restarts(), 0);
    night.seat.say(&[&emergency[..], &["--confirm", "yes"], &reason].concat()).await.declined(&["restart"]);
    let arguments = [&emergency[..], &["--confirm", "restart"], &reason].concat();
    let started = async {
        until("the command is run", async || night.restarts() == 1).await;
        night.bring_up().await;
    };
    let (next, ()) = tokio::join!(night.seat.say(&arguments), started);
    next.declined(&["has a next step that nobody has confirmed", "nightdesk runs resume"]);
    let done = night.resumed(&next).await;
    assert_eq!(done["state"], "done", "{done}");
    assert_eq!(night.restarts(), 1);
    night.is_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_screen_what_was_done_by_hand_is_said_with_an_argument() {
    let night = Night::begin(Incident::WrongSecret, Manner::Honest, "").await;
    let emergency = ["run", "endpoint-down", "--reason", "ticket 4411"];
    night.seat.say(&emergency).await.declined(&["done by hand", "nightdesk run endpoint-down --attest"]);
    night.seat.say(&[&emergency[..], &["--attest", " "]].concat()).await.refused(&["--attest"]);
    assert_eq!(night.seat.say(&["runs", "--json"]).await.well(), serde_json::json!([]), "nothing was begun");
    night.bring_up().await;
    let next = night.seat.say(&[&emergency[..], &["--attest", "set the secret"]].concat()).await;
    next.declined(&["has a next step that nobody has confirmed", "nightdesk runs resume"]);
    let done = night.resumed(&next).await;
    assert_eq!(done["state"], "done", "{done}");
    night.is_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_is_told_and_mended_by_hand() {
    by_hand(Incident::WrongSecret, Manner::Honest, "Likely the signing secret", "STRIPE_WEBHOOK_SECRET").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_behind_answers_of_200_is_told_and_mended_by_hand() {
    by_hand(Incident::WrongSecret, Manner::Swallowing, "Likely the signing secret", "STRIPE_WEBHOOK_SECRET").await;
}

/// Killed once the screen says `at`, and taken up by another console: nothing is restarted twice, and the rest is done. `late`: the
/// application comes up only then.
async fn killed(at: &str, late: bool) {
    let night = Night::with_command(Manner::Honest).await;
    let mut hands = night.console();
    hands.told("Likely the endpoint, which takes nothing");
    hands.begin();
    hands.writes_on();
    hands.terminal.wait_for("Type restart");
    hands.enter("restart");
    hands.terminal.wait_for("stopping");
    if at != "stopping" {
        night.bring_up().await;
        hands.terminal.wait_for(at);
    }
    hands.terminal.signal(Signal::SIGKILL);
    assert!(hands.terminal.ended_within(Duration::from_secs(5)).is_some());
    if at == "stopping" && !late {
        night.bring_up().await;
    }

    let mut hands = night.console();
    // Until all is found the list may still move under the cursor.
    let all = |s: &str| s.contains("Your run") && s.contains("Nothing Stripe sent was applied since");
    hands.terminal.wait_until("the run and the silence", all);
    for _ in 0..10 {
        if hands.terminal.screen().contains("resume") {
            break;
        }
        hands.press("j");
    }
    hands.press("\r");
    if late {
        hands.terminal.wait_for("shows no effect yet");
        night.bring_up().await;
    }
    hands.writes_on();
    hands.backfill();
    assert_eq!(night.restarts(), 1, "what was done is not done again");
    night.is_over().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_between_restart_and_backfill_it_goes_on_with_the_backfill() {
    killed("One step further", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_during_the_restart_it_does_not_restart_again() {
    killed("stopping", false).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn killed_during_the_restart_it_waits_for_an_application_that_is_still_down() {
    killed("stopping", true).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_that_is_off_or_gone_in_stripe_is_found_before_anything_is_missing() {
    let night = Night { incident: Incident::EndpointDown, labels: Vec::new(), ..quiet("").await };
    let url = format!("{}/v1/webhook_endpoints/{}", night.bench.simulator.base_url(), night.bench.simulator.webhook_endpoint().unwrap());
    let request = http().post(&url).bearer_auth(night.bench.simulator.secret_key());
    let off = request.header("Content-Type", "application/x-www-form-urlencoded").body("disabled=true").send().await.unwrap();
    assert_eq!(off.status(), 200);
    let mut hands = night.console();
    hands.terminal.wait_for("The webhook endpoint is disabled in Stripe");
    hands.press("f");
    hands.terminal.wait_for("Done by hand:");
    drop(hands);
    assert_eq!(http().delete(&url).bearer_auth(night.bench.simulator.secret_key()).send().await.unwrap().status(), 200);
    night.console().terminal.wait_for("No endpoint in Stripe leads to /webhooks/stripe");
}

/// Nothing is wrong.
async fn quiet(hooks: &str) -> Night {
    let bench = Bench::start(Options::default()).await;
    let seat = command::Desk::of(&bench);
    let hooks = hooks.replace("PLACE", &seat.state.path().to_string_lossy());
    let seat = seat.configured(&hooks);
    Night { bench, incident: Incident::EndpointDown, labels: Vec::new(), seat }
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_is_called_by_the_command_with_the_message_that_was_read() {
    let hooks = "[hooks]\nescalate = [\"sh\", \"-c\", \"echo \\\"$0\\\" > PLACE/to; cat > PLACE/message; echo paged\", \"{contact}\"]\n\
                 [[contacts]]\nissue = \"Webhooks\"\ncontact = \"the payments rota\"\nresponds = \"15 minutes\"\n";
    let night = quiet(hooks).await;
    let mut hands = night.console();
    hands.terminal.wait_for("All quiet");
    hands.press("!");
    hands.terminal.wait_for("the payments rota");
    hands.press("\r");
    let screen = hands.terminal.wait_for("turns writes on");
    let shown = in_one_line(&screen);
    assert!(shown.contains("To the payments rota: Webhooks") && shown.contains("On call: test"), "shown first: {screen}");
    assert!(!night.place("message").exists());
    hands.writes_on();
    hands.terminal.wait_for("does it. Nothing has been sent yet");
    hands.press("y");
    let screen = hands.terminal.wait_for("DONE");
    assert_eq!(screen.matches("paged").count(), 1, "once, in the sentence: {screen}");
    let sent = std::fs::read_to_string(night.place("message")).unwrap();
    assert!(sent.starts_with("To the payments rota: Webhooks\nTEST") && sent.contains("On call: test"), "{sent}");
    assert!(sent.contains("\nNo finding: ") && sent.ends_with('\n'), "nothing is wrong, and no line is left open: {sent:?}");
    assert_eq!(std::fs::read_to_string(night.place("to")).unwrap().trim(), "the payments rota");
    let runs = night.seat.say(&["runs", "--json"]).await.well();
    assert_eq!((&runs[0]["procedure"], &runs[0]["state"]), (&"escalate".into(), &"done".into()), "{runs}");
}
