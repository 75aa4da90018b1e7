//! Pages that groff and mandoc read without complaint, and that say what the program takes.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use crate::{run, written};

/// Every page below `folder` but those that are another name of one.
fn pages(folder: &std::path::Path) -> Vec<PathBuf> {
    let mut pages = Vec::new();
    for section in ["man1", "man5", "man7"] {
        let all = fs::read_dir(folder.join(section)).unwrap();
        pages.extend(all.map(|it| it.unwrap().path()));
    }
    pages.sort();
    assert!(pages.len() > 20, "{pages:?}");
    pages
}

#[test]
fn readers_of_man_pages_do_not_complain() {
    let folder = written();
    for page in pages(folder.path()) {
        let page = page.to_str().unwrap();
        // groff, as man(1) runs it.
        let read = Command::new("man")
            .args(["-l", "--warnings", page])
            .env("MANWIDTH", "80")
            .env("LC_ALL", "C.UTF-8")
            .output()
            .unwrap();
        let complaints = String::from_utf8_lossy(&read.stderr).into_owned();
        assert!(
            read.status.success() && complaints.is_empty(),
            "{page}: {complaints}"
        );
        let lint = Command::new("mandoc")
            .args(["-T", "lint", "-W", "warning", page])
            .output();
        let lint = lint.expect("mandoc; scripts/check installs it");
        let lint = String::from_utf8_lossy(&lint.stdout).into_owned();
        let bad: Vec<&str> = lint
            .lines()
            // The date is that of the release, which sets SOURCE_DATE_EPOCH.
            .filter(|line| !line.contains("missing date"))
            .collect();
        assert!(bad.is_empty(), "{bad:#?}");
    }
}

/// Text of a page as man(1) shows it.
fn text(folder: &std::path::Path, page: &str) -> String {
    let file = folder.join(page);
    let out = run(
        "mandoc",
        &["-T", "ascii", "-O", "width=100", file.to_str().unwrap()],
    );
    // Letters are struck over for bold and underlined.
    let text = String::from_utf8(out.stdout).unwrap();
    let mut shown = String::new();
    for c in text.chars() {
        match c {
            '\u{8}' => {
                shown.pop();
            }
            c => shown.push(c),
        }
    }
    shown
}

#[test]
fn every_command_and_option_is_on_its_page() {
    let folder = written();
    let root = slotfs::command();
    for noun in root.get_subcommands() {
        let page = text(folder.path(), &format!("man1/slotfs-{}.1", noun.get_name()));
        let verbs = noun.get_subcommands().chain([noun]);
        for verb in verbs {
            assert!(page.contains(verb.get_name()), "{}", verb.get_name());
            let options = verb.get_arguments().filter(|arg| !arg.is_hide_set());
            for long in options.filter_map(clap::Arg::get_long) {
                // Both spellings.
                let spelled = format!("-{long}, --{long}");
                assert!(
                    page.contains(&spelled),
                    "{} {long}: {page}",
                    verb.get_name()
                );
            }
        }
        assert!(!page.contains("handed"), "what is hidden does not show");
    }
    let page = text(folder.path(), "man1/slotfs.1");
    for words in [
        "a software HSM whose partitions are directories",
        "-json, --json",
        "stopped by Ctrl-C",
        "slotfs-partition(1)",
        "slotfs.toml(5)",
        "slotfs-format(5)",
    ] {
        assert!(page.contains(words), "{words}: {page}");
    }
}

#[test]
fn names_of_pages_are_found_by_whatis() {
    let folder = written();
    for page in pages(folder.path()) {
        let out = run("lexgrog", &[page.to_str().unwrap()]);
        let text = String::from_utf8_lossy(&out.stdout).into_owned();
        let name = page.file_stem().unwrap().to_str().unwrap();
        assert!(text.contains(&format!("{name} - ")), "{text}");
    }
}
