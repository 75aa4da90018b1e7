//! Command lines, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use super::password::{PasswordFile, parse_login};
use super::{hide_values, parse};
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
        _ => value(&String::from_utf8_lossy(input.rest())),
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
    let words = std::iter::once("slotfs".into()).chain(words);
    let mut error = parse(words).err()?;
    hide_values(&mut error);
    Some(error.render().to_string())
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
    if let Some(told) = try_parse(words.clone()) {
        assert!(!told.contains(SECRET), "{words:?}: {told}");
    }
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
