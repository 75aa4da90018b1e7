//! From `slotfs mount` to the daemon it starts: passwords on its standard input, readiness on its
//! standard output.

use std::ffi::OsString;
use std::fs::OpenOptions;
use std::io::{self, Read, Write};
use std::path::Path;
use std::process::{Command, Stdio};

use data_encoding::HEXLOWER;
use nix::errno::Errno;
use zeroize::Zeroizing;

use super::table::{self, Entry};
use super::{Plan, failed, limits, mountpoint, system};
use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;

/// What the daemon says once it is ready.
const READY: &str = "ready\n";

/// Starts the daemon in the background and returns when it is ready.
///
/// # Errors
/// [`Error::Daemon`] when it failed; it has said why.
pub(crate) fn start(plan: &Plan) -> Result<()> {
    let before = table::read().unwrap_or_default();
    let program = std::env::current_exe().map_err(|why| failed("find slotfs itself", &why))?;
    let mut command = Command::new(program);
    command.arg("--store").arg(&plan.store);
    command.arg("mount").arg("--handed-over").arg("--json");
    if !plan.options_text.is_empty() {
        command.arg(format!("--options={}", plan.options_text));
    }
    if let Some(log_file) = &plan.log_file {
        let mut option = OsString::from("--log-file=");
        option.push(log_file);
        command.arg(option);
    }
    command.arg("--").arg(&plan.mountpoint);
    let mut daemon = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|why| limits::lacking("start the daemon", &why))?;

    if let Some(mut stdin) = daemon.stdin.take() {
        // A daemon that died before it read says why by its exit status.
        let _ = stdin.write_all(logins_text(plan).as_bytes());
    }
    let mut said = String::new();
    if let Some(stdout) = &mut daemon.stdout {
        stdout
            .read_to_string(&mut said)
            .map_err(|why| failed("hear from the daemon", &why))?;
    }
    let is_ready = said == READY;
    if is_ready && answers(&plan.mountpoint) {
        return Ok(());
    }
    let status = daemon
        .wait()
        .map_err(|why| failed("wait for the daemon", &why))?;
    clear(&plan.mountpoint, &before);
    match (
        is_ready,
        status.code().and_then(|code| u8::try_from(code).ok()),
    ) {
        (false, Some(status)) if status != 0 => Err(Error::Daemon { status, said }),
        _ => Err(Error::Mount {
            what: format!("the daemon ended before the mount answered ({status})"),
            hint: Some(format!(
                "its log may say more; these limits are set: {}",
                limits::set()
            )),
        }),
    }
}

/// Whether a daemon answers there, with whatever.
fn answers(mountpoint: &Path) -> bool {
    !matches!(
        nix::sys::statvfs::statvfs(mountpoint),
        Err(Errno::ENOTCONN | Errno::ECONNABORTED)
    )
}

/// Unmounts what a daemon that died left behind.
fn clear(mountpoint: &Path, before: &[Entry]) {
    let Ok(path) = mountpoint::resolve(mountpoint) else {
        return;
    };
    let left = table::at(&path)
        .filter(|entry| entry.is_slotfs() && !before.iter().any(|old| old.device == entry.device));
    if left.is_some() && !answers(&path) {
        // Where it fails, the error says that the daemon ended.
        let _ = mountpoint::detach(&path);
    }
}

/// `SLOT ROLE HEX` lines.
fn logins_text(plan: &Plan) -> Zeroizing<String> {
    let lines = plan.logins.iter().map(|(slot, role, password)| {
        let password = Zeroizing::new(HEXLOWER.encode(password.bytes()));
        Zeroizing::new(format!("{slot} {role} {}\n", *password))
    });
    let mut text = Zeroizing::new(String::with_capacity(plan.logins.len() * 1024));
    for line in lines {
        text.push_str(&line);
    }
    text
}

/// Reads what [`start`] wrote.
///
/// # Errors
/// [`Error::Usage`] when it was not [`start`] that wrote it.
pub(crate) fn receive_logins() -> Result<Vec<(SlotId, Role, SecretBytes)>> {
    let mut text = Zeroizing::new(String::with_capacity(64 * 1024));
    io::stdin()
        .read_to_string(&mut text)
        .map_err(|why| failed("read the passwords", &why))?;
    text.lines()
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let slot = parts.next()?.parse().ok()?;
            let role = parts.next()?.parse().ok()?;
            let password = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?;
            Some((slot, role, SecretBytes::new(password)))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Error::Usage("--handed-over is for 'slotfs mount' alone".into()))
}

/// Leaves the caller's terminal, folder and session, then says that the mount is ready.
pub(crate) fn ready() -> Result<()> {
    // Fails only for a group leader, which a spawned daemon is not; then it stays in its session.
    if let Err(why) = nix::unistd::setsid() {
        log::debug!("setsid: {why}");
    }
    std::env::set_current_dir("/").map_err(|why| failed("leave the folder", &why))?;
    let null = OpenOptions::new()
        .read(true)
        .write(true)
        .open("/dev/null")
        .map_err(|why| failed("open /dev/null", &why))?;
    nix::unistd::dup2_stdin(&null).map_err(system("leave standard input"))?;
    nix::unistd::dup2_stderr(&null).map_err(system("leave standard error"))?;
    let mut stdout = io::stdout();
    // A caller that is gone was not waiting.
    let _ = stdout
        .write_all(READY.as_bytes())
        .and_then(|()| stdout.flush());
    nix::unistd::dup2_stdout(&null).map_err(system("leave standard output"))
}
