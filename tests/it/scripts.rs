//! The scripts in `scripts/`, without the parts that take minutes.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Command;

use crate::fixture::run;

/// Where the programs are is what cargo says, whatever sets its target directory and whatever is in the path.
#[test]
fn programs_are_where_cargo_says() {
    let folder = tempfile::tempdir().unwrap();
    let cargo = folder.path().join("cargo");
    fs::write(
        &cargo,
        r#"#!/bin/sh
cat <<'END'
{"reason":"compiler-artifact","target":{"name":"slotfs"},"executable":null,"fresh":true}
{"reason":"compiler-artifact","target":{"name":"slotfs"},"executable":"/a b/\"c\"\\d/ü/slotfs","fresh":true}
{"reason":"compiler-artifact","target":{"name":"barefs"},"executable":"/a b/examples/barefs","fresh":false}
{"reason":"build-finished","success":true}
END
exit "${STATUS:-0}"
"#,
    )
    .unwrap();
    fs::set_permissions(&cargo, fs::Permissions::from_mode(0o755)).unwrap();
    let path = format!(
        "{}:{}",
        folder.path().display(),
        std::env::var("PATH").unwrap()
    );
    let lib = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/lib.sh");
    let mut bash = Command::new("bash");
    bash.args([
        "-c",
        r#". "$0"; programs=$(built --release); printf '%s\n' "$programs""#,
    ])
    .arg(&lib)
    .env("PATH", path);
    let out = run(&mut bash).ok();
    assert_eq!(out.stdout, "/a b/\"c\"\\d/ü/slotfs\n/a b/examples/barefs\n");
    // A build that fails ends the script.
    run(bash.env("STATUS", "101")).code_is_not(0);
}

/// An option that is none is not taken for nothing.
#[test]
fn check_takes_no_other_option() {
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/check");
    let out = run(Command::new(check).arg("--quik")).fails(1);
    assert!(out.stderr.contains("--quick"), "{out:?}");
}

/// Runs scripts/advisories.py over a lock file of these packages.
fn advisories(packages: &[(&str, &str)], more: &[&str]) -> crate::fixture::Out {
    let folder = tempfile::tempdir().unwrap();
    let lock = folder.path().join("Cargo.lock");
    let packages: String = packages
        .iter()
        .map(|(name, version)| {
            format!(
                "[[package]]\nname = {name:?}\nversion = {version:?}\nsource = \"registry+https://x\"\n"
            )
        })
        .collect();
    fs::write(&lock, format!("version = 4\n{packages}")).unwrap();
    let decided = folder.path().join("deny.toml");
    fs::write(
        &decided,
        "[advisories]\nignore = [{ id = \"RUSTSEC-2025-0141\", reason = \"r\" }]\n",
    )
    .unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("scripts/advisories.py");
    let mut python = Command::new("python3");
    python.arg(script).arg("--lock").arg(&lock);
    python.arg("--decided").arg(&decided).args(more);
    run(&mut python)
}

/// The one that was decided about in these tests.
const DECIDED: (&str, &str) = ("bincode", "2.0.1");

/// A check that cannot fail would be none: each of these is found in the database of the tree.
#[test]
fn a_dependency_with_an_advisory_is_found() {
    advisories(&[DECIDED, ("aes-gcm", "0.11.1")], &[]).ok();
    for (name, version, id) in [
        ("sharks", "0.5.0", "RUSTSEC-2024-0398"),
        ("time", "0.1.44", "RUSTSEC-2020-0071"),
        ("openssl", "0.8.3", "RUSTSEC-2016-0001"),
    ] {
        let out = advisories(&[DECIDED, (name, version)], &[]).fails(1);
        assert!(
            out.stderr.contains(id) && out.stderr.contains(&format!("{name} {version}")),
            "{out:?}"
        );
    }
    // What is corrected, and what never had it.
    advisories(&[DECIDED, ("openssl", "999.0.0"), ("time", "0.3.47")], &[]).ok();
    // Decided about, and not there any more.
    let out = advisories(&[("aes-gcm", "0.11.1")], &[]).fails(1);
    assert!(out.stderr.contains("RUSTSEC-2025-0141"), "{out:?}");
    let out = advisories(&[], &[]).fails(1);
    assert!(
        out.stderr.contains("no dependency was looked at"),
        "{out:?}"
    );
}

/// The versions that an advisory is about, as Cargo reads them.
#[test]
fn an_advisory_is_about_its_versions_and_no_other() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("advisories.json");
    let write = |day: &str, advisories: &[(&str, &[&str], &[&str])], fill: usize| {
        let rows = advisories.iter().map(|(name, patched, unaffected)| {
            serde_json::json!({ "id": format!("ID-{name}"), "package": name, "kind": "unsound",
                "patched": patched, "unaffected": unaffected })
        });
        let fill = (0..fill).map(|number| {
            serde_json::json!({ "id": format!("ID-{number}"), "package": format!("other-{number}"),
                "kind": "vulnerable", "patched": [], "unaffected": [] })
        });
        let rows: Vec<_> = rows.chain(fill).collect();
        let file = serde_json::json!({ "date": day, "advisories": rows });
        fs::write(&database, file.to_string()).unwrap();
    };
    let bincode: (&str, &[&str], &[&str]) = ("bincode", &[], &[]);
    let a: (&str, &[&str], &[&str]) = (
        "a",
        &["^0.4.7", ">= 1.2.3, < 2.0.0", "~2.5", "=3.0.0", "^4"],
        &["< 0.3", "<= 0.3.5"],
    );
    write("2999-01-01", &[bincode, a], 1000);
    let decided = folder.path().join("decided.toml");
    fs::write(
        &decided,
        "[advisories]\nignore = [{ id = \"ID-bincode\", reason = \"r\" }]\n",
    )
    .unwrap();
    let options = |decided: &Path| {
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        [
            "--database".to_owned(),
            text(&database),
            "--decided".to_owned(),
            text(decided),
        ]
    };
    let options = options(&decided);
    let options: Vec<&str> = options.iter().map(String::as_str).collect();
    let found = |version: &str| {
        let out = advisories(&[DECIDED, ("a", version)], &options);
        let found = out.stderr.contains("ID-a");
        assert_eq!(out.code, i32::from(found), "{version}: {out:?}");
        found
    };
    for version in [
        "0.2.9",
        "0.3.0-rc.1",
        "0.3.5",
        "0.4.7",
        "0.4.99",
        "1.2.3",
        "1.99.0",
        "2.5.0",
        "2.5.9",
        "3.0.0",
        "4.0.0",
        "4.9.1",
    ] {
        assert!(!found(version), "{version}");
    }
    for version in [
        "0.3.6",
        "0.4.6",
        "0.4.7-rc.9",
        "0.5.0",
        "1.2.2",
        "1.2.3-alpha",
        "2.0.0",
        "2.4.9",
        "2.6.0",
        "3.0.1",
        "3.0.0-rc.1",
        "5.0.0-rc.1",
        "5.0.0",
    ] {
        assert!(found(version), "{version}");
    }
    // An old database is told, and one that is not whole is an error.
    write("2020-01-01", &[bincode, a], 1000);
    let out = advisories(&[DECIDED, ("a", "4.0.0")], &options).ok();
    assert!(
        out.stdout
            .contains("warning: the advisories are those of 2020-01-01"),
        "{out:?}"
    );
    write("2999-01-01", &[bincode, a], 10);
    let out = advisories(&[DECIDED, ("a", "4.0.0")], &options).fails(1);
    assert!(
        out.stderr.contains("not made from the whole database"),
        "{out:?}"
    );
}
