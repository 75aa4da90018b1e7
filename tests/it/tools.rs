//! Ordinary tools that do not know slotfs. For each: every object of a matching slot arrives and verifies;
//! with one bad blob among good ones, exactly that one fails and the tool says so.

mod archive;
mod beside;
mod coreutils;
mod languages;
mod rsync;
mod shell;

use std::collections::BTreeMap;
use std::fmt::Display;
use std::path::Path;
use std::process::Command;

use crate::fixture::{Out, Store, contents, run, sh, spoiled, write_dir};

/// How a tool is called.
enum Run {
    /// A shell script that copies every file of `$S` to `$D`; `$T` is an ordinary scratch directory.
    Sh(&'static str),
    /// The same for one file, run for each: `$F` to `$D/$N`.
    Each(&'static str),
    /// A function of this process, from the first directory to the second; one message per error.
    Rust(fn(&Path, &Path) -> Vec<String>),
}

/// A second run over the same two directories.
enum Again {
    /// As the first: ends well and changes nothing.
    Same,
    /// This script instead, which must print nothing.
    Prints(&'static str),
    /// Not for this tool, and why.
    Never(&'static str),
}

/// What the tool makes of one bad blob.
enum Bad {
    /// Any exit status but 0.
    Reports,
    /// This exit status.
    Exits(i32),
    /// Any but 0, but the tool gives up with it: what comes after the bad blob does not arrive.
    GivesUp,
}

struct Tool {
    run: Run,
    /// Removes from the source what arrived.
    takes: bool,
    again: Again,
    bad: Bad,
    /// Tries to rename an object to an alias, and goes on when that is refused.
    backs_up: bool,
}

impl Tool {
    const fn new(run: Run) -> Self {
        Self {
            run,
            takes: false,
            again: Again::Same,
            bad: Bad::Reports,
            backs_up: false,
        }
    }

    const fn takes(mut self) -> Self {
        self.takes = true;
        self.again = Again::Never("the source is empty");
        self
    }

    const fn again(mut self, again: Again) -> Self {
        self.again = again;
        self
    }

    const fn exits(mut self, code: i32) -> Self {
        self.bad = Bad::Exits(code);
        self
    }

    const fn backs_up(mut self) -> Self {
        self.backs_up = true;
        self
    }

    const fn gives_up(mut self) -> Self {
        self.bad = Bad::GivesUp;
        self
    }

    fn call(&self, source: &Path, target: &Path, scratch: &Path) -> Out {
        let env = [("S", source), ("D", target), ("T", scratch)];
        match self.run {
            Run::Sh(script) => sh(script, &env),
            Run::Each(script) => sh(
                &format!(
                    "rc=0; for F in \"$S\"/*; do N=${{F##*/}}; {{ {script}; }} || rc=1; done; exit $rc"
                ),
                &env,
            ),
            Run::Rust(copy) => {
                let errors = copy(source, target);
                Out {
                    code: i32::from(!errors.is_empty()),
                    stdout: String::new(),
                    stderr: errors.join("\n"),
                }
            }
        }
    }
}

const fn script(script: &'static str) -> Tool {
    Tool::new(Run::Sh(script))
}

const fn each(script: &'static str) -> Tool {
    Tool::new(Run::Each(script))
}

const fn rust(copy: fn(&Path, &Path) -> Vec<String>) -> Tool {
    Tool::new(Run::Rust(copy))
}

/// One test per row.
macro_rules! tools {
    ($($(#[$note:meta])* $name:ident: $tool:expr;)+) => {$(
        $(#[$note])*
        #[test]
        fn $name() {
            $crate::tools::check(&$tool);
        }
    )+};
}
use tools;

type Files = BTreeMap<String, Vec<u8>>;

/// Collects what is wrong, so that one run shows all of it.
struct Findings(Vec<String>);

impl Findings {
    fn check(&mut self, holds: bool, what: impl Display) {
        if !holds {
            self.0.push(what.to_string());
        }
    }

    /// Compares a directory with what it should hold.
    fn holds(&mut self, what: &str, dir: &Path, expected: &Files) {
        let listed = contents(dir);
        let sizes = |files: &Files| -> Vec<String> {
            files
                .iter()
                .map(|(name, bytes)| format!("{name} ({} bytes)", bytes.len()))
                .collect()
        };
        self.check(
            listed.keys().eq(expected.keys()),
            format_args!(
                "{what} holds {:?} instead of {:?}",
                sizes(&listed),
                sizes(expected)
            ),
        );
        for (name, bytes) in expected {
            let same = listed.get(name).is_none_or(|got| got == bytes);
            self.check(same, format_args!("{what}: {name} has other bytes"));
        }
    }

    fn diff(&mut self, one: &Path, other: &Path) {
        let out = run(Command::new("diff").arg("-r").arg(one).arg(other));
        self.check(
            out.code == 0 && out.text().is_empty(),
            format_args!("diff -r is not silent: {out:?}"),
        );
    }
}

/// Three slots of one domain: 0 is the source, 1 takes all of it, 2 takes a directory with one bad blob.
fn check(tool: &Tool) {
    let store = Store::empty();
    for slot in 0..3 {
        store.slot(slot, "red");
    }
    store.aes(0, 5);
    store.data(0, 50_000);
    let hsm = store.mount(&[0, 1, 2]);
    if tool.backs_up {
        hsm.mount.announce_names();
    }
    let mut findings = Findings(Vec::new());
    let all = hsm.blobs(0);
    assert_eq!(all.len(), 6);
    let backup = hsm.store.path("backup");
    write_dir(&backup, &all);
    let scratch = hsm.store.path("scratch");
    std::fs::create_dir(&scratch).unwrap();

    // All objects of a matching slot.
    let (source, target) = (hsm.slot(0), hsm.slot(1));
    let out = tool.call(&source, &target, &scratch);
    findings.check(out.code == 0, format_args!("a good clone failed: {out:?}"));
    findings.holds("the target", &target, &all);
    if tool.takes {
        findings.holds("the source that was moved", &source, &Files::new());
        findings.diff(&backup, &target);
    } else {
        findings.holds("the source", &source, &all);
        findings.diff(&source, &target);
    }
    match tool.again {
        Again::Same => {
            let out = tool.call(&source, &target, &scratch);
            findings.check(out.code == 0, format_args!("a second run failed: {out:?}"));
        }
        Again::Prints(script) => {
            let out = sh(script, &[("S", &source), ("D", &target), ("T", &scratch)]);
            findings.check(
                out.code == 0 && out.text().is_empty(),
                format_args!("a second run has something to do: {out:?}"),
            );
        }
        Again::Never(why) => println!("no second run: {why}"),
    }
    findings.holds("the target after a second run", &target, &all);

    // One bad blob among good ones, in an ordinary directory.
    hsm.mount.announce_rejections();
    let bad = "3".to_owned();
    let mut mixed = all.clone();
    mixed.insert(bad.clone(), spoiled(&all[&bad]));
    let mut good = all.clone();
    good.remove(&bad);
    let (source, target) = (hsm.store.path("mixed"), hsm.slot(2));
    write_dir(&source, &mixed);
    let out = tool.call(&source, &target, &scratch);
    let reported = match tool.bad {
        Bad::Reports | Bad::GivesUp => out.code != 0,
        Bad::Exits(code) => out.code == code,
    };
    findings.check(
        reported,
        format_args!("the bad blob was not reported: {out:?}"),
    );
    if matches!(tool.bad, Bad::GivesUp) {
        good.retain(|name, _| target.join(name).exists());
    }
    findings.holds("the slot that was given a bad blob", &target, &good);
    let left = if tool.takes {
        Files::from([(bad.clone(), mixed[&bad].clone())])
    } else {
        mixed
    };
    findings.holds("the source of the bad blob", &source, &left);
    findings.check(
        hsm.mount.log().contains("was not cloned"),
        "the log says nothing of the bad blob",
    );
    assert!(
        findings.0.is_empty(),
        "{}\nthe run with the bad blob: {out:#?}",
        findings.0.join("\n")
    );
}
