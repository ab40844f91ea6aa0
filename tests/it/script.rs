//! A script for the console: keys in, effects out, replies in, words on screen. Time is stamped by hand; a simulated world answers.

use crate::fixtures::{World, now};
use chrono::Duration;
use nightdesk::console::widgets::theme::Theme;
use nightdesk::console::{State, draw, update};
use nightdesk::domain::At;
use nightdesk::domain::fault::Source;
use nightdesk::domain::policy::Writes;
use nightdesk::domain::row::Field;
use nightdesk::protocol::command::{Command, Outcome};
use nightdesk::protocol::effect::Effect;
use nightdesk::protocol::environment::{Contact, Environment, Offers, Writer};
use nightdesk::protocol::event::{Event, Stamped};
use nightdesk::protocol::key::Key;
use nightdesk::protocol::query::Query;
use nightdesk::protocol::run::{Perform, Performed};
use ratatui::buffer::Buffer;
use ratatui::layout::Rect;
use std::collections::{BTreeSet, VecDeque};
use uuid::Uuid;

pub struct Script {
    pub state: State,
    pub world: World,
    /// Everything the console wanted done, reads aside.
    pub effects: Vec<Effect>,
    /// Reads that nobody has answered: all of them while `silent`.
    pub unanswered: Vec<Effect>,
    pub silent: bool,
    /// Performed writes are answered with this instead of being done.
    pub outcome: Option<Outcome>,
    at: At,
    tick: u64,
    ids: u128,
}

pub fn environment() -> Environment {
    Environment {
        name: "sandbox".into(),
        production: false,
        operator: "oncall".into(),
        tiers: nightdesk::domain::tiers::TierRules::default(),
        writer: Writer::Sql,
        set_up: BTreeSet::from([Source::Stripe, Source::Database, Source::Application, Source::Store]),
        sandbox: true,
        webhook_url: None,
        offers: Offers::default(),
        contacts: vec![
            Contact { issue: "Stripe API down".into(), contact: "payments@acme.example".into(), responds: "15 min".into() },
            Contact { issue: "Database".into(), contact: "dba@acme.example".into(), responds: "30 min".into() },
        ],
    }
}

impl Script {
    /// Started, nothing connected.
    pub fn started(world: World) -> Self {
        let mut script = Self {
            state: State::new(Theme::mono(), now()),
            world,
            effects: Vec::new(),
            unanswered: Vec::new(),
            silent: false,
            outcome: None,
            at: now(),
            tick: 0,
            ids: 0x7000_8000_0000_0000_0000,
        };
        script.event(Event::Painted);
        script
    }

    /// Goes on from this state, at its time.
    pub fn resumed(world: World, state: State) -> Self {
        let (at, tick) = (state.world.now, state.world.tick);
        Self { state, world, effects: Vec::new(), unanswered: Vec::new(), silent: false, outcome: None, at, tick, ids: 0x1_0000 }
    }

    /// Connected to a test account, all sources fresh.
    pub fn connected(world: World) -> Self {
        let mut script = Self::started(world);
        script.event(Event::EnvironmentChanged(Box::new(environment())));
        script.event(Event::AccountKnown { name: "acme".into(), livemode: false, database: "prod-primary".into() });
        script.fresh();
        script
    }

    pub fn fresh(&mut self) {
        for source in [Source::Stripe, Source::Database, Source::Application, Source::Store] {
            self.event(Event::SourceReported { source, result: Ok(()) });
        }
    }

    pub fn wait(&mut self, milliseconds: u64) -> &mut Self {
        self.tick += milliseconds;
        self.at += Duration::milliseconds(i64::try_from(milliseconds).expect("short"));
        self
    }

    /// One event and everything that follows from it, until nothing more happens by itself.
    pub fn event(&mut self, event: Event) -> Vec<Effect> {
        let mut out = Vec::new();
        let mut queue = VecDeque::from([event]);
        let mut rounds = 0;
        while let Some(event) = queue.pop_front() {
            rounds += 1;
            assert!(rounds < 500, "it never comes to rest: {event:?}");
            self.ids += 1;
            let stamped = Stamped { at: self.at, tick: self.tick, id: Uuid::from_u128(self.ids << 16), event };
            for effect in update(&mut self.state, stamped) {
                queue.extend(self.answer(&effect));
                if !matches!(effect, Effect::Read { .. }) {
                    out.push(effect);
                }
            }
        }
        self.effects.extend(out.iter().cloned());
        out
    }

    fn answer(&mut self, effect: &Effect) -> Option<Event> {
        match effect {
            Effect::Read { .. } if self.silent => {
                self.unanswered.push(effect.clone());
                None
            }
            Effect::Read { ticket, query: Query::Account } => panic!("{ticket:?} asks for the account"),
            Effect::Read { ticket, query } => {
                Some(Event::ReplyArrived { ticket: *ticket, query: query.clone(), result: self.world.answer(query) })
            }
            Effect::TurnWritesOn { reason } => {
                Some(Event::WritesChanged(Writes::On { until: self.at + Duration::minutes(15), reason: reason.clone() }))
            }
            Effect::TurnWritesOff => Some(Event::WritesChanged(Writes::Off)),
            Effect::OpenRun { run, .. } | Effect::ResumeRun { run } if !self.silent => Some(Event::RunOpened { run: *run, result: Ok(()) }),
            Effect::Reveal { subject, .. } if !self.silent => Some(Event::Revealed { subject: subject.clone() }),
            Effect::Perform(perform) => Some(Event::Performed(self.perform(perform))),
            _ => None,
        }
    }

    fn perform(&mut self, perform: &Perform) -> Performed {
        let outcome = self.outcome.clone().unwrap_or_else(|| {
            let Command::SetSubscriptionRow { subject, changes, .. } = &perform.command else { panic!("{perform:?}") };
            let record = self.world.records.iter_mut().find(|r| r.subject.key == *subject).expect("the row is there");
            let row = record.row.as_mut().expect("a row");
            row.image.extend(changes.iter().map(|c| (c.field, c.to.clone())));
            let tier = row.text(Field::Tier).expect("a tier").to_string();
            self.world.enforce(&subject.0, &tier, if tier == "FREE" { 5 } else { 500 });
            Outcome::done("1 row".into())
        });
        Performed { attempt: perform.attempt.clone(), outcome, unrecorded: None }
    }

    /// A key pressed by a person who has looked at the screen: half a second apart, alone.
    pub fn key(&mut self, key: Key) -> Vec<Effect> {
        self.event(Event::Painted);
        self.wait(500);
        let mut out = self.event(Event::Key(key));
        self.wait(60);
        out.extend(self.event(Event::KeysPaused));
        out.extend(self.event(Event::Painted));
        out
    }

    pub fn keys(&mut self, keys: &str) -> Vec<Effect> {
        keys.chars().flat_map(|c| self.key(Key::Char(c))).collect()
    }

    /// Keys as a terminal without brackets delivers a paste: a millisecond apart.
    pub fn burst(&mut self, text: &str) -> Vec<Effect> {
        self.wait(200);
        let mut out = Vec::new();
        for c in text.chars() {
            self.wait(1);
            out.extend(self.event(Event::Key(if c == '\n' { Key::Enter } else { Key::Char(c) })));
        }
        self.wait(60);
        out.extend(self.event(Event::KeysPaused));
        out
    }

    pub fn paste(&mut self, text: &str) -> Vec<Effect> {
        self.wait(200);
        self.event(Event::Pasted(text.into()))
    }

    pub fn seconds(&mut self, seconds: u64) -> Vec<Effect> {
        (0..seconds)
            .flat_map(|_| {
                self.wait(1_000);
                self.event(Event::Ticked)
            })
            .collect()
    }

    /// What is on screen at this size, trailing blanks dropped.
    pub fn screen_at(&mut self, columns: u16, rows: u16) -> String {
        self.event(Event::Resized { columns, rows });
        let mut buf = Buffer::empty(Rect::new(0, 0, columns, rows));
        draw(&self.state, &mut buf);
        let lines: Vec<String> = (0..rows)
            .map(|y| {
                let mut line = String::new();
                let mut hidden = 0;
                for x in 0..columns {
                    if hidden == 0 {
                        line.push_str(buf[(x, y)].symbol());
                        hidden = unicode_width::UnicodeWidthStr::width(buf[(x, y)].symbol()).saturating_sub(1);
                    } else {
                        hidden -= 1;
                    }
                }
                line.trim_end().to_string()
            })
            .collect();
        lines.join("\n")
    }

    pub fn screen(&mut self) -> String {
        self.screen_at(80, 24)
    }

    #[track_caller]
    pub fn sees(&mut self, text: &str) -> &mut Self {
        let screen = self.screen();
        assert!(screen.contains(text), "`{text}` is not on screen:\n{screen}");
        self
    }

    #[track_caller]
    pub fn does_not_see(&mut self, text: &str) -> &mut Self {
        let screen = self.screen();
        assert!(!screen.contains(text), "`{text}` is on screen:\n{screen}");
        self
    }
}
