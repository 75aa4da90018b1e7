//! The shell at a terminal.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::one_slot;
use crate::fixture::{DEADLINE, Store};
use crate::terminal::Terminal;

const PROMPT: &str = "slotfs:> ";

/// A shell at its first prompt.
#[track_caller]
fn shell(store: &Store, options: &[&str]) -> Terminal {
    let mut command = store.command(options);
    command.env_remove("SLOTFS_HISTORY");
    let mut terminal = Terminal::spawn(command);
    terminal.expect(PROMPT);
    terminal
}

/// Logs in to slot 0.
#[track_caller]
fn log_in(terminal: &mut Terminal) {
    terminal.send_line("role login -name co");
    terminal.expect("Enter the password for co of slot 0: ");
    terminal.send_hidden("correct horse 0");
    terminal.expect("***************\r\n");
    terminal.expect("Command Result : No Error");
    terminal.expect(PROMPT);
}

/// Types a line; what is shown until the next prompt.
#[track_caller]
fn say(terminal: &mut Terminal, line: &str) -> String {
    terminal.send_line(line);
    terminal.expect("\r\n");
    terminal.expect(PROMPT)
}

/// Gives a line up. What is typed before the next prompt would be lost with it.
#[track_caller]
fn clear(terminal: &mut Terminal) {
    terminal.send_control('c');
    terminal.expect("\r\n");
    terminal.expect(PROMPT);
}

fn history(store: &Store) -> String {
    fs::read_to_string(store.path(".local/state/slotfs/history")).unwrap_or_default()
}

/// The banner shows the slots; a login is kept until logout; passwords show as asterisks.
#[test]
fn a_session() {
    let store = one_slot();
    let mut command = store.command(&[]);
    command.env("SLOTFS_HISTORY", "");
    let mut terminal = Terminal::spawn(command);
    let banner = terminal.expect(PROMPT);
    for part in [
        store.relative().to_str().unwrap(),
        "Slot Id",
        "slot0",
        "Current Slot Id: 0",
        "'help'",
    ] {
        assert!(banner.contains(part), "{banner}");
    }
    assert!(say(&mut terminal, "partition contents").contains("0x101 (CKR_USER_NOT_LOGGED_IN)"));
    log_in(&mut terminal);
    assert!(say(&mut terminal, "partition contents").contains("secret key"));
    assert!(say(&mut terminal, "par con; role list").contains("initialized"));
    assert!(say(&mut terminal, "role logout").contains("No Error"));
    assert!(say(&mut terminal, "partition contents").contains("CKR_USER_NOT_LOGGED_IN"));
    assert!(say(&mut terminal, "help partition").contains("contents"));
    assert!(say(&mut terminal, "?").contains("Log out of every slot and leave"));
    terminal.send_line("exit");
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("horse"), "{shown}");
    assert!(
        !store.path(".local/state/slotfs/history").exists(),
        "an empty name is no history"
    );
}

/// A shell may begin before the store does.
#[test]
fn a_store_that_is_not_there_yet() {
    let store = Store::empty();
    store.domain("red");
    let mut terminal = shell(&store, &[]);
    terminal.send_line("partition init -slot 0 -label a -domainkey red.pem");
    for question in ["Enter the new password for co of slot 0: ", "Re-enter it: "] {
        terminal.expect(question);
        terminal.send_hidden("secret-enough");
    }
    terminal.expect("Slot 0 is now partition 'a'");
    terminal.expect(PROMPT);
    assert!(say(&mut terminal, "slot list").contains("(PW)"));
}

/// Tab completes nouns, verbs, options, roles, slots, and handles once somebody is logged in.
#[test]
fn tab_completes() {
    let store = one_slot();
    store.slot(17, "red");
    // Thirteen with the one that was there.
    store.aes(0, 12);
    let mut terminal = shell(&store, &[]);
    terminal.send("par\t");
    terminal.expect("partition ");
    terminal.send("cont\t");
    terminal.expect("contents ");
    terminal.send("-sl\t");
    terminal.expect("-slot ");
    terminal.send("1\t");
    terminal.expect("17 ");
    clear(&mut terminal);
    // Nobody is logged in, so no handles.
    terminal.send("object show -handle 1\t\t");
    terminal.send_control('c');
    assert!(!terminal.expect(PROMPT).contains("13"));
    log_in(&mut terminal);
    terminal.send("object show --hand\t13\t");
    terminal.expect("--handle ");
    terminal.expect("13 ");
    clear(&mut terminal);
    terminal.send("object delete -handle 2,13,1\t\t");
    terminal.expect("2,13,10");
    terminal.expect("\r\n");
    terminal.expect(PROMPT);
    clear(&mut terminal);
    // The first Tab has nothing to add, the second shows what there is.
    terminal.send("partition clone -objects 2,1\t\t");
    for handle in ["2,10", "2,11", "2,12", "2,13"] {
        terminal.expect(handle);
    }
    terminal.expect("\r\n");
    terminal.expect(PROMPT);
    clear(&mut terminal);
    // In the middle of a line, the rest stays.
    terminal.send("role login  co");
    terminal.send(&"\x1b[D".repeat(3));
    terminal.send("-na\t");
    terminal.expect("-name");
    terminal.send_line("");
    terminal.expect("co is logged in already");
}

/// Editing: what was typed can be changed before it runs, and fetched again afterwards.
#[test]
fn lines_are_edited() {
    let store = one_slot();
    let mut terminal = shell(&store, &[]);
    terminal.send("xslot list");
    terminal.send_control('a');
    terminal.send("\x1b[3~\r");
    terminal.expect("Command Result : No Error");
    terminal.expect(PROMPT);
    terminal.send("\x1b[A\r");
    terminal.expect("Command Result : No Error");
    terminal.expect(PROMPT);
    // Pasted lines run one after the other, once Enter is pressed.
    terminal.send("\x1b[200~slot list\nrole list\n\x1b[201~\r");
    terminal.expect("Slot Id");
    terminal.expect("Failed Logins");
}

/// Ctrl-C clears the line and stops no shell, neither at its prompt nor at a password; Ctrl-D leaves it.
#[test]
fn control_keys() {
    let store = one_slot();
    let mut terminal = shell(&store, &[]);
    terminal.send("nonsense");
    clear(&mut terminal);
    for _ in 0..3 {
        terminal.send_line("role login -name co");
        terminal.expect("Enter the password");
        terminal.wait_hidden();
        terminal.send_control('c');
        terminal.expect("Command Result : 0x50");
        terminal.expect(PROMPT);
    }
    assert!(say(&mut terminal, "slot list").contains("No Error"));
    terminal.send_control('d');
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown}");
    assert!(!shown.contains("unrecognized"), "{shown}");
}

/// Nobody stays logged in at a prompt that waits, and whoever comes back is told.
#[test]
fn idle_time_logs_out() {
    let store = one_slot();
    let mut terminal = shell(&store, &["--idle", "1s"]);
    log_in(&mut terminal);
    std::thread::sleep(std::time::Duration::from_millis(2500).min(DEADLINE));
    let shown = say(&mut terminal, "partition contents");
    assert!(
        shown.contains("Logged out after 1 second without a command."),
        "{shown}"
    );
    assert!(shown.contains("CKR_USER_NOT_LOGGED_IN"), "{shown}");
    // Told once; and who was not logged in is told nothing.
    std::thread::sleep(std::time::Duration::from_millis(1500));
    assert!(!say(&mut terminal, "slot list").contains("Logged out"));
}

/// "history kept without any secret in it": 0600, in a folder of 0700, however a secret was written.
#[test]
fn the_history_has_no_secret() {
    let store = one_slot();
    let mut terminal = shell(&store, &[]);
    for line in [
        "role login -name co -password hunter2-a; slot list",
        "role login -name co -phunter2-b",
        "role login -name co -p hunter2-b",
        "slotfs ro logi -n co --password='hunter2 c'",
        "role login -name co -pasword hunter2-d",
        "role login -name co -password hunter2-e -nonsense",
        "role login -name co -password 'hunter2-f",
        "par init -slot 9 -label x -domain hunter2-g -pass hunter2-h",
        "hunter2-i",
        " role list -slot 0",
        "partition contents",
    ] {
        terminal.send_line(line);
        terminal.expect(PROMPT);
    }
    log_in(&mut terminal);
    terminal.send_control('d');
    terminal.wait();
    assert_eq!(
        history(&store),
        "role login -name co; slot list\nrole login -name co\nrole login -name co\npartition contents\nrole login -name co\n"
    );
    let mode = |path: &str| {
        let permissions = fs::metadata(store.path(path)).unwrap().permissions();
        permissions.mode() & 0o777
    };
    assert_eq!(mode(".local/state/slotfs/history"), 0o600);
    assert_eq!(mode(".local/state/slotfs"), 0o700);
    // The next shell has it.
    let mut terminal = shell(&store, &[]);
    terminal.send("\x1b[A\x1b[A");
    terminal.expect("partition contents");
}

/// Shells that run side by side both add to the history.
#[test]
fn two_shells_share_a_history() {
    let store = one_slot();
    let mut shells = [shell(&store, &[]), shell(&store, &[])];
    for round in 0..3 {
        for (index, terminal) in shells.iter_mut().enumerate() {
            say(
                terminal,
                &format!("partition contents -slot 1{index}{round}"),
            );
        }
    }
    let history = history(&store);
    assert_eq!(history.lines().count(), 6, "{history}");
}
