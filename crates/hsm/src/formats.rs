//! The versions of what this build writes (docs/format.md). It reads every earlier one.

use slotfs_object::codec;
use slotfs_seal::blob;

/// Of the store's schema.
pub const SCHEMA: i32 = slotfs_store::SCHEMA_VERSION;
/// Of sealed blobs.
pub const BLOB: u8 = blob::VERSION;
/// Of payloads; which one an object has depends on the object.
pub const PAYLOADS: [u8; 2] = codec::VERSIONS;
/// Of slot headers.
pub const HEADER: u8 = crate::header::VERSION;

/// The version of SQLite.
pub fn sqlite() -> &'static str {
    slotfs_store::sqlite_version()
}
