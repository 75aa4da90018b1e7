//! The socket that a server listens at.

use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::event::{EventfdFlags, PollFd, PollFlags, eventfd, poll};
use rustix::net::{AddressFamily, SocketAddrUnix, SocketFlags, SocketType, connect, socket_with};

use super::admission::Admitted;
use super::connection::{self, Connection};
use super::process::Credentials;
use super::seats::is_foreign;
use super::{Shared, failed, file_error, running, serve_error, watch};
use crate::error::Result;
use crate::hsm::asker;
use crate::shown;

/// How long the thread waits after an error that may last, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the file at `path`; `None` for a socket of systemd's.
    file: Option<(u64, u64)>,
}

/// A listener with the thread that accepts.
pub(crate) struct Accepting {
    listener: Arc<Listener>,
    end: Arc<OwnedFd>,
    thread: JoinHandle<()>,
}

impl Listener {
    /// Listens at `path`; `None` when somebody else does. A file that is left over from a server that died is replaced: the
    /// caller holds the lock.
    pub(crate) fn bind(path: &Path) -> Result<Option<Self>> {
        match fs::symlink_metadata(path) {
            Ok(there) if !there.file_type().is_socket() => {
                let why = format!("{} is there, and is no socket", shown::path(path));
                return Err(serve_error(why));
            }
            Ok(_) if is_live(path) => return Ok(None),
            Ok(_) => fs::remove_file(path).map_err(file_error(path))?,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(file_error(path)(error)),
        }
        let socket = UnixListener::bind(path).map_err(file_error(path))?;
        // Everybody may knock: who is let in is decided by the kernel's word on who they are.
        let everybody = fs::Permissions::from_mode(0o666);
        fs::set_permissions(path, everybody).map_err(file_error(path))?;
        let file = fs::symlink_metadata(path).map_err(file_error(path))?;
        let file = Some((file.dev(), file.ino()));
        Self::new(socket, path.to_owned(), file).map(Some)
    }

    /// Listens at a socket that systemd opened.
    pub(crate) fn given(socket: UnixListener) -> Result<Self> {
        let address = socket.local_addr().map_err(failed("name the socket"))?;
        let path = address.as_pathname().ok_or_else(|| {
            serve_error("the socket that systemd passed has no path; set ListenStream= to one")
        })?;
        let path = path.to_owned();
        Self::new(socket, path, None)
    }

    fn new(socket: UnixListener, path: PathBuf, file: Option<(u64, u64)>) -> Result<Self> {
        socket
            .set_nonblocking(true)
            .map_err(failed("use the socket"))?;
        Ok(Self { socket, path, file })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether systemd opened it.
    pub(crate) fn is_given(&self) -> bool {
        self.file.is_none()
    }

    /// Whether the file at the path is still this socket.
    pub(crate) fn is_in_place(&self) -> bool {
        let Some(file) = self.file else { return true };
        let there = fs::symlink_metadata(&self.path);
        there.is_ok_and(|it| (it.dev(), it.ino()) == file)
    }

    /// Removes its own file.
    fn remove(&self) {
        if !self.is_given() && self.is_in_place() {
            let _ = fs::remove_file(&self.path);
        }
    }

    /// Accepts connections, on a thread of its own.
    pub(crate) fn start(self: Arc<Self>, shared: &Arc<Shared>) -> Result<Accepting> {
        let end = eventfd(0, EventfdFlags::CLOEXEC).map_err(failed("make an eventfd"))?;
        let end = Arc::new(end);
        let (its, shared) = ((Arc::clone(&self), Arc::clone(&end)), Arc::clone(shared));
        let thread = std::thread::Builder::new()
            .name("accept".into())
            .spawn(move || {
                let (listener, end) = its;
                listener.accept_until(&end, &shared);
            })
            .map_err(failed("start a thread"))?;
        let listener = self;
        Ok(Accepting {
            listener,
            end,
            thread,
        })
    }

    /// Accepts until `end` is written to, and then what waits already.
    fn accept_until(&self, end: &OwnedFd, shared: &Arc<Shared>) {
        let mut is_last = false;
        loop {
            match self.socket.accept() {
                Ok((stream, _)) => take(stream, None, shared),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    if is_last {
                        return;
                    }
                    let mut polled = [
                        PollFd::new(&self.socket, PollFlags::IN),
                        PollFd::new(end, PollFlags::IN),
                    ];
                    let _ = poll(&mut polled, None);
                    is_last = !polled[1].revents().is_empty();
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) if is_last => return,
                Err(error) => {
                    let text = format!("a connection could not be accepted: {error}");
                    watch::complain(asker::NOBODY_KNOWN, &text);
                    std::thread::sleep(PAUSE);
                    let now = rustix::event::Timespec {
                        tv_sec: 0,
                        tv_nsec: 0,
                    };
                    let mut polled = [PollFd::new(end, PollFlags::IN)];
                    is_last = poll(&mut polled, Some(&now)).is_ok_and(|ready| ready > 0);
                }
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.remove();
    }
}

impl Accepting {
    pub(crate) fn listener(&self) -> &Listener {
        &self.listener
    }

    /// Stops listening: nobody finds the socket any more, and those who found it before are taken in. One who comes later
    /// sees that the connection ends, and tries again. The socket of systemd stays, and its queue is the next server's.
    pub(crate) fn stop(self) -> Arc<Listener> {
        self.listener.remove();
        let _ = rustix::io::write(&self.end, &1u64.to_ne_bytes());
        if self.thread.join().is_err() {
            log::error!("the thread that accepts connections had failed");
        }
        self.listener
    }
}

/// Whether somebody listens at the socket of that path. First the kernel's list is read: to connect would start a service of
/// systemd's.
fn is_live(path: &Path) -> bool {
    running::is_listened_at(path) || answers(path)
}

fn answers(path: &Path) -> bool {
    use rustix::io::Errno;
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let connected = SocketAddrUnix::new(path).and_then(|address| {
        let socket = socket_with(AddressFamily::UNIX, SocketType::STREAM, flags, None)?;
        connect(socket.as_fd(), &address)
    });
    !matches!(connected, Err(Errno::CONNREFUSED | Errno::NOENT))
}

/// Serves a connection on a thread of its own. `admitted` are the rights of one that came through a door.
pub(crate) fn take(stream: UnixStream, admitted: Option<Admitted>, shared: &Arc<Shared>) {
    let Some(credentials) = Credentials::of(&stream) else {
        return;
    };
    let stream = Arc::new(stream);
    let connection = Connection {
        stream: Arc::clone(&stream),
        credentials,
        admitted,
    };
    let uid = connection.uid();
    // A frame takes fewer turns; the kernel gives what it allows, and nothing depends on it. What others do not fetch would
    // lie there.
    if !is_foreign(uid) {
        let _ = rustix::net::sockopt::set_socket_send_buffer_size(&*stream, 1 << 20);
    }
    let Some(seat) = shared.seats.take(uid, &stream) else {
        watch::complain(uid, &format!("user {uid}: there are too many connections"));
        return;
    };
    let its = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("application".into())
        .stack_size(1 << 20)
        .spawn(move || {
            // Given back last: whoever waits for that may rely on it that the store is not used from here any more.
            let (_seat, its) = (seat, its);
            connection::serve(connection, &its);
        });
    if let Err(error) = thread {
        watch::complain(uid, &format!("user {uid}: cannot start a thread: {error}"));
    }
}
