//! The drift scan that was left off, beside the chain: its file and whose it is. What a scan holds is somebody else's.

use super::{Journal, JournalError, file};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use std::io::ErrorKind;
use std::path::PathBuf;

/// What a scan compared: another account's subscriptions, or another database's rows, are not what is left of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Compared {
    /// The Stripe account and its mode, `acct_…, live`; `None` where Stripe never answered, so that nothing of it was read.
    pub account: Option<String>,
    /// `host:port/database`; `None` where none is configured.
    pub database: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Kept<T> {
    compared: Compared,
    scan: T,
}

/// Why a scan is not taken up.
#[derive(Debug, thiserror::Error)]
pub enum NotTakenUp {
    #[error("there is no interrupted scan of this environment and operator to go on with: begin one with nightdesk drift --full")]
    None,
    #[error("{path}: {why}; begin anew without --resume", path = .path.display())]
    Unreadable { path: PathBuf, why: String },
    #[error(
        "the interrupted scan compared {theirs}, and here is {ours}: begin anew without --resume, or go on with the configuration it was begun with"
    )]
    Another { theirs: String, ours: String },
}

impl Compared {
    /// What the other is that this is not, as the two are called; `None` where both are the same, or one of them is not known.
    fn unlike(&self, here: &Self) -> Option<(String, String)> {
        let differ = |a: &Option<String>, b: &Option<String>| a.clone().zip(b.clone()).filter(|(a, b)| a != b);
        let account = differ(&self.account, &here.account).map(|(a, b)| (format!("Stripe account {a}"), format!("Stripe account {b}")));
        account.or_else(|| differ(&self.database, &here.database).map(|(a, b)| (format!("database {a}"), format!("database {b}"))))
    }
}

impl Journal {
    fn scan(&self) -> PathBuf {
        self.path().with_file_name("drift-scan.json")
    }

    /// Keeps a scan for this operator to go on with, in place of any other.
    ///
    /// # Errors
    /// [`JournalError`] where it cannot be written.
    pub fn keep_scan(&self, compared: &Compared, scan: &impl Serialize) -> Result<(), JournalError> {
        let text = serde_json::to_vec(&Kept { compared: compared.clone(), scan }).expect("invariant: a scan is plain data");
        file::replace(&self.scan(), &text)
    }

    /// The scan that was kept, where it is about what is compared `here`.
    ///
    /// # Errors
    /// [`NotTakenUp`].
    pub fn kept_scan<T: DeserializeOwned>(&self, here: &Compared) -> Result<T, NotTakenUp> {
        let path = self.scan();
        let text = match std::fs::read(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == ErrorKind::NotFound => return Err(NotTakenUp::None),
            Err(error) => return Err(NotTakenUp::Unreadable { path, why: error.to_string() }),
        };
        let kept: Kept<T> = serde_json::from_slice(&text).map_err(|e| NotTakenUp::Unreadable { path, why: e.to_string() })?;
        match kept.compared.unlike(here) {
            Some((theirs, ours)) => Err(NotTakenUp::Another { theirs, ours }),
            None => Ok(kept.scan),
        }
    }

    /// Removes what was kept, if anything.
    ///
    /// # Errors
    /// [`JournalError`] where it is there and stays.
    pub fn drop_scan(&self) -> Result<(), JournalError> {
        let path = self.scan();
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(JournalError::io("remove", &path, error)),
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compared(account: Option<&str>, database: &str) -> Compared {
        Compared { account: account.map(str::to_string), database: Some(database.into()) }
    }

    #[test]
    fn a_scan_goes_on_where_it_was_begun_and_nowhere_else() {
        let state = tempfile::tempdir().unwrap();
        let journal = |environment: &str, operator: &str| Journal::open(state.path(), environment, operator, Some(b"key")).unwrap();
        let (ada, bob) = (journal("prod", "ada"), journal("prod", "bob"));
        let here = compared(Some("acct_1, live"), "db1:5432/app");
        assert!(matches!(ada.kept_scan::<Vec<u32>>(&here), Err(NotTakenUp::None)));
        ada.keep_scan(&here, &vec![1, 2, 3]).unwrap();
        ada.keep_scan(&here, &vec![4, 5]).unwrap();
        assert_eq!(ada.kept_scan::<Vec<u32>>(&here).unwrap(), [4, 5]);
        assert!(matches!(bob.kept_scan::<Vec<u32>>(&here), Err(NotTakenUp::None)), "another operator's");
        assert!(matches!(journal("staging", "ada").kept_scan::<Vec<u32>>(&here), Err(NotTakenUp::None)), "another environment's");
        for (other, words) in [
            (compared(Some("acct_1, test"), "db1:5432/app"), "Stripe account acct_1, live, and here is Stripe account acct_1, test"),
            (compared(Some("acct_1, live"), "db2:5432/app"), "database db1:5432/app, and here is database db2:5432/app"),
        ] {
            let refused = ada.kept_scan::<Vec<u32>>(&other).unwrap_err().to_string();
            assert!(refused.contains(words), "{refused}");
        }
        ada.keep_scan(&compared(None, "db1:5432/app"), &vec![6]).unwrap();
        assert_eq!(ada.kept_scan::<Vec<u32>>(&here).unwrap(), [6], "of no account was anything read");
        ada.drop_scan().unwrap();
        ada.drop_scan().unwrap();
        assert!(matches!(ada.kept_scan::<Vec<u32>>(&here), Err(NotTakenUp::None)));
    }

    #[test]
    fn nobody_else_may_read_it() {
        use std::os::unix::fs::PermissionsExt;
        let state = tempfile::tempdir().unwrap();
        let journal = Journal::open(state.path(), "prod", "ada", Some(b"key")).unwrap();
        journal.keep_scan(&Compared::default(), &1).unwrap();
        assert_eq!(std::fs::metadata(journal.scan()).unwrap().permissions().mode() & 0o777, 0o600);
    }
}
