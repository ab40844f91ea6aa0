//! The application's last warnings as evidence: asked for from the palette, shown in the evidence panel when they arrive.

use super::Modal;
use crate::console::fulfil;
use crate::console::state::State;
use crate::console::widgets::format::clock;
use crate::domain::fault::{Fault, Source};
use crate::domain::webhooks::log::{Level, LogLine, LogSearch};
use crate::protocol::effect::Effect;
use crate::protocol::query::{Query, Reply};
use crate::protocol::ticket::Slot;
use chrono::Duration;

pub const TITLE: &str = "Application log, warnings of the last hour";
/// More than anybody reads at night.
const LINES: u32 = 200;

/// Why there is nothing to show, where no log is set up.
pub fn available(state: &State) -> Result<(), String> {
    let set_up = state.world.env.as_ref().is_some_and(|e| e.set_up.contains(&Source::Log));
    if set_up { Ok(()) } else { Err("No log is set up: [[env.NAME.logs]] or APP_LOG".into()) }
}

/// Opens the panel and asks.
pub fn open(state: &mut State) -> Vec<Effect> {
    fulfil::dialog(state, Modal::Evidence { title: TITLE.into(), lines: vec!["Reading the log".into()], scroll: 0 });
    let search = LogSearch::warnings(state.world.now - Duration::hours(1), LINES);
    vec![state.tickets.read(Slot::Log, Query::Logs(search))]
}

/// Fills the panel, where it is still open.
pub fn replied(state: &mut State, result: &Result<Reply, Fault>) {
    let Some(Modal::Evidence { title, lines, .. }) = state.dialog.as_mut().map(|d| &mut d.modal) else { return };
    if title != TITLE {
        return;
    }
    *lines = match result {
        Ok(Reply::Logs { lines, note, .. }) => shown(lines, note.as_deref()),
        Ok(_) => return,
        Err(fault) => vec![fault.say.clone()],
    };
}

fn shown(lines: &[LogLine], note: Option<&str>) -> Vec<String> {
    let mut out: Vec<String> = lines.iter().map(line).collect();
    if out.is_empty() {
        out.push("No line of the last hour is a warning or an error.".into());
    }
    // In front: what is lacking may be what is looked for.
    out.splice(0..0, note.map(|n| format!("Not all: {n}.")));
    out
}

fn line(line: &LogLine) -> String {
    let at = line.at.map_or_else(|| "no time".into(), clock);
    match line.level {
        Some(Level::Error) => format!("{at} error: {}", line.text),
        Some(Level::Warn) => format!("{at} warning: {}", line.text),
        Some(Level::Info | Level::Debug) | None => format!("{at} {}", line.text),
    }
}
