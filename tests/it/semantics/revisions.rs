//! "Revisions" of docs/mount.md, with real tools and another process that describes the objects anew.

use std::fs;
use std::io::{Read, Seek};
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use crate::fixture::{Hsm, assert_errno, contents, sh, store_trunc, two_slots, wait_for};

impl Hsm {
    /// Another process describes an object anew; the mount shows it when the kernel asks again, within a second.
    #[track_caller]
    fn set(&self, slot: u32, handle: u32, what: &str) {
        let file = self.file(slot, handle);
        let before = fs::metadata(&file).unwrap();
        let line = format!("object set -handle {handle} {what}");
        let out = self.store.run_in(slot, &line).ok();
        assert!(out.stdout.contains("is now revision"), "{out:?}");
        let new = wait_for(|| {
            let now = fs::metadata(&file).unwrap();
            (now.ino() != before.ino()).then_some(now)
        });
        assert!(new.unwrap().mtime() > before.mtime());
    }

    #[track_caller]
    fn label(&self, slot: u32, handle: u32) -> String {
        let file = self.control(slot, "objects").join(handle.to_string());
        let shown = fs::read_to_string(file).unwrap();
        let label = shown.lines().find_map(|line| line.strip_prefix("label: "));
        label.unwrap().to_owned()
    }

    #[track_caller]
    fn said(&self, slot: u32, words: &str) {
        let clones = self.clones(slot);
        assert!(clones.contains(words), "no {words:?}: {clones}");
    }
}

/// Slots 0 and 1 hold the same four keys, with the labels that they were made with.
fn pair() -> Hsm {
    let hsm = two_slots(4);
    sh("cp $A/* $B/", &[("A", &hsm.slot(0)), ("B", &hsm.slot(1))]).ok();
    hsm
}

/// "`rsync -a` both ways carries changes to both slots, and a third run moves nothing."
fn rsync_both_ways(options: &str, folder: impl Fn(&Hsm, u32) -> PathBuf) {
    let hsm = pair();
    hsm.set(0, 1, "-label zero");
    hsm.set(1, 2, "-label one -attribute sign=false");
    hsm.set(0, 3, "-label first");
    hsm.set(0, 3, "-label second");
    let (zero, one) = (folder(&hsm, 0), folder(&hsm, 1));
    let env = [("A", zero.as_path()), ("B", one.as_path())];
    sh(
        &format!("rsync -a {options} $A/ $B/ && rsync -a {options} $B/ $A/"),
        &env,
    )
    .ok();
    for slot in [0, 1] {
        let labels = [1, 2, 3].map(|handle| hsm.label(slot, handle));
        assert_eq!(labels, ["zero", "one", "second"], "slot {slot}");
    }
    // Nothing is to be done, neither by times nor by content.
    for script in [
        format!("rsync -ai {options} $A/ $B/; rsync -ai {options} $B/ $A/"),
        "rsync -aci $A/ $B/; rsync -aci $B/ $A/".to_owned(),
        "diff -r $A $B".to_owned(),
    ] {
        let out = sh(&script, &env).ok();
        assert_eq!(out.text(), "", "{script}");
    }
    assert_eq!(hsm.blobs(0), hsm.blobs(1));
    hsm.said(1, "Handle 1 on slot 1 is now revision 1");
    hsm.said(1, "Handle 3 on slot 1 is now revision 2");
    hsm.said(0, "Handle 2 on slot 0 is now revision 1");
    // What was replaced is in the trash, in both: three in slot 0, where one was changed twice.
    assert_eq!(hsm.status(0, "trash").unwrap(), "4");
    assert_eq!(hsm.status(1, "trash").unwrap(), "3");
}

#[test]
fn rsync_carries_changes_both_ways() {
    rsync_both_ways("", Hsm::slot);
}

#[test]
fn rsync_in_place_carries_changes_both_ways() {
    rsync_both_ways("--inplace", Hsm::slot);
}

#[test]
fn rsync_with_delayed_updates_carries_changes_both_ways() {
    rsync_both_ways("--delay-updates", Hsm::slot);
}

#[test]
fn rsync_of_what_is_newer_carries_changes_both_ways() {
    rsync_both_ways("-u", Hsm::slot);
}

#[test]
fn rsync_by_identity_carries_changes_both_ways() {
    rsync_both_ways("--delete", |hsm, slot| hsm.control(slot, "ouid"));
}

/// "A one-way `rsync` of an earlier revision transfers it again at each run, without effect. `rsync -u` skips it."
#[test]
fn rsync_one_way_of_an_earlier_revision_is_without_effect() {
    let hsm = pair();
    hsm.set(1, 1, "-label newer");
    let now = hsm.blobs(1);
    let (zero, one) = (hsm.slot(0), hsm.slot(1));
    let env = [("A", zero.as_path()), ("B", one.as_path())];
    for _ in 0..2 {
        let out = sh("rsync -ai $A/ $B/", &env).ok();
        assert!(
            out.text().contains(" 1\n") && out.text().lines().count() == 1,
            "{out:?}"
        );
        hsm.said(1, "slot 1 holds a newer revision, as handle 1");
        assert_eq!(hsm.blobs(1), now);
    }
    assert_eq!(sh("rsync -aui $A/ $B/", &env).ok().text(), "");
    // "`cmp` and `diff -r` show slots that hold different revisions as different."
    let out = sh("diff -r $A $B", &env).fails(1);
    assert!(out.text().contains("differ"), "{out:?}");
}

/// Whatever writes a revision over the object: it is taken, its times can be set, and the name shows it at once.
#[test]
fn tools_write_a_revision_over_the_object() {
    for tool in [
        "cp $A/1 $B/1",
        "cp -p $A/1 $B/1",
        "cp --reflink=never $A/1 $B/1",
        "cp -a $A/1 $B/",
        "cat $A/1 > $B/1",
        "dd if=$A/1 of=$B/1 bs=64k status=none",
        "rsync -a --inplace --no-whole-file $A/1 $B/1",
        "rsync -aI $A/1 $B/1",
        "python3 -c 'import shutil,sys; shutil.copy2(sys.argv[1], sys.argv[2])' $A/1 $B/1",
        "cp $A/1 $B/1.part && mv $B/1.part $B/1",
        "cp $A/1 $B/.tmp && touch -r $A/1 $B/.tmp && mv $B/.tmp $B/1",
        "cp $A/1 $B/new",
        "cp $A/1 $B/4",
        "busybox cp $A/1 $B/1",
        "tar -C $A -cf - 1 | tar -C $B -xf - --overwrite",
    ] {
        let hsm = pair();
        hsm.set(0, 1, "-label newer");
        let env = [("A", hsm.slot(0)), ("B", hsm.slot(1))];
        let env = [("A", env[0].1.as_path()), ("B", env[1].1.as_path())];
        let out = sh(tool, &env).ok();
        assert_eq!(out.text(), "", "{tool}");
        let (from, to) = (hsm.file(0, 1), hsm.file(1, 1));
        let times = [&from, &to].map(|file| fs::metadata(file).unwrap().mtime());
        assert_eq!(times[0], times[1], "{tool}");
        assert_eq!(fs::read(&from).unwrap(), fs::read(&to).unwrap(), "{tool}");
        assert_eq!(hsm.label(1, 1), "newer", "{tool}");
        assert_eq!(hsm.list(1), ["1", "2", "3", "4"], "{tool}");
        hsm.said(1, "Handle 1 on slot 1 is now revision 1");
        assert_eq!(hsm.status(1, "trash").unwrap(), "1", "{tool}");
        // An earlier revision over it is success and changes nothing.
        let older = fs::read(hsm.file(0, 2)).unwrap();
        hsm.set(1, 2, "-label later");
        let later = fs::read(hsm.file(1, 2)).unwrap();
        store_trunc(&hsm.file(1, 2), &older).unwrap();
        sh(&tool.replace("/1", "/2"), &env).ok();
        assert_eq!(fs::read(hsm.file(1, 2)).unwrap(), later, "{tool}");
        assert_eq!(hsm.label(1, 2), "later", "{tool}");
        hsm.said(1, "slot 1 holds a newer revision, as handle 2");
        assert_eq!(sh("rsync -ai $A/1 $B/1", &env).ok().text(), "", "{tool}");
    }
}

/// "A tool that unlinks the target before it writes brings whatever revision it has, also an earlier one. The one that was
/// there is in the trash."
#[test]
fn tools_that_unlink_first_bring_what_they_have() {
    for tool in [
        "install $C/1 $B/1",
        "cp --remove-destination $C/1 $B/1",
        "tar -C $C -cf - 1 | tar -C $B -xf -",
        "mv $C/1 $B/1",
    ] {
        let hsm = pair();
        let copies = tempfile::tempdir().unwrap();
        let older = hsm.blob(1, 1);
        fs::write(copies.path().join("1"), &older).unwrap();
        hsm.set(1, 1, "-label later");
        let later = hsm.blob(1, 1);
        let slot = hsm.slot(1);
        sh(tool, &[("B", slot.as_path()), ("C", copies.path())]).ok();
        assert_eq!(hsm.blob(1, 1), older, "{tool}");
        // It comes back in the place of the earlier one.
        let trash = hsm.control(1, "trash");
        let name = ["1", "1.2"].into_iter().find(|name| {
            fs::rename(trash.join(name), hsm.file(1, 1)).is_ok() && hsm.blob(1, 1) == later
        });
        assert!(name.is_some(), "{tool}");
        assert_eq!(hsm.label(1, 1), "later", "{tool}");
    }
}

/// "A descriptor that is open for reading reads the old revision to its end", and the name shows the new one.
#[test]
fn an_open_descriptor_reads_the_revision_that_it_opened() {
    let hsm = pair();
    let old = hsm.blob(1, 1);
    let file = hsm.file(1, 1);
    let mut open = fs::File::open(&file).unwrap();
    let before = open.metadata().unwrap();
    let mut start = vec![0; 40];
    open.read_exact(&mut start).unwrap();
    hsm.set(0, 1, "-label a-label-that-is-longer-than-before");
    hsm.copy((0, 1), (1, 1));
    let new = hsm.blob(0, 1);
    assert!(new.len() > old.len());
    // By its name: at once when it is opened, and within a second when it is only looked at.
    assert_eq!(fs::read(&file).unwrap(), new);
    let now = wait_for(|| {
        let now = fs::metadata(&file).unwrap();
        (now.ino() != before.ino()).then_some(now)
    });
    assert_eq!(now.unwrap().len(), new.len() as u64);
    // By the descriptor: what it opened, whole, with its size and time.
    let there = open.metadata().unwrap();
    let seen = |it: &fs::Metadata| (it.ino(), it.len(), it.mtime());
    assert_eq!(seen(&there), seen(&before));
    open.rewind().unwrap();
    let mut read = Vec::new();
    open.read_to_end(&mut read).unwrap();
    assert_eq!(read, old);
    // The old revision opens nowhere any more but in the trash, which does not give it.
    drop(open);
    assert_errno!(fs::read(hsm.control(1, "trash").join("1")), EPERM);
}

/// A writer that is still open over the revision that it replaced sees what it wrote.
#[test]
fn the_writer_of_a_revision_sees_it_by_its_own_descriptor() {
    use std::os::unix::fs::FileExt;
    let hsm = pair();
    hsm.set(0, 1, "-label a-label-that-is-longer-than-before");
    let blob = hsm.blob(0, 1);
    let file = crate::fixture::open_trunc(&hsm.file(1, 1)).unwrap();
    file.write_all_at(&blob, 0).unwrap();
    let (written, wanted) = (
        file.metadata().unwrap(),
        fs::metadata(hsm.file(0, 1)).unwrap(),
    );
    assert_eq!(
        (written.len(), written.mtime()),
        (wanted.len(), wanted.mtime())
    );
    file.set_len(blob.len() as u64).unwrap();
    file.set_modified(std::time::UNIX_EPOCH).unwrap();
    crate::fixture::close(file).unwrap();
    let now = fs::metadata(hsm.file(1, 1)).unwrap();
    assert_eq!((now.len(), now.mtime()), (wanted.len(), wanted.mtime()));
}

/// "`mv` to another slot follows the same table."
#[test]
fn mv_follows_the_table() {
    let hsm = pair();
    hsm.set(0, 1, "-label newer");
    hsm.set(1, 2, "-label newer");
    hsm.set(0, 3, "-label zero");
    hsm.set(1, 3, "-label one");
    hsm.mount.announce("was not cloned to slot");
    let newer = hsm.blob(0, 1);
    let env = [("A", hsm.slot(0)), ("B", hsm.slot(1))];
    let env = [("A", env[0].1.as_path()), ("B", env[1].1.as_path())];
    let trash = |slot| hsm.status(slot, "trash").unwrap();
    assert_eq!((trash(0), trash(1)), ("2".into(), "2".into()));
    // A later one replaces what is there.
    sh("mv $A/1 $B/1", &env).ok();
    assert_eq!(hsm.blob(1, 1), newer);
    assert_eq!((trash(0), trash(1)), ("2".into(), "3".into()));
    // Of an earlier one the source goes, to its trash.
    sh("mv $A/2 $B/", &env).ok();
    assert_eq!(hsm.label(1, 2), "newer");
    assert_eq!((trash(0), trash(1)), ("3".into(), "3".into()));
    // Of two that were both changed, both stay.
    let out = sh("mv $A/3 $B/3", &env).fails(1);
    assert!(out.text().contains("File exists"), "{out:?}");
    assert_eq!(
        (hsm.label(0, 3), hsm.label(1, 3)),
        ("zero".into(), "one".into())
    );
    hsm.said(1, "they differ in CKA_LABEL");
    assert_eq!(hsm.list(0), ["3", "4"]);
    assert_eq!(hsm.list(1), ["1", "2", "3", "4"]);
}

/// "If only changeable ones do, `object set` on one side makes a revision that wins."
#[test]
fn two_changes_of_one_revision_are_a_clash_until_one_is_described_again() {
    let hsm = pair();
    hsm.set(0, 1, "-label zero");
    hsm.set(1, 1, "-label one -attribute sign=false");
    hsm.set(0, 2, "-label two");
    hsm.mount.announce("was not cloned to slot");
    let env = [("A", hsm.slot(0)), ("B", hsm.slot(1))];
    let env = [("A", env[0].1.as_path()), ("B", env[1].1.as_path())];
    for script in ["cp $A/1 $B/1", "cp $B/1 $A/1"] {
        let out = sh(script, &env).fails(1);
        assert!(out.text().contains("File exists"), "{out:?}");
    }
    // rsync goes on with the others.
    sh("rsync -a -I $A/ $B/", &env).fails(23);
    assert_eq!(hsm.label(1, 2), "two");
    hsm.said(1, "they differ in CKA_LABEL, CKA_SIGN");
    let line = "--active-slot 0 partition clone -objects 1 -slot 1 -force --password-file 0=pw-0 --password-file 1=pw-1";
    let out = hsm.store.run(line).fails(1);
    assert!(
        out.stderr
            .contains("both were changed, in CKA_LABEL, CKA_SIGN; 'slotfs object set'"),
        "{out:?}"
    );
    // A revision that restricts less does not win either.
    hsm.set(0, 1, "-label again");
    sh("cp $A/1 $B/1", &env).fails(1);
    hsm.set(0, 1, "-attribute sign=false");
    sh("cp $A/1 $B/1", &env).ok();
    assert_eq!(hsm.label(1, 1), "again");
    assert_eq!(hsm.blob(0, 1), hsm.blob(1, 1));
}

/// "`mv` of an earlier revision out of the trash, where the slot has a later one, is `File exists`."
#[test]
fn the_trash_gives_back_no_earlier_revision_over_a_later_one() {
    let hsm = pair();
    let old = hsm.blob(0, 1);
    hsm.set(0, 1, "-label newer");
    let new = hsm.blob(0, 1);
    let trash = hsm.control(0, "trash");
    for to in ["1", "77"] {
        assert_errno!(fs::rename(trash.join("1"), hsm.file(0, to)), EEXIST);
    }
    let out = hsm.store.run_in(0, "object restore -trash 1").fails(1);
    assert!(
        out.text().contains("handle 1 is a later revision of it"),
        "{out:?}"
    );
    fs::remove_file(hsm.file(0, 1)).unwrap();
    fs::rename(trash.join("1"), hsm.file(0, 1)).unwrap();
    assert_eq!(hsm.blob(0, 1), old);
    // The later one replaces it, and comes back under its handle.
    fs::rename(trash.join("1.2"), hsm.file(0, 1)).unwrap();
    assert_eq!(contents(&hsm.slot(0))["1"], new);
    assert_eq!(hsm.label(0, 1), "newer");
}

/// "An alias of a replaced revision ends", and what was written to an alias is not its own if it was a revision.
#[test]
fn aliases_of_a_replaced_revision_end() {
    let hsm = pair();
    let env = [("A", hsm.slot(0)), ("B", hsm.slot(1))];
    let env = [("A", env[0].1.as_path()), ("B", env[1].1.as_path())];
    hsm.mount.announce_names();
    sh("cp $A/1 $B/1.blob && cp $A/2 $B/2~", &env).ok();
    hsm.set(0, 1, "-label newer");
    hsm.set(0, 2, "-label newer");
    sh("cp $A/1 $B/1 && cp $A/2 $B/2~", &env).ok();
    assert_errno!(fs::metadata(hsm.file(1, "1.blob")), ENOENT);
    assert_eq!(fs::read(hsm.file(1, "2~")).unwrap(), hsm.blob(0, 2));
    sh("rm $B/2~", &env).ok();
    assert_eq!(hsm.list(1), ["1", "2", "3", "4"]);
    assert_eq!(
        (hsm.label(1, 1), hsm.label(1, 2)),
        ("newer".into(), "newer".into())
    );
}
