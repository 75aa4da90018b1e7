//! Reads DER element by element, for structures that no crate reads without copying their secrets.

use pkcs8::ObjectIdentifier;
use x509_cert::der::asn1::UintRef;
use x509_cert::der::{Decode, Header, Reader, SliceReader, Tag, TagNumber};

use super::error::ImportError;

/// The object identifier in dotted decimal, for constants.
pub(super) const fn oid(dotted: &str) -> ObjectIdentifier {
    ObjectIdentifier::new_unwrap(dotted)
}

/// The elements inside a constructed element, in order.
#[derive(Clone)]
pub(super) struct Elements<'a> {
    reader: SliceReader<'a>,
    what: &'static str,
}

/// `[number]`, constructed.
pub(super) fn context(number: u32) -> Tag {
    Tag::ContextSpecific {
        constructed: true,
        number: TagNumber(number),
    }
}

impl<'a> Elements<'a> {
    /// The elements of `content`; `what` names the structure in errors.
    pub(super) fn new(content: &'a [u8], what: &'static str) -> Result<Self, ImportError> {
        let reader = SliceReader::new(content).map_err(ImportError::der(what))?;
        Ok(Self { reader, what })
    }

    /// The elements of the single SEQUENCE that `der` holds.
    pub(super) fn of_sequence(der: &'a [u8], what: &'static str) -> Result<Self, ImportError> {
        let mut outer = Self::new(der, what)?;
        let inner = outer.sequence()?;
        outer.end()?;
        Ok(inner)
    }

    /// The content of the next element, which must have this tag.
    pub(super) fn next(&mut self, tag: Tag) -> Result<&'a [u8], ImportError> {
        let mut read = || {
            let header = Header::decode(&mut self.reader)?;
            header.tag().assert_eq(tag)?;
            self.reader.read_slice(header.length())
        };
        read().map_err(ImportError::der(self.what))
    }

    /// The next element including its header, which must have this tag.
    pub(super) fn element(&mut self, tag: Tag) -> Result<&'a [u8], ImportError> {
        let element = self.whole()?;
        Self::new(element, self.what)?.next(tag)?;
        Ok(element)
    }

    /// The elements of the next element, which must be a SEQUENCE.
    pub(super) fn sequence(&mut self) -> Result<Self, ImportError> {
        Self::new(self.next(Tag::Sequence)?, self.what)
    }

    /// The content of the single element inside an explicit tag.
    pub(super) fn explicit(&mut self, number: u32, tag: Tag) -> Result<&'a [u8], ImportError> {
        let mut inside = Self::new(self.next(context(number))?, self.what)?;
        let content = inside.next(tag)?;
        inside.end()?;
        Ok(content)
    }

    /// The next element, which must be an object identifier.
    pub(super) fn oid(&mut self) -> Result<ObjectIdentifier, ImportError> {
        let der = self.whole()?;
        ObjectIdentifier::from_der(der).map_err(ImportError::der(self.what))
    }

    /// The next element, which must be a non-negative number. A number above `u64::MAX` is read as `u64::MAX`.
    pub(super) fn number(&mut self) -> Result<u64, ImportError> {
        let der = self.whole()?;
        let number = UintRef::from_der(der).map_err(ImportError::der(self.what))?;
        let mut value = 0_u64;
        for byte in number.as_bytes() {
            value = value.saturating_mul(256) | u64::from(*byte);
        }
        Ok(value)
    }

    /// The next element including its header.
    pub(super) fn whole(&mut self) -> Result<&'a [u8], ImportError> {
        self.reader.tlv_bytes().map_err(ImportError::der(self.what))
    }

    /// The tag of the next element; `None` at the end.
    pub(super) fn peek(&self) -> Option<Tag> {
        Tag::peek(&self.reader).ok()
    }

    /// Whether all elements were read.
    pub(super) fn is_finished(&self) -> bool {
        self.reader.is_finished()
    }

    /// Fails if elements are left.
    pub(super) fn end(self) -> Result<(), ImportError> {
        self.reader.finish().map_err(ImportError::der(self.what))
    }
}
