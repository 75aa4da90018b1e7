//! `object import`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::super::password::{file_password, read_secret};
use super::super::{Console, Ended};
use super::Target;
use super::made::{AT_ONCE, store};
use crate::error::{Error, Result};
use crate::keyfile::import::{self, Imported, LeftOut, MAX_FILE_BYTES, RawType};
use crate::secret::SecretBytes;
use crate::shown;

/// `object import`
#[derive(Args)]
pub struct Import {
    /// PEM, DER or OpenSSH: private and public keys, certificates, a PKCS#12 store; with -type any bytes
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Take the file's bytes as the value of a secret key or data object
    #[arg(long = "type", value_name = "TYPE")]
    raw: Option<Raw>,
    /// The password of an encrypted file; visible to whoever lists processes [default: asked for]
    #[arg(long, value_name = "STRING", conflicts_with = "filepasswordfile")]
    filepassword: Option<String>,
    /// File with the password of an encrypted file
    #[arg(long, value_name = "PATH")]
    filepasswordfile: Option<PathBuf>,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, ValueEnum)]
enum Raw {
    Aes,
    Generic,
    Data,
}

impl Import {
    /// Runs the command.
    pub(super) fn run(self, console: &Console<'_>) -> Result<Ended> {
        let chosen = self.target.chosen()?;
        let file = read_secret(&self.file, MAX_FILE_BYTES as u64)?;
        let raw = self.raw.map(|raw| match raw {
            Raw::Aes => RawType::Aes,
            Raw::Generic => RawType::Generic,
            Raw::Data => RawType::Data,
        });
        let password = match (self.filepassword, self.filepasswordfile) {
            (Some(password), _) => Some(SecretBytes::new(password.into_bytes())),
            (None, path) if raw.is_none() && import::is_encrypted(&file) => {
                Some(file_password(&self.file, path.as_deref())?)
            }
            _ => None,
        };
        let naming = self.target.naming();
        let imported = import::import(&file, raw, &naming, password.as_ref());
        let Imported {
            mut objects,
            left_out,
        } = imported.map_err(|error| Error::Import {
            what: format!(
                "the object cannot be stored: {}: {error}",
                shown::path(&self.file)
            ),
            hint: error.hint().map(|hint| for_file(hint, &self.file)),
        })?;
        chosen.apply(&mut objects)?;
        // What can be imported is stored before the rest is told.
        let rest = partly(&self.file, &left_out).map(Err);
        let groups: Vec<_> = std::iter::once(Ok(objects)).chain(rest).collect();
        store(console, &self.target, groups.into_iter(), AT_ONCE)
    }
}

/// The error of an import that left something out, and a warning for each.
fn partly(file: &Path, left_out: &[LeftOut]) -> Option<Error> {
    let first = left_out.first()?;
    for entry in left_out {
        log::warn!("{}: {entry}", shown::path(file));
    }
    Some(Error::Import {
        what: format!(
            "{}: {} of its entries cannot be stored, the rest is imported",
            shown::path(file),
            left_out.len()
        ),
        hint: first.why.hint().map(|hint| for_file(hint, file)),
    })
}

/// A hint with the file's name where it says FILE, as a shell takes it. A name that is not text, or moves the cursor,
/// is left for the reader to fill in.
fn for_file(hint: &str, file: &Path) -> String {
    match file.to_str() {
        // Not NEWFILE, which is a name to be chosen.
        Some(name) if !name.contains(char::is_control) => {
            hint.replace(" FILE", &format!(" {}", for_shell(name)))
        }
        _ => hint.to_owned(),
    }
}

/// With backslashes rather than quotes, which the commands of hints stand in.
fn for_shell(name: &str) -> String {
    let mut word = String::new();
    if name.starts_with('-') {
        word.push_str("./");
    }
    for c in name.chars() {
        if !c.is_alphanumeric() && !"/._-+:,@%".contains(c) {
            word.push('\\');
        }
        word.push(c);
    }
    word
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn hints_name_the_file_as_a_shell_takes_it() {
        let of = |name| for_file("'openssl x -in FILE -out NEWFILE'", Path::new(name));
        assert_eq!(of("a/b.pem"), "'openssl x -in a/b.pem -out NEWFILE'");
        assert_eq!(of("my key"), r"'openssl x -in my\ key -out NEWFILE'");
        assert_eq!(of("-x"), "'openssl x -in ./-x -out NEWFILE'");
        assert_eq!(of("a\nb"), "'openssl x -in FILE -out NEWFILE'");
        for name in [
            "it's",
            "a b",
            "$HOME",
            "~",
            "a\"b",
            "a;b",
            "*",
            "Schlüssel",
            "a=b",
        ] {
            assert_eq!(shell_words::split(&for_shell(name)).unwrap(), [name]);
        }
    }
}
