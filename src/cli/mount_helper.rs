//! `mount.fuse.slotfs`: what mount(8) runs for the type `fuse.slotfs`, also from /etc/fstab. It is the same program under
//! another name, with a grammar of its own: `SPEC DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t TYPE]` (mount(8), "EXTERNAL
//! HELPERS").

use std::ffi::{OsStr, OsString};
use std::fs::File;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

use nix::sched::{CloneFlags, setns};

use super::console::no_misspelt_location;
use super::mount::ByMount;
use super::{Console, Noun, file_error, output, parse, print_refusal};
use crate::daemon;
use crate::error::{Error, Result};
use crate::shown;

/// The names under which the program is this helper.
const NAMES: [&[u8]; 2] = [b"mount.fuse.slotfs", b"mount.slotfs"];

/// The exit statuses of mount(8).
mod exit {
    pub(super) const DONE: u8 = 0;
    pub(super) const USAGE: u8 = 1;
    pub(super) const MOUNT: u8 = 32;
}

const USAGE: &str =
    "usage: mount.fuse.slotfs STORE DIR [-sfnv] [-N NAMESPACE] [-o OPTIONS] [-t fuse.slotfs]

STORE is the file of the store, or its location in a cluster. Options are those of 'slotfs mount -o', with commas.

  -f  do all but the mount itself        -s  ignore unknown options
  -n  write no /etc/mtab (nothing does)  -v  say what was done
  -N  mount in the namespace of a process, or of a file such as /proc/1/ns/mnt
";

/// Whether a program of that name is the helper.
pub(super) fn is_name(program: &OsStr) -> bool {
    let name = Path::new(program).file_name();
    name.is_some_and(|name| NAMES.contains(&name.as_bytes()))
}

/// What mount(8) asks for.
#[derive(Debug, Default, PartialEq, Eq)]
struct Request {
    store: OsString,
    folder: OsString,
    options: Vec<OsString>,
    namespace: Option<OsString>,
    fake: bool,
    sloppy: bool,
    verbose: bool,
    help: bool,
}

/// Runs the helper; its exit status.
pub(super) fn run(words: Vec<OsString>) -> u8 {
    let request = match Request::read(words) {
        Ok(request) => request,
        Err(why) => {
            output::tell(&format!("mount.fuse.slotfs: {why}\n{USAGE}"));
            return exit::USAGE;
        }
    };
    if request.help {
        output::print(USAGE);
        return output::end(exit::DONE);
    }
    crate::logging::for_command();
    match request.mount() {
        Ok(()) => exit::DONE,
        Err(Ended::Refused(refusal)) => {
            print_refusal(&refusal, false);
            exit::USAGE
        }
        // The daemon has told its error itself.
        Err(Ended::Failed(Error::Daemon { .. })) => exit::MOUNT,
        Err(Ended::Failed(error)) => {
            output::tell_error(&error);
            match error {
                Error::Usage(_) => exit::USAGE,
                _ => exit::MOUNT,
            }
        }
    }
}

/// Why there is no mount.
enum Ended {
    Refused(super::Refusal),
    Failed(Error),
}

impl<E: Into<Error>> From<E> for Ended {
    fn from(error: E) -> Self {
        Self::Failed(error.into())
    }
}

impl Request {
    /// Reads the words, in any order, as getopt(3) does.
    fn read(words: Vec<OsString>) -> Result<Self, String> {
        let mut request = Self::default();
        let mut places = Vec::new();
        let mut words = words.into_iter();
        while let Some(word) = words.next() {
            match word.as_bytes() {
                b"--" => {
                    places.extend(words);
                    break;
                }
                b"--help" => request.help = true,
                [b'-', letters @ ..] if !letters.is_empty() => {
                    request.take_letters(letters, &mut words)?;
                }
                _ => places.push(word),
            }
        }
        if request.help {
            return Ok(request);
        }
        let mut places = places.into_iter();
        match (places.next(), places.next(), places.next()) {
            (Some(store), Some(folder), None) if !store.is_empty() && !folder.is_empty() => {
                Ok(Self {
                    store,
                    folder,
                    ..request
                })
            }
            _ => Err("a store and a folder are needed".into()),
        }
    }

    /// A cluster of letters; the value of the last one may follow it at once.
    fn take_letters(
        &mut self,
        mut letters: &[u8],
        words: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), String> {
        while let [letter, rest @ ..] = letters {
            letters = rest;
            match letter {
                b'f' => self.fake = true,
                b's' => self.sloppy = true,
                b'v' => self.verbose = true,
                b'n' => {}
                b'h' => self.help = true,
                b'o' | b't' | b'N' => {
                    let value = match rest {
                        [] => words.next(),
                        rest => Some(OsString::from_vec(rest.to_vec())),
                    };
                    let value = value
                        .ok_or_else(|| format!("option -{} needs a value", char::from(*letter)))?;
                    self.take_value(*letter, value)?;
                    return Ok(());
                }
                other => {
                    let shown = char::from(*other).escape_default();
                    return Err(format!("there is no option -{shown}"));
                }
            }
        }
        Ok(())
    }

    fn take_value(&mut self, letter: u8, value: OsString) -> Result<(), String> {
        match letter {
            b'o' => self.options.push(value),
            b'N' => self.namespace = Some(value),
            _ if matches!(value.as_bytes(), b"fuse.slotfs" | b"slotfs") => {}
            _ => {
                let shown = shown::path(Path::new(&value));
                return Err(format!("the type is fuse.slotfs, and not {shown}"));
            }
        }
        Ok(())
    }

    fn mount(self) -> Result<(), Ended> {
        if let Some(namespace) = &self.namespace {
            enter(namespace)?;
        }
        let store = self.absolute_store()?;
        let mut words: Vec<OsString> = vec!["--store".into(), store.clone().into_os_string()];
        words.push("mount".into());
        for options in &self.options {
            let mut word = OsString::from("--options=");
            word.push(options);
            words.push(word);
        }
        words.push("--".into());
        words.push(self.folder.clone());
        let cli = parse(words).map_err(Ended::Refused)?;
        let Some(Noun::Mount(mount)) = cli.noun else {
            // The words above say so.
            return Err(Error::Usage("mount takes a folder".into()).into());
        };
        let by_mount = ByMount {
            fake: self.fake,
            sloppy: self.sloppy,
        };
        if self.fake {
            let store = no_misspelt_location(store.clone())?;
            slotfs_config::store::identify(&store).map_err(file_error(&store))?;
        }
        mount.by(by_mount).run(&Console::new(cli.globals, None))?;
        if self.verbose {
            let done = match self.fake {
                true => "could be mounted",
                false => "is mounted",
            };
            let folder = shown::path(Path::new(&self.folder));
            output::print(&format!("{} {done} at {folder}\n", shown::path(&store)));
        }
        match output::end(exit::DONE) {
            exit::DONE => Ok(()),
            _ => Err(Error::Usage("standard output is not writable".into()).into()),
        }
    }

    fn absolute_store(&self) -> Result<PathBuf> {
        let store = Path::new(&self.store);
        slotfs_config::store::absolute(store).map_err(file_error(store))
    }
}

/// Enters the mount namespace of a process, or the one that a file stands for. Paths mean what they mean there.
fn enter(namespace: &OsStr) -> Result<()> {
    let is_pid = namespace.as_bytes().iter().all(u8::is_ascii_digit);
    let path = match is_pid {
        true => {
            let mut path = OsString::from("/proc/");
            path.push(namespace);
            path.push("/ns/mnt");
            PathBuf::from(path)
        }
        false => PathBuf::from(namespace),
    };
    let file = File::open(&path).map_err(file_error(&path))?;
    daemon::remember_program()?;
    setns(file, CloneFlags::CLONE_NEWNS).map_err(|why| Error::Mount {
        what: format!("cannot enter the namespace {}: {why}", shown::path(&path)),
        hint: Some("only root can mount in the namespace of another process".into()),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(words: &str) -> Result<Request, String> {
        Request::read(words.split(' ').map(OsString::from).collect())
    }

    #[test]
    fn words_stand_in_any_order_and_letters_together() {
        let expected = Request {
            store: "/s".into(),
            folder: "/d".into(),
            options: vec!["rw".into(), "ro,login=0".into()],
            namespace: Some("/proc/1/ns/mnt".into()),
            fake: true,
            sloppy: true,
            verbose: true,
            help: false,
        };
        for words in [
            "/s /d -sfnv -N /proc/1/ns/mnt -o rw -o ro,login=0 -t fuse.slotfs",
            "-o rw /s -sforo,login=0 -vn /d -N/proc/1/ns/mnt",
            "-tslotfs -s -f -v -orw -vvo ro,login=0 -N /proc/1/ns/mnt -- /s /d",
        ] {
            assert_eq!(read(words).as_ref(), Ok(&expected), "{words}");
        }
    }

    #[test]
    fn other_words_are_refused() {
        for (words, says) in [
            ("/s", "a store and a folder are needed"),
            ("/s /d /x", "a store and a folder are needed"),
            ("/s /d -x", "there is no option -x"),
            ("/s /d -fo", "option -o needs a value"),
            ("/s /d -t ext4", "the type is fuse.slotfs, and not ext4"),
        ] {
            assert_eq!(read(words), Err(says.into()), "{words}");
        }
        assert!(read("-h").is_ok_and(|it| it.help));
    }

    #[test]
    fn the_program_is_known_by_its_name() {
        for name in [
            "/sbin/mount.fuse.slotfs",
            "mount.fuse.slotfs",
            "mount.slotfs",
        ] {
            assert!(is_name(OsStr::new(name)));
        }
        for name in ["slotfs", "/sbin/mount.fuse", ""] {
            assert!(!is_name(OsStr::new(name)));
        }
    }
}
