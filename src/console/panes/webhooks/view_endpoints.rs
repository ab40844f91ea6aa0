//! How the endpoints look: URL, state, what they get, and what the last probe said.

use super::model::Model;
use super::view::{Below, TEXT, below_room, stacked, when};
use crate::console::context::Context;
use crate::console::widgets::paint::{put, put_right, wrap};
use crate::console::widgets::panel::{self, Panel};
use crate::console::widgets::theme::Theme;
use crate::domain::facts::Known;
use crate::domain::webhooks::endpoint::{Endpoint, HANDLED};
use crate::domain::webhooks::probe::{Assessment, Level};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;

pub fn draw(m: &Model, cx: &Context, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let text = Rect { x: area.x + TEXT - 1, width: area.width - TEXT + 1, ..area };
    match &m.endpoints {
        Known::Waiting => {
            panel::draw(buf, theme, text, &Panel::Reading { what: "Reading the endpoints registered in Stripe", waited_ms: m.waited(cx) });
        }
        Known::Failed(fault) => {
            let still = "Whether effects arrived is told without it: Causes and Events.";
            panel::draw(buf, theme, text, &Panel::Failed { fault, still });
        }
        Known::Is { value, .. } if value.is_empty() => {
            let sentence = "No webhook endpoint is registered in Stripe for this account: nothing is delivered to the application.";
            panel::draw(buf, theme, text, &Panel::Empty(sentence));
        }
        Known::Is { value, .. } => {
            let assessment = m.assessment(cx);
            let of = |e: &Endpoint| assessment.as_ref().filter(|_| m.probed.value().is_some_and(|p| e.is_for(&p.url)));
            let wrapped = |e: &Endpoint| wrap(&below(e, m, of(e), cx, theme), below_room(area));
            let below: Vec<Vec<Below>> = value.iter().map(|e| wrapped(e).into_iter().map(|l| (l, theme.dim())).collect()).collect();
            stacked(buf, theme, area, &below, m.endpoint.at, |i, line, buf| endpoint(&value[i], of(&value[i]), line, buf, theme));
        }
    }
}

fn endpoint(e: &Endpoint, probe: Option<&Assessment>, area: Rect, buf: &mut Buffer, theme: &Theme) {
    let lacks = e.lacks();
    let level = match (e.enabled, lacks.is_empty()) {
        (false, _) => Level::Fail,
        (_, false) => Level::Warn,
        _ => Level::Ok,
    };
    let level = level.max(probe.map_or(Level::Ok, |p| p.worst().level));
    let style = match level {
        Level::Fail => theme.fail(),
        Level::Warn => theme.warn(),
        Level::Ok => theme.dim(),
    };
    put(buf, theme, area.x + 1, area.y, level.word(), style, 5);
    let mode = if e.livemode { "live" } else { "test" };
    let state = format!("{}  {mode}", if e.enabled { "enabled" } else { "disabled" });
    let end = put_right(buf, theme, area.right() - 1, area.y, &state, theme.plain(), 20);
    put(buf, theme, area.x + TEXT, area.y, &e.url, theme.plain(), end.saturating_sub(area.x + TEXT + 2));
}

/// What the last probe found, what it gets, and in which shape.
fn below(e: &Endpoint, m: &Model, probe: Option<&Assessment>, cx: &Context, theme: &Theme) -> String {
    let lacks = e.lacks();
    let types = match lacks.as_slice() {
        [] => format!("gets all {} handled types", HANDLED.len()),
        [one] => format!("does not get {one}"),
        many => format!("gets {} of {} handled types", HANDLED.len() - many.len(), HANDLED.len()),
    };
    let version = e.api_version.as_ref().map_or_else(|| "the account's API version".to_string(), |v| format!("API {v}"));
    let probed = match (&m.probed, probe) {
        _ if m.probing.is_some() => "probing…".to_string(),
        (Known::Failed(fault), _) => format!("probe: {}", fault.class()),
        (known, Some(p)) => {
            let at = known.at().map(|at| format!(" {}", when(at, cx.now))).unwrap_or_default();
            format!("probe{at}: {}", p.worst().finding.word())
        }
        _ => "not probed yet".to_string(),
    };
    [probed, types, version].join(&format!(" {} ", theme.dot()))
}
