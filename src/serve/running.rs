//! Whether a token server listens for a store, found out without connecting: a connection would start a server that systemd
//! listens for.

use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use slotfs_config::{Config, place};

use super::{lock, lock_beside};

/// A token server that listens.
pub(crate) struct Running {
    pub(crate) socket: PathBuf,
    /// Its process. `None` for a socket of systemd's, and for a server whose lock belongs to another user.
    pub(crate) pid: Option<u32>,
}

/// The server of `store`, a canonical path, where a client would look for it.
pub(crate) fn running(config: &Config, store: &Path) -> Option<Running> {
    let sockets = place::sockets(config, store, true);
    let socket = sockets.into_iter().find(|socket| is_listened_at(socket))?;
    let lock = match config.socket {
        Some(_) => lock_beside(&socket),
        None => socket.with_file_name(place::lock_name(&place::id(store))),
    };
    let pid = lock::holder(&lock);
    Some(Running { socket, pid })
}

/// Whether somebody listens at the socket of that path, by the kernel's list.
pub(super) fn is_listened_at(path: &Path) -> bool {
    let table = fs::read("/proc/net/unix").unwrap_or_default();
    listens(&table, path.as_os_str().as_bytes())
}

/// Whether the table of sockets, as in `/proc/net/unix`, has one that listens at `path`.
fn listens(table: &[u8], path: &[u8]) -> bool {
    /// `__SO_ACCEPTCON`
    const LISTENS: u32 = 1 << 16;
    table.split(|byte| *byte == b'\n').any(|line| {
        // Number, references, protocol, flags, type, state, inode, path.
        let mut fields = line.splitn(7, |byte| *byte == b' ');
        let flags = fields.nth(3).and_then(|flags| str::from_utf8(flags).ok());
        let flags = flags.and_then(|flags| u32::from_str_radix(flags, 16).ok());
        if flags.is_none_or(|flags| flags & LISTENS == 0) {
            return false;
        }
        // The inode is padded with spaces.
        let rest = fields.nth(2).unwrap_or_default().trim_ascii_start();
        let mut rest = rest.splitn(2, |byte| *byte == b' ');
        let (inode, place) = (rest.next(), rest.next());
        inode.is_some() && place == Some(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_that_listen_are_told_from_others() {
        let table = b"Num       RefCount Protocol Flags    Type St Inode Path
0000000000000000: 00000002 00000000 00010000 0001 01 12345 /run/a b.sock
0000000000000000: 00000002 00000000 00010000 0001 01     7 /run/short.sock
0000000000000000: 00000003 00000000 00000000 0001 03 12346 /run/connected.sock
0000000000000000: 00000003 00000000 00010000 0001 01 12347
";
        assert!(listens(table, b"/run/a b.sock"));
        assert!(listens(table, b"/run/short.sock"));
        assert!(!listens(table, b"/run/connected.sock"));
        assert!(!listens(table, b"/run/a"));
        assert!(!listens(table, b""));
    }
}
