//! Makes the data directory of a cluster: by `initdb`, from what an earlier `initdb` made, or from a primary; runs no server.

use std::fs::{self, DirBuilder, File};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, fchown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use nix::unistd::{User, geteuid};
use rand::distr::{Alphanumeric, SampleString};

use super::{Primary, SUPERUSER};

/// Whoever may enter the 0700 directory of the socket may connect; over TCP a password is asked for.
const HBA: &str = "local all all trust\nlocal replication all trust\nhost all all 127.0.0.1/32 scram-sha-256\n";

/// Runs `initdb` into `data`, as `account` when given.
///
/// # Errors
/// The last words of `initdb`.
pub fn run(bin: &Path, home: &Path, data: &Path, account: Option<&User>) -> Result<(), String> {
    // Byte order for text: the sandbox's ids can then be searched by prefix. macOS has no C.UTF-8.
    let preferred: &[&str] =
        if cfg!(target_os = "macos") { &["--lc-collate=C", "--lc-ctype=en_US.UTF-8", "--lc-messages=C"] } else { &["--locale=C.UTF-8"] };
    let mut last = String::new();
    for locale in [preferred, &["--locale=C"]] {
        let _ = fs::remove_dir_all(data);
        let mut command = command(&bin.join("initdb"), home, account);
        command.arg("-D").arg(data).args(["-N", "-A", "trust", "-U", SUPERUSER, "-E", "UTF8"]).args(locale);
        match command.output() {
            Err(error) => return Err(format!("initdb could not be run: {error}")),
            Ok(out) if out.status.success() => return fs::write(data.join("pg_hba.conf"), HBA).map_err(|e| e.to_string()),
            Ok(out) => last = words(&out),
        }
    }
    Err(format!("initdb failed: {last}"))
}

/// Copies a running primary into `data`, as `account` when given, so that a server started there follows it.
///
/// # Errors
/// The last words of `pg_basebackup`.
pub fn replicate(bin: &Path, home: &Path, data: &Path, account: Option<&User>, primary: &Primary) -> Result<(), String> {
    let mut command = command(&bin.join("pg_basebackup"), home, account);
    command.arg("-h").arg(&primary.directory).arg("-p").arg(primary.port.to_string());
    command.args(["-U", SUPERUSER, "-w", "-R", "-X", "stream", "-c", "fast", "--no-sync", "-D"]).arg(data);
    match command.output() {
        Err(error) => Err(format!("pg_basebackup could not be run: {error}")),
        Ok(out) if out.status.success() => Ok(()),
        Ok(out) => Err(format!("pg_basebackup failed: {}", words(&out))),
    }
}

/// A command of the server's, in the environment and as the account it wants.
pub fn command(program: &Path, home: &Path, account: Option<&User>) -> Command {
    let mut command = Command::new(program);
    command
        .env_clear()
        .env("PATH", "/usr/local/bin:/usr/bin:/bin")
        .env("LC_ALL", "C")
        .env("TZ", "UTC")
        .current_dir(home)
        .stdin(Stdio::null());
    if let Some(user) = account {
        command.uid(user.uid.as_raw()).gid(user.gid.as_raw());
    }
    command
}

/// Where the result of `initdb` is kept for this version: in the user's own cache directory, and only if nobody else can
/// write there. `None`: nothing is kept.
pub fn cache(version: &str, bin: &Path) -> Option<PathBuf> {
    let set = |name| std::env::var_os(name).map(PathBuf::from).filter(|p| p.is_absolute());
    let below = if cfg!(target_os = "macos") { "Library/Caches" } else { ".cache" };
    let root = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(below)))?.join("nightdesk");
    DirBuilder::new().recursive(true).mode(0o700).create(&root).ok()?;
    let facts = fs::metadata(&root).ok()?;
    if facts.uid() != geteuid().as_raw() || facts.mode() & 0o022 != 0 {
        return None;
    }
    let mut hasher = DefaultHasher::new();
    (version, bin, HBA).hash(&mut hasher);
    Some(root.join(format!("initdb-{:016x}", hasher.finish())))
}

/// Keeps a copy of `data` as `cache`. Written beside it and renamed, so that nobody ever sees half of one.
pub fn keep(data: &Path, cache: &Path) {
    let beside = cache.with_extension(Alphanumeric.sample_string(&mut rand::rng(), 8));
    if copy(data, &beside, None).is_err() || fs::rename(&beside, cache).is_err() {
        let _ = fs::remove_dir_all(&beside);
    }
}

/// Copies a directory of plain files, private to `account` (or to us).
///
/// # Errors
/// Any of the file system's.
pub fn copy(from: &Path, to: &Path, account: Option<&User>) -> io::Result<()> {
    DirBuilder::new().mode(0o700).create(to)?;
    let own = |file: &File| account.map_or(Ok(()), |user| fchown(file, Some(user.uid.as_raw()), Some(user.gid.as_raw())));
    own(&File::open(to)?)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let target = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &target, account)?;
        } else {
            let mut source = File::open(entry.path())?;
            let mut copied = File::options().write(true).create_new(true).open(&target)?;
            io::copy(&mut source, &mut copied)?;
            copied.set_permissions(fs::Permissions::from_mode(0o600))?;
            own(&copied)?;
        }
    }
    Ok(())
}

/// The last line that a failed command wrote, its errors first.
fn words(out: &Output) -> String {
    let said = [&out.stderr, &out.stdout].map(|b| String::from_utf8_lossy(b).trim().to_string());
    said.iter().find(|s| !s.is_empty()).map_or_else(|| out.status.to_string(), |s| s.lines().last().unwrap_or_default().to_string())
}
