//! System calls, with descriptors that close themselves.

use std::ffi::CString;
use std::io;
use std::mem::{MaybeUninit, size_of};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::time::{Duration, Instant};

/// Device and inode of an open file.
pub(crate) type FileId = (u64, u64);

/// The result of a system call that returns -1 for an error.
fn check(result: libc::ssize_t) -> io::Result<usize> {
    usize::try_from(result).map_err(|_| io::Error::last_os_error())
}

/// What a descriptor is open on.
pub(crate) fn file_id(descriptor: RawFd) -> Option<FileId> {
    let mut stat = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: fstat writes a whole `stat` there when it returns 0, and takes any number for a descriptor.
    let stat = unsafe {
        match libc::fstat(descriptor, stat.as_mut_ptr()) {
            0 => stat.assume_init(),
            _ => return None,
        }
    };
    Some((stat.st_dev, stat.st_ino))
}

/// The same socket under a number above those of standard input, output and error, which applications close and open again.
pub(crate) fn above_standard(descriptor: OwnedFd) -> io::Result<OwnedFd> {
    if descriptor.as_raw_fd() > 2 {
        return Ok(descriptor);
    }
    // SAFETY: fcntl with these arguments touches no memory.
    let other = unsafe { libc::fcntl(descriptor.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
    check(other as libc::ssize_t)?;
    // SAFETY: the kernel has just given this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(other) })
}

/// Sends the parts of a frame, all of them.
pub(crate) fn send_all(socket: RawFd, parts: [&[u8]; 3]) -> io::Result<()> {
    let whole: usize = parts.iter().map(|it| it.len()).sum();
    let mut sent = 0;
    while sent < whole {
        let mut vectors = [libc::iovec {
            iov_base: std::ptr::null_mut(),
            iov_len: 0,
        }; 3];
        let mut skip = sent;
        for (vector, part) in vectors.iter_mut().zip(parts) {
            let rest = &part[skip.min(part.len())..];
            skip = skip.saturating_sub(part.len());
            vector.iov_base = rest.as_ptr().cast_mut().cast();
            vector.iov_len = rest.len();
        }
        // SAFETY: all zeros is an empty message.
        let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
        message.msg_iov = vectors.as_mut_ptr();
        message.msg_iovlen = vectors.len();
        // SAFETY: the vectors name memory that `parts` borrows; sendmsg only reads it.
        let result = unsafe { libc::sendmsg(socket, &message, libc::MSG_NOSIGNAL) };
        match check(result) {
            Ok(bytes) => sent += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// Receives some bytes; 0 at the end of the connection.
pub(crate) fn receive(socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        // SAFETY: recv writes at most `buffer.len()` bytes into `buffer`.
        let result = unsafe { libc::recv(socket, buffer.as_mut_ptr().cast(), buffer.len(), 0) };
        match check(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

/// Receives some bytes that are expected very soon; 0 at the end of the connection.
///
/// A thread that sleeps has to be woken, and on a virtual machine its processor too, which takes longer than most answers.
/// So it looks for them for a moment first, and lets everybody else run in between: measured with one client and with
/// several, on idle and on busy processors, that is quicker than to sleep at once (`scripts/bench --only pkcs11`).
pub(crate) fn receive_soon(socket: RawFd, buffer: &mut [u8]) -> io::Result<usize> {
    /// How long it looks.
    const MOMENT: Duration = Duration::from_micros(25);
    let began = Instant::now();
    loop {
        // SAFETY: recv writes at most `buffer.len()` bytes into `buffer`.
        let result = unsafe {
            let into = buffer.as_mut_ptr().cast();
            libc::recv(socket, into, buffer.len(), libc::MSG_DONTWAIT)
        };
        match check(result) {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            other => return other,
        }
        if began.elapsed() > MOMENT {
            return receive(socket, buffer);
        }
        std::thread::yield_now();
    }
}

/// Receives some bytes, and a descriptor if one comes with them.
pub(crate) fn receive_with_descriptor(
    socket: RawFd,
    buffer: &mut [u8],
) -> io::Result<(usize, Option<OwnedFd>)> {
    // Aligned as a cmsghdr, with room for one descriptor.
    let mut control = [0u64; 8];
    let mut vector = libc::iovec {
        iov_base: buffer.as_mut_ptr().cast(),
        iov_len: buffer.len(),
    };
    // SAFETY: all zeros is an empty message.
    let mut message: libc::msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &raw mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = size_of::<[u64; 8]>();
    let bytes = loop {
        // SAFETY: the message names `buffer` and `control`, with their lengths.
        let result = unsafe { libc::recvmsg(socket, &raw mut message, libc::MSG_CMSG_CLOEXEC) };
        match check(result) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => break other?,
        }
    };
    let mut descriptor = None;
    // SAFETY: the kernel has filled in the message; the macros stay within `control`. Each descriptor in it is new, and is
    // taken by one OwnedFd.
    unsafe {
        let mut header = libc::CMSG_FIRSTHDR(&raw const message);
        while !header.is_null() {
            let is_rights =
                (*header).cmsg_level == libc::SOL_SOCKET && (*header).cmsg_type == libc::SCM_RIGHTS;
            let bytes = (*header)
                .cmsg_len
                .saturating_sub(libc::CMSG_LEN(0) as usize);
            if is_rights {
                let numbers = libc::CMSG_DATA(header).cast::<RawFd>();
                for at in 0..bytes / size_of::<RawFd>() {
                    let number = numbers.add(at).read_unaligned();
                    descriptor = Some(OwnedFd::from_raw_fd(number));
                }
            }
            header = libc::CMSG_NXTHDR(&raw const message, header);
        }
    }
    Ok((bytes, descriptor))
}

/// Sends a descriptor, with one byte.
pub(crate) fn send_descriptor(socket: RawFd, descriptor: RawFd) -> io::Result<()> {
    let mut control = [0u64; 8];
    let mut byte = [0u8; 1];
    let mut vector = libc::iovec {
        iov_base: byte.as_mut_ptr().cast(),
        iov_len: 1,
    };
    // SAFETY: all zeros is an empty message; the macros stay within `control`, which has room for one descriptor.
    let result = unsafe {
        let mut message: libc::msghdr = std::mem::zeroed();
        message.msg_iov = &raw mut vector;
        message.msg_iovlen = 1;
        message.msg_control = control.as_mut_ptr().cast();
        message.msg_controllen = libc::CMSG_SPACE(size_of::<RawFd>() as u32) as usize;
        let header = libc::CMSG_FIRSTHDR(&raw const message);
        if header.is_null() {
            return Err(io::Error::other("no room for a descriptor"));
        }
        (*header).cmsg_level = libc::SOL_SOCKET;
        (*header).cmsg_type = libc::SCM_RIGHTS;
        (*header).cmsg_len = libc::CMSG_LEN(size_of::<RawFd>() as u32) as usize;
        libc::CMSG_DATA(header)
            .cast::<RawFd>()
            .write_unaligned(descriptor);
        libc::sendmsg(
            socket,
            &raw const message,
            libc::MSG_NOSIGNAL | libc::MSG_DONTWAIT,
        )
    };
    check(result).map(drop)
}

/// The user at the other end of a socket.
pub(crate) fn peer_uid(socket: RawFd) -> Option<u32> {
    let mut credentials = libc::ucred {
        pid: 0,
        uid: u32::MAX,
        gid: u32::MAX,
    };
    let mut length = size_of::<libc::ucred>() as libc::socklen_t;
    // SAFETY: getsockopt writes at most `length` bytes of credentials.
    let result = unsafe {
        libc::getsockopt(
            socket,
            libc::SOL_SOCKET,
            libc::SO_PEERCRED,
            (&raw mut credentials).cast(),
            &raw mut length,
        )
    };
    (result == 0).then_some(credentials.uid)
}

/// A new stream socket.
pub(crate) fn stream_socket() -> io::Result<OwnedFd> {
    // SAFETY: socket touches no memory.
    let number = unsafe { libc::socket(libc::AF_UNIX, libc::SOCK_STREAM | libc::SOCK_CLOEXEC, 0) };
    check(number as libc::ssize_t)?;
    let bytes: libc::c_int = 1 << 20;
    let length = size_of::<libc::c_int>() as libc::socklen_t;
    let value = (&raw const bytes).cast();
    // A frame takes fewer turns; the kernel gives what it allows, and nothing depends on it.
    // SAFETY: the value is as long as that.
    unsafe { libc::setsockopt(number, libc::SOL_SOCKET, libc::SO_SNDBUF, value, length) };
    // SAFETY: the kernel has just given this descriptor, and nobody else knows of it.
    Ok(unsafe { OwnedFd::from_raw_fd(number) })
}

/// Connects a socket to the one that listens at `path`.
pub(crate) fn connect(socket: RawFd, path: &Path) -> io::Result<()> {
    // SAFETY: all zeros is an address.
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    address.sun_family = libc::AF_UNIX as libc::sa_family_t;
    let path = path.as_os_str().as_bytes();
    // A zero must follow, and an empty path is no file.
    if path.is_empty() || path.contains(&0) || path.len() >= address.sun_path.len() {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    for (to, from) in address.sun_path.iter_mut().zip(path) {
        *to = *from as libc::c_char;
    }
    let length = size_of::<libc::sockaddr_un>() as libc::socklen_t;
    // SAFETY: the address is as long as that.
    let result = unsafe { libc::connect(socket, (&raw const address).cast(), length) };
    check(result as libc::ssize_t).map(drop)
}

/// How long a call on the socket may take; for ever if zero.
pub(crate) fn set_timeouts(socket: RawFd, most: Duration) -> io::Result<()> {
    let time = libc::timeval {
        tv_sec: most.as_secs().try_into().unwrap_or(libc::time_t::MAX),
        tv_usec: 0,
    };
    let length = size_of::<libc::timeval>() as libc::socklen_t;
    for option in [libc::SO_RCVTIMEO, libc::SO_SNDTIMEO] {
        let value = (&raw const time).cast();
        // SAFETY: the value is as long as that.
        let result = unsafe { libc::setsockopt(socket, libc::SOL_SOCKET, option, value, length) };
        check(result as libc::ssize_t)?;
    }
    Ok(())
}

/// Overwrites bytes that may have been secret.
pub(crate) fn wipe(bytes: &mut [u8]) {
    // SAFETY: it writes as many bytes as there are. The compiler may not leave the call out, and it is quicker than zeroize,
    // which writes byte by byte.
    unsafe { libc::explicit_bzero(bytes.as_mut_ptr().cast(), bytes.len()) };
}

/// Whether this process could open a file to read it.
pub(crate) fn may_read(path: &Path) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else {
        return false;
    };
    // SAFETY: the path ends with a zero.
    let result =
        unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), libc::R_OK, libc::AT_EACCESS) };
    result == 0
}

/// Ends a connection, so that whoever waits for it wakes up. The descriptor stays.
pub(crate) fn shut(socket: RawFd) {
    // SAFETY: shutdown touches no memory.
    unsafe { libc::shutdown(socket, libc::SHUT_RDWR) };
}

/// The user whose rights the process has.
pub(crate) fn effective_uid() -> u32 {
    // SAFETY: it always succeeds and touches no memory.
    unsafe { libc::geteuid() }
}

/// This process.
pub(crate) fn pid() -> i32 {
    // SAFETY: it always succeeds and touches no memory.
    unsafe { libc::getpid() }
}

/// Whether the process runs with rights that its starter does not have (`AT_SECURE`), so that the environment is the
/// starter's and not to be trusted.
pub(crate) fn is_secure() -> bool {
    // SAFETY: it reads the auxiliary vector of the process.
    unsafe { libc::getauxval(libc::AT_SECURE) != 0 }
}
