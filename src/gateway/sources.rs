//! All sources of one environment together: routes a query to the one that answers it, bounds its time, carries out what the gate let through.

use super::application::{self, Application};
use super::hooks;
use super::journal::Journal;
use super::logs::Logs;
use super::postgres::{CounterWrite, Database, Ending};
use super::stripe::{Priority, Stripe};
use super::writes::Performer;
use crate::config::secret::Credential;
use crate::config::{Config, Writer};
use crate::domain::fault::{Fault, FaultKind, Source};
use crate::domain::ids::SubjectKey;
use crate::domain::runbook::book;
use crate::domain::sessions::SessionId;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::environment::{self, Contact, Environment, Offers};
use crate::protocol::gate::Permit;
use crate::protocol::query::{Query, Reply};
use crate::protocol::record::{Detail, Entry};
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::sync::{broadcast, watch};
use uuid::Uuid;

/// The ways to the outside. Clones share everything.
#[derive(Clone)]
pub struct Sources {
    pub config: Arc<Config>,
    /// `Err`: configured, and its address is none.
    pub database: Result<Option<Database>, Fault>,
    pub stripe: Option<Stripe>,
    pub application: Option<Application>,
    pub logs: Option<Logs>,
    /// The key for writes to Stripe, while writes are on.
    write_key: Arc<watch::Sender<WriteKey>>,
    /// Where the command of each idempotency key tells what it prints, from when somebody wants to hear it until it is run.
    heard: Arc<Mutex<HashMap<String, broadcast::Sender<String>>>>,
}

/// The key for writes to Stripe. Fetching it may take seconds, in which only what needs it waits.
#[derive(Debug, Clone, Default)]
enum WriteKey {
    #[default]
    Dropped,
    /// It is being fetched: by this fetching and no other.
    Coming(Uuid),
    /// Fetched, or why it could not be.
    Here(Result<Credential, Fault>),
}

const STRIPE_INTERACTIVE: Duration = Duration::from_secs(5);
/// Five pages at the budget's pace, and the wait for others' turns.
const STRIPE_BACKGROUND: Duration = Duration::from_secs(60);
const APPLICATION: Duration = Duration::from_secs(3);
/// The logs keep a shorter limit of their own, but for what waits for a command's first words.
const LOGS: Duration = Duration::from_secs(6);
/// The endpoints from Stripe, the secret, and the shots, each with limits of its own.
const PROBE: Duration = Duration::from_secs(16);
/// Lines of a hook that wait for the screen.
const LINES: usize = 256;

impl Sources {
    /// Opens what is configured, in the background; needs a runtime.
    #[must_use]
    pub fn open(config: Arc<Config>) -> Self {
        Self {
            database: Database::start(Arc::clone(&config)),
            stripe: Stripe::new(&config).ok(),
            application: Application::new(&config),
            logs: Logs::new(&config),
            write_key: Arc::new(watch::Sender::default()),
            heard: Arc::default(),
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
            Ok(None) => Err(not_set_up(
                Source::Database,
                &format!("no database is configured: set database_url{}", self.config.or_variable("DATABASE_URL")),
            )),
            Err(fault) => Err(fault.clone()),
        }
    }

    /// Stripe, or why there is none.
    ///
    /// # Errors
    /// Not configured.
    pub fn stripe(&self) -> Result<&Stripe, Fault> {
        let missing = || {
            not_set_up(
                Source::Stripe,
                &format!("no Stripe key is configured: set stripe_key{}", self.config.or_variable("STRIPE_SECRET_KEY")),
            )
        };
        self.stripe.as_ref().ok_or_else(missing)
    }

    /// The application, or why there is none.
    ///
    /// # Errors
    /// Not configured.
    pub fn application(&self) -> Result<&Application, Fault> {
        let missing =
            || not_set_up(Source::Application, &format!("no application is configured: set app_url{}", self.config.or_variable("APP_URL")));
        self.application.as_ref().ok_or_else(missing)
    }

    /// The application's logs, or why there are none.
    ///
    /// # Errors
    /// Not configured.
    pub fn logs(&self) -> Result<&Logs, Fault> {
        let missing = || {
            not_set_up(
                Source::Log,
                &format!("no log is configured: set [[env.NAME.logs]] with file or command{}", self.config.or_variable("APP_LOG")),
            )
        };
        self.logs.as_ref().ok_or_else(missing)
    }

    /// Answers a query of any outside source; dropping the future cancels it there.
    ///
    /// # Errors
    /// The source's fault; a time-out after three seconds, at Stripe after five.
    pub async fn ask(&self, query: Query, priority: Priority) -> Result<Reply, Fault> {
        match query {
            Query::Deploys => return hooks::deploys(&self.config.hooks).await.map(Reply::Deploys),
            Query::Pressure => {
                if let Some(path) = self.config.pause_file.as_deref().filter(|p| p.exists()) {
                    return Ok(Reply::Pressure(vec![format!("{} is there: remove it to go on", path.display())]));
                }
            }
            _ => {}
        }
        match query.source() {
            // Its way leads by the journal.
            _ if query == Query::Probe => Err(not_set_up(Source::Application, "a probe is journaled before it is sent")),
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
            Source::Log => {
                let late = |_| Err(Fault::new(Source::Log, FaultKind::Timeout, "the logs could not be read in time"));
                tokio::time::timeout(LOGS, self.logs()?.answer(&query)).await.unwrap_or_else(late)
            }
            Source::Store => Err(not_set_up(query.source(), "this is not a question to the outside")),
        }
    }

    /// Asks the webhook endpoint that Stripe sends to; the configured one where Stripe does not say which that is. What is sent there is in
    /// the journal before it is.
    ///
    /// # Errors
    /// There is no endpoint to ask, it cannot be journaled, or it took longer than sixteen seconds.
    pub async fn probe(&self, journal: &Journal) -> Result<Reply, Fault> {
        let late = |_| Err(Fault::new(Source::Application, FaultKind::Timeout, "the probe did not end in time"));
        tokio::time::timeout(PROBE, self.journaled_probe(journal)).await.unwrap_or_else(late)
    }

    async fn journaled_probe(&self, journal: &Journal) -> Result<Reply, Fault> {
        let endpoints = match &self.stripe {
            Some(stripe) => tokio::time::timeout(STRIPE_INTERACTIVE, stripe.webhook_endpoints()).await.ok().and_then(Result::ok),
            None => None,
        };
        let aim = application::probe::aim(&self.config, endpoints.as_deref()).await?;
        journal.append(None, Entry::Probed { endpoint: aim.endpoint(), signed: aim.is_signed() }, Detail::none()).await?;
        let ahead = self.stripe.as_ref().and_then(Stripe::clock_ahead).unwrap_or_default();
        Ok(Reply::Probed(application::probe::shoot(&self.config, aim, ahead).await))
    }

    /// What the command of this idempotency key will print, line by line, and nothing of another's.
    #[must_use]
    pub fn hear(&self, key: &str) -> broadcast::Receiver<String> {
        let (sender, receiver) = broadcast::channel(LINES);
        let mut heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner);
        // What was not let through is heard by nobody any more.
        heard.retain(|_, s| s.receiver_count() > 0);
        heard.insert(key.to_string(), sender);
        receiver
    }

    /// Where that command is to tell its lines; nowhere, where nobody listens.
    fn teller(&self, key: &str) -> broadcast::Sender<String> {
        let heard = self.heard.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
        heard.unwrap_or_else(|| broadcast::channel(1).0)
    }

    /// What the console and the procedures are told about this environment.
    #[must_use]
    pub fn environment(&self) -> Environment {
        let config = &self.config;
        let configured = [
            (Source::Database, !matches!(self.database, Ok(None))),
            (Source::Stripe, self.stripe.is_some()),
            (Source::Application, self.application.is_some()),
            (Source::Log, self.logs.is_some()),
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
            webhook_url: config.webhook_url.clone(),
            offers: Offers {
                pool_max: config.pool_max,
                restart_app: config.hooks.restart_app.is_some(),
                escalate: config.hooks.escalate.is_some(),
                deploys: config.hooks.deploys.is_some(),
                deliver: config.policy.deliver && config.webhook_secret.is_some() && config.webhook_url.is_some(),
                resends_per_s: config.stripe_resends_per_s,
                signed_probe: config.policy.signed_probe && config.webhook_secret.is_some(),
            },
            contacts: contacts(config),
        }
    }

    /// Closes the connections; at most a second.
    pub async fn close(&self) {
        if let Ok(Some(database)) = &self.database {
            database.close().await;
        }
        if let Some(logs) = &self.logs {
            logs.close().await;
        }
    }
}

impl Performer for Sources {
    fn arm(&self) {
        let Some(kept) = self.config.stripe_write_key.clone() else { return };
        let this = Uuid::new_v4();
        self.write_key.send_replace(WriteKey::Coming(this));
        let sources = self.clone();
        tokio::spawn(async move {
            let fetched = hooks::fetch(&kept, Source::Stripe).await.and_then(|key| {
                let suits = sources.stripe.as_ref().map_or(Ok(()), |stripe| stripe.suits(&key));
                suits.map(|()| key)
            });
            // Said again by whatever needs it: repairs of rows do not. Turned off meanwhile, or on once more, it is not this one's.
            sources.write_key.send_if_modified(|key| {
                let ours = matches!(key, WriteKey::Coming(coming) if *coming == this);
                if ours {
                    *key = WriteKey::Here(fetched);
                }
                ours
            });
        });
    }

    fn disarm(&self) {
        self.write_key.send_replace(WriteKey::Dropped);
    }

    async fn perform(&self, permit: &Permit, key: &str) -> Outcome {
        match permit.command() {
            Command::SetSubscriptionRow { subject, shown, changes } => match self.database() {
                Ok(database) => database.set_subscription_row(subject.clone(), shown.clone(), changes.clone()).await,
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::ResetCounters { subject, shown } => self.write_counters(subject, CounterWrite::Reset(shown.clone())).await,
            Command::RestoreCounters { subject, counters } => self.write_counters(subject, CounterWrite::Restore(counters.clone())).await,
            Command::ResetEntitlement { subject } => match self.application() {
                Ok(application) => application.reset(subject, key).await,
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::ResyncByHttp { subject, customer } => match self.application() {
                Ok(application) => application.resync(subject, customer, key).await,
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::ResyncByCommand { subject, customer } => {
                application::resync_by_command(&self.config.writer, subject, customer, key).await
            }
            Command::ResendEvent { event, endpoint, .. } => match (self.stripe().cloned(), self.writing().await) {
                (Ok(stripe), Ok(key_for_writes)) => stripe.resend(key_for_writes.as_ref(), event, endpoint, key).await,
                (Err(fault), _) | (_, Err(fault)) => Outcome::NotDone(fault),
            },
            Command::DeliverEvent { event, .. } => match self.stripe() {
                Ok(stripe) => application::deliver::deliver(&self.config, stripe, event).await,
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::EndSession { session, states, since, at_least_ms, reach, .. } => match (self.database(), *since) {
                (Ok(database), Some(since)) => {
                    let (session, states, at_least_ms, reach) = (*session, states.clone(), *at_least_ms, *reach);
                    database.end_session(Ending { session, states, since, at_least_ms, reach }).await
                }
                (Ok(_), None) => Outcome::NotDone(undated(*session)),
                (Err(fault), _) => Outcome::NotDone(fault),
            },
            Command::RunHook { hook } => match hooks::argv(&self.config.hooks, hook) {
                Ok(argv) => hooks::run(argv, None, self.config.hooks.limit, key, &self.teller(key)).await,
                Err(fault) => Outcome::NotDone(fault),
            },
            Command::Escalate { to, text } => match hooks::calling(&self.config.hooks, to) {
                Ok(argv) => hooks::run(&argv, Some(text), self.config.hooks.limit, key, &self.teller(key)).await,
                Err(fault) => Outcome::NotDone(fault),
            },
        }
    }
}

impl Sources {
    async fn write_counters(&self, subject: &SubjectKey, write: CounterWrite) -> Outcome {
        match self.database() {
            Ok(database) => database.write_counters(subject.clone(), write).await,
            Err(fault) => Outcome::NotDone(fault),
        }
    }

    /// The key to write to Stripe with; `None`: the one that reads.
    async fn writing(&self) -> Result<Option<Credential>, Fault> {
        if self.config.stripe_write_key.is_none() {
            return Ok(None);
        }
        let dropped = || Fault::new(Source::Stripe, FaultKind::Auth, "the key for writes is gone: turn writes on again");
        let mut key = self.write_key.subscribe();
        // Fetching it has a limit of its own.
        let known = key.wait_for(|key| !matches!(key, WriteKey::Coming(_))).await.map(|key| key.clone());
        match known {
            Ok(WriteKey::Here(fetched)) => fetched.map(Some),
            _ => Err(dropped()),
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

/// A later state of the same session could not be told from the one that was shown.
fn undated(session: SessionId) -> Fault {
    let say = format!(
        "since when session {} was as shown was not kept, so that it may have moved on: nothing was signalled; look again with nightdesk pool",
        session.pid
    );
    Fault::new(Source::Database, FaultKind::Refused, say)
}

fn not_set_up(source: Source, say: &str) -> Fault {
    Fault::new(source, FaultKind::NotSetUp, say)
}
