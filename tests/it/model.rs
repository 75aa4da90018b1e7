//! A random sequence of requests against a trivial model of docs/mount.md: after each of them the
//! answer and the listing of every slot must match the model. A failure prints its seed and its history.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;

use nix::fcntl::copy_file_range;

use crate::fixture::{Hsm, Store, close, open_plain, open_trunc, spoiled, store_excl, store_trunc};

const SLOTS: u32 = 3;
/// Few, so that they collide.
const HANDLES: u32 = 7;
const STEPS: usize = 250;

/// One object: its slot of birth gives its domain.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Object {
    number: usize,
    domain: &'static str,
}

fn domain(slot: u32) -> &'static str {
    if slot == 2 { "blue" } else { "red" }
}

/// How a blob is written.
#[derive(Clone, Copy, Debug)]
enum Way {
    Excl,
    Trunc,
    Plain,
    /// Emptied by ftruncate, with nothing asked at the close.
    Emptied,
    Pieces,
    Staging,
}

#[derive(Clone, Debug)]
enum Request {
    Write(usize, u32, u32, Way),
    WriteBad(usize, u32, u32, Way),
    WriteHalf(usize, u32, u32),
    /// A size alone: the object's own, or another.
    Resize(u32, u32, Option<u64>),
    Clone((u32, u32), (u32, u32)),
    Rename((u32, u32), (u32, u32)),
    Unlink(u32, u32),
}

#[derive(Default)]
struct Model {
    objects: Vec<Object>,
    slots: BTreeMap<u32, BTreeMap<u32, Object>>,
}

impl Model {
    fn find(&self, (slot, handle): (u32, u32)) -> Option<Object> {
        self.slots[&slot].get(&handle).copied()
    }

    fn holds(&self, slot: u32, object: Object) -> bool {
        self.slots[&slot].values().any(|there| *there == object)
    }

    fn put(&mut self, slot: u32, handle: u32, object: Object) {
        self.slots.get_mut(&slot).unwrap().insert(handle, object);
    }

    fn take(&mut self, slot: u32, handle: u32) {
        self.slots.get_mut(&slot).unwrap().remove(&handle);
    }

    fn import(&mut self, object: Object, slot: u32, wish: u32) -> Result<(), i32> {
        if object.domain != domain(slot) {
            return Err(libc::EACCES);
        }
        if !self.holds(slot, object) {
            let free = (wish..)
                .find(|handle| self.find((slot, *handle)).is_none())
                .unwrap();
            self.put(slot, free, object);
        }
        Ok(())
    }

    /// What the request should answer; changes the model as it should change the slots.
    fn apply(&mut self, request: &Request) -> Result<(), i32> {
        match *request {
            Request::Write(number, slot, handle, way) => {
                if matches!(way, Way::Excl) && self.find((slot, handle)).is_some() {
                    return Err(libc::EEXIST);
                }
                self.import(self.objects[number], slot, handle)
            }
            Request::WriteBad(_, slot, handle, Way::Excl)
                if self.find((slot, handle)).is_some() =>
            {
                Err(libc::EEXIST)
            }
            Request::WriteBad(..) | Request::WriteHalf(..) => Err(libc::EACCES),
            Request::Resize(slot, handle, size) => match (self.find((slot, handle)), size) {
                (Some(_), None) => Ok(()),
                (_, Some(_)) => Err(libc::EPERM),
                (None, None) => Err(libc::ENOENT),
            },
            Request::Clone(from, (slot, handle)) => {
                let object = self.find(from).ok_or(libc::ENOENT)?;
                if from == (slot, handle) {
                    // The kernel: "source and destination overlap" (copy_file_range(2)).
                    return Err(libc::EINVAL);
                }
                self.import(object, slot, handle)
            }
            Request::Rename(from, to) => {
                let object = self.find(from).ok_or(libc::ENOENT)?;
                if from == to {
                    return Ok(());
                }
                let taken = self.find(to).is_some_and(|there| there != object);
                if from.0 == to.0 {
                    if taken {
                        return Err(libc::EEXIST);
                    }
                } else if object.domain != domain(to.0) {
                    return Err(libc::EACCES);
                } else if self.holds(to.0, object) {
                    self.take(from.0, from.1);
                    return Ok(());
                } else if taken {
                    return Err(libc::EEXIST);
                }
                self.take(from.0, from.1);
                self.put(to.0, to.1, object);
                Ok(())
            }
            Request::Unlink(slot, handle) => {
                self.find((slot, handle)).ok_or(libc::ENOENT)?;
                self.take(slot, handle);
                Ok(())
            }
        }
    }
}

/// A generator that a seed makes repeatable (splitmix64).
pub struct Dice(pub u64);

impl Dice {
    pub fn roll(&mut self, sides: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(sides)).unwrap()
    }

    fn place(&mut self) -> (u32, u32) {
        (self.roll(SLOTS), 1 + self.roll(HANDLES))
    }

    fn way(&mut self) -> Way {
        [
            Way::Excl,
            Way::Trunc,
            Way::Plain,
            Way::Emptied,
            Way::Pieces,
            Way::Staging,
        ][self.roll(6) as usize]
    }

    fn request(&mut self, objects: usize) -> Request {
        let object = self.roll(u32::try_from(objects).unwrap()) as usize;
        let (slot, handle) = self.place();
        match self.roll(13) {
            0..=3 => Request::Write(object, slot, handle, self.way()),
            4 => Request::WriteBad(object, slot, handle, self.way()),
            5 => Request::WriteHalf(object, slot, handle),
            6 | 7 => Request::Clone(self.place(), (slot, handle)),
            8 | 9 => Request::Rename(self.place(), (slot, handle)),
            10 => {
                let sizes = [None, Some(0), Some(1), Some(60_000)];
                Request::Resize(slot, handle, sizes[self.roll(4) as usize])
            }
            _ => Request::Unlink(slot, handle),
        }
    }
}

fn write(hsm: &Hsm, slot: u32, handle: u32, blob: &[u8], way: Way) -> io::Result<()> {
    let path = hsm.file(slot, handle);
    match way {
        Way::Excl => store_excl(&path, blob),
        Way::Trunc => store_trunc(&path, blob),
        Way::Plain => {
            let file = open_plain(&path)?;
            file.write_all_at(blob, 0)?;
            file.set_len(blob.len() as u64)?;
            close(file)
        }
        Way::Emptied => {
            let file = open_plain(&path)?;
            file.set_len(0)?;
            let written = file.write_all_at(blob, 0);
            let _ = close(file);
            written
        }
        Way::Pieces => {
            let file = open_trunc(&path)?;
            for (i, piece) in blob.chunks(97).enumerate().rev() {
                file.write_all_at(piece, i as u64 * 97)?;
            }
            close(file)
        }
        Way::Staging => {
            let staging = hsm.file(slot, format!(".{handle}.x"));
            store_excl(&staging, blob)?;
            let renamed = fs::rename(&staging, &path);
            if renamed.is_err() {
                fs::remove_file(&staging)?;
            }
            renamed
        }
    }
}

fn clone(from: &Path, to: &Path) -> io::Result<()> {
    let source = File::open(from)?;
    let target = open_trunc(to)?;
    while copy_file_range(&source, None, &target, None, 1 << 16)? > 0 {}
    close(target)
}

fn perform(hsm: &Hsm, blobs: &[Vec<u8>], request: &Request) -> io::Result<()> {
    let path = |(slot, handle): (u32, u32)| hsm.file(slot, handle);
    match *request {
        Request::Write(object, slot, handle, way) => write(hsm, slot, handle, &blobs[object], way),
        Request::WriteBad(object, slot, handle, way) => {
            write(hsm, slot, handle, &spoiled(&blobs[object]), way)
        }
        Request::WriteHalf(object, slot, handle) => {
            let file = open_trunc(&path((slot, handle)))?;
            file.write_all_at(&blobs[object][..100], 0)?;
            close(file)
        }
        Request::Resize(slot, handle, size) => {
            let path = path((slot, handle));
            let (file, size) = match size {
                Some(size) => (open_plain(&path)?, size),
                None => {
                    let size = fs::metadata(&path)?.len();
                    (open_plain(&path)?, size)
                }
            };
            file.set_len(size)?;
            close(file)
        }
        Request::Clone(from, to) => clone(&path(from), &path(to)),
        Request::Rename(from, to) => fs::rename(path(from), path(to)),
        Request::Unlink(slot, handle) => fs::remove_file(path((slot, handle))),
    }
}

fn play(seed: u64) {
    let store = Store::empty();
    let mut model = Model::default();
    for slot in 0..SLOTS {
        store.slot(slot, domain(slot));
        model.slots.insert(slot, BTreeMap::new());
    }
    for (slot, count) in [(0, 5), (2, 3)] {
        for handle in store.aes(slot, count) {
            let object = Object {
                number: model.objects.len(),
                domain: domain(slot),
            };
            model.objects.push(object);
            model.put(slot, handle, object);
        }
    }
    let hsm = store.mount(&[0, 1, 2]);
    hsm.mount.announce("");
    let blobs: Vec<_> = [(0, 5), (2, 3)]
        .into_iter()
        .flat_map(|(slot, count)| (1..=count).map(move |handle| (slot, handle)))
        .map(|(slot, handle)| hsm.blob(slot, handle))
        .collect();

    let mut dice = Dice(seed);
    let mut history = Vec::new();
    for _ in 0..STEPS {
        let request = dice.request(blobs.len());
        history.push(format!("{request:?}"));
        let expected = model.apply(&request);
        let answer = perform(&hsm, &blobs, &request).map_err(|e| e.raw_os_error().unwrap_or(0));
        let said = || format!("seed {seed}, after\n{}", history.join("\n"));
        assert_eq!(answer, expected, "{}", said());
        for (slot, objects) in &model.slots {
            let found = hsm.blobs(*slot);
            let wanted: BTreeMap<_, _> = objects
                .iter()
                .map(|(handle, object)| (handle.to_string(), blobs[object.number].clone()))
                .collect();
            assert!(
                found == wanted,
                "slot {slot} holds {:?} instead of {:?}; {}",
                found.keys(),
                wanted.keys(),
                said()
            );
        }
    }
}

#[test]
fn random_requests_seed_1() {
    play(1);
}

#[test]
fn random_requests_seed_2() {
    play(2);
}

#[test]
fn random_requests_seed_3() {
    play(0x5107_f500);
}
