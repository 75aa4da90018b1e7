//! Command lines, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use clap::CommandFactory;

use super::grammar::{Grammar, asks_for_json};
use super::password::parse_login;
use super::secret_files::PasswordFile;
use super::{Cli, option, parse};
use crate::daemon::MountOptions;
use crate::fuzzing::Input;
use crate::object::attributes::Chosen;
use crate::object::{Handle, SlotId};

/// What no message and no history may hold.
pub(crate) const SECRET: &str = "Zq7vK2";

/// Commands that take a secret, with the option and its letter.
pub(crate) const SECRET_OPTIONS: &[(&str, &str, Option<char>)] = &[
    ("partition init -slot 0 -label a", "password", Some('p')),
    ("partition init -slot 0 -label a", "domain", Some('d')),
    ("partition clone -objects 0 -slot 1", "password", Some('p')),
    ("partition domainadd -domainlabel b", "domain", None),
    ("role login -name co", "password", Some('p')),
    ("role init -name cu", "password", Some('p')),
    ("role changepw -name co", "oldpw", Some('o')),
    ("role changepw -name co", "newpw", None),
    ("role resetpw -name co", "newpw", None),
    ("object import -file f -label l", "filepassword", None),
];

/// The first byte says what the rest is: any arguments, arguments with a secret among them, or the value of an option.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 3 {
        0 => {
            try_parse(arguments(input.rest()));
        }
        1 => secret_argument(&mut input),
        _ => {
            let text = String::from_utf8_lossy(input.rest());
            value(&text);
            one_dash(&text);
        }
    }
}

/// Words with NUL between them, as in /proc/PID/cmdline.
fn arguments(bytes: &[u8]) -> Vec<OsString> {
    bytes
        .split(|byte| *byte == 0)
        .take(64)
        .map(|word| OsString::from_vec(word.to_vec()))
        .collect()
}

/// What is told of a command line that cannot be read.
fn try_parse(words: Vec<OsString>) -> Option<String> {
    // It looks at all of them, whatever they are.
    asks_for_json(&words);
    let refusal = parse(words).err()?;
    assert!(refusal.is_asked_for() || !refusal.hint.is_empty());
    Some(format!(
        "{}{}{}",
        refusal.text.plain,
        refusal.message(),
        refusal.hint
    ))
}

/// A word with one dash among the options of a command: exactly one of them, or refused with what was meant instead,
/// and never a value.
fn one_dash(text: &str) {
    let name = text.split(['=', '\0']).next().unwrap_or_default();
    if name.is_empty() || name.starts_with('-') {
        return;
    }
    let grammar = Grammar::new(Cli::command());
    for (command, _, _) in SECRET_OPTIONS {
        let words = command.split(' ').map(OsString::from);
        let words = words.chain([format!("-{name}").into()]).collect();
        let mut place = grammar.root();
        for word in command.split(' ').take(2) {
            place = place.find_subcommand(word).unwrap();
        }
        match option(place, &format!("-{name}")) {
            Some(_) => {}
            None => {
                let refusal = grammar.matches(words).expect_err("no option is called so");
                assert!(
                    !refusal.is_asked_for() && !refusal.hint.is_empty(),
                    "{name:?}"
                );
            }
        }
    }
}

/// What follows a secret: whatever the fuzzer likes, but no second secret.
pub(crate) fn suffix(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes)
        .replace(SECRET, "")
        .replace('\0', "")
}

/// The ways to write an option and its value.
pub(crate) fn spell(form: u8, long: &str, short: Option<char>, value: &str) -> Vec<String> {
    let form = if short.is_some() { form % 7 } else { form % 4 };
    let letter = short.unwrap_or_default();
    match form {
        0 => vec![format!("-{long}"), value.to_owned()],
        1 => vec![format!("--{long}"), value.to_owned()],
        2 => vec![format!("-{long}={value}")],
        3 => vec![format!("--{long}={value}")],
        4 => vec![format!("-{letter}"), value.to_owned()],
        5 => vec![format!("-{letter}{value}")],
        _ => vec![format!("-{letter}={value}")],
    }
}

/// Whatever else is wrong with a command line, the value of an option that carries a secret is not told.
fn secret_argument(input: &mut Input<'_>) {
    let (command, long, short) = input.pick(SECRET_OPTIONS);
    let form = input.byte();
    let value = format!("{SECRET}{}", suffix(input.short()));
    let most = input.byte() % 3;
    let between: Vec<OsString> = (0..most).map(|_| suffix(input.short()).into()).collect();
    let after = suffix(input.rest());
    let words: Vec<OsString> = command
        .split(' ')
        .map(OsString::from)
        .chain(between)
        .chain(
            spell(form, long, short, &value)
                .into_iter()
                .map(OsString::from),
        )
        .chain(after.split_terminator('\n').map(OsString::from))
        .collect();
    let told = try_parse(words.clone());
    if let Some(told) = &told {
        assert!(!told.contains(SECRET), "{words:?}: {told}");
    }
    let attached = words.iter().any(|word| {
        let word = word.to_string_lossy();
        let short = word.starts_with('-') && !word.starts_with("--");
        short
            && word[2.min(word.len())..]
                .trim_start_matches('=')
                .starts_with(SECRET)
    });
    assert!(
        !attached || told.is_some(),
        "{words:?}: a letter took a value"
    );
}

/// Values of options against what they are said to be.
fn value(text: &str) {
    if text.contains('\0') {
        return;
    }
    if let Ok(file) = text.parse::<PasswordFile>() {
        assert_eq!(file.spelled().parse(), Ok(file.clone()));
        assert!(text.ends_with(&file.spelled()[file.spelled().find('=').unwrap()..]));
    }
    if let Ok((slot, role)) = parse_login(text) {
        assert_eq!(parse_login(&format!("{slot}:{role}")), Ok((slot, role)));
    }
    if let Ok(slot) = text.parse::<SlotId>() {
        assert_eq!(slot.to_string(), text);
    }
    if let Ok(options) = MountOptions::parse(&[text.to_owned()]) {
        assert!(options.umask <= 0o777);
    }
    // What it means depends on the object; it may not fail otherwise than by saying so.
    let _ = Chosen::parse(text.split('\n'));

    let handle = |text: &str| {
        text.parse::<Handle>()
            .is_ok_and(|handle| handle.to_string() == text)
    };
    let handles = text.split(',').all(handle);
    let accepted = |words: &[&str]| try_parse(words.iter().map(OsString::from).collect()).is_none();
    let delete = accepted(&["object", "delete", &format!("--handle={text}")]);
    assert_eq!(delete, handles, "-handle {text:?}");
    let objects = text == "0"
        || text.eq_ignore_ascii_case("all")
        || text.split(',').all(|text| handle(text.trim()));
    let clone = accepted(&[
        "partition",
        "clone",
        &format!("--objects={text}"),
        "-slot",
        "1",
    ]);
    assert_eq!(clone, objects, "-objects {text:?}");
}
