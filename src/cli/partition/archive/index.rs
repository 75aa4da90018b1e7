//! The index of a backup: what it has, in JSON (docs/backup.md, "The index"). It is not secret, and nothing vouches for
//! it: an object is what its blob says, once a slot has verified that.

use std::collections::BTreeSet;
use std::io;

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::folder::BackupFolder;
use super::label::Label;
use crate::error::{Error, Result};
use crate::hsm::{MAX_BLOB_BYTES, code};
use crate::object::{Handle, show};

/// The file with the index.
pub(super) const INDEX: &str = "index.json";
/// The largest index that is read or written: more than half a million objects.
const MOST_BYTES: u64 = 256 << 20;
/// What the document says that it is.
const FORMAT: &str = "slotfs archive";
const VERSION: u64 = 1;
/// Characters of an object's label in the index.
const MOST_LABEL_CHARS: usize = 256;

/// The longest text in it: an object's label, in characters of four bytes.
const MOST_TEXT_BYTES: usize = 4 * MOST_LABEL_CHARS;

/// What a backup has.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Index {
    /// The slot that the last run of `backup` took objects from: number, label, serial.
    pub(super) source: Source,
    /// When that was, ISO 8601.
    pub(super) time: String,
    pub(super) objects: Vec<Entry>,
    /// Storage master keys, which blobs of V1 slots need.
    pub(super) smks: Vec<Blob>,
}

/// Where objects came from.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Source {
    pub(super) slot: u32,
    pub(super) label: String,
    pub(super) serial: u64,
}

/// One object.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// Its handle in the slot that it came from.
    pub(super) handle: Handle,
    pub(super) ouid: String,
    pub(super) class: String,
    pub(super) key_type: String,
    pub(super) label: String,
    pub(super) revision: u64,
    pub(super) blob: Blob,
}

/// A file with a sealed blob.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Blob {
    pub(super) file: String,
    pub(super) bytes: u64,
    /// Hexadecimal.
    pub(super) sha256: String,
}

/// What a blob's file is to the index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum State {
    Missing,
    Altered,
}

impl State {
    /// For a message.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Missing => "its file is missing",
            Self::Altered => "its file has changed since the backup",
        }
    }
}

impl Blob {
    /// Of this content, to be written as `file`.
    pub(super) fn new(file: String, content: &[u8]) -> Self {
        Self {
            file,
            bytes: content.len() as u64,
            sha256: HEXLOWER.encode(&Sha256::digest(content)),
        }
    }

    /// Whether `content` is what was written.
    pub(super) fn is(&self, content: &[u8]) -> bool {
        self.bytes == content.len() as u64
            && self.sha256 == HEXLOWER.encode(&Sha256::digest(content))
    }

    /// The content of its file, as it was written.
    ///
    /// # Errors
    /// Otherwise.
    pub(super) fn read(&self, folder: &BackupFolder) -> Result<Vec<u8>, State> {
        match folder.read(&self.file, MAX_BLOB_BYTES as u64) {
            Ok(content) if self.is(&content) => Ok(content),
            Err(why) if why.kind() == io::ErrorKind::NotFound => Err(State::Missing),
            Ok(_) | Err(_) => Err(State::Altered),
        }
    }

    fn to_json(&self) -> Value {
        json!({ "file": self.file, "bytes": self.bytes, "sha256": self.sha256 })
    }

    fn from_json(value: &Value) -> Option<Self> {
        let blob = Self {
            file: text(value, "file")?,
            bytes: value.get("bytes")?.as_u64()?,
            sha256: text(value, "sha256")?,
        };
        let is_hash = blob.sha256.len() == 64 && HEXLOWER.decode(blob.sha256.as_bytes()).is_ok();
        (is_file_name(&blob.file) && is_hash).then_some(blob)
    }
}

impl Entry {
    /// For `--json` and the index.
    pub(super) fn to_json(&self) -> Value {
        let mut value = self.blob.to_json();
        value["handle"] = self.handle.get().into();
        value["ouid"] = self.ouid.as_str().into();
        value["class"] = self.class.as_str().into();
        value["key_type"] = self.key_type.as_str().into();
        value["label"] = self.label.as_str().into();
        value["revision"] = self.revision.into();
        value
    }

    fn from_json(value: &Value) -> Option<Self> {
        let handle = u32::try_from(value.get("handle")?.as_u64()?).ok()?;
        let entry = Self {
            handle: Handle::new(handle)?,
            ouid: text(value, "ouid")?,
            class: text(value, "class")?,
            key_type: text(value, "key_type")?,
            label: text(value, "label")?,
            revision: value.get("revision")?.as_u64()?,
            blob: Blob::from_json(value)?,
        };
        let is_ouid = !entry.ouid.is_empty() && entry.ouid.bytes().all(|it| it.is_ascii_hexdigit());
        is_ouid.then_some(entry)
    }
}

impl Index {
    /// The index of a backup; `None` where it has none.
    ///
    /// # Errors
    /// [`Error::Archive`] when it cannot be used.
    pub(super) fn read(folder: &BackupFolder) -> Result<Option<Self>> {
        let content = match folder.read(INDEX, MOST_BYTES) {
            Ok(content) => content,
            Err(why) if why.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(why) => return Err(unusable(folder, why.to_string())),
        };
        Self::parse(&content)
            .map(Some)
            .map_err(|why| unusable(folder, why))
    }

    /// The index of the backup called `label`.
    ///
    /// # Errors
    /// [`Error::Archive`] when it has none, or as [`Self::read`].
    pub(super) fn read_existing(
        folder: Option<&BackupFolder>,
        archive: &std::path::Path,
        label: &Label,
    ) -> Result<Self> {
        let missing = || Error::Archive {
            path: archive.join(label.as_str()),
            what: "there is no backup of this name".to_owned(),
            hint: Some("'slotfs partition archive list -folder DIR' lists the backups"),
            code: code::OBJECT_HANDLE_INVALID,
        };
        Self::read(folder.ok_or_else(missing)?)?.ok_or_else(missing)
    }

    fn parse(content: &[u8]) -> Result<Self, String> {
        let document: Value =
            serde_json::from_slice(content).map_err(|why| format!("it is not JSON: {why}"))?;
        if document.get("format").and_then(Value::as_str) != Some(FORMAT) {
            return Err("it is not the index of a backup".to_owned());
        }
        match document.get("version").and_then(Value::as_u64) {
            Some(VERSION) => {}
            version => {
                let version = version.map_or("unknown".to_owned(), |it| it.to_string());
                return Err(format!(
                    "its version is {version}, and this program knows {VERSION}"
                ));
            }
        }
        let index = Self::from_json(&document);
        let index = index.ok_or_else(|| "a field in it is missing or malformed".to_owned())?;
        let files: BTreeSet<&str> = index.blobs().map(|blob| blob.file.as_str()).collect();
        match files.len() == index.blobs().count() {
            true => Ok(index),
            false => Err("it names a file twice".to_owned()),
        }
    }

    fn from_json(document: &Value) -> Option<Self> {
        let source = document.get("source")?;
        let list = |name| document.get(name).and_then(Value::as_array);
        Some(Self {
            source: Source {
                slot: u32::try_from(source.get("slot")?.as_u64()?).ok()?,
                label: text(source, "label")?,
                serial: source.get("serial")?.as_u64()?,
            },
            time: text(document, "time")?,
            objects: list("objects")?
                .iter()
                .map(Entry::from_json)
                .collect::<Option<_>>()?,
            smks: list("smks")?
                .iter()
                .map(Blob::from_json)
                .collect::<Option<_>>()?,
        })
    }

    /// The document, with a line for each object.
    ///
    /// # Errors
    /// [`Error::Archive`] when it has too many objects.
    pub(super) fn to_text(&self, folder: &BackupFolder, label: &Label) -> Result<String> {
        let line = |value: Value| format!("    {value}");
        let objects: Vec<String> = self.objects.iter().map(|it| line(it.to_json())).collect();
        let smks: Vec<String> = self.smks.iter().map(|it| line(it.to_json())).collect();
        let source = json!({
            "slot": self.source.slot, "label": self.source.label, "serial": self.source.serial,
        });
        let text = format!(
            "{{\n  \"format\": {},\n  \"version\": {VERSION},\n  \"label\": {},\n  \"source\": {source},\n  \"time\": {},\n  \"smks\": [{}],\n  \"objects\": [{}]\n}}\n",
            Value::from(FORMAT),
            Value::from(label.as_str()),
            Value::from(self.time.as_str()),
            list(&smks),
            list(&objects),
        );
        match text.len() as u64 > MOST_BYTES {
            true => Err(Error::Archive {
                path: folder.path().to_owned(),
                what: "too many objects for one backup".to_owned(),
                hint: Some("divide them over several backups with -objects"),
                code: code::DATA_LEN_RANGE,
            }),
            false => Ok(text),
        }
    }

    /// Every file that it names.
    pub(super) fn blobs(&self) -> impl Iterator<Item = &Blob> {
        let objects = self.objects.iter().map(|entry| &entry.blob);
        objects.chain(&self.smks)
    }
}

fn list(lines: &[String]) -> String {
    match lines.is_empty() {
        true => String::new(),
        false => format!("\n{}\n  ", lines.join(",\n")),
    }
}

/// A text that `backup` could have written.
fn text(value: &Value, name: &str) -> Option<String> {
    let text = value.get(name)?.as_str()?;
    (text.len() <= MOST_TEXT_BYTES).then(|| text.to_owned())
}

fn unusable(folder: &BackupFolder, why: String) -> Error {
    Error::Archive {
        path: folder.path().join(INDEX),
        what: format!(
            "the index of the backup cannot be used: {}",
            show::escape(&why)
        ),
        hint: Some(
            "the blobs can still be restored: copy each file beside the index into a slot's directory of a mount",
        ),
        code: code::FUNCTION_FAILED,
    }
}

/// Whether `name` is one that `backup` gives: a handle or `smk`, and a dot with a number where that was taken.
fn is_file_name(name: &str) -> bool {
    let number = |text: &str| {
        (1..=10).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let (first, second) = match name.split_once('.') {
        Some((first, second)) => (first, Some(second)),
        None => (name, None),
    };
    (first == "smk" || number(first)) && second.is_none_or(number)
}

/// An object's label as the index has it.
pub(super) fn shortened(label: &str) -> String {
    label.chars().take(MOST_LABEL_CHARS).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn index() -> String {
        let hash = "ab".repeat(32);
        format!(
            r#"{{"format": "slotfs archive", "version": 1, "label": "x", "time": "2026-01-01T00:00:00Z",
                "source": {{"slot": 0, "label": "a", "serial": 7}},
                "smks": [{{"file": "smk", "bytes": 161, "sha256": "{hash}"}}],
                "objects": [{{"handle": 1, "ouid": "00ff", "class": "secret key", "key_type": "AES", "label": "k",
                              "revision": 0, "file": "1.2", "bytes": 9, "sha256": "{hash}"}}]}}"#
        )
    }

    #[test]
    fn an_index_is_read() {
        let read = Index::parse(index().as_bytes()).unwrap();
        assert_eq!(read.objects.len() + read.smks.len(), 2);
        assert_eq!(read.source.serial, 7);
    }

    /// Names that lead out of the folder above all.
    #[test]
    fn a_hostile_index_is_refused() {
        for (from, to) in [
            ("\"1.2\"", "\"../1\""),
            ("\"1.2\"", "\"/etc/passwd\""),
            ("\"1.2\"", "\"\""),
            ("\"1.2\"", "\".\""),
            ("\"1.2\"", "\"..\""),
            ("\"1.2\"", "\"1.\""),
            ("\"1.2\"", "\"index.json\""),
            ("\"1.2\"", "\"smk\""),
            ("\"1.2\"", "7"),
            ("\"00ff\"", "\"\\u001b[2J\""),
            ("\"handle\": 1", "\"handle\": 0"),
            ("\"handle\": 1", "\"handle\": 4294967296"),
            ("\"handle\": 1", "\"handle\": -1"),
            ("abab", "abxx"),
            ("\"version\": 1", "\"version\": 2"),
            ("slotfs archive", "another"),
            ("\"objects\"", "\"things\""),
        ] {
            let hostile = index().replacen(from, to, 1);
            assert_ne!(hostile, index(), "{from}");
            assert!(Index::parse(hostile.as_bytes()).is_err(), "{to}");
        }
        for bad in ["", "{}", "[]", "null", &"[".repeat(100_000)] {
            assert!(Index::parse(bad.as_bytes()).is_err());
        }
    }

    #[test]
    fn names_of_files() {
        for good in ["1", "4294967295", "1.2", "smk", "smk.2"] {
            assert!(is_file_name(good), "{good}");
        }
        for bad in [
            "",
            "a",
            "1.2.3",
            "1.",
            ".1",
            "-1",
            "12345678901",
            "smk.x",
            "1/2",
        ] {
            assert!(!is_file_name(bad), "{bad}");
        }
    }
}
