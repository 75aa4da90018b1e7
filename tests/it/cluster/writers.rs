//! Tools that copy objects while something happens, and what they were told.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use super::fixture::Blobs;
use crate::fixture::{Store, wait_for};

/// Each copies its own objects, one `cp` after another, and notes what each of them said.
const CP: &str = r#"
for name in $NAMES; do
    start=${EPOCHREALTIME/./}
    if said=$(cp "$BLOBS/$name" "$TARGET/$name" 2>&1); then
        echo "$name" >> "$ACKS"
    else
        echo "$name $(((${EPOCHREALTIME/./} - start) / 1000)) $said" >> "$FAILURES"
    fi
    [ ! -e "$STOP" ] || break
done
"#;

const RSYNC: &str = r#"
if rsync -a "$BLOBS/" "$TARGET/" 2> "$FAILURES"; then ls "$BLOBS" >> "$ACKS"; fi
"#;

/// Running tools.
pub struct Writers {
    folder: PathBuf,
    tools: Vec<Child>,
}

/// A `cp` that failed.
#[derive(Clone, Debug)]
pub struct Failure {
    pub name: String,
    pub millis: u64,
    pub words: String,
}

impl Failure {
    pub fn is_timeout(&self) -> bool {
        // LC_ALL is C.
        self.words.contains("Connection timed out")
    }
}

impl Writers {
    /// `count` times `cp`, which share the objects, into a slot's folder.
    pub fn cp(host: &Store, count: usize, blobs: &Blobs, target: &Path) -> Self {
        Self::cp_of(host, count, blobs, &blobs.names(), target)
    }

    /// The same with some of the objects.
    pub fn cp_of(
        host: &Store,
        count: usize,
        blobs: &Blobs,
        names: &[String],
        target: &Path,
    ) -> Self {
        let mut writers = Self::none(host);
        for number in 0..count {
            let own: Vec<&str> = names
                .iter()
                .skip(number)
                .step_by(count)
                .map(String::as_str)
                .collect();
            writers.start(CP, &own.join(" "), &blobs.folder, target);
        }
        writers
    }

    /// One `rsync` of all objects into a slot's folder. It acknowledges all or none.
    pub fn rsync(host: &Store, blobs: &Blobs, target: &Path) -> Self {
        let mut writers = Self::none(host);
        writers.start(RSYNC, "", &blobs.folder, target);
        writers
    }

    fn none(host: &Store) -> Self {
        let folder = (1..)
            .map(|number| host.path(format!("writers-{number}")))
            .find(|folder| !folder.exists())
            .unwrap();
        fs::create_dir(&folder).unwrap();
        Self {
            folder,
            tools: Vec::new(),
        }
    }

    fn start(&mut self, script: &str, names: &str, blobs: &Path, target: &Path) {
        let number = self.tools.len();
        let file = |kind: &str| self.folder.join(format!("{kind}-{number}"));
        let tool = Command::new("bash")
            .args(["-c", script])
            .env("LC_ALL", "C")
            .env("NAMES", names)
            .env("BLOBS", blobs)
            .env("TARGET", target)
            .env("ACKS", file("acks"))
            .env("FAILURES", file("failures"))
            .env("STOP", self.folder.join("stop"))
            .stdin(Stdio::null())
            .spawn()
            .unwrap();
        self.tools.push(tool);
    }

    fn lines(&self, kind: &str) -> Vec<String> {
        (0..self.tools.len())
            .map(|number| self.folder.join(format!("{kind}-{number}")))
            .filter_map(|file| fs::read_to_string(file).ok())
            .flat_map(|text| text.lines().map(str::to_owned).collect::<Vec<_>>())
            .collect()
    }

    /// The names whose tool ended with 0.
    pub fn acknowledged(&self) -> Vec<String> {
        self.lines("acks")
    }

    /// What tools printed that failed, a line each.
    pub fn said(&self) -> Vec<String> {
        self.lines("failures")
    }

    /// Every `cp` that failed.
    pub fn failures(&self) -> Vec<Failure> {
        let failure = |line: String| {
            let (name, rest) = line.split_once(' ')?;
            let (millis, words) = rest.split_once(' ')?;
            Some(Failure {
                name: name.to_owned(),
                millis: millis.parse().ok()?,
                words: words.to_owned(),
            })
        };
        self.lines("failures")
            .into_iter()
            .filter_map(failure)
            .collect()
    }

    /// Waits until so many objects are acknowledged.
    #[track_caller]
    pub fn wait_for_acks(&self, count: usize) {
        let there = wait_for(|| (self.acknowledged().len() >= count).then_some(()));
        assert!(
            there.is_some(),
            "only {} acknowledged; {:?}",
            self.acknowledged().len(),
            self.said()
        );
    }

    /// Waits until so many `cp` have failed.
    #[track_caller]
    pub fn wait_for_failures(&self, count: usize) {
        let there = wait_for(|| (self.failures().len() >= count).then_some(()));
        assert!(there.is_some(), "only {:?}", self.said());
    }

    /// Whether any tool still runs.
    pub fn run(&mut self) -> bool {
        self.tools
            .iter_mut()
            .any(|tool| tool.try_wait().unwrap().is_none())
    }

    /// Has each end after the object that it is at.
    pub fn stop(&self) {
        fs::write(self.folder.join("stop"), "").unwrap();
    }

    /// Waits until all tools have ended.
    #[track_caller]
    pub fn finish(&mut self) {
        assert!(
            wait_for(|| (!self.run()).then_some(())).is_some(),
            "a tool hangs; {:?}",
            self.said()
        );
    }
}

impl Drop for Writers {
    fn drop(&mut self) {
        // Its folder may be gone already.
        let _ = fs::write(self.folder.join("stop"), "");
        for tool in &mut self.tools {
            let _ = tool.kill();
            let _ = tool.wait();
        }
    }
}
