//! The text format of Prometheus, version 0.0.4
//! (<https://prometheus.io/docs/instrumenting/exposition_formats/>).

use std::fmt::{Display, Write};

/// A page of metrics.
#[derive(Default)]
pub struct Page(String);

/// What a metric is.
#[derive(Clone, Copy)]
pub enum Kind {
    /// It only grows while the process runs.
    Counter,
    /// It goes up and down.
    Gauge,
    /// Counts by upper bound.
    Histogram,
}

/// Names and values of labels.
pub type Labels<'a> = &'a [(&'a str, &'a str)];

impl Page {
    /// Begins a metric; its samples follow. `help` is one line without a backslash.
    pub fn metric(&mut self, name: &str, kind: Kind, help: &str) {
        let kind = match kind {
            Kind::Counter => "counter",
            Kind::Gauge => "gauge",
            Kind::Histogram => "histogram",
        };
        // Writing to a String does not fail, here and below.
        let _ = writeln!(self.0, "# HELP {name} {help}\n# TYPE {name} {kind}");
    }

    /// One sample.
    pub fn sample(&mut self, name: &str, labels: Labels<'_>, value: impl Display) {
        self.0.push_str(name);
        for (index, (label, value)) in labels.iter().enumerate() {
            let before = if index == 0 { '{' } else { ',' };
            let _ = write!(self.0, "{before}{label}=\"{}\"", escape(value));
        }
        if !labels.is_empty() {
            self.0.push('}');
        }
        let _ = writeln!(self.0, " {value}");
    }

    /// A metric with one sample.
    pub fn single(&mut self, name: &str, kind: Kind, help: &str, value: impl Display) {
        self.metric(name, kind, help);
        self.sample(name, &[], value);
    }

    /// The text.
    pub fn text(self) -> String {
        self.0
    }
}

/// The value of a label: backslash, quote and line feed are escaped, and nothing else may be.
fn escape(value: &str) -> String {
    value
        .replace('\\', r"\\")
        .replace('"', "\\\"")
        .replace('\n', r"\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_of_labels_are_escaped() {
        let mut page = Page::default();
        page.metric("a_total", Kind::Counter, "Things.");
        page.sample("a_total", &[("x", "1"), ("label", "a\\b\"c\nd")], 3);
        page.single("b", Kind::Gauge, "Other things.", 0.5);
        let text = "# HELP a_total Things.\n# TYPE a_total counter\n\
            a_total{x=\"1\",label=\"a\\\\b\\\"c\\nd\"} 3\n\
            # HELP b Other things.\n# TYPE b gauge\nb 0.5\n";
        assert_eq!(page.text(), text);
    }
}
