//! The pages of the program and of each noun, from the definition of the command line.

use clap::{Arg, Command};

use crate::documents::{Document, section};
use crate::page::Page;
use crate::roff::{bold, escape, italic, lines, term, verbatim};
use crate::{Result, markdown};

/// Sections of docs/commands.md that belong to the program's page.
const OF_THE_PROGRAM: [&str; 3] = [
    "Store, slot, passwords",
    "How a command line is read",
    "How a command ends",
];

/// slotfs(1), with a session to begin with, and one page for each noun.
///
/// # Errors
/// A section that docs/commands.md does not have.
pub(crate) fn pages(root: &Command, documents: &[Document], session: &str) -> Result<Vec<Page>> {
    let mut pages = vec![program(root, documents, session)?];
    pages.extend(nouns(root).map(page_of));
    Ok(pages)
}

fn nouns(root: &Command) -> impl Iterator<Item = &Command> {
    root.get_subcommands()
        .filter(|it| !it.is_hide_set() && it.get_name() != "help")
}

fn program(root: &Command, documents: &[Document], session: &str) -> Result<Page> {
    let mut body = String::from(".SH SYNOPSIS\n");
    body.push_str(&lines(&format!(
        "{} [{}] {} [{}] [{} ...]",
        bold("slotfs"),
        italic("OPTIONS"),
        italic("NOUN"),
        italic("VERB"),
        italic("OPTIONS")
    )));
    body.push_str(".br\n");
    body.push_str(&synopsis("slotfs", root));
    body.push_str(".SH DESCRIPTION\n");
    body.push_str(&paragraphs(&long_about(root)));
    body.push_str(".SH QUICK START\n");
    body.push_str(&paragraphs(
        "Two slots with one domain, three keys, and their clones in the other slot.",
    ));
    body.push_str(&verbatim(&format!("{session}\n")));
    body.push_str(&paragraphs(
        "Where to go on: slotfs-service(7) for fstab and systemd, slotfs-pkcs11(7) for applications, slotfs-troubleshooting(7) for errors, slotfs-glossary(7) for words.",
    ));
    body.push_str(".SH NOUNS\n");
    for noun in nouns(root) {
        let page = format!("slotfs-{}", noun.get_name());
        let about = format!("{}: {}(1)", escape(&about(noun)), bold(&page));
        body.push_str(&term(&bold(noun.get_name()), &about));
    }
    body.push_str(".SH OPTIONS\n");
    body.push_str(&paragraphs(
        "Those of every command, and those of the shell. A long option is written with one dash or with two, in any case.",
    ));
    body.push_str(&options(root));
    for (option, what) in [
        ("help", "Show what a command takes, with an example"),
        (
            "version",
            "Show the release, the commit and the formats of this build",
        ),
    ] {
        let spelled = format!(
            "{}, {}",
            bold(&format!("-{option}")),
            bold(&format!("--{option}"))
        );
        body.push_str(&term(&spelled, what));
    }
    let commands = documents.iter().find(|it| it.stem == "commands");
    let commands = commands.ok_or("docs/commands.md is missing")?;
    for heading in OF_THE_PROGRAM {
        let text = section(&commands.text, heading)
            .ok_or_else(|| format!("docs/commands.md has no section '{heading}'"))?;
        body.push_str(&markdown::to_roff(text));
    }
    body.push_str(".SH FILES\n");
    for (file, what) in [
        (
            "$XDG_DATA_HOME/slotfs/store.db",
            "the store, unless another one is named",
        ),
        ("/etc/slotfs.toml", "settings of the system: slotfs.toml(5)"),
        (
            "$XDG_CONFIG_HOME/slotfs/config.toml",
            "settings of a user, above those of the system",
        ),
    ] {
        body.push_str(&term(&italic(file), &escape(what)));
    }
    Ok(Page::new(
        "slotfs",
        1,
        "a software HSM whose partitions are directories",
        body,
    ))
}

/// The page of a noun: all its verbs, or the command that it is.
fn page_of(noun: &Command) -> Page {
    let name = format!("slotfs-{}", noun.get_name());
    let path = format!("slotfs {}", noun.get_name());
    let mut body = String::from(".SH SYNOPSIS\n");
    let verbs: Vec<&Command> = nouns(noun).collect();
    if verbs.is_empty() {
        body.push_str(&synopsis(&path, noun));
    }
    for (index, verb) in verbs.iter().enumerate() {
        if index > 0 {
            body.push_str(".br\n");
        }
        body.push_str(&synopsis(&format!("{path} {}", verb.get_name()), verb));
    }
    body.push_str(".SH DESCRIPTION\n");
    body.push_str(&paragraphs(&long_about(noun)));
    body.push_str(
        ".PP\nA long option is written with one dash or with two, in any case.\nOptions of every command are in\n\\fBslotfs\\fR(1).\n",
    );
    if verbs.is_empty() {
        body.push_str(".SH OPTIONS\n");
        body.push_str(&options(noun));
        body.push_str(&examples(noun, ".SH"));
    } else {
        body.push_str(".SH VERBS\n");
    }
    for verb in verbs {
        body.push_str(&format!(".SS {}\n", escape(verb.get_name())));
        body.push_str(&paragraphs(&long_about(verb)));
        body.push_str(&options(verb));
        body.push_str(&examples(verb, ".PP"));
    }
    let about = about(noun);
    let mut letters = about.chars();
    let first = letters.next().map(|it| it.to_lowercase().to_string());
    let about = first.unwrap_or_default() + letters.as_str();
    Page::new(&name, 1, &about, body)
}

fn about(command: &Command) -> String {
    command
        .get_about()
        .map(ToString::to_string)
        .unwrap_or_default()
}

fn long_about(command: &Command) -> String {
    let long = command.get_long_about().or_else(|| command.get_about());
    long.map(ToString::to_string).unwrap_or_default()
}

/// Paragraphs of plain text.
fn paragraphs(text: &str) -> String {
    let paragraphs = text
        .split("\n\n")
        .map(str::trim)
        .filter(|it| !it.is_empty());
    paragraphs
        .map(|it| format!(".PP\n{}", lines(&escape(it))))
        .collect()
}

/// Arguments that a user can give.
fn shown(command: &Command) -> impl Iterator<Item = &Arg> {
    command.get_arguments().filter(|arg| !arg.is_hide_set())
}

/// The values of an argument: ` FILE`.
fn values(arg: &Arg) -> String {
    if !arg.get_action().takes_values() {
        return String::new();
    }
    let named = arg.get_value_names().unwrap_or_default();
    match named {
        [] => format!(" {}", italic(&arg.get_id().as_str().to_uppercase())),
        named => named
            .iter()
            .map(|name| format!(" {}", italic(name)))
            .collect(),
    }
}

/// `slotfs partition clone -objects LIST -slot N [-force]`.
fn synopsis(path: &str, command: &Command) -> String {
    let mut out = bold(path);
    let (operands, mut options): (Vec<&Arg>, Vec<&Arg>) =
        shown(command).partition(|arg| arg.is_positional());
    options.retain(|arg| !arg.is_global_set());
    options.sort_by_key(|arg| !arg.is_required_set());
    for arg in options.into_iter().chain(operands) {
        let name = match (arg.get_long(), arg.get_short()) {
            (Some(long), _) => bold(&format!("-{long}")),
            (None, Some(short)) => bold(&format!("-{short}")),
            (None, None) => String::new(),
        };
        let word = format!("{name}{}", values(arg));
        let word = word.trim();
        let many = match arg.get_action() {
            clap::ArgAction::Append | clap::ArgAction::Count => " ...",
            _ => "",
        };
        out.push('\n');
        out.push_str(&match arg.is_required_set() {
            true => format!("{word}{many}"),
            false => format!("[{word}]{many}"),
        });
    }
    lines(&out)
}

/// The list of arguments and options.
fn options(command: &Command) -> String {
    let mut out = String::new();
    for arg in shown(command) {
        let mut spelled = Vec::new();
        if let Some(short) = arg.get_short() {
            spelled.push(bold(&format!("-{short}")));
        }
        if let Some(long) = arg.get_long() {
            spelled.push(bold(&format!("-{long}")));
            spelled.push(bold(&format!("--{long}")));
        }
        for alias in arg.get_visible_aliases().unwrap_or_default() {
            spelled.push(bold(&format!("--{alias}")));
        }
        let name = format!("{}{}", spelled.join(", "), values(arg));
        let help = arg.get_long_help().or_else(|| arg.get_help());
        let mut text = escape(&help.map(ToString::to_string).unwrap_or_default());
        let defaults = arg.get_default_values();
        if arg.get_action().takes_values()
            && !defaults.is_empty()
            && !arg.is_hide_default_value_set()
        {
            let all: Vec<_> = defaults.iter().map(|it| it.to_string_lossy()).collect();
            text.push_str(&escape(&format!(" [default: {}]", all.join(", "))));
        }
        let possible = arg.get_possible_values();
        if arg.get_action().takes_values() && !possible.is_empty() {
            let all: Vec<_> = possible.iter().map(|it| it.get_name()).collect();
            text.push_str(&escape(&format!(" [one of: {}]", all.join(", "))));
        }
        if let Some(variable) = arg.get_env() {
            text.push_str(&escape(&format!(
                " [environment: {}]",
                variable.to_string_lossy()
            )));
        }
        let text = if text.trim().is_empty() {
            "\\&".to_owned()
        } else {
            text
        };
        out.push_str(&term(name.trim(), &text));
    }
    out
}

/// What follows a command's help: lines that are indented are shown as they are.
fn examples(command: &Command, heading: &str) -> String {
    let text = command
        .get_after_long_help()
        .or_else(|| command.get_after_help());
    let text = text.map(ToString::to_string).unwrap_or_default();
    let mut out = String::new();
    if heading == ".SH" && !text.is_empty() {
        out.push_str(".SH EXAMPLES\n");
    }
    let mut code = String::new();
    let mut plain = String::new();
    // An empty line at the end has the last block written.
    for line in text.lines().chain([""]) {
        let is_title = matches!(line, "Example:" | "Examples:") && heading == ".SH";
        let of_code = line.strip_prefix("  ");
        if of_code.is_none() && !code.is_empty() {
            out.push_str(&verbatim(&std::mem::take(&mut code)));
        }
        if (of_code.is_some() || line.trim().is_empty()) && !plain.trim().is_empty() {
            let text = lines(&escape(&std::mem::take(&mut plain)));
            out.push_str(&format!(".PP\n{text}"));
        }
        match of_code {
            Some(of_code) => code.push_str(&format!("{of_code}\n")),
            None if is_title => {}
            None => plain.push_str(&format!("{line}\n")),
        }
    }
    out
}
