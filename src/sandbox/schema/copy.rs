//! Rows in the text format of COPY; knows no table.

use std::fmt::{Display, Write};

use chrono::{DateTime, Datelike, Timelike, Utc};
use sqlx::postgres::PgConnection;

/// The rows of one table that were not sent yet.
pub struct Batch {
    statement: String,
    text: String,
}

/// One row under construction; finished when dropped.
pub struct Row<'a> {
    text: &'a mut String,
    first: bool,
}

impl Batch {
    pub fn new(table: &str, columns: &str) -> Self {
        Self { statement: format!("COPY {table} ({columns}) FROM STDIN"), text: String::new() }
    }

    pub fn row(&mut self) -> Row<'_> {
        Row { text: &mut self.text, first: true }
    }

    /// Sends what has gathered.
    pub async fn send(&mut self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        if !self.text.is_empty() {
            let mut copy = connection.copy_in_raw(&self.statement).await?;
            copy.send(self.text.as_bytes()).await?;
            copy.finish().await?;
            self.text.clear();
        }
        Ok(())
    }
}

impl Row<'_> {
    /// A value whose text needs no escaping: numbers, ids, words of our own.
    pub fn plain(self, value: impl Display) -> Self {
        let row = self.next();
        write!(row.text, "{value}").expect("invariant: writing to a string cannot fail");
        row
    }

    pub fn text(self, value: &str) -> Self {
        let row = self.next();
        for c in value.chars() {
            match c {
                '\\' => row.text.push_str("\\\\"),
                '\t' => row.text.push_str("\\t"),
                '\n' => row.text.push_str("\\n"),
                '\r' => row.text.push_str("\\r"),
                c => row.text.push(c),
            }
        }
        row
    }

    /// Read as UTC by columns with a time zone, taken as it is by those without. Whole seconds of four-digit years.
    pub fn time(self, value: DateTime<Utc>) -> Self {
        let row = self.next();
        let mut push = |number: u32, digits: u32, then: &str| {
            // A formatter per time would be half of the work of making up rows.
            for place in (0..digits).rev() {
                row.text.push(char::from_digit(number / 10_u32.pow(place) % 10, 10).expect("invariant: a digit"));
            }
            row.text.push_str(then);
        };
        push(value.year().unsigned_abs(), 4, "-");
        push(value.month(), 2, "-");
        push(value.day(), 2, " ");
        push(value.hour(), 2, ":");
        push(value.minute(), 2, ":");
        push(value.second(), 2, "+00");
        row
    }

    pub fn null(self) -> Self {
        self.plain("\\N")
    }

    pub fn maybe(self, value: Option<impl Display>) -> Self {
        match value {
            Some(value) => self.plain(value),
            None => self.null(),
        }
    }

    pub fn maybe_time(self, value: Option<DateTime<Utc>>) -> Self {
        match value {
            Some(value) => self.time(value),
            None => self.null(),
        }
    }

    fn next(mut self) -> Self {
        if !self.first {
            self.text.push('\t');
        }
        self.first = false;
        self
    }
}

impl Drop for Row<'_> {
    fn drop(&mut self) {
        self.text.push('\n');
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_in_the_format_of_copy() {
        let mut batch = Batch::new("t", "a, b, c");
        drop(batch.row().plain(1).text("a\tb\\c\nd").null());
        drop(batch.row().maybe(Some("x")).maybe_time(None).time(DateTime::from_timestamp(0, 0).unwrap()));
        assert_eq!(batch.text, "1\ta\\tb\\\\c\\nd\t\\N\nx\t\\N\t1970-01-01 00:00:00+00\n");
    }
}
