//! What is asked for on a terminal.

use crate::fixture::Store;
use crate::terminal::Terminal;

/// `partition init` without a password, on a terminal.
fn init(store: &Store) -> Terminal {
    let args = "--store store.db partition init -slot 0 -label alpha -domainkey red.pem";
    let args: Vec<_> = args.split(' ').collect();
    Terminal::spawn(store.bare(&args))
}

/// Passwords are asked for twice when they are new, and show as asterisks.
#[test]
fn init_asks_for_the_password() {
    let store = Store::empty();
    store.domain("red");
    let mut terminal = init(&store);
    let before = terminal.expect("Enter the new password for co of slot 0: ");
    assert_eq!(before, " ".repeat(8));
    terminal.send_hidden("secret-enough");
    terminal.expect("*************\r\n        Re-enter it: ");
    terminal.send_hidden("secret-enough");
    terminal.expect("*************\r\nSlot 0 is now partition 'alpha'");
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown:?}");
    assert!(!shown.contains("secret"), "{shown:?}");
    assert!(
        shown.ends_with("Command Result : No Error\r\n"),
        "{shown:?}"
    );
}

/// Ctrl-D instead of an answer is no password.
#[test]
fn no_answer_is_no_password() {
    let store = Store::empty();
    store.domain("red");
    let mut terminal = init(&store);
    terminal.expect("Enter the new password for co of slot 0: ");
    terminal.wait_hidden();
    terminal.send_control('d');
    let (code, shown) = terminal.wait();
    assert_ne!(code, 0, "{shown:?}");
    assert!(!store.path("store.db").exists(), "{shown:?}");
}
