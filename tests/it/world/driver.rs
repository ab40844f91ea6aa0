//! Plays the console's part for procedures, with the real lane, gate and journal.

use super::{InMemory, Shared, World, environment};
use chrono::{Duration, Utc};
use nightdesk::domain::At;
use nightdesk::gateway::gate::Gate;
use nightdesk::gateway::journal::Journal;
use nightdesk::gateway::writes::WriteLane;
use nightdesk::procedures::engine::{Phase, Run};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::Environment;
use nightdesk::protocol::run::Inputs;
use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use uuid::Uuid;

/// Plays the console: carries effects out and hands their answers back, with time that moves only when everything waits.
pub struct Driver {
    pub run: Run,
    pub world: Shared,
    pub lane: WriteLane<InMemory>,
    pub gate: Arc<Gate>,
    pub journal: Journal,
    pub env: Environment,
    pub now: At,
    /// Everything that was asked for, in order.
    pub done: Vec<Effect>,
}

impl Driver {
    /// A draft, read to its first stop.
    pub async fn draft(world: Shared, state: &Path, inputs: Inputs) -> Self {
        Self::draft_of("tier-update", world, state, inputs).await
    }

    pub async fn draft_of(procedure: &str, world: Shared, state: &Path, inputs: Inputs) -> Self {
        let (run, effects) = Run::draft(Uuid::now_v7(), procedure, inputs);
        let mut driver = Self::with(world, state, run);
        driver.go(effects).await;
        driver
    }

    pub fn with(world: Shared, state: &Path, run: Run) -> Self {
        let journal = Journal::open(state, "test", "ada", None).expect("a journal");
        let gate = Arc::new(Gate::new(false));
        gate.account_known(false);
        gate.turn_on("ticket 4411", Utc::now()).expect("test mode");
        let lane = WriteLane::new(Arc::clone(&gate), journal.clone(), None, InMemory(Arc::clone(&world)));
        Self { run, world, lane, gate, journal, env: environment(), now: Utc::now(), done: Vec::new() }
    }

    pub fn world(&self) -> std::sync::MutexGuard<'_, World> {
        self.world.lock().unwrap()
    }

    /// Rows changed, and statements sent.
    pub fn counts(&self) -> (u32, u32) {
        let world = self.world();
        (world.writes, world.sent)
    }

    pub async fn confirm(&mut self) {
        let effects = self.run.confirm("", self.now).expect("a plan is under review");
        self.go(effects).await;
    }

    pub async fn decide(&mut self, index: usize) {
        let effects = self.run.decide(index, &self.env, self.now);
        self.go(effects).await;
    }

    /// Carries out effects and what follows from them, until nothing is left to do but wait for somebody: at most two minutes of ticks.
    pub async fn go(&mut self, effects: Vec<Effect>) {
        self.go_for(effects, 120).await;
    }

    /// The same for so many seconds.
    pub async fn go_for(&mut self, effects: Vec<Effect>, seconds: u32) {
        let mut queue: VecDeque<Effect> = effects.into();
        for tick in 0.. {
            while let Some(effect) = queue.pop_front() {
                self.done.push(effect.clone());
                queue.extend(self.carry_out(effect).await);
            }
            let acts = self.run.bulk.is_some() && self.run.phase == Phase::Running && !self.run.is_paused();
            let waits = acts || matches!(self.run.phase, Phase::Gathering | Phase::Verifying | Phase::Unknown(_) | Phase::Waiting(_));
            if !waits || tick == seconds {
                return;
            }
            self.now += Duration::seconds(1);
            queue.extend(self.run.ticked(self.now));
        }
    }

    async fn carry_out(&mut self, effect: Effect) -> Vec<Effect> {
        match effect {
            Effect::Read { ticket, query } => {
                let result = self.world().answer(&query);
                self.run.replied(ticket, &query, &result, &self.env, self.now)
            }
            Effect::OpenRun { run, procedure, detail } => {
                let result = self.lane.open_run(run, &procedure, detail).await;
                self.run.opened(&result, self.now)
            }
            Effect::ResumeRun { run } => {
                let result = self.lane.resume_run(run).await;
                self.run.opened(&result, self.now)
            }
            Effect::Perform(perform) => {
                let performed = self.lane.perform(*perform).await;
                self.run.performed(&performed, self.now)
            }
            Effect::Record { run, entry, detail } => {
                self.lane.record(run, entry, detail).await.expect("journaled");
                Vec::new()
            }
            other => panic!("no run asks for {other:?}"),
        }
    }
}
