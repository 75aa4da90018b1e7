//! The pages of `docs`: which of them are man pages, and under which name.

use std::fs;
use std::path::Path;

use crate::page::Page;
use crate::{Result, markdown};

/// Pages for people who change slotfs.
const NOT_FOR_USERS: [&str; 3] = ["architecture", "fuzzing", "performance"];

/// A page of `docs`.
pub(crate) struct Document {
    /// The file's name without `.md`.
    pub(crate) stem: String,
    pub(crate) text: String,
}

/// Every page for users, by name.
///
/// # Errors
/// What cannot be read.
pub(crate) fn read(folder: &Path) -> Result<Vec<Document>> {
    let mut all = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        let stem = path.file_stem().and_then(|it| it.to_str());
        let (Some(stem), Some("md")) = (stem, path.extension().and_then(|it| it.to_str())) else {
            continue;
        };
        if !NOT_FOR_USERS.contains(&stem) {
            let text = fs::read_to_string(&path)?;
            all.push(Document {
                stem: stem.to_owned(),
                text,
            });
        }
    }
    all.sort_by(|one, other| one.stem.cmp(&other.stem));
    Ok(all)
}

/// The name and the section of the man page that a file of `docs` becomes; commands.md is a part of slotfs(1).
pub(crate) fn name_of(stem: &str) -> Option<(String, u8)> {
    match stem {
        "commands" => Some(("slotfs".to_owned(), 1)),
        "format" => Some(("slotfs-format".to_owned(), 5)),
        stem if NOT_FOR_USERS.contains(&stem) => None,
        stem => Some((format!("slotfs-{stem}"), 7)),
    }
}

impl Document {
    /// The man page, if the document is one.
    pub(crate) fn page(&self) -> Option<Page> {
        let (name, section) = name_of(&self.stem)?;
        if self.stem == "commands" {
            return None;
        }
        let title = self.text.lines().find_map(|line| line.strip_prefix("# "));
        let about = match title {
            Some(title) => decapitalised(title.trim()),
            None => format!("slotfs: {}", self.stem),
        };
        let body = format!(".SH DESCRIPTION\n{}", markdown::to_roff(&self.text));
        Some(Page::new(&name, section, &about, body))
    }
}

/// `text` with a small first letter, unless its first word is a name such as FAQ.
fn decapitalised(text: &str) -> String {
    let mut letters = text.chars();
    match (letters.next(), letters.clone().next()) {
        (Some(first), Some(second)) if first.is_uppercase() && second.is_lowercase() => {
            first.to_lowercase().to_string() + letters.as_str()
        }
        _ => text.to_owned(),
    }
}

/// The section of a Markdown text under the heading `## heading`, with its heading.
pub(crate) fn section<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let start = text.find(&format!("\n## {heading}\n"))? + 1;
    let rest = &text[start..];
    let end = rest[3..].find("\n## ").map_or(rest.len(), |at| at + 4);
    Some(&rest[..end])
}

/// The same under the heading `### heading`.
pub(crate) fn subsection<'a>(text: &'a str, heading: &str) -> Option<&'a str> {
    let start = text.find(&format!("\n### {heading}\n"))? + 1;
    let rest = &text[start..];
    let ends = ["\n## ", "\n### "].map(|end| rest[3..].find(end));
    let end = ends.into_iter().flatten().min();
    Some(&rest[..end.map_or(rest.len(), |at| at + 4)])
}

/// The first block of a Markdown text that is marked as shell.
pub(crate) fn first_session(text: &str) -> Option<&str> {
    let block = text.split("\n```sh\n").nth(1)?;
    block.split("\n```").next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_section_ends_where_the_next_begins() {
        let text = "# A\n\n## One\n\nx\n\n### Deep\n\n## Two\n\ny\n";
        assert_eq!(section(text, "One"), Some("## One\n\nx\n\n### Deep\n\n"));
        assert_eq!(section(text, "Two"), Some("## Two\n\ny\n"));
        assert_eq!(section(text, "Three"), None);
        assert_eq!(subsection(text, "Deep"), Some("### Deep\n\n"));
        assert_eq!(subsection(text, "One"), None);
        assert_eq!(first_session("x\n```sh\na\nb\n```\n"), Some("a\nb"));
    }

    #[test]
    fn titles_are_lines_about_pages() {
        assert_eq!(decapitalised("The mount"), "the mount");
        assert_eq!(decapitalised("FAQ"), "FAQ");
    }
}
