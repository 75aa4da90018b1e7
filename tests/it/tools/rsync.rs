//! rsync: takes an error of rename or ftruncate for that file alone and goes on, which is exit 23.

use super::{Again, Tool, script, tools};
use crate::fixture::{sh, two_slots};

/// The second run must transfer nothing.
const fn rsync(script_text: &'static str, again: &'static str) -> Tool {
    script(script_text).again(Again::Prints(again)).exits(23)
}

/// Lists what `-a` would still change.
const STILL: &str = r#"rsync -ai "$S"/ "$D"/"#;

tools! {
    archive: rsync(r#"rsync -a "$S"/ "$D"/"#, STILL);
    archive_of_files: rsync(r#"rsync -a "$S"/* "$D"/"#, STILL);
    checksum: rsync(r#"rsync -ac "$S"/ "$D"/"#, r#"rsync -aci "$S"/ "$D"/"#);
    archive_xattrs: rsync(r#"rsync -aX "$S"/ "$D"/"#, r#"rsync -aXi "$S"/ "$D"/"#);
    archive_hard_links: rsync(r#"rsync -aH "$S"/ "$D"/"#, STILL);
    recursive_only: rsync(r#"rsync -r "$S"/ "$D"/"#, STILL);
    inplace: rsync(r#"rsync -a --inplace "$S"/ "$D"/"#, STILL);
    // -I sends every file again, as a delta against the object that is there.
    inplace_delta: rsync(
        r#"rsync -a --inplace --no-whole-file -I "$S"/ "$D"/ && rsync -a --inplace --no-whole-file -I "$S"/ "$D"/"#,
        STILL
    );
    delta: rsync(
        r#"rsync -a --no-whole-file -I "$S"/ "$D"/ && rsync -a --no-whole-file -I "$S"/ "$D"/"#,
        STILL
    );
    partial: rsync(r#"rsync -a --partial "$S"/ "$D"/"#, STILL);
    delay_updates: rsync(r#"rsync -a --delay-updates "$S"/ "$D"/"#, STILL);
    temp_dir: rsync(r#"rsync -a -T "$T" "$S"/ "$D"/"#, STILL);
    remove_source_files: script(r#"rsync -a --remove-source-files "$S"/ "$D"/"#).takes().exits(23);
    fsync: rsync(r#"rsync -a --fsync "$S"/ "$D"/"#, STILL);
    delete: rsync(r#"rsync -a --delete "$S"/ "$D"/"#, r#"rsync -ai --delete "$S"/ "$D"/"#);
    delete_before: rsync(r#"rsync -a --delete-before "$S"/ "$D"/"#, STILL);
    sparse: rsync(r#"rsync -aS "$S"/ "$D"/"#, STILL);
    preallocate: rsync(r#"rsync -a --preallocate "$S"/ "$D"/"#, STILL);
    ignore_existing: rsync(r#"rsync -a --ignore-existing "$S"/ "$D"/"#, STILL);
    update: rsync(r#"rsync -au "$S"/ "$D"/"#, STILL);
    partial_dir: rsync(r#"rsync -a --partial-dir=.part "$S"/ "$D"/"#, STILL);
    delay_updates_twice: rsync(
        r#"rsync -a --delay-updates --delete "$S"/ "$D"/ && rsync -a --delay-updates -I "$S"/ "$D"/"#,
        STILL
    );
    backup_dir: rsync(r#"rsync -a --backup --backup-dir="$T" "$S"/ "$D"/"#, STILL);
    append_verify: rsync(r#"rsync -a --append-verify "$S"/ "$D"/"#, STILL);
    whole_file: rsync(r#"rsync -aW "$S"/ "$D"/"#, STILL);
    fsync_inplace: rsync(r#"rsync -a --inplace --fsync "$S"/ "$D"/"#, STILL);
    fsync_delay_updates: rsync(r#"rsync -a --delay-updates --fsync "$S"/ "$D"/"#, STILL);
    size_only: rsync(r#"rsync -a --size-only "$S"/ "$D"/"#, STILL);
}

/// rsync --inplace takes a file for received whose ftruncate failed, and its sender would then remove the
/// only copy.
#[test]
fn inplace_that_removes_its_source_loses_nothing() {
    use crate::fixture::{sh, three_slots};

    let hsm = three_slots(3);
    hsm.mount.announce_rejections();
    let before = hsm.blobs(0);
    for options in ["", "--fsync", "--append", "-c", "--partial"] {
        let script = format!(r#"rsync -a --inplace --remove-source-files {options} "$S"/ "$D"/"#);
        sh(&script, &[("S", &hsm.slot(0)), ("D", &hsm.slot(2))]).code_is_not(0);
        assert_eq!(hsm.blobs(0), before, "{options}");
        assert!(hsm.list(2).is_empty());
    }
}

/// A second run asks for each name once: what the kernel knows of the names that the first one made is right.
#[test]
fn again_asks_for_each_name_once() {
    const OBJECTS: u64 = 60;
    let hsm = two_slots(OBJECTS as u32);
    let lookups = || -> u64 {
        let stats = std::fs::read_to_string(hsm.mount.point.join(".slotfs/stats")).unwrap();
        let line = stats.lines().find(|line| line.starts_with("lookup "));
        line.unwrap()["lookup ".len()..].parse().unwrap()
    };
    let run = || {
        sh(
            "rsync -a $A/ $B",
            &[("A", &hsm.slot(0)), ("B", &hsm.slot(1))],
        )
        .ok()
    };
    run();
    // What the kernel remembers is a second old at most.
    std::thread::sleep(std::time::Duration::from_millis(1200));
    let before = lookups();
    run();
    let asked = lookups() - before;
    // The target's names; those of the source come with its listing.
    assert!(asked < OBJECTS + OBJECTS / 2, "{asked} lookups");
    assert_eq!(hsm.blobs(1), hsm.blobs(0));
}
