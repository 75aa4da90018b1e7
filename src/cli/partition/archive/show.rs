//! `partition archive list` and `partition archive contents`

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::json;

use super::folder::Archive;
use super::index::{INDEX, Index};
use super::label::Label;
use super::{BackupArg, FolderArg};
use crate::cli::{Answer, Console, Failures, NONE, Rows, plural};
use crate::error::{Error, Result};
use crate::hsm::code;
use crate::object::show;
use crate::shown;

/// `partition archive list`
pub(super) fn list(console: &Console<'_>, folder: &FolderArg) -> Result<Answer> {
    let archive = Archive::open(&folder.path(console)?)?;
    let mut rows = Rows::new(&["Backup", "Source", "Serial Number", "Objects", "Time"]);
    let mut failures = Failures::none();
    for name in archive.names()? {
        // Anything else is no backup's folder.
        let Some(label) = name.to_str().and_then(|name| name.parse::<Label>().ok()) else {
            continue;
        };
        let backup = match archive.backup(&label) {
            Ok(Some(backup)) => backup,
            // A file or a link beside the backups is none of them.
            Ok(None) | Err(Error::Archive { .. }) => continue,
            Err(why) => {
                rows.add(
                    &[&label, &"(not readable)", &NONE, &NONE, &NONE],
                    json!({ "partition": label.as_str(), "damage": why.to_string() }),
                );
                failures.add(why);
                continue;
            }
        };
        match Index::read(&backup) {
            Ok(Some(index)) => {
                let source = &index.source;
                let from = show::escape(&source.label);
                let count = index.objects.len();
                let time = show::escape(&index.time);
                rows.add(
                    &[&label, &from, &source.serial, &count, &time],
                    json!({
                        "partition": label.as_str(), "source_slot": source.slot,
                        "source_label": source.label, "source_serial": source.serial,
                        "objects": count, "time": index.time,
                    }),
                );
            }
            Ok(None) => rows.add(
                &[&label, &"(no index)", &NONE, &NONE, &NONE],
                json!({ "partition": label.as_str(), "objects": null }),
            ),
            Err(why) => {
                rows.add(
                    &[&label, &"(damaged)", &NONE, &NONE, &NONE],
                    json!({ "partition": label.as_str(), "damage": why.to_string() }),
                );
                failures.add(why);
            }
        }
    }
    let path = shown::path(archive.path()).to_string();
    let answer = Answer::new(json!({ "folder": path })).rows("backups", rows);
    Ok(answer.ending(failures.outcome()))
}

/// `partition archive contents`
pub(super) fn contents(console: &Console<'_>, which: &BackupArg) -> Result<Answer> {
    let label = &which.partition;
    let archive = Archive::open(&which.folder.path(console)?)?;
    let folder = archive.backup(label)?;
    let index = Index::read_existing(folder.as_ref(), archive.path(), label)?;
    let Some(folder) = folder else {
        return Err(Error::NoSuchFile);
    };
    let mut rows = Rows::new(&["Handle", "Class", "Key Type", "OUID", "Label"]);
    let mut notes = String::new();
    let mut bad = 0;
    for entry in &index.objects {
        let mut facts = entry.to_json();
        let state = entry.blob.read(&folder).err();
        facts["state"] = match state {
            None => "whole",
            Some(super::index::State::Missing) => "missing",
            Some(super::index::State::Altered) => "altered",
        }
        .into();
        if let Some(state) = state {
            bad += 1;
            let (handle, file) = (entry.handle, &entry.blob.file);
            let words = state.words();
            notes.push_str(&format!("        Handle {handle}, file {file}: {words}\n"));
        }
        let (class, key_type) = (show::escape(&entry.class), show::escape(&entry.key_type));
        let shown = show::escape(&entry.label);
        rows.add(
            &[&entry.handle, &class, &key_type, &entry.ouid, &shown],
            facts,
        );
    }
    for smk in &index.smks {
        match smk.read(&folder) {
            Ok(_) => notes.push_str(&format!(
                "        It has a storage master key, as {}.\n",
                smk.file
            )),
            Err(state) => {
                bad += 1;
                let words = state.words();
                notes.push_str(&format!(
                    "        Storage master key {}: {words}\n",
                    smk.file
                ));
            }
        }
    }
    let named: BTreeSet<&str> = index.blobs().map(|blob| blob.file.as_str()).collect();
    let is_extra = |name: &str| name != INDEX && !named.contains(name);
    let mut extra = Vec::new();
    for name in folder.names()? {
        if name.to_str().is_none_or(is_extra) {
            extra.push(shown::path(Path::new(&name)).to_string());
        }
    }
    for name in &extra {
        notes.push_str(&format!("        Not in the index: {name}\n"));
    }
    let source = &index.source;
    let heading = [
        ("Backup", label.to_string()),
        ("Source", show::escape(&source.label)),
        ("Serial Number", source.serial.to_string()),
        ("Time", show::escape(&index.time)),
        ("Objects", index.objects.len().to_string()),
    ];
    let mut answer = Answer::new(json!({
        "partition": label.as_str(), "source_slot": source.slot, "source_label": source.label,
        "source_serial": source.serial, "time": index.time, "storage_master_keys": index.smks.len(),
        "extra": extra,
    }))
    .pairs(heading)
    .text("\n")
    .rows("objects", rows);
    if !notes.is_empty() {
        answer = answer.text("\n").text(notes);
    }
    let outcome = match bad {
        0 => Ok(()),
        bad => Err(Error::Archive {
            path: folder.path().to_owned(),
            what: format!("{} missing or altered", plural(bad, "file")),
            hint: Some("take them from another copy of the backup, or back up again with -append"),
            code: code::FUNCTION_FAILED,
        }),
    };
    Ok(answer.ending(outcome))
}
