//! Which part of a line can be remembered: never the value of an option that carries a secret.

use clap::parser::ValueSource;
use clap::{Arg, ArgMatches};

use super::words;
use crate::cli::Line;

/// Options that sound secret and are not.
const NO_SECRETS: [&str; 6] = [
    "domainkey",
    "domainlabel",
    "filepasswordfile",
    "memberpasswordfile",
    "newpasswordfile",
    "password_file",
];

/// Parts of the names of options that carry a secret. An option with such a name counts as secret unless it is in
/// [`NO_SECRETS`].
const SOUNDS_SECRET: [&str; 6] = ["password", "domain", "pw", "secret", "pin", "challenge"];

/// Where a line can be kept.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Memory {
    /// In the history file, in this form.
    Lasting(String),
    /// While this shell runs: it is not known which of its words is a secret.
    Passing,
    /// Nowhere.
    None,
}

/// Which part of `line` can be kept, and where. A line that begins with a space is not kept.
pub(crate) fn memory(line: &str) -> Memory {
    if line.starts_with(' ') {
        return Memory::None;
    }
    let commands = words::commands(line);
    if commands.is_empty() {
        return Memory::None;
    }
    let kept: Option<Vec<String>> = commands.into_iter().map(without_secrets).collect();
    match kept {
        Some(kept) => Memory::Lasting(kept.join("; ")),
        None => Memory::Passing,
    }
}

/// The command as it was typed, or without its secrets; `None` when it is not a command.
fn without_secrets(command: &str) -> Option<String> {
    let words = words::words(command).ok()?;
    match Line::matches(&words) {
        Ok(matches) => Some(spell(&matches).unwrap_or_else(|| command.to_owned())),
        // After 'help' only names of commands are accepted.
        Err(refusal) if refusal.is_help() => words
            .first()
            .is_some_and(|word| word == "help")
            .then(|| words.join(" ")),
        Err(_) => None,
    }
}

/// The command without its options that carry secrets; `None` when it has none. It is written from the parsed command and
/// not by cutting the text, so that no way of writing an option can be missed.
fn spell(matches: &ArgMatches) -> Option<String> {
    let grammar = Line::grammar();
    let (mut command, mut matches) = (grammar.root(), matches);
    let mut words = Vec::new();
    while let Some((name, inner)) = matches.subcommand() {
        command = command.find_subcommand(name)?;
        words.push(name.to_owned());
        matches = inner;
    }
    let given = |arg: &&Arg| {
        let id = arg.get_id().as_str();
        matches!(matches.try_contains_id(id), Ok(true))
            && matches.value_source(id) == Some(ValueSource::CommandLine)
    };
    let mut options: Vec<&Arg> = command.get_arguments().filter(given).collect();
    if !options.iter().any(|arg| is_secret(arg)) {
        return None;
    }
    options.retain(|arg| !is_secret(arg));
    options.sort_by_key(|arg| matches.index_of(arg.get_id().as_str()));
    for arg in options {
        let values = matches.get_raw(arg.get_id().as_str());
        let values = values.into_iter().flatten().map(|v| v.to_string_lossy());
        match arg.get_long() {
            Some(long) if arg.get_action().takes_values() => {
                for value in values {
                    // After '=' it can begin with a dash.
                    match value.starts_with('-') && value != "-" {
                        true => words.push(format!("-{long}={value}")),
                        false => words.extend([format!("-{long}"), value.into_owned()]),
                    }
                }
            }
            Some(long) => words.push(format!("-{long}")),
            None => words.extend(values.map(|value| value.into_owned())),
        }
    }
    Some(shell_words::join(words))
}

/// Whether the option's value is a secret.
pub(crate) fn is_secret(arg: &Arg) -> bool {
    let id = arg.get_id().as_str();
    let sounds = SOUNDS_SECRET.iter().any(|part| id.contains(part));
    sounds && arg.get_action().takes_values() && !NO_SECRETS.contains(&id)
}

#[cfg(test)]
mod tests {
    use clap::Command;

    use super::*;

    /// Every option of the grammar, with the command it belongs to.
    #[cfg(test)]
    fn options(command: &Command, path: &str, each: &mut impl FnMut(&str, &Arg)) {
        let path = format!("{path} {}", command.get_name());
        for arg in command.get_arguments() {
            each(&path, arg);
        }
        for inner in command.get_subcommands() {
            options(inner, &path, each);
        }
    }

    /// An option whose name sounds like a secret is to be decided about here when it is made.
    #[test]
    fn every_option_that_sounds_secret_was_decided_about() {
        const SECRETS: [&str; 5] = ["domain", "filepassword", "newpw", "oldpw", "password"];
        options(Line::grammar().root(), "", &mut |path, arg| {
            let id = arg.get_id().as_str();
            let sounds = SOUNDS_SECRET.iter().any(|part| id.contains(part));
            if sounds && arg.get_action().takes_values() {
                assert_ne!(
                    SECRETS.contains(&id),
                    NO_SECRETS.contains(&id),
                    "{path}: is {id} a secret? Put it in SECRETS of this test, or in NO_SECRETS"
                );
            }
        });
    }

    #[test]
    fn secrets_are_left_out_however_they_are_written() {
        let kept = "partition init -slot 0 -label 'a b' -force";
        for options in [
            "-password hunter2 -domain hunter2",
            "--password hunter2 --domain hunter2",
            "--password=hunter2 -domain=hunter2",
            "-p hunter2 -d 'hunter2'",
            "-pas\"sword\" 'hunter2' -d hunter2",
            "-PassWord hunter2 --DOMAIN=hunter2",
        ] {
            for line in [
                format!("partition init -slot 0 -label 'a b' -force {options}"),
                format!("slotfs par in {options} -s 0 -l 'a b' -f"),
            ] {
                let Memory::Lasting(lasting) = memory(&line) else {
                    panic!("{line} is not kept");
                };
                assert!(!lasting.contains("hunter2"), "{line}: {lasting}");
                assert_eq!(lasting.split(' ').count(), kept.split(' ').count());
            }
        }
        assert_eq!(
            memory("role login -name co -p hunter2; slot  list # hunter2"),
            Memory::Lasting("role login -name co; slot  list".into())
        );
        assert_eq!(
            memory("role changepw -name co -o hunter2 -newpw=hunter2 -slot 1"),
            Memory::Lasting("role changepw -name co -slot 1".into())
        );
        for line in [
            "-fphunter2",
            "-phunter2",
            "-p=hunter2",
            "-password -hunter2",
        ] {
            assert_eq!(
                memory(&format!("role login -name co {line}")),
                Memory::Passing,
                "no such option"
            );
        }
    }

    #[test]
    fn what_is_not_a_command_is_not_kept() {
        for line in [
            "role login -name co -passwd hunter2",
            "role login -name co hunter2",
            "role login -name co -password hunter2 --help",
            "role login -name co -password 'hunter2",
            "hunter2",
            "slot list; hunter2",
            "help hunter2",
        ] {
            assert_eq!(memory(line), Memory::Passing, "{line}");
        }
        for line in ["", "   ", "# hunter2", " slot list"] {
            assert_eq!(memory(line), Memory::None, "{line}");
        }
        for line in ["slot list", "help role login", "exit", "mount a -o ro"] {
            assert_eq!(memory(line), Memory::Lasting(line.into()));
        }
    }
}
