//! Writing: what brings a verdict, and how it is answered.

use std::sync::{Arc, Mutex};

use fuser::FileHandle;

use super::Inner;
use super::asker;
use super::buffer;
use super::handles::{OpenFile, lock};
use super::incoming::{Ends, Incoming, Step};
use super::node::Node;
use super::staging::Staged;
use super::stats::Stats;
use crate::error::Error;
use crate::hsm::{self, Arrived, Origin, Source};

/// Called once with the outcome of a request: on the event loop, or by the committer.
type Answer = Box<dyn FnOnce(Result<(), i32>) + Send>;

impl Inner {
    /// write(2)
    pub fn write(
        self: &Arc<Self>,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        answer: impl FnOnce(Result<(), i32>) + Send + 'static,
    ) {
        self.write_from(None, fh, offset, data, answer);
    }

    fn write_from(
        self: &Arc<Self>,
        origin: Option<Origin>,
        fh: FileHandle,
        offset: u64,
        data: &[u8],
        answer: impl FnOnce(Result<(), i32>) + Send + 'static,
    ) {
        let open = match self.opened_for_writing(fh) {
            Ok(open) => open,
            Err(errno) => return answer(Err(errno)),
        };
        match &*open {
            OpenFile::Incoming(incoming) => {
                lock(incoming).comes_from(origin);
                self.write_incoming(&open, offset, data, Box::new(answer));
            }
            OpenFile::Staging(file) => {
                let written = self.staging.write(file, offset, data);
                answer(written.map_err(|why| why.errno()));
            }
            OpenFile::Message(slot, file, _) => {
                let (slot, file) = (*slot, *file);
                self.message(Arc::clone(&open), slot, file, data, Box::new(answer));
            }
            OpenFile::Object(..) | OpenFile::Text(..) => answer(Err(libc::EBADF)),
        }
    }

    /// copy_file_range(2) within the mount: how many bytes were copied.
    pub fn copy(
        self: &Arc<Self>,
        (fh_in, offset_in): (FileHandle, u64),
        (fh_out, offset_out): (FileHandle, u64),
        length: u64,
        pid: u32,
        answer: impl FnOnce(Result<u32, i32>) + Send + 'static,
    ) {
        let from = match self.opened(fh_in) {
            Ok(open) => open,
            Err(errno) => return answer(Err(errno)),
        };
        let staged;
        let (data, origin) = match &*from {
            OpenFile::Object(object, blob) => (
                buffer::slice(blob.bytes(), offset_in, length),
                Some(Origin {
                    place: Source {
                        slot: object.slot,
                        handle: object.handle,
                    },
                    ouid: object.ouid,
                }),
            ),
            OpenFile::Staging(file) => match file.read(offset_in, length) {
                Ok(bytes) => {
                    staged = bytes;
                    (staged.as_slice(), None)
                }
                Err(why) => return answer(Err(why.errno())),
            },
            // Not a refusal: the caller then reads and writes instead.
            _ => return answer(Err(libc::EOPNOTSUPP)),
        };
        let to = self.files.get(fh_out);
        // No blob is longer than u32 can say.
        let copied = data.len() as u32;
        self.write_from(origin, fh_out, offset_out, data, move |outcome| {
            if let (Err(_), Some(OpenFile::Incoming(incoming))) = (outcome, to.as_deref()) {
                lock(incoming).told(pid);
            }
            answer(outcome.map(|()| copied));
        });
    }

    /// ftruncate(2); truncate(2) of a path has no open file to cut.
    pub fn truncate(
        self: &Arc<Self>,
        node: Node,
        fh: Option<FileHandle>,
        length: u64,
        pid: u32,
        answer: impl FnOnce(Result<(), i32>) + Send + 'static,
    ) {
        let Some(fh) = fh else {
            return answer(
                self.truncate_by_inode(node, length, pid)
                    .map_err(|why| why.errno()),
            );
        };
        let open = match self.opened_for_writing(fh) {
            Ok(open) => open,
            Err(errno) => return answer(Err(errno)),
        };
        match &*open {
            OpenFile::Incoming(incoming) => {
                let step = {
                    let mut incoming = lock(incoming);
                    let step = incoming.truncate(length);
                    // Its close would end the whole run; this ends one file.
                    match incoming.is_left_unfinished(&step) && asker::goes_on_after_ftruncate(pid)
                    {
                        true => incoming.refuse_unfinished(),
                        false => step,
                    }
                };
                let again = Arc::clone(self);
                let file = Arc::clone(&open);
                let answer = Box::new(move |outcome: Result<(), i32>| {
                    if let (Err(_), OpenFile::Incoming(incoming)) = (outcome, &*file)
                        && asker::goes_on_after_ftruncate(pid)
                    {
                        lock(incoming).told(pid);
                    }
                    answer(outcome);
                });
                self.take(&open, step, answer, move |answer| {
                    again.truncate(node, Some(fh), length, pid, answer);
                });
            }
            OpenFile::Staging(file) => {
                let cut = self.staging.truncate(file, length);
                answer(cut.map_err(|why| why.errno()));
            }
            // `> login` truncates before it writes.
            OpenFile::Message(..) => answer(Ok(())),
            OpenFile::Object(..) | OpenFile::Text(..) => answer(Err(libc::EBADF)),
        }
    }

    /// O_TRUNC, which comes as a request of its own after the open, or truncate(2) of a path.
    ///
    /// The kernel could send O_TRUNC with the open (FUSE_ATOMIC_O_TRUNC), but would then take the object
    /// itself for empty, and another process's sendfile(2) of it would copy nothing.
    fn truncate_by_inode(&self, node: Node, length: u64, pid: u32) -> Result<(), Error> {
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
            _ => Err(Error::NotSupported { what: "truncate" }),
        }
    }

    /// FLUSH and fsync.
    pub fn flush(
        self: &Arc<Self>,
        fh: FileHandle,
        pid: u32,
        ends: Ends,
        answer: impl FnOnce(Result<(), i32>) + Send + 'static,
    ) {
        let open = match self.files.get(fh) {
            Some(open) => open,
            None => return answer(Ok(())),
        };
        // A blob that is stored was checked when it was committed. For anything else, this may be the last request that can
        // notice that the partition is gone.
        let checked = match &*open {
            OpenFile::Incoming(incoming) if lock(incoming).is_stored() => {
                self.check_belongs_as_known(&open)
            }
            _ => self.check_belongs(&open),
        };
        if let Err(error) = checked {
            return answer(Err(error.errno()));
        }
        match &*open {
            OpenFile::Incoming(incoming) => {
                let step = lock(incoming).flush(pid, ends);
                let again = Arc::clone(self);
                self.take(&open, step, Box::new(answer), move |answer| {
                    again.flush(fh, pid, ends, answer);
                });
            }
            OpenFile::Message(_, _, result) => answer(Self::message_result(result)),
            OpenFile::Staging(_) | OpenFile::Object(..) | OpenFile::Text(..) => answer(Ok(())),
        }
    }

    fn write_incoming(
        self: &Arc<Self>,
        open: &Arc<OpenFile>,
        offset: u64,
        data: &[u8],
        answer: Answer,
    ) {
        let OpenFile::Incoming(incoming) = &**open else {
            return answer(Err(libc::EBADF));
        };
        let step = lock(incoming).write(offset, data);
        let (again, file, data) = match step {
            // Only a write that has to wait keeps its data.
            Step::Wait => (Arc::clone(self), Arc::clone(open), data.to_vec()),
            _ => (Arc::clone(self), Arc::clone(open), Vec::new()),
        };
        self.take(open, step, answer, move |answer| {
            again.write_incoming(&file, offset, &data, answer);
        });
    }

    /// Does what a step says. `again` repeats the request once a verdict that is under way has come.
    fn take(
        self: &Arc<Self>,
        open: &Arc<OpenFile>,
        step: Step,
        answer: Answer,
        again: impl FnOnce(Answer) + Send + 'static,
    ) {
        let OpenFile::Incoming(incoming) = &**open else {
            return answer(Err(libc::EBADF));
        };
        match step {
            Step::Done => answer(Ok(())),
            Step::Fail(errno) => answer(Err(errno)),
            Step::Refuse(why) => {
                if let Err(gone) = self.check_belongs(open) {
                    return answer(Err(gone.errno()));
                }
                Stats::count(&self.stats.verdicts_bad);
                answer(Err(self.note(incoming, why)));
            }
            Step::Wait => {
                let mut guard = lock(incoming);
                if guard.is_deciding() {
                    guard.wait(Box::new(move |_| again(answer)));
                } else {
                    // The verdict came between the step and now.
                    drop(guard);
                    again(answer);
                }
            }
            Step::Judge(blob) => self.judge(Arc::clone(open), blob, answer),
        }
    }

    /// Writes a refusal down; its errno.
    fn note(&self, incoming: &Mutex<Incoming>, why: Error) -> i32 {
        let (slot, name, source) = {
            let incoming = lock(incoming);
            (incoming.slot, incoming.called(), incoming.source())
        };
        self.note_refusal(slot, &name, source, &why);
        why.errno()
    }

    /// Hands the blob to the slot. The committer answers the writer, then whoever waited.
    fn judge(self: &Arc<Self>, open: Arc<OpenFile>, blob: Vec<u8>, answer: Answer) {
        let OpenFile::Incoming(incoming) = &*open else {
            return answer(Err(libc::EBADF));
        };
        let (slot, wish, partition, origin, alias) = {
            let incoming = lock(incoming);
            let alias = incoming.alias.as_ref().map(|(id, _)| *id);
            let wish = (incoming.wish, incoming.called());
            let partition = incoming.partition();
            (incoming.slot, wish, partition, incoming.origin(), alias)
        };
        // All that are open have one.
        let Some(partition) = partition else {
            return answer(Err(libc::EBADF));
        };
        // An alias must know for sure which object is its own.
        let row = alias.and_then(|_| self.hsm.reserve_row());
        let verdict = Verdict {
            inner: Arc::clone(self),
            open: Arc::clone(&open),
            answer: Some(answer),
        };
        let done = move |outcome: hsm::Result<Arrived>| {
            if let Ok(arrived) = &outcome {
                verdict.inner.arrived(slot, alias, row, arrived);
            }
            verdict.give(outcome.map(drop).map_err(|error| error.outcome().errno));
        };
        self.hsm.import(partition, row, wish, blob, origin, done);
    }
}

/// A verdict that is awaited. It is given even when the one who should give it is gone: the writer, and
/// whoever else waits, then hears EIO and does not wait for ever.
struct Verdict {
    inner: Arc<Inner>,
    open: Arc<OpenFile>,
    answer: Option<Answer>,
}

impl Verdict {
    fn give(mut self, verdict: Result<(), i32>) {
        self.tell(verdict);
    }

    fn tell(&mut self, verdict: Result<(), i32>) {
        let Some(answer) = self.answer.take() else {
            return;
        };
        Stats::count(match verdict {
            Ok(()) => &self.inner.stats.verdicts_good,
            Err(_) => &self.inner.stats.verdicts_bad,
        });
        let waiters = match &*self.open {
            OpenFile::Incoming(incoming) => lock(incoming).decided(verdict),
            _ => Vec::new(),
        };
        answer(verdict);
        for waiter in waiters {
            waiter(verdict);
        }
    }
}

impl Drop for Verdict {
    fn drop(&mut self) {
        self.tell(Err(libc::EIO));
    }
}
