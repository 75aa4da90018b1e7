//! One man page.

use crate::roff::{bold, escape_whole, lines};
use crate::{Result, date};

/// A page: its name and section, what it is about in one line, and its body in roff.
pub(crate) struct Page {
    pub(crate) name: String,
    pub(crate) section: u8,
    pub(crate) about: String,
    pub(crate) body: String,
}

impl Page {
    pub(crate) fn new(name: &str, section: u8, about: &str, body: String) -> Self {
        Self {
            name: name.to_owned(),
            section,
            about: about.to_owned(),
            body,
        }
    }

    /// How other pages name it: `slotfs-partition(1)`.
    pub(crate) fn reference(&self) -> String {
        format!("{}({})", self.name, self.section)
    }

    /// The file's content. `all` are the references of every page.
    ///
    /// # Errors
    /// An empty line about the page, which `whatis` needs.
    pub(crate) fn render(&self, all: &[String]) -> Result<String> {
        if self.about.is_empty() {
            return Err(format!("{} says in no line what it is about", self.name).into());
        }
        // The first line has man(1) run tbl.
        let mut out = String::from("'\\\" t\n.\\\" Made by crates/manual of slotfs.\n");
        out.push_str(&format!(
            ".TH \"{}\" \"{}\" \"{}\" \"slotfs {}\" \"slotfs\"\n.nh\n.ad l\n",
            escape_whole(&self.name.to_uppercase()),
            self.section,
            date::of_the_source(),
            env!("CARGO_PKG_VERSION")
        ));
        out.push_str(".SH NAME\n");
        out.push_str(&lines(&format!(
            "{} \\- {}",
            escape_whole(&self.name),
            escape_whole(&self.about)
        )));
        out.push_str(&self.body);
        out.push_str(".SH SEE ALSO\n");
        let own = self.reference();
        let others: Vec<String> = all
            .iter()
            .filter(|it| **it != own)
            .filter_map(|it| {
                let (name, section) = it.split_once('(')?;
                Some(format!("{}({section}", bold(name)))
            })
            .collect();
        out.push_str(&lines(&others.join(",\n")));
        Ok(without_needless_paragraphs(&out))
    }
}

/// A heading starts a paragraph by itself.
fn without_needless_paragraphs(roff: &str) -> String {
    let mut out = String::with_capacity(roff.len());
    let mut after_heading = false;
    for line in roff.lines() {
        if !(after_heading && line == ".PP") {
            out.push_str(line);
            out.push('\n');
        }
        after_heading = line.starts_with(".SH ") || line.starts_with(".SS ");
    }
    out
}
