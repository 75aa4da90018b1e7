//! Reading the files of `tests/vectors`; their form is in `tests/vectors/README.md`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::super::{Kind, Root};
use slotfs_object::revision::Revision;
use slotfs_object::secret::{Key, SecretBytes};
use slotfs_object::{Attribute, Date, Object, Ouid};

fn directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/vectors")
}

/// The vectors of one file, by its path below `tests/vectors`.
pub fn load(file: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(directory().join(file)).unwrap();
    let mut file: Value = serde_json::from_str(&text).unwrap();
    match file["vectors"].take() {
        Value::Array(vectors) => vectors,
        other => panic!("no vectors but {other}"),
    }
}

/// Every file of refusals, sorted.
pub fn refused_files() -> Vec<String> {
    let entries = std::fs::read_dir(directory().join("refused")).unwrap();
    let mut files: Vec<_> = entries
        .map(|entry| format!("refused/{}", entry.unwrap().file_name().to_str().unwrap()))
        .collect();
    files.sort();
    files
}

pub fn text<'a>(v: &'a Value, field: &str) -> &'a str {
    v[field]
        .as_str()
        .unwrap_or_else(|| panic!("no {field} in {v}"))
}

pub fn number(v: &Value, field: &str) -> u64 {
    v[field]
        .as_u64()
        .unwrap_or_else(|| panic!("no {field} in {v}"))
}

pub fn hex(v: &Value, field: &str) -> Vec<u8> {
    HEXLOWER.decode(text(v, field).as_bytes()).unwrap()
}

pub fn kind(v: &Value) -> Kind {
    match number(v, "kind") {
        1 => Kind::Object,
        2 => Kind::ObjectUnderSmk,
        3 => Kind::Smk,
        other => panic!("kind {other}"),
    }
}

pub fn root(used_as: &str, key: &[u8]) -> Root {
    let key = Key::from_slice(key).unwrap();
    match used_as {
        "domain" => Root::of_domain(&key),
        "smk" => Root::of_smk(&key),
        other => panic!("a key used as {other}"),
    }
}

/// The keys in `held`.
pub fn roots(v: &Value) -> Vec<Root> {
    let held = v["held"].as_array().unwrap();
    held.iter()
        .map(|key| {
            let bytes = HEXLOWER.decode(key[1].as_str().unwrap().as_bytes());
            root(key[0].as_str().unwrap(), &bytes.unwrap())
        })
        .collect()
}

pub fn object(v: &Value) -> Object {
    let small = |v: &Value| u32::try_from(v.as_u64().unwrap()).unwrap();
    let mut attributes = BTreeMap::new();
    for attribute in v["attributes"].as_array().unwrap() {
        let before = attributes.insert(small(&attribute["cka"]), value(attribute));
        assert!(before.is_none(), "twice in {v}");
    }
    Object {
        ouid: Ouid(hex(v, "ouid").try_into().unwrap()),
        created_secs: number(v, "created_secs"),
        revision: match v.get("revision") {
            None => Revision::FIRST,
            Some(revision) => Revision {
                number: small(revision),
                changed_secs: number(v, "changed_secs"),
            },
        },
        class: small(&v["class"]),
        key_type: Some(&v["key_type"]).filter(|v| !v.is_null()).map(small),
        attributes,
    }
}

fn value(v: &Value) -> Attribute {
    let fields = v.as_object().unwrap();
    let (form, value) = fields.iter().find(|(name, _)| *name != "cka").unwrap();
    match form.as_str() {
        "bool" => Attribute::Bool(value.as_bool().unwrap()),
        "number" => Attribute::Number(value.as_u64().unwrap()),
        "text" => Attribute::Text(text(v, "text").to_owned()),
        "bytes" => Attribute::Bytes(hex(v, "bytes")),
        "secret" => Attribute::Secret(SecretBytes::new(hex(v, "secret"))),
        "date" => {
            let part = |at: usize| value[at].as_u64().unwrap();
            Attribute::Date(Date {
                year: u16::try_from(part(0)).unwrap(),
                month: u8::try_from(part(1)).unwrap(),
                day: u8::try_from(part(2)).unwrap(),
            })
        }
        other => panic!("an attribute of form {other}"),
    }
}
