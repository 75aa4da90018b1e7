//! `--version`: the release, and below it what a store, a module or a bug report has to fit.

use serde_json::{Value, json};

use crate::hsm::formats;

/// What a build is, by name and value.
struct Build {
    /// The name, also of the JSON field.
    name: &'static str,
    value: Value,
}

/// The features of a list with commas.
fn features(list: &str) -> Vec<&str> {
    list.split(',').filter(|it| !it.is_empty()).collect()
}

fn build() -> Vec<Build> {
    let row = |name, value| Build { name, value };
    vec![
        row("commit", env!("SLOTFS_COMMIT").into()),
        row("store schema", formats::SCHEMA.into()),
        row("sealed blob", formats::BLOB.into()),
        row("payload", json!(formats::PAYLOADS)),
        row("slot header", formats::HEADER.into()),
        row("token messages", slotfs_wire::VERSION.into()),
        row("features", json!(features(env!("SLOTFS_FEATURES")))),
        row("kernel features", json!(crate::fs::kernel_features())),
        row("SQLite", formats::sqlite().into()),
        row("AWS-LC", slotfs_crypto::library_version().into()),
    ]
}

/// The text: `slotfs 0.1.0` on the first line, then `name: value` lines.
pub(super) fn text() -> String {
    let mut text = format!("slotfs {}\n", env!("CARGO_PKG_VERSION"));
    for Build { name, value } in build() {
        let plain = |value: &Value| match value {
            Value::String(text) => text.clone(),
            other => other.to_string(),
        };
        let shown = match &value {
            Value::Array(all) if all.is_empty() => "none".to_owned(),
            Value::Array(all) => all.iter().map(plain).collect::<Vec<_>>().join(", "),
            one => plain(one),
        };
        text.push_str(&format!("{name}: {shown}\n"));
    }
    text
}

/// The same as a JSON document. Its names have `_` for blanks and are in lower case.
pub(super) fn json() -> Value {
    let mut document = json!({ "program": "slotfs", "version": env!("CARGO_PKG_VERSION") });
    for Build { name, value } in build() {
        document[name.to_lowercase().replace([' ', '-'], "_")] = value;
    }
    document
}
