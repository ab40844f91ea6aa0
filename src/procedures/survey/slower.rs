//! The finding that effects take much longer to come than they used to. What counts as longer is the lag's.

use super::Survey;
use super::series::stamp;
use crate::domain::At;
use crate::domain::age;
use crate::domain::diagnosis::Word;
use crate::domain::findings::{About, Finding};

impl Survey {
    /// That effects come late, by Stripe's clock; `None`: they take as long as they used to, or nothing tells.
    #[must_use]
    pub fn slower_finding(&self, now: At) -> Option<Finding> {
        let slower = self.lag.slower(now)?;
        let words = |span: chrono::Duration| age::words(span.num_seconds().max(1));
        Some(Finding {
            word: Word::Warn,
            sentence: format!("Effects take {} here; they used to take {}", words(slower.now), words(slower.before)),
            size: String::new(),
            reason: "The application answers about when Stripe stops waiting, or has a queue: what its handler waits for is in its log. \
                     Nothing is missing by that alone."
                .into(),
            about: About::Lag,
            evidence: vec![
                format!(
                    "database: the newest {} effects, of events since {}, were written up to {} after their events, half of them {} or more",
                    slower.of,
                    stamp(slower.since),
                    words(slower.longest),
                    words(slower.now)
                ),
                format!("database: half of those before came within {}", words(slower.before)),
                "stripe: an answer that comes too late counts as none: the event is sent again, though its effect comes".into(),
                format!("what is younger than {} is given its time, and is called missing after that", words(self.allowance())),
            ],
        })
    }
}
