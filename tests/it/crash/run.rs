//! One run of an operation over the disk, with the power going at one point or not at all.

use std::fs::{self, File};
use std::process::Stdio;

use super::base::Base;
use super::check::Blobs;
use crate::disk::{Cut, Disk, Image, Kind, Survives};
use crate::fixture::{Store, contents, sh, unmount, wait_for};

/// What is done to the store.
#[derive(Clone, Copy)]
pub enum Operation {
    /// A shell script at a mount of both slots, `$M`, which says in `$A` what succeeded, and after it the
    /// unmount. The daemon dies.
    Mounted(&'static str),
    /// A command. It dies itself.
    Command(&'static str),
}

/// What came of it.
pub struct Run {
    /// What was said to have succeeded.
    pub acknowledged: Vec<String>,
    /// Whether all of it was.
    pub done: bool,
    /// What the disk saw of it.
    pub steps: Vec<Kind>,
    /// What the cut left; `None` when it came later than the end.
    pub images: Option<Vec<(Survives, Image)>>,
    /// What the disk held in the end.
    pub last: Image,
    /// Key shares that it wrote. They are not on that disk.
    pub new_shares: Blobs,
}

impl Operation {
    /// Does it over a disk that holds the base's store.
    pub fn run(self, base: &Base, cut: Option<Cut>) -> Run {
        let mut store = base.beside();
        let disk = Disk::mount(&store.path("disk"), &base.image());
        store.use_file("disk/store.db");
        match self {
            Self::Mounted(script) => {
                let mut mount = store.start(&[0, 1]);
                disk.count_from_here();
                let dies = cut.is_some();
                if let Some(cut) = cut {
                    mount.announce("");
                    disk.set_victim(mount.pid());
                    disk.cut_at(cut);
                }
                let said = store.path("said");
                fs::write(&said, "").unwrap();
                let out = sh(script, &[("M", &mount.point), ("A", &said)]);
                assert!(dies || out.code == 0, "{out:?}");
                let mut images = disk.images();
                if images.is_some() {
                    mount.crash();
                } else {
                    // The script's last cp may hold its file a moment longer.
                    assert!(
                        wait_for(|| unmount(&mount.point, "-u").then_some(())).is_some(),
                        "the mount was in use"
                    );
                    let status = mount.wait();
                    images = disk.images();
                    assert!(status.success() != images.is_some(), "{status}");
                }
                let said = fs::read_to_string(said).unwrap();
                Run {
                    acknowledged: said.lines().map(str::to_owned).collect(),
                    done: out.code == 0,
                    steps: disk.steps(),
                    images,
                    last: disk.image(),
                    new_shares: new_shares(&store),
                }
            }
            Self::Command(line) => {
                let said = File::create(store.path("said")).unwrap();
                let words: Vec<&str> = line.split_whitespace().collect();
                let dies = cut.is_some();
                if let Some(cut) = cut {
                    disk.cut_at(cut);
                }
                let mut child = store
                    .command(&words)
                    .stdin(Stdio::null())
                    .stdout(said.try_clone().unwrap())
                    .stderr(said)
                    .spawn()
                    .unwrap();
                disk.set_victim(nix::unistd::Pid::from_raw(
                    i32::try_from(child.id()).unwrap(),
                ));
                let Some(status) = wait_for(|| child.try_wait().unwrap()) else {
                    let _ = child.kill();
                    panic!("{line} did not end");
                };
                let said = fs::read_to_string(store.path("said")).unwrap();
                let images = disk.images();
                assert!(
                    dies && images.is_some() || status.success(),
                    "{line}: {status} {said}"
                );
                Run {
                    acknowledged: said.lines().map(|line| line.trim().to_owned()).collect(),
                    done: status.success(),
                    steps: disk.steps(),
                    images,
                    last: disk.image(),
                    new_shares: new_shares(&store),
                }
            }
        }
    }
}

fn new_shares(store: &Store) -> Blobs {
    let folder = store.path("new");
    match folder.is_dir() {
        true => contents(&folder),
        false => Blobs::new(),
    }
}
