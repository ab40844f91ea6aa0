//! What the operator should know about a run beside its steps. It decides nothing.

use super::Run;
use crate::domain::text::sentence;

impl Run {
    /// Something is to be known about it that comes from no source: it stands beside the plan, and in its evidence from here on.
    pub fn noted(&mut self, say: &str) {
        if self.remarks.iter().any(|r| r == say) {
            return;
        }
        self.remarks.push(say.to_string());
        if let Some(plan) = &mut self.plan {
            plan.evidence.push(say.to_string());
        }
        self.note_also(&sentence(say));
    }

    /// Says this too: what is noted already stays.
    pub(super) fn note_also(&mut self, say: &str) {
        self.note = Some(self.note.take().map_or_else(|| say.to_string(), |note| format!("{} {say}", sentence(&note))));
    }
}
