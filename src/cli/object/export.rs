//! `object export`

use std::fs::{self, File, OpenOptions, Permissions};
use std::io::{self, Write};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pem_rfc7468::LineEnding;
use serde_json::json;

use super::super::{Console, Ended, data, output};
use crate::error::{Error, Result};
use crate::keyfile::export::{Exported, export};
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::object::{Handle, SlotId};
use crate::secret::SecretBytes;

/// `object export`
#[derive(Args)]
pub struct Export {
    /// The object: a public key, a certificate, data, or a private key, of which the public half is written
    #[arg(long, value_name = "H")]
    handle: Handle,
    /// Where to; - is standard output
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// How to write a key or certificate [default: pem]
    #[arg(long)]
    form: Option<Form>,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    /// The slot [default: the active one]
    #[arg(short, long)]
    slot: Option<SlotId>,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Pem,
    Der,
}

impl Export {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Ended> {
        let to_stdout = data::is_stdout(&self.file);
        output::data_on_stdout(to_stdout);
        let hsm = console.open_to_look()?;
        let slot = console.slot(&hsm, self.slot)?;
        console.login(&hsm, slot, &[Role::Co, Role::Cu])?;
        let handle = self.handle;
        let object = hsm.partition(slot).object(handle)?;
        let exported = export(&object).map_err(|why| Error::NotExportable { slot, handle, why })?;
        let (content, form, mode) = self.encode(exported)?;
        match to_stdout {
            true => data::write(content.bytes())?,
            false => write(&self.file, content.bytes(), mode, self.force)?,
        }
        let bytes = content.bytes().len();
        let file = crate::shown::path(&self.file);
        if console.json() {
            output::print_json(&json!({
                "slot": slot.0,
                "handle": handle.get(),
                "class": class_name(object.class),
                "file": file.to_string(),
                "form": form,
                "bytes": bytes,
            }));
        } else if !to_stdout {
            output::print(&format!("Handle {handle} was exported to {file}\n"));
        }
        Ok(match to_stdout {
            true => Ended::Bare,
            false => Ended::WithResult,
        })
    }

    /// The file's content, what form it has, and its mode.
    fn encode(&self, exported: Exported) -> Result<(SecretBytes, &'static str, u32)> {
        const PUBLIC: u32 = 0o644;
        const OWN: u32 = 0o600;
        let (label, der) = match exported {
            Exported::Data(_) if self.form.is_some() => {
                return Err(Error::Usage(
                    "a data object is written as it is; leave -form out".into(),
                ));
            }
            Exported::Data(value) => return Ok((value, "raw", OWN)),
            Exported::PublicKey(der) => ("PUBLIC KEY", der),
            Exported::Certificate(der) => ("CERTIFICATE", der),
        };
        if self.form == Some(Form::Der) {
            return Ok((SecretBytes::new(der), "der", PUBLIC));
        }
        let pem = pem_rfc7468::encode_string(label, LineEnding::LF, &der).map_err(|why| {
            let handle = self.handle;
            crate::hsm::Error::Damaged(format!(
                "handle {handle}: it cannot be written as PEM: {why}"
            ))
        })?;
        Ok((SecretBytes::new(pem.into_bytes()), "pem", PUBLIC))
    }
}

/// Whether a file may take the place of what is at `path`: never that of a device, a pipe or the name of a descriptor.
fn is_replaceable(path: &Path) -> bool {
    let names_descriptor = fs::read_link(path).is_ok_and(|to| to.starts_with("/proc"));
    !names_descriptor && fs::metadata(path).map_or(true, |there| there.is_file() || there.is_dir())
}

/// Writes a file of this mode, whole or not at all. Without `force` it must not be there; with it, what was there
/// is replaced in one step.
fn write(path: &Path, content: &[u8], mode: u32, force: bool) -> Result<()> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    if force && !is_replaceable(path) {
        return Err(Error::Usage(format!(
            "{}: it is not a plain file; name another file, or - for standard output",
            crate::shown::path(path)
        )));
    }
    let written = match force {
        false => fill(path, content, mode),
        true => {
            let beside = beside(path)?;
            fill(&beside, content, mode).and_then(|()| {
                fs::rename(&beside, path).inspect_err(|_| {
                    // The rename is the failure to tell.
                    let _ = fs::remove_file(&beside);
                })
            })
        }
    };
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => failed(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the file is there already; -force replaces it",
        )),
        _ => failed(source),
    })
}

/// A name for a new file in the same folder.
fn beside(path: &Path) -> Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    let name = format!(".slotfs-export-{}", data_encoding::HEXLOWER.encode(&random));
    Ok(path.with_file_name(name))
}

fn fill(path: &Path, content: &[u8], mode: u32) -> io::Result<()> {
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)?;
    let write = |file: &mut File| {
        file.write_all(content)?;
        // The process's umask would take the others' part from a mode given above.
        file.set_permissions(Permissions::from_mode(mode))?;
        file.sync_all()
    };
    write(&mut file).inspect_err(|_| {
        // Half a file is worse than none.
        let _ = fs::remove_file(path);
    })
}
