//! Text as roff: escapes, fonts, and the start of a line, where a dot or a quote would be a request.

/// Letters of a word above which a line may end inside it.
const LONG: usize = 24;

/// `text` so that roff shows it as it is. Long words, such as paths, may be broken behind their punctuation.
pub(crate) fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for word in text.split_inclusive(char::is_whitespace) {
        let is_long = word.chars().count() > LONG;
        for c in word.chars() {
            push(&mut out, c);
            if is_long && matches!(c, '/' | '=' | ',' | '|' | ':' | '_' | '-' | '.') {
                out.push_str("\\:");
            }
        }
    }
    out
}

/// `text` as it is, never broken.
pub(crate) fn escape_whole(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    text.chars().for_each(|c| push(&mut out, c));
    out
}

fn push(out: &mut String, c: char) {
    match c {
        '\\' => out.push_str("\\e"),
        '-' => out.push_str("\\-"),
        '\'' => out.push_str("\\(aq"),
        '`' => out.push_str("\\(ga"),
        '^' => out.push_str("\\(ha"),
        '~' => out.push_str("\\(ti"),
        '"' => out.push_str("\\(dq"),
        // Input in ASCII alone is read the same by every roff in every locale.
        c if !c.is_ascii() => out.push_str(&format!("\\[u{:04X}]", u32::from(c))),
        c => out.push(c),
    }
}

/// Escaped text in bold.
pub(crate) fn bold(text: &str) -> String {
    format!("\\fB{}\\fR", escape(text))
}

/// Escaped text in italics.
pub(crate) fn italic(text: &str) -> String {
    format!("\\fI{}\\fR", escape(text))
}

/// Lines of roff text, none of which is taken for a request, and without blank lines.
pub(crate) fn lines(roff: &str) -> String {
    let mut out = String::with_capacity(roff.len() + 16);
    for line in roff.lines() {
        let line = line.trim();
        if line.is_empty() {
            continue;
        }
        if line.starts_with('.') {
            out.push_str("\\&");
        }
        out.push_str(line);
        out.push('\n');
    }
    out
}

/// A block that is shown as it is written.
pub(crate) fn verbatim(text: &str) -> String {
    let mut out = String::from(".RS 4\n.EX\n");
    for line in text.trim_end().lines() {
        if line.starts_with('.') {
            out.push_str("\\&");
        }
        out.push_str(&escape_whole(line));
        out.push('\n');
    }
    out.push_str(".EE\n.RE\n");
    out
}

/// An entry of a list of terms, both in roff.
pub(crate) fn term(term: &str, text: &str) -> String {
    format!(".TP\n{}{}", lines(term), lines(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_taken_for_a_request_or_an_escape() {
        assert_eq!(escape(r"a-b\n 'x' …"), r"a\-b\en \(aqx\(aq \[u2026]");
        assert_eq!(lines(".slotfs\n\n  next "), "\\&.slotfs\nnext\n");
        assert_eq!(verbatim(".x\n-y\n"), ".RS 4\n.EX\n\\&.x\n\\-y\n.EE\n.RE\n");
    }
}
