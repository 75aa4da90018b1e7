//! Staging files: "what was accepted is kept until its owner renames or removes it, or its time ends; what does not
//! fit is refused", in each slot by itself.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;
use std::path::PathBuf;

use crate::fixture::{
    Hsm, Store, assert_errno, close, errno, open_excl, sh, store_excl, three_slots, wait_for,
};

/// The room of one slot, bytes.
const SLOT_BYTES: usize = 64 << 20;

/// Slots 0, 1 and 3 of one domain, and an object of 60 kB in slot 0.
fn with_a_large_one() -> (Hsm, Vec<u8>) {
    let store = Store::empty();
    for slot in [0, 1, 3] {
        store.slot(slot, "red");
    }
    let handle = store.data(0, 60_000);
    let hsm = store.mount(&[0, 1, 3]);
    let blob = hsm.blob(0, handle);
    (hsm, blob)
}

/// 2,000 files, more than the room: which of them were taken in.
fn fill(hsm: &Hsm, slot: u32, blob: &[u8]) -> Vec<PathBuf> {
    let mut taken = Vec::new();
    for n in 0..2_000 {
        let path = hsm.file(slot, format!(".{n}.staged"));
        let file = open_excl(&path).unwrap();
        let written = file.write_all_at(blob, 0);
        let refused = written.is_err();
        match written {
            Ok(()) => taken.push(path),
            Err(why) => assert_eq!(why.raw_os_error(), Some(libc::ENOSPC), "{why}"),
        }
        close(file).unwrap();
        if refused {
            break;
        }
    }
    taken
}

/// A5: writes and closes succeeded, and the files were empty afterwards.
#[test]
fn what_was_accepted_is_kept_and_the_rest_refused() {
    let (hsm, blob) = with_a_large_one();
    hsm.mount.announce("too many unfinished files");
    let taken = fill(&hsm, 1, &blob);
    assert_eq!(taken.len(), SLOT_BYTES / blob.len(), "no more, no fewer");
    // By whatever asks: copy_file_range, ftruncate, tools.
    let refused = hsm.file(1, ".refused");
    let file = open_excl(&refused).unwrap();
    assert_errno!(file.set_len(blob.len() as u64), ENOSPC);
    let source = File::open(hsm.file(0, 1)).unwrap();
    let copied = nix::fcntl::copy_file_range(&source, None, &file, None, blob.len());
    assert_errno!(copied, ENOSPC);
    close(file).unwrap();
    assert_eq!(fs::metadata(&refused).unwrap().len(), 0);
    fs::remove_file(&refused).unwrap();

    // Another slot has room of its own, as much.
    let elsewhere = fill(&hsm, 3, &blob);
    assert_eq!(elsewhere.len(), taken.len());
    hsm.mount.announce("many unfinished");
    assert_errno!(
        fs::rename(&elsewhere[0], hsm.file(1, ".moved")),
        ENOSPC,
        "a rename into a full slot"
    );

    // And a process that holds little has room in the full one: cp and rsync go on, mv too.
    sh(
        "cp $A/1 $B/7 && rm $B/7 && rsync -a $A/1 $B/ && mv $B/1 $B/8 && rm $B/8",
        &[("A", &hsm.slot(0)), ("B", &hsm.slot(1))],
    )
    .ok();

    // Everything that was taken in is what it was, and its rename is a verdict.
    for path in taken.iter().chain(&elsewhere) {
        assert!(fs::read(path).unwrap() == blob, "{}", path.display());
    }
    for path in &taken[..20] {
        fs::rename(path, hsm.file(1, 1)).unwrap();
        assert_eq!(hsm.blob(1, 1), blob);
    }
    // What became an object or was removed makes room for as much.
    for n in 0..20 {
        store_excl(&hsm.file(1, format!(".again{n}")), &blob).unwrap();
    }
    let full = store_excl(&hsm.file(1, ".full"), &blob);
    assert_errno!(full, ENOSPC);
    fs::remove_file(&taken[20]).unwrap();
    let file = File::options()
        .write(true)
        .open(hsm.file(1, ".full"))
        .unwrap();
    file.write_all_at(&blob, 0).unwrap();
    close(file).unwrap();
    assert_eq!(fs::read(hsm.file(1, ".full")).unwrap(), blob);

    // Logout clears it.
    hsm.mount.announce("");
    fs::write(hsm.control(1, "logout"), "x").unwrap();
    fs::write(hsm.control(1, "login"), crate::fixture::password(1)).unwrap();
    assert_eq!(hsm.list(1), ["1"]);
    assert_eq!(fill(&hsm, 1, &blob).len(), taken.len());
}

/// "EFBIG stays at the rename", also where there is no room left.
#[test]
fn larger_than_any_blob_is_said_at_the_rename() {
    let hsm = three_slots(1);
    hsm.mount.announce_rejections();
    let staged = hsm.file(1, ".large");
    let file = open_excl(&staged).unwrap();
    for at in 0..3 {
        file.write_all_at(&[7; 60_000], at * 60_000).unwrap();
    }
    file.set_len(1 << 30).unwrap();
    file.sync_all().unwrap();
    close(file).unwrap();
    let large = || errno(fs::rename(&staged, hsm.file(1, 1)));
    assert_eq!(large(), libc::EFBIG);
    assert_eq!(large(), libc::EFBIG, "again");
    // Emptied, it takes a blob.
    let file = File::options().write(true).open(&staged).unwrap();
    file.set_len(0).unwrap();
    file.write_all_at(&hsm.blob(0, 1), 0).unwrap();
    close(file).unwrap();
    fs::rename(&staged, hsm.file(1, 1)).unwrap();
    assert_eq!(hsm.blob(1, 1), hsm.blob(0, 1));
}

/// "or at the create when the table is full": by one process, while another still makes files there and elsewhere.
#[test]
fn a_full_table_refuses_at_the_create() {
    let hsm = three_slots(1);
    hsm.mount.announce("too many unfinished files");
    // Names alone: 65,536 of them, folders too.
    let script = r#"
import errno, os, sys
made = 0
for number in range(70000):
    try:
        if number % 1000 == 0:
            os.mkdir(f"{sys.argv[1]}/.{number}")
        else:
            os.close(os.open(f"{sys.argv[1]}/.{number}", os.O_WRONLY | os.O_CREAT | os.O_EXCL))
        made += 1
    except OSError as why:
        assert why.errno == errno.ENOSPC, why
        break
print(made)
"#;
    let out = sh(
        r#"python3 -c "$SCRIPT" "$D" > "$T""#,
        &[
            ("SCRIPT", script.as_ref()),
            ("D", &hsm.slot(1)),
            ("T", &hsm.store.path("made")),
        ],
    );
    out.ok();
    let made = fs::read_to_string(hsm.store.path("made")).unwrap();
    assert_eq!(made.trim(), "65536");
    let blob = hsm.blob(0, 1);
    for slot in [0, 1] {
        store_excl(&hsm.file(slot, ".other"), &blob).unwrap();
        fs::rename(hsm.file(slot, ".other"), hsm.file(slot, 1)).unwrap();
    }
    assert!(
        fs::metadata(hsm.file(1, ".1")).is_ok(),
        "the first is there"
    );
    let cleared = wait_for(|| {
        fs::write(hsm.control(1, "logout"), "x").unwrap();
        fs::write(hsm.control(1, "login"), crate::fixture::password(1)).unwrap();
        (hsm.list(1) == ["1"]).then_some(())
    });
    assert!(cleared.is_some());
}
