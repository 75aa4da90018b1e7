//! States of a store that can be compared.

/// A state of the store: two that are equal have nothing committed between them, by whatever process. The opposite does not
/// hold: SQLite also starts its log again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct StateMark(pub(crate) State);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// Nobody can write the store.
    Fixed,
    /// The header of SQLite's wal-index. A commit changes a counter in it, the number of frames and their checksum.
    Log([u8; 48]),
    /// Where that cannot be read: the commits of this process, and SQLite's number for those of others.
    Commits { own: u64, others: i64 },
    /// In a cluster: how many changes this process has seen.
    #[cfg(feature = "etcd")]
    Cluster(u64),
}
