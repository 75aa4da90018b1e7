//! Showing objects: every attribute but no secret value, and nothing that a terminal would obey.

use data_encoding::HEXLOWER;
use serde_json::{Map, Value, json};

use super::pkcs11::{
    CKA_CERTIFICATE_TYPE, CKA_ID, CKA_KEY_GEN_MECHANISM, CKA_LABEL, attribute_name,
    certificate_type_name, class_name, is_secret, key_type_name, mechanism_name,
};
use super::{Attribute, Object};

/// One row of name and value for each fact of `object`: `ouid`, `class`, `key type`, `created`,
/// `label`, `id`, then every other attribute by its CKA number under its PKCS#11 name.
///
/// Bytes are lower-case hexadecimal, whole; secret ones `(secret, N bytes)`; dates and `created` ISO
/// 8601, the latter in UTC; what an object has not is `-`. No value holds a line break or any other
/// control character: text is [`escape`]d.
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
        ("label".to_owned(), named(CKA_LABEL)),
        ("id".to_owned(), named(CKA_ID)),
    ];
    rows.extend(rest(object).map(|(&number, value)| {
        let value = text(object.class, number, value);
        (attribute_name(number), value)
    }));
    rows
}

/// `object` as JSON, of this shape, without secret values:
///
/// ```json
/// {
///   "ouid": "3f9c…", "class": "secret key", "key_type": "AES",
///   "created": "2026-01-02T03:04:05Z", "created_secs": 1767323045,
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
/// `key_type` and `id` are null for what has none. Text is exact, not [`escape`]d: JSON's own escapes
/// keep it on its line, but a program that prints it must escape it.
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
        "label": named(CKA_LABEL),
        "id": named(CKA_ID),
        "attributes": rest,
    })
}

/// `text` on one line and without effect on a terminal: backslashes are doubled, and control,
/// line-separating, invisible and direction-changing characters become `\n`, `\r`, `\t` or `\u{…}`.
/// What this gives is unambiguous: a label cannot look like the escape of another.
pub fn escape(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c == '\\' || is_hazardous(c) {
            out.extend(c.escape_default());
        } else {
            out.push(c);
        }
    }
    out
}

/// `text` on one line and without effect on a terminal, as [`escape`] but with its backslashes as they are: for text
/// whose parts are escaped already.
pub fn escape_controls(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match is_hazardous(c) {
            true => out.extend(c.escape_default()),
            false => out.push(c),
        }
    }
    out
}

/// Characters that a terminal obeys, or by which text looks like other text.
pub fn is_hazardous(c: char) -> bool {
    c.is_control() || is_deceptive(c)
}

/// Characters that show as nothing, end a line, or reorder what stands around them, by which one label
/// can be made to look like another (Unicode TR 36).
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

/// The attributes that have no row of their own.
fn rest(object: &Object) -> impl Iterator<Item = (&u32, &Attribute)> {
    object
        .attributes
        .iter()
        .filter(|(number, _)| ![CKA_LABEL, CKA_ID].contains(number))
}

fn text(class: u32, number: u32, value: &Attribute) -> String {
    if let Some(bytes) = secret_bytes(class, number, value) {
        return format!("(secret, {bytes} bytes)");
    }
    match value {
        Attribute::Bool(value) => value.to_string(),
        Attribute::Number(value) => number_name(number, *value).unwrap_or(value.to_string()),
        Attribute::Bytes(value) => HEXLOWER.encode(value),
        Attribute::Text(value) => escape(value),
        Attribute::Date(value) => value.to_string(),
        Attribute::Secret(value) => format!("(secret, {} bytes)", value.bytes().len()),
    }
}

fn value_json(class: u32, number: u32, value: &Attribute) -> Value {
    if let Some(bytes) = secret_bytes(class, number, value) {
        return json!({ "secret": true, "bytes": bytes });
    }
    match value {
        Attribute::Bool(value) => json!(value),
        Attribute::Number(value) => match number_name(number, *value) {
            Some(name) => json!(name),
            None => json!(value),
        },
        Attribute::Bytes(value) => json!(HEXLOWER.encode(value)),
        Attribute::Text(value) => json!(value),
        Attribute::Date(value) => json!(value.to_string()),
        Attribute::Secret(value) => json!({ "secret": true, "bytes": value.bytes().len() }),
    }
}

/// How many bytes are hidden, when the value may not be shown. Asks the table as well as the value's
/// type, so that a secret in the clear, which no stored object has, would still not be shown.
fn secret_bytes(class: u32, number: u32, value: &Attribute) -> Option<usize> {
    match value {
        Attribute::Secret(value) => Some(value.bytes().len()),
        Attribute::Bytes(value) if is_secret(class, number) => Some(value.len()),
        Attribute::Text(value) if is_secret(class, number) => Some(value.len()),
        _ if is_secret(class, number) => Some(size_of::<u64>()),
        _ => None,
    }
}

fn number_name(number: u32, value: u64) -> Option<String> {
    match number {
        CKA_CERTIFICATE_TYPE => Some(certificate_type_name(value)),
        CKA_KEY_GEN_MECHANISM => Some(mechanism_name(value)),
        _ => None,
    }
}

/// Seconds since 1970 as `2026-01-02T03:04:05Z`; years past 9999 with the sign that ISO 8601 asks for.
pub fn iso_8601(secs: u64) -> String {
    let (days, second) = (secs / 86_400, secs % 86_400);
    let (hour, minute, second) = (second / 3600, second / 60 % 60, second % 60);
    // Howard Hinnant's "civil from days": years that start in March put the leap day last, and eras of
    // 400 years repeat. No overflow: days are below 2^48.
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
    use crate::new::{Naming, SecretKeyType, data, import_secret_key};
    use crate::pkcs11::{CKA_PRIVATE, CKA_SENSITIVE, CKA_VALUE, CKO_PRIVATE_KEY};
    use crate::secret::SecretBytes;
    use crate::{Date, Ouid};

    fn key() -> Object {
        let naming = Naming {
            label: "line\n\u{1b}[2Jend".to_owned(),
            id: vec![0xca, 0xfe],
        };
        let value = SecretBytes::new(vec![0xab; 32]);
        let mut key = import_secret_key(SecretKeyType::Aes, value, &naming).unwrap();
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
        assert_eq!(shown["attributes"]["CKA_VALUE_LEN"], 32);
        assert_eq!(
            shown["attributes"]["CKA_VALUE"],
            json!({ "secret": true, "bytes": 32 })
        );
        let plain = data(SecretBytes::new(vec![0xab; 3]), &Naming::default()).unwrap();
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
