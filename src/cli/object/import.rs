//! `object import`

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum};

use super::NewObject;
use super::add::{AT_ONCE, add};
use crate::cli::password::{file_password, read_secret};
use crate::cli::{Answer, Console};
use crate::error::{Error, Result};
use crate::keyfile::import::{self, Imported, LeftOut, MAX_FILE_BYTES, RawType};
use crate::secret::SecretBytes;
use crate::shown;

/// `object import`
#[derive(Args)]
pub(crate) struct Import {
    /// PEM, DER or OpenSSH: private and public keys, certificates, a PKCS#12 store; with -type any bytes
    #[arg(short, long, value_name = "FILE")]
    file: PathBuf,
    /// Take the file's bytes as the value of a secret key or data object
    #[arg(long = "type", value_name = "TYPE")]
    raw: Option<Raw>,
    /// The password of an encrypted file; visible to anybody who lists processes [default: asked for]
    #[arg(long, value_name = "STRING", conflicts_with = "filepasswordfile")]
    filepassword: Option<String>,
    /// File with the password of an encrypted file
    #[arg(long, value_name = "PATH")]
    filepasswordfile: Option<PathBuf>,
    #[command(flatten)]
    new_object: NewObject,
}

#[derive(Clone, Copy, ValueEnum)]
enum Raw {
    Aes,
    Generic,
    Data,
}

impl Import {
    /// Runs the command.
    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let chosen = self.new_object.chosen()?;
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
        let naming = self.new_object.naming();
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
        // The objects that can be imported are stored before the others are reported.
        let rest = partly(&self.file, &left_out).map(Err);
        let groups: Vec<_> = std::iter::once(Ok(objects)).chain(rest).collect();
        add(console, &self.new_object, groups.into_iter(), AT_ONCE)
    }
}

/// The error of an import that left something out; logs a warning for each.
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

/// A hint with the file's name, quoted for a shell, in place of FILE. A name that is not UTF-8 or has control characters
/// is not filled in.
fn for_file(hint: &str, file: &Path) -> String {
    match file.to_str() {
        // With the space, so that NEWFILE stays.
        Some(name) if !name.contains(char::is_control) => {
            hint.replace(" FILE", &format!(" {}", for_shell(name)))
        }
        _ => hint.to_owned(),
    }
}

/// With backslashes, because hints put commands in quotes.
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
