//! What `nightdesk check` says about configured commands and the key for writes: nothing that changes anything is run.

use super::{Report, Verdict};
use crate::config::Config;
use crate::config::secret::Kept;
use crate::domain::fault::FaultKind;
use crate::gateway::hooks;
use crate::gateway::sources::Sources;
use std::path::Path;

impl Report {
    pub(super) async fn commands(&mut self, config: &Config, sources: &Sources) {
        match hooks::deploys(&config.hooks).await {
            Ok(all) => {
                let newest = all.first().map(|d| format!(", {} at {}", d.version, d.at.format("%Y-%m-%d %H:%MZ")));
                self.say(Verdict::Ok, "deploys", format!("{} told{}", all.len(), newest.unwrap_or_default()));
            }
            Err(fault) if fault.kind == FaultKind::NotSetUp => {}
            Err(fault) => self.say(Verdict::Warn, "deploys", fault.say),
        }
        for (what, key, argv) in [("restart", "restart_app", &config.hooks.restart_app), ("escalate", "escalate", &config.hooks.escalate)] {
            match argv.as_deref().and_then(<[String]>::first) {
                None => {}
                Some(program) if is_there(program) => self.say(Verdict::Ok, what, format!("{program} is there; it was not run")),
                Some(program) => self.say(Verdict::Warn, what, format!("[hooks] {key}: there is no program {program}")),
            }
        }
        match config.stripe_write_key.as_ref().map(Kept::resolve) {
            None => {}
            Some(Err(error)) => self.say(Verdict::Warn, "write key", error.to_string()),
            Some(Ok(key)) => match sources.stripe.as_ref().map_or(Ok(()), |stripe| stripe.suits(&key)) {
                Ok(()) => self.say(Verdict::Ok, "write key", "there, and of the same mode as stripe_key"),
                Err(fault) => self.say(Verdict::Fail, "write key", fault.say),
            },
        }
        if (config.policy.deliver || config.policy.signed_probe) && config.webhook_secret.is_none() {
            self.say(Verdict::Warn, "policy", "deliver and signed_probe need webhook_secret, and none is configured");
        }
    }
}

/// Whether a program of that name would be found.
fn is_there(program: &str) -> bool {
    if program.contains('/') {
        return Path::new(program).is_file();
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(program).is_file()))
}
