//! The server's sessions over the real gateway: what is read of them, who is ended and who is not, and a server that is full.

mod ending;
mod full;
mod pooler;
mod reading;

use crate::bench;
use nightdesk::config::Config;
use nightdesk::domain::sessions::{Activity, Session, SessionId};
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::sandbox::cluster::Cluster;
use nightdesk::sandbox::schema::roles::{self, Roles};
use sqlx::postgres::PgConnectOptions;
use sqlx::{AssertSqlSafe, ConnectOptions, PgConnection};
use std::sync::Arc;
use std::time::Duration;

/// A server, and the passwords of its roles.
#[derive(Clone, Copy)]
struct Place<'a> {
    cluster: &'a Cluster,
    roles: &'a Roles,
}

impl Place<'_> {
    /// The one that all tests share: others' sessions are on it too.
    async fn shared() -> Place<'static> {
        let (cluster, roles) = bench::cluster().await;
        Place { cluster, roles }
    }

    fn url(&self, role: &str, password: &str) -> String {
        self.cluster.url(role, password, "postgres")
    }

    /// The console's way in.
    fn console_url(&self) -> String {
        self.url(roles::CONSOLE, &self.roles.console)
    }

    fn app(&self, application: &str) -> PgConnectOptions {
        let options: PgConnectOptions = self.url(roles::APP, &self.roles.app).parse().expect("an address");
        options.application_name(application)
    }

    async fn superuser(&self) -> PgConnection {
        roles::superuser(self.cluster, "postgres").connect().await.expect("a superuser's slot")
    }
}

/// What a connection under test is told to do over the simple protocol.
async fn say(connection: &mut PgConnection, sql: &str) {
    sqlx::raw_sql(AssertSqlSafe(sql.to_string())).execute(connection).await.unwrap_or_else(|e| panic!("{sql}: {e}"));
}

fn config(variables: &[(&str, String)]) -> Config {
    let lookup = |name: &str| variables.iter().find(|(n, _)| *n == name).map(|(_, v)| v.clone());
    Config::load(None, None, &lookup).expect("variables are a configuration")
}

fn open(config: Config) -> Database {
    Database::start(Arc::new(config)).expect("an address").expect("one is configured")
}

fn console(url: String) -> Database {
    open(config(&[("DATABASE_URL", url), ("NIGHTDESK_OPERATOR", "ann".into())]))
}

async fn activity(database: &Database) -> Activity {
    match database.ask(Query::Activity).await.expect("the sessions") {
        Reply::Activity(activity) => *activity,
        other => panic!("{other:?}"),
    }
}

/// The sessions of one application.
fn of<'a>(activity: &'a Activity, application: &str) -> Vec<&'a Session> {
    activity.sessions.iter().filter(|s| &*s.application == application).collect()
}

/// The only session of an application, once it is there and suits.
async fn seen(database: &Database, application: &str, suits: impl Fn(&Session) -> bool) -> Session {
    let mut last = None;
    for _ in 0..500 {
        let found = activity(database).await;
        if let [one] = of(&found, application).as_slice() {
            if suits(one) {
                return (*one).clone();
            }
            last = Some((*one).clone());
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("{application}: {last:?}");
}

fn id(session: &Session) -> SessionId {
    session.id().expect("its start is seen")
}

/// A name that no other test has.
fn fresh(what: &str) -> String {
    format!("{what}-{}", &uuid::Uuid::new_v4().simple().to_string()[..12])
}

/// A key for an advisory lock that no other test takes.
fn lock_key() -> i64 {
    i64::from_be_bytes(uuid::Uuid::new_v4().as_bytes()[..8].try_into().expect("eight bytes")) & i64::MAX
}
