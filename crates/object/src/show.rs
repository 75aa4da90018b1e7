//! Objects as text and JSON: every attribute except secret values, and no character that a terminal obeys.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::pkcs11::{
    CKA_ID, CKA_LABEL, attribute_name, class_name, is_secret, key_type_name, value_name,
};
use super::{Attribute, Object};

/// The rows of `object`, name and value: `ouid`, `class`, `key type`, `created`, `revision`, `changed`, `label`, `id`, then every other
/// attribute under its PKCS#11 name, in the order of CKA numbers.
///
/// Bytes are lower-case hexadecimal, secrets are `(secret, N bytes)`, dates are ISO 8601, times in UTC, and `-`
/// stands for a missing value. No value holds a line break or another control character, because text is
/// [`escape`]d.
pub fn attributes(object: &Object) -> Vec<(String, String)> {
    let named = |number| match object.attributes.get(&number) {
        Some(value) => text(object.class, number, value),
        None => "-".to_owned(),
    };
    let mut rows = vec![
        ("ouid".to_owned(), object.ouid.to_string()),
        ("class".to_owned(), class_name(object.class)),
        ("key type".to_owned(), key_type_name(object.key_type)),
        ("created".to_owned(), iso_8601(object.created_secs)),
        ("revision".to_owned(), object.revision.number.to_string()),
        (
            "changed".to_owned(),
            object.changed_secs().map_or("-".to_owned(), iso_8601),
        ),
        ("label".to_owned(), named(CKA_LABEL)),
        ("id".to_owned(), named(CKA_ID)),
    ];
    rows.extend(rest(object).map(|(&number, value)| {
        let value = text(object.class, number, value);
        (attribute_name(number), value)
    }));
    rows
}

/// `object` as JSON of this shape, without secret values:
///
/// ```json
/// {
///   "ouid": "3f9c…", "class": "secret key", "key_type": "AES",
///   "created": "2026-01-02T03:04:05Z", "created_secs": 1767323045,
///   "revision": 0, "changed": null, "changed_secs": null,
///   "label": "text", "id": "cafe",
///   "attributes": {
///     "CKA_SENSITIVE": true,
///     "CKA_VALUE_LEN": 32,
///     "CKA_MODULUS": "c3ab…",
///     "CKA_START_DATE": "2026-01-02",
///     "CKA_KEY_GEN_MECHANISM": "CKM_AES_KEY_GEN",
///     "CKA_VALUE": { "secret": true, "bytes": 32 }
///   }
/// }
/// ```
///
/// `key_type` and `id` are null for an object without them, `changed` for one at revision 0. Text is exact, not [`escape`]d: the escapes of JSON keep it
/// on one line, but a program that prints it must escape it.
pub fn json(object: &Object) -> Value {
    let named = |number| match object.attributes.get(&number) {
        Some(value) => value_json(object.class, number, value),
        None => Value::Null,
    };
    let rest: Map<String, Value> = rest(object)
        .map(|(&number, value)| {
            let value = value_json(object.class, number, value);
            (attribute_name(number), value)
        })
        .collect();
    json!({
        "ouid": object.ouid.to_string(),
        "class": class_name(object.class),
        "key_type": object.key_type.map(|number| key_type_name(Some(number))),
        "created": iso_8601(object.created_secs),
        "created_secs": object.created_secs,
        "revision": object.revision.number,
        "changed": object.changed_secs().map(iso_8601),
        "changed_secs": object.changed_secs(),
        "label": named(CKA_LABEL),
        "id": named(CKA_ID),
        "attributes": rest,
    })
}

/// Makes `text` safe to print on one line of a terminal: backslashes are doubled, and control, line-separating, invisible
/// and direction-changing characters become `\n`, `\r`, `\t` or `\u{…}`. The result is unambiguous: no label can look
/// like the escaped form of another label.
pub fn escape(text: &str) -> String {
    escape_if(text, |c| c == '\\' || is_hazardous(c))
}

/// As [`escape`], but backslashes stay: for text whose parts are escaped already.
pub fn escape_controls(text: &str) -> String {
    escape_if(text, is_hazardous)
}

fn escape_if(text: &str, needs_escape: impl Fn(char) -> bool) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match needs_escape(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// Whether a terminal obeys a character, or the character makes a text look like another text.
pub fn is_hazardous(c: char) -> bool {
    c.is_control() || is_deceptive(c)
}

/// Whether a character is invisible, ends a line, or reorders its neighbours. Such characters can make one label look
/// like another (Unicode TR 36).
fn is_deceptive(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{34f}'
            | '\u{61c}'
            | '\u{115f}'..='\u{1160}'
            | '\u{180b}'..='\u{180f}'
            | '\u{200b}'..='\u{200f}'
            | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{3164}'
            | '\u{fe00}'..='\u{fe0f}'
            | '\u{feff}'
            | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// All attributes except label and id.
fn rest(object: &Object) -> impl Iterator<Item = (&u32, &Attribute)> {
    object
        .attributes
        .iter()
        .filter(|(number, _)| ![CKA_LABEL, CKA_ID].contains(number))
}

fn text(class: u32, number: u32, value: &Attribute) -> String {
    match value_json(class, number, value) {
        Value::String(text) => escape(&text),
        Value::Object(hidden) => format!("(secret, {} bytes)", hidden["bytes"]),
        plain => plain.to_string(),
    }
}

/// Asks [`is_secret`] as well as the type of the value: a secret in the clear, which no stored object has, would still
/// not be shown.
fn value_json(class: u32, number: u32, value: &Attribute) -> Value {
    let is_secret = is_secret(class, number);
    match value {
        Attribute::Secret(value) => hidden(value.bytes().len()),
        Attribute::Bytes(value) if is_secret => hidden(value.len()),
        Attribute::Text(value) if is_secret => hidden(value.len()),
        _ if is_secret => hidden(size_of::<u64>()),
        Attribute::Bool(value) => json!(value),
        Attribute::Number(value) => match value_name(number, *value) {
            Some(name) => json!(name),
            None => json!(value),
        },
        Attribute::Bytes(value) => json!(HEXLOWER.encode(value)),
        Attribute::Text(value) => json!(value),
        Attribute::Date(value) => json!(value.to_string()),
    }
}

fn hidden(bytes: usize) -> Value {
    json!({ "secret": true, "bytes": bytes })
}

/// Seconds since 1970 as `2026-01-02T03:04:05Z`. A year after 9999 has the sign that ISO 8601 requires.
pub fn iso_8601(secs: u64) -> String {
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Howard Hinnant's "civil from days": in years that start in March the leap day is the last day, and the calendar
    // repeats every 400 years. No overflow: days are below 2^48.
    let days = days + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_from_march + 2) / 5 + 1;
    let (month, carry) = match month_from_march {
        0..=9 => (month_from_march + 3, 0),
        _ => (month_from_march - 9, 1),
    };
    let year = era * 400 + year_of_era + carry;
    let sign = if year > 9999 { "+" } else { "" };
    format!("{sign}{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::pkcs11::*;
    use crate::revision::Revision;
    use crate::secret::SecretBytes;
    use crate::{Date, Ouid};

    fn key() -> Object {
        let mut key = Object::new(CKO_SECRET_KEY, Some(CKK_AES)).unwrap();
        for number in [
            CKA_TOKEN,
            CKA_PRIVATE,
            CKA_SENSITIVE,
            CKA_ENCRYPT,
            CKA_DECRYPT,
            CKA_WRAP,
            CKA_UNWRAP,
            CKA_SIGN,
            CKA_VERIFY,
            CKA_COPYABLE,
            CKA_DESTROYABLE,
        ] {
            key.set(number, Attribute::Bool(true));
        }
        for number in [
            CKA_TRUSTED,
            CKA_DERIVE,
            CKA_EXTRACTABLE,
            CKA_LOCAL,
            CKA_NEVER_EXTRACTABLE,
            CKA_ALWAYS_SENSITIVE,
            CKA_MODIFIABLE,
            CKA_WRAP_WITH_TRUSTED,
        ] {
            key.set(number, Attribute::Bool(false));
        }
        let label = "line\n\u{1b}[2Jend".to_owned();
        key.set(CKA_LABEL, Attribute::Text(label));
        key.set(CKA_ID, Attribute::Bytes(vec![0xca, 0xfe]));
        let mechanism = Attribute::Number(CK_UNAVAILABLE_INFORMATION);
        key.set(CKA_KEY_GEN_MECHANISM, mechanism);
        key.set(CKA_VALUE_LEN, Attribute::Number(32));
        let value = SecretBytes::new(vec![0xab; 32]);
        key.set(CKA_VALUE, Attribute::Secret(value));
        key.ouid = Ouid([0x0f; 16]);
        key.created_secs = 1_767_323_045;
        key
    }

    #[test]
    fn rows_of_a_key_to_the_letter() {
        let rows: Vec<String> = attributes(&key())
            .iter()
            .map(|(name, value)| format!("{name}: {value}"))
            .collect();
        assert_eq!(
            rows,
            [
                "ouid: 0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f",
                "class: secret key",
                "key type: AES",
                "created: 2026-01-02T03:04:05Z",
                "revision: 0",
                "changed: -",
                r"label: line\n\u{1b}[2Jend",
                "id: cafe",
                "CKA_TOKEN: true",
                "CKA_PRIVATE: true",
                "CKA_VALUE: (secret, 32 bytes)",
                "CKA_TRUSTED: false",
                "CKA_SENSITIVE: true",
                "CKA_ENCRYPT: true",
                "CKA_DECRYPT: true",
                "CKA_WRAP: true",
                "CKA_UNWRAP: true",
                "CKA_SIGN: true",
                "CKA_VERIFY: true",
                "CKA_DERIVE: false",
                "CKA_VALUE_LEN: 32",
                "CKA_EXTRACTABLE: false",
                "CKA_LOCAL: false",
                "CKA_NEVER_EXTRACTABLE: false",
                "CKA_ALWAYS_SENSITIVE: false",
                "CKA_KEY_GEN_MECHANISM: CK_UNAVAILABLE_INFORMATION",
                "CKA_MODIFIABLE: false",
                "CKA_COPYABLE: true",
                "CKA_DESTROYABLE: true",
                "CKA_WRAP_WITH_TRUSTED: false",
            ]
        );
    }

    #[test]
    fn json_has_the_documented_shape() {
        let shown = json(&key());
        assert_eq!(shown["label"], "line\n\u{1b}[2Jend");
        assert_eq!(shown["id"], "cafe");
        assert_eq!(shown["key_type"], "AES");
        assert_eq!(shown["created_secs"], 1_767_323_045u64);
        assert_eq!(
            (&shown["revision"], &shown["changed"]),
            (&json!(0), &Value::Null)
        );
        let mut changed = key();
        changed.revision = Revision {
            number: 2,
            changed_secs: 1_767_323_046,
        };
        let shown_changed = json(&changed);
        assert_eq!(shown_changed["revision"], 2);
        assert_eq!(shown_changed["changed"], "2026-01-02T03:04:06Z");
        assert_eq!(shown_changed["changed_secs"], 1_767_323_046u64);
        assert_eq!(shown["attributes"]["CKA_VALUE_LEN"], 32);
        assert_eq!(
            shown["attributes"]["CKA_VALUE"],
            json!({ "secret": true, "bytes": 32 })
        );
        let mut plain = Object::new(CKO_DATA, None).unwrap();
        plain.set(CKA_LABEL, Attribute::Text(String::new()));
        let shown = json(&plain);
        assert_eq!(shown["key_type"], Value::Null);
        assert_eq!(shown["id"], Value::Null);
        assert_eq!(shown["label"], "");
    }

    #[test]
    fn a_secret_is_hidden_even_in_the_wrong_type() {
        for value in [
            Attribute::Secret(SecretBytes::new(vec![0xab; 8])),
            Attribute::Bytes(vec![0xab; 8]),
            Attribute::Number(0xabab_abab_abab_abab),
            Attribute::Text("abababab".to_owned()),
        ] {
            let mut object = Object::new(CKO_PRIVATE_KEY, None).unwrap();
            object.ouid = Ouid([0; 16]);
            object.attributes.insert(CKA_VALUE, value);
            let rows = attributes(&object);
            assert_eq!(rows.last().unwrap().1, "(secret, 8 bytes)");
            let all = format!("{rows:?}{}", json(&object));
            assert!(!all.contains("abab") && !all.contains("12370169555311111083"));
        }
    }

    #[test]
    fn no_row_can_be_forged() {
        let mut object = key();
        for (number, value) in [
            (CKA_PRIVATE, Attribute::Text("a\r\nclass: data".to_owned())),
            (CKA_SENSITIVE, Attribute::Text("\u{9b}2J\u{7f}".to_owned())),
            (
                0x8000_0001,
                Attribute::Date(Date {
                    year: 7,
                    month: 1,
                    day: 2,
                }),
            ),
        ] {
            object.attributes.insert(number, value);
        }
        let rows = attributes(&object);
        assert!(
            rows.iter()
                .all(|(name, value)| !name.contains(char::is_control)
                    && !value.contains(char::is_control))
        );
        let last = rows.last().unwrap();
        assert_eq!(last, &("0x80000001".to_owned(), "0007-01-02".to_owned()));
    }

    #[test]
    fn escapes_are_unambiguous_and_leave_words_alone() {
        for (given, shown) in [
            ("", ""),
            ("Schlüssel 'ä' \"b\" 鍵 🔑", "Schlüssel 'ä' \"b\" 鍵 🔑"),
            ("a\nb\r\tc\0", r"a\nb\r\tc\u{0}"),
            (r"a\nb", r"a\\nb"),
            ("\u{1b}[31m\u{9b}", r"\u{1b}[31m\u{9b}"),
            ("x\u{202e}y\u{2028}\u{feff}", r"x\u{202e}y\u{2028}\u{feff}"),
        ] {
            assert_eq!(escape(given), shown);
        }
    }

    #[test]
    fn times_at_the_edges_of_the_calendar() {
        for (secs, shown) in [
            (0, "1970-01-01T00:00:00Z"),
            (68_169_599, "1972-02-28T23:59:59Z"),
            (68_169_600, "1972-02-29T00:00:00Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (951_868_800, "2000-03-01T00:00:00Z"),
            (4_107_542_400, "2100-03-01T00:00:00Z"),
            (4_107_542_399, "2100-02-28T23:59:59Z"),
            (253_402_300_799, "9999-12-31T23:59:59Z"),
            (253_402_300_800, "+10000-01-01T00:00:00Z"),
            (u64::MAX, "+584554051223-11-09T07:00:15Z"),
        ] {
            assert_eq!(iso_8601(secs), shown);
        }
    }
}
