//! `domain newkey` and `domain newstring`

use std::fs::OpenOptions;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use clap::Subcommand;
use serde_json::json;

use super::{Console, Ended, data, output};
use crate::domain;
use crate::error::{Error, Result};

/// What can be done with domains that no slot has yet.
#[derive(Subcommand)]
pub enum Verb {
    /// Write a new domain key file: 32 random bytes, as sensitive as the keys it protects
    #[command(after_help = "Example:\n  slotfs domain newkey red.pem")]
    Newkey {
        /// The file to write; it must not exist. - is standard output
        file: PathBuf,
    },
    /// Print a new domain string of 130 random bits
    #[command(after_help = "Example:\n  slotfs domain newstring")]
    Newstring,
}

impl Verb {
    /// Runs the command.
    pub fn run(self, console: &Console<'_>) -> Result<Ended> {
        match self {
            Self::Newkey { file } if data::is_stdout(&file) => {
                output::data_on_stdout(true);
                data::write(domain::new_key_file()?.bytes())?;
                if console.json() {
                    output::print_json(&json!({ "file": crate::shown::path(&file).to_string() }));
                }
                Ok(Ended::Bare)
            }
            Self::Newkey { file } => {
                new_key(&file)?;
                if console.json() {
                    output::print_json(&json!({ "file": crate::shown::path(&file).to_string() }));
                }
                Ok(Ended::WithResult)
            }
            Self::Newstring => {
                let string = domain::new_string()
                    .inspect_err(|_| output::data_on_stdout(!console.json()))?;
                if console.json() {
                    output::print_json(&json!({ "domain": *string }));
                } else {
                    output::print(&format!("{}\n", *string));
                }
                Ok(Ended::Bare)
            }
        }
    }
}

fn new_key(path: &Path) -> Result<()> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    let content = domain::new_key_file()?;
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o400)
        .open(path)
        .map_err(failed)?;
    let written = file
        .write_all(content.bytes())
        .and_then(|()| file.sync_all());
    written.map_err(|source| {
        // Half a key is worse than none.
        let _ = std::fs::remove_file(path);
        failed(source)
    })
}
