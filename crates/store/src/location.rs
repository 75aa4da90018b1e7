//! Where a store is: a file of this host, or a name in a cluster (docs/cluster.md, "The location").

use std::path::Path;

/// How the location of a store in a cluster begins.
const SCHEME: &[u8] = b"etcd://";

/// Whether `store` names a store in a cluster, and no file.
pub fn is_in_cluster(store: &Path) -> bool {
    use std::os::unix::ffi::OsStrExt;
    store.as_os_str().as_bytes().starts_with(SCHEME)
}
