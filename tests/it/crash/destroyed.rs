//! "Destroyed means: gone from the files of the live store": also from what a disk has when the power goes right afterwards.

use rusqlite::Connection;

use super::base::Base;
use crate::disk::{Disk, Image};
use crate::fixture::sh;

fn has(image: &Image, part: &[u8]) -> bool {
    image
        .values()
        .any(|bytes| bytes.windows(part.len()).any(|window| window == part))
}

#[test]
fn what_was_destroyed_does_not_come_back_with_the_power() {
    let base = Base::with_keys(3);
    let sealed: Vec<Vec<u8>> = Connection::open(base.store().path("store.db"))
        .unwrap()
        .prepare("SELECT sealed FROM objects WHERE slot = 0 ORDER BY handle")
        .unwrap()
        .query_map([], |row| row.get(0))
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap();
    let mut store = base.beside();
    let disk = Disk::mount(&store.path("disk"), &base.image());
    store.use_file("disk/store.db");
    let mount = store.start(&[0, 1]);
    mount.announce("still in");
    let part = |row: usize| &sealed[row][8..40];
    sh(r#"rm "$M"/0/1 "$M"/0/2"#, &[("M", &mount.point)]).ok();
    assert!(has(&disk.durable(), part(0)), "it is in the trash, durably");
    sh(r#"rm "$M"/0/.slotfs/trash/1"#, &[("M", &mount.point)]).ok();
    let left = disk.durable();
    assert!(!has(&left, part(0)), "destroyed, and on the disk");
    assert!(has(&left, part(1)) && has(&left, part(2)));
    // By a command beside the mount, too.
    store.run_in(0, "object destroy -trash 2 -force").ok();
    assert!(!has(&disk.durable(), part(1)));
}
