//! `partition archive delete`

use std::path::Path;

use serde_json::json;

use super::Delete;
use super::changed_meanwhile;
use super::folder::Archive;
use super::index::{INDEX, Index};
use crate::cli::{Answer, Console, confirm, file_error, plural};
use crate::error::{Error, Result};
use crate::shown;

impl Delete {
    /// Runs the command. The index goes last: a command that is stopped can be repeated.
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let label = &self.backup.partition;
        let archive = Archive::open(&self.backup.folder.path(console)?)?;
        let folder = archive.backup(label)?;
        let asked_about = Index::read_existing(folder.as_ref(), archive.path(), label)?;
        let Some(folder) = folder else {
            return Err(Error::NoSuchFile);
        };
        let objects = plural(asked_about.objects.len() as u64, "object");
        if !self.force {
            confirm(&format!(
                "backup '{label}' with {objects} of partition '{}' would be deleted",
                crate::object::show::escape(&asked_about.source.label)
            ))?;
        }
        folder.lock(true)?;
        let index = Index::read_existing(Some(&folder), archive.path(), label)?;
        if index != asked_about {
            return Err(changed_meanwhile(&folder));
        }
        for name in index.blobs().map(|blob| blob.file.as_str()).chain([INDEX]) {
            // The files are gone for good before the index is.
            if name == INDEX {
                folder.sync()?;
            }
            let removed = folder.remove(name);
            removed.map_err(file_error(&folder.path().join(name)))?;
        }
        folder.sync()?;
        let left: Vec<String> = folder
            .names()?
            .iter()
            .map(|name| shown::path(Path::new(name)).to_string())
            .collect();
        let gone = archive.remove_if_empty(label)?;
        let mut answer = Answer::new(json!({
            "partition": label.as_str(), "deleted": index.objects.len(), "left": left,
        }))
        .line(format_args!("Backup '{label}' with {objects} was deleted."));
        if !gone {
            answer = answer.line(format_args!(
                "Its folder stays, with what its index did not name: {}.",
                left.join(", ")
            ));
        }
        Ok(answer)
    }
}
