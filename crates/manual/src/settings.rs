//! slotfs.toml(5), from the file that packages install: a text of comments, and each setting commented out.

use std::fs;
use std::path::Path;

use crate::Result;
use crate::page::Page;
use crate::roff::{bold, escape, lines, term};

/// The page of the settings' file.
///
/// # Errors
/// The file cannot be read, or a setting has no text.
pub(crate) fn page(file: &Path) -> Result<Page> {
    let mut body = String::from(".SH DESCRIPTION\n");
    let mut text = String::new();
    let mut has_settings = false;
    for line in fs::read_to_string(file)?.lines() {
        if let Some(setting) = setting(line) {
            if text.is_empty() {
                return Err(format!("nothing is said about {setting}").into());
            }
            if !has_settings {
                body.push_str(".SH SETTINGS\n");
                has_settings = true;
            }
            body.push_str(&term(&bold(setting), &escape(&std::mem::take(&mut text))));
        } else if let Some(comment) = line.strip_prefix('#') {
            text.push_str(comment.trim());
            text.push('\n');
        } else if !text.is_empty() {
            body.push_str(&format!(
                ".PP\n{}",
                lines(&escape(&std::mem::take(&mut text)))
            ));
        }
    }
    body.push_str(".SH FILES\n");
    for (file, what) in [
        (
            "/etc/slotfs.toml",
            "the system's settings; every user must be able to read it",
        ),
        (
            "$XDG_CONFIG_HOME/slotfs/config.toml",
            "a user's settings, which go before the system's",
        ),
    ] {
        body.push_str(&term(&crate::roff::italic(file), &escape(what)));
    }
    Ok(Page::new("slotfs.toml", 5, "settings of slotfs", body))
}

/// The setting in a line such as `#linger = 0` or `#[log]`, which is written without a blank after the number sign.
fn setting(line: &str) -> Option<&str> {
    let setting = line.strip_prefix('#')?;
    setting
        .starts_with(|c: char| c.is_ascii_lowercase() || c == '[')
        .then_some(setting)
}
