//! HA groups: docs/hagroup.md.

mod away;
mod folders;
mod groups;
mod logins;
mod policies;
mod removals;
mod synchronize;
mod together;
mod units;
mod walk;

use std::collections::BTreeMap;
use std::process::{Command, Stdio};

use serde_json::Value;

use crate::fixture::{Out, Store, run, write_private};

/// A member of the tests' groups: a store, and a slot in it.
type Place = (&'static str, u32);

/// Slots 0 and 1 of one store, and slot 0 of another.
const A: Place = ("store.db", 0);
const B: Place = ("store.db", 1);
const C: Place = ("other.db", 0);

/// Stores in one folder, or side by side in the cluster of this run. Every member has a password of its own.
struct Sites(Store);

impl Sites {
    /// Partitions under the domain `red`, and no group.
    fn new(places: &[Place]) -> Self {
        let sites = Self(Store::empty());
        sites.0.domain("red");
        for place in places {
            sites.init(*place, "-domainkey red.pem");
        }
        sites
    }

    /// The same, with a group `pay` of them. Their password files are kept with them.
    fn group(places: &[Place]) -> Self {
        let sites = Self::new(places);
        let (first, others) = places.split_first().unwrap();
        sites.create(*first).ok();
        for place in others {
            sites.add(*place).ok();
        }
        sites
    }

    /// What a store is given as: a file of the folder, or a name in the cluster of this run.
    fn location(&self, store: &str) -> String {
        if !self.0.is_in_cluster() {
            return store.to_owned();
        }
        let own = self.0.relative().to_str().unwrap();
        match store {
            "store.db" => own.to_owned(),
            other => format!("{own}-{}", other.trim_end_matches(".db")),
        }
    }

    fn command(&self, store: &str, line: &str) -> Command {
        let mut command = self.0.bare(&["--store", &self.location(store)]);
        command.args(line.split_whitespace()).stdin(Stdio::null());
        command
    }

    /// A command that is given a terminal.
    fn command_on_terminal(&self, store: &str, line: &str) -> Command {
        let mut command = self.0.bare(&["--store", &self.location(store)]);
        command.args(line.split_whitespace());
        command
    }

    /// Runs a command on a store.
    #[track_caller]
    fn on(&self, store: &str, line: &str) -> Out {
        run(&mut self.command(store, line))
    }

    /// Runs a command in a slot.
    #[track_caller]
    fn in_slot(&self, place: Place, line: &str) -> Out {
        let (store, slot) = place;
        let file = file(place);
        self.on(
            store,
            &format!(
                "{line} -slot {slot} --password-file {slot}={file} --password-file {slot}:po={file}"
            ),
        )
    }

    /// Runs a command of `hagroup`.
    #[track_caller]
    fn ha(&self, line: &str) -> Out {
        self.on("store.db", &format!("hagroup {line}"))
    }

    #[track_caller]
    fn sync(&self, more: &str) -> Out {
        self.ha(&format!("synchronize -group pay {more}"))
    }

    #[track_caller]
    fn init(&self, place: Place, more: &str) {
        let path = self.0.path(file(place));
        write_private(&path, &format!("correct horse {}\n", file(place)));
        let label = label(place);
        self.in_slot(
            place,
            &format!("partition init -label {label} -force {more}"),
        )
        .ok();
    }

    #[track_caller]
    fn create(&self, place: Place) -> Out {
        let (store, slot) = place;
        let file = file(place);
        self.on(
            store,
            &format!("hagroup creategroup -label pay -slot {slot} -memberpasswordfile {file}"),
        )
    }

    #[track_caller]
    fn add(&self, place: Place) -> Out {
        let (store, slot) = place;
        let file = file(place);
        self.on(
            store,
            &format!("hagroup addmember -group pay -slot {slot} -memberpasswordfile {file}"),
        )
    }

    /// Makes keys; their identities by label.
    #[track_caller]
    fn keys(&self, place: Place, labels: &[&str]) -> Vec<String> {
        let made = labels.iter().map(|label| {
            self.in_slot(place, &format!("object generate -type aes -label {label}"))
                .ok();
            self.ouid(place, label)
        });
        made.collect()
    }

    /// Every object: identity, handle, label, revision.
    #[track_caller]
    fn objects(&self, place: Place) -> BTreeMap<String, (u64, String, u64)> {
        let document = self.in_slot(place, "partition contents --json").ok().json();
        let row = |it: &Value| {
            let text = |name: &str| it[name].as_str().unwrap().to_owned();
            let number = |name: &str| it[name].as_u64().unwrap();
            (
                text("ouid"),
                (number("handle"), text("label"), number("revision")),
            )
        };
        document["objects"]
            .as_array()
            .unwrap()
            .iter()
            .map(row)
            .collect()
    }

    /// The labels that a member holds, sorted.
    #[track_caller]
    fn labels(&self, place: Place) -> Vec<String> {
        let mut labels: Vec<_> = self.objects(place).into_values().map(|it| it.1).collect();
        labels.sort();
        labels
    }

    #[track_caller]
    fn ouid(&self, place: Place, label: &str) -> String {
        let objects = self.objects(place);
        let mut found = objects.iter().filter(|it| it.1.1 == label);
        let ouid = found
            .next()
            .unwrap_or_else(|| panic!("{label}: {objects:?}"));
        ouid.0.clone()
    }

    #[track_caller]
    fn handle(&self, place: Place, label: &str) -> u64 {
        let ouid = self.ouid(place, label);
        self.objects(place)[&ouid].0
    }

    #[track_caller]
    fn rename(&self, place: Place, from: &str, to: &str) {
        let handle = self.handle(place, from);
        self.in_slot(place, &format!("object set -handle {handle} -label {to}"))
            .ok();
    }

    #[track_caller]
    fn delete(&self, place: Place, label: &str) {
        let handle = self.handle(place, label);
        self.in_slot(place, &format!("object delete -handle {handle} -force"))
            .ok();
    }

    /// A group's document.
    #[track_caller]
    fn listed(&self) -> Value {
        let document = self.ha("listgroups -group pay --json").ok().json();
        document["groups"][0].clone()
    }

    /// One fact of each member.
    #[track_caller]
    fn each(&self, fact: &str) -> Vec<Value> {
        let listed = self.listed();
        let members = listed["members"].as_array().unwrap();
        members.iter().map(|it| it[fact].clone()).collect()
    }
}

/// The file with a member's password.
fn file((store, slot): Place) -> String {
    format!("pw-{store}-{slot}")
}

fn label((store, slot): Place) -> String {
    format!("{}{slot}", store.trim_end_matches(".db"))
}

/// The line of a report about an object on a member.
#[track_caller]
fn line<'a>(out: &'a Out, ouid: &str) -> Vec<&'a str> {
    let lines = out.stdout.lines().filter(|line| line.contains(ouid));
    lines.map(str::trim).collect()
}
