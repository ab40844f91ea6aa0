//! What the console is told about where it is: names, modes, rules. No secret is in here.

use crate::domain::fault::Source;
use crate::domain::tiers::TierRules;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;

/// The environment, as the screen and the procedures need it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Environment {
    /// The configuration's name for it: `prod`, `sandbox`.
    pub name: String,
    /// Marked `production` in the configuration.
    pub production: bool,
    pub operator: String,
    pub tiers: TierRules,
    /// How repairs of the subscription row are written.
    pub writer: Writer,
    /// The sources that are configured.
    pub set_up: BTreeSet<Source>,
    /// A sandbox stands behind it: incidents can be started.
    pub sandbox: bool,
    /// The application's webhook endpoint, as configured.
    pub webhook_url: Option<String>,
    pub offers: Offers,
    pub contacts: Vec<Contact>,
}

/// What is set up here beyond the sources.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offers {
    /// A command restarts the application.
    pub restart_app: bool,
    /// A command calls people.
    pub escalate: bool,
    /// A command tells what was deployed.
    pub deploys: bool,
    /// Policy lets the console deliver stored events itself, and there is a secret to sign them with.
    pub deliver: bool,
    /// So many events a second are resent at most.
    pub resends_per_s: u32,
    /// Connections that one of the application's pools opens at most, where the configuration says so.
    pub pool_max: Option<u32>,
    /// Policy lets a probe send events with a right signature, and there is a secret for it.
    pub signed_probe: bool,
}

/// How a repair reaches the row.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Writer {
    Sql,
    Http,
    Command,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contact {
    pub issue: String,
    pub contact: String,
    pub responds: String,
}
