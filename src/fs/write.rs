//! Writing to open files: the requests that bring a verdict, and their answers.

use std::sync::Arc;

use fuser::FileHandle;

use super::handles::OpenFile;
use super::incoming::{Ends, IncomingFile, Step};
use super::node::Node;
use super::staging::{Refused, Staged};
use super::{Answer, Inner, OrErrno, asker, buffer, lock, unsupported};
use crate::error::{Error, Result};
use crate::hsm::{self, Arrived, Origin, Source};

/// A request on an incoming blob.
#[derive(Clone, Copy)]
enum Operation {
    /// Also copy_file_range, where `origin` is the object that the data comes from.
    Write { origin: Option<Origin>, offset: u64 },
    /// ftruncate
    Truncate { length: u64, pid: u32 },
    /// FLUSH or fsync
    Flush { pid: u32, ends: Ends },
}

impl Inner {
    /// write(2), or with an `origin` copy_file_range(2) from that object.
    pub fn write(
        self: &Arc<Self>,
        origin: Option<Origin>,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        answer: impl Answer,
    ) {
        let open = or_answer!(answer, self.files.get(fh).ok_or(libc::EBADF));
        if let OpenFile::Incoming(file) = &*open {
            return self.perform(file, Operation::Write { origin, offset }, data, answer);
        }
        or_answer!(answer, self.check_partition_as_known(&open).errno());
        match &*open {
            OpenFile::Staging(file) => {
                let written = self.staging.write(file, offset, data);
                answer(written.map_err(Refused::errno));
            }
            OpenFile::Message(slot, file, _) => {
                let (slot, file) = (*slot, *file);
                self.message(open, slot, file, data, answer);
            }
            _ => answer(Err(libc::EBADF)),
        }
    }

    /// copy_file_range(2) within the mount; answers how many bytes were copied.
    pub fn copy(
        self: &Arc<Self>,
        (fh_in, offset_in): (FileHandle, u64),
        (fh_out, offset_out): (FileHandle, u64),
        length: u64,
        pid: u32,
        answer: impl Answer<u32>,
    ) {
        let from = or_answer!(answer, self.opened(fh_in));
        let staged;
        let (data, origin) = match &*from {
            OpenFile::Object(object, blob) => {
                let place = Source {
                    slot: object.slot,
                    handle: object.handle,
                };
                let ouid = object.ouid;
                let data = buffer::slice(blob.bytes(), offset_in, length);
                (data, Some(Origin { place, ouid }))
            }
            OpenFile::Staging(file) => {
                staged = or_answer!(answer, file.read(offset_in, length).map_err(Refused::errno));
                (staged.as_slice(), None)
            }
            // The caller then reads and writes instead.
            _ => return answer(Err(libc::EOPNOTSUPP)),
        };
        let to = self.files.incoming(fh_out);
        // A blob is shorter than u32::MAX.
        let copied = data.len() as u32;
        self.write(origin, fh_out, offset_out, data, move |outcome| {
            if let (Err(_), Some(file)) = (outcome, to) {
                file.lock().rejection_seen_by(pid);
            }
            answer(outcome.map(|()| copied));
        });
    }

    /// ftruncate(2), or with no open file truncate(2).
    pub fn truncate(
        self: &Arc<Self>,
        node: Node,
        fh: Option<FileHandle>,
        length: u64,
        pid: u32,
        answer: impl Answer,
    ) {
        let Some(fh) = fh else {
            return answer(self.truncate_by_inode(node, length, pid).errno());
        };
        let open = or_answer!(answer, self.files.get(fh).ok_or(libc::EBADF));
        if let OpenFile::Incoming(file) = &*open {
            let rejected = Arc::clone(file);
            let answer = move |outcome: Result<(), i32>| {
                if outcome.is_err() && asker::goes_on_after_ftruncate(pid) {
                    rejected.lock().rejection_seen_by(pid);
                }
                answer(outcome);
            };
            return self.perform(file, Operation::Truncate { length, pid }, &[], answer);
        }
        or_answer!(answer, self.check_partition_as_known(&open).errno());
        match &*open {
            OpenFile::Staging(file) => {
                let cut = self.staging.truncate(file, length);
                answer(cut.map_err(Refused::errno));
            }
            // `> login` truncates before it writes.
            OpenFile::Message(..) => answer(Ok(())),
            _ => answer(Err(libc::EBADF)),
        }
    }

    /// truncate(2) of a path, or O_TRUNC, which comes in a request of its own after the open.
    ///
    /// The kernel could send O_TRUNC with the open (FUSE_ATOMIC_O_TRUNC). It would then take the object itself for empty,
    /// and another process's sendfile(2) of the object would copy nothing.
    fn truncate_by_inode(&self, node: Node, length: u64, pid: u32) -> Result<()> {
        if let Some((place, Staged::File(file))) = self.staged(node) {
            let cut = self.staging.truncate(&file, length);
            return cut.map_err(|why| why.error(place.slot));
        }
        match node {
            Node::Object(_) | Node::Identity(_) | Node::Alias(_)
                if length == 0 && self.files.opened_with_trunc(node, pid) =>
            {
                Ok(())
            }
            Node::Staging(_) => Err(Error::Gone),
            Node::Object(id) | Node::Identity(id) if self.hsm.find_by_id(id)?.size == length => {
                Ok(())
            }
            // A blob that is coming in has nothing to lose yet.
            Node::Incoming(_) if length == 0 => {
                self.files.opened_with_trunc(node, pid);
                Ok(())
            }
            // `> login` truncates before it writes.
            Node::Control(..) if length == 0 => Ok(()),
            _ => unsupported("truncate"),
        }
    }

    /// FLUSH and fsync.
    pub fn flush(self: &Arc<Self>, fh: FileHandle, pid: u32, ends: Ends, answer: impl Answer) {
        let Some(open) = self.files.get(fh) else {
            return answer(Ok(()));
        };
        if let OpenFile::Incoming(file) = &*open {
            return self.perform(file, Operation::Flush { pid, ends }, &[], answer);
        }
        or_answer!(answer, self.check_partition(&open).errno());
        match &*open {
            OpenFile::Message(_, _, result) => answer(*lock(result)),
            _ => answer(Ok(())),
        }
    }

    /// Performs an operation and answers it. `data` is what a write writes. If a verdict is under way, the operation waits
    /// for it and starts again.
    fn perform(
        self: &Arc<Self>,
        file: &Arc<IncomingFile>,
        operation: Operation,
        data: &[u8],
        answer: impl Answer,
    ) {
        or_answer!(answer, self.check_before(file, operation).errno());
        let mut incoming = file.lock();
        let step = match operation {
            Operation::Write { origin, offset } => {
                incoming.comes_from(origin);
                incoming.write(offset, data)
            }
            Operation::Truncate { length, pid } => match incoming.truncate(length) {
                // A refusal at the close would end the whole run; here it ends one file.
                step if incoming.is_left_unfinished(&step)
                    && asker::goes_on_after_ftruncate(pid) =>
                {
                    incoming.refuse_unfinished()
                }
                step => step,
            },
            Operation::Flush { pid, ends } => incoming.flush(pid, ends),
        };
        if matches!(step, Step::Wait) {
            let (inner, file, data) = (Arc::clone(self), Arc::clone(file), data.to_vec());
            let again = move || inner.perform(&file, operation, &data, answer);
            return incoming.wait(Box::new(again));
        }
        let origin = incoming.origin();
        drop(incoming);
        match step {
            Step::Done | Step::Wait => answer(Ok(())),
            Step::Fail(errno) => answer(Err(errno)),
            Step::Refuse(why) => {
                or_answer!(answer, self.hsm.check_partition(file.partition).errno());
                self.count_verdict(file.slot(), &Err::<(), _>(&why));
                self.note_refused_file(file, origin, &why);
                answer(Err(why.errno()));
            }
            Step::Submit(blob) => self.submit(file, blob, origin, answer),
        }
    }

    /// Checks that the partition of `file` still exists, for `operation`. For a close or fsync of what is not stored, this
    /// may be the last request that can notice that the partition is gone; for the others, the slot checks again when it
    /// stores the blob.
    fn check_before(&self, file: &IncomingFile, operation: Operation) -> hsm::Result<()> {
        match operation {
            Operation::Flush { .. } if !file.lock().is_stored() => {
                self.hsm.check_partition(file.partition)
            }
            _ => self.hsm.check_partition_as_known(file.partition),
        }
    }

    /// Hands the blob to the slot. The committer answers the writer and then the requests that wait.
    fn submit(
        self: &Arc<Self>,
        file: &Arc<IncomingFile>,
        blob: Vec<u8>,
        origin: Option<Origin>,
        answer: impl Answer,
    ) {
        let alias = file.alias_id();
        // With a row of its own, an alias knows for sure which object it leads to.
        let row = alias.and_then(|_| self.hsm.reserve_row());
        let verdict = Verdict {
            inner: Arc::clone(self),
            file: Arc::clone(file),
            answer: Some(answer),
        };
        let done = move |outcome: hsm::Result<Arrived>| {
            let mut verdict = verdict;
            if let Ok(arrived) = &outcome {
                let slot = verdict.file.slot();
                verdict.inner.arrived(slot, alias, row, arrived);
            }
            verdict.give(outcome.map(drop).errno());
        };
        let wish = (file.wish, file.name());
        self.hsm
            .import(file.partition, row, wish, blob, origin, done);
    }
}

/// A verdict that is awaited. If the slot never gives it, the writer and the requests that wait get EIO.
struct Verdict<A: Answer> {
    inner: Arc<Inner>,
    file: Arc<IncomingFile>,
    answer: Option<A>,
}

impl<A: Answer> Verdict<A> {
    fn give(&mut self, verdict: Result<(), i32>) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        self.inner.count_verdict(self.file.slot(), &verdict);
        let waiters = self.file.lock().decided(verdict);
        answer(verdict);
        for waiter in waiters {
            waiter();
        }
    }
}

impl<A: Answer> Drop for Verdict<A> {
    fn drop(&mut self) {
        self.give(Err(libc::EIO));
    }
}
