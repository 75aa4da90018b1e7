//! Tables on a terminal: as wide as it, with everything in them.

use std::process::Stdio;

use unicode_width::UnicodeWidthStr;

use crate::fixture::{Store, run};
use crate::terminal::Terminal;

/// 32 characters that take 64 columns, 32 with combining ones, and 32 plain ones.
const WIDE: &str = "鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵";
const COMBINED: &str = "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}";
const PLAIN: &str = "a label of thirty two characters";

/// Everything that has a table, with labels as long as they get.
fn full() -> Store {
    let store = Store::empty();
    store.domain("red");
    for (slot, label) in [(0, PLAIN), (1, WIDE), (2, COMBINED)] {
        let file = store.password_file(slot);
        let (slot, file) = (slot.to_string(), format!("{slot}={file}"));
        store
            .args(&[
                "partition",
                "init",
                "-slot",
                &slot,
                "-label",
                label,
                "-domainkey",
                "red.pem",
                "-domainlabel",
                label,
                "-version",
                if slot == "2" { "1" } else { "0" },
                "--password-file",
                &file,
            ])
            .ok();
    }
    for label in [PLAIN, WIDE, COMBINED, "x"] {
        store
            .args(&[
                "object",
                "generate",
                "-type",
                "aes",
                "-label",
                label,
                "-count",
                "2",
                "-slot",
                "0",
                "--password-file",
                "0=pw-0",
            ])
            .ok();
    }
    store.run_in(0, "object delete -handle 1,3,5,7 -force").ok();
    store
        .run_in(
            0,
            "partition archive backup -folder backups -partition monday",
        )
        .ok();
    store
        .args(&[
            "partition",
            "archive",
            "backup",
            "-folder",
            "backups",
            "-partition",
            PLAIN,
            "-slot",
            "0",
            "--password-file",
            "0=pw-0",
        ])
        .ok();
    store
}

const LINES: [&str; 13] = [
    "slot list",
    "slot configshow -slot 0",
    "slot configshow -slot 1",
    "partition contents -slot 0",
    "partition showinfo -slot 1",
    "partition showpolicies -verbose -slot 0",
    "partition domainlist -slot 2",
    "partition smklist -slot 2",
    "role list -slot 0",
    "object trash -slot 0",
    "object show -handle 4 -slot 0",
    "partition archive list -folder backups",
    "partition archive contents -folder backups -partition monday",
];

fn command(store: &Store, line: &str) -> std::process::Command {
    let mut words: Vec<&str> = line.split(' ').collect();
    let slot = line.split(' ').skip_while(|word| *word != "-slot").nth(1);
    let password = slot.map(|slot| format!("{slot}=pw-{slot}"));
    let logs_in = !["slot", "role", "archive", "showinfo", "showpolicies"]
        .iter()
        .any(|word| line.split(' ').any(|it| it == *word));
    if let Some(password) = password.as_ref().filter(|_| logs_in) {
        words.extend(["--password-file", password]);
    }
    let mut command = store.command(&words);
    command.env_remove("COLUMNS");
    command
}

fn shown(store: &Store, line: &str, columns: u16, stated: Option<&str>) -> String {
    let mut command = command(store, line);
    if let Some(stated) = stated {
        command.env("COLUMNS", stated);
    }
    let (code, shown) = Terminal::spawn_sized(command, 50, columns).wait();
    assert_eq!(code, 0, "{line}: {shown}");
    shown.replace("\r\n", "\n")
}

/// "Tables fit 80 columns and degrade at 40": no line is wider, and no character of a label is lost.
#[test]
fn tables_fit_the_terminal() {
    let store = full();
    for line in LINES {
        let whole = run(command(&store, line).stdin(Stdio::null())).ok().stdout;
        for columns in [80, 40] {
            let shown = shown(&store, line, columns, None);
            for row in shown.lines() {
                assert!(
                    row.width() <= usize::from(columns),
                    "{line} at {columns}: {row:?} in\n{shown}"
                );
            }
            for part in ["鍵", "e\u{301}", "thirty", "characters"] {
                let count = |text: &str| text.matches(part).count();
                assert_eq!(count(&shown), count(&whole), "{line}: {part}: {shown}");
            }
        }
        // Into a pipe, lines are whole whatever $COLUMNS says.
        let piped = run(command(&store, line)
            .env("COLUMNS", "40")
            .stdin(Stdio::null()));
        assert_eq!(piped.ok().stdout, whole, "{line}");
    }

    // At 80 columns the contents are still a table.
    let line = "partition contents -slot 0";
    let table = shown(&store, line, 80, None);
    assert!(
        table.starts_with("Handle  Class       Key Type  OUID"),
        "{table}"
    );
    assert!(table.contains("  a label of\n"), "{table}");
    let blocks = shown(&store, line, 40, None);
    assert!(blocks.starts_with("Handle: 2\nClass: "), "{blocks}");

    // `$COLUMNS` comes before what the terminal says.
    assert_eq!(shown(&store, line, 200, Some("40")), blocks);
    assert_eq!(
        shown(&store, line, 40, Some("200")),
        shown(&store, line, 200, None)
    );
    assert_eq!(shown(&store, line, 40, Some("nonsense")), blocks);
}
