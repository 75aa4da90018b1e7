//! Data on standard output. All else that its command says is on standard error then ([`super::output::data_on_stdout`]).

use std::io;
use std::path::Path;

use super::output;
use crate::error::{Error, Result};

/// The names of standard output.
const STDOUT: [&str; 4] = ["-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1"];

/// Whether data for the file at `path` is for standard output.
pub fn is_stdout(path: &Path) -> bool {
    STDOUT.iter().any(|name| path.as_os_str() == *name)
}

/// Writes data to standard output. A reader that has had enough is not an error of ours.
pub fn write(data: &[u8]) -> Result<()> {
    match output::write(data) {
        Err(source) if source.kind() != io::ErrorKind::BrokenPipe => Err(Error::File {
            path: "standard output".into(),
            source,
        }),
        _ => Ok(()),
    }
}
