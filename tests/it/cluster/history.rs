//! Two hosts, three threads on each mount: what they were told of creations, renames, moves and removals has an order in
//! which each request had its effect at one moment between its beginning and its answer (linearizability).

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::fixture::{LONG, Site};
use crate::fixture::{Store, sh, store_excl};
use crate::model::Dice;

mod order;

use order::{Answer, Event, Place, Request};

const THREADS: usize = 3;
const REQUESTS: usize = 60;
/// Few, so that they collide.
const HANDLES: u32 = 4;
const OBJECTS: usize = 5;
/// Both of one domain.
const SLOTS: [u32; 2] = [1, 2];

/// Entries and attributes that the kernel remembers (docs/mount.md): what it answers by itself may be as old.
const KERNEL: Duration = Duration::from_millis(1_100);

fn request(dice: &mut Dice) -> Request {
    let mut place = || Place {
        slot: SLOTS[dice.roll(2) as usize],
        handle: 1 + dice.roll(HANDLES),
    };
    let (one, other) = (place(), place());
    match dice.roll(10) {
        0..=3 => Request::Create(dice.roll(u32::try_from(OBJECTS).unwrap()) as usize, one),
        4 | 5 => Request::Remove(one),
        6 | 7 if one != other => Request::Rename(one, other),
        _ => Request::Read(one),
    }
}

struct Client {
    point: PathBuf,
    blobs: Vec<Vec<u8>>,
}

impl Client {
    fn path(&self, place: Place) -> PathBuf {
        self.point
            .join(place.slot.to_string())
            .join(place.handle.to_string())
    }

    fn perform(&self, request: Request) -> io::Result<Option<usize>> {
        match request {
            Request::Create(object, place) => {
                store_excl(&self.path(place), &self.blobs[object]).map(|()| None)
            }
            Request::Remove(place) => fs::remove_file(self.path(place)).map(|()| None),
            Request::Rename(from, to) => fs::rename(self.path(from), self.path(to)).map(|()| None),
            Request::Read(place) => {
                let read = fs::read(self.path(place))?;
                let object = self.blobs.iter().position(|blob| *blob == read);
                Ok(Some(object.unwrap_or_else(|| {
                    panic!("{place:?}: {} bytes that are no object", read.len())
                })))
            }
        }
    }

    /// Makes random requests, and notes when each began and ended.
    fn play(&self, seed: u64, began: Instant) -> Vec<Event> {
        let mut dice = Dice(seed);
        let mut events = Vec::new();
        for _ in 0..REQUESTS {
            let request = request(&mut dice);
            let start = began.elapsed();
            let answer = match self.perform(request) {
                Ok(object) => Answer::Done(object),
                Err(e) => Answer::Refused(e.raw_os_error().unwrap_or(0)),
            };
            let end = began.elapsed();
            // A creation that succeeded, a removal, a rename reached the daemon. Anything else may be the kernel's answer.
            let is_ours = matches!(answer, Answer::Done(None));
            events.push(Event {
                request,
                answer,
                start: if is_ours {
                    start
                } else {
                    start.saturating_sub(KERNEL)
                },
                end,
            });
            std::thread::sleep(Duration::from_millis(u64::from(dice.roll(15))));
        }
        events
    }
}

fn play(seed: u64) {
    let site = Site::new(0);
    // Of different sizes, so that one in place of another is no matter of content alone.
    for object in 0..OBJECTS {
        site.first.data(0, 1_000 + 9_000 * object);
    }
    let blobs: Vec<Vec<u8>> = site.blobs().blobs.into_values().collect();
    let hosts: [Store; 2] = [site.host(&[LONG]), site.host(&[LONG])];
    let mounts: Vec<_> = hosts.iter().map(|host| host.start(&SLOTS)).collect();
    let began = Instant::now();
    let mut events: Vec<Event> = std::thread::scope(|scope| {
        let mut threads = Vec::new();
        for (number, mount) in mounts.iter().enumerate() {
            mount.announce("");
            for thread in 0..THREADS {
                let client = Client {
                    point: mount.point.clone(),
                    blobs: blobs.clone(),
                };
                let seed = seed + u64::try_from(number * THREADS + thread).unwrap() * 1_000;
                threads.push(scope.spawn(move || client.play(seed, began)));
            }
        }
        threads
            .into_iter()
            .flat_map(|it| it.join().unwrap())
            .collect()
    });
    // What is there at the end is what a fresh host sees: read by one that has remembered nothing.
    let (_host, fresh) = site.fresh_mount();
    let client = Client {
        point: fresh.point.clone(),
        blobs,
    };
    for slot in SLOTS {
        for handle in 1..=order::MOST {
            let request = Request::Read(Place { slot, handle });
            let start = began.elapsed();
            let answer = match client.perform(request) {
                Ok(object) => Answer::Done(object),
                Err(e) => Answer::Refused(e.raw_os_error().unwrap_or(0)),
            };
            let end = began.elapsed();
            events.push(Event {
                request,
                answer,
                start,
                end,
            });
        }
    }
    let done = events
        .iter()
        .filter(|it| matches!(it.answer, Answer::Done(None)))
        .count();
    assert!(done > 60, "only {done} requests changed anything");
    if let Err(wrong) = order::find(&events) {
        panic!("seed {seed}: {wrong}");
    }
}

#[test]
fn two_mounts_have_one_history_seed_1() {
    play(1);
}

#[test]
fn two_mounts_have_one_history_seed_2() {
    play(2);
}

#[test]
fn two_mounts_have_one_history_seed_3() {
    play(3);
}

/// Another host adds and removes a domain, which changes the size of every blob; a copy is never cut at a size that was
/// remembered.
#[test]
fn a_remembered_size_cuts_no_copy() {
    let site = Site::new(3);
    let host = site.host(&[LONG]);
    let mount = host.start(&[0, 1]);
    mount.announce("");
    let stop = site.first.path("stop");
    let changes = site.host(&[LONG]);
    std::thread::scope(|scope| {
        let changer = scope.spawn(|| {
            let mut rounds = 0;
            while !stop.exists() {
                for line in [
                    "partition domainadd -domainkey blue.pem -domainlabel blue",
                    "partition domaindelete -domainlabel blue -force",
                ] {
                    changes
                        .run(&format!("{line} -slot 0 --password-file 0:po=pw-0"))
                        .ok();
                }
                rounds += 1;
            }
            rounds
        });
        // A blob that was cut would not be taken in.
        let copy = |script: &str| {
            sh(
                script,
                &[("M", mount.point.as_path()), ("O", &host.path("out"))],
            )
        };
        let copied = (0..100).try_for_each(|_| {
            let out = copy(
                "for n in 1 2 3; do
                     stat -c %s $M/0/$n > /dev/null && cp $M/0/$n $O && cp $O $M/1/$n && rm $M/1/$n || exit 1
                 done",
            );
            if out.code == 0 { Ok(()) } else { Err(out) }
        });
        fs::write(&stop, "").unwrap();
        let rounds: u32 = changer.join().unwrap();
        assert!(copied.is_ok(), "{copied:?} {}", mount.log());
        assert!(rounds > 2, "only {rounds} changes");
    });
    assert!(Path::new(&mount.point).exists());
}
