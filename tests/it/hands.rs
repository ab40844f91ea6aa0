//! An operator at a terminal, as slow as people are; what they press is counted.

use crate::terminal::Terminal;
use std::time::Duration;

/// Keys that come sooner after a dialog was painted are dropped, and an Enter right behind typed text belongs to a paste.
const HUMAN: Duration = Duration::from_millis(600);

pub struct Hands {
    pub terminal: Terminal,
    pub pressed: usize,
}

impl Hands {
    pub fn press(&mut self, key: &str) {
        std::thread::sleep(HUMAN);
        self.pressed += 1;
        self.terminal.send(key);
    }

    /// A reason, a phrase, a count: not counted.
    pub fn enter(&mut self, text: &str) {
        std::thread::sleep(HUMAN);
        self.terminal.send(text);
        self.terminal.wait_for(text);
        self.press("\r");
    }
}
