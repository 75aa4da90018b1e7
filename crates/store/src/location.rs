//! Where a store is: a file of this host, or a name in a cluster (docs/cluster.md, "The location").

use std::path::Path;

/// How the location of a store in a cluster begins.
const SCHEME: &[u8] = b"etcd://";

/// Whether a location in a cluster is one that can be opened, as far as that can be seen without asking anybody. Nothing is said
/// of a file.
///
/// # Errors
/// [`Error::Store`](crate::Error::Store) with what is wrong with it.
pub fn check_location(store: &Path) -> crate::Result<()> {
    #[cfg(feature = "etcd")]
    if is_in_cluster(store) {
        return crate::etcd::check_location(store);
    }
    let _ = store;
    Ok(())
}

/// Whether `store` names a store in a cluster, and no file.
pub fn is_in_cluster(store: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    store.as_os_str().as_bytes().starts_with(SCHEME)
}
