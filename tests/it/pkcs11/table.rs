//! The table of mechanisms in docs/pkcs11.md is what the server says.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use slotfs_hsm::{Hsm, Logins};
use slotfs_token::{Options, Peer, Provider};
use slotfs_wire::numbers::*;
use slotfs_wire::{MechanismInfo, Reply, Request, Who};
use zeroize::Zeroizing;

const BEGIN: &str = "<!-- mechanisms: begin -->\n";
const END: &str = "<!-- mechanisms: end -->";

/// What can be done with a mechanism; the columns are too many for a table.
const USES: &[(u64, &str)] = &[
    (CKF_GENERATE, "generate"),
    (CKF_GENERATE_KEY_PAIR, "generate a pair"),
    (CKF_DIGEST, "digest"),
    (CKF_SIGN, "sign"),
    (CKF_VERIFY, "verify"),
    (CKF_SIGN_RECOVER, "sign with recovery"),
    (CKF_VERIFY_RECOVER, "verify with recovery"),
    (CKF_ENCRYPT, "encrypt"),
    (CKF_DECRYPT, "decrypt"),
    (CKF_WRAP, "wrap"),
    (CKF_UNWRAP, "unwrap"),
    (CKF_DERIVE, "derive"),
    (CKF_ENCAPSULATE, "encapsulate"),
    (CKF_DECAPSULATE, "decapsulate"),
    (CKF_MESSAGE_ENCRYPT, "encrypt messages"),
    (CKF_MESSAGE_DECRYPT, "decrypt messages"),
    (CKF_MESSAGE_SIGN, "sign messages"),
    (CKF_MESSAGE_VERIFY, "verify messages"),
];

/// Every mechanism of a slot, with its info.
fn mechanisms() -> Vec<(u64, MechanismInfo)> {
    let folder = tempfile::tempdir().unwrap();
    let hsm = Hsm::open_or_create(&folder.path().join("store.db")).unwrap();
    let provider = Provider::new(&hsm, Logins::new(&hsm), Options::default()).unwrap();
    let application = provider.application(Peer::All, Who::Co);
    let ask = |request| application.answer(request, &[], &mut Zeroizing::default());
    // The free number that is shown as an uninitialised token.
    let Reply::Handles(numbers) = ask(Request::Mechanisms { slot: 0 }) else {
        panic!("no list of mechanisms");
    };
    numbers
        .into_iter()
        .map(
            |mechanism| match ask(Request::MechanismInfo { slot: 0, mechanism }) {
                Reply::Mechanism(info) => (mechanism, info),
                other => panic!("{mechanism:#x}: {other:?}"),
            },
        )
        .collect()
}

/// The names of mechanisms, of the source that defines them: where a number has several, its first one.
fn names() -> BTreeMap<u64, String> {
    let numbers = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/wire/src/numbers.rs");
    let mut names = BTreeMap::new();
    for line in fs::read_to_string(numbers).unwrap().lines() {
        let constant = line
            .trim()
            .strip_prefix("CKM_")
            .and_then(|it| it.split_once(" = 0x"));
        if let Some((name, value)) = constant {
            let value = u64::from_str_radix(value.trim_end_matches([',', ';']), 16).unwrap();
            names.entry(value).or_insert_with(|| name.to_owned());
        }
    }
    names
}

fn uses(flags: u64) -> String {
    let all = USES.iter().filter(|(flag, _)| flags & flag != 0);
    all.map(|(_, words)| *words).collect::<Vec<_>>().join(", ")
}

fn sizes(info: &MechanismInfo) -> String {
    match (info.min, info.max) {
        (0, 0) => String::new(),
        (min, max) if min == max => min.to_string(),
        (min, max) => format!("{min} to {max}"),
    }
}

/// Mechanisms that say the same of themselves share a row. Rows and names are in the order of numbers.
fn table() -> String {
    let names = names();
    let mut rows: Vec<((String, String), Vec<String>)> = Vec::new();
    for (number, info) in mechanisms() {
        let row = (sizes(&info), uses(info.flags));
        let name = names
            .get(&number)
            .unwrap_or_else(|| panic!("{number:#x} has no name"));
        let name = format!("`{name}`");
        match rows.iter_mut().find(|(there, _)| *there == row) {
            Some((_, names)) => names.push(name),
            None => rows.push((row, vec![name])),
        }
    }
    let mut table = "| mechanisms | keys | what for |\n| --- | --- | --- |\n".to_owned();
    for ((sizes, uses), names) in rows {
        table += &format!("| {} | {sizes} | {uses} |\n", names.join(", "));
    }
    table
}

/// With `TRYCMD=overwrite` the page is rewritten, as tests/it/golden.rs rewrites docs/commands.md.
#[test]
fn the_table_of_mechanisms_is_what_the_server_says() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/pkcs11.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(BEGIN).unwrap();
    let (there, after) = rest.split_once(END).unwrap();
    let table = table();
    if std::env::var_os("TRYCMD").is_some_and(|how| how == "overwrite") {
        fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(there, table, "TRYCMD=overwrite writes the table anew");
}
