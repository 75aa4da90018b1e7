//! Tools that write under a name of their own beside the file, and rename; and such that make a backup of it first.

use std::fs;
use std::path::Path;

use super::{Again, Tool, each, script, tools};
use crate::fixture::{Hsm, names, sh, spoiled, two_slots};

const RCLONE: &str = concat!(
    "python3 -c '",
    include_str!("rclone.py"),
    r#"' "$F" "$D/$N""#
);
/// Before 1.63, as Debian has it, or with --inplace: straight to the name. Keys made at once have one size and one time,
/// by which rclone takes them for the same file.
const RCLONE_INPLACE: &str =
    r#"rclone --config= --retries 1 --low-level-retries 1 --ignore-times copyto "$F" "$D/$N""#;
const PYTHON_MKSTEMP: &str = r#"python3 -c 'import os, sys, tempfile
source, target = sys.argv[1:]
out, name = tempfile.mkstemp(dir=os.path.dirname(target))
try:
    with os.fdopen(out, "wb") as file: file.write(open(source, "rb").read())
    os.replace(name, target)
except OSError as error:
    try: os.unlink(name)
    except FileNotFoundError: pass
    sys.exit(str(error))' "$F" "$D/$N""#;
/// In pieces, synced, named after the file, and renamed before it is closed.
const PYTHON_NAMED: &str = r#"python3 -c 'import os, shutil, sys, tempfile
source, target = sys.argv[1:]
folder, name = os.path.split(target)
with tempfile.NamedTemporaryFile(dir=folder, prefix=name + ".", delete=False) as file:
    shutil.copyfileobj(open(source, "rb"), file, 999)
    file.flush()
    os.fsync(file.fileno())
    os.chmod(file.name, 0o644)
    assert os.path.samestat(os.fstat(file.fileno()), os.stat(file.name)) or True
    os.replace(file.name, target)' "$F" "$D/$N""#;
const MKTEMP: &str = r#"P=$(mktemp --tmpdir="$D") && cat "$F" > "$P" && mv "$P" "$D/$N""#;
const PART: &str = r#"cp "$F" "$D/$N.part" && mv "$D/$N.part" "$D/$N""#;
const FILEPART: &str =
    r#"dd if="$F" of="$D/$N.filepart" bs=1000 status=none && mv -f "$D/$N.filepart" "$D/$N""#;
const TMP: &str = r#"install -m 600 "$F" "$D/$N.tmp" && mv -T "$D/$N.tmp" "$D/$N""#;
const RANDOM: &str = r#"busybox cp "$F" "$D/$N.8d9CBc4C" && busybox mv "$D/$N.8d9CBc4C" "$D/$N""#;
const PERL: &str = r#"perl -MFile::Copy -e '
    ($f, $t) = @ARGV;
    copy($f, "$t.$$") && rename("$t.$$", $t) or do { $e = $!; unlink "$t.$$"; die "$t: $e" }' "$F" "$D/$N""#;
const VIM: &str = r#"vim -u NONE -i NONE -n -b -es "$F" -c "set backup" -c "let v:errmsg = ''" -c "w! $D/$N" \
    -c "if v:errmsg != '' | cquit | endif" -c "qa!" < /dev/null"#;
const RSYNC_TEMP_DIR: &str = r#"rsync -a -I -T "$D" "$F" "$D/$N""#;
const RSYNC_BACKUP: &str = r#"rsync -a -I --backup "$F" "$D/$N""#;
const RSYNC_BACKUP_SUFFIX: &str = r#"rsync -a -I --inplace --backup --suffix=.bak "$F" "$D/$N""#;

/// The second run must transfer nothing.
const fn rsync(text: &'static str) -> Tool {
    script(text)
        .again(Again::Prints(r#"rsync -ai "$S"/ "$D"/"#))
        .exits(23)
}

tools! {
    rclone_with_partial_files: each(RCLONE);
    rclone_inplace: each(RCLONE_INPLACE);
    rclone_of_a_folder: script(r#"rclone --config= --retries 1 --low-level-retries 1 copy "$S" "$D""#);
    python_mkstemp: each(PYTHON_MKSTEMP);
    python_named_temporary_file: each(PYTHON_NAMED);
    mktemp: each(MKTEMP);
    part: each(PART);
    filepart: each(FILEPART);
    tmp: each(TMP);
    random_suffix: each(RANDOM);
    perl_rename: each(PERL);
    vim: each(VIM);
    rsync_temp_dir_in_the_slot: rsync(r#"rsync -a -T "$D" "$S"/ "$D"/"#);
    rsync_temp_dir_in_another_slot: rsync(r#"rsync -a -T "${D%/*}/0" "$S"/ "$D"/"#);
    rsync_backup: rsync(r#"rsync -a -I --backup "$S"/ "$D"/ && rsync -a -I --backup "$S"/ "$D"/"#).backs_up();
    rsync_backup_suffix: rsync(
        r#"rsync -a -I --backup --suffix=.bak "$S"/ "$D"/ && rsync -a -I --backup --suffix=.bak "$S"/ "$D"/"#
    ).backs_up();
    rsync_backup_inplace: rsync(
        r#"rsync -a -I --inplace --backup "$S"/ "$D"/ && rsync -a -I --inplace --backup "$S"/ "$D"/"#
    ).backs_up();
}

/// Slot 1 holds object 2 of slot 0 under handle 1, and nothing else.
fn taken(hsm: &Hsm) {
    for name in hsm.list(1) {
        fs::remove_file(hsm.file(1, name)).unwrap();
    }
    for name in names(&hsm.control(1, "trash")) {
        fs::remove_file(hsm.control(1, "trash").join(name)).unwrap();
    }
    hsm.copy((0, 2), (1, 1));
}

/// The name that a tool renames to is another object's: both are there afterwards, and the tool ends well.
#[test]
fn onto_a_handle_that_another_object_has() {
    let hsm = two_slots(2);
    hsm.mount.announce_names();
    let (one, two) = (hsm.blob(0, 1), hsm.blob(0, 2));
    for tool in [
        RCLONE,
        RCLONE_INPLACE,
        PYTHON_MKSTEMP,
        PYTHON_NAMED,
        MKTEMP,
        PART,
        FILEPART,
        TMP,
        RANDOM,
        PERL,
        VIM,
        RSYNC_TEMP_DIR,
        RSYNC_BACKUP,
        RSYNC_BACKUP_SUFFIX,
    ] {
        taken(&hsm);
        let (from, name) = (hsm.file(0, 1), Path::new("1"));
        let env: &[(&str, &Path)] = &[("F", &from), ("D", &hsm.slot(1)), ("N", name)];
        sh(tool, env).ok();
        let objects = hsm.blobs(1);
        assert_eq!(objects.len(), 2, "{tool}: {:?}", objects.keys());
        assert_eq!(objects["1"], two, "{tool}");
        assert!(objects.values().any(|blob| *blob == one), "{tool}");
        assert!(names(&hsm.control(1, "trash")).is_empty(), "{tool}");
    }
}

/// `sed -i` and `perl -i` write beside the object and rename to it; vim writes it in place. What is no change is none; a
/// change is refused; another object's blob is that object, under a handle of its own.
#[test]
fn editors() {
    let hsm = two_slots(2);
    hsm.mount.announce_rejections();
    hsm.mount.announce_names();
    let (one, two) = (hsm.blob(0, 1), hsm.blob(0, 2));
    let bad = hsm.store.path("bad");
    fs::write(&bad, spoiled(&two)).unwrap();
    const VIM: &str = r#"vim -u NONE -i NONE -n -b -es "$D/1" -c "set backup" -c "let v:errmsg = ''" -c "$C" \
        -c "if v:errmsg != '' | cquit | endif" -c "qa!" < /dev/null"#;
    let vim = |command: &str| format!("C='{command}'; {VIM}");
    let (same, longer) = (vim("w!"), vim("$put =1 | w!"));
    for (script, succeeds, arrives) in [
        ("sed -i '' $D/1", true, false),
        ("sed -i 's/^//' $D/1", true, false),
        ("sed -i.bak '' $D/1", false, false),
        ("sed -i '1s/^/x/' $D/1", false, false),
        ("sed -n -i \"1r $B\" $D/1", false, false),
        ("sed -n -i \"1r $F\" $D/1", true, true),
        ("perl -pi -e '' $D/1", true, false),
        (
            "perl -0777 -pi -e 'open F, $ENV{F}; $_ = <F>' $D/1",
            true,
            true,
        ),
        (&same, true, false),
        (&longer, false, false),
    ] {
        taken(&hsm);
        let env: &[(&str, &Path)] = &[("F", &hsm.file(0, 1)), ("D", &hsm.slot(1)), ("B", &bad)];
        let out = sh(script, env);
        assert_eq!(out.code == 0, succeeds, "{script}: {out:?}");
        let objects = hsm.blobs(1);
        assert_eq!(objects["1"], two, "{script}");
        assert_eq!(
            objects.len(),
            1 + usize::from(arrives),
            "{script}: {:?}",
            objects.keys()
        );
        assert_eq!(
            objects.values().any(|blob| *blob == one),
            arrives,
            "{script}"
        );
        assert!(names(&hsm.control(1, "trash")).is_empty(), "{script}");
    }
}

/// "`cp payments-2026.blob $m/1/` works, and no tool can report success for an object that is not stored."
#[test]
fn names_that_people_give() {
    let hsm = two_slots(4);
    hsm.mount.announce_rejections();
    let blobs: Vec<_> = (1..=4).map(|handle| hsm.blob(0, handle)).collect();
    for script in [
        r#"cp "$B"/* "$D"/"#,
        r#"cp -a "$B"/. "$D"/"#,
        r#"install "$B"/* "$D"/"#,
        r#"tar -C "$B" -cf - . | tar -C "$D" -xf -"#,
        r#"bsdtar -C "$B" -cf - . | bsdtar -C "$D" -xf -"#,
        r#"cd "$B" && find . -type f | cpio -p --quiet "$D""#,
        r#"rsync -a --inplace "$B"/ "$D"/"#,
        r#"rclone --config= --retries 1 --low-level-retries 1 copy "$B" "$D""#,
        r#"cd "$B"; rc=0; for F in *; do cat "$F" > "$D/$F" || { echo "$F"; rc=1; }; done; exit $rc"#,
        r#"mv "$B"/* "$D"/"#,
    ] {
        let folder = hsm.store.path("given");
        let _ = fs::remove_dir_all(&folder);
        fs::create_dir(&folder).unwrap();
        let names = ["payments-2026.blob", "4~", "key (1).bin", "#backup"];
        for (name, blob) in names.iter().zip(&blobs) {
            fs::write(folder.join(name), blob).unwrap();
        }
        fs::write(folder.join("bad.blob"), spoiled(&blobs[0])).unwrap();
        let env: &[(&str, &Path)] = &[("B", &folder), ("D", &hsm.slot(1))];
        let out = sh(script, env).code_is_not(0);
        assert!(out.text().contains("bad.blob"), "{script}: {out:?}");
        for name in names {
            assert!(!out.text().contains(name), "{script}: {out:?}");
        }
        let mut arrived: Vec<_> = hsm.blobs(1).into_values().collect();
        let mut given = blobs.clone();
        arrived.sort();
        given.sort();
        assert!(arrived == given, "{script}: {:?}", hsm.list(1));
        assert!(
            hsm.list(1).contains(&"4".to_owned()),
            "{script}: {:?}",
            hsm.list(1)
        );
        if script.starts_with("mv") {
            assert_eq!(crate::fixture::names(&folder), ["bad.blob"]);
        }
        for (name, blob) in names.iter().zip(&blobs) {
            assert_eq!(fs::read(hsm.slot(1).join(name)).unwrap(), *blob, "{script}");
            fs::remove_file(hsm.slot(1).join(name)).unwrap();
        }
        assert!(hsm.list(1).is_empty(), "{script}");
    }
}

/// What is renamed to a name that is no handle is refused, the tool says so, and the slot is as it was.
#[test]
fn names_that_people_give_by_tools_that_rename() {
    let hsm = two_slots(2);
    hsm.mount.announce_names();
    let before = hsm.blobs(1);
    for tool in [
        RCLONE,
        PYTHON_MKSTEMP,
        PART,
        TMP,
        PERL,
        r#"rsync -a "$F" "$D/$N""#,
        r#"rsync -a -T "$D" "$F" "$D/$N""#,
    ] {
        let (from, name) = (hsm.file(0, 1), Path::new("key.blob"));
        let env: &[(&str, &Path)] = &[("F", &from), ("D", &hsm.slot(1)), ("N", name)];
        let out = sh(tool, env).code_is_not(0);
        // Some leave what they wrote when the rename fails.
        for left in ["key.blob.part", "key.blob.tmp"] {
            let _ = fs::remove_file(hsm.file(1, left));
        }
        assert!(
            fs::metadata(hsm.file(1, "key.blob")).is_err(),
            "{tool}: {out:?}"
        );
        assert_eq!(hsm.blobs(1), before, "{tool}: {out:?}");
    }
}
