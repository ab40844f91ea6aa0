//! What must stay fast between a key and its bytes: one update and one frame, on a console full of findings. `cargo bench --bench console`.

#![allow(dead_code, reason = "the fixtures are shared with the integration tests, which use more of them")]

#[path = "../tests/it/fixtures.rs"]
mod fixtures;
#[path = "../tests/it/script.rs"]
mod script;

use fixtures::World;
use nightdesk::console::{draw, update};
use nightdesk::protocol::event::{Event, Stamped};
use nightdesk::protocol::key::Key;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::time::{Duration, Instant};
use uuid::Uuid;

const ROUNDS: u32 = 5_000;

fn main() {
    let script = script::Script::connected(World::placeholder());
    let mut state = script.state;
    let mut buf = Buffer::empty(Rect::new(0, 0, 120, 36));
    (state.world.columns, state.world.rows) = (120, 36);
    let (mut updates, mut frames) = (Vec::new(), Vec::new());
    for round in 0..ROUNDS {
        let (tick, key) = (u64::from(round) * 100, if round % 2 == 0 { Key::Char('j') } else { Key::Char('k') });
        let at = state.world.now;
        let began = Instant::now();
        let _ = update(&mut state, Stamped { at, tick, id: Uuid::nil(), event: Event::Key(key) });
        updates.push(began.elapsed());
        let began = Instant::now();
        buf.reset();
        draw(&state, &mut buf);
        frames.push(began.elapsed());
    }
    report("update, one key", &mut updates);
    report("draw, 120x36", &mut frames);
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!("{what:<18} median {:>9.1?}   p99 {:>9.1?}", at(50), at(99));
}
