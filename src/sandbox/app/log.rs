//! The application's log: JSON lines as pino writes them, with the version that runs, ids, and no personal data.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Log {
    file: Mutex<File>,
    version: &'static str,
}

impl Log {
    pub fn open(path: &Path, version: &'static str) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(OpenOptions::new().create(true).append(true).open(path)?), version })
    }

    pub fn info(&self, message: &str, about: &Value) {
        self.write(Utc::now(), 30, message, about);
    }

    pub fn warn(&self, message: &str, about: &Value) {
        self.write(Utc::now(), 40, message, about);
    }

    pub fn error(&self, message: &str, about: &Value) {
        self.write(Utc::now(), 50, message, about);
    }

    /// A line of another moment: what happened in the past was logged then.
    pub fn write(&self, at: DateTime<Utc>, level: u8, message: &str, about: &Value) {
        let mut line = json!({
            "level": level,
            "time": at.timestamp_millis(),
            "pid": std::process::id(),
            "name": "api",
            "version": self.version,
        });
        let fields = about.as_object().into_iter().flatten();
        for (name, value) in fields.chain([(&"msg".to_string(), &json!(message))]) {
            line[name] = value.clone();
        }
        let text = format!("{line}\n");
        let mut file = self.file.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        // A full disk must not take the application down.
        let _ = file.write_all(text.as_bytes());
    }
}
