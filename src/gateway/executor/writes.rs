//! Writes and what belongs to them, in the order in which they were asked for; the lane decides, this only carries.

use crate::domain::fault::Fault;
use crate::domain::policy::Writes;
use crate::gateway::reader::Reader;
use crate::gateway::sources::Sources;
use crate::gateway::writes::WriteLane;
use crate::protocol::command::{Command, Outcome};
use crate::protocol::desk::DeskWrite;
use crate::protocol::effect::Effect;
use crate::protocol::event::Event;
use crate::protocol::run::{Performed, idempotency_key};
use chrono::Utc;
use std::convert::Infallible;
use std::time::Duration;
use tokio::sync::{broadcast, mpsc};
use tokio::task::{JoinHandle, JoinSet};
use uuid::Uuid;

/// The task's inbox, and the task. It ends when its senders are gone, and what was asked for before ends first.
pub fn start(reader: &Reader, events: &mpsc::Sender<Event>, queue: usize) -> (mpsc::Sender<Effect>, JoinHandle<()>) {
    let (sender, mut inbox) = mpsc::channel(queue);
    let (reader, events) = (reader.clone(), events.clone());
    let notes = reader.writes().map(WriteLane::notes);
    let task = tokio::spawn(async move {
        let noting = notes.map(|notes| tokio::spawn(pass_on(notes, events.clone())));
        let mut performs = JoinSet::new();
        while let Some(effect) = inbox.recv().await {
            while performs.try_join_next().is_some() {}
            let told = match reader.writes() {
                Ok(lane) => carry(&reader, lane, &events, &mut performs, effect).await,
                Err(fault) => without_journal(effect, &fault),
            };
            if let Some(event) = told {
                // Nobody listens any more: the console is closing, and the journal has it all.
                let _ = events.send(event).await;
            }
        }
        while performs.join_next().await.is_some() {}
        if let Ok(noting) = noting {
            noting.abort();
        }
    });
    (sender, task)
}

async fn carry(
    reader: &Reader,
    lane: &WriteLane<Sources>,
    events: &mpsc::Sender<Event>,
    performs: &mut JoinSet<()>,
    effect: Effect,
) -> Option<Event> {
    match effect {
        Effect::TurnWritesOn { reason } => Some(match lane.turn_on(&reason, Utc::now()).await {
            Ok(writes) => {
                expire(reader, events, &writes);
                Event::WritesChanged(writes)
            }
            Err(why) => Event::WritesRefused(why),
        }),
        Effect::TurnWritesOff => {
            if let Err(fault) = lane.turn_off().await {
                let _ = events.send(Event::RecordFailed(fault)).await;
            }
            Some(Event::WritesChanged(Writes::Off))
        }
        Effect::OpenRun { run, procedure, detail } => Some(Event::RunOpened { run, result: lane.open_run(run, &procedure, detail).await }),
        Effect::ResumeRun { run } => Some(Event::RunOpened { run, result: lane.resume_run(run).await }),
        Effect::GiveUpRun { run, by_hand, reason } => {
            Some(Event::RunGivenUp { run, result: lane.give_up_run(run, by_hand, &reason).await })
        }
        Effect::Reveal { subject, detail } => Some(match lane.reveal(subject.as_ref(), detail).await {
            Ok(()) => Event::Revealed { subject },
            Err(fault) => Event::RecordFailed(fault),
        }),
        Effect::Desk(write) => Some(said(reader, write).await),
        Effect::Record { run, entry, detail } => lane.record(run, entry, detail).await.err().map(Event::RecordFailed),
        Effect::Perform(perform) => {
            // Other runs go on meanwhile, and other acts of a run about many; of a run about one customer the next comes only after
            // this has been told.
            let (lane, events) = (lane.clone(), events.clone());
            let prints = matches!(perform.command, Command::RunHook { .. } | Command::Escalate { .. });
            let lines = prints.then(|| reader.sources().hear(&idempotency_key(&perform.attempt)));
            performs.spawn(async move {
                let run = perform.attempt.run;
                let performed = match lines {
                    Some(lines) => tokio::select! {
                        performed = lane.perform(*perform) => performed,
                        never = tell(lines, run, &events) => match never {},
                    },
                    None => lane.perform(*perform).await,
                };
                let _ = events.send(Event::Performed(performed)).await;
            });
            None
        }
        _ => None,
    }
}

/// Tells what becomes of runs beside their steps.
async fn pass_on(mut notes: broadcast::Receiver<(Uuid, String)>, events: mpsc::Sender<Event>) {
    loop {
        match notes.recv().await {
            Ok((run, say)) => drop(events.send(Event::RunNoted { run, say }).await),
            // So many at once nobody could read; the journal has what counts.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => return,
        }
    }
}

/// Tells what a hook prints, for as long as it is waited for.
async fn tell(mut lines: broadcast::Receiver<String>, run: Uuid, events: &mpsc::Sender<Event>) -> Infallible {
    loop {
        match lines.recv().await {
            Ok(line) => drop(events.send(Event::HookSaid { run, line }).await),
            // Faster than the screen: what was missed stands in the outcome, as far as it counts.
            Err(broadcast::error::RecvError::Lagged(_)) => {}
            Err(broadcast::error::RecvError::Closed) => std::future::pending().await,
        }
    }
}

async fn said(reader: &Reader, write: DeskWrite) -> Event {
    let result = match reader.desk() {
        Ok(desk) => desk.write(&write).await,
        Err(fault) => Err(fault),
    };
    Event::DeskWritten { write, result }
}

/// Tells when the lease on writes has run out.
fn expire(reader: &Reader, events: &mpsc::Sender<Event>, writes: &Writes) {
    let Writes::On { until, .. } = writes else { return };
    // A moment later, since the two clocks are not one.
    let left = (*until - Utc::now()).to_std().unwrap_or_default() + Duration::from_millis(50);
    let (reader, events) = (reader.clone(), events.clone());
    tokio::spawn(async move {
        tokio::time::sleep(left).await;
        // Turned on anew since then, it has not.
        if reader.gate().expire(Utc::now()) {
            if let Ok(lane) = reader.writes() {
                lane.lapse();
            }
            let _ = events.send(Event::WritesChanged(Writes::Off)).await;
        }
    });
}

/// No journal, no write: each is told why.
fn without_journal(effect: Effect, fault: &Fault) -> Option<Event> {
    match effect {
        Effect::TurnWritesOn { .. } => Some(Event::WritesRefused(fault.say.clone())),
        Effect::OpenRun { run, .. } | Effect::ResumeRun { run } => Some(Event::RunOpened { run, result: Err(fault.clone()) }),
        Effect::GiveUpRun { run, .. } => Some(Event::RunGivenUp { run, result: Err(fault.clone()) }),
        Effect::Desk(write) => Some(Event::DeskWritten { write, result: Err(fault.clone()) }),
        Effect::Record { .. } | Effect::Reveal { .. } => Some(Event::RecordFailed(fault.clone())),
        Effect::Perform(perform) => {
            let outcome = Outcome::NotDone(fault.clone());
            Some(Event::Performed(Performed { attempt: perform.attempt, outcome, unrecorded: None }))
        }
        _ => None,
    }
}
