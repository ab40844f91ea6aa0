//! The application's log on screen: from the palette, as evidence.

use crate::fixtures::{World, now};
use crate::script::{Script, environment};
use nightdesk::domain::fault::Source;
use nightdesk::domain::webhooks::log::{Level, LogLine};
use nightdesk::protocol::event::Event;
use nightdesk::protocol::key::Key;

#[test]
fn the_last_hour_is_two_keys_and_a_word_away() {
    let mut world = World::placeholder();
    world.logs = vec![LogLine {
        at: Some(now() - chrono::Duration::minutes(3)),
        level: Some(Level::Error),
        text: "Webhook error: Error: Profile not found".into(),
        source: "app.log".into(),
        ids: Vec::new(),
    }];
    let mut script = Script::connected(world);
    script.key(Key::Char(':'));
    script.keys("docker");
    script.sees("Application log");
    script.key(Key::Enter);
    script.sees("No log is set up");
    script.key(Key::Esc);

    let mut set_up = environment();
    set_up.set_up.insert(Source::Log);
    script.event(Event::EnvironmentChanged(Box::new(set_up)));
    script.key(Key::Char(':'));
    script.keys("log");
    script.silent = true;
    script.key(Key::Enter);
    script.sees("Reading the log");
    script.silent = false;
    script.key(Key::Esc);
    script.key(Key::Char(':'));
    script.keys("log");
    script.key(Key::Enter);
    script.sees("error: Webhook error: Error: Profile not found").does_not_see("Reading the log");
}
