//! The application's log: JSON lines as pino writes them, with ids and no personal data.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::Mutex;

use chrono::Utc;
use serde_json::{Value, json};

#[derive(Debug)]
pub struct Log {
    file: Mutex<File>,
}

impl Log {
    pub fn open(path: &Path) -> io::Result<Self> {
        Ok(Self { file: Mutex::new(OpenOptions::new().create(true).append(true).open(path)?) })
    }

    pub fn info(&self, message: &str, about: &Value) {
        self.write(30, message, about);
    }

    pub fn warn(&self, message: &str, about: &Value) {
        self.write(40, message, about);
    }

    pub fn error(&self, message: &str, about: &Value) {
        self.write(50, message, about);
    }

    fn write(&self, level: u8, message: &str, about: &Value) {
        let mut line = json!({ "level": level, "time": Utc::now().timestamp_millis(), "pid": std::process::id(), "name": "api" });
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
