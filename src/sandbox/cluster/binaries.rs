//! Finds the machine's own `PostgreSQL` server binaries; starts nothing but `postgres --version` and `pg_config --bindir`.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The versions the sandbox runs on.
pub const SUPPORTED: std::ops::RangeInclusive<u32> = 14..=18;

/// A directory that holds `initdb` and `postgres` of one version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Binaries {
    pub dir: PathBuf,
    pub major: u32,
    /// The whole version as the server prints it, for example `15.18 (Debian 15.18-0+deb12u1)`.
    pub version: String,
}

/// Why no server can be started; the sentence says what to do.
#[derive(Debug, thiserror::Error)]
pub enum NoBinaries {
    #[error("NIGHTDESK_PG_BIN is {}, where there is no initdb and postgres of version 14 to 18: point it at such a directory, or unset it", .0.display())]
    Named(PathBuf),
    #[error("no PostgreSQL server (14 to 18) was found: {}, or set NIGHTDESK_PG_BIN to the directory of initdb and postgres", hint())]
    Nowhere,
}

/// The newest supported server of this machine. `NIGHTDESK_PG_BIN`, when set, is the only place looked at.
///
/// # Errors
/// When no directory holds a supported server.
pub fn find() -> Result<Binaries, NoBinaries> {
    if let Some(named) = env::var_os("NIGHTDESK_PG_BIN").filter(|v| !v.is_empty()) {
        let dir = PathBuf::from(named);
        return inspect(&dir).ok_or(NoBinaries::Named(dir));
    }
    let mut seen = HashSet::new();
    let mut found: Vec<Binaries> = Vec::new();
    for dir in places() {
        let Ok(real) = fs::canonicalize(dir.join("postgres")) else { continue };
        if seen.insert(real) {
            found.extend(inspect(&dir));
        }
    }
    // The first of equals wins, so that PATH decides between two builds of one version.
    found.into_iter().rev().max_by_key(|b| b.major).ok_or(NoBinaries::Nowhere)
}

/// The server in `dir`, if it is one of the supported versions. Links are followed: the tools expect their neighbours beside them.
fn inspect(dir: &Path) -> Option<Binaries> {
    let dir = fs::canonicalize(dir.join("postgres")).ok()?.parent()?.to_path_buf();
    if !dir.join("initdb").is_file() {
        return None;
    }
    let said = output(&dir.join("postgres"), "--version")?;
    let version = said.strip_prefix("postgres (PostgreSQL) ")?.trim().to_string();
    let major = version.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
    SUPPORTED.contains(&major).then_some(Binaries { dir, major, version })
}

fn output(program: &Path, argument: &str) -> Option<String> {
    let out = Command::new(program).arg(argument).stdin(Stdio::null()).stderr(Stdio::null()).output().ok()?;
    out.status.success().then(|| String::from_utf8_lossy(&out.stdout).into_owned())
}

/// Where servers live, the nearest first.
fn places() -> Vec<PathBuf> {
    let mut out: Vec<PathBuf> = env::var_os("PATH").map(|p| env::split_paths(&p).collect()).unwrap_or_default();
    out.extend(output(Path::new("pg_config"), "--bindir").map(|dir| PathBuf::from(dir.trim())));
    for (parent, below) in [
        ("/usr/lib/postgresql", "bin"),
        ("/Applications/Postgres.app/Contents/Versions", "bin"),
        ("/opt/homebrew/opt", "bin"),
        ("/usr/local/opt", "bin"),
        ("/usr", "bin"),
    ] {
        // Of the shared parents only the entries that are named after the server.
        let wanted = |name: &str| match parent {
            "/usr" => name.starts_with("pgsql-"),
            "/opt/homebrew/opt" | "/usr/local/opt" => name.starts_with("postgresql"),
            _ => true,
        };
        let Ok(entries) = fs::read_dir(parent) else { continue };
        out.extend(entries.flatten().filter(|e| e.file_name().to_str().is_some_and(wanted)).map(|e| e.path().join(below)));
    }
    out
}

fn hint() -> &'static str {
    if cfg!(target_os = "macos") {
        "install one with `brew install postgresql@17`"
    } else if Path::new("/usr/bin/apt-get").exists() {
        "install one with `sudo apt-get install postgresql`"
    } else if Path::new("/usr/bin/dnf").exists() {
        "install one with `sudo dnf install postgresql-server`"
    } else {
        "install the PostgreSQL server package of this system"
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_directory_without_a_server_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(inspect(dir.path()), None);
    }

    #[test]
    fn a_version_outside_the_range_is_none() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        for (version, expected) in [("9.6.24", None), ("14.2", Some(14)), ("18.1 (Fedora)", Some(18)), ("19beta1", None)] {
            for name in ["initdb", "postgres"] {
                let file = dir.path().join(name);
                // Replaced, not rewritten: a file that is being executed may not be written.
                let _ = fs::remove_file(&file);
                fs::write(&file, format!("#!/bin/sh\necho 'postgres (PostgreSQL) {version}'\n")).unwrap();
                fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
            }
            assert_eq!(inspect(dir.path()).map(|b| b.major), expected, "{version}");
        }
    }

    #[test]
    fn this_machine_has_a_server() {
        let found = find().unwrap();
        assert!(SUPPORTED.contains(&found.major));
        assert!(found.dir.join("initdb").is_file());
    }
}
