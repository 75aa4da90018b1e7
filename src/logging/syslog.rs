//! Datagrams to the syslog daemon of this machine (RFC 3164), facility daemon.
//!
//! The `syslog` crate blocks while the daemon's queue is full and does not connect again; a daemon must do neither.

use std::io;
use std::os::unix::net::UnixDatagram;
use std::path::{Path, PathBuf};

/// The facility of system daemons, shifted as in the priority of a message.
const DAEMON: u8 = 3 << 3;
/// The severity of the line that counts what was lost.
const WARNING: u8 = 4;
/// The longest text. syslog daemons take 8 KiB at least.
const MOST_BYTES: usize = 8_000;

/// A connection to a syslog daemon. Nothing here blocks.
pub(super) struct Syslog {
    path: PathBuf,
    socket: UnixDatagram,
    /// Lines that could not be sent and were not told of yet.
    lost: u64,
}

impl Syslog {
    /// Connects to the socket at `path`.
    pub(super) fn connect(path: &Path) -> io::Result<Self> {
        let socket = connect(path).map_err(|why| {
            io::Error::other(format!(
                "no syslog daemon listens there ({why}); start one, or choose another place with --log"
            ))
        })?;
        Ok(Self {
            path: path.to_owned(),
            socket,
            lost: 0,
        })
    }

    /// Connects again.
    pub(super) fn reconnect(&mut self) -> io::Result<()> {
        self.socket = connect(&self.path)?;
        Ok(())
    }

    /// Sends one line, or counts it as lost if the daemon's queue is full or no daemon runs.
    pub(super) fn send(&mut self, severity: u8, text: &str) {
        if self.lost > 0 {
            let lost = self.lost;
            let lines = if lost == 1 { "line was" } else { "lines were" };
            let text = format!(
                "{lost} log {lines} lost: the syslog daemon was not running or its queue was full"
            );
            if self.try_send(WARNING, &text).is_err() {
                self.lost += 1;
                return;
            }
            self.lost = 0;
        }
        if self.try_send(severity, text).is_err() {
            self.lost += 1;
        }
    }

    fn try_send(&mut self, severity: u8, text: &str) -> io::Result<()> {
        let message = message(DAEMON | severity, text);
        match self.socket.send(&message) {
            Ok(_) => Ok(()),
            Err(why) if why.kind() == io::ErrorKind::WouldBlock => Err(why),
            // The daemon has started again, with a socket of its own at the path.
            Err(_) => {
                self.reconnect()?;
                self.socket.send(&message).map(drop)
            }
        }
    }
}

fn connect(path: &Path) -> io::Result<UnixDatagram> {
    let socket = UnixDatagram::unbound()?;
    socket.connect(path)?;
    socket.set_nonblocking(true)?;
    Ok(socket)
}

/// `<PRI>TIMESTAMP TAG[PID]: TEXT`. As syslog(3) does, it leaves the host's name to the daemon.
fn message(priority: u8, text: &str) -> Vec<u8> {
    let time = jiff::Zoned::now().strftime("%b %e %H:%M:%S").to_string();
    let end = text.floor_char_boundary(MOST_BYTES);
    let text = &text[..end];
    let pid = std::process::id();
    format!("<{priority}>{time} slotfs[{pid}]: {text}").into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(socket: &UnixDatagram) -> String {
        let mut bytes = [0; 16_384];
        let count = socket.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..count]).into_owned()
    }

    #[test]
    fn lines_go_on_after_a_restart_and_the_lost_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        assert!(Syslog::connect(&path).is_err());
        let first = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::connect(&path).unwrap();
        syslog.send(6, "one");
        let line = received(&first);
        let pid = std::process::id();
        assert!(line.starts_with("<30>"), "{line}");
        assert!(line.ends_with(&format!(" slotfs[{pid}]: one")), "{line}");
        // Three letters, a day, a time: RFC 3164 section 4.1.2.
        assert_eq!(line[4..].find(" slotfs["), Some("Jan  2 03:04:05".len()));

        drop(first);
        std::fs::remove_file(&path).unwrap();
        syslog.send(4, "two");
        syslog.send(4, "three");
        let second = UnixDatagram::bind(&path).unwrap();
        syslog.send(3, "four");
        assert!(received(&second).contains("]: 2 log lines were lost"));
        assert!(received(&second).starts_with("<27>"));
    }

    #[test]
    fn a_full_queue_does_not_block() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log");
        let slow = UnixDatagram::bind(&path).unwrap();
        let mut syslog = Syslog::connect(&path).unwrap();
        for _ in 0..10_000 {
            syslog.send(6, &"x".repeat(10_000));
        }
        let lost = syslog.lost;
        assert!(lost > 0);
        assert!(received(&slow).len() < MOST_BYTES + 100);
        slow.set_nonblocking(true).unwrap();
        while slow.recv(&mut [0; 16_384]).is_ok() {}
        syslog.send(6, "again");
        assert!(received(&slow).contains(&format!("]: {lost} log lines were lost")));
    }
}
