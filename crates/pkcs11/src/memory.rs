//! The application's memory: read and written as the C interface says, and no further.

use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

use cryptoki_sys::{
    CK_ATTRIBUTE, CK_BYTE, CK_MECHANISM, CK_RV, CK_ULONG, CKF_ARRAY_ATTRIBUTE, CKR_ARGUMENTS_BAD,
    CKR_ATTRIBUTE_VALUE_INVALID, CKR_BUFFER_TOO_SMALL, CKR_MECHANISM_PARAM_INVALID,
};
use slotfs_wire::{
    Mechanism, NestedAttribute, Parameter, RawAttribute, RawValue, Secret, Template,
};

use crate::parameters;

/// The most attributes in a template.
pub(crate) const MOST_ATTRIBUTES: usize = 1_024;
/// The longest attribute: more than a slot takes.
const MAX_ATTRIBUTE_BYTES: usize = 256 << 10;

/// Bytes that an application gives.
///
/// # Errors
/// `CKR_ARGUMENTS_BAD` for null with a length.
///
/// # Safety
/// The caller of the C interface vouches that `length` bytes are at `pointer`, as long as the call takes.
pub(crate) unsafe fn input<'a>(
    pointer: *const CK_BYTE,
    length: CK_ULONG,
) -> Result<&'a [u8], CK_RV> {
    match (pointer.is_null(), length) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(CKR_ARGUMENTS_BAD),
        (false, length) if length > isize::MAX as CK_ULONG => Err(CKR_ARGUMENTS_BAD),
        // SAFETY: as the caller vouches.
        (false, length) => Ok(unsafe { std::slice::from_raw_parts(pointer, length as usize) }),
    }
}

/// Where an output goes: the buffer, and where its length is.
pub(crate) struct Output<'a> {
    buffer: Option<&'a mut [u8]>,
    length: &'a mut CK_ULONG,
}

impl<'a> Output<'a> {
    /// # Errors
    /// `CKR_ARGUMENTS_BAD` where there is no place for the length.
    ///
    /// # Safety
    /// The caller of the C interface vouches that `*length` bytes can be written at `buffer`, if that is not null.
    pub(crate) unsafe fn new(buffer: *mut CK_BYTE, length: *mut CK_ULONG) -> Result<Self, CK_RV> {
        // SAFETY: as the caller vouches; it is null or a place for a number.
        let length = unsafe { length.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
        let bytes = usize::try_from(*length).unwrap_or(usize::MAX);
        // More than any output: applications pass -1 for "large enough".
        let bytes = bytes.min(isize::MAX as usize >> 1);
        // SAFETY: as the caller vouches. Rust never reads what is there.
        let buffer =
            (!buffer.is_null()).then(|| unsafe { std::slice::from_raw_parts_mut(buffer, bytes) });
        Ok(Self { buffer, length })
    }

    /// How many bytes there is room for; `None` where the length alone is asked for.
    pub(crate) fn room(&self) -> Option<u64> {
        self.buffer.as_ref().map(|it| it.len() as u64)
    }

    /// The buffer; empty where there is none.
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        self.buffer.as_deref_mut().unwrap_or_default()
    }

    /// Says how long the output is.
    pub(crate) fn set_length(&mut self, bytes: u64) {
        *self.length = bytes as CK_ULONG;
    }

    /// Says how long the output would be, which is more than there is room for.
    pub(crate) fn too_small(&mut self, bytes: u64) -> CK_RV {
        self.set_length(bytes);
        CKR_BUFFER_TOO_SMALL
    }
}

/// A list that applications ask for in two calls: how many, then all of them.
///
/// # Errors
/// `CKR_BUFFER_TOO_SMALL`, `CKR_ARGUMENTS_BAD`
///
/// # Safety
/// As [`Output::new`], for numbers.
pub(crate) unsafe fn give_list(
    all: &[u64],
    list: *mut CK_ULONG,
    count: *mut CK_ULONG,
) -> Result<(), CK_RV> {
    // SAFETY: as the caller vouches.
    let count = unsafe { count.as_mut() }.ok_or(CKR_ARGUMENTS_BAD)?;
    let room = *count;
    *count = all.len() as CK_ULONG;
    if list.is_null() {
        return Ok(());
    }
    if room < all.len() as CK_ULONG {
        return Err(CKR_BUFFER_TOO_SMALL);
    }
    for (at, number) in all.iter().enumerate() {
        // SAFETY: there is room for as many, as the caller vouches.
        unsafe { list.add(at).write(*number as CK_ULONG) };
    }
    Ok(())
}

/// The attributes at `template`.
///
/// # Errors
/// `CKR_ARGUMENTS_BAD`
///
/// # Safety
/// The caller of the C interface vouches for the attributes and for what they point to.
pub(crate) unsafe fn template(
    template: *const CK_ATTRIBUTE,
    count: CK_ULONG,
) -> Result<Template, CK_RV> {
    // SAFETY: as the caller vouches.
    let all = unsafe { attributes(template, count) }?;
    let read = |it: &CK_ATTRIBUTE| {
        let value = match is_template(it) {
            // SAFETY: as the caller vouches.
            true => RawValue::Template(unsafe { nested(it) }?),
            // SAFETY: as the caller vouches.
            false => RawValue::Bytes(Secret::from(unsafe { value(it) }?)),
        };
        let kind = it.type_;
        Ok(RawAttribute { kind, value })
    };
    all.iter().map(read).collect()
}

/// Whether the value of an attribute is made of attributes; `CKA_ALLOWED_MECHANISMS` is an array of numbers.
pub(crate) fn is_template(it: &CK_ATTRIBUTE) -> bool {
    it.type_ & CKF_ARRAY_ATTRIBUTE != 0
        && it.type_ != cryptoki_sys::CKA_ALLOWED_MECHANISMS
        && it.ulValueLen > 0
}

/// # Safety
/// As [`template`].
pub(crate) unsafe fn attributes<'a>(
    template: *const CK_ATTRIBUTE,
    count: CK_ULONG,
) -> Result<&'a [CK_ATTRIBUTE], CK_RV> {
    match (template.is_null(), count as usize) {
        (_, 0) => Ok(&[]),
        (true, _) => Err(CKR_ARGUMENTS_BAD),
        (false, count) if count > MOST_ATTRIBUTES => Err(CKR_ARGUMENTS_BAD),
        // SAFETY: as the caller vouches.
        (false, count) => Ok(unsafe { std::slice::from_raw_parts(template, count) }),
    }
}

/// # Safety
/// As [`template`].
unsafe fn value(it: &CK_ATTRIBUTE) -> Result<&[u8], CK_RV> {
    if it.ulValueLen as usize > MAX_ATTRIBUTE_BYTES {
        return Err(CKR_ATTRIBUTE_VALUE_INVALID);
    }
    // SAFETY: as the caller vouches.
    unsafe { input(it.pValue.cast(), it.ulValueLen) }
}

/// # Safety
/// As [`template`].
unsafe fn nested(it: &CK_ATTRIBUTE) -> Result<Vec<NestedAttribute>, CK_RV> {
    let size = size_of::<CK_ATTRIBUTE>();
    let bytes = it.ulValueLen as usize;
    if !bytes.is_multiple_of(size) {
        return Err(CKR_ARGUMENTS_BAD);
    }
    // SAFETY: as the caller vouches.
    let all = unsafe { attributes(it.pValue.cast(), (bytes / size) as CK_ULONG) }?;
    let read = |it: &CK_ATTRIBUTE| {
        // SAFETY: as the caller vouches.
        let bytes = Secret::from(unsafe { value(it) }?);
        let kind = it.type_;
        Ok(NestedAttribute { kind, bytes })
    };
    all.iter().map(read).collect()
}

/// The mechanism at `mechanism`; `None` for null, which cancels an operation.
///
/// # Errors
/// `CKR_MECHANISM_PARAM_INVALID`
///
/// # Safety
/// The caller of the C interface vouches for the mechanism itself. What its parameter points to is read by the kernel.
pub(crate) unsafe fn mechanism(mechanism: *const CK_MECHANISM) -> Result<Option<Mechanism>, CK_RV> {
    // SAFETY: as the caller vouches.
    let Some(it) = (unsafe { mechanism.as_ref() }) else {
        return Ok(None);
    };
    let parameter = parameters::read(it).ok_or(CKR_MECHANISM_PARAM_INVALID)?;
    Ok(Some(Mechanism {
        number: it.mechanism,
        parameter,
    }))
}

/// The mechanism of a message-based encryption, whose messages have parameters of their own. Whatever parameter is here is
/// ignored: applications put the structure of a message there, which is as long as `CK_GCM_PARAMS` and means something else.
///
/// # Safety
/// As [`mechanism`].
pub(crate) unsafe fn bare_mechanism(mechanism: *const CK_MECHANISM) -> Option<Mechanism> {
    // SAFETY: as the caller vouches.
    let number = unsafe { mechanism.as_ref() }?.mechanism;
    let parameter = Parameter::None;
    Some(Mechanism { number, parameter })
}

/// The same as [`mechanism`] where null is an error.
///
/// # Errors
/// `CKR_ARGUMENTS_BAD`
///
/// # Safety
/// As [`mechanism`].
pub(crate) unsafe fn needed_mechanism(it: *const CK_MECHANISM) -> Result<Mechanism, CK_RV> {
    // SAFETY: as the caller vouches.
    unsafe { mechanism(it) }?.ok_or(CKR_ARGUMENTS_BAD)
}

/// Copies bytes from an address that may be none: the kernel reads, and says that there is nothing.
pub(crate) fn probe(address: *const u8, bytes: usize) -> Option<Vec<u8>> {
    if bytes == 0 {
        return Some(Vec::new());
    }
    if address.is_null() {
        return None;
    }
    let mut copy = vec![0u8; bytes];
    let local = libc::iovec {
        iov_base: copy.as_mut_ptr().cast(),
        iov_len: bytes,
    };
    let remote = libc::iovec {
        iov_base: address.cast_mut().cast(),
        iov_len: bytes,
    };
    // SAFETY: the kernel writes at most `bytes` bytes into `copy`, and reads the other side without trusting it.
    let read = unsafe {
        libc::process_vm_readv(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    if read == bytes as isize {
        return Some(copy);
    }
    let error = std::io::Error::last_os_error().raw_os_error();
    if read >= 0 || error == Some(libc::EFAULT) {
        return None;
    }
    // A filter on system calls forbids that one: through a pipe, which has room for a page at least.
    through_a_pipe(address, &mut copy).then_some(copy)
}

fn through_a_pipe(address: *const u8, copy: &mut [u8]) -> bool {
    let Some([reader, writer]) = pipe() else {
        return false;
    };
    let mut done = 0;
    while done < copy.len() {
        let part = (copy.len() - done).min(4096);
        // SAFETY: the kernel reads the address without trusting it, and writes as much into `copy` as there is room for.
        let moved = unsafe {
            let from = address.wrapping_add(done);
            let written = libc::write(writer.as_raw_fd(), from.cast(), part);
            match written > 0 {
                true => libc::read(
                    reader.as_raw_fd(),
                    copy[done..].as_mut_ptr().cast(),
                    written as usize,
                ),
                false => -1,
            }
        };
        match usize::try_from(moved) {
            Ok(bytes) if bytes > 0 => done += bytes,
            _ => break,
        }
    }
    done == copy.len()
}

/// Copies bytes to an address that may be none: the kernel writes. Whether there was room.
pub(crate) fn poke(address: *mut u8, bytes: &[u8]) -> bool {
    if bytes.is_empty() {
        return true;
    }
    let local = libc::iovec {
        iov_base: bytes.as_ptr().cast_mut().cast(),
        iov_len: bytes.len(),
    };
    let remote = libc::iovec {
        iov_base: address.cast(),
        iov_len: bytes.len(),
    };
    // SAFETY: the kernel reads `bytes`, and writes the other side without trusting it.
    let written = unsafe {
        libc::process_vm_writev(libc::getpid(), &raw const local, 1, &raw const remote, 1, 0)
    };
    if written == bytes.len() as isize {
        return true;
    }
    let error = std::io::Error::last_os_error().raw_os_error();
    if written >= 0 || error == Some(libc::EFAULT) {
        return false;
    }
    // A filter on system calls forbids that one: through a pipe.
    let Some([reader, writer]) = pipe() else {
        return false;
    };
    // SAFETY: as above; IVs and tags fit a pipe.
    unsafe {
        let into = libc::write(writer.as_raw_fd(), bytes.as_ptr().cast(), bytes.len());
        into == bytes.len() as isize
            && libc::read(reader.as_raw_fd(), address.cast(), bytes.len()) == into
    }
}

fn pipe() -> Option<[OwnedFd; 2]> {
    let mut ends = [0; 2];
    // SAFETY: it writes two numbers.
    if unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_CLOEXEC | libc::O_NONBLOCK) } != 0 {
        return None;
    }
    // SAFETY: the kernel has just given both.
    Some(ends.map(|end| unsafe { OwnedFd::from_raw_fd(end) }))
}

/// Copies a text into a field of fixed length, padded with blanks, cut between characters.
pub(crate) fn pad(field: &mut [u8], text: &str) {
    let mut end = text.len().min(field.len());
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    field.fill(b' ');
    field[..end].copy_from_slice(&text.as_bytes()[..end]);
}
