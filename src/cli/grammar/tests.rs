use clap::{Arg, CommandFactory};
use proptest::prelude::*;

use super::*;
use crate::cli::Cli;

fn grammar() -> Grammar {
    Grammar::new(Cli::command())
}

fn words(text: &str) -> Vec<OsString> {
    text.split_whitespace().map(OsString::from).collect()
}

/// What clap is given, with `|` between the words.
fn walked(text: &str) -> Result<String, String> {
    let grammar = grammar();
    let walked = walk::walk(grammar.root(), &words(text));
    walked
        .map(|walked| walked.words.join("|".as_ref()).into_string().unwrap())
        .map_err(|fault| format!("{} {}", fault.message, fault.hint.unwrap_or_default()))
}

/// Every command that is run, by its words.
fn commands(command: &Command, path: &str, found: &mut Vec<String>) {
    let verbs = command.get_subcommands();
    for verb in verbs.filter(|verb| verb.get_name() != "help") {
        let path = format!("{path} {}", verb.get_name());
        match verb.has_subcommands() {
            true => commands(verb, &path, found),
            false => found.push(path.trim().to_owned()),
        }
    }
}

fn place<'a>(grammar: &'a Grammar, path: &str) -> &'a Command {
    path.split(' ').fold(grammar.root(), |command, name| {
        command.find_subcommand(name).unwrap()
    })
}

#[test]
fn every_spelling_comes_to_one() {
    for (given, clap_has) in [
        ("slot list", "slot|list"),
        ("SL Li -JSON", "slot|list|--json"),
        (
            "partition init -slot 1 -label=x -s 1 --force",
            "partition|init|--slot=1|--label=x|--slot=1|--force",
        ),
        (
            "partition init -Label x --LABEL=y -L z",
            "partition|init|--label=x|--label=y|--label=z",
        ),
        (
            "partition domainadd -label x",
            "partition|domainadd|--domainlabel=x",
        ),
        (
            "role login -password=-x -p -",
            "role|login|--password=-x|--password=-",
        ),
        (
            "role login -password= -name co",
            "role|login|--password=|--name=co",
        ),
        ("object import -label=a=b", "object|import|--label=a=b"),
        (
            "mount -o ro m --foreground",
            "mount|--options=ro|m|--foreground",
        ),
        ("mount -- -m", "mount|--|-m"),
        ("-store s slot list", "--store=s|slot|list"),
        ("-c x", "-c|x"),
        // The version at the root, and a letter of a verb.
        (
            "partition showpolicies -v -V",
            "partition|showpolicies|--verbose|--verbose",
        ),
    ] {
        assert_eq!(walked(given).as_deref(), Ok(clap_has), "{given}");
    }
}

#[test]
fn what_is_no_option_is_an_error_that_says_what_is() {
    for (given, told, hint) in [
        ("partition init -defaultdomain", "'-d...'", "'-domain'"),
        (
            "partition init -domainfile=red.pem",
            "'-d...'",
            "'-domainkey'",
        ),
        (
            "partition init -passwordfile=pw",
            "'-p...'",
            "'-password-file'",
        ),
        ("partition init --lable=x", "'--lable=...'", "'--label'"),
        ("partition init -forc", "'-f", "'-force'"),
        ("partition init -ps3cret", "'-p...'", "'-p VALUE'"),
        ("partition init -p=s3cret", "'-p'", "'-p VALUE'"),
        ("partition init -fs3cret", "'-f...'", "-force"),
        ("object delete -handl=1", "'-handl=...'", "'-handle'"),
        ("umount m -hsm", "'-h...'", "its options: -json, -help"),
        ("slot list -force=yes", "'-f...'", "its options"),
        ("slot list --json=s3cret", "'-json' takes no value", ""),
        ("slot list -help=s3cret", "'-help' takes no value", ""),
        ("-version=s3cret", "'-version' takes no value", ""),
        (
            "role login -password -force",
            "'-password' needs a value",
            "'-password=VALUE'",
        ),
        (
            "role login -password --",
            "'-password' needs a value",
            "'-password=VALUE'",
        ),
        ("role login -password", "'-password' needs a value", ""),
        ("role login -name co s3cret", "'...' found as word 5", ""),
        ("s3cret", "subcommand '...'", "partition"),
        ("partitoin list", "'partitoin'", "'partition'"),
        ("s list", "'s'", "'slot', 'store', 'status' or 'serve'"),
        ("partition -objects all", "'-o...'", "its options"),
        ("help slot s3cret", "'...'", "list"),
        ("help slot list s3cret", "'...'", ""),
        (
            "umount m -password-file 0=pw",
            "does nothing for 'slotfs umount'",
            "",
        ),
        (
            "-password-file 0=pw umount m",
            "does nothing for 'slotfs umount'",
            "",
        ),
        (
            "slot list -password-file 0=pw",
            "'-password-file' does nothing for 'slotfs slot list'",
            "omit it",
        ),
        (
            "partition showinfo -share-file 0=share",
            "'-share-file' does nothing for 'slotfs partition showinfo'",
            "omit it",
        ),
    ] {
        let fault = walked(given).unwrap_err();
        assert!(
            fault.contains(told) && fault.contains(hint),
            "{given}: {fault}"
        );
        assert!(!fault.contains("s3cret"), "{given}: {fault}");
    }
}

#[test]
fn a_word_that_is_not_understood_is_not_told_with_its_value() {
    for (word, shown) in [
        ("--pasword=secret", "'--pasword=...'"),
        ("--pasword", "'--pasword'"),
        ("--Sesame=x", "'--...=...'"),
        ("--Sesame", "'--...'"),
        ("-psecret", "'-p...'"),
        ("-p=secret", "'-p'"),
        ("secret", "'...'"),
        ("-q", "'-q'"),
        ("-q=secret", "'-q...'"),
        ("-passwordsecret", "'-p...'"),
        ("--passwordsecret", "'--...'"),
    ] {
        let told = walked(&format!("role login -name co {word}")).unwrap_err();
        assert!(told.contains(shown), "{word}: {told}");
        assert!(
            !told.contains("secret") && !told.contains("esame"),
            "{word}: {told}"
        );
    }
}

/// A value is one word: the pass would be wrong about any other.
#[test]
fn every_option_takes_one_value_or_none() {
    let grammar = grammar();
    let mut found = Vec::new();
    commands(grammar.root(), "", &mut found);
    for path in found {
        for arg in place(&grammar, &path).get_arguments() {
            let count = arg.get_num_args().expect("it was built");
            assert!(count.max_values() <= 1, "{path}: {arg}");
            let long = arg.is_positional() || arg.get_long().is_some();
            assert!(long, "{path}: {arg} has a letter alone");
        }
    }
}

/// Whether a command was understood with a value that holds `text`.
fn is_value(matches: &ArgMatches, command: &Command, text: &str) -> bool {
    let Some((name, inner)) = matches.subcommand() else {
        return command.get_arguments().map(Arg::get_id).any(|id| {
            let given = matches.try_get_raw(id.as_str()).ok().flatten();
            given
                .into_iter()
                .flatten()
                .any(|value| value.to_string_lossy().contains(text))
        });
    };
    is_value(inner, command.find_subcommand(name).unwrap(), text)
}

/// A word of letters, or an option with a letter changed, doubled, missing, or with something behind it.
fn word() -> impl Strategy<Value = String> {
    let grammar = grammar();
    let mut found = Vec::new();
    commands(grammar.root(), "", &mut found);
    let mut names: Vec<String> = found
        .iter()
        .flat_map(|path| place(&grammar, path).get_arguments())
        .filter_map(|arg| arg.get_long().map(str::to_owned))
        .collect();
    names.sort_unstable();
    names.dedup();
    let near = (
        prop::sample::select(names),
        any::<prop::sample::Index>(),
        "[a-zA-Z0-9]{0,3}",
        0..3_usize,
        any::<bool>(),
    );
    prop_oneof![
        "[a-zA-Z0-9][a-zA-Z0-9=_.-]{1,16}",
        near.prop_map(|(name, at, other, cut, upper)| {
            let at = at.index(name.len());
            let end = (at + cut).min(name.len());
            let name = format!("{}{other}{}", &name[..at], &name[end..]);
            if upper { name.to_uppercase() } else { name }
        }),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// "either an exact option (in any case), or an error with a suggestion, and never a value"
    #[test]
    fn a_word_with_one_dash_is_an_option_or_an_error(
        word in word(),
        next in "[a-z0-9]{1,6}",
        command in any::<prop::sample::Index>(),
    ) {
        let grammar = grammar();
        let mut found = Vec::new();
        commands(grammar.root(), "", &mut found);
        let path = command.get(&found);
        let name = word.split('=').next().unwrap_or_default();
        let exact = place(&grammar, path).get_arguments().any(|arg| {
            let aliases = arg.get_all_aliases().unwrap_or_default();
            let mut longs = arg.get_long().into_iter().chain(aliases);
            let letter = arg.get_short().map(String::from);
            longs.any(|long| long.eq_ignore_ascii_case(name))
                || letter.is_some_and(|letter| letter.eq_ignore_ascii_case(&word))
        });
        for before in ["", "-label", "-password"] {
            let line = format!("{path} {before} -{word} {next}");
            match grammar.matches(words(&line)) {
                Ok(matches) => {
                    prop_assert!(exact && before.is_empty(), "{line:?} is understood");
                    let value = format!("-{word}");
                    prop_assert!(!is_value(&matches, grammar.root(), &value), "{line:?}");
                }
                Err(refusal) => {
                    prop_assert!(exact || !refusal.is_asked_for(), "{line:?} shows help");
                    prop_assert!(refusal.is_asked_for() || !refusal.hint.is_empty(), "{line:?}");
                }
            }
        }
    }
}
