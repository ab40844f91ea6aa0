//! Styles by role and glyphs by locale: at most three hues at once, every state a word before it is a colour.

use ratatui::style::{Color, Modifier, Style};
use serde::{Deserialize, Serialize};

/// How much colour the terminal gets.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Colour {
    /// Attributes only: bold, dim, reverse.
    Never,
    /// The terminal's own sixteen.
    #[default]
    Ansi,
    Fixed256,
    True,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum Glyphs {
    #[default]
    Unicode,
    /// For locales that are not UTF-8, or where these characters are wide.
    Ascii,
}

/// How the console looks. Chosen once, at start.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Theme {
    pub colour: Colour,
    pub glyphs: Glyphs,
}

impl Theme {
    #[must_use]
    pub fn mono() -> Self {
        Self { colour: Colour::Never, glyphs: Glyphs::Unicode }
    }

    fn hue(self, ansi: Color, fixed: u8, rgb: (u8, u8, u8)) -> Style {
        match self.colour {
            Colour::Never => Style::new(),
            Colour::Ansi => Style::new().fg(ansi),
            Colour::Fixed256 => Style::new().fg(Color::Indexed(fixed)),
            Colour::True => Style::new().fg(Color::Rgb(rgb.0, rgb.1, rgb.2)),
        }
    }

    #[must_use]
    pub fn plain(self) -> Style {
        Style::new()
    }

    /// The word FAIL, and nothing else.
    #[must_use]
    pub fn fail(self) -> Style {
        self.hue(Color::Red, 167, (215, 95, 95)).add_modifier(Modifier::BOLD)
    }

    /// WARN, STALE, `≠`.
    #[must_use]
    pub fn warn(self) -> Style {
        self.hue(Color::Yellow, 179, (215, 175, 95))
    }

    /// A result just verified.
    #[must_use]
    pub fn ok(self) -> Style {
        self.hue(Color::Green, 108, (135, 175, 135))
    }

    /// The one recommended key.
    #[must_use]
    pub fn key(self) -> Style {
        self.hue(Color::Cyan, 110, (135, 175, 215)).add_modifier(Modifier::BOLD)
    }

    /// Labels, ages, rules.
    #[must_use]
    pub fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    #[must_use]
    pub fn bold(self) -> Style {
        Style::new().add_modifier(Modifier::BOLD)
    }

    #[must_use]
    pub fn selected(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }

    /// LIVE while writes are on: danger.
    #[must_use]
    pub fn danger(self) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        match self.colour {
            Colour::Never => style.add_modifier(Modifier::REVERSED),
            _ => style.bg(Color::Red).fg(Color::White),
        }
    }

    fn glyph(self, unicode: &'static str, ascii: &'static str) -> &'static str {
        match self.glyphs {
            Glyphs::Unicode => unicode,
            Glyphs::Ascii => ascii,
        }
    }

    #[must_use]
    pub fn rule(self) -> &'static str {
        self.glyph("─", "-")
    }

    /// Marks the selected row and the current pane.
    #[must_use]
    pub fn pointer(self) -> &'static str {
        self.glyph("›", ">")
    }

    #[must_use]
    pub fn done(self) -> &'static str {
        self.glyph("✓", "x")
    }

    #[must_use]
    pub fn current(self) -> &'static str {
        self.glyph("●", "*")
    }

    #[must_use]
    pub fn pending(self) -> &'static str {
        self.glyph("○", "o")
    }

    #[must_use]
    pub fn differs(self) -> &'static str {
        self.glyph("≠", "!=")
    }

    #[must_use]
    pub fn dot(self) -> &'static str {
        self.glyph("·", ".")
    }

    #[must_use]
    pub fn arrow(self) -> &'static str {
        self.glyph("→", "->")
    }

    #[must_use]
    pub fn cut(self) -> &'static str {
        self.glyph("…", "~")
    }

    /// Eight heights for block charts, lowest first; `None` where only words will do.
    #[must_use]
    pub fn blocks(self) -> &'static [&'static str] {
        match self.glyphs {
            Glyphs::Unicode => &["▁", "▂", "▃", "▄", "▅", "▆", "▇", "█"],
            Glyphs::Ascii => &["_", ".", ".", "-", "-", "=", "=", "#"],
        }
    }
}
