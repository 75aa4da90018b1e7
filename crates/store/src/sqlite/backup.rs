//! A copy of the whole store into one file, while other processes use the store. The copy is complete, or it does not
//! exist.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::identity::FileId;
use super::kind::COMPANIONS;
use super::{Store, beside, check, fault, schema};
use crate::sqlite::{Error, Result};
use slotfs_object::shown;

mod partial;

pub(crate) use partial::Partial;
pub(super) use partial::rename_to_new;

/// Pages that are copied between two calls of `stop`: 4 MiB.
const PAGES_AT_ONCE: i32 = 1024;
/// How long a lock may delay a step.
const BUSY_LIMIT: Duration = Duration::from_secs(10);

impl Store {
    /// Copies the store as it is now to `file`, 0600, durably; its size in bytes. `file` must not exist unless
    /// `replace` is set. The backup calls `stop` after every few MiB, and ends when that returns `true`.
    ///
    /// # Errors
    /// [`Error::Target`] and [`Error::TargetExists`] when `file` must not be written, [`Error::File`] when writing it
    /// fails, [`Error::Stopped`] by `stop`, [`Error::Damaged`] when the copy does not pass SQLite's checks. After each of
    /// them, `file` is as it was.
    pub fn backup(&self, file: &Path, replace: bool, stop: &dyn Fn() -> bool) -> Result<u64> {
        let source = self.open_another()?;
        // One snapshot for all steps. A backup that ends its read transaction between steps starts again whenever
        // another process has written; while a mount is busy, it would never end. step(-1) would end, but could not be
        // stopped. A reader does not delay writers; it only keeps the write-ahead log from being truncated.
        source
            .execute_batch("BEGIN; SELECT count(*) FROM sqlite_schema;")
            .map_err(fault::sql(&self.path))?;
        self.refuse(file, replace)?;
        let copy = Partial::beside(file)?;
        copy_pages(&source, &copy, stop)?;
        drop(source);
        self.verify(&copy)?;
        // If the store was replaced, users would take this for a copy of the new one.
        self.check_identity()?;
        if stop() {
            return Err(interrupted(file));
        }
        copy.finish(replace)
    }

    /// Refuses a target that would destroy the store or another database.
    fn refuse(&self, file: &Path, replace: bool) -> Result<()> {
        let own = |path: &Path| match (fs::metadata(path), fs::metadata(file)) {
            (Ok(own), Ok(other)) => FileId::of(&own) == FileId::of(&other),
            _ => false,
        };
        let mut companions = COMPANIONS.iter().map(|suffix| beside(&self.path, suffix));
        if own(&self.path) || companions.any(|path| own(&path) || is_same_name(&path, file)) {
            return Err(refused(file, "this is the store itself; name another file"));
        }
        refuse_target(file, replace)
    }

    /// Checks the copy alone, as it would be opened from a read-only disk.
    fn verify(&self, copy: &Partial) -> Result<()> {
        let damaged = |what: &str| {
            Err(Error::Damaged(format!(
                "{}: a copy of it does not pass SQLite's checks, so {} was not written: {what}; 'slotfs store check' says more",
                shown::path(&self.path),
                shown::path(&copy.target)
            )))
        };
        let connection = fault::open_immutable(&copy.path)?;
        schema::check(&copy.target, &connection)?;
        let found = schema::differences(&connection).and_then(|mut found| {
            found.extend(check::integrity(&connection)?);
            Ok(found)
        });
        match found {
            // A damaged value concerns one row only, and the others are worth a copy. A list of the greatest length may
            // lack other findings.
            Ok(found) if found.len() < MOST_FOUND && found.iter().all(|it| is_of_a_value(it)) => {
                if !found.is_empty() {
                    log::warn!(
                        "{}: {} damaged values are in the copy as they are in the store; 'slotfs store check' names their rows",
                        shown::path(&self.path),
                        found.len()
                    );
                }
                Ok(())
            }
            Ok(found) => damaged(
                found
                    .iter()
                    .find(|it| !is_of_a_value(it))
                    .or(found.first())
                    .map_or("", String::as_str),
            ),
            Err(error) => damaged(&error.to_string()),
        }
    }
}

/// Refuses a target that is no plain file, that may not be replaced, or that another database uses.
pub(super) fn refuse_target(file: &Path, replace: bool) -> Result<()> {
    let refuse = |why: &str| Err(refused(file, why));
    let there = match fs::symlink_metadata(file) {
        Ok(there) => Some(there),
        Err(error) if error.kind() == io::ErrorKind::NotFound => None,
        Err(source) => return Err(failed(file)(source)),
    };
    if let Some(there) = there {
        if !there.is_file() {
            return refuse("it is not a plain file; name another file");
        }
        if !replace {
            return Err(Error::TargetExists(file.to_owned()));
        }
    }
    // SQLite would replay another database's log into the copy.
    for suffix in COMPANIONS {
        let companion = beside(file, suffix);
        if fs::symlink_metadata(&companion).is_ok() {
            return refuse(&format!(
                "{} belongs to a database of that name that is in use or was not closed; name another file, or remove it when nothing uses it",
                shown::path(&companion)
            ));
        }
    }
    Ok(())
}

/// The most lines of `PRAGMA integrity_check`.
const MOST_FOUND: usize = 100;

/// Whether a line of `PRAGMA integrity_check` concerns a wrong value in a column, and not a page or an index.
fn is_of_a_value(line: &str) -> bool {
    let line = line.strip_prefix("integrity_check: ").unwrap_or(line);
    line.starts_with("CHECK constraint failed in ") || line.contains(" value in ")
}

/// Copies the open store, of schema version `version`, before a migration; the copy's path, beside the store.
///
/// # Errors
/// As [`Store::backup`]; it then leaves no file.
pub(super) fn copy_before_migration(
    path: &Path,
    connection: &Connection,
    version: i32,
) -> Result<PathBuf> {
    let target = (1..)
        .map(|n| match n {
            1 => beside(path, &format!(".v{version}")),
            n => beside(path, &format!(".v{version}-{n}")),
        })
        .find(|target| fs::symlink_metadata(target).is_err())
        .unwrap_or_else(|| beside(path, ".old"));
    let copy = Partial::beside(&target)?;
    copy_pages(connection, &copy, &|| false)?;
    copy.finish(false)?;
    Ok(target)
}

fn copy_pages(source: &Connection, copy: &Partial, stop: &dyn Fn() -> bool) -> Result<()> {
    let at_target = |source| failed(&copy.target)(source);
    let failed = |error: rusqlite::Error| match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseCorrupt) => {
            Error::Damaged(format!("the store cannot be copied: {error}"))
        }
        Some(ErrorCode::DiskFull) => at_target(io::ErrorKind::StorageFull.into()),
        _ => at_target(io::Error::other(error)),
    };
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut target = Connection::open_with_flags(&copy.path, flags).map_err(failed)?;
    // A failed copy is removed, so it needs no journal, and one sync at the end is enough.
    target
        .execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")
        .map_err(failed)?;
    let backup = Backup::new(source, &mut target).map_err(failed)?;
    let mut deadline = Instant::now() + BUSY_LIMIT;
    loop {
        match backup.step(PAGES_AT_ONCE).map_err(failed)? {
            StepResult::Done => break,
            StepResult::More => deadline = Instant::now() + BUSY_LIMIT,
            _ if Instant::now() > deadline => {
                let why = "another process keeps the copy locked; try again";
                return Err(at_target(io::Error::other(why)));
            }
            _ => thread::sleep(Duration::from_millis(10)),
        }
        if stop() {
            return Err(interrupted(&copy.target));
        }
    }
    drop(backup);
    target.close().map_err(|(_, error)| failed(error))
}

/// Whether both name the same place, with or without a file there.
fn is_same_name(one: &Path, other: &Path) -> bool {
    let place = |path: &Path| {
        let folder = path
            .parent()
            .filter(|folder| !folder.as_os_str().is_empty());
        let folder = fs::canonicalize(folder.unwrap_or(Path::new("."))).ok()?;
        Some(folder.join(path.file_name()?))
    };
    matches!((place(one), place(other)), (Some(one), Some(other)) if one == other)
}

fn interrupted(file: &Path) -> Error {
    Error::Stopped(file.to_owned())
}

fn refused(file: &Path, why: &str) -> Error {
    Error::Target {
        path: file.to_owned(),
        why: why.to_owned(),
    }
}

fn failed(file: &Path) -> impl Fn(io::Error) -> Error + '_ {
    move |source| Error::file(file, source)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;
    use crate::sqlite::{DomainRow, NewSlot, SlotRow, SlotRows};
    use slotfs_object::SlotId;
    use slotfs_object::partition::{DomainKind, PartitionVersion, Policies, SlotKind};
    use slotfs_object::sealed::SealedRow;

    /// A store of several steps: one slot with 20 MiB in it.
    fn large(folder: &Path) -> Store {
        let store = Store::open_or_create(&folder.join("store.db")).unwrap();
        let row = SlotRow {
            slot: SlotId(0),
            serial: 1,
            label: "large".into(),
            kind: SlotKind::Password,
            version: PartitionVersion::V0,
            capacity_objects: 1,
            capacity_bytes: 1,
            retention_secs: 0,
            policies: Policies::default(),
            uid: None,
            gid: None,
            created_secs: 0,
            generation: 1,
            header: SealedRow::stored(vec![0; 40]),
        };
        let domains = (0..20).map(|id| DomainRow {
            id: slotfs_object::sealed::PartId(id),
            kind: DomainKind::String,
            label: id.to_string(),
            sealed: SealedRow::stored(vec![7; 1 << 20]),
        });
        store
            .create_slot(NewSlot {
                row,
                parts: SlotRows {
                    domains: domains.collect(),
                    ..SlotRows::default()
                },
                replaces: None,
            })
            .unwrap();
        store
    }

    fn relabel(store: &Store, label: String) {
        store
            .write_now(move |tx| {
                tx.connection
                    .execute("UPDATE slots SET label = ?1", [label])
                    .unwrap();
                Ok(())
            })
            .unwrap();
    }

    fn only_these(folder: &Path, expected: &[&str]) {
        let mut names: Vec<String> = fs::read_dir(folder)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .filter(|name| !name.starts_with("store.db-"))
            .collect();
        names.sort();
        assert_eq!(names, expected);
    }

    #[test]
    fn a_writer_between_all_steps_is_not_waited_for_and_not_seen() {
        let folder = tempfile::tempdir().unwrap();
        let store = large(folder.path());
        let steps = Cell::new(0);
        let write = || {
            steps.set(steps.get() + 1);
            relabel(&store, format!("written {}", steps.get()));
            false
        };
        let file = folder.path().join("copy.db");
        let bytes = store.backup(&file, false, &write).unwrap();
        assert_eq!(bytes, fs::metadata(&file).unwrap().len());
        // 20 MiB at 4 MiB each, once: it never started over.
        assert!((5..=8).contains(&steps.get()), "{} steps", steps.get());
        assert_eq!(
            store.slot(SlotId(0)).unwrap().label,
            format!("written {}", steps.get())
        );
        let copy = Store::open_immutable(&file).unwrap();
        assert_eq!(copy.slot(SlotId(0)).unwrap().label, "large");
        // A store that nobody can write is backed up as well.
        let again = folder.path().join("again.db");
        copy.backup(&again, false, &|| false).unwrap();
        drop(copy);
        only_these(folder.path(), &["again.db", "copy.db", "store.db"]);
        assert_eq!(
            fs::read(&file).unwrap().len(),
            fs::read(&again).unwrap().len()
        );
        let opened = Store::open(&again, crate::sqlite::Access::ReadWrite).unwrap();
        assert_eq!(opened.slot(SlotId(0)).unwrap().label, "large");
    }

    #[test]
    fn stopped_at_any_step_it_leaves_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let store = large(folder.path());
        let file = folder.path().join("copy.db");
        for last in 1.. {
            let asked = Cell::new(0);
            let stop = || {
                asked.set(asked.get() + 1);
                asked.get() == last
            };
            match store.backup(&file, false, &stop) {
                Err(Error::Stopped(_)) => only_these(folder.path(), &["store.db"]),
                outcome => {
                    outcome.unwrap();
                    assert!(last > 5, "{last}");
                    break;
                }
            }
        }
        only_these(folder.path(), &["copy.db", "store.db"]);
    }
}
