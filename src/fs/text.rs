//! The content of the control files.

use std::fmt::Write;

use super::control::ControlFile;
use super::stats::Stats;
use super::unsupported;
use crate::error::Result;
use crate::hsm::{Description, Hsm};
use crate::object::pkcs11::{class_name, key_type_name};
use crate::object::{Object, RowId, SlotId, show};

/// Rows of a trash that are read at a time.
const AT_ONCE: usize = 256;

/// The content of a control file of `slot`, or of the mount.
///
/// # Errors
/// When nobody is logged in, there is no such slot, or the store cannot be read.
pub fn content(
    hsm: &Hsm,
    stats: &Stats,
    slot: Option<SlotId>,
    file: ControlFile,
) -> Result<Vec<u8>> {
    let text = match (file, slot) {
        (ControlFile::Smk, Some(slot)) => return Ok(hsm.partition(slot).seal_smk()?),
        (ControlFile::Clones, slot) => hsm.journal().text(slot),
        (ControlFile::Stats, None) => stats.text(hsm),
        (ControlFile::Status, Some(slot)) => status(hsm, slot)?,
        (ControlFile::Contents, Some(slot)) => contents(hsm, slot)?,
        (ControlFile::Removed, Some(slot)) => removed(hsm, slot)?,
        (ControlFile::Revisions, Some(slot)) => revisions(hsm, slot)?,
        _ => return unsupported("read"),
    };
    Ok(text.into_bytes())
}

fn status(hsm: &Hsm, slot: SlotId) -> Result<String> {
    let row = hsm.partition(slot).row()?;
    let (objects, bytes) = hsm.partition(slot).usage()?;
    let session = hsm.partition(slot).session().ok();
    let state = match &session {
        Some(session) => format!("logged in as {}", session.role()),
        None => "locked".to_owned(),
    };
    let mut text = String::new();
    for (key, value) in [
        ("label", show::escape(&row.label)),
        ("serial", row.serial.to_string()),
        ("kind", row.kind.to_string()),
        ("version", row.version.to_string()),
        ("state", state),
        ("objects", objects.to_string()),
        ("trash", hsm.partition(slot).trash_count()?.to_string()),
        ("retention", row.retention_secs.to_string()),
        (
            "free",
            row.capacity_objects.saturating_sub(objects).to_string(),
        ),
        (
            "free bytes",
            row.capacity_bytes.saturating_sub(bytes).to_string(),
        ),
    ] {
        // Writing to a String does not fail.
        let _ = writeln!(text, "{key}: {value}");
    }
    for (role, have, need) in hsm.partition(slot).waiting_shares() {
        let _ = writeln!(text, "key shares: {role} {have} of {need}");
    }
    for smk in session.iter().flat_map(|session| session.smks()) {
        let fingerprint = data_encoding::HEXLOWER.encode(&smk.fingerprint());
        let _ = writeln!(text, "storage master key: {fingerprint}");
    }
    for domain in session.iter().flat_map(|session| session.domains()) {
        let _ = writeln!(
            text,
            "domain: {} ({}, {})",
            show::escape(&domain.label),
            domain.key.kind(),
            data_encoding::HEXLOWER.encode(&domain.fingerprint())
        );
    }
    Ok(text)
}

fn contents(hsm: &Hsm, slot: SlotId) -> Result<String> {
    let mut text = format!(
        "{:<10}  {:<11}  {:<14}  {:<32}  label\n",
        "handle", "class", "key type", "ouid"
    );
    hsm.partition(slot).contents(|row| {
        let handle = row.handle.map_or("-".to_owned(), |it| it.to_string());
        let ouid = row.ouid.map_or("-".to_owned(), |it| it.to_string());
        let (class, key_type, label) = match &row.object {
            Ok(object) => (
                class_name(object.class),
                key_type_name(object.key_type),
                show::escape(object.label()),
            ),
            Err(error) => ("damaged".into(), "-".into(), error.to_string()),
        };
        let _ = writeln!(
            text,
            "{handle:<10}  {class:<11}  {key_type:<14}  {ouid:<32}  {label}"
        );
    })?;
    Ok(text)
}

/// What is not known of a row.
const UNKNOWN: &str = "-";

/// Which description of each object is there, by identity. A group of slots needs an order of two descriptions, also of blobs
/// that it cannot open (docs/hagroup.md).
fn revisions(hsm: &Hsm, slot: SlotId) -> Result<String> {
    let mut text = format!(
        "{:<32}  {:<10}  {:<10}  description\n",
        "ouid", "handle", "revision"
    );
    hsm.partition(slot).contents(|row| {
        let handle = row.handle.map_or(UNKNOWN.to_owned(), |it| it.to_string());
        let ouid = row.ouid.map_or(UNKNOWN.to_owned(), |it| it.to_string());
        let (revision, description) = described(row.object.as_ref().ok());
        let _ = writeln!(
            text,
            "{ouid:<32}  {handle:<10}  {revision:<10}  {description}"
        );
    })?;
    Ok(text)
}

/// The number of a revision, and the mark of a description.
fn described(object: Option<&Object>) -> (String, String) {
    match object {
        Some(object) => (
            object.revision.number.to_string(),
            Description::of(object).to_string(),
        ),
        None => (UNKNOWN.to_owned(), UNKNOWN.to_owned()),
    }
}

/// The trash by identity, which the folder `trash` does not show. A group of slots must not bring back what was removed
/// (docs/hagroup.md). It has a row for what is damaged too, or it is an error.
fn removed(hsm: &Hsm, slot: SlotId) -> Result<String> {
    let mut text = String::new();
    let mut row = |ouid: &str, object: Option<&Object>, removed: &str, until: &str, name: &str| {
        let (revision, description) = described(object);
        let _ = writeln!(
            text,
            "{ouid:<32}  {revision:<10}  {description:<32}  {removed:<20}  {until:<20}  {name}"
        );
    };
    // A damaged row may have any number.
    let mut after = RowId::BELOW_ALL;
    loop {
        let page = hsm.partition(slot).list_trash(after, AT_ONCE)?;
        if page.is_empty() {
            hsm.partition(slot).check_trash_count()?;
            let head = format!(
                "{:<32}  {:<10}  {:<32}  {:<20}  {:<20}  name\n",
                "ouid", "revision", "description", "removed", "until"
            );
            return Ok(head + &text);
        }
        for it in page {
            let it = match it {
                Ok(it) => it,
                Err(damaged) => {
                    after = damaged.id;
                    let ouid = damaged.ouid.map_or(UNKNOWN.to_owned(), |it| it.to_string());
                    row(&ouid, None, UNKNOWN, UNKNOWN, UNKNOWN);
                    continue;
                }
            };
            after = it.object.id;
            let object = match hsm.open_trashed(&it) {
                Ok(object) => Some(object),
                // It was destroyed or restored since it was listed.
                Err(crate::hsm::Error::Gone) => continue,
                Err(error) if error.is_damage() => None,
                Err(error) => return Err(error.into()),
            };
            row(
                &it.object.ouid.to_string(),
                object.as_ref(),
                &show::iso_8601(it.trashed_secs),
                &show::iso_8601(it.until_secs),
                &it.name.to_string(),
            );
        }
    }
}
