//! A real `PgBouncer` between: its admin console's pools, and what cannot be told through it. Skipped, in words, where it is not installed.

use super::{Place, config, open, say};
use crate::bench::until;
use nightdesk::config::secret::Credential;
use nightdesk::domain::fault::FaultKind;
use nightdesk::domain::sessions::{PoolerPool, waiting_at_pooler};
use nightdesk::gateway::postgres::Database;
use nightdesk::protocol::query::{Query, Reply};
use nightdesk::sandbox::schema::roles;
use sqlx::postgres::PgConnectOptions;
use sqlx::{ConnectOptions, PgConnection};
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// Kills it when the test ends, however it ends.
struct Bouncer {
    child: Child,
    port: u16,
    _home: tempfile::TempDir,
}

impl Drop for Bouncer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn binary() -> Option<PathBuf> {
    ["/usr/sbin/pgbouncer", "/usr/bin/pgbouncer", "/usr/local/bin/pgbouncer"].iter().map(PathBuf::from).find(|p| p.exists())
}

impl Bouncer {
    /// Pools of two server connections, in transaction mode.
    fn start(binary: &Path, place: &Place<'_>) -> Self {
        let home = tempfile::tempdir().expect("a directory");
        let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a port").port();
        let users = home.path().join("users");
        let settings = home.path().join("pgbouncer.ini");
        let lines = format!("\"app\" \"{}\"\n\"nightdesk\" \"{}\"\n", place.roles.app, place.roles.console);
        std::fs::write(&users, lines).expect("written");
        let text = format!(
            "[databases]\nshop = host=127.0.0.1 port={} dbname=postgres\n[pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {port}
unix_socket_dir =\nauth_type = trust\nauth_file = {}\nstats_users = nightdesk\npool_mode = transaction\ndefault_pool_size = 2\n",
            place.cluster.port(),
            users.display(),
        );
        std::fs::write(&settings, text).expect("written");
        let mut command = Command::new(binary);
        command.arg("-q").arg(&settings).stdout(Stdio::null()).stderr(Stdio::null());
        if nix::unistd::geteuid().is_root() {
            // It refuses to be root.
            for path in [home.path(), &users, &settings] {
                std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("opened");
            }
            command.uid(65_534).gid(65_534);
        }
        Self { child: command.spawn().expect("it starts"), port, _home: home }
    }

    fn url(&self, role: &str, database: &str) -> String {
        format!("postgres://{role}@127.0.0.1:{}/{database}", self.port)
    }

    async fn client(&self) -> Result<PgConnection, sqlx::Error> {
        let options: PgConnectOptions = self.url(roles::APP, "shop").parse().expect("an address");
        options.extra_float_digits(None).statement_cache_capacity(0).connect().await
    }
}

async fn pools(database: &Database) -> Vec<PoolerPool> {
    match database.ask(Query::Pooler).await {
        Ok(Reply::Pooler(pools)) => pools,
        other => panic!("{other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn its_own_pools_are_told_and_sessions_need_a_direct_connection() {
    let Some(binary) = binary() else {
        eprintln!("skipped: no pgbouncer on this machine");
        return;
    };
    let place = Place::shared().await;
    let bouncer = Bouncer::start(&binary, &place);
    until("it answers", async || bouncer.client().await.is_ok()).await;
    let mut through = config(&[("DATABASE_URL", bouncer.url(roles::CONSOLE, "shop"))]);
    through.pooler_url = Some(Credential::new(bouncer.url(roles::CONSOLE, "pgbouncer")));
    let database = open(through);

    let mut held = Vec::new();
    for _ in 0..2 {
        let mut client = bouncer.client().await.unwrap();
        say(&mut client, "BEGIN").await;
        held.push(client);
    }
    let mut third = bouncer.client().await.unwrap();
    let waiter = tokio::spawn(async move { say(&mut third, "SELECT 1").await });
    let mut found = Vec::new();
    until("one waits", async || {
        found = pools(&database).await;
        // The console's own connections may just be coming up through it.
        found.iter().all(|p| p.cl_waiting == u32::from(&*p.user == "app"))
    })
    .await;
    let pool = found.iter().find(|p| &*p.user == "app").expect("the application's");
    assert_eq!((&*pool.database, pool.sv_active, pool.sv_idle, &*pool.mode), ("shop", 2, 0, "transaction"));
    assert!(found.iter().all(|p| &*p.database != "pgbouncer"));
    let said = waiting_at_pooler(&found).expect("somebody waits");
    assert!(said.contains("1 client waits") && said.contains("app on shop has 2 of 2 at work"), "{said}");

    let fault = database.ask(Query::Activity).await.expect_err("these are not our sessions");
    assert!(fault.kind == FaultKind::Refused && fault.say.contains("leads through a pooler"), "{fault:?}");
    assert!(database.poll().await.is_ok(), "data goes through it");
    for client in &mut held {
        say(client, "COMMIT").await;
    }
    waiter.await.unwrap();
    // Its admin console that went away is told, and found again.
    drop(bouncer);
    let gone = database.ask(Query::Pooler).await.expect_err("it is gone");
    assert!(gone.say.contains("pooler_url"), "{gone:?}");
    let none = open(config(&[("DATABASE_URL", place.console_url())]));
    assert_eq!(none.ask(Query::Pooler).await.expect_err("not configured").kind, FaultKind::NotSetUp);
    none.close().await;
    database.close().await;
}
