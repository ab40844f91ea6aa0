//! The pure console with a script: keys in, effects out, replies in, words on screen. What answers is the simulated world.

use super::fixtures::{World, now};
use chrono::Duration;
use nightdesk::console::widgets::theme::Theme;
use nightdesk::console::{State, draw, update};
use nightdesk::domain::At;
use nightdesk::domain::fault::Source;
use nightdesk::domain::tiers::TierRules;
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::{Environment, Offers, Writer};
use nightdesk::protocol::event::{Event, Stamped};
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;
use nightdesk::protocol::ticket::Ticket;
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use uuid::Uuid;

pub struct Desk {
    pub state: State,
    pub world: World,
    pub at: At,
    pub tick: u64,
    /// Reads that went out and have not been answered.
    pub out: Vec<(Ticket, Query)>,
    /// Everything that went out and is no read.
    pub effects: Vec<Effect>,
    serial: u128,
    seconds: u64,
}

pub fn environment() -> Environment {
    Environment {
        name: "prod".into(),
        production: true,
        operator: "oncall".into(),
        tiers: TierRules::default(),
        writer: Writer::Sql,
        set_up: [Source::Stripe, Source::Database, Source::Application].into(),
        sandbox: false,
        webhook_url: None,
        offers: Offers::default(),
        contacts: Vec::new(),
    }
}

impl Desk {
    /// Connected, nothing answered yet.
    pub fn new(world: World) -> Self {
        let mut desk = Self {
            state: State::new(Theme::mono(), now()),
            world,
            at: now(),
            tick: 1_000,
            out: Vec::new(),
            effects: Vec::new(),
            serial: 0,
            seconds: 0,
        };
        desk.event(Event::EnvironmentChanged(Box::new(environment())));
        desk.event(Event::AccountKnown { name: "acme".into(), livemode: true, database: "prod-primary".into() });
        desk
    }

    /// Connected, and everything that was asked has been answered.
    pub fn settled(world: World) -> Self {
        let mut desk = Self::new(world);
        desk.poll();
        desk.settle();
        desk
    }

    pub fn event(&mut self, event: Event) {
        self.serial += 1;
        let stamped = Stamped { at: self.at, tick: self.tick, id: Uuid::from_u128(self.serial), event };
        for effect in update(&mut self.state, stamped) {
            match effect {
                Effect::Read { ticket, query } => {
                    self.out.retain(|(t, _)| t.slot != ticket.slot);
                    self.out.push((ticket, query));
                }
                other => self.effects.push(other),
            }
        }
    }

    /// The pollers report what they find.
    pub fn poll(&mut self) {
        for source in [Source::Stripe, Source::Database, Source::Application] {
            // Stripe is asked half as often.
            if source == Source::Stripe && !self.seconds.is_multiple_of(10) {
                continue;
            }
            let result = self.world.answer(&match source {
                Source::Stripe => Query::Endpoints,
                Source::Database => Query::Shape,
                _ => Query::Entitlement(super::fixtures::key("nobody")),
            });
            self.event(Event::SourceReported { source, result: result.map(|_| ()) });
        }
    }

    /// Answers whatever is out, and what follows from it, until nothing is.
    pub fn settle(&mut self) {
        for round in 0.. {
            assert!(round < 400, "it never stops asking: {:?}", self.out);
            if self.out.is_empty() {
                return;
            }
            self.answer_where(|_| true);
        }
    }

    /// Answers what is out at the moment and matches.
    pub fn answer_where(&mut self, which: impl Fn(&Query) -> bool) {
        let (now, later): (Vec<_>, Vec<_>) = std::mem::take(&mut self.out).into_iter().partition(|(_, q)| which(q));
        self.out = later;
        for (ticket, query) in now {
            let result = self.world.answer(&query);
            self.event(Event::ReplyArrived { ticket, query, result });
        }
    }

    /// The key of a person who has seen the screen: slow enough to be no paste.
    pub fn key(&mut self, key: Key) {
        if self.state.dialog.is_some() {
            // A menu was read before.
            let event = Event::Painted;
            update(&mut self.state, Stamped { at: self.at, tick: self.tick, id: Uuid::nil(), event });
            self.tick += 100;
        }
        self.wait(200);
        self.event(Event::Key(key));
        self.wait(200);
        self.event(Event::KeysPaused);
    }

    pub fn keys(&mut self, text: &str) {
        text.chars().for_each(|c| self.key(Key::Char(c)));
    }

    pub fn wait(&mut self, milliseconds: u64) {
        self.tick += milliseconds;
        self.at += Duration::milliseconds(i64::try_from(milliseconds).expect("a short time"));
    }

    /// Seconds pass; the pollers go on reporting.
    pub fn pass(&mut self, seconds: u64) {
        for _ in 0..seconds {
            self.wait(1_000);
            self.seconds += 1;
            if self.seconds.is_multiple_of(5) {
                self.poll();
            }
            self.event(Event::Ticked);
        }
    }

    pub fn screen(&self, columns: u16, rows: u16) -> String {
        let mut state = self.state.clone();
        (state.world.columns, state.world.rows) = (columns, rows);
        let mut buf = Buffer::empty(Rect::new(0, 0, columns, rows));
        draw(&state, &mut buf);
        let lines: Vec<String> = buf
            .content
            .chunks(usize::from(columns))
            .map(|row| row.iter().map(ratatui::buffer::Cell::symbol).collect::<String>().trim_end().to_string())
            .collect();
        lines.join("\n")
    }

    /// The screen at the designed minimum.
    pub fn shown(&self) -> String {
        self.screen(80, 24)
    }

    #[track_caller]
    pub fn expect(&self, words: &str) {
        assert!(self.shown().contains(words), "no `{words}` on\n{}", self.shown());
    }

    #[track_caller]
    pub fn expect_not(&self, words: &str) {
        assert!(!self.shown().contains(words), "`{words}` on\n{}", self.shown());
    }

    /// Both sizes, under this name.
    #[track_caller]
    pub fn snapshot(&self, name: &str) {
        insta::assert_snapshot!(format!("{name}_80x24"), self.shown());
        insta::assert_snapshot!(format!("{name}_120x36"), self.screen(120, 36));
    }
}
