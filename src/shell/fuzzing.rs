//! Lines of the shell, and what is remembered of them, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use super::idle::Period;
use super::remember::{self, Memory, memory};
use super::words::{MOST_BYTES, Typed, commands, words};
use crate::cli::Line;
use crate::cli::fuzzing::{SECRET, SECRET_OPTIONS, spell, suffix};
use crate::fuzzing::Input;

/// The first byte says what the rest is: any line, or a command with a secret in it.
pub(crate) fn run(data: &[u8]) {
    let mut input = Input::new(data);
    if input.flag() {
        secret_line(&mut input);
    } else {
        let text = String::from_utf8_lossy(input.rest());
        line(&text);
        period(&text);
    }
}

fn line(line: &str) {
    for command in commands(line) {
        assert!(!command.is_empty() && command == command.trim() && line.contains(command));
    }
    if let Ok(found) = words(line) {
        let again = format!("slotfs {}", shell_words::join(found.iter()));
        if again.len() <= MOST_BYTES {
            assert_eq!(*words(&again).expect("it was joined"), *found);
        }
    }
    if let Some(typed) = Typed::of(line) {
        assert!(
            line.is_char_boundary(typed.start) && !typed.before.iter().any(|it| it.contains('\0'))
        );
    }
    if let Memory::Lasting(kept) = remembered(line) {
        for command in commands(line) {
            for secret in secrets(command) {
                assert!(!kept.contains(&secret), "{line:?} is kept as {kept:?}");
            }
        }
    }
}

/// What of a line is kept, which is kept whole when it is typed again.
fn remembered(line: &str) -> Memory {
    let memory = memory(line);
    match &memory {
        Memory::Lasting(kept) => match remember::memory(kept) {
            Memory::Lasting(again) => assert_eq!(again, *kept),
            // Without its secrets it may not be a command.
            Memory::Passing => {}
            Memory::None => panic!("{kept:?} is kept nowhere"),
        },
        Memory::Passing => {}
        Memory::None => assert!(line.starts_with(' ') || commands(line).is_empty()),
    }
    memory
}

/// Values of options that carry a secret, and that stand in no other word of the command.
fn secrets(command: &str) -> Vec<String> {
    let Ok(words) = words(command) else {
        return Vec::new();
    };
    let Ok(matches) = Line::matches(&words) else {
        return Vec::new();
    };
    let grammar = Line::grammar();
    let (mut command, mut matches) = (grammar.root(), &matches);
    while let Some((name, inner)) = matches.subcommand() {
        let Some(found) = command.find_subcommand(name) else {
            return Vec::new();
        };
        (command, matches) = (found, inner);
    }
    command
        .get_arguments()
        .filter(|arg| remember::is_secret(arg))
        .filter_map(|arg| matches.get_raw(arg.get_id().as_str()))
        .flatten()
        .map(|value| value.to_string_lossy().into_owned())
        .filter(|value| value.len() >= 8)
        .filter(|value| words.iter().filter(|word| word.contains(value)).count() == 1)
        .collect()
}

/// However a secret is written behind its option, the history's file never has it.
fn secret_line(input: &mut Input<'_>) {
    let (command, long, short) = input.pick(SECRET_OPTIONS);
    let between = input.pick(&[
        "",
        " -json",
        " -slot 1",
        " -s 2",
        " -f",
        " -force",
        " --active-slot 3",
    ]);
    let form = input.byte();
    let quote = input.byte();
    let suffix = suffix(input.short());
    let value = format!("{SECRET}{suffix}");
    let value = match quote % 4 {
        0 => shell_words::quote(&value).into_owned(),
        1 => format!("\"{}\"", value.replace(['"', '\\', '$', '`'], "")),
        2 => format!("{SECRET}\"\"''{}", shell_words::quote(&suffix)),
        // As it is: it may end the word, the command, or open a quote.
        _ => value,
    };
    let tail = String::from_utf8_lossy(input.rest()).replace(SECRET, "");
    let option = spell(form, long, short, &value).join(" ");
    let line = format!("{command}{between} {option} {tail}");
    match remembered(&line) {
        Memory::Lasting(kept) => assert!(!kept.contains(SECRET), "{line:?} is kept as {kept:?}"),
        memory => {
            // A letter takes no value in the same word.
            let attached = short.is_some() && form % 7 > 4;
            let plain = between.is_empty() && tail.is_empty() && suffix.is_empty() && !attached;
            assert!(!plain, "{line:?}: {memory:?}");
        }
    }
}

/// An idle time is a number of seconds, minutes or hours.
fn period(text: &str) {
    if let Ok(period) = text.parse::<Period>() {
        let digits = text.trim_end_matches(['s', 'm', 'h']);
        assert!(text.len() - digits.len() <= 1 && digits.parse::<u32>().is_ok());
        assert!(!period.to_string().contains(char::is_control));
    }
}
