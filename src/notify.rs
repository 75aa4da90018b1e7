//! Tells the service manager how a daemon is doing (sd_notify(3)). Without one, nothing happens.
//!
//! The crate `sd-notify` does not know abstract sockets, which service managers in containers use.

use std::ffi::OsStr;
use std::io;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

use crate::object::show;

/// The environment variable with the service manager's socket. Processes that slotfs starts do not get it.
pub(crate) const VARIABLE: &str = "NOTIFY_SOCKET";

/// The daemon is ready; `status` is a line for `systemctl status`.
pub(crate) fn ready(status: &str) {
    tell(&format!("READY=1\n{}", assignment(status)));
}

/// What a daemon said last about itself.
#[derive(Default)]
pub(crate) struct Status(String);

impl Status {
    /// Says it again where it changed. Without a service manager, `status` is not asked.
    pub(crate) fn update(&mut self, status: impl FnOnce() -> String) {
        if std::env::var_os(VARIABLE).is_none() {
            return;
        }
        let status = status();
        if status != self.0 {
            tell(&assignment(&status));
            self.0 = status;
        }
    }
}

/// Runs `reload` between the two messages that systemd waits for after `systemctl reload`.
pub(crate) fn reloading(reload: impl FnOnce()) {
    let now = clock_gettime(ClockId::Monotonic);
    let micros = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
    tell(&format!("RELOADING=1\nMONOTONIC_USEC={micros}\n"));
    reload();
    tell("READY=1\n");
}

/// The daemon begins to end.
pub(crate) fn stopping(status: &str) {
    tell(&format!("STOPPING=1\n{}", assignment(status)));
}

/// On one line: each line of a message is an assignment of its own.
fn assignment(status: &str) -> String {
    format!("STATUS={}\n", show::escape_controls(status))
}

fn tell(message: &str) {
    let Some(socket) = std::env::var_os(VARIABLE).filter(|it| !it.is_empty()) else {
        return;
    };
    if let Err(why) = send(&socket, message) {
        log::warn!("cannot notify the service manager at ${VARIABLE}: {why}");
    }
}

fn send(socket: &OsStr, message: &str) -> io::Result<()> {
    let address = match socket.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(socket)?,
    };
    let datagram = UnixDatagram::unbound()?;
    // A service manager that does not read must not stop the daemon.
    datagram.set_nonblocking(true)?;
    datagram.send_to_addr(message.as_bytes(), &address)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_and_an_abstract_name_are_sockets() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("notify");
        let abstract_name = format!("@slotfs-test-{}", std::process::id());
        let bound = [
            UnixDatagram::bind(&path).unwrap(),
            UnixDatagram::bind_addr(
                &SocketAddr::from_abstract_name(&abstract_name.as_bytes()[1..]).unwrap(),
            )
            .unwrap(),
        ];
        for (name, socket) in [path.as_os_str(), OsStr::new(&abstract_name)]
            .iter()
            .zip(bound)
        {
            send(name, "READY=1\n").unwrap();
            let mut text = [0; 64];
            let length = socket.recv(&mut text).unwrap();
            assert_eq!(&text[..length], b"READY=1\n");
        }
        assert!(send(OsStr::new("/nowhere/at/all"), "READY=1\n").is_err());
    }

    #[test]
    fn a_status_is_one_line() {
        assert_eq!(assignment("a\nREADY=1"), "STATUS=a\\nREADY=1\n");
    }
}
