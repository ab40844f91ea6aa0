//! From one frame to the next in as few bytes as is sensible; none at all where nothing changed.

use ratatui::buffer::{Buffer, Cell};
use ratatui::style::{Color, Modifier};
use std::fmt::Write;
use unicode_width::UnicodeWidthStr;

/// What is on the terminal, and how its pen stands.
#[derive(Default)]
pub struct Painter {
    shown: Buffer,
    pen: Pen,
    at: Option<(u16, u16)>,
    out: String,
    /// Nothing is known about what is on the terminal.
    lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Pen {
    fg: Color,
    bg: Color,
    modifier: Modifier,
}

/// Erasing the rest of a line takes this many bytes; fewer changed blanks are cheaper written out.
const ERASE_BYTES: usize = 4;

impl Painter {
    /// The next frame is painted whole: somebody else has written to the terminal.
    pub fn forget(&mut self) {
        self.lost = true;
    }

    /// The bytes that turn what is shown into `next`.
    pub fn paint(&mut self, next: Buffer) -> &[u8] {
        self.out.clear();
        if self.lost || self.shown.area != next.area {
            // At the start the screen is blank already, and the pen as it should be.
            if self.lost || self.shown.area.area() > 0 {
                self.out.push_str("\x1b[m\x1b[2J");
            }
            (self.pen, self.at, self.lost) = (Pen::default(), None, false);
            self.shown = Buffer::empty(next.area);
        }
        for y in 0..next.area.height {
            self.row(&next, y);
        }
        self.shown = next;
        self.out.as_bytes()
    }

    fn row(&mut self, next: &Buffer, y: u16) {
        let columns = next.area.width;
        let cells = |b: &'_ Buffer, x: u16| b[(x, y)].clone();
        // The blank end of the line, as it is to be; behind both halves of what stands last.
        let last = (0..columns).rev().find(|x| !is_blank(&next[(*x, y)]));
        let blank_from = last.map_or(0, |x| x + width(&next[(x, y)])).min(columns);
        let changed_blanks = (blank_from..columns).filter(|x| !is_blank(&self.shown[(*x, y)])).count();
        let erases = changed_blanks > ERASE_BYTES;
        let written_to = if erases { blank_from } else { columns };
        // The right half of a wide character is nobody's cell, whatever the buffer holds there; where one was, the next cell
        // is written anew.
        let (mut hidden, mut was_hidden, mut broken) = (0, 0, 0);
        for x in 0..written_to {
            let (new, old) = (cells(next, x), cells(&self.shown, x));
            if hidden == 0 && (new != old || broken > 0) {
                self.cell(x, y, &new, columns);
            }
            let wide = if hidden > 0 { 1 } else { width(&new) };
            let was_wide = if was_hidden > 0 { 1 } else { width(&old) };
            hidden = hidden.max(wide).saturating_sub(1);
            was_hidden = was_hidden.max(was_wide).saturating_sub(1);
            broken = wide.max(was_wide).max(broken).saturating_sub(1);
        }
        if erases {
            // Where half of a wide character was overwritten, the other half is still to go.
            let changed = (blank_from..columns).find(|x| !is_blank(&self.shown[(*x, y)]));
            let first = changed.filter(|_| broken == 0).unwrap_or(blank_from);
            self.go(first, y);
            self.pen(Pen::default());
            self.out.push_str("\x1b[K");
        }
    }

    fn cell(&mut self, x: u16, y: u16, cell: &Cell, columns: u16) {
        self.go(x, y);
        // Many terminals know one weight at a time: what is bold is not dim as well.
        let weight = if cell.modifier.contains(Modifier::BOLD) { cell.modifier - Modifier::DIM } else { cell.modifier };
        self.pen(Pen { fg: cell.fg, bg: cell.bg, modifier: weight });
        self.out.push_str(cell.symbol());
        let end = x + width(cell);
        // Behind the last column terminals differ about where the cursor is.
        self.at = (end < columns).then_some((end, y));
    }

    fn go(&mut self, x: u16, y: u16) {
        match self.at {
            Some((cx, cy)) if (cx, cy) == (x, y) => {}
            Some((cx, cy)) if cy == y && cx < x => {
                let by = x - cx;
                if by == 1 {
                    self.out.push_str("\x1b[C")
                } else {
                    let _ = write!(self.out, "\x1b[{by}C");
                }
            }
            Some((_, cy)) if y == cy + 1 && x == 0 => self.out.push_str("\r\n"),
            _ if x == 0 => {
                let _ = write!(self.out, "\x1b[{}H", y + 1);
            }
            _ => {
                let _ = write!(self.out, "\x1b[{};{}H", y + 1, x + 1);
            }
        }
        self.at = Some((x, y));
    }

    fn pen(&mut self, wanted: Pen) {
        let have = self.pen;
        if have == wanted {
            return;
        }
        self.pen = wanted;
        if wanted == Pen::default() {
            self.out.push_str("\x1b[m");
            return;
        }
        let removes = !(have.modifier - wanted.modifier).is_empty()
            || (have.fg != wanted.fg && wanted.fg == Color::Reset)
            || (have.bg != wanted.bg && wanted.bg == Color::Reset);
        let (have, mut codes) = if removes { (Pen::default(), vec!["0".to_string()]) } else { (have, Vec::new()) };
        let added = wanted.modifier - have.modifier;
        for (modifier, code) in [(Modifier::BOLD, "1"), (Modifier::DIM, "2"), (Modifier::UNDERLINED, "4"), (Modifier::REVERSED, "7")] {
            if added.contains(modifier) {
                codes.push(code.to_string());
            }
        }
        if wanted.fg != have.fg {
            codes.push(colour(wanted.fg, 30));
        }
        if wanted.bg != have.bg {
            codes.push(colour(wanted.bg, 40));
        }
        let _ = write!(self.out, "\x1b[{}m", codes.join(";"));
    }
}

/// How many columns the cell's text takes.
fn width(cell: &Cell) -> u16 {
    u16::try_from(cell.symbol().width()).unwrap_or(1)
}

fn is_blank(cell: &Cell) -> bool {
    cell.symbol() == " "
        && cell.fg == Color::Reset
        && cell.bg == Color::Reset
        && !cell.modifier.intersects(Modifier::REVERSED | Modifier::UNDERLINED)
}

/// The SGR code of a colour; `base` is 30 for the text, 40 for what is behind it.
fn colour(colour: Color, base: u8) -> String {
    let plain = |n: u8| (base + n).to_string();
    let bright = |n: u8| (base + 60 + n).to_string();
    match colour {
        Color::Reset => plain(9),
        Color::Black => plain(0),
        Color::Red => plain(1),
        Color::Green => plain(2),
        Color::Yellow => plain(3),
        Color::Blue => plain(4),
        Color::Magenta => plain(5),
        Color::Cyan => plain(6),
        Color::Gray => plain(7),
        Color::DarkGray => bright(0),
        Color::LightRed => bright(1),
        Color::LightGreen => bright(2),
        Color::LightYellow => bright(3),
        Color::LightBlue => bright(4),
        Color::LightMagenta => bright(5),
        Color::LightCyan => bright(6),
        Color::White => bright(7),
        Color::Indexed(n) => format!("{};5;{n}", base + 8),
        Color::Rgb(r, g, b) => format!("{};2;{r};{g};{b}", base + 8),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use ratatui::layout::Rect;
    use ratatui::style::Style;

    const SIZE: (u16, u16) = (12, 3);

    fn frame(lines: &[(u16, u16, String, u8)]) -> Buffer {
        let mut buf = Buffer::empty(Rect::new(0, 0, SIZE.0, SIZE.1));
        for (x, y, text, style) in lines {
            let style = match style % 4 {
                0 => Style::new(),
                1 => Style::new().add_modifier(Modifier::BOLD).fg(Color::Red),
                2 => Style::new().add_modifier(Modifier::REVERSED),
                _ => Style::new().add_modifier(Modifier::DIM),
            };
            buf.set_stringn(x % SIZE.0, y % SIZE.1, text, usize::from(SIZE.0 - x % SIZE.0), style);
        }
        buf
    }

    /// What a terminal shows after these bytes: text, bold, inverse and colour of every cell.
    fn rendered(parser: &vt100::Parser) -> Vec<(String, bool, bool, vt100::Color)> {
        let screen = parser.screen();
        let cells = (0..SIZE.1).flat_map(|y| (0..SIZE.0).map(move |x| (y, x)));
        cells
            .filter_map(|(y, x)| screen.cell(y, x))
            .filter(|c| !c.is_wide_continuation())
            .map(|c| {
                let text = if c.has_contents() { c.contents().to_string() } else { " ".to_string() };
                // A blank has no weight and no colour that anybody could see.
                let blank = text == " ";
                (text, c.bold() && !blank, c.inverse(), if blank { vt100::Color::Default } else { c.fgcolor() })
            })
            .collect()
    }

    fn arb_frame() -> impl Strategy<Value = Buffer> {
        let text = prop_oneof!["[a-z ]{0,12}", Just("李小龍".to_string()), Just("a李b".to_string()), Just(" ".repeat(12))];
        proptest::collection::vec((0u16..SIZE.0, 0u16..SIZE.1, text, 0u8..4), 0..5).prop_map(|l| frame(&l))
    }

    proptest! {
        #[test]
        fn frame_after_frame_the_terminal_shows_the_last_one(frames in proptest::collection::vec(arb_frame(), 1..6)) {
            let mut painter = Painter::default();
            let mut terminal = vt100::Parser::new(SIZE.1, SIZE.0, 0);
            for frame in &frames {
                terminal.process(painter.paint(frame.clone()));
            }
            let mut once = vt100::Parser::new(SIZE.1, SIZE.0, 0);
            once.process(Painter::default().paint(frames[frames.len() - 1].clone()));
            prop_assert_eq!(rendered(&terminal), rendered(&once));
            prop_assert!(painter.paint(frames[frames.len() - 1].clone()).is_empty(), "the same frame again costs nothing");
        }
    }

    #[test]
    fn a_line_that_becomes_blank_is_erased_not_overwritten() {
        let mut painter = Painter::default();
        painter.paint(frame(&[(0, 1, "abcdefghij".into(), 1)]));
        let bytes = painter.paint(frame(&[])).to_vec();
        assert!(bytes.len() < 12, "{:?}", String::from_utf8_lossy(&bytes));
    }

    #[test]
    fn after_somebody_else_has_written_everything_is_painted_anew() {
        let mut painter = Painter::default();
        painter.paint(frame(&[(0, 0, "abc".into(), 0)]));
        painter.forget();
        assert!(String::from_utf8_lossy(painter.paint(frame(&[(0, 0, "abc".into(), 0)]))).contains("abc"));
    }
}
