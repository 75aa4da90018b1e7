//! Formats stay readable: this build opens the files of earlier builds (tests/formats), and refuses the files of a later
//! build because of their version.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::Value;

use crate::fixture::{Store, contents, sh};

mod newer;
mod spelling;

fn formats() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/formats")
}

/// The schema versions that there is a folder of.
fn versions() -> BTreeSet<i64> {
    let mut versions = BTreeSet::new();
    for entry in fs::read_dir(formats()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        if entry.file_type().unwrap().is_dir() {
            versions.insert(name.strip_prefix('v').unwrap().parse().unwrap());
        }
    }
    versions
}

/// A copy of what that version wrote: its store, passwords and domains.
fn copy_of(version: i64) -> (Store, Value, PathBuf) {
    let folder = formats().join(format!("v{version}"));
    let store = Store::empty();
    for entry in fs::read_dir(&folder).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_file() {
            let copy = store.path(entry.file_name());
            fs::copy(entry.path(), &copy).unwrap();
            // git keeps no other modes than 0644 and 0755.
            fs::set_permissions(&copy, fs::Permissions::from_mode(0o600)).unwrap();
        }
    }
    let mut facts: Value =
        serde_json::from_slice(&fs::read(folder.join("facts.json")).unwrap()).unwrap();
    // By habit, objects were stored as unmodifiable; that means modifiable now (docs/format.md, "The payload").
    if version < 4 {
        for slot in facts["slots"].as_array_mut().unwrap() {
            for object in slot["objects"].as_array_mut().unwrap() {
                let modifiable = &mut object["object"]["attributes"]["CKA_MODIFIABLE"];
                assert_eq!(modifiable.take(), false);
                *modifiable = true.into();
            }
        }
    }
    (store, facts, folder.join("blobs"))
}

/// Where `now` says anything else than `then` did; what it says beside that is new.
fn changes(then: &Value, now: &Value, place: &str, found: &mut Vec<String>) {
    match (then, now) {
        (Value::Object(then), Value::Object(now)) => {
            for (key, value) in then {
                let place = format!("{place}/{key}");
                match now.get(key) {
                    Some(now) => changes(value, now, &place, found),
                    None => found.push(format!("{place} is gone")),
                }
            }
        }
        (Value::Array(then), Value::Array(now)) if then.len() == now.len() => {
            for (index, (then, now)) in then.iter().zip(now).enumerate() {
                changes(then, now, &format!("{place}/{index}"), found);
            }
        }
        _ if then == now => {}
        _ => found.push(format!("{place}: {then} is now {now}")),
    }
}

/// How co, or another role, logs in to a slot of those: by what is beside the store.
fn login(store: &Store, slot: &str, role: &str) -> String {
    let shares = [1, 2].map(|index| format!("share-{slot}-{role}-{index}"));
    match store.path(&shares[0]).exists() {
        true => shares
            .map(|share| format!("--share-file {slot}:{role}={share}"))
            .join(" "),
        false => format!("--password-file {slot}:{role}=pw-{slot}-{role}"),
    }
}

/// Only those of `now` that there were then: later builds know more policies.
fn of_then(then: &Value, now: &Value) -> Value {
    let known = |policy: &&Value| {
        let then = then.as_array().unwrap();
        then.iter().any(|it| it["policy"] == policy["policy"])
    };
    now.as_array()
        .unwrap()
        .iter()
        .filter(known)
        .cloned()
        .collect()
}

/// Policies by number, and the value of each. What a policy could be set to is the build's: keys are wrapped (policies 1
/// and 5) since there is a token server.
fn values(policies: &Value) -> Value {
    let policies = policies.as_array().unwrap();
    let value = |it: &Value| (it["policy"].to_string(), it["value"].clone());
    Value::Object(policies.iter().map(value).collect())
}

#[track_caller]
fn unchanged(then: &Value, now: &Value, place: &str) {
    let mut found = Vec::new();
    changes(then, now, place, &mut found);
    assert!(found.is_empty(), "{found:#?}");
    assert!(!then.is_null(), "{place}: nothing to compare");
}

/// `object show` of every object of a slot, by handle.
fn shown(store: &Store, slot: &str, file: &str) -> Vec<Value> {
    let line = format!("partition contents -slot {slot} {file} --json");
    let contents = store.run(&line).ok().json();
    let rows = contents["objects"].as_array().unwrap();
    rows.iter()
        .map(|row| {
            let handle = &row["handle"];
            store
                .run(&format!(
                    "object show -handle {handle} -slot {slot} {file} --json"
                ))
                .ok()
                .json()
        })
        .collect()
}

/// Each version up to the one that this build writes has its folder.
#[test]
fn every_schema_version_has_a_store_in_the_tree() {
    let store = Store::empty();
    store.slot(0, "red");
    let written: i64 = Connection::open(store.path("store.db"))
        .unwrap()
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    let expected: BTreeSet<i64> = (1..=written).collect();
    assert_eq!(
        versions(),
        expected,
        "scripts/make-format-fixture makes one"
    );
}

/// Slots, roles, policies, domains and every attribute of every object are what they were; the passwords open it.
#[test]
fn what_earlier_versions_wrote_says_the_same() {
    for version in versions() {
        let (store, facts, _) = copy_of(version);
        for then in facts["slots"].as_array().unwrap() {
            let slot = then["info"]["slot"].to_string();
            let ask = |what: &str| {
                // These show what is in the clear, and refuse a password.
                let file = match what {
                    "partition showinfo" | "partition showpolicies" | "role list" => String::new(),
                    _ => login(&store, &slot, "co"),
                };
                store
                    .run(&format!("{what} -slot {slot} --json {file}"))
                    .ok()
                    .json()
            };
            let place = format!("v{version}, slot {slot}");
            unchanged(&then["info"], &ask("partition showinfo"), &place);
            unchanged(&then["roles"], &ask("role list")["roles"], &place);
            let policies = ask("partition showpolicies");
            let policies = of_then(&then["policies"], &policies["policies"]);
            unchanged(&values(&then["policies"]), &values(&policies), &place);
            let domains = ask("partition domainlist");
            unchanged(&then["domains"], &domains["domains"], &place);
            let objects = shown(&store, &slot, &login(&store, &slot, "co"));
            unchanged(&then["objects"], &objects.into(), &place);
            // From version 2 on there is a trash.
            if let Some(trash) = then.get("trash") {
                unchanged(trash, &ask("object trash")["trash"], &place);
            }
            // From version 3 on there are storage master keys.
            if let Some(smks) = then.get("smks") {
                unchanged(smks, &ask("partition smklist")["smks"], &place);
            }
        }
        if version >= 2 {
            store
                .run("object restore -trash 2 -slot 0 --password-file 0=pw-0-co")
                .ok();
        }
        let later: &[_] = if version >= 3 { &["3", "4"] } else { &[] };
        let officers = later.iter().map(|slot| (*slot, "po"));
        for (slot, role) in [("0", "po"), ("0", "cu"), ("1", "po"), ("2", "po")]
            .into_iter()
            .chain(officers)
        {
            let login = login(&store, slot, role);
            store
                .run(&format!("role login -name {role} -slot {slot} {login}"))
                .ok();
        }
        let slots = ["0", "1", "2"].iter().chain(later);
        let logins: Vec<String> = slots.map(|slot| login(&store, slot, "co")).collect();
        let line = format!("store check {}", logins.join(" "));
        store.run(&line).ok();
    }
}

/// "older migrated after a copy (0600, told)": who only looks changes nothing; who writes first leaves a copy.
#[test]
fn a_migration_leaves_a_copy_of_what_was() {
    let (store, facts, _) = copy_of(1);
    let path = store.path("store.db");
    let before = fs::read(&path).unwrap();
    // As from a read-only disk: it looks as if its trash were empty.
    let looked = slotfs::hsm::Hsm::open(&path, slotfs::hsm::Access::ReadOnly).unwrap();
    let slot = looked.slots().unwrap()[0].slot.unwrap();
    assert!(looked.partition(slot).usage().unwrap().0 > 0);
    assert_eq!(looked.partition(slot).trash_count().unwrap(), 0);
    let password = fs::read(store.path("pw-0-co")).unwrap();
    let password = slotfs::secret::SecretBytes::from(&password[..password.len() - 1]);
    // Nothing can be counted there, so a login is only checked.
    assert!(
        looked
            .partition(slot)
            .login(slotfs::object::partition::Role::Co, &password.into())
            .is_ok()
    );
    assert!(
        looked
            .partition(slot)
            .list_trash(slotfs::object::RowId(0), 10)
            .unwrap()
            .is_empty()
    );
    drop(looked);
    assert!(fs::read(&path).unwrap() == before);
    let version = |path: &Path| -> i64 {
        let connection = Connection::open(path).unwrap();
        connection
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap()
    };
    assert_eq!(version(&path), 1);
    // One that was left by an earlier attempt is not replaced.
    fs::write(store.path("store.db.v1"), "of somebody else").unwrap();
    let out = store
        .run("object delete -handle 1 -force -slot 0 --password-file 0=pw-0-co")
        .ok();
    assert!(
        out.stderr.contains("store.db.v1-2") && out.stderr.contains("from version 1 to 4"),
        "{out:?}"
    );
    assert_eq!(version(&path), 4);
    assert_eq!(
        fs::read(store.path("store.db.v1")).unwrap(),
        b"of somebody else"
    );
    let copy = store.path("store.db.v1-2");
    let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(&copy).unwrap().permissions());
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(version(&copy), 1);
    // The copy is the store as it was: put back, it holds all there was.
    fs::copy(&copy, &path).unwrap();
    store.run("store accept").ok();
    let objects = shown(&store, "0", "--password-file 0=pw-0-co");
    unchanged(&facts["slots"][0]["objects"], &objects.into(), "the copy");
    assert_eq!(before.len(), fs::read(&copy).unwrap().len());
    let out = store.run("store check --password-file 0=pw-0-co").ok();
    assert!(!out.text().contains("missing"), "{out:?}");
}

/// A store of any version is read whole where it cannot be written, and shows what another process then writes to it.
#[test]
fn an_earlier_version_is_read_without_being_written() {
    use slotfs::hsm::{Access, Hsm};
    use slotfs::object::partition::Role;
    for version in versions() {
        let (store, facts, _) = copy_of(version);
        let path = store.path("store.db");
        let before = fs::read(&path).unwrap();
        let looked = Hsm::open(&path, Access::ReadOnly).unwrap();
        let slot = looked.slots().unwrap()[0].slot.unwrap();
        let password = fs::read(store.path("pw-0-co")).unwrap();
        let password = slotfs::secret::SecretBytes::from(&password[..password.len() - 1]);
        let partition = looked.partition(slot);
        partition.login(Role::Co, &password.into()).unwrap();
        let mut opened = 0;
        partition
            .contents(|row| opened += usize::from(row.object.is_ok()))
            .unwrap();
        let then = &facts["slots"][0];
        assert_eq!(
            opened,
            then["objects"].as_array().unwrap().len(),
            "v{version}"
        );
        let trash = then
            .get("trash")
            .map_or(0, |it| it.as_array().unwrap().len());
        let listed = partition.list_trash(slotfs::object::RowId(0), 100).unwrap();
        assert!(
            listed.iter().all(Result::is_ok) && listed.len() == trash,
            "v{version}"
        );
        let mut found = Vec::new();
        looked
            .check(&[slot], &mut |it| found.push(it.to_string()))
            .unwrap();
        assert_eq!(found, Vec::<String>::new(), "v{version}");
        assert!(fs::read(&path).unwrap() == before, "v{version}");

        store
            .run("object set -handle 1 -label described -slot 0 --password-file 0=pw-0-co")
            .ok();
        let handle = "1".parse().unwrap();
        looked.refresh().unwrap();
        assert_eq!(
            partition.object(handle).unwrap().label(),
            "described",
            "v{version}"
        );
    }
}

/// The same bytes from a mount as then; and by themselves, with one of the domains, they are the same objects in
/// a slot of today.
#[test]
fn blobs_of_earlier_versions_are_the_same_bytes_and_still_open() {
    for version in versions() {
        let (store, facts, blobs) = copy_of(version);
        let string = fs::read_to_string(store.path("string")).unwrap();
        // Slots of today, with one domain of those that the blobs were sealed under.
        for (slot, source, option, domain) in [
            ("10", "0", "-domainkey", "red.pem"),
            ("11", "1", "-domainkey", "blue.pem"),
            ("12", "2", "-domain", string.as_str()),
        ] {
            let label = format!("copy of {source}");
            let file = format!("{slot}=pw-0-po");
            let line = ["partition", "init", "-slot", slot, "-label", &label];
            let more = [option, domain, "--password-file", &file];
            store.args(&[line.as_slice(), &more].concat()).ok();
        }
        let mut logins = Vec::new();
        for (slot, password) in [
            (0, "pw-0-co"),
            (1, "pw-1-co"),
            (2, "pw-2-co"),
            (10, "pw-0-po"),
            (11, "pw-0-po"),
            (12, "pw-0-po"),
        ] {
            let file = format!("{slot}={}", store.path(password).display());
            logins.extend(["--login".into(), slot.to_string()]);
            logins.extend(["--password-file".into(), file]);
        }
        let logins: Vec<&str> = logins.iter().map(String::as_str).collect();
        let mount = store.start_at("mnt", &[], &logins);
        // An earlier schema is migrated, and that is told.
        mount.announce("schema version");
        for slot in ["0", "1", "2"] {
            let then = contents(&blobs.join(slot));
            assert!(!then.is_empty(), "v{version}, slot {slot}");
            let now: BTreeMap<String, Vec<u8>> = then
                .keys()
                .map(|name| {
                    let file = mount.point.join(slot).join(name);
                    (name.clone(), fs::read(file).unwrap())
                })
                .collect();
            assert!(then == now, "v{version}, slot {slot}: other bytes");
            let target = mount.point.join(format!("1{slot}"));
            sh(
                r#"cp "$S"/* "$D"/"#,
                &[("S", &blobs.join(slot)), ("D", &target)],
            )
            .ok();
            let copied = shown(
                &store,
                &format!("1{slot}"),
                &format!("--password-file 1{slot}=pw-0-po"),
            );
            assert_eq!(copied.len(), then.len(), "v{version}, slot {slot}");
            let index: usize = slot.parse().unwrap();
            let objects = facts["slots"][index]["objects"].as_array().unwrap();
            for copy in copied {
                let copy = &copy["object"];
                let same = |it: &&Value| it["object"]["ouid"] == copy["ouid"];
                let original = &objects.iter().find(same).unwrap()["object"];
                unchanged(original, copy, &format!("v{version}, slot {slot}"));
            }
        }
    }
}

/// The same for what V1 slots gave: the storage master key opens with the domain, and the objects with it.
#[test]
fn storage_master_keys_of_earlier_versions_still_open_what_they_sealed() {
    for version in versions().into_iter().filter(|version| *version >= 3) {
        let (store, _, blobs) = copy_of(version);
        let init = "partition init -slot 10 -label today -domainkey red.pem -version 1";
        store
            .run(&format!("{init} --password-file 10=pw-0-po"))
            .ok();
        let logins = ["3", "4"]
            .map(|slot| format!("--login {slot} {}", login(&store, slot, "co")))
            .join(" ");
        let line = format!("mount mnt {logins} --login 10 --password-file 10=pw-0-po");
        let logins: Vec<&str> = line.split(' ').skip(2).collect();
        let mount = store.start_at("mnt", &[], &logins);
        for slot in ["3", "4"] {
            let then = contents(&blobs.join(slot));
            assert!(!then.is_empty());
            for (name, bytes) in &then {
                let now = fs::read(mount.point.join(slot).join(name)).unwrap();
                assert!(
                    now == *bytes,
                    "v{version}, slot {slot}, {name}: other bytes"
                );
            }
            // Before version 4, what came last was active: slot 4's are all under the key of slot 3.
            let smk = match version {
                3 => "smk-3".to_owned(),
                _ => format!("smk-{slot}"),
            };
            let env = [
                ("S", store.path(smk)),
                ("K", mount.point.join("10/.slotfs/smk")),
                ("B", blobs.join(slot)),
                ("D", mount.point.join("10")),
            ];
            let env: Vec<(&str, &Path)> = env.iter().map(|(k, v)| (*k, v.as_path())).collect();
            sh(r#"cat "$S" > "$K" && cp "$B"/* "$D"/"#, &env).ok();
        }
    }
}
