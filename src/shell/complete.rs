//! Completion at the prompt, from the grammar and the store. An error gives no candidates.

use std::any::TypeId;
use std::path::Path;
use std::sync::Arc;

use clap::builder::ValueHint;
use clap::{Arg, Command};
use rustyline::Context;
use rustyline::Helper;
use rustyline::completion::{Completer, Pair};
use rustyline::highlight::Highlighter;
use rustyline::hint::Hinter;
use rustyline::validate::Validator;

use super::words::Typed;
use crate::cli::{Grammar, Kept, Line, command_names, option, subcommand};
use crate::object::partition::Role;
use crate::object::{Handle, SlotId};

/// The most handles or files that are offered.
const MOST_CANDIDATES: usize = 200;

/// Completes lines of the shell.
pub(crate) struct Complete {
    grammar: Grammar,
    kept: Arc<Kept>,
}

/// The place of the cursor in the grammar.
struct Place<'a> {
    command: &'a Command,
    /// The option whose value is under the cursor.
    option: Option<&'a Arg>,
    /// How many words before it do not belong to an option.
    positionals: usize,
    /// The value of `-slot`, when it was given.
    slot: Option<SlotId>,
}

impl Complete {
    /// With the store that `kept` has open.
    pub(crate) fn new(kept: Arc<Kept>) -> Self {
        Self {
            grammar: Line::grammar(),
            kept,
        }
    }

    /// Where the word under the cursor starts, and what can replace it.
    fn candidates(&self, line: &str) -> Option<(usize, Vec<String>)> {
        let typed = Typed::of(line)?;
        let place = self.place(&typed.before)?;
        let word = typed.word.as_str();
        let candidates = if let Some(option) = place.option {
            self.values(&place, option, word)
        } else if word.starts_with('-') {
            self.options(&place, word)
        } else if place.command.has_subcommands() {
            commands(place.command, word)
        } else {
            match place.command.get_positionals().nth(place.positionals) {
                Some(positional) => self.values(&place, positional, word),
                None if word.is_empty() => self.options(&place, "-"),
                None => Vec::new(),
            }
        };
        Some((typed.start, candidates))
    }

    fn place(&self, before: &[String]) -> Option<Place<'_>> {
        let mut place = Place {
            command: self.grammar.root(),
            option: None,
            positionals: 0,
            slot: None,
        };
        for word in before {
            if let Some(option) = place.option.take() {
                if option.get_id() == "slot" {
                    place.slot = word.parse().ok();
                }
            } else if word.starts_with('-') {
                // With '=' the value is in the word.
                place.option = option(place.command, word.split('=').next().unwrap_or(word))
                    .filter(|arg| arg.get_action().takes_values() && !word.contains('='));
            } else if place.command.has_subcommands() {
                place.command = subcommand(place.command, word).ok()?;
            } else {
                place.positionals += 1;
            }
        }
        Some(place)
    }

    /// Options with as many dashes as were typed.
    fn options(&self, place: &Place<'_>, word: &str) -> Vec<String> {
        if let Some((name, value)) = word.split_once('=') {
            return match option(place.command, name) {
                Some(arg) => prefixed(&format!("{name}="), self.values(place, arg, value)),
                None => Vec::new(),
            };
        }
        let dashes = if word.starts_with("--") { "--" } else { "-" };
        place
            .command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set())
            .filter_map(Arg::get_long)
            .map(|long| format!("{dashes}{long}"))
            .filter(|option| begins(option, word))
            .collect()
    }

    fn values(&self, place: &Place<'_>, arg: &Arg, word: &str) -> Vec<String> {
        let kind = arg.get_value_parser().type_id();
        let is = |other: TypeId| kind == other;
        if is(TypeId::of::<SlotId>()) || arg.get_id() == "login" {
            return begin_with(word, self.slots());
        }
        if is(TypeId::of::<Role>()) {
            return begin_with(word, Role::ALL.map(|role| role.to_string()));
        }
        let objects = arg.get_id() == "objects";
        if objects || is(TypeId::of::<Handle>()) {
            // In a list, the last handle is completed. The slot given with -objects is the target and not theirs.
            let last = word.rfind(',').map_or(0, |comma| comma + 1);
            let (others, word) = word.split_at(last);
            let mut handles = self.handles(place.slot.filter(|_| !objects), word);
            if objects && others.is_empty() {
                handles.extend(begin_with(word, ["all".to_owned()]));
            }
            return prefixed(others, handles);
        }
        if arg.get_value_hint() == ValueHint::AnyPath {
            return files(word);
        }
        let values = arg.get_possible_values();
        begin_with(word, values.iter().map(|value| value.get_name().to_owned()))
    }

    fn slots(&self) -> Vec<String> {
        let numbers = self.kept.hsm().and_then(|hsm| hsm.slot_numbers().ok());
        let numbers = numbers.unwrap_or_default();
        numbers.iter().map(ToString::to_string).collect()
    }

    /// Handles that start with the digits of `word`, from a slot with a login.
    fn handles(&self, slot: Option<SlotId>, word: &str) -> Vec<String> {
        let Some(hsm) = self.kept.hsm() else {
            return Vec::new();
        };
        let lowest = || hsm.slot_numbers().ok()?.first().copied();
        let Some(slot) = slot.or(self.kept.active()).or_else(lowest) else {
            return Vec::new();
        };
        let mut handles = Vec::new();
        for (first, last) in ranges(word) {
            let room = MOST_CANDIDATES - handles.len();
            let found = hsm
                .partition(slot)
                .list(first - 1, room)
                .unwrap_or_default();
            let found = found.iter().filter_map(|found| match found {
                Ok(file) => Some(file.handle),
                Err(row) => row.handle,
            });
            handles.extend(
                found
                    .take_while(|handle| handle.get() <= last)
                    .map(|handle| handle.to_string()),
            );
        }
        handles
    }
}

/// The ranges of numbers whose decimal digits start with `word`.
fn ranges(word: &str) -> Vec<(u32, u32)> {
    if word.is_empty() {
        return vec![(1, u32::MAX)];
    }
    let canonical = word.bytes().all(|digit| digit.is_ascii_digit()) && !word.starts_with('0');
    let Some(start) = canonical.then(|| word.parse::<u32>().ok()).flatten() else {
        return Vec::new();
    };
    let mut ranges = Vec::new();
    let (mut first, mut last) = (u64::from(start), u64::from(start));
    while let Ok(low) = u32::try_from(first) {
        ranges.push((low, u32::try_from(last).unwrap_or(u32::MAX)));
        (first, last) = (first * 10, last * 10 + 9);
    }
    ranges
}

/// Whether `one` begins with `word`, in any case.
fn begins(one: &str, word: &str) -> bool {
    one.get(..word.len())
        .is_some_and(|start| start.eq_ignore_ascii_case(word))
}

fn begin_with(word: &str, all: impl IntoIterator<Item = String>) -> Vec<String> {
    all.into_iter().filter(|one| begins(one, word)).collect()
}

fn prefixed(before: &str, all: Vec<String>) -> Vec<String> {
    all.into_iter()
        .map(|one| format!("{before}{one}"))
        .collect()
}

fn commands(command: &Command, word: &str) -> Vec<String> {
    let mut names = begin_with(word, command_names(command).map(str::to_owned));
    names.sort_unstable();
    names
}

/// Files whose path begins with `word`; folders end with a slash.
fn files(word: &str) -> Vec<String> {
    let (folder, start) = word.split_at(word.rfind('/').map_or(0, |slash| slash + 1));
    let place = if folder.is_empty() { "." } else { folder };
    let Ok(entries) = std::fs::read_dir(Path::new(place)) else {
        return Vec::new();
    };
    let mut files: Vec<String> = entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let hidden = name.starts_with('.') && !start.starts_with('.');
            if hidden || !name.starts_with(start) {
                return None;
            }
            let slash = if entry.path().is_dir() { "/" } else { "" };
            Some(format!("{folder}{name}{slash}"))
        })
        .take(MOST_CANDIDATES)
        .collect();
    files.sort_unstable();
    files
}

impl Completer for Complete {
    type Candidate = Pair;

    fn complete(
        &self,
        line: &str,
        pos: usize,
        _: &Context<'_>,
    ) -> rustyline::Result<(usize, Vec<Pair>)> {
        let Some((start, candidates)) = self.candidates(&line[..pos]) else {
            return Ok((pos, Vec::new()));
        };
        let alone = candidates.len() == 1 && !line[pos..].starts_with(' ');
        let pairs = candidates.into_iter().map(|candidate| {
            let mut replacement = shell_words::quote(&candidate).into_owned();
            // A folder or a list of handles may continue.
            if alone && !candidate.ends_with('/') && !candidate.contains(',') {
                replacement.push(' ');
            }
            Pair {
                display: candidate,
                replacement,
            }
        });
        Ok((start, pairs.collect()))
    }
}

impl Hinter for Complete {
    type Hint = String;
}
impl Highlighter for Complete {}
impl Validator for Complete {}
impl Helper for Complete {}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(line: &str) -> Vec<String> {
        let complete = Complete::new(Arc::default());
        complete
            .candidates(line)
            .map(|(_, candidates)| candidates)
            .unwrap_or_default()
    }

    #[test]
    fn nouns_verbs_and_options_come_from_the_grammar() {
        assert_eq!(completed("par"), ["partition"]);
        assert_eq!(completed("slot list; rol"), ["role"]);
        assert_eq!(completed("e"), ["exit"]);
        assert_eq!(completed("par cont"), ["contents"]);
        assert_eq!(completed("help ro logi"), ["login"]);
        assert_eq!(completed("partition init -lab"), ["-label"]);
        assert_eq!(completed("partition init --lab"), ["--label"]);
        assert_eq!(completed("partition init --stor"), [""; 0]);
        assert_eq!(completed("nonsense par"), [""; 0]);
        assert_eq!(completed("# par"), [""; 0]);
    }

    #[test]
    fn values_come_from_the_option() {
        assert_eq!(completed("role login -name "), ["po", "co", "cu"]);
        assert_eq!(completed("role login -n c"), ["co", "cu"]);
        assert_eq!(completed("role login --name=p"), ["--name=po"]);
        assert_eq!(completed("object generate -type a"), ["aes"]);
        assert_eq!(completed("role login -password c"), [""; 0]);
        assert!(completed("object import -file src/sh").contains(&"src/shell/".into()));
        assert_eq!(
            completed("object import -file src/shell/wor"),
            ["src/shell/words.rs"]
        );
        // Nothing is open, so there are no slots and no handles.
        assert_eq!(completed("partition contents -slot "), [""; 0]);
        assert_eq!(completed("object show -handle 1"), [""; 0]);
    }

    #[test]
    fn handles_are_looked_up_by_their_digits() {
        assert_eq!(ranges("")[..], [(1, u32::MAX)]);
        assert_eq!(ranges("12")[..3], [(12, 12), (120, 129), (1200, 1299)]);
        assert_eq!(ranges("42")[8], (4_200_000_000, u32::MAX));
        assert_eq!(ranges("5000000000"), []);
        assert_eq!(ranges("0"), []);
        assert_eq!(ranges("x"), []);
    }
}
