//! The socket that a server listens at.

use std::fs;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::{Shared, admission, connection, failed, serve_error};
use crate::error::Result;
use crate::shown;

/// The most connections that one server has at once.
const MOST_CONNECTIONS: usize = 4_096;
/// How long the thread waits after an error that may last, such as too many open files.
const PAUSE: Duration = Duration::from_millis(50);

/// A socket that listens.
pub(crate) struct Listener {
    socket: UnixListener,
    path: PathBuf,
    /// Device and inode of the file at `path`; `None` for a socket of systemd's.
    file: Option<(u64, u64)>,
}

impl Listener {
    /// Listens at `path`. What is there already is left over from a server that died: the caller holds the lock.
    pub(crate) fn bind(path: &Path) -> Result<Self> {
        match fs::symlink_metadata(path) {
            Ok(there) if there.file_type().is_socket() => {
                fs::remove_file(path).map_err(super::file_error(path))?;
            }
            Ok(_) => {
                let why = format!("{} is there, and is no socket", shown::path(path));
                return Err(serve_error(why));
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => return Err(super::file_error(path)(error)),
        }
        let socket = UnixListener::bind(path).map_err(super::file_error(path))?;
        // Everybody may knock: who is let in is decided by the kernel's word on who they are.
        fs::set_permissions(path, fs::Permissions::from_mode(0o666))
            .map_err(super::file_error(path))?;
        let file = fs::symlink_metadata(path).map_err(super::file_error(path))?;
        Ok(Self {
            socket,
            path: path.to_owned(),
            file: Some((file.dev(), file.ino())),
        })
    }

    /// Listens at a socket that systemd opened.
    pub(crate) fn given(socket: UnixListener) -> Result<Self> {
        let address = socket.local_addr().map_err(failed("name the socket"))?;
        let path = address.as_pathname().unwrap_or(Path::new("")).to_owned();
        Ok(Self {
            socket,
            path,
            file: None,
        })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Whether the file at the path is still this socket.
    pub(crate) fn is_in_place(&self) -> bool {
        let Some(file) = self.file else { return true };
        let there = fs::symlink_metadata(&self.path);
        there.is_ok_and(|it| (it.dev(), it.ino()) == file)
    }

    /// Accepts connections, on a thread of its own, until the server closes.
    pub(crate) fn start(&self, shared: &Arc<Shared>) -> Result<()> {
        let socket = self
            .socket
            .try_clone()
            .map_err(failed("duplicate the socket"))?;
        let shared = Arc::clone(shared);
        std::thread::Builder::new()
            .name("accept".into())
            .spawn(move || accept(&socket, &shared))
            .map(drop)
            .map_err(failed("start a thread"))
    }

    /// Stops listening. Who is waiting to be accepted sees that the connection ends, and tries again.
    pub(crate) fn stop(&self) {
        if self.is_in_place() && self.file.is_some() {
            let _ = fs::remove_file(&self.path);
        }
        // The thread that accepts wakes up.
        let _ = rustix::net::shutdown(self.socket.as_fd(), rustix::net::Shutdown::Both);
    }
}

fn accept(socket: &UnixListener, shared: &Arc<Shared>) {
    while !shared.closing.load(Ordering::Acquire) {
        match socket.accept() {
            Ok((stream, _)) => take(stream, shared),
            Err(_) if shared.closing.load(Ordering::Acquire) => return,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                log::warn!("a connection could not be accepted: {error}");
                std::thread::sleep(PAUSE);
            }
        }
    }
}

/// Serves a connection on a thread of its own.
pub(crate) fn take(stream: UnixStream, shared: &Arc<Shared>) {
    take_as(stream, None, shared);
}

/// The same for one that came through a door: `admitted` are the rights of whose door it is.
pub(crate) fn take_as(
    stream: UnixStream,
    admitted: Option<admission::Admitted>,
    shared: &Arc<Shared>,
) {
    let Some(place) = shared.applications.enter(MOST_CONNECTIONS) else {
        log::warn!("a connection was refused: there are {MOST_CONNECTIONS} already");
        return;
    };
    let its = Arc::clone(shared);
    let thread = std::thread::Builder::new()
        .name("application".into())
        .stack_size(1 << 20)
        .spawn(move || {
            let _place = place;
            connection::serve(&stream, admitted, &its);
        });
    if let Err(error) = thread {
        log::warn!("a connection was refused: cannot start a thread: {error}");
    }
}
