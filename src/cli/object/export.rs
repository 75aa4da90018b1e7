//! `object export`

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};
use pem_rfc7468::LineEnding;
use serde_json::json;

use crate::cli::{Answer, Console, SlotArg, file_error, output, write_new};
use crate::error::{Error, Result};
use crate::keyfile::export::{Exported, export};
use crate::object::Handle;
use crate::object::partition::Role;
use crate::object::pkcs11::class_name;
use crate::secret::SecretBytes;

/// `object export`
#[derive(Args)]
pub(crate) struct Export {
    /// The object: a public key, a certificate, data, or a private key, whose public half is written
    #[arg(long, value_name = "H")]
    handle: Handle,
    /// The file to write; - is standard output
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// How to write a key or certificate [default: pem]
    #[arg(long)]
    form: Option<Form>,
    /// Replace the file if it exists
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    slot: SlotArg,
}

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Form {
    Pem,
    Der,
}

impl Export {
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let to_stdout = output::is_stdout(&self.file);
        output::data_on_stdout(to_stdout);
        let (hsm, slot) = console.partition_to_read(self.slot, &[Role::Co, Role::Cu])?;
        let handle = self.handle;
        let object = hsm.partition(slot).object_to_export(handle)?;
        let exported = export(&object).map_err(|why| Error::NotExportable { slot, handle, why })?;
        let (content, form, mode) = self.encode(exported)?;
        let file = crate::shown::path(&self.file).to_string();
        let answer = Answer::new(json!({
            "slot": slot.0, "handle": handle.get(), "class": class_name(object.class), "file": file,
            "form": form, "bytes": content.bytes().len(),
        }));
        if to_stdout {
            output::write_data(content.bytes())?;
            return Ok(answer.bare());
        }
        write(&self.file, content.bytes(), mode, self.force)?;
        Ok(answer.text(format!("Handle {handle} was exported to {file}\n")))
    }

    /// The file's content, what form it has, and its mode.
    fn encode(&self, exported: Exported) -> Result<(SecretBytes, &'static str, u32)> {
        const PUBLIC: u32 = 0o644;
        const OWN: u32 = 0o600;
        let (label, der) = match exported {
            Exported::Data(_) if self.form.is_some() => {
                return Err(Error::Usage(
                    "a data object is written as it is; omit -form".into(),
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

/// Whether a file may replace `path`: not if that is a device, a pipe or the name of a descriptor.
fn is_replaceable(path: &Path) -> bool {
    let names_descriptor = fs::read_link(path).is_ok_and(|to| to.starts_with("/proc"));
    !names_descriptor && fs::metadata(path).map_or(true, |there| there.is_file() || there.is_dir())
}

/// Writes a file of this mode completely or not at all. Without `force` it must not exist; with `force` an existing file
/// is replaced in one step.
fn write(path: &Path, content: &[u8], mode: u32, force: bool) -> Result<()> {
    if force && !is_replaceable(path) {
        return Err(Error::Usage(format!(
            "{}: it is not a plain file; name another file, or - for standard output",
            crate::shown::path(path)
        )));
    }
    let written = match force {
        false => write_new(path, content, mode),
        true => {
            let beside = beside(path)?;
            write_new(&beside, content, mode).and_then(|()| {
                fs::rename(&beside, path).inspect_err(|_| {
                    // The failure to report is that of the rename.
                    let _ = fs::remove_file(&beside);
                })
            })
        }
    };
    written.map_err(|source| match source.kind() {
        io::ErrorKind::AlreadyExists => file_error(path)(io::Error::new(
            io::ErrorKind::AlreadyExists,
            "the file already exists; -force replaces it",
        )),
        _ => file_error(path)(source),
    })
}

/// A name for a new file in the same folder.
fn beside(path: &Path) -> Result<PathBuf> {
    let mut random = [0; 8];
    getrandom::fill(&mut random)?;
    let name = format!(".slotfs-export-{}", data_encoding::HEXLOWER.encode(&random));
    Ok(path.with_file_name(name))
}
