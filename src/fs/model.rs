//! Random requests to the filesystem layer, without a kernel, against a plain model of docs/mount.md. What fails is
//! shrunk by proptest to the fewest requests. tests/it/model.rs does the like on a real mount.

use std::ffi::OsStr;
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use fuser::{FileHandle, RenameFlags};
use proptest::prelude::*;

use super::asker::Visitor;
use super::attr::Owner;
use super::control::ControlFile;
use super::incoming::Ends;
use super::invalidate::Invalidator;
use super::node::Node;
use super::open::Opener;
use super::{Inner, SlotFs};
use crate::credential::Secret;
use crate::domain::{DomainKey, new_key_file};
use crate::error::Error;
use crate::hsm::{Hsm, NewPartition, Policies, new_serial, wait};
use crate::object::new::{Naming, SecretKeyType, generate_secret_key};
use crate::object::partition::Role;
use crate::object::{Ouid, SlotId};
use crate::secret::SecretBytes;

mod plain;

use plain::{Model, Verdict};

/// Slots 0 and 1 share a domain, 2 does not.
const SLOTS: u32 = 3;
/// Few, so that they collide.
const HANDLES: u32 = 5;
/// Of each domain.
const OBJECTS: usize = 3;
/// Parts that a blob is written in.
const PIECES: usize = 4;
const PID: u32 = 7;
/// Aliases, and the handles that they ask for.
const ALIASES: [(&str, Option<u32>); 4] = [
    ("1.part", Some(1)),
    ("2~", Some(2)),
    ("key", None),
    ("tmp", None),
];

/// How a file is opened for writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Excl,
    Trunc,
    Plain,
}

/// One request, or a few that belong together. Open files and what is in a trash are named by number, taken modulo how
/// many there are.
#[derive(Clone, Debug)]
enum Request {
    Open(u32, u32, usize, Way),
    Write(usize, usize),
    WriteBad(usize),
    Cut(usize),
    Flush(usize),
    Sync(usize),
    Close(usize),
    Stage(u32, u32, usize),
    Identity(u32, usize, usize),
    WriteAlias(u32, usize, usize, Way),
    WriteAliasBad(u32, usize, usize, Way),
    ReadAlias(u32, usize),
    RenameAlias(u32, usize, u32, u32),
    UnlinkAlias(u32, usize),
    Read(u32, u32),
    Copy(u32, u32, u32, u32),
    Rename(u32, u32, u32, u32),
    MoveByIdentity(u32, u32, usize),
    Unlink(u32, u32),
    UnlinkByIdentity(u32, usize),
    Restore(u32, usize, u32),
    Destroy(u32, usize),
    LogOutAndIn(u32),
}

fn request() -> impl Strategy<Value = Request> {
    let slot = || 0..SLOTS;
    let handle = || 1..=HANDLES;
    let object = || 0..2 * OBJECTS;
    let file = || 0..4usize;
    let way = || prop_oneof![Just(Way::Excl), Just(Way::Trunc), Just(Way::Plain)];
    let alias = || 0..ALIASES.len();
    // Few, so that several aliases lead to one object.
    let (near, few) = (|| 0..2u32, || 0..2usize);
    prop_oneof![
        12 => (slot(), handle(), object(), way()).prop_map(|(s, h, o, w)| Request::Open(s, h, o, w)),
        40 => (file(), 0..PIECES).prop_map(|(f, p)| Request::Write(f, p)),
        3 => file().prop_map(Request::WriteBad),
        2 => file().prop_map(Request::Cut),
        6 => file().prop_map(Request::Flush),
        2 => file().prop_map(Request::Sync),
        6 => file().prop_map(Request::Close),
        8 => (slot(), handle(), object()).prop_map(|(s, h, o)| Request::Stage(s, h, o)),
        5 => (slot(), object(), object()).prop_map(|(s, o, n)| Request::Identity(s, o, n)),
        4 => (slot(), alias(), object(), way()).prop_map(|(s, a, o, w)| Request::WriteAlias(s, a, o, w)),
        9 => (near(), alias(), few(), way()).prop_map(|(s, a, o, w)| Request::WriteAlias(s, a, o, w)),
        3 => (slot(), alias(), object(), way()).prop_map(|(s, a, o, w)| Request::WriteAliasBad(s, a, o, w)),
        6 => (near(), alias()).prop_map(|(s, a)| Request::ReadAlias(s, a)),
        8 => (slot(), alias(), slot(), handle()).prop_map(|(s, a, t, w)| Request::RenameAlias(s, a, t, w)),
        10 => (near(), alias()).prop_map(|(s, a)| Request::UnlinkAlias(s, a)),
        6 => (slot(), handle()).prop_map(|(s, h)| Request::Read(s, h)),
        8 => (slot(), handle(), slot(), handle()).prop_map(|(s, h, t, w)| Request::Copy(s, h, t, w)),
        10 => (slot(), handle(), slot(), handle()).prop_map(|(s, h, t, w)| Request::Rename(s, h, t, w)),
        4 => (slot(), slot(), object()).prop_map(|(s, t, o)| Request::MoveByIdentity(s, t, o)),
        8 => (slot(), handle()).prop_map(|(s, h)| Request::Unlink(s, h)),
        3 => (slot(), object()).prop_map(|(s, o)| Request::UnlinkByIdentity(s, o)),
        6 => (slot(), 0..4usize, handle()).prop_map(|(s, t, h)| Request::Restore(s, t, h)),
        4 => (slot(), 0..4usize).prop_map(|(s, t)| Request::Destroy(s, t)),
        // Argon2 has its price.
        1 => prop_oneof![30 => Just(None), 1 => slot().prop_map(Some)]
            .prop_map(|slot| slot.map_or(Request::Read(0, 1), Request::LogOutAndIn)),
    ]
}

/// The filesystem over a store that all cases share, and the blobs of its objects.
struct World {
    inner: Arc<Inner>,
    hsm: Arc<Hsm>,
    objects: Vec<(Ouid, Vec<u8>)>,
    _folder: tempfile::TempDir,
}

fn password() -> Secret {
    SecretBytes::from(b"correct horse".as_slice()).into()
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hsm = Hsm::open_or_create(&folder.path().join("store.db")).unwrap();
        let key = || DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap();
        let (red, blue) = (key(), key());
        for slot in 0..SLOTS {
            let domain = if slot == 2 { &blue } else { &red };
            hsm.init_partition(NewPartition {
                serial: new_serial().unwrap(),
                v1: false,
                slot: SlotId(slot),
                label: format!("slot {slot}"),
                domain: domain.clone(),
                domain_label: "primary".into(),
                secret: password(),
                retention_secs: 3600,
                uid: None,
                gid: None,
                capacity_objects: 1000,
                policies: Policies::default(),
                replaces: None,
            })
            .unwrap();
            hsm.partition(SlotId(slot))
                .login(Role::Co, &password())
                .unwrap();
        }
        let mut objects = Vec::new();
        for slot in [0, 2].map(SlotId) {
            for _ in 0..OBJECTS {
                let naming = Naming::default();
                let object = generate_secret_key(SecretKeyType::Aes, 256, &naming).unwrap();
                let arrived = wait(|done| hsm.partition(slot).add(&object, done)).unwrap();
                let found = hsm.partition(slot).find(arrived.handle).unwrap();
                objects.push((found.ouid, hsm.seal(found.id).unwrap().1.bytes().to_vec()));
            }
        }
        let owner = Owner {
            uid: 0,
            gid: 0,
            umask: 0o077,
            others: false,
            alone: false,
        };
        let invalidator = Invalidator::default();
        let inner = SlotFs::new(Arc::clone(&hsm), owner, invalidator).inner;
        Self {
            inner,
            hsm,
            objects,
            _folder: folder,
        }
    }

    fn reset(&self) {
        for slot in 0..SLOTS {
            self.hsm.partition(SlotId(slot)).clear().unwrap();
            self.inner.aliases.clear(SlotId(slot));
        }
    }

    /// The bytes of one part of a blob, and where they go.
    fn piece(&self, object: usize, piece: usize) -> (u64, &[u8]) {
        let blob = &self.objects[object].1;
        let size = blob.len().div_ceil(PIECES);
        let start = piece * size;
        (start as u64, &blob[start..blob.len().min(start + size)])
    }
}

fn folder(slot: u32) -> Node {
    Node::Slot(SlotId(slot))
}

fn hidden(slot: u32, file: ControlFile) -> Node {
    Node::Control(Some(SlotId(slot)), file)
}

/// The answer of a call that gives it later.
fn answer<T: Send + 'static>(call: impl FnOnce(Box<dyn FnOnce(T) + Send>)) -> T {
    let (sender, receiver) = mpsc::channel();
    call(Box::new(move |answer| sender.send(answer).unwrap()));
    receiver.recv().unwrap()
}

fn by(flags: i32) -> Opener {
    let visitor = Visitor::known(0, PID);
    Opener { flags, visitor }
}

fn errno<T>(outcome: Result<T, Error>) -> Verdict {
    outcome.map(drop).map_err(|error| error.errno())
}

impl World {
    fn look(&self, parent: Node, name: &str) -> Result<Node, Error> {
        let (attr, _) = self.inner.lookup(parent, OsStr::new(name))?;
        Ok(Node::of(attr.ino).unwrap())
    }

    /// As the kernel does: what exists is opened, what does not is created.
    fn open(&self, parent: Node, name: &str, way: Way) -> Result<FileHandle, Error> {
        let flags = libc::O_WRONLY
            | match way {
                Way::Excl => libc::O_EXCL,
                Way::Trunc => libc::O_TRUNC,
                Way::Plain => 0,
            };
        match self.look(parent, name) {
            Ok(node) => {
                let (fh, _) = self.inner.open(node, by(flags))?;
                if way == Way::Trunc {
                    answer(|done| self.inner.truncate(node, None, 0, PID, done)).unwrap();
                }
                Ok(fh)
            }
            Err(error) if error.errno() == libc::ENOENT => {
                let name = OsStr::new(name);
                Ok(self.inner.create(parent, name, by(flags))?.1)
            }
            Err(error) => Err(error),
        }
    }

    fn write(&self, fh: FileHandle, offset: u64, data: &[u8]) -> Verdict {
        answer(|done| self.inner.write(None, fh, offset, data, done))
    }

    fn flush(&self, fh: FileHandle, ends: Ends) -> Verdict {
        answer(|done| self.inner.flush(fh, PID, ends, done))
    }

    fn rename(&self, from: (Node, &str), to: (Node, &str)) -> Verdict {
        let (from, to) = ((from.0, OsStr::new(from.1)), (to.0, OsStr::new(to.1)));
        errno(answer(|done| {
            self.inner.rename(from, to, RenameFlags::empty(), done);
        }))
    }

    fn unlink(&self, parent: Node, name: &str) -> Verdict {
        errno(answer(|done| {
            self.inner.unlink(parent, OsStr::new(name), done);
        }))
    }

    fn read(&self, parent: Node, name: &str) -> Result<Vec<u8>, i32> {
        let node = self.look(parent, name).map_err(|error| error.errno())?;
        let opened = self.inner.open(node, by(libc::O_RDONLY));
        let (fh, _) = opened.map_err(|error| error.errno())?;
        let bytes = self.inner.read(fh, 0, 1 << 20);
        self.inner.release(fh);
        bytes
    }

    fn names(&self, node: Node) -> Vec<String> {
        let entries = self.inner.list(node, 2).unwrap();
        let mut names: Vec<String> = entries
            .into_iter()
            .map(|entry| entry.name.into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    /// Everything that can be seen is what the model says.
    fn compare(&self, model: &Model) {
        for slot in 0..SLOTS {
            let sorted = |mut names: Vec<String>| {
                names.sort();
                names
            };
            let here = &model.slots[slot as usize];
            let handles = here.objects.keys().map(u32::to_string).collect();
            assert_eq!(self.names(folder(slot)), sorted(handles), "slot {slot}");
            let ouids = here
                .objects
                .values()
                .map(|it| self.objects[*it].0.to_string());
            let seen = self.names(hidden(slot, ControlFile::Identities));
            assert_eq!(seen, sorted(ouids.collect()), "ouid of slot {slot}");
            let trash = here.trash.iter().map(plain::Trashed::name).collect();
            let seen = self.names(hidden(slot, ControlFile::Trash));
            assert_eq!(seen, sorted(trash), "trash of slot {slot}");
        }
    }
}

fn play(world: &World, requests: &[Request]) {
    world.reset();
    let mut model = Model::default();
    let mut open: Vec<FileHandle> = Vec::new();
    for request in requests {
        perform(world, &mut model, &mut open, request);
        world.compare(&model);
    }
    for fh in open {
        world.inner.release(fh);
    }
    // What is there is what it was when it came.
    for slot in 0..SLOTS {
        for alias in 0..ALIASES.len() {
            perform(
                world,
                &mut model,
                &mut Vec::new(),
                &Request::ReadAlias(slot, alias),
            );
        }
        for (handle, object) in &model.slots[slot as usize].objects {
            let (ouid, blob) = &world.objects[*object];
            let read = world.read(folder(slot), &handle.to_string());
            assert_eq!(read.as_ref(), Ok(blob));
            let ouid = ouid.to_string();
            assert_eq!(
                world.read(hidden(slot, ControlFile::Identities), &ouid),
                read
            );
        }
    }
}

fn perform(world: &World, model: &mut Model, open: &mut Vec<FileHandle>, request: &Request) {
    let pick = |number: usize, of: usize| (of > 0).then(|| number % of);
    match *request {
        Request::Open(slot, handle, object, way) => {
            let exists = model.slots[slot as usize].objects.contains_key(&handle);
            // The kernel's own answer, before it asks anybody.
            if way == Way::Excl && exists {
                return;
            }
            open.push(world.open(folder(slot), &handle.to_string(), way).unwrap());
            model
                .files
                .push(plain::File::new(slot, handle, object, way));
        }
        Request::Write(file, piece) => {
            let Some(file) = pick(file, open.len()) else {
                return;
            };
            let (offset, data) = world.piece(model.files[file].object, piece);
            let said = world.write(open[file], offset, data);
            assert_eq!(said, model.write(file, piece, true), "{request:?}");
        }
        Request::WriteBad(file) => {
            let Some(file) = pick(file, open.len()) else {
                return;
            };
            let (offset, data) = world.piece(model.files[file].object, PIECES - 1);
            let mut data = data.to_vec();
            *data.last_mut().unwrap() ^= 0x40;
            let said = world.write(open[file], offset, &data);
            assert_eq!(said, model.write(file, PIECES - 1, false), "{request:?}");
        }
        Request::Cut(file) => {
            let Some(file) = pick(file, open.len()) else {
                return;
            };
            let node = Node::Incoming(open[file]);
            let said = answer(|done| world.inner.truncate(node, Some(open[file]), 0, PID, done));
            assert_eq!(said, model.cut(file), "{request:?}");
        }
        Request::Flush(file) | Request::Sync(file) => {
            let Some(file) = pick(file, open.len()) else {
                return;
            };
            let ends = match request {
                Request::Flush(_) => Ends::Close,
                _ => Ends::Sync,
            };
            let said = world.flush(open[file], ends);
            assert_eq!(said, model.flush(file, ends), "{request:?}");
        }
        Request::Close(file) => {
            let Some(file) = pick(file, open.len()) else {
                return;
            };
            world.inner.release(open.remove(file));
            model.files.remove(file);
        }
        Request::Stage(slot, handle, object) => {
            let fh = world.open(folder(slot), ".staged", Way::Excl).unwrap();
            assert_eq!(world.write(fh, 0, &world.objects[object].1), Ok(()));
            assert_eq!(world.flush(fh, Ends::Close), Ok(()));
            world.inner.release(fh);
            let said = world.rename(
                (folder(slot), ".staged"),
                (folder(slot), &handle.to_string()),
            );
            assert_eq!(said, model.import(object, slot, handle), "{request:?}");
            // A refused one stays for its owner to unlink.
            let left = world.unlink(folder(slot), ".staged");
            assert_eq!(left.is_ok(), said.is_err());
        }
        Request::Identity(slot, object, named) => {
            let name = world.objects[named].0.to_string();
            let parent = hidden(slot, ControlFile::Identities);
            let fh = world.open(parent, &name, Way::Trunc).unwrap();
            let said = world.write(fh, 0, &world.objects[object].1);
            assert_eq!(said, model.import_as(object, named, slot), "{request:?}");
            world.inner.release(fh);
        }
        Request::WriteAlias(slot, alias, object, way)
        | Request::WriteAliasBad(slot, alias, object, way) => {
            let there = model.slots[slot as usize].aliases.contains_key(&alias);
            if way == Way::Excl && there {
                return;
            }
            let good = matches!(request, Request::WriteAlias(..));
            let mut blob = world.objects[object].1.clone();
            if !good {
                *blob.last_mut().unwrap() ^= 0x40;
            }
            let fh = world.open(folder(slot), ALIASES[alias].0, way).unwrap();
            let said = world
                .write(fh, 0, &blob)
                .and_then(|()| world.flush(fh, Ends::Close));
            world.inner.release(fh);
            let expected = model.write_alias(slot, alias, object, good);
            assert_eq!(said, expected, "{request:?}");
        }
        Request::ReadAlias(slot, alias) => {
            let read = world.read(folder(slot), ALIASES[alias].0);
            let there = model.slots[slot as usize].aliases.get(&alias);
            let expected = there.map(|it| world.objects[it.object].1.clone());
            assert_eq!(read, expected.ok_or(libc::ENOENT), "{request:?}");
        }
        Request::RenameAlias(slot, alias, to, wish) => {
            let said = world.rename(
                (folder(slot), ALIASES[alias].0),
                (folder(to), &wish.to_string()),
            );
            let expected = model.rename_alias((slot, alias), (to, wish));
            assert_eq!(said, expected, "{request:?}");
        }
        Request::UnlinkAlias(slot, alias) => {
            let said = world.unlink(folder(slot), ALIASES[alias].0);
            assert_eq!(said, model.unlink_alias(slot, alias), "{request:?}");
        }
        Request::Read(slot, handle) => {
            let read = world.read(folder(slot), &handle.to_string());
            let there = model.slots[slot as usize].objects.get(&handle);
            let expected = there.map(|object| world.objects[*object].1.clone());
            assert_eq!(read, expected.ok_or(libc::ENOENT), "{request:?}");
        }
        Request::Copy(slot, handle, to, wish) => {
            let Ok(node) = world.look(folder(slot), &handle.to_string()) else {
                return;
            };
            let object = model.slots[slot as usize].objects[&handle];
            let (from, _) = world.inner.open(node, by(libc::O_RDONLY)).unwrap();
            let fh = world
                .open(folder(to), &wish.to_string(), Way::Trunc)
                .unwrap();
            let said = answer(|done| world.inner.copy((from, 0), (fh, 0), 1 << 20, PID, done));
            assert_eq!(
                said.map(drop),
                model.import(object, to, wish),
                "{request:?}"
            );
            world.inner.release(from);
            world.inner.release(fh);
        }
        Request::Rename(slot, handle, to, wish) => {
            let said = world.rename(
                (folder(slot), &handle.to_string()),
                (folder(to), &wish.to_string()),
            );
            assert_eq!(
                said,
                model.rename((slot, handle), (to, wish)),
                "{request:?}"
            );
        }
        Request::MoveByIdentity(slot, to, object) => {
            let name = world.objects[object].0.to_string();
            let said = world.rename(
                (hidden(slot, ControlFile::Identities), &name),
                (hidden(to, ControlFile::Identities), &name),
            );
            assert_eq!(
                said,
                model.move_by_identity(slot, to, object),
                "{request:?}"
            );
        }
        Request::Unlink(slot, handle) => {
            let said = world.unlink(folder(slot), &handle.to_string());
            assert_eq!(said, model.unlink(slot, handle), "{request:?}");
        }
        Request::UnlinkByIdentity(slot, object) => {
            let name = world.objects[object].0.to_string();
            let said = world.unlink(hidden(slot, ControlFile::Identities), &name);
            let there = model.handle_of(slot, object);
            let expected = there.map_or(Err(libc::ENOENT), |handle| model.unlink(slot, handle));
            assert_eq!(said, expected, "{request:?}");
        }
        Request::Restore(slot, number, wish) => {
            let trash = &model.slots[slot as usize].trash;
            let Some(number) = pick(number, trash.len()) else {
                return;
            };
            let name = trash[number].name();
            let said = world.rename(
                (hidden(slot, ControlFile::Trash), &name),
                (folder(slot), &wish.to_string()),
            );
            assert_eq!(said, model.restore(slot, number, wish), "{request:?}");
        }
        Request::Destroy(slot, number) => {
            let trash = &mut model.slots[slot as usize].trash;
            let Some(number) = pick(number, trash.len()) else {
                return;
            };
            let name = trash.remove(number).name();
            assert_eq!(
                world.unlink(hidden(slot, ControlFile::Trash), &name),
                Ok(())
            );
        }
        Request::LogOutAndIn(slot) => {
            world.inner.logout(SlotId(slot));
            model.slots[slot as usize].aliases.clear();
            let listed = world.inner.opendir(folder(slot));
            assert_eq!(errno(listed), Err(libc::ENOKEY));
            let name = OsStr::new("1");
            let looked = world.inner.lookup(folder(slot), name);
            assert_eq!(errno(looked), Err(libc::ENOKEY));
            world
                .hsm
                .partition(SlotId(slot))
                .login(Role::Co, &password())
                .unwrap();
        }
    }
}

/// `PROPTEST_CASES` says how many; each is up to 60 requests.
#[test]
fn random_requests_are_answered_as_the_model_says() {
    let world = Mutex::new(World::new());
    proptest!(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() },
        |(requests in prop::collection::vec(request(), 1..60))| {
            play(&world.lock().unwrap_or_else(PoisonError::into_inner), &requests);
    });
}
