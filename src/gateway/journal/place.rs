//! Where the journal of an environment lies that nobody has named: told apart by its database, so that no run is taken up on another one.

use super::JournalError;
use super::file;
use sha2::{Digest, Sha256};
use std::io::Read as _;
use std::path::Path;

/// The place of this database under `state`: the first that comes has `name`'s own, every other one beside it. Which was first stands
/// in a file there.
///
/// # Errors
/// [`JournalError`] where that file cannot be read or made.
pub fn of(state: &Path, name: &str, database: &str) -> Result<String, JournalError> {
    let dir = state.join(super::file_name(name));
    file::make_dir(&dir)?;
    let path = dir.join(".database");
    let mut whose = file::open(&path)?;
    file::lock(&whose, &path)?;
    let mut first = String::new();
    whose.read_to_string(&mut first).map_err(|e| JournalError::io("read", &path, e))?;
    if first.trim().is_empty() {
        file::append_line(&mut whose, &path, database)?;
        return Ok(name.to_string());
    }
    let digest = || hex::encode(Sha256::digest(database));
    Ok(if first.trim() == database { name.to_string() } else { format!("{name}-{}", &digest()[..8]) })
}

#[cfg(test)]
mod tests {
    use super::of;

    #[test]
    fn the_first_database_has_the_name_and_every_other_one_a_place_of_its_own() {
        let state = tempfile::tempdir().unwrap();
        let place = |database: &str| of(state.path(), "env", database).unwrap();
        assert_eq!(place("db1:5432/billing"), "env");
        let other = place("db2:5432/billing");
        assert!(other.starts_with("env-") && other.len() == 12, "{other}");
        assert_eq!((place("db1:5432/billing"), place("db2:5432/billing")), ("env".into(), other.clone()));
        assert_ne!(place("db3:5432/billing"), other);
    }
}
