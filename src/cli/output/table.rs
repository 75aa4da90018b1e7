//! Tables as wide as the terminal. Where the rows do not fit, the cells of columns with free text are wrapped; where even
//! that does not fit, each row becomes a block of `name: value` lines. Nothing is cut off. Output that does not go to a
//! terminal keeps whole lines, for scripts.

use std::io::{self, IsTerminal};
use std::os::fd::AsFd;

use unicode_width::UnicodeWidthStr;

/// Between two columns.
const GAP: &str = "  ";
/// A column with free text is not made narrower than this many columns of the terminal.
const LEAST_TEXT: usize = 12;
/// Values beside their names are not: a serial number stays on its line.
const LEAST_VALUE: usize = 20;
/// No terminal is taken to be narrower.
const LEAST_WIDTH: usize = 20;

/// The columns of the terminal that `stream` goes to, `None` where it goes elsewhere. `$COLUMNS` comes before what the
/// terminal says.
pub(crate) fn terminal_width(stream: &(impl IsTerminal + AsFd)) -> Option<usize> {
    if !stream.is_terminal() {
        return None;
    }
    let stated = std::env::var("COLUMNS").ok();
    let stated = stated.and_then(|text| text.parse().ok());
    let own = || {
        let size = rustix::termios::tcgetwinsize(stream).ok()?;
        Some(usize::from(size.ws_col))
    };
    let width = stated.filter(|&width| width > 0).or_else(own);
    // A terminal that does not know its size says 0.
    width
        .filter(|&width| width > 0)
        .map(|width| width.max(LEAST_WIDTH))
}

/// The columns of the terminal that answers go to.
pub(crate) fn width() -> Option<usize> {
    match super::DATA_ON_STDOUT.load(std::sync::atomic::Ordering::Relaxed) {
        true => terminal_width(&io::stderr()),
        false => terminal_width(&io::stdout()),
    }
}

/// Rows of as many cells, the first one the heading, in `width` columns of a terminal. `wrapped` are the columns whose
/// cells may take several lines.
pub(crate) fn table(rows: &[Vec<String>], wrapped: &[usize], width: Option<usize>) -> String {
    let natural = widths(rows);
    match width {
        // A heading is not wrapped.
        Some(width) => match fitted(
            &natural,
            &widths(rows.get(..1).unwrap_or_default()),
            wrapped,
            width,
        ) {
            Some(fitted) => aligned(rows, &fitted),
            None => blocks(rows, width),
        },
        None => aligned(rows, &natural),
    }
}

/// Names and values, each name followed by `after`.
pub(crate) fn pairs(pairs: &[(String, String)], after: &str, width: Option<usize>) -> String {
    let row = |(name, value): &(String, String)| vec![format!("{name}{after}"), value.clone()];
    let rows: Vec<Vec<String>> = pairs.iter().map(row).collect();
    let natural = widths(&rows);
    let Some(width) = width else {
        return aligned(&rows, &natural);
    };
    match fitted(&natural, &[0, LEAST_VALUE], &[1], width) {
        Some(fitted) => aligned(&rows, &fitted),
        None => pairs_in(pairs, width),
    }
}

/// Names and values as lunacm writes them, `Label ->`, indented where there is room for that.
pub(crate) fn arrows(named: &[(String, String)], width: Option<usize>) -> String {
    const INDENT: &str = "        ";
    const ROOMY: usize = 60;
    if width.is_some_and(|width| width < ROOMY) {
        return pairs(named, " ->", width);
    }
    let width = width.map(|width| width - INDENT.len());
    let lines = pairs(named, " ->", width);
    lines
        .lines()
        .map(|line| format!("{INDENT}{line}\n"))
        .collect()
}

/// The widest cell of each column.
fn widths(rows: &[Vec<String>]) -> Vec<usize> {
    (0..rows.first().map_or(0, Vec::len))
        .map(|column| {
            let cells = rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.width()).max().unwrap_or(0)
        })
        .collect()
}

/// Widths of columns that fit. The widest of the `wrapped` columns give way first, none of them below `least`; `None`
/// where that is not enough.
fn fitted(
    natural: &[usize],
    least: &[usize],
    wrapped: &[usize],
    width: usize,
) -> Option<Vec<usize>> {
    let mut widths = natural.to_vec();
    let gaps = GAP.len() * widths.len().saturating_sub(1);
    let least = |column: usize| {
        least
            .get(column)
            .map_or(LEAST_TEXT, |&it| it.max(LEAST_TEXT))
    };
    while widths.iter().sum::<usize>() + gaps > width {
        let widest = wrapped
            .iter()
            .copied()
            .filter(|&column| widths.get(column).is_some_and(|&now| now > least(column)))
            .max_by_key(|&column| widths.get(column).copied())?;
        *widths.get_mut(widest)? -= 1;
    }
    Some(widths)
}

fn aligned(rows: &[Vec<String>], widths: &[usize]) -> String {
    let mut text = String::new();
    for row in rows {
        let cells: Vec<Vec<String>> = row
            .iter()
            .zip(widths)
            .map(|(cell, &width)| wrap(cell, width))
            .collect();
        let lines = cells.iter().map(Vec::len).max().unwrap_or(1).max(1);
        for line in 0..lines {
            let parts: Vec<String> = cells
                .iter()
                .zip(widths)
                .map(|(cell, &width)| padded(cell.get(line).map_or("", String::as_str), width))
                .collect();
            text.push_str(parts.join(GAP).trim_end());
            text.push('\n');
        }
    }
    text
}

fn padded(cell: &str, width: usize) -> String {
    let missing = width.saturating_sub(cell.width());
    format!("{cell}{}", " ".repeat(missing))
}

/// Each row below the heading as lines of its own, with an empty line between two rows.
fn blocks(rows: &[Vec<String>], width: usize) -> String {
    let Some((heading, rows)) = rows.split_first() else {
        return String::new();
    };
    if rows.is_empty() {
        return lines(&heading.join(GAP), "", width);
    }
    let block = |row: &Vec<String>| {
        let named: Vec<(String, String)> = heading.iter().cloned().zip(row.clone()).collect();
        pairs_in(&named, width)
    };
    let blocks: Vec<String> = rows.iter().map(block).collect();
    blocks.join("\n")
}

fn pairs_in(pairs: &[(String, String)], width: usize) -> String {
    let line = |(name, value): &(String, String)| {
        lines(format!("{}: {value}", name.trim()).trim_end(), GAP, width)
    };
    pairs.iter().map(line).collect()
}

/// A text in lines of `width` columns, all but the first indented.
fn lines(text: &str, indent: &str, width: usize) -> String {
    let wrapped = if text.width() <= width {
        vec![text.to_owned()]
    } else {
        wrap(text, width.saturating_sub(indent.len()))
    };
    let mut all = String::new();
    for (at, line) in wrapped.iter().enumerate() {
        if at > 0 {
            all.push_str(indent);
        }
        all.push_str(line);
        all.push('\n');
    }
    all
}

/// `text` in pieces of at most `width` columns: between words where that is possible. A character that joins the one
/// before it stays with it. A single character that is wider than `width` has a piece of its own.
fn wrap(text: &str, width: usize) -> Vec<String> {
    if text.width() <= width {
        return vec![text.to_owned()];
    }
    let mut pieces = Vec::new();
    let mut piece = String::new();
    for c in text.chars() {
        piece.push(c);
        if piece.width() <= width || piece.chars().count() == 1 {
            continue;
        }
        // The piece was not too wide without its last character; that one may be a space.
        let end = piece.len() - c.len_utf8();
        let cut = match piece.rfind(' ').filter(|&at| at > 0) {
            Some(at) => at,
            None => end,
        };
        let rest = piece.split_off(cut);
        pieces.push(piece.trim_end().to_owned());
        piece = rest.trim_start_matches(' ').to_owned();
    }
    if !piece.is_empty() || pieces.is_empty() {
        pieces.push(piece);
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(cells: &[&[&str]]) -> Vec<Vec<String>> {
        let row = |row: &&[&str]| row.iter().map(|&cell| cell.to_owned()).collect();
        cells.iter().map(row).collect()
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let rows = rows(&[&["handle", "label"], &["1", "a"], &["1000000", "b"]]);
        let text = "handle   label\n1        a\n1000000  b\n";
        assert_eq!(table(&rows, &[1], None), text);
        assert_eq!(table(&rows, &[1], Some(80)), text);
    }

    /// Wide characters take two columns, combining ones none.
    #[test]
    fn widths_are_those_of_a_terminal() {
        let rows = rows(&[&["label", "n"], &["鍵鍵鍵", "1"], &["e\u{301}", "2"]]);
        let text = "label   n\n鍵鍵鍵  1\ne\u{301}       2\n";
        assert_eq!(table(&rows, &[0], None), text);
    }

    #[test]
    fn text_is_wrapped_where_the_row_does_not_fit() {
        let label = "a label of thirty two characters";
        let rows = rows(&[&["Handle", "Label"], &["7", label]]);
        assert_eq!(
            table(&rows, &[1], Some(30)),
            "Handle  Label\n7       a label of thirty two\n        characters\n"
        );
        let full = table(&rows, &[1], None);
        assert_eq!(full, format!("Handle  Label\n7       {label}\n"));
    }

    #[test]
    fn a_row_that_cannot_fit_is_a_block() {
        let ouid = "0123456789abcdef01234567";
        let rows = rows(&[
            &["Handle", "OUID", "Label"],
            &["7", ouid, "a label of thirty two characters"],
            &["8", ouid, ""],
        ]);
        assert_eq!(
            table(&rows, &[2], Some(34)),
            format!(
                "Handle: 7\nOUID: {ouid}\nLabel: a label of thirty two\n  characters\n\nHandle: 8\nOUID: {ouid}\nLabel:\n"
            )
        );
    }

    /// Whatever the texts, no line is wider than the terminal.
    #[test]
    fn nothing_is_wider_than_the_terminal() {
        let texts = [
            "",
            "plain",
            "words and words and words and more words than fit",
            "0123456789abcdef0123456789abcdef0123456789abcdef",
            "鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵鍵",
            "e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}e\u{301}",
            "\u{263a}\u{fe0f}\u{263a}\u{fe0f} \u{1f469}\u{200d}\u{1f680}",
        ];
        for width in LEAST_WIDTH..100 {
            for text in texts {
                let all = rows(&[&["Handle", "OUID", "Label"], &["4294967295", text, text]]);
                let named = [("A name of some length".to_owned(), text.to_owned())];
                for shown in [
                    table(&all, &[2], Some(width)),
                    pairs(&named, "", Some(width)),
                    pairs(&named, " ->", Some(width)),
                ] {
                    for line in shown.lines() {
                        assert!(line.width() <= width, "{width}: {line:?}");
                    }
                    let bare = |text: &str| text.replace([' ', '\n'], "");
                    assert!(bare(&shown).contains(&bare(text)), "{width}: {shown:?}");
                }
            }
        }
    }
}
