//! Where passwords come from: a file, a credentials directory, or a prompt on a terminal.

use std::fs::File;
use std::io::{self, IsTerminal, Read};
use std::path::{Path, PathBuf};
use std::str::FromStr;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use zeroize::Zeroizing;

use super::Console;
use super::guarded::{Keeper, read_guarded};
use crate::credential::Secret;
use crate::environment;
use crate::error::{Error, Result};
use crate::hsm::{Hsm, SlotError};
use crate::interrupt::Interrupt;
use crate::object::SlotId;
use crate::object::partition::{Role, SlotKind};
use crate::secret::SecretBytes;

/// More than any password, with its line ending.
const MOST_BYTES: u64 = 4096;

/// `--password-file N[:ROLE]=PATH`, and `--share-file` likewise
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PasswordFile {
    slot: SlotId,
    role: Role,
    path: PathBuf,
}

impl PasswordFile {
    /// As it is written on a command line, for [`crate::fuzzing`].
    #[cfg(feature = "fuzzing")]
    pub(super) fn spelled(&self) -> String {
        format!(
            "{}:{}={}",
            self.slot,
            self.role,
            crate::shown::path(&self.path)
        )
    }
}

impl FromStr for PasswordFile {
    type Err = String;
    fn from_str(text: &str) -> Result<Self, String> {
        let (place, path) = text
            .split_once('=')
            .filter(|(_, path)| !path.is_empty())
            .ok_or("it has the form N[:ROLE]=PATH")?;
        let (slot, role) = parse_login(place)?;
        Ok(Self {
            slot,
            role,
            path: path.into(),
        })
    }
}

/// `N[:ROLE]`, co unless said.
pub fn parse_login(text: &str) -> Result<(SlotId, Role), String> {
    Ok(match text.split_once(':') {
        Some((slot, role)) => (slot.parse()?, role.parse()?),
        None => (text.parse()?, Role::Co),
    })
}

impl Console<'_> {
    /// What `role` of `slot` logs in with: key shares in a quorum slot, else its password, on file or asked for.
    ///
    /// # Errors
    /// [`Error::Usage`], [`Error::SharesMissing`], [`Error::OtherAuthentication`], [`Error::File`].
    pub(super) fn secret(&self, hsm: &Hsm, slot: SlotId, role: Role) -> Result<Secret> {
        match self.secret_on_file(hsm, slot, role)? {
            Some(secret) => Ok(secret),
            None if hsm.partition(slot).login_kind(role)? == SlotKind::Quorum => {
                self.shares(hsm, slot, role).map(|shown| shown.secret)
            }
            None => self.password(slot, role).map(Secret::Password),
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
        let other = SlotError::OtherAuthentication(kind).at(slot).into();
        match kind {
            SlotKind::Password if self.share_files(slot, role).next().is_some() => Err(other),
            SlotKind::Password => Ok(self.password_on_file(slot, role)?.map(Secret::Password)),
            SlotKind::Quorum if self.password_file(slot, role).is_some() => Err(other),
            SlotKind::Quorum if self.share_files(slot, role).next().is_some() => {
                Ok(Some(self.shares(hsm, slot, role)?.secret))
            }
            SlotKind::Quorum => Ok(None),
        }
    }

    /// The files of `--share-file` for `role` of `slot`.
    pub(super) fn share_files(
        &self,
        slot: SlotId,
        role: Role,
    ) -> impl Iterator<Item = PathBuf> + '_ {
        self.globals()
            .share_file
            .iter()
            .filter(move |file| file.slot == slot && file.role == role)
            .map(|file| file.path.clone())
    }

    /// The file of `--password-file` for `role` of `slot`.
    fn password_file(&self, slot: SlotId, role: Role) -> Option<PathBuf> {
        self.globals()
            .password_file
            .iter()
            .find(|file| file.slot == slot && file.role == role)
            .map(|file| file.path.clone())
    }

    /// Refuses a password file for a partition that is to have none.
    ///
    /// # Errors
    /// [`Error::OtherAuthentication`]
    pub(super) fn no_password_file(&self, slot: SlotId) -> Result<()> {
        let kind = SlotKind::Quorum;
        match Role::ALL
            .iter()
            .any(|role| self.password_file(slot, *role).is_some())
        {
            true => Err(SlotError::OtherAuthentication(kind).at(slot).into()),
            false => Ok(()),
        }
    }

    /// The password of `role` in `slot`: `--password-file`, `$CREDENTIALS_DIRECTORY/slot-N.password` (co),
    /// else a prompt.
    ///
    /// # Errors
    /// [`Error::Usage`] when there is none and nobody to ask; [`Error::File`].
    pub(super) fn password(&self, slot: SlotId, role: Role) -> Result<SecretBytes> {
        match self.password_on_file(slot, role)? {
            Some(password) => Ok(password),
            None => prompt(
                slot,
                role,
                &format!("Enter the password for {role} of slot {slot}: "),
            ),
        }
    }

    pub(super) fn password_on_file(&self, slot: SlotId, role: Role) -> Result<Option<SecretBytes>> {
        if let Some(path) = self.password_file(slot, role) {
            return read_password(&path).map(Some);
        }
        let credentials = environment::folder("CREDENTIALS_DIRECTORY");
        match credentials.map(|folder| folder.join(format!("slot-{slot}.password"))) {
            Some(path) if role == Role::Co && path.exists() => {
                read_password_of(&path, Keeper::ServiceManager).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// The password of a partition to be made: asked twice when it is asked.
    ///
    /// # Errors
    /// As [`Self::password`].
    pub(super) fn new_password(&self, slot: SlotId) -> Result<SecretBytes> {
        if let Some(password) = self.password_on_file(slot, Role::Co)? {
            return Ok(password);
        }
        ask_new(slot, Role::Co, &format!("--password-file {slot}=PATH"))
    }
}

/// Asks twice for a password to be; `instead` is the option that gives it without asking.
///
/// # Errors
/// [`Error::Usage`] when nobody can be asked, or the two differ.
pub fn ask_new(slot: SlotId, role: Role, instead: &str) -> Result<SecretBytes> {
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "slot {slot}: no new password for {role} and no terminal to ask on; give {instead}"
        )));
    }
    let text = format!("Enter the new password for {role} of slot {slot}: ");
    let first = prompt(slot, role, &text)?;
    let second = prompt(slot, role, "Re-enter it: ")?;
    if first == second {
        Ok(first)
    } else {
        Err(Error::Usage(format!(
            "slot {slot}: the two passwords differ; nothing was done"
        )))
    }
}

/// Reads a password file, without its one line ending.
pub fn read_password(path: &Path) -> Result<SecretBytes> {
    read_password_of(path, Keeper::Owner)
}

fn read_password_of(path: &Path, keeper: Keeper) -> Result<SecretBytes> {
    read_guarded(path, MOST_BYTES, keeper).map(SecretBytes::without_newline)
}

/// Reads a file that may hold a secret, whoever can read it: at most `most` bytes of it.
pub fn read_secret(path: &Path, most: u64) -> Result<SecretBytes> {
    let file = File::open(path).map_err(|source| Error::File {
        path: path.to_owned(),
        source,
    })?;
    read_from(file, path, most)
}

/// The same of a file that is open.
pub fn read_from(file: File, path: &Path, most: u64) -> Result<SecretBytes> {
    let failed = |source| Error::File {
        path: path.to_owned(),
        source,
    };
    // Reserved whole, so that reading never leaves a copy behind in a smaller buffer.
    let mut bytes = Zeroizing::new(Vec::with_capacity(most as usize + 1));
    file.take(most + 1)
        .read_to_end(&mut bytes)
        .map_err(failed)?;
    if bytes.len() as u64 > most {
        return Err(failed(io::Error::new(
            io::ErrorKind::FileTooLarge,
            format!("larger than {most} bytes"),
        )));
    }
    Ok(SecretBytes::from(bytes.as_slice()))
}

fn prompt(slot: SlotId, role: Role, text: &str) -> Result<SecretBytes> {
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "slot {slot}: no password for {role} and no terminal to ask on; give --password-file {slot}:{role}=PATH"
        )));
    }
    ask(&format!("        {text}")).map(|password| SecretBytes::from(password.as_bytes()))
}

/// Asks for a domain string, twice as for a new password: with a typing error in it the slot would share a domain with
/// no other, and nobody could say which.
///
/// # Errors
/// [`Error::Usage`] when nobody can be asked, or the two differ.
pub fn ask_domain(slot: SlotId) -> Result<Zeroizing<String>> {
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "slot {slot}: no cloning domain and no terminal to ask on; give -domain STRING or -domainkey FILE"
        )));
    }
    let first = ask(&format!(
        "        Enter the cloning domain of slot {slot}: "
    ))?;
    let second = ask("        Re-enter it: ")?;
    if first == second {
        Ok(first)
    } else {
        Err(Error::Usage(format!(
            "slot {slot}: the two cloning domains differ; nothing was done"
        )))
    }
}

/// The password of the encrypted file `file`: the content of `given`, else asked for.
///
/// # Errors
/// [`Error::Usage`] when nobody can be asked; [`Error::File`].
pub fn file_password(file: &Path, given: Option<&Path>) -> Result<SecretBytes> {
    if let Some(path) = given {
        return read_password(path);
    }
    let file = crate::shown::path(file);
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "{file} is encrypted, and there is no terminal to ask for its password on; give -filepasswordfile PATH"
        )));
    }
    ask(&format!("        Enter the password of {file}: "))
        .map(|password| SecretBytes::from(password.as_bytes()))
}

/// Asks on the terminal for what must not be seen: an asterisk for each character, as lunacm shows.
///
/// # Errors
/// [`Error::Interrupted`] by Ctrl-C, or what the terminal says.
pub fn ask(text: &str) -> Result<Zeroizing<String>> {
    // It notes SIGINT, so that the terminal is put back before anything ends.
    let interrupt = Interrupt::watch();
    let config = rpassword::ConfigBuilder::new()
        .password_feedback_mask('*')
        .build();
    let cancelled = || Error::Interrupted("nothing was done".into());
    match rpassword::prompt_password_with_config(text, config).map(Zeroizing::new) {
        // Ctrl-C came before the terminal was set up to be read.
        Ok(_) if interrupt.pressed() => Err(cancelled()),
        Err(source) if source.kind() == io::ErrorKind::Interrupted => Err(cancelled()),
        answer => answer.map_err(|source| Error::File {
            path: "/dev/tty".into(),
            source,
        }),
    }
}

/// Says that a clone's target needs its password, as lunacm does, before it is asked for.
///
/// # Errors
/// [`Error::Usage`] when nobody can be asked.
pub fn target_password_missing(slot: SlotId, json: bool) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Error::Usage(format!(
            "slot {slot}: option -password was not supplied and there is no terminal to ask on; give -password, or --password-file {slot}=PATH"
        )));
    }
    if !json {
        super::output::print("\n        Option -password was not supplied.  It is required.\n\n");
    }
    Ok(())
}

/// Asks before something is destroyed, as lunacm does.
///
/// # Errors
/// [`Error::NotConfirmed`] when the answer is no, or nobody can be asked.
pub fn confirm(what: &str) -> Result<()> {
    if !io::stdin().is_terminal() {
        return Err(Error::NotConfirmed(format!(
            "{what}; there is nobody to ask, and -force does it without asking"
        )));
    }
    // Before the question: who sees it may press Ctrl-C at once.
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

/// A line of the terminal. One that cannot be read is empty.
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
            // A terminal has whole lines.
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
