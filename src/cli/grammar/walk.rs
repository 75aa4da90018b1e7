//! The pass over the words of a command line.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

use clap::{Arg, ArgAction, Command};

use super::near;
use super::needless;

/// The words as they were understood.
pub(crate) struct Walked<'a> {
    /// The words for clap.
    pub(crate) words: Vec<OsString>,
    /// The commands that they name, from the root on.
    pub(crate) path: Vec<&'a Command>,
    /// Every option that was given.
    pub(crate) given: Vec<&'a Arg>,
    pub(crate) goal: Goal,
}

/// What the words ask for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Goal {
    Run,
    Help { long: bool },
    Version,
}

/// Why the words cannot be read. Neither text repeats a word that may be a value.
#[derive(Debug)]
pub(crate) struct Fault<'a> {
    pub(crate) path: Vec<&'a Command>,
    /// Whether the command's help is printed instead.
    pub(crate) shows_help: bool,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// Reads `words` by the commands below `root`, on which `Command::build` was called.
pub(crate) fn walk<'a>(root: &'a Command, words: &[OsString]) -> Result<Walked<'a>, Fault<'a>> {
    let mut walk = Walk {
        words: Vec::new(),
        path: vec![root],
        given: Vec::new(),
        positionals: 0,
        helping: false,
        rest: false,
        at: 0,
    };
    let mut option: Option<&Arg> = None;
    for (index, word) in words.iter().enumerate() {
        walk.at = index + 1;
        if let Some(waiting) = option.take() {
            if is_dashed(word) {
                return Err(walk.without_value(waiting));
            }
            walk.push(waiting, Some(word));
            continue;
        }
        if walk.rest || !is_dashed(word) {
            walk.plain(word)?;
            continue;
        }
        if word == "--" {
            walk.rest = true;
            walk.words.push(word.clone());
            continue;
        }
        let (arg, value) = walk.option(word)?;
        match (arg.get_action(), value) {
            (action, Some(_)) if !action.takes_values() => {
                let message = format!("option '{}' takes no value", spelled(arg));
                return Err(walk.fault(message, None));
            }
            (ArgAction::Help | ArgAction::HelpShort | ArgAction::HelpLong, _) => {
                let long = word.len() > 2;
                return Ok(walk.end(Goal::Help { long }));
            }
            (ArgAction::Version, _) => return Ok(walk.end(Goal::Version)),
            (action, None) if action.takes_values() => option = Some(arg),
            _ => walk.push(arg, value),
        }
    }
    if let Some(waiting) = option {
        return Err(walk.without_value(waiting));
    }
    walk.finish()
}

struct Walk<'a> {
    words: Vec<OsString>,
    path: Vec<&'a Command>,
    /// Every option that was given.
    given: Vec<&'a Arg>,
    /// How many words do not belong to an option.
    positionals: usize,
    /// After `help`.
    helping: bool,
    /// After `--`.
    rest: bool,
    /// The number of the word, from 1, for messages that must not show the word itself.
    at: usize,
}

impl<'a> Walk<'a> {
    fn command(&self) -> &'a Command {
        // The path always has the root.
        self.path[self.path.len() - 1]
    }

    fn end(self, goal: Goal) -> Walked<'a> {
        Walked {
            words: self.words,
            path: self.path,
            given: self.given,
            goal,
        }
    }

    fn fault(&self, message: String, hint: Option<String>) -> Fault<'a> {
        Fault {
            path: self.path.clone(),
            shows_help: false,
            message,
            hint,
        }
    }

    fn push(&mut self, arg: &'a Arg, value: Option<&OsStr>) {
        self.given.push(arg);
        match (arg.get_long(), arg.get_short(), value) {
            (Some(long), _, None) => self.words.push(format!("--{long}").into()),
            (Some(long), _, Some(value)) => {
                let mut word = OsString::from(format!("--{long}="));
                word.push(value);
                self.words.push(word);
            }
            (None, short, value) => {
                self.words
                    .extend(short.map(|short| format!("-{short}").into()));
                self.words.extend(value.map(OsStr::to_owned));
            }
        }
    }

    /// A word that is not an option: a noun, a verb, or an argument of a command.
    fn plain(&mut self, word: &OsStr) -> Result<(), Fault<'a>> {
        let command = self.command();
        if command.has_subcommands() && !self.rest {
            let found = match word.to_str() {
                Some(text) => subcommand(command, text),
                None => Err(Vec::new()),
            };
            let found = found.map_err(|meant| self.no_command(word, &meant))?;
            if found.get_name() == "help" {
                self.helping = true;
            } else {
                self.path.push(found);
                self.words.push(found.get_name().into());
            }
            return Ok(());
        }
        if self.helping || self.positionals == command.get_positionals().count() {
            return Err(self.fault(
                format!("unexpected argument '...' found as word {}", self.at),
                Some("put a value with spaces in quotes".to_owned()),
            ));
        }
        self.positionals += 1;
        self.words.push(word.to_owned());
        Ok(())
    }

    fn no_command(&self, word: &OsStr, meant: &[&str]) -> Fault<'a> {
        let word = word.to_string_lossy();
        let command = self.command();
        let names: Vec<&str> = if meant.is_empty() {
            near::nearest(&word, command_names(command))
        } else {
            meant.to_vec()
        };
        let lower = word.to_ascii_lowercase();
        let known = names
            .iter()
            .any(|name| near::is_typing_error(&word, name) || name.starts_with(&lower));
        let shown = if known { &*word } else { "..." };
        let hint = if names.is_empty() {
            let all: Vec<&str> = command_names(command).collect();
            format!("one of: {}", all.join(", "))
        } else {
            format!(
                "did you mean {}?",
                either(names.iter().map(|name| format!("'{name}'")))
            )
        };
        self.fault(format!("unrecognized subcommand '{shown}'"), Some(hint))
    }

    /// The option that a word with a dash names, and the value in the same word.
    fn option<'w>(&self, word: &'w OsStr) -> Result<(&'a Arg, Option<&'w OsStr>), Fault<'a>> {
        let bytes = word.as_bytes();
        let (name, value) = match bytes.iter().position(|&byte| byte == b'=') {
            Some(at) => (&bytes[..at], Some(OsStr::from_bytes(&bytes[at + 1..]))),
            None => (bytes, None),
        };
        let name = String::from_utf8_lossy(name);
        let Some(arg) = option(self.command(), &name) else {
            return Err(self.no_option(&name, value.is_some()));
        };
        // `help` is followed by commands, and takes the option that says how it is printed; `help --help` is `help`.
        let of_help = ["json", "help"];
        if self.helping && !of_help.contains(&arg.get_id().as_str()) {
            return Err(self.no_option(&name, value.is_some()));
        }
        if value.is_some() && is_short(&name) {
            return Err(self.fault(
                format!("option '{name}' takes no value in the same word"),
                Some(apart(arg)),
            ));
        }
        Ok((arg, value))
    }

    fn no_option(&self, name: &str, has_value: bool) -> Fault<'a> {
        let command = self.command();
        let dashes = if name.starts_with("--") { "--" } else { "-" };
        let bare = name.trim_start_matches('-');
        let args: Vec<&Arg> = command
            .get_arguments()
            .filter(|arg| !arg.is_hide_set() && !longs(arg).is_empty())
            .filter(|arg| !needless::does_nothing(&self.path, arg.get_id().as_str()))
            .collect();
        let near = near::nearest(bare, args.iter().flat_map(|arg| longs(arg)));
        let first = bare.chars().next();
        // As in `-psecret`, where it is not known where the value begins.
        let attached = first
            .filter(|_| dashes == "-")
            .and_then(|letter| short(command, letter))
            .filter(|arg| arg.get_action().takes_values());
        let cut = near.iter().any(|long| is_cut_short(bare, long));
        let known = cut || near.iter().any(|long| near::is_typing_error(bare, long));
        let value = if has_value { "=..." } else { "" };
        let shown = match first {
            _ if bare.chars().count() <= 1 && !has_value => name.to_owned(),
            _ if known && attached.is_none() => format!("{dashes}{bare}{value}"),
            // Its first letter may be a short option.
            Some(letter) if dashes == "-" => format!("-{letter}..."),
            None if dashes == "-" => "-...".to_owned(),
            _ => format!("--...{value}"),
        };
        let hint = match (near.as_slice(), attached) {
            ([], Some(arg)) => apart(arg),
            ([], None) if args.is_empty() => "it takes no options".to_owned(),
            ([], None) => {
                let all: Vec<String> = args.into_iter().map(spelled).collect();
                format!("its options: {}", all.join(", "))
            }
            (near, _) => {
                let near = either(near.iter().map(|long| format!("'{dashes}{long}'")));
                let why = if cut {
                    " options cannot be abbreviated"
                } else {
                    ""
                };
                format!("did you mean {near}?{why}")
            }
        };
        let place = match shown.contains("...") {
            true => format!(" as word {}", self.at),
            false => String::new(),
        };
        self.fault(
            format!("unexpected argument '{shown}' found{place}"),
            Some(hint),
        )
    }

    fn without_value(&self, arg: &Arg) -> Fault<'a> {
        let option = spelled(arg);
        let hint = arg.get_long().map(|long| {
            format!("write a value that begins with a dash after '=': '-{long}=VALUE'")
        });
        self.fault(format!("option '{option}' needs a value"), hint)
    }

    fn finish(self) -> Result<Walked<'a>, Fault<'a>> {
        if self.helping {
            return Ok(self.end(Goal::Help { long: true }));
        }
        let command = self.command();
        if command.has_subcommands() && command.is_subcommand_required_set() {
            let verbs: Vec<&str> = command_names(command)
                .filter(|&name| name != "help")
                .collect();
            let name = command.get_bin_name().unwrap_or("slotfs");
            let hint = format!("one of: {}", verbs.join(", "));
            return Err(Fault {
                shows_help: true,
                ..self.fault(format!("'{name}' needs a verb"), Some(hint))
            });
        }
        let refused = |arg: &&&Arg| needless::is_refused(&self.path, arg.get_id().as_str());
        if let Some(arg) = self.given.iter().find(refused) {
            let name = command.get_bin_name().unwrap_or("slotfs");
            return Err(self.fault(
                format!("option '{}' does nothing for '{name}'", spelled(arg)),
                Some("omit it: this command does not log in".to_owned()),
            ));
        }
        Ok(self.end(Goal::Run))
    }
}

/// Whether a word must be an option.
fn is_dashed(word: &OsStr) -> bool {
    word.len() > 1 && word.as_bytes().starts_with(b"-")
}

fn is_short(name: &str) -> bool {
    !name.starts_with("--") && name.chars().count() == 2
}

fn is_cut_short(bare: &str, long: &str) -> bool {
    bare.len() >= 2 && long.starts_with(&bare.to_ascii_lowercase())
}

/// How to write an option's value that was written in the same word.
fn apart(arg: &Arg) -> String {
    match (arg.get_short(), arg.get_long()) {
        (Some(short), Some(long)) => {
            format!("write '-{short} VALUE' or '-{long}=VALUE'")
        }
        (Some(short), None) => format!("write '-{short} VALUE'"),
        (None, long) => format!("write '-{} VALUE'", long.unwrap_or_default()),
    }
}

/// The option's name as lunacm writes it.
fn spelled(arg: &Arg) -> String {
    match (arg.get_long(), arg.get_short()) {
        (Some(long), _) => format!("-{long}"),
        (None, short) => short.map(|short| format!("-{short}")).unwrap_or_default(),
    }
}

fn longs(arg: &Arg) -> Vec<&str> {
    let aliases = arg.get_visible_aliases().unwrap_or_default();
    arg.get_long().into_iter().chain(aliases).collect()
}

fn either(names: impl Iterator<Item = String>) -> String {
    let names: Vec<String> = names.collect();
    match names.split_last() {
        Some((last, others)) if !others.is_empty() => format!("{} or {last}", others.join(", ")),
        _ => names.concat(),
    }
}

/// The option of `command` that `name` names exactly, in any case: with one dash or two by its long name, or by its
/// letter. Letters are first compared with their case, because two options may differ in it alone.
pub(crate) fn option<'a>(command: &'a Command, name: &str) -> Option<&'a Arg> {
    if is_short(name) {
        return short(command, name.chars().nth(1)?);
    }
    let bare = name.strip_prefix("--").or(name.strip_prefix('-'))?;
    command.get_arguments().find(|arg| {
        let aliases = arg.get_all_aliases().unwrap_or_default();
        arg.get_long()
            .into_iter()
            .chain(aliases)
            .any(|long| long.eq_ignore_ascii_case(bare))
    })
}

fn short(command: &Command, letter: char) -> Option<&Arg> {
    let by = |same: &dyn Fn(char) -> bool| {
        command
            .get_arguments()
            .find(|arg| arg.get_short().is_some_and(same))
    };
    by(&|short| short == letter).or_else(|| by(&|short| short.eq_ignore_ascii_case(&letter)))
}

/// The subcommand that `word` names or abbreviates, in any case; else the names that it may be short for.
pub(crate) fn subcommand<'a>(
    command: &'a Command,
    word: &str,
) -> Result<&'a Command, Vec<&'a str>> {
    let word = word.to_ascii_lowercase();
    let mut all = command.get_subcommands();
    if let Some(exact) = all.find(|inner| names(inner).any(|name| name == word)) {
        return Ok(exact);
    }
    if word.is_empty() {
        return Err(Vec::new());
    }
    let begun: Vec<(&Command, &str)> = command
        .get_subcommands()
        .filter_map(|inner| {
            let name = names(inner).find(|name| name.starts_with(&word))?;
            Some((inner, name))
        })
        .collect();
    match begun.as_slice() {
        [(one, _)] => Ok(one),
        several => Err(several.iter().map(|(_, name)| *name).collect()),
    }
}

/// The names of the subcommands.
pub(crate) fn command_names(command: &Command) -> impl Iterator<Item = &str> {
    let shown = command.get_subcommands().filter(|it| !it.is_hide_set());
    shown.flat_map(names)
}

fn names(command: &Command) -> impl Iterator<Item = &str> {
    std::iter::once(command.get_name()).chain(command.get_visible_aliases())
}
