//! Runs docs/commands.md and compares its output to the letter.

use std::fs;
use std::path::Path;

/// Every command of the page, in its order, in a folder of its own. With `TRYCMD=overwrite` the page is rewritten
/// with what was printed; what differs from store to store is then to be made `[..]` again.
#[test]
fn the_commands_page_is_what_is_printed() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/commands.md");
    let folder = tempfile::tempdir().unwrap();
    let copy = folder.path().join("commands.md");
    fs::copy(&page, &copy).unwrap();
    // Trycmd's own way: what `.in` holds is there, and with an `.out` it all happens in a copy.
    let input = folder.path().join("commands.in");
    fs::create_dir(&input).unwrap();
    fs::create_dir(folder.path().join("commands.out")).unwrap();
    crate::fixture::write_private(&input.join("pw"), "correct horse\n");
    crate::fixture::write_private(&input.join("new"), "another horse\n");
    for (name, text) in [
        ("wrong", "linger = 30\nsotre = \"/x\"\n"),
        ("right", "linger = 30\n"),
    ] {
        crate::fixture::write_private(&input.join(format!("{name}.toml")), text);
    }
    let cases = trycmd::TestCases::new();
    cases
        .register_bin("slotfs", Path::new(env!("CARGO_BIN_EXE_slotfs")))
        .env("SLOTFS_STORE", "store.db")
        // A server that the page starts ends with this folder.
        .env(
            "SLOTFS_SOCKET",
            folder.path().join("t.sock").to_string_lossy(),
        )
        .env("HOME", "/nonexistent")
        .env(
            "XDG_STATE_HOME",
            folder.path().join("state").to_string_lossy(),
        )
        .case(&copy);
    drop(cases);
    if std::env::var_os("TRYCMD").is_some_and(|how| how == "overwrite") {
        fs::copy(&copy, &page).unwrap();
    }
}
