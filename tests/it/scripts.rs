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
