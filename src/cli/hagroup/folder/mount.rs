//! A slot's folder on a mount, asked by a thread of its own. Whatever is asked is answered in time, or is an error.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::files::{Files, Listed};
use super::status::Status;
use super::worker::Worker;
use crate::object::Ouid;

/// More than any `status`.
const MOST_STATUS_BYTES: u64 = 64 << 10;
/// More than a list of as many objects as a slot holds.
const MOST_LIST_BYTES: u64 = 1 << 30;

/// The status is a few facts that the daemon has in memory.
const STATUS: Duration = Duration::from_secs(10);
/// A blob may wait for its turn, and for a cluster.
const BLOB: Duration = Duration::from_secs(30);
/// A list is made of all objects, which are opened for it.
const LIST: Duration = Duration::from_secs(300);

/// The folder.
pub(in super::super) struct Mount(Worker<Files>);

impl Mount {
    /// Opens it, and reads its status.
    ///
    /// # Errors
    /// What the system says: no mount is there, or its daemon does not answer.
    pub(in super::super) fn open(folder: &Path) -> io::Result<(Self, Status)> {
        let folder = folder.to_owned();
        // To open it is a question already, so the first thread does that, and its answer is what the second works on.
        let opener = Worker::start(())?;
        let files = opener.ask(STATUS, move |()| Files::open(&folder))?;
        let mount = Self(Worker::start(files)?);
        let status = mount.status()?;
        Ok((mount, status))
    }

    pub(super) fn status(&self) -> io::Result<Status> {
        let read = |files: &mut Files| files.text("status", MOST_STATUS_BYTES);
        Status::of_text(&self.0.ask(STATUS, read)?)
    }

    pub(super) fn list(&self, name: &'static str) -> io::Result<String> {
        self.0
            .ask(LIST, move |files| files.text(name, MOST_LIST_BYTES))
    }

    pub(super) fn identities(&self) -> io::Result<Listed> {
        self.0.ask(LIST, |files| files.identities())
    }

    pub(super) fn read(&self, ouid: Ouid) -> io::Result<(Vec<u8>, u64)> {
        self.0.ask(BLOB, move |files| files.read(ouid))
    }

    pub(super) fn write(&self, ouid: Ouid, blob: &[u8]) -> io::Result<()> {
        let blob = blob.to_owned();
        self.0.ask(BLOB, move |files| files.write(ouid, &blob))
    }

    pub(super) fn has(&self, ouid: Ouid) -> io::Result<bool> {
        self.0.ask(BLOB, move |files| files.has(ouid))
    }

    pub(super) fn remove(&self, ouid: Ouid) -> io::Result<()> {
        self.0.ask(BLOB, move |files| files.remove(ouid))
    }
}
