//! The real console in a pseudo-terminal, on a bench of its own: what it writes, how fast it answers, how it ends.

mod bursts;
mod bytes;
mod hostile;
mod life;
mod looks;
mod outages;

use super::bench::{Bench, Options};
use super::terminal::Terminal;
use crate::bench::Payer;
use nightdesk::sandbox::incidents::Incident;
use std::ops::{Deref, DerefMut};
use std::time::Duration;

/// A console on a bench, with a journal of its own.
pub struct Console {
    terminal: Terminal,
    state: tempfile::TempDir,
}

/// What Home says once it has looked at everything that the incidents of [`busy`] broke.
const LINKED: &str = "customers paid and are still FREE, row as before";
/// The same where no log tells that the endpoint was off then.
const UNEXPLAINED: &str = "Nothing Stripe sent was applied since";
const PLACEHOLDER: &str = "Placeholder id in the row";

/// Nothing more is drawn for so long: the answer to a key is complete.
const QUIET: Duration = Duration::from_millis(250);

impl Console {
    pub fn start(variables: &[(String, String)], columns: u16, rows: u16, arguments: &[&str]) -> Self {
        let state = tempfile::tempdir().expect("a directory");
        let mut variables = variables.to_vec();
        variables.push(("NIGHTDESK_STATE_DIR".into(), state.path().to_string_lossy().into_owned()));
        Self { terminal: Terminal::start(columns, rows, arguments, &variables), state }
    }

    /// What the command line needs to look into this console's journal.
    pub fn state_dir(&self) -> String {
        self.state.path().to_string_lossy().into_owned()
    }

    /// Waits until Home has found both incidents and looked closer at all.
    pub fn wait_for_findings(&self) {
        let linked = |s: &str| s.contains(LINKED) || s.contains(UNEXPLAINED);
        self.wait_until("both findings", |s| linked(s) && s.contains(PLACEHOLDER) && !s.contains("looking closer"));
    }

    /// The bytes that the console writes for these keys, until it is quiet again.
    pub fn cost(&mut self, keys: &str) -> usize {
        let before = self.settled(QUIET);
        self.send(keys);
        // Where nothing at all is drawn, there is nothing to wait for either.
        let start = std::time::Instant::now();
        while self.bytes() == before && start.elapsed() < Duration::from_secs(2) {
            std::thread::sleep(Duration::from_millis(2));
        }
        self.settled(QUIET) - before
    }

    /// The row that the selection is on: the one marked in the first column.
    pub fn selection(&self) -> Option<usize> {
        self.screen().lines().position(|l| l.starts_with('›') || l.starts_with('>'))
    }
}

impl Deref for Console {
    type Target = Terminal;

    fn deref(&self) -> &Terminal {
        &self.terminal
    }
}

impl DerefMut for Console {
    fn deref_mut(&mut self) -> &mut Terminal {
        &mut self.terminal
    }
}

/// The bench's variables, owned.
pub fn variables(bench: &Bench) -> Vec<(String, String)> {
    bench.environment().into_iter().map(|(n, v)| (n.to_string(), v)).collect()
}

/// A bench on which two things went wrong, and whom they hurt.
pub async fn troubled() -> (Bench, Vec<Payer>) {
    let bench = Bench::start(Options::default()).await;
    let mut labels = bench.strike(Incident::PlaceholderCustomers, 3).await;
    labels.extend(bench.strike(Incident::MissedWebhooks, 3).await);
    (bench, labels)
}

/// A console on a troubled bench that has found out what is wrong.
pub async fn busy(columns: u16, rows: u16, arguments: &[&str], extra: &[(&str, &str)]) -> (Bench, Vec<Payer>, Console) {
    let (bench, labels) = troubled().await;
    let mut all = variables(&bench);
    all.extend(extra.iter().map(|(n, v)| ((*n).to_string(), (*v).to_string())));
    let console = Console::start(&all, columns, rows, arguments);
    console.wait_for_findings();
    (bench, labels, console)
}
