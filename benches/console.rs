//! What must stay fast between a key and its bytes: one update and one frame, on a console full of findings and on a list of 100,000
//! events. `cargo bench --bench console`.

#![allow(dead_code, reason = "the fixtures are shared with the integration tests, which use more of them")]

#[path = "../tests/it/fixtures.rs"]
mod fixtures;
#[path = "../tests/it/made_runs.rs"]
mod made_runs;
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
    long_runs();
    events();
}

/// The first key of what may be a paste, which keeps a copy of everything, with the last runs of a long night in the console and in the
/// journal's list: it may cost no more than without them.
fn long_runs() {
    const RUNS: u128 = 20;
    const ACTS: usize = 2_000;
    let mut medians = Vec::new();
    for (what, acts) in [("key, short runs", 1), ("key, 20 runs of 2,000", ACTS)] {
        let mut world = World::placeholder();
        world.runs = (0..RUNS).map(|n| made_runs::listed(n, acts)).collect();
        let mut state = script::Script::connected(world).state;
        (0..RUNS).for_each(|n| state.tasks.runs.push(made_runs::finished(n, acts)));
        let (mut tick, mut keys) = (state.world.tick, Vec::new());
        for round in 0..ROUNDS {
            tick += 200;
            let (at, key) = (state.world.now, if round % 2 == 0 { Key::Char('j') } else { Key::Char('k') });
            let began = Instant::now();
            let _ = update(&mut state, Stamped { at, tick, id: Uuid::nil(), event: Event::Key(key) });
            keys.push(began.elapsed());
            let _ = update(&mut state, Stamped { at, tick, id: Uuid::nil(), event: Event::Ticked });
            let _ = update(&mut state, Stamped { at, tick: tick + 100, id: Uuid::nil(), event: Event::KeysPaused });
        }
        report(what, &mut keys);
        medians.push(keys[keys.len() / 2].as_secs_f64());
    }
    println!("long runs          ratio {:.2} of a key with short ones", medians[1] / medians[0]);
}

/// Filter and order over 100,000 events, each key with its frame; the ratio is of what a key may take.
fn events() {
    const EVENTS: u32 = 100_000;
    const CUSTOMERS: u32 = 1_000;
    let mut world = World::empty();
    for n in 0..CUSTOMERS {
        let mut s = fixtures::subscription(&format!("sub_Number{n:06}"), &format!("cus_Number{n:06}"));
        s.created = fixtures::ago(i64::from(n % 1_400) + 2);
        let profile = format!("{n:08x}-0000-4000-8000-{n:012}");
        world.records.push(fixtures::record(&profile, None, Some(fixtures::right_row(&profile, &s))));
        world.subscriptions.push(s);
    }
    for n in 0..EVENTS {
        let s = &world.subscriptions[usize::try_from(n % CUSTOMERS).expect("small")];
        let at = fixtures::now() - chrono::Duration::milliseconds(i64::from(n) * 800 + 120_000);
        world.events.push(fixtures::event(&format!("evt_Number{n:06}"), "customer.subscription.updated", s, at));
    }
    let mut script = script::Script::connected(world);
    script.seconds(20);
    // What is measured is the console alone.
    script.world = World::empty();
    script.silent = true;
    script.key(Key::Char('2'));
    script.key(Key::Tab);
    let listed = script.state.world.survey.lines().len();
    assert_eq!(listed, 100_000, "the survey lists them all");
    let mut state = script.state;
    let mut buf = Buffer::empty(Rect::new(0, 0, 120, 36));
    let mut tick = state.world.tick;
    let mut press = |key: Key| {
        tick += 200;
        let at = state.world.now;
        let began = Instant::now();
        let _ = update(&mut state, Stamped { at, tick, id: Uuid::nil(), event: Event::Key(key) });
        buf.reset();
        draw(&state, &mut buf);
        let took = began.elapsed();
        let _ = update(&mut state, Stamped { at, tick: tick + 100, id: Uuid::nil(), event: Event::KeysPaused });
        took
    };
    press(Key::Char('/'));
    let mut filtering: Vec<Duration> = "cus_number000123 !type:invoice >1h".chars().map(|c| press(Key::Char(c))).collect();
    press(Key::Esc);
    let mut sorting: Vec<Duration> = (0..40).map(|n| press(Key::Char(if n % 8 < 5 { 's' } else { 'v' }))).collect();
    report("filter, 100,000", &mut filtering);
    report("sort, 100,000", &mut sorting);
    for (what, times, limit) in [("filter", &filtering, 30.0), ("sort", &sorting, 60.0)] {
        let worst = times.iter().max().map_or(0.0, Duration::as_secs_f64) * 1_000.0;
        println!("{what:<18} worst {worst:>7.1} ms of {limit:.0} ms: ratio {:.2}", worst / limit);
    }
    println!("memory             {} MiB at most, the events handed in included", peak_mib());
}

/// The most memory this process has held, in MiB; 0 where the system does not say.
fn peak_mib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap_or_default();
    line.split_whitespace().nth(1).and_then(|kib| kib.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn report(what: &str, times: &mut [Duration]) {
    times.sort_unstable();
    let at = |percent: usize| times[times.len() * percent / 100];
    println!("{what:<18} median {:>9.1?}   p99 {:>9.1?}", at(50), at(99));
}
