//! The slot header and what rows are sealed for: the associated data of docs/format.md, "Sealed rows".

use super::SlotRow;
use slotfs_object::partition::DomainKind;
use slotfs_object::sealed::PartId;
use slotfs_store::Place;

/// The header's first byte. Version 1 had no storage master keys.
pub(super) const VERSION: u8 = 2;
const WITHOUT_SMKS: u8 = 1;

/// What the sealed header says: the rows that count. A credential or domain row that it does not name,
/// put back from an old copy, is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Header {
    /// Grows with every change.
    pub(super) generation: u64,
    /// The current credentials.
    pub(super) credentials: Vec<PartId>,
    /// The current domains, the primary one first.
    pub(super) domains: Vec<PartId>,
    /// The storage master keys, the active one first.
    pub(super) smks: Vec<PartId>,
}

impl Header {
    /// version, generation, then each list with its length before it.
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![VERSION];
        bytes.extend_from_slice(&self.generation.to_le_bytes());
        for ids in [&self.credentials, &self.domains, &self.smks] {
            // A slot has sixteen of each at most.
            bytes.push(ids.len() as u8);
            bytes.extend(ids.iter().flat_map(|id| id.0.to_le_bytes()));
        }
        bytes
    }

    /// `None` for what [`Self::encode`] did not write.
    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (&version, rest) = bytes.split_first()?;
        if ![WITHOUT_SMKS, VERSION].contains(&version) {
            return None;
        }
        let (generation, rest) = rest.split_first_chunk()?;
        let (credentials, rest) = ids(rest)?;
        let (domains, rest) = ids(rest)?;
        let (smks, rest) = match version {
            WITHOUT_SMKS => (Vec::new(), rest),
            _ => ids(rest)?,
        };
        rest.is_empty().then_some(Self {
            generation: u64::from_le_bytes(*generation),
            credentials,
            domains,
            smks,
        })
    }
}

fn ids(bytes: &[u8]) -> Option<(Vec<PartId>, &[u8])> {
    let (&count, rest) = bytes.split_first()?;
    let (ids, rest) = rest.split_at_checked(usize::from(count) * 8)?;
    let ids = ids
        .chunks_exact(8)
        .map(|id| id.try_into().map(|id| PartId(i64::from_le_bytes(id))))
        .collect::<Result<_, _>>()
        .ok()?;
    Some((ids, rest))
}

/// Every field of the slot that is in clear. When one of them is changed, the header does not open.
pub(super) fn header_aad(row: &SlotRow) -> Vec<u8> {
    // Ids have 32 bits, so none of them equals the number for "no id".
    let id = |id: Option<u32>| id.map_or(u64::MAX, u64::from);
    let (kind, version) = (row.kind as u8, row.version as u8);
    let capacity = [row.capacity_objects, row.capacity_bytes];
    Aad::new("header")
        .numbers([row.slot.0.into(), row.serial])
        .bytes(row.label.as_bytes())
        .numbers([kind.into(), version.into()])
        .numbers(capacity)
        .numbers([row.retention_secs])
        .bytes(row.policies.to_stored().as_bytes())
        .numbers([id(row.uid), id(row.gid)])
        .numbers([row.created_secs, row.generation])
        .0
}

/// serial, handle, OUID, row id, and what else is in clear of the object; the version is in the label.
pub(super) fn object_aad(serial: u64, place: Place) -> Vec<u8> {
    Aad::new("object")
        .numbers([serial, place.handle.get().into()])
        .bytes(&place.ouid.0)
        .numbers([place.id.0.cast_unsigned(), place.payload_bytes.into()])
        .numbers([place.created_secs])
        .0
}

/// serial, kind, row id; and the label, which is in clear beside it.
pub(super) fn domain_aad(serial: u64, kind: DomainKind, id: PartId, label: &str) -> Vec<u8> {
    Aad::new("domain")
        .numbers([serial, (kind as u8).into(), id.0.cast_unsigned()])
        .bytes(label.as_bytes())
        .0
}

/// serial, row id.
pub(super) fn smk_aad(serial: u64, id: PartId) -> Vec<u8> {
    Aad::new("smk").numbers([serial, id.0.cast_unsigned()]).0
}

/// Fixed-width numbers and length-prefixed bytes, so that two different lists of fields never give the same bytes.
struct Aad(Vec<u8>);

impl Aad {
    fn new(what: &str) -> Self {
        Self(format!("slotfs 1 {what}\0").into_bytes())
    }

    fn numbers<const N: usize>(mut self, numbers: [u64; N]) -> Self {
        self.0
            .extend(numbers.iter().flat_map(|it| it.to_le_bytes()));
        self
    }

    fn bytes(self, bytes: &[u8]) -> Self {
        let mut aad = self.numbers([bytes.len() as u64]);
        aad.0.extend_from_slice(bytes);
        aad
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_written_reads_back() {
        let header = Header {
            generation: 3,
            credentials: vec![PartId(1), PartId(-2)],
            domains: vec![PartId(i64::MIN)],
            smks: vec![PartId(7), PartId(9)],
        };
        let bytes = header.encode();
        assert_eq!(Header::decode(&bytes), Some(header));
        for cut in 0..bytes.len() {
            assert_eq!(Header::decode(&bytes[..cut]), None);
        }
        let mut longer = bytes.clone();
        longer.push(0);
        assert_eq!(Header::decode(&longer), None);
        // As it was before there were storage master keys.
        let mut first = bytes[..bytes.len() - 17].to_vec();
        first[0] = WITHOUT_SMKS;
        let without = Header {
            smks: Vec::new(),
            ..Header::decode(&bytes).unwrap()
        };
        assert_eq!(Header::decode(&first), Some(without));
    }
}
