//! Where passwords come from: a file, a credentials directory, or a prompt on a terminal.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::Path;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use crate::cli::guarded::{Keeper, read_guarded};
use crate::cli::secret_files::{PasswordFile, SecretFiles, of_config};
use crate::cli::{Console, file_error};
use crate::credential::Secret;
use crate::daemon::{MountOptions, SecretFile};
use crate::domain;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, SlotError};
use crate::interrupt::Interrupt;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::secret::SecretBytes;
use crate::shown;

/// More than any password, with its line ending.
const MOST_BYTES: u64 = 4096;

/// `N[:ROLE]`, where the role is co by default.
pub(crate) fn parse_login(text: &str) -> Result<(SlotId, Role), String> {
    Ok(match text.split_once(':') {
        Some((slot, role)) => (slot.parse()?, role.parse()?),
        None => (text.parse()?, Role::Co),
    })
}

impl<'a> Console<'a> {
    /// The secret of `role` in `slot`: key shares in a quorum slot, else the password. On file, else asked for.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::SharesMissing`], [`Error::OtherAuthentication`], [`Error::File`].
    pub(super) fn secret(&self, hsm: &Hsm, slot: SlotId, role: Role) -> Result<Secret> {
        self.secret_or(None, hsm, slot, role)
    }

    /// The `given` password, else as [`Self::secret`].
    pub(super) fn secret_or(
        &self,
        given: Option<String>,
        hsm: &Hsm,
        slot: SlotId,
        role: Role,
    ) -> Result<Secret> {
        let kind = hsm.partition(slot).login_kind(role)?;
        self.secret_in(given, hsm, slot, role, kind, || ask_password(slot, role))
    }

    /// As [`Self::secret_or`], in a slot that is known to be of this kind. `ask` asks for a password.
    pub(super) fn secret_in(
        &self,
        given: Option<String>,
        hsm: &Hsm,
        slot: SlotId,
        role: Role,
        kind: SlotKind,
        ask: impl FnOnce() -> Result<SecretBytes>,
    ) -> Result<Secret> {
        if let Some(given) = given {
            return match kind {
                SlotKind::Password => Ok(SecretBytes::new(given.into_bytes()).into()),
                SlotKind::Quorum => Err(SlotError::OtherAuthentication(kind).at(slot).into()),
            };
        }
        match (self.secret_on_file_in(hsm, slot, role, kind)?, kind) {
            (Some(secret), _) => Ok(secret),
            (None, SlotKind::Quorum) => Ok(self.shares(hsm, slot, role)?.secret),
            (None, SlotKind::Password) => ask().map(Secret::Password),
        }
    }

    /// As [`Self::secret`], without asking.
    pub(super) fn secret_on_file(
        &self,
        hsm: &Hsm,
        slot: SlotId,
        role: Role,
    ) -> Result<Option<Secret>> {
        let kind = hsm.partition(slot).login_kind(role)?;
        self.secret_on_file_in(hsm, slot, role, kind)
    }

    /// As [`Self::secret_on_file`], in a slot that is known to be of this kind.
    fn secret_on_file_in(
        &self,
        hsm: &Hsm,
        slot: SlotId,
        role: Role,
        kind: SlotKind,
    ) -> Result<Option<Secret>> {
        let files = self.files(slot, role)?;
        match (kind, !files.shares.is_empty()) {
            (SlotKind::Password, false) => {
                Ok(self.password_on_file(slot, role)?.map(Secret::Password))
            }
            (SlotKind::Quorum, _) if files.password.is_some() => {
                Err(SlotError::OtherAuthentication(kind).at(slot).into())
            }
            (SlotKind::Quorum, true) => Ok(Some(self.shares(hsm, slot, role)?.secret)),
            (SlotKind::Quorum, false) => Ok(None),
            (SlotKind::Password, true) => Err(SlotError::OtherAuthentication(kind).at(slot).into()),
        }
    }

    /// The files with secrets of `role` in `slot`: those of options, or if there is none, those of
    /// `$CREDENTIALS_DIRECTORY`, or else those of the configuration.
    ///
    /// # Errors
    /// As [`Self::config`].
    pub(super) fn files(&self, slot: SlotId, role: Role) -> Result<SecretFiles> {
        let globals = self.globals();
        let given = (&globals.password_file[..], &globals.share_file[..]);
        let of_options = SecretFiles::among(given, (slot, role));
        if !of_options.is_empty() {
            return Ok(of_options);
        }
        let credentials = SecretFiles::of_credentials(slot, role);
        if !credentials.is_empty() {
            return Ok(credentials);
        }
        let config = self.config()?;
        let passwords = of_config(config, "password_file", &config.password_file)?;
        let shares = of_config(config, "share_file", &config.share_file)?;
        Ok(SecretFiles::among((&passwords, &shares), (slot, role)))
    }

    /// Whether an option names a file for `role` of `slot`.
    pub(super) fn has_option_file(&self, slot: SlotId, role: Role) -> bool {
        let globals = self.globals();
        let given = (&globals.password_file[..], &globals.share_file[..]);
        !SecretFiles::among(given, (slot, role)).is_empty()
    }

    /// The file of `--password-file` for `role` of `slot`.
    fn password_file(&self, slot: SlotId, role: Role) -> Option<&Path> {
        let files = &self.globals().password_file;
        files.iter().find_map(|file| file.path_for(slot, role))
    }

    /// Refuses files for a mount that logs in to no slot. A shell may have been started with files for other commands.
    ///
    /// # Errors
    /// [`Error::Usage`]
    pub(super) fn refuse_files_without_login(&self) -> Result<()> {
        let globals = self.globals();
        let mut files = globals.password_file.iter().chain(&globals.share_file);
        match files.next() {
            Some(PasswordFile { slot, role, .. }) if self.kept().is_none() => {
                Err(Error::Usage(format!(
                    "a file is given for {role} of slot {slot}, and the mount does not log in: give --login {slot}:{role}, or omit the file"
                )))
            }
            _ => Ok(()),
        }
    }

    /// The same console, which also has the files that mount options name.
    ///
    /// # Errors
    /// [`Error::Usage`] for a file of every login when there is none.
    pub(super) fn with_mount_files(
        &self,
        options: &MountOptions,
        logins: &[(SlotId, Role)],
    ) -> Result<Console<'a>> {
        let mut globals = self.globals().clone();
        let named = |file: &SecretFile| {
            let (slot, role) = file.of?;
            Some(PasswordFile {
                slot,
                role,
                path: file.path.clone(),
            })
        };
        let passwords = options.password_files.iter();
        globals.password_file.extend(passwords.filter_map(named));
        globals
            .share_file
            .extend(options.share_files.iter().filter_map(named));
        if let Some(file) = options.password_files.iter().rfind(|it| it.of.is_none()) {
            if logins.is_empty() {
                return Err(Error::Usage(format!(
                    "-o passfile={} names no slot, and no login is requested; add login=SLOT",
                    shown::path(&file.path)
                )));
            }
            for &(slot, role) in logins {
                let mut files = globals.password_file.iter().chain(&globals.share_file);
                if files.all(|own| own.path_for(slot, role).is_none()) {
                    let path = file.path.clone();
                    globals
                        .password_file
                        .push(PasswordFile { slot, role, path });
                }
            }
        }
        Ok(self.with(globals))
    }

    /// Refuses a password file for a partition that will have no password.
    ///
    /// # Errors
    /// [`Error::OtherAuthentication`]
    pub(super) fn refuse_password_file(&self, slot: SlotId) -> Result<()> {
        let kind = SlotKind::Quorum;
        match Role::ALL
            .iter()
            .any(|role| self.password_file(slot, *role).is_some())
        {
            true => Err(SlotError::OtherAuthentication(kind).at(slot).into()),
            false => Ok(()),
        }
    }

    /// The password of `role` in `slot`, if there is a file with it: [`Self::files`].
    ///
    /// # Errors
    /// [`Error::ExposedFile`], [`Error::File`], and as [`Self::config`].
    pub(super) fn password_on_file(&self, slot: SlotId, role: Role) -> Result<Option<SecretBytes>> {
        match self.files(slot, role)?.password {
            Some((path, keeper)) => read_password_of(&path, keeper).map(Some),
            None => Ok(None),
        }
    }

    /// The password of a new partition: on file, else asked for twice.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is no terminal to ask on, [`Error::File`].
    pub(super) fn new_password(&self, slot: SlotId) -> Result<SecretBytes> {
        match self.password_on_file(slot, Role::Co)? {
            Some(password) => Ok(password),
            None => ask_new(slot, Role::Co, &format!("--password-file {slot}=PATH")),
        }
    }
}

/// Refuses to ask where standard input is not a terminal, with this message.
fn check_terminal(message: impl FnOnce() -> String) -> Result<()> {
    match io::stdin().is_terminal() {
        true => Ok(()),
        false => Err(Error::Usage(message())),
    }
}

/// Asks twice for a new password; `instead` is the option that gives it without a question.
///
/// # Errors
/// [`Error::Usage`] when there is no terminal to ask on, or the two differ.
pub(crate) fn ask_new(slot: SlotId, role: Role, instead: &str) -> Result<SecretBytes> {
    check_terminal(|| {
        format!("slot {slot}: no new password for {role} and no terminal to ask on; give {instead}")
    })?;
    let text = format!("Enter the new password for {role} of slot {slot}");
    let password = ask_twice(slot, &text, "passwords")?;
    Ok(SecretBytes::from(password.as_bytes()))
}

/// Asks twice, so that a typing error is found.
fn ask_twice(slot: SlotId, text: &str, what: &str) -> Result<Zeroizing<String>> {
    let first = ask(&format!("        {text}: "))?;
    repeat(slot, first, what)
}

/// Asks for the same again.
fn repeat(slot: SlotId, first: Zeroizing<String>, what: &str) -> Result<Zeroizing<String>> {
    if first == ask("        Re-enter it: ")? {
        return Ok(first);
    }
    Err(Error::Usage(format!(
        "slot {slot}: the two {what} differ; nothing was done"
    )))
}

/// Reads a password file, without its one line ending.
pub(crate) fn read_password(path: &Path) -> Result<SecretBytes> {
    read_password_of(path, Keeper::Owner)
}

fn read_password_of(path: &Path, keeper: Keeper) -> Result<SecretBytes> {
    read_guarded(path, MOST_BYTES, keeper).map(SecretBytes::without_newline)
}

/// Reads a file that may hold a secret, whoever can read it: at most `most` bytes of it.
pub(crate) fn read_secret(path: &Path, most: u64) -> Result<SecretBytes> {
    let file = File::open(path).map_err(file_error(path))?;
    read_from(file, path, most)
}

/// The same of a file that is open.
pub(crate) fn read_from(file: File, path: &Path, most: u64) -> Result<SecretBytes> {
    // Reserved whole, so that reading never leaves a copy behind in a smaller buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most as usize + 1));
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(file_error(path))?;
    if bytes.len() as u64 > most {
        let too_large = format!("larger than {most} bytes");
        return Err(file_error(path)(io::Error::new(
            io::ErrorKind::FileTooLarge,
            too_large,
        )));
    }
    Ok(SecretBytes::from(bytes.as_slice()))
}

/// Asks for the password of `role` in `slot`.
///
/// # Errors
/// [`Error::Usage`] when there is no terminal to ask on.
pub(crate) fn ask_password(slot: SlotId, role: Role) -> Result<SecretBytes> {
    check_terminal(|| {
        format!(
            "slot {slot}: no password for {role} and no terminal to ask on; give --password-file {slot}:{role}=PATH"
        )
    })?;
    ask_secret(&format!("Enter the password for {role} of slot {slot}: "))
}

/// Asks for the password of co of a member of an HA group, which may be in any store.
///
/// # Errors
/// [`Error::Usage`] when there is no terminal to ask on.
pub(crate) fn ask_member_password(member: &dyn std::fmt::Display) -> Result<SecretBytes> {
    check_terminal(|| {
        format!(
            "{member}: no password for co and no terminal to ask on; give -password, or the member a -memberpasswordfile when it is added"
        )
    })?;
    ask_secret(&format!("Enter the password for co of {member}: "))
}

/// Asks twice for a domain string, as for a new password: with a typing error in it the slot would share a domain with
/// no other slot. An empty answer makes a new string, which is shown once. A string that `check` refuses is not asked for
/// again.
///
/// # Errors
/// [`Error::Usage`] when there is no terminal to ask on, or the two differ; what `check` says.
pub(crate) fn ask_domain(
    slot: SlotId,
    check: impl FnOnce(&str) -> Result<()>,
) -> Result<Zeroizing<String>> {
    check_terminal(|| {
        format!(
            "slot {slot}: no cloning domain and no terminal to ask on; give -domain STRING or -domainkey FILE"
        )
    })?;
    let first = ask(&format!(
        "        Enter the cloning domain of slot {slot}, or nothing for a new one: "
    ))?;
    if first.is_empty() {
        let new = domain::new_string()?;
        super::output::tell(&format!(
            "        The new cloning domain of slot {slot}, which is not shown again:\n\n        {}\n\n        Write it down. Every slot that is to clone to or from slot {slot} needs it.\n",
            *new
        ));
        return Ok(new);
    }
    check(&first)?;
    repeat(slot, first, "cloning domains")
}

/// The password of the encrypted file `file`: the content of `given`, else asked for.
///
/// # Errors
/// [`Error::Usage`] when there is no terminal to ask on; [`Error::File`].
pub(crate) fn file_password(file: &Path, given: Option<&Path>) -> Result<SecretBytes> {
    if let Some(path) = given {
        return read_password(path);
    }
    let file = crate::shown::path(file);
    check_terminal(|| {
        format!(
            "{file} is encrypted, and there is no terminal to ask for its password on; give -filepasswordfile PATH"
        )
    })?;
    ask_secret(&format!("Enter the password of {file}: "))
}

/// Asks for the password of a clone's target, with lunacm's words.
///
/// # Errors
/// [`Error::Usage`] when there is no terminal to ask on.
pub(crate) fn ask_target_password(console: &Console<'_>, slot: SlotId) -> Result<SecretBytes> {
    check_terminal(|| {
        format!(
            "slot {slot}: option -password was not supplied and there is no terminal to ask on; give -password, or --password-file {slot}=PATH"
        )
    })?;
    console.say("\n        Option -password was not supplied.  It is required.\n\n");
    let password = ask_secret("Enter the password for the target slot: ")?;
    console.say("\n");
    Ok(password)
}

fn ask_secret(text: &str) -> Result<SecretBytes> {
    ask(&format!("        {text}")).map(|answer| SecretBytes::from(answer.as_bytes()))
}

/// Asks on the terminal for a secret, with an asterisk for each character as lunacm shows.
///
/// # Errors
/// [`Error::Interrupted`] by Ctrl-C, or what the terminal says.
fn ask(text: &str) -> Result<Zeroizing<String>> {
    // It notes SIGINT, so that the terminal's settings are restored before the command ends.
    let interrupt = Interrupt::watch();
    let config = rpassword::ConfigBuilder::new()
        .password_feedback_mask('*')
        .build();
    let cancelled = || Error::Interrupted("nothing was done".into());
    match rpassword::prompt_password_with_config(text, config).map(Zeroizing::new) {
        // Ctrl-C came before the terminal was set up for reading.
        Ok(_) if interrupt.pressed() => Err(cancelled()),
        Err(source) if source.kind() == io::ErrorKind::Interrupted => Err(cancelled()),
        answer => answer.map_err(|source| Error::File {
            path: "/dev/tty".into(),
            source,
        }),
    }
}

/// Asks for confirmation, as lunacm does.
///
/// # Errors
/// [`Error::NotConfirmed`] when the answer is no, or there is no terminal to ask on.
pub(crate) fn confirm(what: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Error::NotConfirmed(format!(
            "{what}; there is no terminal to ask for confirmation; use -force to proceed"
        )));
    }
    // Before the question: Ctrl-C may be its first answer.
    let interrupt = Interrupt::watch();
    // To standard error, so that it is seen when the output goes to a file.
    super::output::tell(&format!(
        "        {what}.\n\n        Type 'proceed' to continue, or 'quit' to quit now -> "
    ));
    let line = answer(&interrupt)?;
    match line.trim() {
        "proceed" => Ok(()),
        _ => Err(Error::NotConfirmed(
            "not confirmed, nothing was done".into(),
        )),
    }
}

/// A line from the terminal, empty when it cannot be read.
///
/// # Errors
/// [`Error::Interrupted`] by Ctrl-C.
fn answer(interrupt: &Interrupt) -> Result<String> {
    let again = Timespec {
        tv_sec: 0,
        tv_nsec: 50_000_000,
    };
    loop {
        if interrupt.pressed() {
            super::output::tell("\n");
            return Err(Error::Interrupted("nothing was done".into()));
        }
        let stdin = io::stdin();
        let mut waiting = [PollFd::new(&stdin, PollFlags::IN)];
        match poll(&mut waiting, Some(&again)) {
            Ok(0) | Err(rustix::io::Errno::INTR) => {}
            // A terminal gives whole lines.
            Ok(_) | Err(_) => {
                let mut line = String::new();
                let _ = stdin.read_line(&mut line);
                return Ok(line);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn password_files_name_slot_role_and_path() {
        let parsed: PasswordFile = "3:po=/a=b".parse().unwrap();
        assert_eq!(
            parsed,
            PasswordFile {
                slot: SlotId(3),
                role: Role::Po,
                path: "/a=b".into()
            }
        );
        assert_eq!("0=x".parse::<PasswordFile>().unwrap().role, Role::Co);
        for bad in ["", "0", "0=", "x=y", "0:xx=y", "=y"] {
            assert!(bad.parse::<PasswordFile>().is_err(), "{bad:?}");
        }
    }
}
