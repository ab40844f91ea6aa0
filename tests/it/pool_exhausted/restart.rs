//! A setting was changed: the restart by the configured command, its output as it comes, or attested, on screen and by `runs resume`.

use super::{Fate, Hands, Night, journaled, of};
use crate::bench::until;
use nix::sys::signal::Signal;
use std::path::PathBuf;
use std::time::Duration;

/// Two leaks are ended, and what waited goes on.
const LEAKS: usize = 2;

/// It says that it has begun, and goes on until it is let.
const COMMAND: &str = "[hooks]\nrestart_app = [\"sh\", \"-c\", \"echo stopping; echo once >> PLACE/restarts; \
                       while [ ! -e PLACE/up ]; do sleep 0.05; done; echo started\"]\n";

impl Night {
    /// The same night with this configuration instead of the sandbox's.
    async fn with(toml: &str) -> Self {
        let mut night = Self::begin().await;
        let path = night.place("own.toml");
        std::fs::write(&path, toml.replace("PLACE", &night.desk.state.path().to_string_lossy())).unwrap();
        night.desk.variables.retain(|(n, _)| n != "NIGHTDESK_CONFIG");
        night.desk.variables.push(("NIGHTDESK_CONFIG".into(), path.to_string_lossy().into_owned()));
        night
    }

    fn place(&self, file: &str) -> PathBuf {
        self.desk.state.path().join(file)
    }

    fn restarts(&self) -> usize {
        std::fs::read_to_string(self.place("restarts")).unwrap_or_default().lines().count()
    }

    /// A console with the command line's own journal, in which the leaks were ended: it asks whether a setting was changed.
    async fn asked(&self) -> Hands {
        let labels = self.strike(LEAKS).await;
        assert_eq!(of(&labels, Fate::End), LEAKS);
        self.aged(4).await;
        let mut hands = self.reviewed();
        hands.enter("2");
        hands.terminal.wait_for("Was a setting changed");
        hands
    }
}

impl Hands {
    /// The first of the settings: what sits idle in a transaction is ended by the server.
    fn says_the_timeout_was_set(&mut self) {
        self.press("j");
        self.press("j");
        self.press("\r");
    }
}

fn in_one_line(screen: &str) -> String {
    screen.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[tokio::test(flavor = "multi_thread")]
async fn after_a_change_the_command_restarts_the_application_and_its_words_come_as_it_says_them() {
    let night = Night::with(COMMAND).await;
    let mut hands = night.asked().await;
    hands.says_the_timeout_was_set();
    let review = hands.terminal.wait_for("Type restart");
    assert!(in_one_line(&review).contains("idle_in_transaction_session_timeout was set"), "{review}");
    assert_eq!(night.restarts(), 0, "nothing runs before it is confirmed");
    hands.enter("restart");
    // The command has not ended: it waits for a file that is not there.
    hands.terminal.wait_for("stopping");
    assert!(!hands.terminal.screen().contains("Watched until"));
    std::fs::write(night.place("up"), "").unwrap();
    hands.terminal.wait_for("Watched until");
    assert_eq!(night.restarts(), 1);
    // Another console that takes it up runs it no second time.
    hands.terminal.signal(Signal::SIGKILL);
    assert!(hands.terminal.ended_within(Duration::from_secs(5)).is_some());
    let run = night.desk.say(&["runs", "--json"]).await.well()[0]["run"].as_str().unwrap().to_string();
    let told = night.desk.say(&["runs", "resume", &run, "--reason", "a test", "--json"]).await;
    assert!(told.json()["says"].as_str().unwrap().starts_with("Watched until"), "{told:?}");
    assert_eq!(night.restarts(), 1);
    night.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_command_the_restart_is_attested_on_screen() {
    let night = Night::with("").await;
    let mut hands = night.asked().await;
    hands.says_the_timeout_was_set();
    let screen = hands.terminal.wait_for("Done by hand:");
    assert!(in_one_line(&screen).contains("no command is configured for it ([hooks] restart_app)"), "{screen}");
    hands.enter("rolled the pods");
    hands.terminal.wait_for("Watched until");
    night.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_waits_for_somebodys_hands_is_attested_from_the_command_line() {
    let night = Night::with("").await;
    let hands = night.asked().await;
    hands.terminal.signal(Signal::SIGKILL);
    drop(hands);
    let run = night.desk.say(&["runs", "--json"]).await.well()[0]["run"].as_str().unwrap().to_string();
    let resume = async |more: &[&str]| night.desk.say(&[&["runs", "resume", &run, "--reason", "a test", "--json"], more].concat()).await;

    // It asks for the setting first: there is nothing by hand yet.
    resume(&["--attest", "rolled the pods"]).await.declined(&["waits for nothing that is done by hand"]);
    resume(&["--setting", "timeout"]).await.declined(&["waits for what is done by hand", "Restart the application", "--attest TEXT"]);
    // The setting was journaled, and is not asked again.
    resume(&[]).await.declined(&["waits for what is done by hand", "--attest TEXT"]);
    resume(&["--attest", " "]).await.refused(&["say in a few words what was done"]);
    let done = resume(&["--attest", "rolled the pods"]).await;
    assert_eq!((done.code, done.json()["state"].as_str()), (Some(1), Some("waiting")), "{done:?}");
    assert!(done.json()["says"].as_str().unwrap().starts_with("Watched until"), "{done:?}");
    let again = resume(&[]).await;
    assert!(again.json()["says"].as_str().unwrap().starts_with("Watched until"), "what was said is kept: {again:?}");
    let audit = night.desk.say(&["audit", "verify", "--json"]).await;
    assert_eq!(audit.code, Some(0), "{audit:?}");
    let written = journaled(&night.desk);
    assert!(written.iter().any(|e| e["entry"] == "attested" && e["step"] == "restart"), "{written:?}");
    night.sandbox.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn from_the_command_line_the_restart_is_a_step_of_its_own_and_its_words_come_as_it_says_them() {
    let night = Night::with(COMMAND).await;
    night.strike(LEAKS).await;
    night.aged(4).await;
    let said = night.desk.say(&["run", "pool-exhausted", "--confirm", "2", "--setting", "pool", "--reason", "a test"]).await;
    assert!(said.code == Some(1) && said.err.contains("has a next step that nobody has confirmed: Restart the application"), "{said:?}");
    assert_eq!(night.restarts(), 0);
    let run = night.desk.say(&["runs", "--json"]).await.well()[0]["run"].as_str().unwrap().to_string();
    let resume = ["runs", "resume", &run, "--reason", "a test"];
    night.desk.say(&resume).await.refused(&["--confirm \"restart\""]);
    let mut begun = night.desk.begin(&[&resume[..], &["--confirm", "restart"]].concat());
    // The command has not ended: it waits for a file that is not there.
    until("its words are told", async || begun.said().err.contains("stopping")).await;
    assert_eq!(begun.said().code, None);
    std::fs::write(night.place("up"), "").unwrap();
    begun.ended().await;
    let said = begun.said();
    assert!(said.code == Some(1) && said.err.contains("started") && said.out.contains("waiting: Watched until"), "{said:?}");
    assert_eq!(night.restarts(), 1);
    night.sandbox.stop().await;
}
