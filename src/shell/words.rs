//! Splits lines of the shell into commands and words: quotes and backslashes work as in POSIX shells, `;` and line ends
//! separate commands, and `#` at the start of a word begins a comment.

use zeroize::Zeroizing;

use crate::error::{Error, Result};

/// The longest line, in bytes.
pub(crate) const MOST_BYTES: usize = 64 * 1024;

/// A character outside quotes with a meaning.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Mark {
    /// Between words.
    Space,
    /// Between commands.
    End,
    /// The rest of the line is a comment.
    Comment,
}

/// Every mark with its place, and the quote that is open at the end.
fn marks(text: &str) -> (Vec<(usize, Mark)>, Option<char>) {
    let mut marks = Vec::new();
    let mut quote = None;
    let mut comment = false;
    let mut word = false;
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        let mark = match (quote, c) {
            (_, '\n') if quote.is_none() => Some(Mark::End),
            _ if comment => continue,
            (Some('\''), '\'') | (Some('"'), '"') => {
                quote = None;
                None
            }
            (Some('\''), _) => None,
            (_, '\\') => {
                chars.next();
                None
            }
            (Some(_), _) => None,
            (None, '\'' | '"') => {
                quote = Some(c);
                None
            }
            (None, ';') => Some(Mark::End),
            (None, ' ' | '\t') => Some(Mark::Space),
            (None, '#') if !word => Some(Mark::Comment),
            (None, _) => None,
        };
        comment = mark == Some(Mark::Comment);
        word = mark.is_none();
        marks.extend(mark.map(|mark| (at, mark)));
    }
    (marks, quote)
}

/// The commands of a text, without comments and empty commands.
pub(crate) fn commands(text: &str) -> Vec<&str> {
    let mut commands = Vec::new();
    let mut start = 0;
    let mut end = None;
    for (at, mark) in marks(text).0 {
        match mark {
            Mark::Space => {}
            Mark::Comment => end = Some(at),
            Mark::End => {
                commands.push(&text[start..end.take().unwrap_or(at)]);
                start = at + 1;
            }
        }
    }
    commands.push(&text[start..end.unwrap_or(text.len())]);
    commands
        .into_iter()
        .map(str::trim)
        .filter(|command| !command.is_empty())
        .collect()
}

/// The words of a command, without a `slotfs` before them, as in examples; `?` becomes `help`.
///
/// # Errors
/// [`Error::Usage`] when a quote is not closed, or the line is too long or not text.
pub(crate) fn words(command: &str) -> Result<Zeroizing<Vec<String>>> {
    if command.len() > MOST_BYTES {
        return Err(Error::Usage(format!(
            "the line is longer than {MOST_BYTES} bytes; make it shorter"
        )));
    }
    if command.contains('\0') {
        return Err(Error::Usage(
            "the line contains a NUL character; remove it".into(),
        ));
    }
    let mut words = shell_words::split(command)
        .map(Zeroizing::new)
        .map_err(|_| {
            Error::Usage(
                "a quote is not closed; close it, or put a backslash before it if it is meant as a character"
                    .into(),
            )
        })?;
    if words
        .first()
        .is_some_and(|word| word.eq_ignore_ascii_case("slotfs"))
    {
        words.remove(0);
    }
    if let Some(word) = words.first_mut().filter(|word| word.as_str() == "?") {
        "help".clone_into(word);
    }
    Ok(words)
}

/// A line up to the cursor, for completion.
pub(crate) struct Typed {
    /// The words before the one under the cursor.
    pub(crate) before: Zeroizing<Vec<String>>,
    /// Where the word under the cursor starts in the line.
    pub(crate) start: usize,
    /// That word up to the cursor, without its quotes.
    pub(crate) word: Zeroizing<String>,
}

impl Typed {
    /// `None` if nothing can be completed, as in a comment.
    pub(crate) fn of(line: &str) -> Option<Self> {
        let (marks, quote) = marks(line);
        if matches!(marks.last(), Some((_, Mark::Comment))) {
            return None;
        }
        let after = |at: Option<&(usize, Mark)>| at.map_or(0, |(at, _)| at + 1);
        let command = after(marks.iter().rev().find(|(_, mark)| *mark == Mark::End));
        let start = after(marks.last());
        let before = words(&line[command..start]).ok()?;
        let mut word = Zeroizing::new(line[start..].to_owned());
        word.extend(quote);
        let mut split = Zeroizing::new(shell_words::split(&word).ok()?);
        let word = Zeroizing::new(split.pop().unwrap_or_default());
        Some(Self {
            before,
            start,
            word,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_end_at_semicolons_and_lines_outside_quotes() {
        for (text, expected) in [
            ("", &[][..]),
            (" ; ;\n# only this; and 'that\n", &[]),
            ("a b; c", &["a b", "c"]),
            ("a 'x;y' \"z;\\\";\" ; c", &["a 'x;y' \"z;\\\";\"", "c"]),
            ("a \\; b\nc # d; e\nf#g", &["a \\; b", "c", "f#g"]),
            ("a 'x\ny'", &["a 'x\ny'"]),
            ("a\r\nb\r\n", &["a", "b"]),
            ("a 'open; b", &["a 'open; b"]),
            ("# don't\nb", &["b"]),
        ] {
            assert_eq!(commands(text), expected, "{text:?}");
        }
    }

    #[test]
    fn words_are_those_of_posix_shells() {
        let words = |text: &str| words(text).map(|words| words.to_vec());
        assert_eq!(
            words("slotfs a 'b c' d\\ e \"f'g\" ''").unwrap(),
            ["a", "b c", "d e", "f'g", ""]
        );
        assert_eq!(words("? slot").unwrap(), ["help", "slot"]);
        assert!(words("a 'b").is_err());
        assert!(words("a \0").is_err());
        assert!(words(&"a".repeat(MOST_BYTES + 1)).is_err());
    }

    #[test]
    fn the_word_under_the_cursor_is_found() {
        for (line, before, start, word) in [
            ("", &[][..], 0, ""),
            ("par", &[], 0, "par"),
            ("slot list; par", &[], 11, "par"),
            ("a b 'c d", &["a", "b"], 4, "c d"),
            ("a 'b ", &["a"], 2, "b "),
            ("a b ", &["a", "b"], 4, ""),
        ] {
            let typed = Typed::of(line).unwrap();
            assert_eq!(*typed.before, before, "{line:?}");
            assert_eq!((typed.start, typed.word.as_str()), (start, word));
        }
        assert!(Typed::of("a # b").is_none());
    }
}
