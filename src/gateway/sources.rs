//! All sources of one environment together: routes a query to the one that answers it, bounds its time, carries out what the gate let through.

use super::application::{self, Application};
use super::postgres::Database;
use super::stripe::{Priority, Stripe};
use super::writes::Performer;
use crate::config::{Config, Writer};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::runbook::book;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::environment::{self, Contact, Environment};
use crate::protocol::gate::Permit;
use crate::protocol::query::{Query, Reply};
use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

/// The ways to the outside. Clones share everything.
#[derive(Clone)]
pub struct Sources {
    pub config: Arc<Config>,
    /// `Err`: configured, and its address is none.
    pub database: Result<Option<Database>, Fault>,
    pub stripe: Option<Stripe>,
    pub application: Option<Application>,
}

const STRIPE_INTERACTIVE: Duration = Duration::from_secs(5);
/// Five pages at the budget's pace, and the wait for others' turns.
const STRIPE_BACKGROUND: Duration = Duration::from_secs(60);
const APPLICATION: Duration = Duration::from_secs(3);

impl Sources {
    /// Opens what is configured, in the background; needs a runtime.
    #[must_use]
    pub fn open(config: Arc<Config>) -> Self {
        Self {
            database: Database::start(Arc::clone(&config)),
            stripe: Stripe::new(&config).ok(),
            application: Application::new(&config),
            config,
        }
    }

    /// The database, or why there is none.
    ///
    /// # Errors
    /// Not configured, or an address that is none.
    pub fn database(&self) -> Result<&Database, Fault> {
        match &self.database {
            Ok(Some(database)) => Ok(database),
            Ok(None) => Err(not_set_up(Source::Database, "no database is configured: set database_url, or DATABASE_URL")),
            Err(fault) => Err(fault.clone()),
        }
    }

    /// Stripe, or why there is none.
    ///
    /// # Errors
    /// Not configured.
    pub fn stripe(&self) -> Result<&Stripe, Fault> {
        let missing = || not_set_up(Source::Stripe, "no Stripe key is configured: set stripe_key, or STRIPE_SECRET_KEY");
        self.stripe.as_ref().ok_or_else(missing)
    }

    /// The application, or why there is none.
    ///
    /// # Errors
    /// Not configured.
    pub fn application(&self) -> Result<&Application, Fault> {
        let missing = || not_set_up(Source::Application, "no application is configured: set app_url, or APP_URL");
        self.application.as_ref().ok_or_else(missing)
    }

    /// Answers a query of any outside source; dropping the future cancels it there.
    ///
    /// # Errors
    /// The source's fault; a time-out after three seconds, at Stripe after five.
    pub async fn ask(&self, query: Query, priority: Priority) -> Result<Reply, Fault> {
        match query.source() {
            Source::Database => self.database()?.ask(query).await,
            Source::Stripe => {
                let limit = if priority == Priority::Interactive { STRIPE_INTERACTIVE } else { STRIPE_BACKGROUND };
                let late = |_| Err(Fault::new(Source::Stripe, FaultKind::Timeout, "Stripe did not answer in time"));
                tokio::time::timeout(limit, self.stripe()?.answer_at(&query, priority)).await.unwrap_or_else(late)
            }
            Source::Application => {
                let late = |_| Err(Fault::new(Source::Application, FaultKind::Timeout, "the application did not answer in time"));
                tokio::time::timeout(APPLICATION, self.application()?.answer(&query)).await.unwrap_or_else(late)
            }
            Source::Store | Source::Log => Err(not_set_up(query.source(), "this is not a question to the outside")),
        }
    }

    /// What the console and the procedures are told about this environment.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let config = &self.config;
        let configured = [
            (Source::Database, !matches!(self.database, Ok(None))),
            (Source::Stripe, self.stripe.is_some()),
            (Source::Application, self.application.is_some()),
            (Source::Store, true),
        ];
        Environment {
            name: config.name.clone(),
            production: config.production,
            operator: config.operator.clone(),
            tiers: config.tiers.clone(),
            writer: match config.writer {
                Writer::Sql => environment::Writer::Sql,
                Writer::Http { .. } => environment::Writer::Http,
                Writer::Command { .. } => environment::Writer::Command,
            },
            set_up: configured.into_iter().filter(|(_, is)| *is).map(|(s, _)| s).collect::<BTreeSet<_>>(),
            sandbox: config.sandbox_url.is_some(),
            contacts: contacts(config),
        }
    }

    /// Closes the connections; at most a second.
    pub async fn close(&self) {
        if let Ok(Some(database)) = &self.database {
            database.close().await;
        }
    }
}

impl Performer for Sources {
    async fn perform(&self, permit: &Permit, key: &str) -> Outcome {
        match permit.command() {
            Command::SetSubscriptionRow { subject, shown, changes } => match self.database() {
                Ok(database) => database.set_subscription_row(subject.clone(), shown.clone(), changes.clone()).await,
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::ResyncByHttp { subject, customer } => match self.application() {
                Ok(application) => application.resync(subject, customer, key).await,
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::ResyncByCommand { subject, customer } => {
                application::resync_by_command(&self.config.writer, subject, customer, key).await
            }
            Command::ResendEvent { .. } | Command::DeliverEvent { .. } | Command::RunHook { .. } => {
                let say = format!("Nothing is configured that performs {}", permit.command().name());
                Outcome::NotDone(not_set_up(permit.command().target(), &say))
            }
        }
    }
}

/// The configured contacts, all of them; the runbook's where none are.
fn contacts(config: &Config) -> Vec<Contact> {
    let contact =
        |issue: &str, contact: &str, responds: &str| Contact { issue: issue.into(), contact: contact.into(), responds: responds.into() };
    if config.contacts.is_empty() {
        return book().contacts.iter().map(|c| contact(&c.issue, &c.contact, &c.responds)).collect();
    }
    config.contacts.iter().map(|c| contact(&c.issue, &c.contact, &c.responds)).collect()
}

fn not_set_up(source: Source, say: &str) -> Fault {
    Fault::new(source, FaultKind::NotSetUp, say)
}
