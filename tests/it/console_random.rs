//! Random events against the console: it never panics, never writes unasked, always finds home, and is a function of its events.

use super::fixtures::*;
use super::script::*;
use nightdesk::console::screen::Screen;
use nightdesk::console::{State, draw, update};
use nightdesk::domain::fault::{Fault, FaultKind, Source};
use nightdesk::procedures::engine::Run;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::event::{Event, Stamped};
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;
use nightdesk::protocol::run::Inputs;
use nightdesk::protocol::ticket::{Slot, Ticket};
use proptest::prelude::*;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use uuid::Uuid;

fn arb_key() -> impl Strategy<Value = Key> {
    let named = [
        Key::Enter,
        Key::Esc,
        Key::Tab,
        Key::BackTab,
        Key::Backspace,
        Key::Delete,
        Key::Up,
        Key::Down,
        Key::Left,
        Key::Right,
        Key::Home,
        Key::End,
        Key::PageUp,
        Key::PageDown,
    ];
    prop_oneof![
        4 => proptest::sample::select("jkgG123456/:?wi!faecu ryphq".chars().collect::<Vec<_>>()).prop_map(Key::Char),
        1 => any::<char>().prop_map(Key::Char),
        3 => proptest::sample::select(named.to_vec()),
        1 => proptest::sample::select("lcrdu".chars().collect::<Vec<_>>()).prop_map(Key::Ctrl),
    ]
}

fn arb_event() -> impl Strategy<Value = Event> {
    let source = proptest::sample::select(vec![Source::Stripe, Source::Database, Source::Application, Source::Store]);
    prop_oneof![
        12 => arb_key().prop_map(Event::Key),
        2 => Just(Event::KeysPaused),
        2 => Just(Event::Painted),
        2 => Just(Event::Ticked),
        1 => proptest::sample::select(vec![CUSTOMER, PLACEHOLDER, PROFILE, "jane.doe@acme.com", "y", "\x1b[2J", ""]).prop_map(|t| Event::Pasted(t.into())),
        1 => (0u16..200, 0u16..70).prop_map(|(columns, rows)| Event::Resized { columns, rows }),
        1 => (source, any::<bool>()).prop_map(|(source, good)| Event::SourceReported {
            source,
            result: if good { Ok(()) } else { Err(Fault::new(source, FaultKind::Timeout, "no answer")) },
        }),
        1 => (0u16..4, 0u64..20).prop_map(|(n, generation)| {
            let (ticket, query) = (Ticket { slot: Slot::Case(n), generation }, Query::Shape);
            Event::ReplyArrived { ticket, query: query.clone(), result: World::placeholder().answer(&query) }
        }),
        1 => Just(Event::RecordFailed(Fault::new(Source::Store, FaultKind::Refused, "full"))),
    ]
}

/// A console somewhere in the middle of things: a review on screen or not.
fn somewhere(in_review: bool) -> Script {
    let mut script = Script::connected(World::placeholder());
    if in_review {
        let (run, effects) = Run::draft(Uuid::from_u128(0x7f3a), "tier-update", Inputs::of(by_customer()));
        script.state.tasks.add(run);
        script.state.screens.open(Screen::Run(Uuid::from_u128(0x7f3a)));
        for effect in effects {
            let Effect::Read { ticket, query } = effect else { panic!("{effect:?}") };
            let result = script.world.answer(&query);
            script.event(Event::ReplyArrived { ticket, query, result });
        }
    }
    script.event(Event::Painted);
    script
}

fn paint(state: &State) {
    let mut buf = Buffer::empty(Rect::new(0, 0, state.world.columns, state.world.rows));
    draw(state, &mut buf);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn read_only_never_writes_and_nothing_panics(
        events in proptest::collection::vec((arb_event(), 0u64..700), 1..60),
        in_review in any::<bool>(),
    ) {
        let mut script = somewhere(in_review);
        for (event, delay) in events {
            script.wait(delay);
            // Without a reason nothing turns writes on; with one, this run of events is not read-only any more.
            let effects = script.event(event);
            paint(&script.state);
            if effects.iter().any(|e| matches!(e, Effect::TurnWritesOn { .. })) {
                break;
            }
            prop_assert!(!effects.iter().any(|e| matches!(e, Effect::Perform(_) | Effect::OpenRun { .. })), "{effects:?}");
        }
    }

    #[test]
    fn esc_leads_home_from_anywhere(events in proptest::collection::vec((arb_event(), 0u64..700), 1..60), in_review in any::<bool>()) {
        let mut script = somewhere(in_review);
        for (event, delay) in events {
            script.wait(delay);
            script.event(event);
        }
        for _ in 0..12 {
            script.key(Key::Esc);
            if script.state.screens.top() == Screen::Home && script.state.dialog.is_none() {
                return Ok(());
            }
        }
        prop_assert!(false, "still at {:?}", script.state.screens.top());
    }

    #[test]
    fn the_same_events_give_the_same_state(events in proptest::collection::vec((arb_event(), 0u64..400), 1..40)) {
        let start = somewhere(true).state;
        let play = || {
            let mut state = start.clone();
            let (mut tick, mut effects) = (100_000, Vec::new());
            for (i, (event, delay)) in events.iter().enumerate() {
                tick += delay;
                let at = now() + chrono::Duration::milliseconds(i64::try_from(tick).unwrap_or(0));
                effects.extend(update(&mut state, Stamped { at, tick, id: Uuid::from_u128(i as u128), event: event.clone() }));
            }
            (state, effects)
        };
        prop_assert_eq!(play(), play());
    }
}

/// A small generator of its own: ten thousand cases of one kind, the same ones every time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % below
    }
}

/// Ids, addresses and names as people paste them, some that begin with the very keys that matter.
const PASTES: &[&str] = &[
    CUSTOMER,
    PROFILE,
    SUBSCRIPTION,
    PLACEHOLDER,
    "jane.doe@acme.com",
    "yvonne@acme.com",
    "wyatt@acme.com",
    "yyzz1234",
    "fay@acme.com",
    "https://dashboard.stripe.com/test/customers/cus_QxAbCdEf98d",
    "qy12",
    "fyfy",
    "y@y.y",
    "wy\nyw",
    "uyuy\n",
    "ayay\ny",
    "at@acme.com",
    "tom@acme.com",
    "apple@acme.com",
    "apy@acme.com",
    "pat@acme.com",
    "xav@acme.com",
    "udo@acme.com",
    "bx12",
    "tt\n12",
    ":w\nxy",
];

/// What others would notice, or what stays: everything but reads that send nothing forged, and the terminal's own.
fn leaves_a_trace(effect: &Effect) -> bool {
    match effect {
        Effect::Read { query, .. } => *query == Query::Probe,
        Effect::Refresh | Effect::Redraw | Effect::Suspend => false,
        _ => true,
    }
}

/// Types the text, each key at most `gap` milliseconds behind the one before, and waits until nothing more comes of it.
fn type_fast(script: &mut Script, dice: &mut Dice, text: &str, gap: u64) {
    for c in text.chars() {
        script.wait(dice.roll(gap + 1));
        script.event(Event::Key(if c == '\n' { Key::Enter } else { Key::Char(c) }));
        if dice.roll(6) == 0 {
            script.event(Event::Painted);
        }
    }
    script.wait(dice.roll(800));
    script.event(Event::KeysPaused);
    script.event(Event::Ticked);
    script.wait(100);
    script.event(Event::Ticked);
}

/// What of it was sent, reads that were asked for included.
fn trace(script: &Script) -> Option<&Effect> {
    script.effects.iter().chain(&script.unanswered).find(|e| leaves_a_trace(e))
}

/// With writes on, which is as dangerous as it gets.
fn armed(mut script: Script) -> State {
    script.key(Key::Char('w'));
    script.keys("drill");
    script.key(Key::Enter);
    script.event(Event::Painted);
    script.wait(1_000);
    script.state
}

#[test]
fn ten_thousand_bursts_confirm_nothing() {
    let mut dice = Dice(0x9E37_79B9_7F4A_7C15);
    // A review waits for its `y`.
    let start = armed(somewhere(true));
    let review = Uuid::from_u128(0x7f3a);
    let confirmed = |s: &Script| s.state.tasks.get(review).is_none_or(|m| m.run.is_confirmed());
    // A `y` by itself does confirm here, so that not confirming says something.
    let mut alone = somewhere_cheap(&start);
    alone.key(Key::Char('y'));
    assert!(confirmed(&alone), "{}", alone.screen());
    for case in 0..10_000 {
        let mut script = somewhere_cheap(&start);
        script.wait(dice.roll(800));
        let text = PASTES[usize::try_from(dice.roll(PASTES.len() as u64)).expect("small")];
        let gap = dice.roll(8);
        type_fast(&mut script, &mut dice, text, gap);
        let left = trace(&script);
        assert!(left.is_none(), "case {case}: `{text}` with up to {gap} ms between keys led to {left:?}");
        assert!(!confirmed(&script), "case {case}: `{text}` with up to {gap} ms between keys confirmed the review");
    }
}

#[test]
fn bursts_on_any_screen_and_over_its_menu_leave_no_trace() {
    let mut dice = Dice(0x2545_F491_4F6C_DD1D);
    let mut starts: Vec<(String, State)> = Vec::new();
    for (screen, tabs) in [("1", 0), ("2", 0), ("2", 1), ("2", 2), ("2", 3), ("4", 0), ("5", 0), ("6", 0), ("6", 1)] {
        let mut script = Script::connected(World::placeholder());
        script.keys(screen);
        for _ in 0..tabs {
            script.key(Key::Tab);
        }
        let mut plain = Script::connected(World::placeholder());
        plain.state = armed(script);
        starts.push((format!("screen {screen}, tab {tabs}"), plain.state.clone()));
        // The menu is open and has been read: each of its letters counts.
        let mut over = somewhere_cheap(&plain.state);
        over.key(Key::Char('a'));
        starts.push((format!("the menu of screen {screen}, tab {tabs}"), over.state));
    }
    // One key alone does what the menu says, so that doing nothing says something.
    let does = |name: &str, key: char| {
        let (_, state) = starts.iter().find(|(n, _)| n == name).expect("listed");
        let mut alone = somewhere_cheap(state);
        alone.key(Key::Char(key));
        trace(&alone).cloned()
    };
    assert!(matches!(does("the menu of screen 2, tab 3", 'p'), Some(Effect::Read { query: Query::Probe, .. })));
    assert_eq!(does("screen 1, tab 0", 'w'), Some(Effect::TurnWritesOff));
    for case in 0..6_000 {
        let (name, start) = &starts[case % starts.len()];
        let mut script = somewhere_cheap(start);
        script.wait(dice.roll(800));
        let text = PASTES[usize::try_from(dice.roll(PASTES.len() as u64)).expect("small")];
        let gap = dice.roll(8);
        type_fast(&mut script, &mut dice, text, gap);
        let left = trace(&script);
        assert!(left.is_none(), "case {case}: on {name}, `{text}` with up to {gap} ms between keys led to {left:?}");
    }
}

#[test]
fn a_letter_that_came_before_its_menu_was_read_is_dropped() {
    let mut script = Script::connected(World::placeholder());
    script.state = armed(Script::connected(World::placeholder()));
    script.keys("2");
    for _ in 0..3 {
        script.key(Key::Tab);
    }
    script.silent = true;
    script.key(Key::Char('a'));
    // What lag has kept back comes in while the menu is being painted.
    let mut early = somewhere_cheap(&script.state);
    early.state.dialog = None;
    early.event(Event::Key(Key::Char('a')));
    early.wait(100);
    early.event(Event::KeysPaused);
    early.event(Event::Painted);
    early.wait(100);
    early.event(Event::Key(Key::Char('p')));
    early.wait(100);
    early.event(Event::KeysPaused);
    assert_eq!(trace(&early), None);
    assert!(early.state.dialog.is_some(), "the menu waits");
}

/// A script that goes on from this state without connecting anew.
fn somewhere_cheap(state: &State) -> Script {
    let mut script = Script::resumed(World::placeholder(), state.clone());
    script.silent = true;
    script
}
