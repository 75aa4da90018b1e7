//! `domain newkey` and `domain newstring`

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::cli::{Answer, Console, file_error, output, write_new};
use crate::domain;
use crate::error::Result;

/// What can be done with new domains.
#[derive(Subcommand)]
pub(crate) enum Verb {
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
    pub(crate) fn run(self, console: &Console<'_>) -> Result<Answer> {
        match self {
            Self::Newkey { file } => {
                let answer = Answer::new(json!({ "file": crate::shown::path(&file).to_string() }));
                if output::is_stdout(&file) {
                    output::data_on_stdout(true);
                    output::write_data(domain::new_key_file()?.bytes())?;
                    return Ok(answer.bare());
                }
                let content = domain::new_key_file()?;
                write_new(&file, content.bytes(), 0o400).map_err(file_error(&file))?;
                Ok(answer)
            }
            Self::Newstring => {
                let string = domain::new_string()
                    .inspect_err(|_| output::data_on_stdout(!console.json()))?;
                Ok(Answer::new(json!({ "domain": *string }))
                    .text(format!("{}\n", *string))
                    .bare())
            }
        }
    }
}
