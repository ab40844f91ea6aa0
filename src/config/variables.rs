//! The environment variables: what they fill of an environment, and where they keep silent. What they are filled into is the parent's.
//!
//! A shell may still hold the variables of another system, a sandbox's for one. So that no secret is sent to that one's addresses, and no
//! secret of that one to ours, either the file speaks of the database, of Stripe or of the application, or the variables do; and where
//! the file says `production`, they never do.

use super::ConfigError;
use super::file::Env;

/// The variables as they may be used beside one environment of the file.
pub struct Variables<'a> {
    get: &'a dyn Fn(&str) -> Option<String>,
    production: bool,
    database: bool,
    stripe: bool,
    application: bool,
}

impl<'a> Variables<'a> {
    #[must_use]
    pub fn beside(env: &Env, get: &'a dyn Fn(&str) -> Option<String>) -> Self {
        let silent = env.production;
        let database = env.database_url.is_some() || env.admin_url.is_some();
        let stripe = env.stripe_key.is_some() || env.stripe_write_key.is_some() || env.stripe_base.is_some();
        let application = env.app_url.is_some() || env.webhook_url.is_some() || env.webhook_secret.is_some() || env.admin_token.is_some();
        Self { get, production: silent, database: !silent && !database, stripe: !silent && !stripe, application: !silent && !application }
    }

    /// One that says how to reach the database.
    #[must_use]
    pub fn database(&self, name: &str) -> Option<String> {
        self.when(self.database, name)
    }

    /// One that says how to reach Stripe.
    #[must_use]
    pub fn stripe(&self, name: &str) -> Option<String> {
        self.when(self.stripe, name)
    }

    /// One that says how to reach the application.
    #[must_use]
    pub fn application(&self, name: &str) -> Option<String> {
        self.when(self.application, name)
    }

    /// The sandbox's own server; of no concern in production.
    ///
    /// # Errors
    /// [`ConfigError::Invalid`] for an address that is not this machine's: incidents are started there.
    pub fn sandbox(&self, name: &str) -> Result<Option<String>, ConfigError> {
        let Some(url) = self.when(!self.production, name) else { return Ok(None) };
        if is_loopback(&url) {
            return Ok(Some(url.trim_end_matches('/').to_string()));
        }
        let why = format!("`{url}` is not on this machine: the sandbox's server is at http://127.0.0.1, http://[::1] or http://localhost");
        Err(ConfigError::Invalid { what: name.into(), why })
    }

    fn when(&self, may: bool, name: &str) -> Option<String> {
        if may { (self.get)(name).filter(|v| !v.is_empty()) } else { None }
    }
}

/// Exactly one of the three names of this machine, with a port or without: whatever could be read in two ways is none.
fn is_loopback(url: &str) -> bool {
    let Some(rest) = url.strip_prefix("http://") else { return false };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    ["127.0.0.1", "[::1]", "localhost"].iter().any(|host| match authority.strip_prefix(host) {
        Some("") => true,
        Some(port) => port.strip_prefix(':').is_some_and(|p| !p.is_empty() && p.bytes().all(|b| b.is_ascii_digit())),
        None => false,
    })
}

#[cfg(test)]
mod tests {
    use super::is_loopback;

    #[test]
    fn this_machine_has_three_names() {
        for url in ["http://127.0.0.1:4242", "http://[::1]:4242/x", "http://localhost", "http://127.0.0.1/"] {
            assert!(is_loopback(url), "{url}");
        }
        for url in [
            "http://10.0.0.7:4242",
            "https://sandbox.example",
            "http://127.0.0.1.example",
            "http://localhost.example:80",
            "http://127.0.0.1@evil.example",
            "http://127.0.0.1:80@evil.example",
            "http://localhost:",
            "http://localhost\\@evil.example",
            "127.0.0.1:80",
        ] {
            assert!(!is_loopback(url), "{url}");
        }
    }
}
