//! How `slotfs serve --background` starts a server that does not inherit the world of whoever starts it.

use std::io::Read;
use std::path::Path;
use std::process::{Command, Stdio};

use super::{failed, serve_error};
use crate::daemon;
use crate::error::{Error, Result};

/// What the server prints when it is ready.
const READY: &str = "ready\n";

/// The variables that a server keeps of its starter's environment.
fn is_kept(name: &str) -> bool {
    const KEPT: [&str; 6] = ["HOME", "LANG", "TZ", "RUST_BACKTRACE", "USER", "LOGNAME"];
    KEPT.contains(&name)
        || ["XDG_", "SLOTFS_", "LC_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// Starts a server in the background and returns when it listens, or another one does already.
///
/// # Errors
/// What the server said before it ended.
pub(crate) fn start(store: &Path, options: &[std::ffi::OsString]) -> Result<()> {
    let program = std::env::current_exe().map_err(failed("find the slotfs program"))?;
    let environment = std::env::vars_os().filter(|(name, _)| name.to_str().is_some_and(is_kept));
    let mut server = Command::new(program)
        .arg("--store")
        .arg(store)
        .arg("--json")
        .args(["serve", "--handed-over"])
        .args(options)
        .env_clear()
        .envs(environment)
        // It may be relative to this folder.
        .env("SLOTFS_STORE", store)
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|why| daemon::resource_error("start the server", &why))?;
    let mut said = String::new();
    if let Some(stdout) = &mut server.stdout {
        stdout
            .read_to_string(&mut said)
            .map_err(failed("read from the server"))?;
    }
    if said == READY {
        return Ok(());
    }
    let status = server.wait().map_err(failed("wait for the server"))?;
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    match code.filter(|code| *code != 0) {
        Some(status) => Err(Error::Daemon { status, said }),
        None => Err(serve_error(format!(
            "the server ended before it was ready ({status})"
        ))),
    }
}
