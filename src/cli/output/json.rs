//! JSON as text that a terminal does not obey and that nobody can forge a line or a direction in.

use serde_json::Value;

use crate::object::show;

/// A document over several lines, without a line ending.
pub(crate) fn pretty(document: &Value) -> String {
    escaped(&format!("{document:#}"))
}

/// A value on one line.
pub(crate) fn compact(value: &Value) -> String {
    escaped(&value.to_string())
}

/// Only strings hold such characters in JSON, and there `\u` and four digits mean the same.
fn escaped(json: &str) -> String {
    let mut text = String::with_capacity(json.len());
    for c in json.chars() {
        if c != '\n' && show::is_hazardous(c) {
            for unit in c.encode_utf16(&mut [0; 2]) {
                text.push_str(&format!("\\u{unit:04x}"));
            }
        } else {
            text.push(c);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_a_terminal_would_obey_is_escaped_and_means_the_same() {
        let label = "a\u{7f}\u{85}\u{9b}2J\u{2028}\u{2029}\u{202e}\u{2066}\u{200f}\u{61c}\u{feff}\u{e0001}\n\u{1b}ä鍵";
        let document = json!({ "label": label });
        for text in [pretty(&document), compact(&document)] {
            let raw = |c| c != '\n' && show::is_hazardous(c);
            assert!(!text.contains(raw), "{text:?}");
            assert!(
                text.contains("\\u009b2J")
                    && text.contains("\\udb40\\udc01")
                    && text.contains("ä鍵")
            );
            assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
        }
    }
}
