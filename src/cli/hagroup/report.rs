//! The report of `synchronize` and `recover`, written while they run: a line for each object and member, or one document.

use serde_json::{Value, json};

use super::label::Label;
use super::open::Found;
use crate::cli::output::{self, Stream};
use crate::cli::{Answer, plural};
use crate::error::{Error, Result};
use crate::object::Ouid;
use crate::object::show::iso_8601;

/// More kinds of failures than occur together in practice; it keeps a hint short.
const MOST_HINTS: usize = 4;

/// What became of an object on a member, or between two.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// It came there.
    Copied,
    /// A later revision came there.
    Revised,
    /// It was there.
    Already,
    /// It went to the trash there, or was destroyed.
    Removed,
    /// It was left as it is, because it was removed there, or changed after it was removed elsewhere.
    Kept,
}

impl Verdict {
    fn word(self) -> &'static str {
        match self {
            Self::Copied => "copied",
            Self::Revised => "revised",
            Self::Already => "already",
            Self::Removed => "removed",
            Self::Kept => "kept",
        }
    }
}

/// The report of one command.
pub(super) struct Report {
    stream: Stream,
    quiet: bool,
    /// Whether what was left as it is is told even if only changes are wanted.
    pub(super) show_kept: bool,
    /// Objects that fewer members hold than could.
    pub(super) fewer: u64,
    counts: [u64; 5],
    pub(super) failed: u64,
    hints: Vec<String>,
}

const COUNTED: [Verdict; 5] = [
    Verdict::Copied,
    Verdict::Revised,
    Verdict::Already,
    Verdict::Removed,
    Verdict::Kept,
];

impl Report {
    /// Begins with the members, and says which of them take no part.
    pub(super) fn begin(json: bool, quiet: bool, label: &Label, found: &[Found]) -> Self {
        let members: Vec<Value> = found.iter().map(member_json).collect();
        let stream = Stream::begin(
            json,
            &[("group", label.text().into()), ("members", members.into())],
        );
        let mut report = Self {
            stream,
            quiet,
            show_kept: false,
            fewer: 0,
            counts: [0; 5],
            failed: 0,
            hints: Vec::new(),
        };
        for it in found {
            if let Err(away) = &it.link {
                report.keep_hint(away.why.hint());
                // A document has it with the member.
                report.stream.say(&format!(
                    "        {} takes no part, it is {}: {}\n",
                    it.member,
                    away.absence.word(),
                    without_name(&it.member.to_string(), &away.why.reason())
                ));
            }
        }
        report
    }

    /// What somebody should know of a member.
    pub(super) fn note(&mut self, on: &str, text: &str) {
        self.stream.add(
            || format!("        {text}\n"),
            || json!({ "ouid": Value::Null, "member": on, "verdict": "note", "text": text }),
        );
    }

    /// What became of an object on a member.
    pub(super) fn verdict(&mut self, ouid: Ouid, on: &str, verdict: Verdict, line: &str) {
        for (count, counted) in self.counts.iter_mut().zip(COUNTED) {
            *count += u64::from(counted == verdict);
        }
        let is_quiet = match verdict {
            Verdict::Already => self.quiet,
            Verdict::Kept => self.quiet && !self.show_kept,
            Verdict::Copied | Verdict::Revised | Verdict::Removed => false,
        };
        if is_quiet {
            return;
        }
        self.stream.add(
            || format!("                {line}\n"),
            || json!({ "ouid": ouid.to_string(), "member": on, "verdict": verdict.word(), "text": line }),
        );
    }

    /// An object that is not as it should be on a member.
    pub(super) fn failed(&mut self, ouid: Ouid, on: &str, line: &str, why: &Error) {
        self.failed += 1;
        self.keep_hint(why.hint());
        self.stream.add(
            || format!("                {line}\n"),
            || {
                json!({
                    "ouid": ouid.to_string(), "member": on, "verdict": "failed", "text": line,
                    "error": output::error_json(why),
                })
            },
        );
    }

    /// Writes what was told so far.
    pub(super) fn send(&mut self) {
        let done = self.counts.iter().sum::<u64>() + self.failed;
        self.stream.send(done);
    }

    pub(super) fn keep_hint(&mut self, hint: Option<String>) {
        if let Some(hint) = hint
            && self.hints.len() < MOST_HINTS
            && !self.hints.contains(&hint)
        {
            self.hints.push(hint);
        }
    }

    /// What to do about the failures, as one hint.
    pub(super) fn hint(&self) -> String {
        match self.hints.is_empty() {
            true => "each line says why".into(),
            false => format!("each line says why; {}", self.hints.join("; ")),
        }
    }

    /// After the last object, with when the group was last in sync, and what the command ends with.
    pub(super) fn close(
        mut self,
        (in_sync_secs, now_secs): (Option<u64>, u64),
        outcome: Result<()>,
    ) -> Answer {
        self.send();
        let [copied, revised, already, removed, kept] = self.counts;
        self.stream.say(&format!(
            "\n        {} copied, {revised} revised, {already} already there, {removed} removed, {kept} left as they are, {} failed.\n        {}\n",
            plural(copied, "object"),
            self.failed,
            lag_line(in_sync_secs, now_secs),
        ));
        if self.fewer > 0 {
            self.stream.say(&format!(
                "        {} on fewer members than take part: removed on the others, and not put back.\n",
                match self.fewer {
                    1 => "1 object is".to_owned(),
                    fewer => format!("{fewer} objects are"),
                }
            ));
        }
        let failed = self.failed;
        let mut facts = vec![
            ("copied", copied),
            ("revised", revised),
            ("already", already),
            ("removed", removed),
            ("kept", kept),
            ("failed", failed),
            ("fewer", self.fewer),
        ];
        if let Some(secs) = in_sync_secs {
            facts.push(("in_sync_secs", secs));
            facts.push(("lag_secs", now_secs.saturating_sub(secs)));
        }
        self.stream.end(&facts, outcome)
    }
}

/// How far behind the members may be: what was made after that time may be lost with one of them.
pub(super) fn lag_line(in_sync_secs: Option<u64>, now_secs: u64) -> String {
    match in_sync_secs {
        Some(secs) => format!(
            "Last in sync: {} (lag {}). What was made since may be on one member only.",
            iso_8601(secs),
            duration(now_secs.saturating_sub(secs))
        ),
        None => "Last in sync: never. What a member holds may be on that member only.".into(),
    }
}

/// A duration with its two largest units.
pub(super) fn duration(secs: u64) -> String {
    let units = [(86_400, "d"), (3600, "h"), (60, "min"), (1, "s")];
    let first = units.iter().position(|(unit, _)| secs >= *unit);
    let Some(first) = first else {
        return "0 s".into();
    };
    let mut left = secs;
    let mut parts = Vec::new();
    for (unit, name) in units.iter().skip(first).take(2) {
        if left >= *unit {
            parts.push(format!("{} {name}", left / unit));
        }
        left %= unit;
    }
    parts.join(" ")
}

/// A member for `--json`, with what it is.
pub(super) fn member_json(it: &Found) -> Value {
    let mut facts = it.member.to_json();
    facts["label"] = json!(it.label);
    facts["status"] = match &it.link {
        Ok(_) => "alive",
        Err(away) => away.absence.word(),
    }
    .into();
    facts["error"] = match &it.link {
        Ok(_) => Value::Null,
        Err(away) => output::error_json(&away.why),
    };
    facts
}

/// A reason without the name of the member that it begins with, for a line that has named it.
pub(super) fn without_name<'a>(name: &str, reason: &'a str) -> &'a str {
    let rest = reason.strip_prefix(name);
    rest.and_then(|rest| rest.strip_prefix(": "))
        .unwrap_or(reason)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_duration_has_its_two_largest_units() {
        for (secs, text) in [
            (0, "0 s"),
            (59, "59 s"),
            (60, "1 min"),
            (3661, "1 h 1 min"),
            (86_405, "1 d"),
            (200_000, "2 d 7 h"),
        ] {
            assert_eq!(duration(secs), text);
        }
    }

    #[test]
    fn no_lag_is_not_taken_for_none() {
        assert!(lag_line(None, 5).contains("never"));
        assert!(lag_line(Some(5), 65).contains("lag 1 min"));
    }
}
