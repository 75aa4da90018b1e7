//! How `slotfs mount` starts a daemon in the background: it writes the passwords to the daemon's standard input and reads
//! from its standard output that the mount is ready.

use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use data_encoding::HEXLOWER;
use nix::errno::Errno;
use zeroize::Zeroizing;

use super::table::{self, Entry};
use super::{Plan, failed, given, limits, mount_error, mountpoint, open_null};
use crate::error::{Error, Result};
use crate::object::SlotId;
use crate::object::partition::Role;
use crate::secret::SecretBytes;

/// What the daemon writes to standard output when it is ready.
const READY: &str = "ready\n";

/// The program's file, where its path does not lead to it.
static PROGRAM: OnceLock<File> = OnceLock::new();

/// Opens the program's own file: in another mount namespace its path may mean another one, or none.
///
/// # Errors
/// [`Error::Mount`]
pub(crate) fn remember_program() -> Result<()> {
    let file = File::open("/proc/self/exe").map_err(failed("open the slotfs program"))?;
    let _ = PROGRAM.set(file);
    Ok(())
}

/// Starts the daemon in the background and returns when the mount is ready.
///
/// # Errors
/// [`Error::Daemon`] if the daemon failed and reported its error itself; [`Error::Mount`] if it ended without a report.
pub(crate) fn start(plan: &Plan) -> Result<()> {
    let before = table::read().unwrap_or_default();
    let mut command = match PROGRAM.get() {
        Some(program) => Command::new(format!("/proc/self/fd/{}", program.as_raw_fd())),
        None => Command::new(std::env::current_exe().map_err(failed("find the slotfs program"))?),
    };
    // Not the name under which mount(8) started it.
    command.arg0("slotfs");
    // As it was given: it is what the mount table shows, and the options below have the rest.
    command.arg("--store").arg(&plan.source);
    command.arg("mount").arg("--handed-over").arg("--json");
    if !plan.options_text.is_empty() {
        command.arg(format!("--options={}", plan.options_text));
    }
    let mut log = OsString::from("--log=");
    log.push(plan.log.spelled());
    command.arg(log);
    command.arg("--").arg(&plan.mountpoint);
    // It is not the process that systemd waits for.
    command.env_remove(crate::notify::VARIABLE);
    let mut daemon = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|why| limits::resource_error("start the daemon", &why))?;

    if let Some(mut stdin) = daemon.stdin.take() {
        // If the daemon died before it read them, its exit status says why.
        let _ = stdin.write_all(logins_text(plan).as_bytes());
    }
    let mut said = String::new();
    if let Some(stdout) = &mut daemon.stdout {
        stdout
            .read_to_string(&mut said)
            .map_err(failed("read from the daemon"))?;
    }
    let is_ready = said == READY;
    let is_given = given::descriptor(&plan.mountpoint).is_some();
    if is_ready && (is_given || answers(&plan.mountpoint)) {
        return Ok(());
    }
    let status = daemon.wait().map_err(failed("wait for the daemon"))?;
    if !is_given {
        remove_dead_mount(&plan.mountpoint, &before);
    }
    let code = status.code().and_then(|code| u8::try_from(code).ok());
    Err(match code.filter(|code| !is_ready && *code != 0) {
        Some(status) => Error::Daemon { status, said },
        None => mount_error(
            format!("the daemon ended before the mount answered ({status})"),
            Some(format!(
                "the daemon's log may say more; the process has these limits: {}",
                limits::list_limits()
            )),
        ),
    })
}

/// Whether the daemon of the mount answers a request, even with an error.
fn answers(mountpoint: &Path) -> bool {
    !matches!(
        nix::sys::statvfs::statvfs(mountpoint),
        Err(Errno::ENOTCONN | Errno::ECONNABORTED)
    )
}

/// Unmounts the mount that the daemon made and left behind when it died.
fn remove_dead_mount(mountpoint: &Path, before: &[Entry]) {
    let Ok(path) = mountpoint::resolve(mountpoint) else {
        return;
    };
    let left = table::at(&path)
        .filter(|entry| entry.is_slotfs() && !before.iter().any(|old| old.device == entry.device));
    if left.is_some() && !answers(&path) {
        // The caller reports that the daemon ended, also if this fails.
        let _ = mountpoint::unmount_topmost(&path, true);
    }
}

/// The logins as lines `SLOT ROLE HEX`.
fn logins_text(plan: &Plan) -> Zeroizing<String> {
    // Its memory is wiped at the end; what it grew out of would not be.
    let bytes = plan.logins.iter().map(|it| 2 * it.2.bytes().len() + 32);
    let mut text = Zeroizing::new(String::with_capacity(bytes.sum()));
    for (slot, role, password) in &plan.logins {
        let password = Zeroizing::new(HEXLOWER.encode(password.bytes()));
        text.push_str(&Zeroizing::new(format!("{slot} {role} {}\n", *password)));
    }
    text
}

/// Reads the logins that [`start`] wrote.
///
/// # Errors
/// [`Error::Usage`] if standard input does not hold such lines, because something else started the daemon.
pub(crate) fn receive_logins() -> Result<Vec<(SlotId, Role, SecretBytes)>> {
    const MOST_BYTES: usize = 1 << 20;
    // It never grows, so no copy of it stays in freed memory.
    let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES));
    io::stdin()
        .take(MOST_BYTES as u64)
        .read_to_string(&mut text)
        .map_err(failed("read the passwords"))?;
    text.lines()
        .map(|line| {
            let mut parts = line.splitn(3, ' ');
            let slot = parts.next()?.parse().ok()?;
            let role = parts.next()?.parse().ok()?;
            let password = HEXLOWER.decode(parts.next()?.as_bytes()).ok()?;
            Some((slot, role, SecretBytes::new(password)))
        })
        .collect::<Option<_>>()
        .ok_or_else(|| Error::Usage("only 'slotfs mount' itself may use --handed-over".into()))
}

/// Leaves the caller's session, folder and terminal, then tells the parent that the daemon is ready.
pub(crate) fn report_ready() -> Result<()> {
    // It fails only for a process-group leader, which a spawned daemon is not.
    if let Err(why) = nix::unistd::setsid() {
        log::debug!("setsid: {why}");
    }
    std::env::set_current_dir("/").map_err(failed("change the folder to /"))?;
    let null = open_null()?;
    nix::unistd::dup2_stdin(&null).map_err(failed("close standard input"))?;
    nix::unistd::dup2_stderr(&null).map_err(failed("close standard error"))?;
    let mut stdout = io::stdout();
    // It fails if the parent has ended, which is no reason to unmount.
    let _ = stdout
        .write_all(READY.as_bytes())
        .and_then(|()| stdout.flush());
    nix::unistd::dup2_stdout(&null).map_err(failed("close standard output"))
}
