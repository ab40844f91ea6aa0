//! The real binary as a command: arguments and variables in, words and exit code out; nothing of the caller's environment.

use crate::bench::{self, Bench};
use serde_json::Value;
use std::process::Stdio;
use std::time::Duration;
use tempfile::TempDir;

/// Far above what any command needs.
const PATIENCE: Duration = Duration::from_secs(120);

/// Where commands are given: variables, and a state directory of its own.
pub struct Desk {
    pub state: TempDir,
    pub variables: Vec<(String, String)>,
}

/// What a command said.
#[derive(Debug)]
pub struct Said {
    pub code: Option<i32>,
    pub out: String,
    pub err: String,
}

/// A command under way; killed when dropped.
pub struct Begun {
    child: std::process::Child,
    place: std::path::PathBuf,
}

impl Begun {
    /// What it has said so far.
    pub fn said(&mut self) -> Said {
        let read = |name: &str| std::fs::read_to_string(self.place.join(name)).expect("text");
        let code = self.child.try_wait().expect("it can be waited for").and_then(|status| status.code());
        Said { code, out: read("out.txt"), err: read("err.txt") }
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = i32::try_from(self.child.id()).expect("a pid");
        nix::sys::signal::kill(nix::unistd::Pid::from_raw(pid), signal).expect("it runs");
    }

    pub async fn ended(&mut self) {
        bench::until("it ends", async || self.child.try_wait().expect("it can be waited for").is_some()).await;
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Every command prints the same way, so two stand for all: one with a list of its own, one whose text is made elsewhere.
#[test]
fn a_reader_that_goes_away_ends_a_command_quietly() {
    for arguments in [&["drill", "--list"][..], &["completions", "bash"]] {
        let mut child = std::process::Command::new(bench::executable())
            .args(arguments)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("it starts");
        // Nobody reads: the first line that is written finds the pipe closed.
        drop(child.stdout.take());
        let ended = child.wait_with_output().expect("it ends");
        assert_eq!(String::from_utf8_lossy(&ended.stderr), "", "{arguments:?}");
        assert!(ended.status.success(), "{arguments:?}: {:?}", ended.status);
    }
}

impl Desk {
    pub fn of(bench: &Bench) -> Self {
        Self::with(bench.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect())
    }

    pub fn with(variables: Vec<(String, String)>) -> Self {
        Self { state: tempfile::tempdir().expect("a directory"), variables }
    }

    /// The same desk with this variable changed, or taken away where it is empty; the journal is its own.
    pub fn but(&self, name: &str, value: &str) -> Self {
        let mut variables: Vec<_> = self.variables.iter().filter(|(n, _)| n != name).cloned().collect();
        if !value.is_empty() {
            variables.push((name.into(), value.into()));
        }
        Self::with(variables)
    }

    pub fn variable(&self, name: &str) -> &str {
        &self.variables.iter().find(|(n, _)| n == name).unwrap_or_else(|| panic!("{name} is set")).1
    }

    /// The same systems as production: there the file has to name everything itself.
    pub fn in_production(self) -> Self {
        let secret = |key: &str, name: &str| format!("{key} = {{ env = \"{name}\" }}\n");
        let address = |key: &str, name: &str| format!("{key} = {:?}\n", self.variable(name));
        let file: String = [
            "[env.prod]\nproduction = true\n".to_string(),
            secret("database_url", "DATABASE_URL"),
            secret("stripe_key", "STRIPE_SECRET_KEY"),
            address("stripe_base", "STRIPE_API_BASE"),
            address("app_url", "APP_URL"),
            address("webhook_url", "APP_WEBHOOK_URL"),
            secret("admin_token", "APP_ADMIN_TOKEN"),
        ]
        .concat();
        self.configured(&file)
    }

    /// A configuration file on this desk, after the map that its schema may need.
    pub fn configured(mut self, toml: &str) -> Self {
        let map =
            self.variables.iter().find(|(n, _)| n == "NIGHTDESK_CONFIG").map(|(_, path)| std::fs::read_to_string(path).expect("a map"));
        let path = self.state.path().join("nightdesk.toml");
        std::fs::write(&path, format!("{toml}\n{}", map.unwrap_or_default())).expect("written");
        self.variables.retain(|(n, _)| n != "NIGHTDESK_CONFIG");
        self.variables.push(("NIGHTDESK_CONFIG".into(), path.to_string_lossy().into_owned()));
        self
    }

    pub async fn say(&self, arguments: &[&str]) -> Said {
        let mut command = tokio::process::Command::new(bench::executable());
        command.args(arguments).env_clear().stdin(Stdio::null()).kill_on_drop(true);
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("NIGHTDESK_STATE_DIR", self.state.path()).env("NIGHTDESK_OPERATOR", "test");
        command.envs(self.variables.iter().map(|(n, v)| (n, v)));
        let output = tokio::time::timeout(PATIENCE, command.output()).await.expect("it ends").expect("it runs");
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).expect("text"),
            err: String::from_utf8(output.stderr).expect("text"),
        }
    }

    /// Gives the command and does not wait for it; what it says is in these files of the state directory.
    pub fn begin(&self, arguments: &[&str]) -> Begun {
        let file = |name: &str| std::fs::File::create(self.state.path().join(name)).expect("a file");
        let mut command = std::process::Command::new(bench::executable());
        command.args(arguments).env_clear().stdin(Stdio::null()).stdout(file("out.txt")).stderr(file("err.txt"));
        command.env("PATH", std::env::var_os("PATH").unwrap_or_default());
        command.env("NIGHTDESK_STATE_DIR", self.state.path()).env("NIGHTDESK_OPERATOR", "test");
        command.envs(self.variables.iter().map(|(n, v)| (n, v)));
        let child = command.spawn().expect("it starts");
        Begun { child, place: self.state.path().to_path_buf() }
    }

    /// `nightdesk run tier-update` for this customer, confirmed. Where a busy machine is too slow for the sources' time limits, the
    /// command says that it has no answer and has sent nothing: then it is given again.
    pub async fn repair(&self, customer: &str, more: &[&str]) -> Said {
        let arguments = ["run", "tier-update", "--customer", customer, "--yes", "--reason", "a test", "--json"];
        let arguments = [&arguments[..], more].concat();
        let mut said = self.say(&arguments).await;
        for _ in 0..5 {
            if said.code != Some(2) || !said.err.contains("did not answer in time") {
                break;
            }
            said = self.say(&arguments).await;
        }
        said
    }

    pub async fn undo(&self, run: &str) -> Said {
        self.say(&["runs", "undo", run, "--yes", "--reason", "a test", "--json"]).await
    }
}

impl Said {
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// It was answered well; what it printed.
    #[track_caller]
    pub fn well(self) -> Value {
        assert_eq!(self.code, Some(0), "{self:?}");
        self.json()
    }

    /// It was not answered: exit code 2, nothing that looks like an answer, and one sentence with these words.
    #[track_caller]
    pub fn refused(&self, words: &[&str]) {
        self.says_why(2, words);
    }

    /// It was looked at and is not done: exit code 1, and one sentence with these words.
    #[track_caller]
    pub fn declined(&self, words: &[&str]) {
        self.says_why(1, words);
    }

    #[track_caller]
    fn says_why(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        let sentence = self.sentence();
        for word in words {
            assert!(sentence.contains(word), "{word}: {self:?}");
        }
        assert!(!sentence.contains("panicked") && !sentence.contains("Error {"), "{self:?}");
    }

    /// The one sentence on standard error: as text, or as one object of JSON on one line.
    #[track_caller]
    pub fn sentence(&self) -> String {
        let line = self.err.trim_end();
        assert!(!line.contains('\n'), "one line: {self:?}");
        match serde_json::from_str::<Value>(line) {
            Ok(json) => json["error"]["says"].as_str().unwrap_or_else(|| panic!("{self:?}")).to_string(),
            Err(_) => line.strip_prefix("nightdesk: ").unwrap_or_else(|| panic!("one sentence: {self:?}")).to_string(),
        }
    }
}
