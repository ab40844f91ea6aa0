//! The terminal and the loop around the pure console: one inbound queue, a clock, frames only when something changed.

mod clipboard;
mod input;
mod look;
mod painter;
mod terminal;
mod watch;

pub use look::{ColourChoice, theme};

use crate::console::{self, State};
use crate::protocol::effect::Effect;
use crate::protocol::event::{Event, Stamped};
use crossterm::event::EventStream;
use futures_util::StreamExt;
use painter::Painter;
use std::collections::VecDeque;
use std::time::{Duration, Instant};
use terminal::Terminal;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::mpsc;
use uuid::Uuid;

/// Why the console ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The operator left.
    Quit,
    /// The terminal is gone, or the process was asked to end.
    HungUp,
}

/// A key is painted at once, and never more often than this.
const KEY_FRAME: Duration = Duration::from_millis(16);
/// What arrives by itself is gathered into frames this far apart; further where the terminal is slow to take them.
const DATA_FRAME: Duration = Duration::from_millis(66);
/// So long without a key, and whatever came in before came in together.
const PAUSE: Duration = Duration::from_millis(60);

/// How long the other side has to take the last effects.
const LAST_WORDS: Duration = Duration::from_millis(300);

/// Runs the console on this terminal until the operator leaves or the terminal does. Effects go out by `effects`, everything
/// that happens outside comes in by `events`; neither is ever waited for by the screen. The terminal is restored on every way out.
///
/// # Errors
/// The terminal cannot be set up or written to.
pub async fn run(state: State, effects: mpsc::Sender<Effect>, mut events: mpsc::Receiver<Event>) -> color_eyre::Result<Exit> {
    // Before there is anything to restore, and before the first size is read: no signal is missed in between.
    let mut gone = watch::hang_up()?;
    let mut resized = signal(SignalKind::window_change())?;
    let terminal = Terminal::enter()?;
    let (columns, rows) = size()?;
    let mut desk = Desk::new(state, terminal, effects);
    desk.handle(Event::Resized { columns, rows });
    // The first frame comes before anything is connected, asked or waited for.
    desk.draw()?;
    let mut keys = EventStream::new();
    let mut seconds = tokio::time::interval_at(tokio::time::Instant::now() + Duration::from_secs(1), Duration::from_secs(1));
    seconds.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Skip);
    let mut outside_is_there = true;
    loop {
        tokio::select! {
            biased;
            () = gone.recv() => {
                desk.handle(Event::HungUp);
            }
            key = keys.next() => match key {
                Some(Ok(event)) => desk.terminal_said(event),
                // The reader would spin at end of file: the terminal is gone.
                Some(Err(_)) | None => desk.handle(Event::HungUp),
            },
            _ = resized.recv() => {
                let (columns, rows) = size()?;
                desk.handle(Event::Resized { columns, rows });
                desk.soon(KEY_FRAME);
            }
            event = events.recv(), if outside_is_there => match event {
                Some(event) => {
                    desk.handle(event);
                    desk.soon(DATA_FRAME.max(desk.slowness));
                }
                None => outside_is_there = false,
            },
            () = until(desk.pause_at) => {
                desk.pause_at = None;
                desk.handle(Event::KeysPaused);
                desk.soon(KEY_FRAME);
            }
            _ = seconds.tick() => {
                desk.handle(Event::Ticked);
                desk.soon(DATA_FRAME.max(desk.slowness));
            }
            () = until(desk.draw_at) => desk.draw()?,
            sent = send(&desk.effects, desk.outbox.front()), if !desk.outbox.is_empty() => {
                desk.outbox.pop_front();
                // Nobody listens any more: there is nothing left to do here.
                if !sent {
                    return Ok(Exit::HungUp);
                }
            }
        }
        desk.terminal_effects()?;
        if let Some(exit) = desk.exit {
            desk.hand_over().await;
            return Ok(exit);
        }
    }
}

/// The loop's own state: the console's, and when to draw next.
struct Desk {
    state: State,
    terminal: Terminal,
    painter: Painter,
    effects: mpsc::Sender<Effect>,
    /// Effects on their way out; they wait here when the other side is busy, so that the screen never does.
    outbox: VecDeque<Effect>,
    /// Effects for the terminal itself.
    inbox: Vec<Effect>,
    started: Instant,
    drawn: Instant,
    draw_at: Option<Instant>,
    pause_at: Option<Instant>,
    /// Three times what the last frame took to write: a slow terminal gets fewer.
    slowness: Duration,
    exit: Option<Exit>,
}

impl Desk {
    fn new(state: State, terminal: Terminal, effects: mpsc::Sender<Effect>) -> Self {
        let now = Instant::now();
        Self {
            state,
            terminal,
            painter: Painter::default(),
            effects,
            outbox: VecDeque::new(),
            inbox: Vec::new(),
            started: now,
            drawn: now.checked_sub(DATA_FRAME).unwrap_or(now),
            draw_at: None,
            pause_at: None,
            slowness: Duration::ZERO,
            exit: None,
        }
    }

    /// Stamps the event and hands it to the console.
    fn handle(&mut self, event: Event) {
        let hung_up = event == Event::HungUp;
        let tick = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        let stamped = Stamped { at: chrono::Utc::now(), tick, id: Uuid::now_v7(), event };
        for effect in console::update(&mut self.state, stamped) {
            match effect {
                Effect::Quit => self.exit = Some(if hung_up { Exit::HungUp } else { Exit::Quit }),
                Effect::Copy { .. } | Effect::Redraw | Effect::Suspend => self.inbox.push(effect),
                outside => self.outbox.push_back(outside),
            }
        }
    }

    fn terminal_said(&mut self, event: crossterm::event::Event) {
        for event in input::events(event) {
            if matches!(event, Event::Key(_)) {
                self.pause_at = Some(Instant::now() + PAUSE);
            }
            self.handle(event);
        }
        self.soon(KEY_FRAME);
    }

    /// Draws as soon as `apart` has passed since the last frame, or earlier where that is planned already.
    fn soon(&mut self, apart: Duration) {
        let at = (self.drawn + apart).max(Instant::now());
        self.draw_at = Some(self.draw_at.map_or(at, |planned| planned.min(at)));
    }

    /// Writes what has changed since the last frame; nothing where nothing has.
    fn draw(&mut self) -> color_eyre::Result<()> {
        self.draw_at = None;
        let area = ratatui::layout::Rect::new(0, 0, self.state.world.columns, self.state.world.rows);
        let mut next = ratatui::buffer::Buffer::empty(area);
        console::draw(&self.state, &mut next);
        let bytes = self.painter.paint(next);
        if !bytes.is_empty() {
            let began = Instant::now();
            self.terminal.write(bytes)?;
            self.drawn = Instant::now();
            self.slowness = (self.drawn - began) * 3;
        }
        // What is on screen is what the state says, whether that took any bytes or not.
        self.handle(Event::Painted);
        Ok(())
    }

    /// Hands over what is still waiting, journal entries among it, and says that no more will come. A side that does not
    /// take it in time is hung itself.
    async fn hand_over(&mut self) {
        let rest = std::mem::take(&mut self.outbox).into_iter().chain([Effect::Quit]);
        let _ = tokio::time::timeout(LAST_WORDS, async {
            for effect in rest {
                if self.effects.send(effect).await.is_err() {
                    break;
                }
            }
        })
        .await;
    }

    /// Performs what concerns this terminal alone.
    fn terminal_effects(&mut self) -> color_eyre::Result<()> {
        for effect in std::mem::take(&mut self.inbox) {
            match effect {
                Effect::Copy { text } => self.terminal.write(clipboard::sequence(&text, clipboard::Wrap::of_environment()).as_bytes())?,
                Effect::Suspend => {
                    self.terminal.suspend()?;
                    let (columns, rows) = size()?;
                    self.handle(Event::Resized { columns, rows });
                    self.painter.forget();
                    self.draw()?;
                }
                Effect::Redraw => {
                    self.painter.forget();
                    self.draw()?;
                }
                _ => {}
            }
        }
        Ok(())
    }
}

/// Columns and rows; a terminal that does not say is taken for the smallest usual one.
fn size() -> std::io::Result<(u16, u16)> {
    let size = crossterm::terminal::size()?;
    Ok(if size.0 == 0 || size.1 == 0 { (80, 24) } else { size })
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at.into()).await,
        None => std::future::pending().await,
    }
}

async fn send(to: &mpsc::Sender<Effect>, effect: Option<&Effect>) -> bool {
    match (to.reserve().await, effect) {
        (Ok(place), Some(effect)) => {
            place.send(effect.clone());
            true
        }
        (Ok(_), None) => true,
        (Err(_), _) => false,
    }
}
