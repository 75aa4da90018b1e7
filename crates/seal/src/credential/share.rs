//! A key share as a file: text that users can print and type in again (docs/format.md, "Key shares").

use std::str::FromStr;

use data_encoding::HEXLOWER;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use thiserror::Error;
use zeroize::Zeroizing;

use slotfs_object::sealed::{HASH_BYTES, Quorum, SET_BYTES, ShareSet};
use slotfs_object::secret::{KEY_BYTES, Key, SecretBytes};

/// The first line of every key share.
const TITLE: &str = "slotfs key share 1";
/// Bytes in the checksum. It finds typing errors; it is no protection against an attacker.
const CHECKSUM_BYTES: usize = 4;
/// An upper limit for the length of a key share.
const MOST_BYTES: usize = 1024;

/// Why a key share is refused. Holds no part of the share.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ShareFault {
    /// Not the text of a share.
    #[error("it is not a key share")]
    NotAShare,
    /// A share with a typing error.
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
    /// It claims to belong to the set, but does not.
    #[error("it is not the share that was issued")]
    Altered,
    /// The same share was given before.
    #[error("it was given already")]
    Repeated,
}

/// One share of a quorum's secret, with its set and partition.
#[derive(Clone, Debug)]
pub struct KeyShare {
    /// The partition's.
    pub serial: u64,
    /// The set that it belongs to.
    pub set: [u8; SET_BYTES],
    /// 1 to N.
    pub index: u8,
    /// How many shares there are, and how many are needed.
    pub quorum: Quorum,
    /// The value of Shamir's scheme at `index`.
    pub share: Key,
}

impl KeyShare {
    /// Whether `text` looks like a share, well-formed or not.
    pub fn looks_like(text: &[u8]) -> bool {
        text.trim_ascii_start().starts_with(TITLE.as_bytes())
    }

    /// The hash by which a store recognises a share: SHA-256("slotfs 1 share", set id, index, share).
    pub fn hash(&self) -> [u8; HASH_BYTES] {
        let mut hash = Sha256::new();
        hash.update(b"slotfs 1 share");
        hash.update(self.set);
        hash.update([self.index]);
        hash.update(self.share.bytes());
        hash.finalize().into()
    }

    /// Checks that it belongs to `set`, of the partition `serial`.
    ///
    /// # Errors
    /// A [`ShareFault`]
    pub fn check(&self, set: &ShareSet, serial: u64) -> Result<(), ShareFault> {
        if self.serial != serial {
            return Err(ShareFault::OtherPartition(self.serial));
        }
        if self.set != set.id {
            return Err(ShareFault::OtherSet);
        }
        let expected = usize::from(self.index)
            .checked_sub(1)
            .and_then(|at| set.hashes.get(at));
        match expected {
            Some(expected)
                if self.quorum == set.quorum && bool::from(expected.ct_eq(&self.hash())) =>
            {
                Ok(())
            }
            _ => Err(ShareFault::Altered),
        }
    }

    /// The content of its file.
    pub fn to_text(&self) -> SecretBytes {
        let share = Zeroizing::new(HEXLOWER.encode(self.share.bytes()));
        // The text never exceeds this, so the buffer never grows and leaves no copy behind.
        let mut text = Zeroizing::new(String::with_capacity(MOST_BYTES));
        text.push_str(TITLE);
        for (name, value) in [
            ("serial", self.serial.to_string()),
            ("set", HEXLOWER.encode(&self.set)),
            ("quorum", self.quorum.to_string()),
            ("index", self.index.to_string()),
        ] {
            text.extend(["\n", name, ": ", &value]);
        }
        text.push_str("\nshare:");
        // Groups of eight are easier to type.
        for group in (0..share.len()).step_by(8) {
            text.extend([" ", share.get(group..group + 8).unwrap_or_default()]);
        }
        text.push('\n');
        let checksum = checksum(&text);
        text.extend(["checksum: ", &checksum, "\n"]);
        SecretBytes::from(text.as_bytes())
    }

    /// Reads the text of [`Self::to_text`]. Spaces, line endings and the case of hex digits do not matter.
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
        // A value that cannot be read is a typing error too.
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
    use crate::credential::QuorumSecret;
    use slotfs_object::sealed::ShareSet;

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
            assert!(KeyShare::looks_like(typed.as_bytes()), "{typed}");
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

    /// Made by an implementation of its own: text, hash, and what three of seven make.
    #[test]
    fn golden_vectors() {
        let mut shares = Vec::new();
        for (index, share, hash, checksum) in [
            (
                2,
                "0c29f0d1 3b2ebffd 498a0559 5e407a23 4a8f4db7 3068cf20 af9ae3b2 989df15e",
                "1373e7039e8029efee341c6167343b7d8289439359d523f78a35405d771d1a99",
                "ab9a7b67",
            ),
            (
                5,
                "e67f0b79 ae7b3414 869b4126 d9469f4e 8f21030b e484de47 78f125fa 30cec38a",
                "6cefb9f9343129a7c10d352f4860eaa998064f8e44d44eb380a4d10a39a542ab",
                "6a667632",
            ),
            (
                7,
                "e166aed2 0a9162e7 fc4939dd 40eaf45b 9e2eeb76 3bf82839 54c30bba bf6f5352",
                "658eb1730567213d993d5757f2da98eaf4040ed0f83977acb5ce3f18fc203e01",
                "ce6b63b9",
            ),
        ] {
            let text = format!(
                "slotfs key share 1\nserial: 4711\nset: 000102030405060708090a0b0c0d0e0f\n\
                quorum: 3/7\nindex: {index}\nshare: {share}\nchecksum: {checksum}\n"
            );
            let read = KeyShare::parse(text.as_bytes()).unwrap();
            assert_eq!(read.to_text().bytes(), text.as_bytes());
            assert_eq!(HEXLOWER.encode(&read.hash()), hash);
            shares.push(read);
        }
        let set = ShareSet {
            quorum: shares[0].quorum,
            id: shares[0].set,
            hashes: Vec::new(),
        };
        let secret = QuorumSecret::combine(&set, &shares).unwrap();
        let expected: Vec<u8> = (0..32u8)
            .map(|i| i.wrapping_mul(37).wrapping_add(11))
            .collect();
        assert_eq!(secret.key().bytes().as_slice(), expected);
    }
}
