//! What is asked for on a terminal.

use super::{FAILED, USAGE, one_slot};
use crate::fixture::Store;
use crate::terminal::Terminal;

/// `partition init` without a password, on a terminal.
fn init(store: &Store) -> Terminal {
    let args = "partition init -slot 0 -label alpha -domainkey red.pem";
    let args: Vec<_> = args.split(' ').collect();
    Terminal::spawn(store.command(&args))
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
    assert!(!store.is_made(), "{shown:?}");
}

fn on_a_terminal(store: &Store, line: &str) -> Terminal {
    Terminal::spawn(store.command(&line.split(' ').collect::<Vec<_>>()))
}

fn asks_for_domain(slot: u32) -> String {
    format!("Enter the cloning domain of slot {slot}, or nothing for a new one: ")
}

/// A weak domain string is refused before it is asked for again; with -force it is taken.
#[test]
fn a_weak_domain_string_is_refused_at_the_prompt() {
    let store = one_slot();
    let add = "partition domainadd -slot 0 -domainlabel weak --password-file 0:po=pw-0";
    let mut terminal = on_a_terminal(&store, add);
    terminal.expect(&asks_for_domain(0));
    terminal.send_hidden("password1");
    let (code, shown) = terminal.wait();
    assert_eq!(code, USAGE, "{shown:?}");
    assert!(shown.contains("slotfs domain newstring"), "{shown:?}");
    assert!(!shown.contains("password1"), "{shown:?}");
    assert!(!shown.contains("Re-enter"), "{shown:?}");

    let mut terminal = on_a_terminal(&store, &format!("{add} -force"));
    for ask in [&*asks_for_domain(0), "Re-enter it: "] {
        terminal.expect(ask);
        terminal.send_hidden("password1");
    }
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown:?}");
    assert!(shown.contains("warning: the domain string"), "{shown:?}");
}

/// An empty answer makes a new domain string and shows it once; another slot takes it.
#[test]
fn the_prompt_makes_a_domain_string() {
    let store = one_slot();
    let init = "partition init -slot 5 -label five --password-file 5=pw-0";
    let mut terminal = on_a_terminal(&store, init);
    terminal.expect(&asks_for_domain(5));
    terminal.send_hidden("");
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown:?}");
    let is_new = |word: &&str| {
        word.len() == 26
            && word
                .chars()
                .all(|c| c.is_ascii_uppercase() || ('2'..='7').contains(&c))
    };
    let made: Vec<&str> = shown.split_whitespace().filter(is_new).collect();
    let [string] = made[..] else {
        panic!("not one new string: {shown:?}");
    };
    assert!(shown.contains("not shown again"), "{shown:?}");
    store
        .run(&format!(
            "partition domainadd -slot 0 -domainlabel new -domain {string} --password-file 0:po=pw-0"
        ))
        .ok();
    let fingerprints = |line: &str| -> Vec<String> {
        let listed = store.run(line).ok().json();
        let domains = listed["domains"].as_array().unwrap();
        domains
            .iter()
            .map(|it| it["fingerprint"].as_str().unwrap().to_owned())
            .collect()
    };
    let five = fingerprints("partition domainlist --json -slot 5 --password-file 5=pw-0");
    let zero = fingerprints("partition domainlist --json -slot 0 --password-file 0=pw-0");
    assert_eq!(five, zero[1..]);
}

/// Ctrl-D and Ctrl-C are no empty answer: no domain is made.
#[test]
fn no_answer_makes_no_domain_string() {
    for key in ['d', 'c'] {
        let store = Store::empty();
        store.password_file(0);
        let init = "partition init -slot 0 -label a --password-file 0=pw-0";
        let mut terminal = on_a_terminal(&store, init);
        terminal.expect(&asks_for_domain(0));
        terminal.wait_hidden();
        terminal.send_control(key);
        let (code, shown) = terminal.wait();
        assert_ne!(code, 0, "{key}: {shown:?}");
        assert!(!shown.contains("not shown again"), "{key}: {shown:?}");
        assert!(!store.is_made(), "{key}: {shown:?}");
    }
}

/// A domain string is asked for twice as a password is, in each place that asks for one; two that differ make nothing.
#[test]
fn a_domain_string_is_asked_for_twice() {
    let store = one_slot();
    let init = "partition init -slot 5 -label five --password-file 5=pw-0";
    let add = "partition domainadd -slot 0 -domainlabel more --password-file 0:po=pw-0";
    for (line, slot) in [(init, 5), (add, 0)] {
        for (second, code) in [
            ("another one of these", USAGE),
            ("a string of many words", 0),
        ] {
            let slots = || {
                let listed = store.run("slot list --json").ok().json();
                listed["slots"].as_array().unwrap().len()
            };
            let before = slots();
            let mut terminal = on_a_terminal(&store, line);
            terminal.expect(&asks_for_domain(slot));
            terminal.send_hidden("a string of many words");
            terminal.expect("Re-enter it: ");
            terminal.send_hidden(second);
            let (ended, shown) = terminal.wait();
            assert_eq!(ended, code, "{line}: {shown:?}");
            assert!(!shown.contains("words"), "{shown:?}");
            if code == USAGE {
                assert!(
                    shown.contains("the two cloning domains differ"),
                    "{shown:?}"
                );
                assert_eq!(slots(), before, "{line}");
            }
        }
    }
    let domains = store.run_in(0, "partition domainlist --json").ok().json();
    assert_eq!(domains["domains"].as_array().unwrap().len(), 2);
}

/// Whoever initialises a slot again is told what that destroys before a new secret is asked for.
#[test]
fn the_warning_comes_before_the_new_password() {
    let store = one_slot();
    let init = "partition init -slot 0 -label again -domainkey red.pem";
    let mut terminal = on_a_terminal(&store, init);
    let before = terminal.expect("'quit' to quit now -> ");
    assert!(
        before.contains("slot 0 holds partition 'slot0', and all its objects would be destroyed"),
        "{before:?}"
    );
    assert!(!before.contains("password"), "{before:?}");
    terminal.send_line("quit");
    let (code, shown) = terminal.wait();
    assert_eq!(code, FAILED, "{shown:?}");
    assert!(!shown.contains("Enter the new password"), "{shown:?}");
    assert_eq!(store.run_in(0, "object show -handle 1").ok().code, 0);

    let mut terminal = on_a_terminal(&store, &format!("{init} -force"));
    let before = terminal.expect("Enter the new password for co of slot 0: ");
    assert!(
        before.contains("all its objects will be destroyed"),
        "{before:?}"
    );
    terminal.wait_hidden();
    terminal.send_control('c');
    assert_ne!(terminal.wait().0, 0);
    store.run_in(0, "object show -handle 1").ok();

    let mut terminal = on_a_terminal(&store, init);
    terminal.expect("'quit' to quit now -> ");
    terminal.send_line("proceed");
    for ask in ["Enter the new password for co of slot 0: ", "Re-enter it: "] {
        terminal.expect(ask);
        terminal.send_hidden("correct horse 0");
    }
    let (code, shown) = terminal.wait();
    assert_eq!(code, 0, "{shown:?}");
    store.run_in(0, "object show -handle 1").fails(FAILED);
}

/// Ctrl-C at a question ends the command as it does at a password: nothing is done, and that is told, in JSON too.
#[test]
fn ctrl_c_at_a_question() {
    let store = one_slot();
    let delete = "object delete -slot 0 -handle 1 --password-file 0=pw-0";
    let init = "partition init -slot 0 -label other -domainkey red.pem --password-file 0=pw-0";
    for line in [delete, init] {
        for (json, told) in [("", "CKR_FUNCTION_CANCELED"), (" --json", "\"error\": {")] {
            // With the signal, the kernel throws away what the terminal has not shown yet, sometimes also of the answer to it.
            let is_told = (0..5).any(|_| {
                let mut terminal = on_a_terminal(&store, &format!("{line}{json}"));
                terminal.expect("'quit' to quit now -> ");
                terminal.send_control('c');
                let (code, shown) = terminal.wait();
                assert_eq!(code, 130, "{line}{json}: {shown:?}");
                shown.contains(told)
            });
            assert!(is_told, "{line}{json}");
        }
    }
    let out = store.run_in(0, "partition contents").ok();
    assert_eq!(out.stdout.matches("AES").count(), 1, "{out:?}");
}
