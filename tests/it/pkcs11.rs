//! The PKCS#11 module as applications load it, with the real server. scripts/pkcs11 has the long ones: batteries of tools, public
//! suites, the soak.

mod killed;
mod memory;
mod nginx;
mod page;
mod processes;
mod signing;
mod table;
mod valgrind;

use std::io::{BufRead, BufReader, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, ExitStatus, Stdio};

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use crate::fixture::{Out, Store, password, run, wait_for};

/// Cargo builds the module as a dependency of these tests.
pub fn module() -> PathBuf {
    let module = Path::new(env!("CARGO_BIN_EXE_slotfs"))
        .with_file_name("deps")
        .join("libslotfs_pkcs11.so");
    assert!(module.exists(), "{} is not there", module.display());
    module
}

/// A store that applications use. The servers that they had started end with it.
pub struct Served {
    store: Store,
}

impl Served {
    /// Slots 0 and 1 of one domain; `slotN` is the token's label, and its user the co.
    #[track_caller]
    fn new() -> Self {
        let store = Store::empty();
        store.slot(0, "red");
        store.slot(1, "red");
        Self::of(store)
    }

    /// The applications of a store that is there.
    pub fn of(store: Store) -> Self {
        Self { store }
    }

    /// A program that finds the module, the store and what its server may be started as.
    fn program(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let like = self.store.bare(&[] as &[&str]);
        let mut command = Command::new(program);
        command.current_dir(self.store.path("."));
        for (name, value) in like.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        command
            .env("SLOTFS_STORE", self.store.location())
            .env("SLOTFS_PROGRAM", env!("CARGO_BIN_EXE_slotfs"))
            .env("XDG_CONFIG_HOME", self.store.path("config"))
            .env("MODULE", module())
            .env_remove("SLOTFS_SPAWN")
            .env_remove("INVOCATION_ID");
        command
    }

    /// pkcs11-tool, logged in to a slot as co.
    #[track_caller]
    pub fn tool(&self, slot: u32, words: &str) -> Out {
        let mut command = self.program("pkcs11-tool");
        command
            .arg("--module")
            .arg(module())
            .args(["--token-label", &format!("slot{slot}"), "--login"])
            .args(["--pin", &password(slot)])
            .args(words.split_whitespace());
        run(&mut command)
    }

    /// A shell script in the store's folder.
    #[track_caller]
    fn sh(&self, script: &str) -> Out {
        let mut command = self.program("bash");
        command.args(["-euo", "pipefail", "-c", script]);
        run(&mut command)
    }

    /// One of the programs in scripts/pkcs11/c.
    #[track_caller]
    fn compiled(&self, name: &str) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("scripts/pkcs11/c")
            .join(name)
            .with_extension("c");
        let program = self.store.path(name);
        self.sh(&format!(
            "cc -Wall -Wextra -Werror -O1 -g $(pkg-config --cflags p11-kit-1) -o {} {} -pthread -ldl",
            program.display(),
            source.display()
        ))
        .ok();
        program
    }

    /// One of them with its arguments for a slot.
    fn of_slot(&self, program: &Path, slot: u32) -> Command {
        let mut command = self.program(program);
        command
            .arg(module())
            .args([password(slot), format!("slot{slot}")]);
        command
    }

    /// An application that stays.
    #[track_caller]
    fn driven(&self, slot: u32) -> Driven {
        let program = self.compiled("driven");
        Driven::start(self.of_slot(&program, slot))
    }

    /// The servers of this store.
    pub fn servers(&self) -> Vec<Pid> {
        let program = Path::new(env!("CARGO_BIN_EXE_slotfs"));
        let store = self.store.location();
        let points = |link: PathBuf, to: &Path| std::fs::read_link(link).is_ok_and(|it| it == to);
        // A file is open in its server; a location in a cluster is what the server was given.
        let location = store.as_os_str().as_bytes();
        let is_given = |process: &Path| {
            ["cmdline", "environ"].iter().any(|file| {
                std::fs::read(process.join(file))
                    .is_ok_and(|it| it.windows(location.len()).any(|part| part == location))
            })
        };
        std::fs::read_dir("/proc")
            .unwrap()
            .flatten()
            .filter(|process| {
                // A process that ends meanwhile has none of these.
                let process = process.path();
                let has_it = || {
                    std::fs::read_dir(process.join("fd")).is_ok_and(|mut fds| {
                        fds.any(|fd| fd.is_ok_and(|fd| points(fd.path(), &store)))
                    })
                };
                points(process.join("exe"), program)
                    && if self.store.is_in_cluster() {
                        is_given(&process)
                    } else {
                        has_it()
                    }
            })
            .filter_map(|process| process.file_name().to_str()?.parse().ok())
            .map(Pid::from_raw)
            .collect()
    }

    /// Kills them as a crash would, and waits until they are gone.
    #[track_caller]
    fn kill_servers(&self) -> usize {
        let servers = self.servers();
        for server in &servers {
            let _ = kill(*server, Signal::SIGKILL);
        }
        assert!(wait_for(|| self.servers().is_empty().then_some(())).is_some());
        servers.len()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        for server in self.servers() {
            let _ = kill(server, Signal::SIGTERM);
        }
    }
}

/// scripts/pkcs11/c/driven.c: a line in, a line out.
struct Driven {
    child: Child,
    input: Option<ChildStdin>,
    output: BufReader<ChildStdout>,
}

impl Driven {
    #[track_caller]
    fn start(mut command: Command) -> Self {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let input = child.stdin.take();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut line = String::new();
        output.read_line(&mut line).unwrap();
        assert_eq!(line, "C_Initialize: 0x0\n");
        Self {
            child,
            input,
            output,
        }
    }

    /// What a line is answered with.
    #[track_caller]
    fn says(&mut self, line: &str) -> String {
        self.tell(line);
        self.answer()
    }

    #[track_caller]
    fn tell(&mut self, line: &str) {
        writeln!(self.input.as_ref().unwrap(), "{line}").unwrap();
    }

    #[track_caller]
    fn answer(&mut self) -> String {
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        assert!(!answer.is_empty(), "the application ended");
        answer.trim_end().to_owned()
    }

    /// The same for what must work: the answer behind `ok`.
    #[track_caller]
    fn ok(&mut self, line: &str) -> String {
        let answer = self.says(line);
        let text = answer.strip_prefix("ok");
        text.unwrap_or_else(|| panic!("{line}: {answer}"))
            .trim()
            .to_owned()
    }
}

impl Driven {
    /// Ends its input, and waits for it.
    #[track_caller]
    fn end(&mut self) -> ExitStatus {
        drop(self.input.take());
        let ended = wait_for(|| self.child.try_wait().unwrap());
        ended.expect("the application ends")
    }
}

impl Drop for Driven {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// CKR_OBJECT_HANDLE_INVALID and CKR_KEY_HANDLE_INVALID.
const NO_OBJECT: [&str; 2] = ["failed 0x82", "failed 0x60"];
