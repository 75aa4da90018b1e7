//! What each kind of operation does with its data.

use slotfs_wire::rv::{CKR_DATA_LEN_RANGE, CKR_OPERATION_NOT_INITIALIZED};
use zeroize::Zeroizing;

use super::cipher::Cipher;
use super::message::Messages;
use super::recover::Recovery;
use super::sign::{Digester, Signer};
use super::{Size, reserve};
use crate::error::{Result, Rv};

/// The work of an operation.
pub(super) enum Engine {
    Digest(Digester),
    Sign(Box<Signer>),
    Verify(Box<Signer>),
    Recover(Recovery),
    Cipher(Box<Cipher>),
    Messages(Box<Messages>),
}

impl Engine {
    /// Whether updates have an output at all: a null pointer for it is no length query otherwise.
    pub(super) fn puts_out(&self) -> bool {
        matches!(self, Self::Cipher(_))
    }

    /// Whether there are updates: HashML-DSA takes its digest at once, as Kryoptic has it. The other mechanisms of
    /// single calls are gathered, since tools split their data whatever the mechanism.
    pub(super) fn takes_parts(&self) -> bool {
        match self {
            Self::Sign(signer) | Self::Verify(signer) => signer.takes_parts(),
            _ => true,
        }
    }

    /// Bytes that were gathered.
    pub(super) fn held_bytes(&self) -> usize {
        match self {
            Self::Digest(_) | Self::Recover(_) => 0,
            Self::Sign(signer) | Self::Verify(signer) => signer.held_bytes(),
            Self::Cipher(cipher) => cipher.held_bytes(),
            Self::Messages(messages) => messages.held_bytes(),
        }
    }

    /// The answer to more data than is held.
    pub(super) fn too_long(&self) -> Rv {
        match self {
            Self::Cipher(cipher) => cipher.too_long(),
            _ => Rv(CKR_DATA_LEN_RANGE),
        }
    }

    pub(super) fn update_bytes(&self, data: usize) -> Result<usize> {
        match self {
            Self::Cipher(cipher) => cipher.update_bytes(data),
            _ => Ok(0),
        }
    }

    pub(super) fn finish_bytes(&self) -> Result<Size> {
        match self {
            Self::Digest(digester) => Ok(Size::Exactly(digester.bytes())),
            Self::Sign(signer) => Ok(Size::Exactly(signer.signature_bytes())),
            Self::Recover(recovery) => Ok(recovery.size()),
            Self::Cipher(cipher) => cipher.finish_bytes(),
            Self::Verify(_) | Self::Messages(_) => Err(Rv(CKR_OPERATION_NOT_INITIALIZED)),
        }
    }

    /// The output of all the data at once.
    pub(super) fn whole_bytes(&self, data: usize) -> Result<Size> {
        match self {
            Self::Cipher(cipher) => cipher.whole_bytes(data),
            _ => self.finish_bytes(),
        }
    }

    pub(super) fn update(&mut self, data: &[u8], out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Digest(digester) => digester.update(data),
            Self::Sign(signer) | Self::Verify(signer) => signer.update(data),
            Self::Recover(recovery) => recovery.update(data),
            Self::Cipher(cipher) => cipher.update(data, out),
            Self::Messages(_) => Err(Rv(CKR_OPERATION_NOT_INITIALIZED)),
        }
    }

    /// The last data, and the end.
    pub(super) fn last(&mut self, data: &[u8], out: &mut Zeroizing<Vec<u8>>) -> Result<()> {
        if let Self::Cipher(cipher) = self {
            return cipher.last(data, out);
        }
        self.update(data, out)?;
        reserve(out, self.finish_bytes()?.bytes());
        self.finish(out)
    }

    pub(super) fn finish(&mut self, out: &mut Vec<u8>) -> Result<()> {
        match self {
            Self::Digest(digester) => digester.finish(out),
            Self::Sign(signer) => signer.sign(out),
            Self::Recover(recovery) => recovery.finish(out),
            Self::Cipher(cipher) => cipher.finish(out),
            Self::Verify(_) | Self::Messages(_) => Err(Rv(CKR_OPERATION_NOT_INITIALIZED)),
        }
    }
}
