//! Deploys of the sample application: which version since when, by whom, what changed, and what a version gets wrong.

use std::borrow::Cow;
use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;

use chrono::{DateTime, Utc};
use serde::Serialize;

use super::AppError;

/// One deploy; as JSON, without its flaw, a line of the record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Deploy {
    pub version: &'static str,
    /// `None`: it ran before the sandbox was started.
    pub at: Option<DateTime<Utc>>,
    pub author: &'static str,
    pub changed: Cow<'static, str>,
    #[serde(skip)]
    pub flaw: Option<Flaw>,
}

/// What a version of the application gets wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// Reads a subscription's period where Stripe no longer has it, and fails on what it does not find.
    PeriodFromSubscription,
}

/// The version that runs at the start.
pub(super) fn first() -> Deploy {
    Deploy { version: "2026.11.2", at: None, author: "release-bot", changed: "Dependency updates".into(), flaw: None }
}

impl Deploy {
    /// This version again, instead of that one.
    pub(super) fn again(&self, instead: &Self, at: DateTime<Utc>) -> Self {
        Self { at: Some(at), author: "on-call", changed: format!("Roll back {}", instead.version).into(), ..self.clone() }
    }
}

pub(super) fn record(path: &Path, deploy: &Deploy) -> Result<(), AppError> {
    let failed = |source| AppError::Deploys { path: path.to_path_buf(), source };
    let line = format!("{}\n", serde_json::to_string(deploy).expect("invariant: a deploy is plain data"));
    let mut file = OpenOptions::new().create(true).append(true).open(path).map_err(failed)?;
    file.write_all(line.as_bytes()).map_err(failed)
}
