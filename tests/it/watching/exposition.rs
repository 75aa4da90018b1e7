//! A strict reader of Prometheus' text format 0.0.4, after
//! <https://prometheus.io/docs/instrumenting/exposition_formats/>.

use std::collections::{BTreeMap, BTreeSet};

/// One metric.
#[derive(Debug)]
pub struct Metric {
    pub kind: String,
    pub samples: Vec<Sample>,
}

#[derive(Debug)]
pub struct Sample {
    pub name: String,
    pub labels: BTreeMap<String, String>,
    pub value: f64,
}

/// Metrics by name.
#[derive(Debug)]
pub struct Page(pub BTreeMap<String, Metric>);

impl Page {
    /// Reads a page, and panics at whatever the format does not allow.
    #[track_caller]
    pub fn read(text: &str) -> Self {
        assert!(text.ends_with('\n'), "the last line has no end");
        let mut metrics: BTreeMap<String, Metric> = BTreeMap::new();
        let mut current: Option<String> = None;
        let mut helped = None;
        for line in text.lines() {
            if let Some(help) = line.strip_prefix("# HELP ") {
                let (name, help) = help.split_once(' ').unwrap();
                assert!(!help.is_empty() && !help.contains('\\'), "{line}");
                helped = Some(name.to_owned());
            } else if let Some(kind) = line.strip_prefix("# TYPE ") {
                let (name, kind) = kind.split_once(' ').unwrap();
                assert!(is_name(name), "{line}");
                assert!(["counter", "gauge", "histogram"].contains(&kind), "{line}");
                assert_eq!(helped.as_deref(), Some(name), "HELP is right before TYPE");
                let metric = Metric {
                    kind: kind.to_owned(),
                    samples: Vec::new(),
                };
                let before = metrics.insert(name.to_owned(), metric);
                assert!(before.is_none(), "{name} is there twice");
                current = Some(name.to_owned());
            } else {
                let sample = sample(line);
                let of = current
                    .as_ref()
                    .unwrap_or_else(|| panic!("no TYPE: {line}"));
                let metric = metrics.get_mut(of).unwrap();
                let fits = match metric.kind.as_str() {
                    "histogram" => ["_bucket", "_sum", "_count"]
                        .iter()
                        .any(|part| sample.name == format!("{of}{part}")),
                    _ => sample.name == *of,
                };
                assert!(fits, "{line} is not of {of}");
                metric.samples.push(sample);
            }
        }
        let page = Self(metrics);
        page.check();
        page
    }

    fn check(&self) {
        for (name, metric) in &self.0 {
            let mut seen = BTreeSet::new();
            for sample in &metric.samples {
                let is_new = seen.insert((sample.name.clone(), sample.labels.clone()));
                assert!(is_new, "{sample:?} is there twice");
                if metric.kind != "gauge" {
                    assert!(sample.value >= 0.0, "{sample:?}");
                }
            }
            assert_eq!(metric.kind == "counter", name.ends_with("_total"), "{name}");
            if metric.kind == "histogram" {
                self.check_histogram(name, metric);
            }
        }
    }

    /// Buckets are cumulative, the last is that of infinity, and equals the count.
    fn check_histogram(&self, name: &str, metric: &Metric) {
        let counts = metric.samples.iter();
        for count in counts.filter(|it| it.name == format!("{name}_count")) {
            let of_same = |it: &&Sample| {
                let mut labels = it.labels.clone();
                labels.remove("le");
                it.name == format!("{name}_bucket") && labels == count.labels
            };
            let buckets: Vec<(f64, f64)> = metric
                .samples
                .iter()
                .filter(of_same)
                .map(|it| (number(&it.labels["le"]), it.value))
                .collect();
            assert!(
                buckets.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1),
                "{buckets:?}"
            );
            assert_eq!(buckets.last(), Some(&(f64::INFINITY, count.value)));
        }
    }

    /// The value of the only sample of `name` with these labels, in any order.
    #[track_caller]
    pub fn value(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        self.find(name, labels)
            .unwrap_or_else(|| panic!("no {name} with {labels:?}"))
    }

    pub fn find(&self, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
        let of = ["_bucket", "_sum", "_count"]
            .iter()
            .find_map(|part| name.strip_suffix(part))
            .filter(|of| self.0.contains_key(*of))
            .unwrap_or(name);
        let mut found = self.0[of].samples.iter().filter(|it| {
            it.name == name
                && labels
                    .iter()
                    .all(|(label, value)| it.labels.get(*label).is_some_and(|it| it == value))
        });
        let first = found.next()?;
        assert!(
            found.next().is_none(),
            "{name} {labels:?} is not the only one"
        );
        Some(first.value)
    }
}

fn is_name(name: &str) -> bool {
    let mut chars = name.chars();
    chars
        .next()
        .is_some_and(|c| c.is_ascii_alphabetic() || c == '_')
        && chars.all(|c| c.is_ascii_alphanumeric() || c == '_')
}

fn number(text: &str) -> f64 {
    match text {
        "+Inf" => f64::INFINITY,
        text => text.parse().unwrap_or_else(|_| panic!("no number: {text}")),
    }
}

/// `name{label="value",...} number`
fn sample(line: &str) -> Sample {
    let at = line.find(['{', ' ']).unwrap_or_else(|| panic!("{line}"));
    let (name, mut rest) = line.split_at(at);
    assert!(is_name(name), "{line}");
    let mut labels = BTreeMap::new();
    if let Some(inner) = rest.strip_prefix('{') {
        rest = inner;
        loop {
            let (label, after) = rest.split_once("=\"").unwrap_or_else(|| panic!("{line}"));
            assert!(is_name(label), "{line}");
            let (value, after) = quoted(after);
            assert!(labels.insert(label.to_owned(), value).is_none(), "{line}");
            match after.split_at(1) {
                (",", after) => rest = after,
                ("}", after) => {
                    rest = after;
                    break;
                }
                _ => panic!("{line}"),
            }
        }
    }
    let value = rest.strip_prefix(' ').unwrap_or_else(|| panic!("{line}"));
    Sample {
        name: name.to_owned(),
        labels,
        value: number(value),
    }
}

/// The value up to the closing quote, and what follows.
fn quoted(text: &str) -> (String, &str) {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '"' => return (value, &text[at + 1..]),
            '\\' => match chars.next().map(|(_, c)| c) {
                Some('n') => value.push('\n'),
                Some(c @ ('\\' | '"')) => value.push(c),
                other => panic!("escape {other:?} in {text}"),
            },
            c => value.push(c),
        }
    }
    panic!("no closing quote in {text}")
}
