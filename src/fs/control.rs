//! The hidden `.slotfs` trees as one table, which lookup, getattr, open and readdir all use.

use fuser::FileType;

/// A file or folder of a `.slotfs` tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ControlFile {
    /// `.slotfs` itself.
    Folder,
    /// Verdicts.
    Clones,
    /// Counters.
    Stats,
    /// The state of a slot, and the role that is logged in.
    Status,
    /// The slot's objects, as a table.
    Contents,
    /// Write co's password.
    Login,
    /// Write cu's password.
    LoginCu,
    /// Write anything.
    Logout,
    /// A folder with one file of attributes per object.
    Objects,
    /// The slot's objects by identity.
    Identities,
    /// The objects that were unlinked.
    Trash,
    /// The storage master key, sealed. Writing one to it imports it.
    Smk,
    /// A folder with the public content of each object that has any.
    Public,
    /// Figures for Prometheus.
    Metrics,
    /// What is in the trash, as a table.
    Removed,
    /// Which description of each object is there, as a table.
    Revisions,
}

/// One row of the table.
pub struct Row {
    /// What it is.
    pub file: ControlFile,
    /// Its name.
    pub name: &'static str,
    /// Permissions before the umask.
    pub mode: u16,
    /// In the mount's own tree.
    pub in_root: bool,
    /// In a slot's tree.
    pub in_slot: bool,
    /// Visible while nobody is logged in to the slot.
    pub when_locked: bool,
}

const fn row(
    file: ControlFile,
    name: &'static str,
    mode: u16,
    (in_root, in_slot, when_locked): (bool, bool, bool),
) -> Row {
    Row {
        file,
        name,
        mode,
        in_root,
        in_slot,
        when_locked,
    }
}

/// The trees. A row's index is its identity in inode numbers: rows are only ever added.
pub const TABLE: &[Row] = &[
    row(ControlFile::Folder, ".slotfs", 0o777, (false, false, true)),
    row(ControlFile::Clones, "clones", 0o444, (true, true, true)),
    row(ControlFile::Stats, "stats", 0o444, (true, false, true)),
    row(ControlFile::Status, "status", 0o444, (false, true, true)),
    row(
        ControlFile::Contents,
        "contents",
        0o444,
        (false, true, false),
    ),
    row(ControlFile::Login, "login", 0o222, (false, true, true)),
    row(ControlFile::LoginCu, "login-cu", 0o222, (false, true, true)),
    row(ControlFile::Logout, "logout", 0o222, (false, true, true)),
    row(ControlFile::Objects, "objects", 0o777, (false, true, false)),
    row(ControlFile::Identities, "ouid", 0o777, (false, true, false)),
    row(ControlFile::Trash, "trash", 0o777, (false, true, false)),
    row(ControlFile::Smk, "smk", 0o666, (false, true, false)),
    row(ControlFile::Public, "public", 0o777, (false, true, false)),
    row(ControlFile::Metrics, "metrics", 0o444, (true, false, true)),
    row(ControlFile::Removed, "removed", 0o444, (false, true, false)),
    row(
        ControlFile::Revisions,
        "revisions",
        0o444,
        (false, true, false),
    ),
];

impl ControlFile {
    /// Its row's index.
    pub fn id(self) -> u8 {
        // The table has a row for every variant, and far fewer than 256.
        TABLE
            .iter()
            .position(|row| row.file == self)
            .unwrap_or_default() as u8
    }

    /// The file of a row's index.
    pub fn from_id(id: u8) -> Option<Self> {
        TABLE.get(usize::from(id)).map(|row| row.file)
    }

    /// Its row.
    pub fn row(self) -> &'static Row {
        &TABLE[usize::from(self.id())]
    }

    /// The entry `name` of the mount's tree, or of a slot's.
    pub fn find(name: &str, in_slot: bool) -> Option<Self> {
        Self::listed(in_slot)
            .find(|row| row.name == name)
            .map(|row| row.file)
    }

    /// The rows of one kind of tree.
    pub fn listed(in_slot: bool) -> impl Iterator<Item = &'static Row> {
        TABLE
            .iter()
            .filter(move |row| if in_slot { row.in_slot } else { row.in_root })
    }

    /// File or folder.
    pub fn kind(self) -> FileType {
        match self {
            Self::Folder | Self::Objects | Self::Identities | Self::Trash | Self::Public => {
                FileType::Directory
            }
            _ => FileType::RegularFile,
        }
    }

    /// Whether a write to it is a message.
    pub fn takes_messages(self) -> bool {
        matches!(self, Self::Login | Self::LoginCu | Self::Logout | Self::Smk)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_is_its_own() {
        for (index, row) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(row.file.id()), index);
            assert_eq!(ControlFile::from_id(row.file.id()), Some(row.file));
            let writable = row.mode & 0o222 != 0 && row.file.kind() == FileType::RegularFile;
            assert_eq!(row.file.takes_messages(), writable);
        }
    }
}
