//! Starts a token server where none listens, without the world of the application that starts it.

use std::ffi::{CString, OsString};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::Path;
use std::ptr;

use slotfs_config::store::{absolute, is_in_cluster};

use crate::state::Settings;
use crate::sys;

/// What the server keeps of the application's environment.
fn is_kept(name: &[u8]) -> bool {
    const KEPT: [&[u8]; 5] = [b"HOME", b"LANG", b"TZ", b"USER", b"LOGNAME"];
    const PREFIXES: [&[u8]; 3] = [b"XDG_", b"SLOTFS_", b"LC_"];
    KEPT.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
}

/// Whether the module may start a server. Services have one by systemd, and a program with another user's rights must not
/// start anything.
pub(crate) fn may_start(settings: &Settings, store: &Path) -> bool {
    if !settings.trusts_environment {
        return false;
    }
    // Whether this user may use a cluster, only its members can say, and they are asked by the server.
    if !is_in_cluster(store) && !sys::may_read(store) {
        return false;
    }
    let in_service = std::env::var_os("INVOCATION_ID").is_some();
    settings.config.spawn.unwrap_or(!in_service)
}

/// Starts the server of `store`, and waits until it listens.
///
/// # Errors
/// When the program cannot be run, or says that it failed.
pub(crate) fn start(settings: &Settings, store: &Path) -> io::Result<()> {
    // The canonical name of a location has no options, and so no certificates.
    let given = settings.store.as_deref().filter(|it| is_in_cluster(it));
    let store = absolute(given.unwrap_or(store))?;
    let text = |bytes: &[u8]| CString::new(bytes).map_err(io::Error::other);
    let program = text(settings.config.program.as_os_str().as_bytes())?;
    let mut arguments = vec![
        program.clone(),
        text(b"--store")?,
        text(store.as_os_str().as_bytes())?,
        text(b"serve")?,
        text(b"--background")?,
    ];
    // A socket that is set is the only one that the module looks at, so the server must listen there.
    if let Some(socket) = &settings.config.socket {
        arguments.push(text(b"--socket")?);
        arguments.push(text(socket.as_os_str().as_bytes())?);
    }
    let kept = std::env::vars_os().filter(|(name, _)| is_kept(name.as_bytes()));
    let mut environment = vec![text(
        b"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    )?];
    for (name, value) in kept {
        let mut pair: OsString = name;
        pair.push("=");
        pair.push(value);
        environment.push(CString::new(pair.into_vec()).map_err(io::Error::other)?);
    }
    let pointers = |all: &[CString]| -> Vec<*const libc::c_char> {
        let all = all.iter().map(|it| it.as_ptr());
        all.chain([ptr::null()]).collect()
    };
    let (arguments, environment) = (pointers(&arguments), pointers(&environment));
    match run(&program, &arguments, &environment)? {
        0 => Ok(()),
        status => Err(io::Error::other(format!("it ended with status {status}"))),
    }
}

/// Runs a program to its end; its status as waitpid(2) has it.
///
/// The application's own child is one without an exit signal, which only waits for the program and never executes one: no
/// SIGCHLD is sent, and an application that waits for any child does not see it. After an execve the kernel would set the
/// exit signal to SIGCHLD (execve(2)), so the program is the child's child.
fn run(
    program: &CString,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> io::Result<i32> {
    // Until its handlers are reset, a signal to the child would run the application's in it.
    // SAFETY: it writes both sets; the mask of this thread alone changes, and is put back.
    let before = unsafe {
        let (mut all, mut before) = (std::mem::zeroed(), std::mem::zeroed());
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_SETMASK, &raw const all, &raw mut before);
        before
    };
    // SAFETY: the raw call makes a process with a copy of this memory, as fork(2) does, without running the handlers of
    // pthread_atfork(3). Until it ends, the child makes only async-signal-safe calls (signal-safety(7)) over memory that was
    // prepared before.
    let child = unsafe { libc::syscall(libc::SYS_clone, 0, 0, 0, 0, 0) };
    if child == 0 {
        // SAFETY: as above.
        unsafe { in_child(program, arguments, environment) }
    }
    let error = io::Error::last_os_error();
    // SAFETY: as above.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &raw const before, ptr::null_mut()) };
    if child < 0 {
        return Err(error);
    }
    let child = child as libc::pid_t;
    let mut status = 0;
    loop {
        // SAFETY: it writes one number.
        let ended = unsafe { libc::waitpid(child, &raw mut status, libc::__WCLONE) };
        if ended == child {
            return Ok(status);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EINTR) => {}
            // The application waits for children of every kind (`__WALL`) and was faster. Whether the server listens, the
            // caller sees.
            Some(libc::ECHILD) => return Ok(0),
            _ => return Err(error),
        }
    }
}

/// The child: leaves all that is the application's, runs the program, and ends with its status.
///
/// # Safety
/// Only for a process that has just been made, with one thread.
unsafe fn in_child(
    program: &CString,
    arguments: &[*const libc::c_char],
    environment: &[*const libc::c_char],
) -> ! {
    // SAFETY: system calls over memory that was prepared before; the pointers end with null.
    unsafe {
        for signal in 1..=64 {
            libc::signal(signal, libc::SIG_DFL);
        }
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, ptr::null_mut());
        libc::syscall(libc::SYS_close_range, 0, u32::MAX, 0);
        let null = libc::open(c"/dev/null".as_ptr(), libc::O_RDWR);
        libc::dup(null);
        libc::dup(null);
        libc::setsid();
        libc::umask(0o077);
        libc::chdir(c"/".as_ptr());
        let program_child = libc::syscall(libc::SYS_clone, libc::SIGCHLD, 0, 0, 0, 0);
        if program_child == 0 {
            libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr());
            libc::_exit(127);
        }
        let mut status = 0;
        let ended = libc::waitpid(program_child as libc::pid_t, &raw mut status, 0);
        let succeeded = ended > 0 && libc::WIFEXITED(status) && libc::WEXITSTATUS(status) == 0;
        libc::_exit(i32::from(!succeeded))
    }
}
