//! How much colour and which glyphs this terminal gets, from options, environment and locale.

use crate::console::widgets::theme::{Colour, Glyphs, Theme};

/// `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ColourChoice {
    /// The terminal's sixteen, or none where `NO_COLOR` is set or the terminal is dumb.
    #[default]
    Auto,
    Never,
    Sixteen,
    Fixed256,
    True,
}

/// The theme for this choice; `env` looks up an environment variable.
#[must_use]
pub fn theme(choice: ColourChoice, ascii: bool, env: impl Fn(&str) -> Option<String>) -> Theme {
    let set = |name: &str| env(name).filter(|v| !v.is_empty());
    let colour = match choice {
        ColourChoice::Never => Colour::Never,
        ColourChoice::Sixteen => Colour::Ansi,
        ColourChoice::Fixed256 => Colour::Fixed256,
        ColourChoice::True => Colour::True,
        ColourChoice::Auto if set("NO_COLOR").is_some() || set("TERM").as_deref() == Some("dumb") => Colour::Never,
        ColourChoice::Auto => Colour::Ansi,
    };
    let locale = set("LC_ALL").or_else(|| set("LC_CTYPE")).or_else(|| set("LANG")).unwrap_or_default();
    let utf8 = locale.to_ascii_lowercase().replace('-', "").contains("utf8");
    // There these characters may be two columns wide, and every line would break.
    let wide = ["zh", "ja", "ko"].iter().any(|l| locale.starts_with(l));
    let glyphs = if ascii || !utf8 || wide { Glyphs::Ascii } else { Glyphs::Unicode };
    Theme { colour, glyphs }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn options_and_locale_decide() {
        let of = |choice, ascii, lang: &'static str, no_colour: bool| {
            theme(choice, ascii, move |name| match name {
                "LANG" => Some(lang.to_string()),
                "NO_COLOR" if no_colour => Some("1".into()),
                _ => None,
            })
        };
        assert_eq!(of(ColourChoice::Auto, false, "en_GB.UTF-8", false), Theme::default());
        assert_eq!(of(ColourChoice::Auto, false, "C.utf8", true), Theme::mono());
        assert_eq!(of(ColourChoice::Sixteen, false, "C.utf8", true).colour, Colour::Ansi, "asked for outright");
        for (ascii, lang) in [(true, "C.utf8"), (false, "C"), (false, "ja_JP.UTF-8")] {
            assert_eq!(of(ColourChoice::Auto, ascii, lang, false).glyphs, Glyphs::Ascii, "{lang}");
        }
    }
}
