//! Where the socket of a store's server is.
//!
//! A socket's name holds an id of the store's path and the version of the messages, so that a server of an earlier version,
//! which a long-running application keeps alive, and a new one can serve one store side by side.

use std::fs::{self, DirBuilder};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::unistd::Uid;
use slotfs_wire::VERSION;

use crate::{Config, xdg};

/// The folder of root's servers.
pub const SYSTEM_FOLDER: &str = "/run/slotfs";

/// What a store is called here: 32 hexadecimal digits of its canonical path. It need not be hard to forge, since both sides
/// compare the device and the inode of the store, and the module holds no cryptography: FNV-1a of 128 bits
/// (draft-eastlake-fnv).
pub fn id(store: &Path) -> String {
    format!("{:032x}", number(store))
}

/// The same as a number.
pub(crate) fn number(store: &Path) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0000_0000_0100_0000_0000_0000_0000_013b;
    let bytes = store.as_os_str().as_bytes().iter();
    bytes.fold(OFFSET, |hash, byte| {
        (hash ^ u128::from(*byte)).wrapping_mul(PRIME)
    })
}

/// The name of the socket of the store with that id.
pub fn socket_name(id: &str) -> String {
    format!("{id}-v{VERSION}.sock")
}

/// The name of the file whose lock chooses the server of the store.
pub fn lock_name(id: &str) -> String {
    format!("{id}-v{VERSION}.lock")
}

/// The folder for servers of this user; `None` where there is none to be had.
fn own_folder(trust_environment: bool) -> Option<PathBuf> {
    let uid = Uid::effective();
    let runtime = PathBuf::from(format!("/run/user/{uid}"));
    let is_own =
        fs::symlink_metadata(&runtime).is_ok_and(|it| it.is_dir() && it.uid() == uid.as_raw());
    if is_own {
        return Some(runtime.join("slotfs"));
    }
    let state = match trust_environment {
        true => xdg("XDG_STATE_HOME", ".local/state"),
        false => None,
    };
    state.map(|state| state.join("slotfs"))
}

/// The sockets at which a client looks for the server of `store`, a canonical path, in this order: the one that is set, the
/// user's own, root's.
pub fn sockets(config: &Config, store: &Path, trust_environment: bool) -> Vec<PathBuf> {
    if let Some(socket) = &config.socket {
        return vec![socket.clone()];
    }
    let name = socket_name(&id(store));
    let mut folders: Vec<PathBuf> = own_folder(trust_environment).into_iter().collect();
    folders.push(PathBuf::from(SYSTEM_FOLDER));
    folders.into_iter().map(|it| it.join(&name)).collect()
}

/// Whether this process is root of the system, and its folders below /var and /run are its own. Root of a user namespace
/// that is another user outside sees the system's folders as somebody else's.
pub fn is_system_root() -> bool {
    let root = fs::metadata("/var").or_else(|_| fs::metadata("/"));
    Uid::effective().is_root() && root.is_ok_and(|it| it.uid() == 0)
}

/// The folder for a server of this user, made if it is not there: root's for everybody to enter, others for themselves.
///
/// # Errors
/// Why there is none, or why the one that is there is not used.
pub fn server_folder() -> io::Result<PathBuf> {
    let is_root = is_system_root();
    let (folder, mode) = match is_root {
        true => (PathBuf::from(SYSTEM_FOLDER), 0o755),
        false => {
            let none = || io::Error::other("neither XDG_STATE_HOME nor HOME names a folder for it");
            (own_folder(true).ok_or_else(none)?, 0o700)
        }
    };
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(&folder)?;
    let there = fs::symlink_metadata(&folder)?;
    if !there.is_dir() || there.uid() != Uid::effective().as_raw() || there.mode() & 0o022 != 0 {
        let why = format!(
            "{} is not this user's alone to write",
            folder.to_string_lossy()
        );
        return Err(io::Error::other(why));
    }
    if is_root && there.mode() & 0o777 != mode {
        fs::set_permissions(&folder, std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    }
    Ok(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The test vectors of draft-eastlake-fnv for 128 bits.
    #[test]
    fn ids_are_fnv_1a() {
        assert_eq!(id(Path::new("")), "6c62272e07bb014262b821756295c58d");
        assert_eq!(id(Path::new("a")), "d228cb696f1a8caf78912b704e4a8964");
        assert_eq!(id(Path::new("foobar")), "343e1662793c64bf6f0d3597ba446f18");
    }

    #[test]
    fn a_socket_that_is_set_is_the_only_one() {
        let set = Config {
            socket: Some("/run/x.sock".into()),
            ..Config::default()
        };
        let store = Path::new("/srv/store.db");
        assert_eq!(sockets(&set, store, true), [Path::new("/run/x.sock")]);
        let found = sockets(&Config::default(), store, false);
        let last = found.last().map(PathBuf::as_path);
        let name = socket_name(&id(store));
        assert_eq!(last, Some(Path::new(SYSTEM_FOLDER).join(name).as_path()));
    }
}
