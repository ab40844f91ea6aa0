//! The screen as text, for a message to a colleague: what is shown, personal data masked whatever was revealed.

use crate::console::frame;
use crate::console::state::State;
use crate::domain::mask;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use unicode_width::UnicodeWidthStr;

/// The screen below any dialog, line by line, without trailing blanks. Cells only, so nothing in it can be an escape sequence.
#[must_use]
pub fn masked(state: &State) -> String {
    let mut state = state.clone();
    (state.dialog, state.world.revealed_until, state.said) = (None, None, None);
    state.customers.mask();
    state.quota.mask();
    let (columns, rows) = (state.world.columns, state.world.rows);
    let mut buf = Buffer::empty(Rect::new(0, 0, columns, rows));
    frame::draw(&state, &mut buf);
    let lines: Vec<String> = (0..rows).map(|y| line(&buf, y)).collect();
    lines.join("\n").trim_end().to_string()
}

fn line(buf: &Buffer, y: u16) -> String {
    let mut line = String::new();
    let mut hidden = 0;
    for x in 0..buf.area.width {
        if hidden == 0 {
            let symbol = buf[(x, y)].symbol();
            line.push_str(symbol);
            hidden = symbol.width().saturating_sub(1);
        } else {
            hidden -= 1;
        }
    }
    mask::addresses(line.trim_end())
}
