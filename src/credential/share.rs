//! A key share as a file: text that can be printed, and typed in again (DESIGN.md 7).

use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use thiserror::Error;
use zeroize::Zeroizing;

use super::Quorum;
use crate::secret::{KEY_BYTES, Key, SecretBytes};

/// Bytes in the id of a set of shares.
pub const SET_BYTES: usize = 16;
/// Bytes in what tells a share of a set from any other.
pub const HASH_BYTES: usize = 32;

/// The first line of every key share.
const TITLE: &str = "slotfs key share 1";
/// Bytes in the checksum: it finds what was mistyped, and stands against nobody.
const CHECKSUM_BYTES: usize = 4;
/// More than any key share has.
const MOST_BYTES: usize = 1024;

/// Why a key share is refused. Holds nothing of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShareFault {
    /// Not the text of a share.
    #[error("it is not a key share")]
    NotAShare,
    /// A share with a mistake in it.
    #[error("its checksum does not match: it was mistyped or changed")]
    Checksum,
    /// Of another partition.
    #[error("it belongs to another partition, of serial {0}")]
    OtherPartition(u64),
    /// Of this partition, but not of the set that this role has now.
    #[error(
        "it belongs to another set of shares: another role's, or one from before they were issued again"
    )]
    OtherSet,
    /// Says to be of the set, and is not.
    #[error("it is not the share that was issued")]
    Altered,
    /// Given before.
    #[error("it was given already")]
    Repeated,
}

/// One share of a quorum's secret, with what it is a share of.
#[derive(Clone, Debug)]
pub struct KeyShare {
    /// The partition's.
    pub serial: u64,
    /// The set it is of.
    pub set: [u8; SET_BYTES],
    /// 1 to N.
    pub index: u8,
    /// How many there are, and how many it takes.
    pub quorum: Quorum,
    /// What Shamir's scheme gave for `index`.
    pub share: Key,
}

impl KeyShare {
    /// Whether `text` is meant to be one, well-formed or not.
    pub fn looks_like(text: &[u8]) -> bool {
        text.starts_with(TITLE.as_bytes())
    }

    /// What a store keeps of a share, to know it by: SHA-256("slotfs 1 share", set id, index, share).
    pub fn hash(&self) -> [u8; HASH_BYTES] {
        let mut hash = Sha256::new();
        hash.update(b"slotfs 1 share");
        hash.update(self.set);
        hash.update([self.index]);
        hash.update(self.share.bytes());
        hash.finalize().into()
    }

    /// The content of its file.
    pub fn to_text(&self) -> SecretBytes {
        let share = Zeroizing::new(HEXLOWER.encode(self.share.bytes()));
        // Groups of eight, for who types it in.
        let groups: Vec<&str> = (0..share.len())
            .step_by(8)
            .filter_map(|at| share.get(at..at + 8))
            .collect();
        let groups = Zeroizing::new(groups.join(" "));
        let body = Zeroizing::new(format!(
            "{TITLE}\nserial: {}\nset: {}\nquorum: {}\nindex: {}\nshare: {}\n",
            self.serial,
            HEXLOWER.encode(&self.set),
            self.quorum,
            self.index,
            *groups
        ));
        let text = Zeroizing::new(format!("{}checksum: {}\n", *body, checksum(&body)));
        SecretBytes::from(text.as_bytes())
    }

    /// Reads what [`Self::to_text`] wrote. Spaces, line endings and the case of hex digits do not matter.
    ///
    /// # Errors
    /// [`ShareFault::NotAShare`], [`ShareFault::Checksum`]
    pub fn parse(text: &[u8]) -> Result<Self, ShareFault> {
        if text.len() > MOST_BYTES {
            return Err(ShareFault::NotAShare);
        }
        let text = std::str::from_utf8(text).map_err(|_| ShareFault::NotAShare)?;
        let mut lines = text.lines().map(str::trim).filter(|line| !line.is_empty());
        if lines.next() != Some(TITLE) {
            return Err(ShareFault::NotAShare);
        }
        let mut field = |name: &str| {
            let (key, value) = lines.next()?.split_once(':')?;
            let mut plain = Zeroizing::new(String::with_capacity(value.len()));
            plain.extend(value.chars().filter(|letter| !letter.is_whitespace()));
            plain.make_ascii_lowercase();
            (key.trim() == name).then_some(plain)
        };
        let mut fields = || {
            let (serial, set) = (field("serial")?, field("set")?);
            let (quorum, index) = (field("quorum")?, field("index")?);
            let (share, checksum) = (field("share")?, field("checksum")?);
            Some((serial, set, quorum, index, share, checksum))
        };
        let (serial, set, quorum, index, share, stated) = fields().ok_or(ShareFault::NotAShare)?;
        if lines.next().is_some() {
            return Err(ShareFault::NotAShare);
        }
        let read = || {
            let set = HEXLOWER.decode(set.as_bytes()).ok()?;
            let share = Zeroizing::new(HEXLOWER.decode(share.as_bytes()).ok()?);
            Some(Self {
                serial: number(&serial)?,
                set: set.try_into().ok()?,
                index: number(&index)?,
                quorum: quorum.parse().ok()?,
                share: Key::from_slice(&share)?,
            })
        };
        // What cannot be read was mistyped as well.
        let share = read().ok_or(ShareFault::Checksum)?;
        let whole = share.to_text();
        let expected = whole
            .bytes()
            .rsplit(|byte| *byte == b' ')
            .next()
            .map(<[u8]>::trim_ascii_end);
        let possible = (1..=share.quorum.n()).contains(&share.index);
        if expected != Some(stated.as_bytes()) || !possible {
            return Err(ShareFault::Checksum);
        }
        Ok(share)
    }
}

/// In the one form that it is written in.
fn number<T: FromStr + ToString>(text: &str) -> Option<T> {
    text.parse()
        .ok()
        .filter(|number: &T| number.to_string() == text)
}

fn checksum(body: &str) -> String {
    let hash: [u8; KEY_BYTES] = Sha256::digest(body.as_bytes()).into();
    HEXLOWER.encode(&hash[..CHECKSUM_BYTES])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn share() -> KeyShare {
        KeyShare {
            serial: 1_234,
            set: [0xab; SET_BYTES],
            index: 2,
            quorum: "2/3".parse().unwrap(),
            share: Key::from_slice(&[0x5c; KEY_BYTES]).unwrap(),
        }
    }

    #[test]
    fn a_share_is_the_text_that_it_is() {
        let text = share().to_text();
        let expected = "slotfs key share 1\nserial: 1234\nset: abababababababababababababababab\n\
            quorum: 2/3\nindex: 2\nshare: 5c5c5c5c 5c5c5c5c 5c5c5c5c 5c5c5c5c 5c5c5c5c 5c5c5c5c 5c5c5c5c \
            5c5c5c5c\nchecksum: ";
        let text = std::str::from_utf8(text.bytes()).unwrap();
        assert!(text.starts_with(expected), "{text}");
        assert_eq!(text.len(), expected.len() + 2 * CHECKSUM_BYTES + 1);
    }

    #[test]
    fn it_is_read_however_it_was_typed() {
        let share = share();
        let text = share.to_text();
        let text = std::str::from_utf8(text.bytes()).unwrap();
        for typed in [
            text.to_owned(),
            text.replace('\n', "\r\n"),
            text.replace('\n', "\n\n"),
            text.replace("5c5c5c5c ", "5C5C5C5C"),
            format!("\n  {text}"),
            text.trim_end().to_owned(),
        ] {
            let read = KeyShare::parse(typed.as_bytes()).unwrap();
            assert_eq!(read.hash(), share.hash(), "{typed}");
            assert_eq!((read.serial, read.quorum), (1_234, share.quorum));
        }
    }

    /// The checksum has 32 bits and is over all of it.
    #[test]
    fn no_letter_can_be_another() {
        let text = share().to_text();
        for at in 0..text.bytes().len() {
            let mut typed = text.bytes().to_vec();
            typed[at] = match typed[at] {
                b'1'..=b'9' => typed[at] - 1,
                b'a'..=b'z' => typed[at] + 1,
                // Spaces and line endings do not matter; to lose a line matters.
                _ => b'x',
            };
            assert!(KeyShare::parse(&typed).is_err(), "byte {at}");
            assert!(KeyShare::parse(&text.bytes()[..at.min(text.bytes().len() - 2)]).is_err());
        }
        assert_eq!(KeyShare::parse(b"").err(), Some(ShareFault::NotAShare));
        assert_eq!(
            KeyShare::parse(&[b'a'; 2000]).err(),
            Some(ShareFault::NotAShare)
        );
    }
}
