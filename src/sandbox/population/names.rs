//! Names from the fake-data crate, in several scripts, each drawn from a seed alone.

use fake::Fake;
use fake::faker::name::raw::{FirstName, LastName};
use fake::locales::{AR_SA, DE_DE, EN, FR_FR, IT_IT, JA_JP, PT_BR, TR_TR, ZH_CN};
use rand::SeedableRng;
use rand::rngs::SmallRng;

pub struct Name {
    first: &'static str,
    last: &'static str,
}

/// `percent` (0 to 99) decides the language.
pub fn draw(seed: u64, percent: u64) -> Name {
    let mut rng = SmallRng::seed_from_u64(seed);
    macro_rules! of {
        ($locale:expr) => {
            Name { first: FirstName($locale).fake_with_rng(&mut rng), last: LastName($locale).fake_with_rng(&mut rng) }
        };
    }
    match percent {
        0..58 => of!(EN),
        58..70 => of!(DE_DE),
        70..78 => of!(FR_FR),
        78..84 => of!(IT_IT),
        84..89 => of!(PT_BR),
        89..92 => of!(TR_TR),
        92..95 => of!(JA_JP),
        95..98 => of!(ZH_CN),
        _ => of!(AR_SA),
    }
}

impl Name {
    pub fn full(&self) -> String {
        format!("{} {}", self.first, self.last)
    }

    /// What an address makes of it: ASCII letters, `mail` where there are none.
    pub fn local_part(&self, capital: bool) -> String {
        let ascii = |text: &str| text.chars().filter(char::is_ascii_alphabetic).collect::<String>().to_ascii_lowercase();
        let (first, last) = (ascii(self.first), ascii(self.last));
        let mut local = match (first.is_empty(), last.is_empty()) {
            (false, false) => format!("{first}.{last}"),
            (true, true) => "mail".to_string(),
            _ => format!("{first}{last}"),
        };
        if capital {
            local[..1].make_ascii_uppercase();
        }
        local
    }
}
