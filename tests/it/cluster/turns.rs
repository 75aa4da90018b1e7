//! Hosts that write to the same slot all the time: nobody is kept from it.

use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::fixture::Site;
use crate::fixture::{Mount, Store, store_excl};

/// So often each host stores an object and removes it, while the others go on.
const ROUNDS: usize = 25;

#[test]
fn hosts_that_write_to_one_slot_take_turns() {
    let site = Site::new(3);
    let blobs = site.blobs();
    let names = blobs.names();
    let hosts: Vec<(Store, Mount)> = names.iter().map(|_| site.fresh_mount()).collect();
    let folders: Vec<PathBuf> = hosts.iter().map(|it| it.1.point.join("1")).collect();
    let done: Vec<AtomicUsize> = names.iter().map(|_| AtomicUsize::new(0)).collect();
    let write = &|nth: usize| {
        let name = &names[nth];
        let file = folders[nth].join(name);
        // Whoever has done his goes on until all have.
        while done.iter().any(|it| it.load(Ordering::Relaxed) < ROUNDS) {
            let round = store_excl(&file, &blobs.blobs[name]).and_then(|()| fs::remove_file(&file));
            if round.is_err() {
                // Nobody waits for one who fails.
                done[nth].store(ROUNDS, Ordering::Relaxed);
                return round;
            }
            done[nth].fetch_add(1, Ordering::Relaxed);
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..names.len())
            .map(|nth| scope.spawn(move || write(nth)))
            .collect();
        for thread in threads {
            thread
                .join()
                .unwrap()
                .expect("a host did not come to write");
        }
    });
    drop(hosts);
    site.check();
}
