//! Lists written to files: under a temporary name beside the file, renamed when complete, left as `.partial` where they were broken off.

use crate::domain::export::{Cell, Format};
use crate::domain::fault::{Fault, FaultKind};
use crate::domain::mask;
use crate::domain::quota::{NearRow, QuotaFilter, Threshold};
use crate::protocol::query::{Query, Reply};
use std::fs::File;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

/// A file in the making. Dropped before [`ExportFile::finish`] it stays under its partial name.
pub struct ExportFile {
    path: PathBuf,
    partial: PathBuf,
    out: BufWriter<File>,
    format: Format,
    columns: &'static [&'static str],
    rows: u64,
}

/// Why nobody can be said to be near a limit.
pub const NO_LIMITS: &str = "no limits are known: neither a table of limits nor [limits.TIER] in the configuration";
/// The columns of the list of who is near a limit.
pub const NEAR_LIMIT: &[&str] = &["profile", "email", "name", "tier", "feature", "used", "limit", "percent", "resets", "state", "claim"];

impl ExportFile {
    /// Begins `path`'s file under its partial name, readable by its owner alone. A file that is there stays until this one is complete.
    ///
    /// # Errors
    /// One sentence with the path.
    pub fn create(path: &Path, format: Format, columns: &'static [&'static str]) -> Result<Self, String> {
        let mut name = path.file_name().ok_or_else(|| format!("`{}` names no file", path.display()))?.to_os_string();
        name.push(".partial");
        let partial = path.with_file_name(name);
        // Made anew: an older one may be open to others, or lead elsewhere.
        match std::fs::remove_file(&partial) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => return Err(format!("{}: {e}", partial.display())),
            _ => {}
        }
        let file = File::options().write(true).create_new(true).mode(0o600).open(&partial);
        let file = file.map_err(|e| format!("{}: {e}", partial.display()))?;
        let mut export = Self { path: path.to_path_buf(), partial, out: BufWriter::new(file), format, columns, rows: 0 };
        let head = format.head(columns);
        export.write(&head)?;
        Ok(export)
    }

    /// # Errors
    /// One sentence with the path: the disk is full, for one.
    pub fn row(&mut self, cells: &[Cell]) -> Result<(), String> {
        let row = self.format.row(self.columns, cells, self.rows == 0);
        self.write(&row)?;
        self.rows += 1;
        Ok(())
    }

    /// Completes the file and gives it its name; how many rows it has.
    ///
    /// # Errors
    /// One sentence with the path; then what is there is still the partial file.
    pub fn finish(mut self) -> Result<u64, String> {
        self.write(self.format.tail())?;
        let told = self.out.flush().and_then(|()| self.out.get_ref().sync_all());
        told.and_then(|()| std::fs::rename(&self.partial, &self.path)).map_err(|e| self.failed(&e))?;
        Ok(self.rows)
    }

    /// Takes away what was begun: there is nothing to write.
    ///
    /// # Errors
    /// One sentence with the path.
    pub fn abandon(self) -> Result<(), String> {
        std::fs::remove_file(&self.partial).map_err(|e| format!("{}: {e}", self.partial.display()))
    }

    /// Where it stands until it is complete.
    #[must_use]
    pub fn partial(&self) -> &Path {
        &self.partial
    }

    fn write(&mut self, text: &str) -> Result<(), String> {
        self.out.write_all(text.as_bytes()).map_err(|e| self.failed(&e))
    }

    fn failed(&self, error: &std::io::Error) -> String {
        format!("{}: {error}; what is there is not complete", self.partial.display())
    }
}

/// Writes everybody who is near a limit, page by page, and tells after each how many rows there are; how many that were.
///
/// # Errors
/// One sentence: bad place, or the database stopped answering. Then a `.partial` file holds what had come.
pub async fn near_limit<A, F, T>(
    ask: A,
    path: &Path,
    format: Format,
    threshold: Threshold,
    filter: QuotaFilter,
    masked: bool,
    told: T,
) -> Result<u64, String>
where
    A: Fn(Query) -> F,
    F: Future<Output = Result<Reply, Fault>>,
    T: Fn(u64),
{
    let mut file = ExportFile::create(path, format, NEAR_LIMIT)?;
    let mut after = None;
    loop {
        let page = match ask(Query::NearLimit { threshold, filter: filter.clone(), after }).await {
            Ok(Reply::NearLimit(page)) => page,
            Ok(_) => return Err("the answer does not fit the question".into()),
            // Nothing was asked for that could be found: there is nothing to go on with.
            Err(fault) if fault.kind == FaultKind::NotFound && file.rows == 0 => {
                file.abandon()?;
                return Err(fault.say);
            }
            Err(fault) => return Err(format!("{}; {} is not complete", fault.say.trim_end_matches('.'), file.partial().display())),
        };
        if !page.limits_known {
            file.abandon()?;
            return Err(NO_LIMITS.into());
        }
        for row in &page.rows {
            file.row(&cells(row, masked))?;
        }
        told(file.rows);
        match page.next {
            Some(next) => after = Some(next),
            None => return file.finish(),
        }
    }
}

fn cells(row: &NearRow, masked: bool) -> Vec<Cell> {
    let text = |t: &str| Cell::Text(t.to_string());
    let maybe = |t: &Option<String>, mask: fn(&str) -> String| {
        t.as_deref().map_or(Cell::None, |t| Cell::Text(if masked { mask(t) } else { t.into() }))
    };
    vec![
        text(row.subject.as_str()),
        maybe(&row.email, mask::email),
        maybe(&row.name, mask::name),
        text(&row.tier),
        text(&row.feature),
        Cell::Number(row.used),
        Cell::Number(row.limit),
        Cell::Number(row.percent()),
        row.resets.map_or(Cell::None, |at| Cell::Text(at.to_rfc3339_opts(chrono::SecondsFormat::AutoSi, true))),
        text(row.state.word()),
        text(row.claim.word()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_its_name_only_when_it_is_complete() {
        let place = tempfile::tempdir().expect("a directory");
        let path = place.path().join("near.csv");
        std::fs::write(&path, "yesterday's").expect("written");
        let mut file = ExportFile::create(&path, Format::Csv, &["name"]).expect("begun");
        file.row(&[Cell::Text("=1".into())]).expect("written");
        let partial = file.partial().to_path_buf();
        drop(file);
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "yesterday's");
        assert_eq!(std::fs::read_to_string(&partial).expect("there"), "name\r\n\"'=1\"\r\n");
        let mut file = ExportFile::create(&path, Format::Csv, &["name"]).expect("begun anew");
        file.row(&[Cell::Text("Ada".into())]).expect("written");
        assert_eq!(file.finish(), Ok(1));
        assert_eq!(std::fs::read_to_string(&path).expect("there"), "name\r\nAda\r\n");
        assert!(!partial.exists());
        assert!(ExportFile::create(&place.path().join("no/where.csv"), Format::Csv, &["a"]).is_err());
    }
}
