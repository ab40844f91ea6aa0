//! Incident `database-restart`: the server goes down at once, every session dies, and after some seconds it is back; nobody has to repair it.

use std::time::Duration;

use sqlx::{ConnectOptions, Connection};

use super::ground::Turn;
use super::{Cause, Check, Ground, Incident, IncidentError, Label, Passing, Spec, Subject};

pub const SPEC: Spec = Spec {
    name: "database-restart",
    title: "the database server restarts at once: every session dies, and it comes back by itself",
    background: 0,
    // Seconds without a server.
    usual: 3,
    strike: |ground, turn| Box::pin(strike(ground, turn)),
    lift: None,
};

/// How long the application may take to say that it reaches the database again.
const PATIENCE: Duration = Duration::from_secs(2);

/// The count is the seconds for which there is no server. Returns when it is down.
async fn strike(ground: &Ground, turn: Turn) -> Result<Vec<Label>, IncidentError> {
    let house = ground.house(Incident::DatabaseRestart)?;
    let mut witness = ground.pool().connect_options().connect().await?;
    house.restarter.restart(Duration::from_secs(turn.count as u64)).map_err(IncidentError::Supervisor)?;
    while witness.ping().await.is_ok() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    Ok(vec![Label {
        incident: Incident::DatabaseRestart,
        broke: "the database server was restarted without waiting for anybody: all sessions died".into(),
        at: turn.present,
        cause: Cause::DatabaseRestart,
        truth: None,
        subject: Subject::default(),
        check: Check::Passes(Passing::DatabaseRestart),
    }])
}

impl Ground {
    /// The server takes connections, and the application has found it again.
    pub(super) async fn database_is_back(&self) -> bool {
        // A pool would wait for the server; this is only a look.
        let Ok(connection) = self.pool().connect_options().connect().await else { return false };
        let _ = connection.close().await;
        let ready = self.http().get(format!("{}/ready", self.app().base_url())).timeout(PATIENCE).send().await;
        ready.is_ok_and(|answer| answer.status().is_success())
    }
}
