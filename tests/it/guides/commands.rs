//! The commands that the pages for users name exist, with the options that they give.

use std::process::Command;

use super::*;
use crate::fixture::run;

const PAGES: [&str; 7] = [
    "README.md",
    "docs/faq.md",
    "docs/troubleshooting.md",
    "docs/service.md",
    "docs/hagroup.md",
    "docs/containers.md",
    "docs/glossary.md",
];

fn help(words: &[&str]) -> String {
    let mut slotfs = Command::new(env!("CARGO_BIN_EXE_slotfs"));
    run(slotfs.args(words).arg("--help")).ok().stdout
}

/// The commands of a page: lines of its blocks, continued ones joined, and what stands in backquotes.
fn commands(page: &str) -> Vec<String> {
    let joined = page.replace("\\\n", " ");
    let fenced = joined
        .split("\n```")
        .skip(1)
        .step_by(2)
        .flat_map(str::lines);
    let indented = joined.lines().filter(|line| line.starts_with("    "));
    // A variable, a test or another program may stand before it.
    let of_line = |line: &str| {
        let line = line.trim();
        let mut found = line.match_indices("slotfs ").map(|(at, _)| at);
        let at = found.find(|at| *at == 0 || line[..*at].ends_with(' '))?;
        Some(line[at..].to_owned())
    };
    let quoted = joined.split('`').skip(1).step_by(2);
    let quoted = quoted.filter(|text| text.starts_with("slotfs "));
    let lines = fenced.chain(indented).filter_map(of_line);
    lines.chain(quoted.map(str::to_owned)).collect()
}

/// The names of a help text's commands.
fn names(help: &str) -> BTreeSet<&str> {
    let list = help
        .split_once("\nCommands:\n")
        .map_or("", |(_, list)| list);
    let list = list.split("\n\n").next().unwrap();
    list.lines()
        .filter_map(|line| line.split_whitespace().next())
        .collect()
}

#[test]
fn every_command_that_is_named_exists() {
    let top = help(&[]);
    let nouns = names(&top);
    assert!(
        nouns.contains("partition") && nouns.contains("mount"),
        "{nouns:?}"
    );
    let mut helps: BTreeMap<Vec<String>, String> = BTreeMap::new();
    let (mut tried, mut wrong) = (0, Vec::new());
    for (page, command) in PAGES
        .iter()
        .flat_map(|page| commands(&read(page)).into_iter().map(move |it| (page, it)))
    {
        // A comment, the next command, a pipe and a place for the output end it.
        let ends = |word: &&str| {
            !["#", "|", "&&", ";", ">", "||"].contains(word) && !word.starts_with('#')
        };
        let words: Vec<&str> = command
            .split_whitespace()
            .skip(1)
            .take_while(ends)
            .collect();
        let mut rest = words.as_slice();
        while let [option, _, after @ ..] = rest
            && option.starts_with("--")
        {
            rest = after;
        }
        // The program's own name in a sentence: an image, a package.
        let [noun, rest @ ..] = rest else { continue };
        if *noun == "help"
            || noun.starts_with(['-', '\''])
            || !noun.chars().all(|c| c.is_ascii_lowercase())
        {
            continue;
        }
        let mut path = vec![(*noun).to_owned()];
        if !nouns.contains(noun) {
            wrong.push(format!("{page}: {command}"));
            continue;
        }
        let noun_help = helps
            .entry(path.clone())
            .or_insert_with(|| help(&[noun]))
            .clone();
        let verbs = names(&noun_help);
        if let [verb, ..] = rest
            && !verbs.is_empty()
        {
            if !verbs.contains(verb) {
                wrong.push(format!("{page}: {command}"));
                continue;
            }
            path.push((*verb).to_owned());
        }
        let text = helps
            .entry(path.clone())
            .or_insert_with(|| help(&path.iter().map(String::as_str).collect::<Vec<_>>()));
        tried += 1;
        for option in rest
            .iter()
            .filter(|word| word.len() > 1 && word.starts_with('-'))
        {
            let name = option.trim_start_matches('-').split('=').next().unwrap();
            let spelled = match name.len() {
                0 => continue,
                1 => format!("-{name}"),
                _ => format!("--{name}"),
            };
            let is_there = |help: &str| {
                help.split(|c: char| c.is_whitespace() || ",[=".contains(c))
                    .any(|word| word == spelled)
            };
            if !is_there(text) && !is_there(&top) {
                wrong.push(format!("{page}: {option} in {command}"));
            }
        }
    }
    assert!(tried > 60, "only {tried} commands were found");
    assert!(
        wrong.is_empty(),
        "these do not exist:\n{}",
        wrong.join("\n")
    );
}
