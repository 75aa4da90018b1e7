//! What the disk holds, and how much of it is durable.

use std::collections::BTreeMap;

/// What a request did to the disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Bytes of a file.
    Write,
    /// fsync or fdatasync of a file.
    Sync,
    /// fsync of the folder.
    SyncFolder,
    /// A name made, removed or changed; a file made shorter or longer.
    Other,
}

impl Kind {
    /// Whether something is durable afterwards that was not before.
    pub fn is_durable_point(self) -> bool {
        matches!(self, Self::Sync | Self::SyncFolder)
    }
}

/// Before a request is done, or when it is done and not answered yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum When {
    Before,
    After,
}

/// A change of a file since it was last synced.
#[derive(Clone, Debug)]
pub enum Change {
    Write { offset: usize, bytes: Vec<u8> },
    Resize(usize),
}

impl Change {
    pub fn apply(&self, data: &mut Vec<u8>) {
        match self {
            Self::Write { offset, bytes } => {
                let end = offset + bytes.len();
                if data.len() < end {
                    data.resize(end, 0);
                }
                data[*offset..end].copy_from_slice(bytes);
            }
            Self::Resize(size) => data.resize(*size, 0),
        }
    }
}

/// A file as programs see it and as it was when last synced.
#[derive(Clone, Debug, Default)]
pub struct File {
    pub data: Vec<u8>,
    pub durable: Vec<u8>,
    pub unsynced: Vec<Change>,
    pub mode: u16,
}

/// One folder of files. A file without a name stays: somebody may have it open, and the durable folder may
/// still name it.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub files: BTreeMap<u64, File>,
    pub names: BTreeMap<String, u64>,
    pub durable_names: BTreeMap<String, u64>,
    /// The file written last.
    pub last_written: Option<u64>,
    pub steps: Vec<Kind>,
    next: u64,
}

impl State {
    /// A folder with these files, all of it durable.
    pub fn new(files: &BTreeMap<String, Vec<u8>>) -> Self {
        // 1 is the folder itself.
        let mut state = Self {
            next: 2,
            ..Self::default()
        };
        for (name, data) in files {
            let ino = state.create(name, 0o600);
            let file = state.files.entry(ino).or_default();
            file.data.clone_from(data);
            file.durable.clone_from(data);
        }
        state.sync_folder();
        state
    }

    pub fn create(&mut self, name: &str, mode: u16) -> u64 {
        let ino = self.next;
        self.next += 1;
        let file = File {
            mode,
            ..File::default()
        };
        self.files.insert(ino, file);
        self.names.insert(name.to_owned(), ino);
        ino
    }

    pub fn change(&mut self, ino: u64, change: Change) {
        let Some(file) = self.files.get_mut(&ino) else {
            return;
        };
        change.apply(&mut file.data);
        if matches!(change, Change::Write { .. }) {
            self.last_written = Some(ino);
        }
        file.unsynced.push(change);
    }

    pub fn sync(&mut self, ino: u64) {
        if let Some(file) = self.files.get_mut(&ino) {
            for change in file.unsynced.drain(..) {
                change.apply(&mut file.durable);
            }
        }
    }

    pub fn sync_folder(&mut self) {
        self.durable_names.clone_from(&self.names);
    }
}
