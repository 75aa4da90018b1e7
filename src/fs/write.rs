//! Writing: what brings a verdict, and how it is answered.

use std::sync::{Arc, Mutex};

use fuser::FileHandle;

use super::Inner;
use super::buffer;
use super::handles::{OpenFile, lock};
use super::incoming::{Ends, Incoming, Step};
use super::node::Node;
use super::staging::Staged;
use super::stats::Stats;
use crate::error::Error;
use crate::hsm::Source;

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
        let Some(open) = self.files.get(fh) else {
            return answer(Err(libc::EBADF));
        };
        match &*open {
            OpenFile::Incoming(_) => self.write_incoming(&open, offset, data, Box::new(answer)),
            OpenFile::Staging(file) => {
                file.write(offset, data);
                answer(Ok(()));
            }
            OpenFile::Message(slot, file, _) => {
                let (slot, file) = (*slot, *file);
                self.message(Arc::clone(&open), slot, file, data, Box::new(answer));
            }
            OpenFile::Object(..) | OpenFile::Text(_) => answer(Err(libc::EBADF)),
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
        let from = self.files.get(fh_in);
        let staged;
        let (data, source) = match from.as_deref() {
            Some(OpenFile::Object(object, blob)) => (
                buffer::slice(blob, offset_in, length),
                Some(Source {
                    slot: object.slot,
                    handle: object.handle,
                }),
            ),
            Some(OpenFile::Staging(file)) => match file.read(offset_in, length) {
                Some(bytes) => {
                    staged = bytes;
                    (staged.as_slice(), None)
                }
                None => return answer(Err(libc::EFBIG)),
            },
            // Not a refusal: the caller then reads and writes instead.
            _ => return answer(Err(libc::EOPNOTSUPP)),
        };
        let to = self.files.get(fh_out);
        if let (Some(source), Some(OpenFile::Incoming(incoming))) = (source, to.as_deref()) {
            lock(incoming).source = Some(source);
        }
        // No blob is longer than u32 can say.
        let copied = data.len() as u32;
        self.write(fh_out, offset_out, data, move |outcome| {
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
        if let (Node::Staging(id), None) = (node, fh) {
            return answer(match self.staging.by_id(id) {
                Some((_, Staged::File(file))) => {
                    file.truncate(length);
                    Ok(())
                }
                _ => Err(libc::ESTALE),
            });
        }
        let Some(open) = fh.and_then(|fh| self.files.get(fh)) else {
            return answer(Err(Error::NotSupported { what: "truncate" }.errno()));
        };
        match &*open {
            OpenFile::Incoming(incoming) => {
                let step = lock(incoming).truncate(length);
                let again = Arc::clone(self);
                let file = Arc::clone(&open);
                let answer = Box::new(move |outcome: Result<(), i32>| {
                    if let (Err(_), OpenFile::Incoming(incoming)) = (outcome, &*file) {
                        lock(incoming).told(pid);
                    }
                    answer(outcome);
                });
                self.take(&open, step, false, answer, move |answer| {
                    again.truncate(node, fh, length, pid, answer);
                });
            }
            OpenFile::Staging(file) => {
                file.truncate(length);
                answer(Ok(()));
            }
            // `> login` truncates before it writes.
            OpenFile::Message(..) => answer(Ok(())),
            OpenFile::Object(..) | OpenFile::Text(_) => answer(Err(libc::EBADF)),
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
        let Some(open) = self.files.get(fh) else {
            return answer(Ok(()));
        };
        match &*open {
            OpenFile::Incoming(incoming) => {
                let step = lock(incoming).flush(pid, ends);
                let again = Arc::clone(self);
                self.take(&open, step, true, Box::new(answer), move |answer| {
                    again.flush(fh, pid, ends, answer);
                });
            }
            OpenFile::Message(_, _, result) => answer(Self::message_result(result)),
            OpenFile::Staging(_) | OpenFile::Object(..) | OpenFile::Text(_) => answer(Ok(())),
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
        self.take(open, step, false, answer, move |answer| {
            again.write_incoming(&file, offset, &data, answer);
        });
    }

    /// Does what a step says. `again` repeats the request once a verdict that is under way has come.
    fn take(
        self: &Arc<Self>,
        open: &Arc<OpenFile>,
        step: Step,
        at_flush: bool,
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
                Stats::count(&self.stats.verdicts_bad);
                answer(Err(self.refuse(incoming, why, at_flush)));
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
            Step::Judge(blob) => self.judge(Arc::clone(open), &blob, answer),
        }
    }

    fn refuse(&self, incoming: &Mutex<Incoming>, why: Error, at_flush: bool) -> i32 {
        let mut incoming = lock(incoming);
        incoming.refused(&why, at_flush);
        let (slot, name, source) = (incoming.slot, incoming.wish.to_string(), incoming.source);
        drop(incoming);
        self.hsm.note_refusal(slot, &name, source, why).errno()
    }

    /// Hands the blob to the slot. The committer answers the writer, then whoever waited.
    fn judge(self: &Arc<Self>, open: Arc<OpenFile>, blob: &[u8], answer: Answer) {
        let OpenFile::Incoming(incoming) = &*open else {
            return answer(Err(libc::EBADF));
        };
        let (slot, wish, source) = {
            let incoming = lock(incoming);
            (incoming.slot, incoming.wish, incoming.source)
        };
        let inner = Arc::clone(self);
        let judged = Arc::clone(&open);
        self.hsm.import(
            slot,
            wish.handle(),
            blob,
            source,
            &wish.to_string(),
            move |outcome| {
                let verdict = outcome.map(drop).map_err(|error| error.errno());
                Stats::count(match verdict {
                    Ok(()) => &inner.stats.verdicts_good,
                    Err(_) => &inner.stats.verdicts_bad,
                });
                let waiters = match &*judged {
                    OpenFile::Incoming(incoming) => lock(incoming).decided(verdict),
                    _ => Vec::new(),
                };
                answer(verdict);
                for waiter in waiters {
                    waiter(verdict);
                }
            },
        );
    }
}
