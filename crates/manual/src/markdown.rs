//! The Markdown of `docs` as roff: headings, paragraphs, lists, tables, code, links between pages.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use crate::documents::name_of;
use crate::roff::{escape, lines, verbatim};
use crate::table;

/// `text` as the body of a page. The title of the document is left out.
pub(crate) fn to_roff(text: &str) -> String {
    let mut writer = Writer::default();
    for event in Parser::new_ext(text, Options::ENABLE_TABLES) {
        writer.take(event);
    }
    writer.out
}

/// A list that is open: the next number, if its items are numbered.
struct List {
    next: Option<u64>,
}

#[derive(Default)]
struct Writer {
    out: String,
    /// Roff of the paragraph, cell or heading that is being read.
    inline: String,
    fonts: Vec<char>,
    lists: Vec<List>,
    /// Whether the next paragraph is the first of its item, and stands beside the bullet.
    is_first_of_item: bool,
    code: Option<String>,
    /// Where links lead to, from the outermost one.
    links: Vec<String>,
    table: Option<(Vec<String>, Vec<Vec<String>>)>,
    row: Vec<String>,
}

impl Writer {
    fn take(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(tag) => self.end(tag),
            Event::Text(text) => match &mut self.code {
                Some(code) => code.push_str(&text),
                None => self.inline.push_str(&escape(&text)),
            },
            Event::Code(text) => {
                self.font('B');
                self.inline.push_str(&escape(&text));
                self.end_font();
            }
            Event::SoftBreak => self.inline.push('\n'),
            Event::HardBreak => self.inline.push_str("\n.br\n"),
            Event::Rule => self.out.push_str(".PP\n"),
            // Anchors and comments show nothing.
            Event::Html(_) | Event::InlineHtml(_) => {}
            Event::FootnoteReference(_) | Event::TaskListMarker(_) => {}
            Event::InlineMath(text) | Event::DisplayMath(text) => {
                self.inline.push_str(&escape(&text))
            }
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::CodeBlock(_) => {
                self.end_paragraph();
                self.code = Some(String::new());
            }
            Tag::Emphasis => self.font('I'),
            Tag::Strong => self.font('B'),
            Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. } => {
                self.links.push(dest_url.to_string())
            }
            Tag::List(first) => {
                self.end_paragraph();
                if !self.lists.is_empty() {
                    self.out.push_str(".RS 4\n");
                }
                self.lists.push(List { next: first });
            }
            Tag::Item => {
                let label = match self.lists.last_mut() {
                    Some(List { next: Some(number) }) => {
                        *number += 1;
                        format!("{}.", *number - 1)
                    }
                    _ => "\\(bu".to_owned(),
                };
                self.out.push_str(&format!(".IP {label} 3\n"));
                self.is_first_of_item = true;
            }
            Tag::BlockQuote(_) => {
                self.end_paragraph();
                self.out.push_str(".RS 4\n");
            }
            Tag::Table(_) => self.table = Some((Vec::new(), Vec::new())),
            Tag::TableHead | Tag::TableRow => self.row.clear(),
            _ => self.inline_starts(),
        }
    }

    fn inline_starts(&mut self) {
        if self.table.is_some() {
            self.inline.clear();
        }
    }

    fn end(&mut self, tag: TagEnd) {
        match tag {
            TagEnd::Paragraph => self.end_paragraph(),
            TagEnd::Heading(level) => self.end_heading(level),
            TagEnd::CodeBlock => {
                let code = self.code.take().unwrap_or_default();
                if self.lists.is_empty() {
                    self.out.push_str(".PP\n");
                }
                self.out.push_str(&verbatim(&code));
                self.is_first_of_item = false;
            }
            TagEnd::Emphasis | TagEnd::Strong => self.end_font(),
            TagEnd::Link | TagEnd::Image => self.end_link(),
            TagEnd::Item => self.end_paragraph(),
            TagEnd::List(_) => {
                self.lists.pop();
                if !self.lists.is_empty() {
                    self.out.push_str(".RE\n");
                }
            }
            TagEnd::BlockQuote(_) => self.out.push_str(".RE\n"),
            TagEnd::TableCell => self.row.push(std::mem::take(&mut self.inline)),
            TagEnd::TableHead => {
                if let Some((head, _)) = &mut self.table {
                    *head = std::mem::take(&mut self.row);
                }
            }
            TagEnd::TableRow => {
                if let Some((_, rows)) = &mut self.table {
                    rows.push(std::mem::take(&mut self.row));
                }
            }
            TagEnd::Table => {
                if let Some((head, rows)) = self.table.take() {
                    self.out.push_str(&table::render(&head, &rows));
                }
            }
            _ => {}
        }
    }

    /// Writes the paragraph that was read, if there is one.
    fn end_paragraph(&mut self) {
        let text = std::mem::take(&mut self.inline);
        if text.trim().is_empty() {
            return;
        }
        if !self.is_first_of_item {
            // In an item, a paragraph goes on where the item's text is.
            self.out.push_str(if self.lists.is_empty() {
                ".PP\n"
            } else {
                ".IP\n"
            });
        }
        self.is_first_of_item = false;
        for line in text.trim().lines() {
            match line {
                ".br" => self.out.push_str(".br\n"),
                line => self.out.push_str(&lines(line)),
            }
        }
    }

    fn end_heading(&mut self, level: HeadingLevel) {
        let text = std::mem::take(&mut self.inline).replace('\n', " ");
        match level {
            HeadingLevel::H1 => {}
            HeadingLevel::H2 => self.out.push_str(&format!(".SH {}\n", quoted(&text))),
            _ => self.out.push_str(&format!(".SS {}\n", quoted(&text))),
        }
    }

    /// A link to a page is followed by that page's name, one to the web by its address.
    fn end_link(&mut self) {
        let Some(target) = self.links.pop() else {
            return;
        };
        let file = target.split('#').next().unwrap_or_default();
        let stem = file
            .rsplit('/')
            .next()
            .and_then(|it| it.strip_suffix(".md"));
        if let Some((name, section)) = stem.and_then(name_of) {
            self.inline
                .push_str(&format!(" (\\fB{}\\fR({section}))", escape(&name)));
            self.inline.push_str(&self.current_font());
        } else if target.contains("://") {
            self.inline.push_str(&format!(" <{}>", escape(&target)));
        }
    }

    fn font(&mut self, font: char) {
        self.fonts.push(font);
        self.inline.push_str(&self.current_font());
    }

    fn end_font(&mut self) {
        self.fonts.pop();
        self.inline.push_str(&self.current_font());
    }

    fn current_font(&self) -> String {
        format!("\\f{}", self.fonts.last().unwrap_or(&'R'))
    }
}

/// An argument of a request. Escaped text has no quotes.
fn quoted(text: &str) -> String {
    format!("\"{}\"", text.trim())
}

#[cfg(test)]
mod tests {
    use super::to_roff;

    #[test]
    fn headings_lists_code_and_links() {
        let text =
            "# T\n\nSee [the mount](mount.md#x).\n\n## Names\n\n- `-a`\n- two\n\n    code -x\n";
        let expected = ".PP\nSee the mount (\\fBslotfs\\-mount\\fR(7))\\fR.\n.SH \"Names\"\n.IP \\(bu 3\n\\fB\\-a\\fR\n.IP \\(bu 3\ntwo\n";
        let roff = to_roff(text);
        assert!(roff.starts_with(expected), "{roff}");
        assert_eq!(to_roff(".x"), ".PP\n\\&.x\n");
    }

    #[test]
    fn a_small_table_is_one_and_a_wide_one_is_a_list() {
        let table = |cell: &str| {
            to_roff(&format!(
                "| a | b | c |\n| --- | --- | --- |\n| 1 | 2 | {cell} |\n"
            ))
        };
        let small = ".PP\n.TS\nallbox;\nl l l.\na\tb\tc\n1\t2\tx\n.TE\n";
        assert_eq!(table("x"), small);
        let long = "x ".repeat(50);
        let wide = format!(".TP\n1\n\\fIb\\fR: 2\n.br\n\\fIc\\fR: {}\n", long.trim());
        assert_eq!(table(&long), wide);
    }
}
