//! Tables. A small one is a table of tbl(1). Any other is a list of terms, which fits every width.

use crate::roff::{lines, term};

/// The most letters in the lines of a table that stays one.
const MOST: usize = 64;

/// A table in roff. Its cells are roff.
pub(crate) fn render(head: &[String], rows: &[Vec<String>]) -> String {
    let all = || std::iter::once(head).chain(rows.iter().map(Vec::as_slice));
    let widest = |column: usize| {
        let widths = all().filter_map(|row| row.get(column).map(|cell| width(cell)));
        widths.max().unwrap_or(0)
    };
    let letters: usize = (0..head.len()).map(|column| widest(column) + 3).sum();
    if head.len() == 2 || letters > MOST {
        return list(head, rows);
    }
    let mut out = format!(".PP\n.TS\nallbox;\n{}.\n", vec!["l"; head.len()].join(" "));
    for row in all() {
        let cells: Vec<String> = row
            .iter()
            .map(|cell| cell.trim().replace('\n', " "))
            .collect();
        out.push_str(&cells.join("\t"));
        out.push('\n');
    }
    out.push_str(".TE\n");
    out
}

/// The first cell of a row as the term. The others follow, each under its title if there are several.
fn list(head: &[String], rows: &[Vec<String>]) -> String {
    let mut out = String::new();
    let title = |cell: &String| format!("\\fI{}\\fR", cell.trim());
    if head.len() == 2 && head.iter().any(|cell| !cell.trim().is_empty()) {
        let titles: Vec<String> = head.iter().map(title).collect();
        out.push_str(&format!(".PP\n{}", lines(&titles.join(": "))));
    }
    for row in rows {
        let first = row.first().map_or("", String::as_str).trim();
        let mut text = String::new();
        for (title_of, cell) in head.iter().zip(row).skip(1) {
            let cell = cell.trim();
            if cell.is_empty() {
                continue;
            }
            if !text.is_empty() {
                text.push_str(".br\n");
            }
            let shown = match head.len() {
                2 => cell.to_owned(),
                _ if title_of.trim().is_empty() => cell.to_owned(),
                _ => format!("{}: {cell}", title(title_of)),
            };
            text.push_str(&lines(&shown));
        }
        let or_nothing = |text: &str| match text.trim().is_empty() {
            true => "\\&\n".to_owned(),
            false => text.to_owned(),
        };
        out.push_str(&term(&or_nothing(first), ""));
        out.push_str(&or_nothing(&text));
    }
    out
}

/// How many letters a cell shows, about: an escape is one.
fn width(cell: &str) -> usize {
    let mut count = 0;
    let mut rest = cell;
    while let Some(c) = rest.chars().next() {
        let (length, shown) = match rest.as_bytes() {
            [b'\\', b'f', ..] => (3, 0),
            [b'\\', b'(', ..] => (4, 1),
            [b'\\', b'[', ..] => (rest.find(']').map_or(2, |at| at + 1), 1),
            [b'\\', ..] => (2, 1),
            _ => (c.len_utf8(), 1),
        };
        count += shown;
        rest = rest.get(length..).unwrap_or("");
    }
    count
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn widths_are_those_of_what_shows() {
        assert_eq!(width("\\fBa\\-b\\fR \\(aq \\[u2026]"), 7);
    }

    #[test]
    fn two_columns_are_terms() {
        let row = vec!["0".to_owned(), "done".to_owned()];
        let text = render(&["status".into(), "meaning".into()], &[row]);
        assert_eq!(text, ".PP\n\\fIstatus\\fR: \\fImeaning\\fR\n.TP\n0\ndone\n");
    }
}
