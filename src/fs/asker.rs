//! Who asks: what a request's pid says of the tool behind it.

use std::fs;

/// Whether process `pid` is an rsync that may be spared the repetition of a refusal which its ftruncate was
/// answered with.
///
/// `rsync --inplace` tells of the ftruncate and goes on with its next file, and ends its whole run at a
/// failing close. But it also takes the file for received, so with --remove-source-files its sender would
/// delete the only copy of what was refused: then the close must fail. Whoever is not known is not spared.
pub fn goes_on_after_ftruncate(pid: u32) -> bool {
    let Ok(command) = fs::read(format!("/proc/{pid}/cmdline")) else {
        return false;
    };
    is_rsync(pid) && keeps_its_source(&command)
}

/// Whether process `pid`, which creates a file with `flags`, is an rsync that makes a temporary one, as mkstemp(3) does.
/// With --temp-dir its names begin with no dot, and an error of write would end its whole run. What it opens for writing
/// alone has its final name (--inplace, --backup).
pub fn makes_temporary(pid: u32, flags: i32) -> bool {
    flags & libc::O_ACCMODE == libc::O_RDWR && is_rsync(pid)
}

fn is_rsync(pid: u32) -> bool {
    fs::read_to_string(format!("/proc/{pid}/comm")).is_ok_and(|name| name.trim_end() == "rsync")
}

/// Without --remove-source-files, its old name --remove-sent-files, or any spelling that might become one.
fn keeps_its_source(command: &[u8]) -> bool {
    !command
        .split(|byte| *byte == 0)
        .any(|word| word.starts_with(b"--remove") || word.starts_with(b"-remove"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_known_rsync_that_removes_nothing_is_spared() {
        assert!(keeps_its_source(b"rsync\0-a\0--inplace\0a/\0b/\0"));
        for removes in [
            b"rsync\0--remove-source-files\0a\0b\0".as_slice(),
            b"rsync\0--server\0--remove-sent-files\0.\0b\0",
        ] {
            assert!(!keeps_its_source(removes));
        }
        assert!(!goes_on_after_ftruncate(std::process::id()));
        assert!(!goes_on_after_ftruncate(0));
        assert!(!makes_temporary(std::process::id(), libc::O_RDWR));
    }
}
