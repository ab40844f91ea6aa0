//! Files that the executor writes for this console: how far each is, and where the last ones lie. Writes none itself.

use super::widgets::format::count;
use crate::domain::At;
use crate::domain::export::Format;
use crate::protocol::event::Exported;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A file, being written or done with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Export {
    pub id: Uuid,
    /// The name that was asked for; its whole path once it is complete.
    pub file: String,
    pub format: Format,
    pub begun: At,
    /// In the file by now.
    pub rows: u64,
    pub standing: Standing,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Standing {
    Writing,
    Complete,
    /// Not complete: why, and where what there is lies.
    Partial(String),
}

/// Oldest first.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exports(Vec<Export>);

/// So many that have ended are remembered.
const ENDED_KEPT: usize = 5;

impl Exports {
    /// Begins one; the name of its file, which no other of this second has.
    pub fn begin(&mut self, id: Uuid, format: Format, now: At) -> String {
        let stamp = now.format("%Y%m%d-%H%M%S");
        let taken = self.0.iter().filter(|e| e.file.contains(&stamp.to_string())).count();
        let nth = if taken == 0 { String::new() } else { format!("-{}", taken + 1) };
        let file = format!("nightdesk-near-limit-{stamp}{nth}.{}", format.ending());
        self.0.push(Export { id, file: file.clone(), format, begun: now, rows: 0, standing: Standing::Writing });
        let surplus = self.0.iter().filter(|e| e.standing != Standing::Writing).count().saturating_sub(ENDED_KEPT);
        for _ in 0..surplus {
            if let Some(at) = self.0.iter().position(|e| e.standing != Standing::Writing) {
                self.0.remove(at);
            }
        }
        file
    }

    pub fn went(&mut self, id: Uuid, rows: u64) {
        if let Some(export) = self.0.iter_mut().find(|e| e.id == id) {
            export.rows = rows;
        }
    }

    /// Takes in how one ended; what is said about it. `None`: nobody here asked for it.
    pub fn ended(&mut self, id: Uuid, result: Result<Exported, String>) -> Option<String> {
        let export = self.0.iter_mut().find(|e| e.id == id)?;
        match result {
            Ok(Exported { path, rows }) => {
                (export.file, export.rows, export.standing) = (path, rows, Standing::Complete);
                Some(format!("{} in {}", rows_of(rows), export.file))
            }
            Err(why) => {
                export.standing = Standing::Partial(why.clone());
                Some(why)
            }
        }
    }

    #[must_use]
    pub fn get(&self, id: Uuid) -> Option<&Export> {
        self.0.iter().find(|e| e.id == id)
    }

    pub fn iter(&self) -> impl DoubleEndedIterator<Item = &Export> {
        self.0.iter()
    }

    /// What is said in passing while one is being written.
    #[must_use]
    pub fn line(&self) -> Option<String> {
        let writing: Vec<&Export> = self.0.iter().filter(|e| e.standing == Standing::Writing).collect();
        match writing.as_slice() {
            [] => None,
            [one] => Some(format!("export {}", rows_of(one.rows))),
            many => Some(format!("{} exports", many.len())),
        }
    }
}

impl Export {
    /// Where it stands, as one word.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self.standing {
            Standing::Writing => "writing",
            Standing::Complete => "complete",
            Standing::Partial(_) => "partial",
        }
    }

    /// How much, and where.
    #[must_use]
    pub fn say(&self) -> String {
        match &self.standing {
            Standing::Partial(why) => why.clone(),
            Standing::Writing | Standing::Complete => format!("{} in {}", rows_of(self.rows), self.file),
        }
    }
}

#[must_use]
pub fn rows_of(rows: u64) -> String {
    count(usize::try_from(rows).unwrap_or(usize::MAX), "row", "rows")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_files_of_a_second_have_one_name_and_what_is_written_is_never_forgotten() {
        let (mut exports, now) = (Exports::default(), At::from_timestamp(1_800_000_000, 0).expect("in range"));
        let writing = exports.begin(Uuid::from_u128(0), Format::Csv, now);
        for n in 1..12_u128 {
            let file = exports.begin(Uuid::from_u128(n), Format::Csv, now + chrono::Duration::seconds(i64::try_from(n).expect("small")));
            assert_ne!(file, writing);
            let ended = exports.ended(Uuid::from_u128(n), Ok(Exported { path: format!("/tmp/{file}"), rows: 1 }));
            assert_eq!(ended, Some(format!("1 row in /tmp/{file}")));
        }
        assert_ne!(exports.begin(Uuid::from_u128(99), Format::Csv, now), writing);
        assert!(exports.get(Uuid::from_u128(0)).is_some() && exports.iter().count() <= ENDED_KEPT + 3);
        assert_eq!(exports.ended(Uuid::from_u128(7_777), Err("x".into())), None);
    }
}
