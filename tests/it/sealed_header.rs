//! A slot's header, opened and sealed again as docs/format.md, "Sealed rows", says, without the code that does it.

use rusqlite::Connection;
use rusqlite::types::ValueRef;
use slotfs::credential::pair::Place;
use slotfs::credential::{self, Binding, Contents, Purpose, Secret, SlotKey};
use slotfs::object::SlotId;
use slotfs::object::partition::Role;
use slotfs::object::sealed::{Credential, KdfParams, Method, Pair, PartId, SealedRow};
use slotfs::secret::SecretBytes;

/// A password's credential in its row, with its pair.
pub struct Row {
    pub slot: u32,
    pub binding: Binding,
    pub credential: Credential,
    pair: Option<Pair>,
}

/// The credentials of the password slots below `slots`.
pub fn credentials(connection: &Connection, slots: u32) -> Vec<Row> {
    let text = "SELECT name FROM sqlite_schema WHERE name = 'pairs'";
    let (pair, join) = match connection.prepare(text).unwrap().exists([]).unwrap() {
        true => (
            "p.generation, public_key, encapsulation, p.wrapped, authentication",
            "LEFT JOIN pairs p ON p.credential = c.id",
        ),
        // Up to schema 3.
        false => ("NULL, NULL, NULL, NULL, NULL", ""),
    };
    connection
        .prepare(&format!(
            "SELECT c.slot, serial, c.id, role, memory_kib, passes, lanes, salt, commitment, c.wrapped, {pair}
             FROM credentials c JOIN slots s ON s.slot = c.slot {join}
             WHERE c.slot < ?1 AND kind = 1 ORDER BY c.slot, role"
        ))
        .unwrap()
        .query_map([slots], |row| {
            let params = KdfParams {
                memory_kib: row.get(4)?,
                passes: row.get(5)?,
                lanes: row.get(6)?,
            };
            let pair = |generation: i64| {
                Ok::<_, rusqlite::Error>(Pair {
                    generation: generation.cast_unsigned(),
                    public_key: row.get(11)?,
                    encapsulation: row.get(12)?,
                    wrapped: row.get(13)?,
                    authentication: SealedRow::stored(row.get(14)?),
                })
            };
            Ok(Row {
                slot: row.get(0)?,
                binding: Binding {
                    serial: row.get::<_, i64>(1)?.cast_unsigned(),
                    role: Role::from_number(row.get(3)?).unwrap(),
                    id: PartId(row.get(2)?),
                },
                credential: Credential {
                    method: Method::Password(params),
                    salt: row.get(7)?,
                    commitment: row.get(8)?,
                    wrapped: row.get(9)?,
                },
                pair: row.get::<_, Option<i64>>(10)?.map(pair).transpose()?,
            })
        })
        .unwrap()
        .collect::<Result<_, _>>()
        .unwrap()
}

impl Row {
    /// The slot key that the password gives.
    pub fn slot_key(&self, password: &str) -> SlotKey {
        let secret: Secret = SecretBytes::from(password.as_bytes()).into();
        let is_pair = self.pair.is_some();
        let opened = credential::open(&self.credential, is_pair, &secret, self.binding).unwrap();
        match (opened.contents, &self.pair) {
            (Contents::Pair(secret), Some(pair)) => {
                let place = Place {
                    slot: SlotId(self.slot),
                    binding: self.binding,
                    generation: pair.generation,
                };
                secret.decapsulate(pair, place).unwrap()
            }
            (Contents::SlotKey(key), _) => key,
            (Contents::Pair(_), None) => panic!("a pair without its row"),
        }
    }

    /// How the header names `credential` in this row.
    pub fn hash_of(&self, credential: &Credential) -> [u8; 32] {
        credential::hash(credential, self.pair.is_some(), self.binding)
    }
}

/// Opens the header of a slot, changes it, and seals it for the same place.
pub fn reseal(connection: &Connection, slot: u32, key: &SlotKey, change: impl FnOnce(&mut [u8])) {
    let (aad, header) = connection
        .query_row(
            "SELECT slot, serial, label, kind, version, capacity_objects, capacity_bytes, retention_secs,
                policies, uid, gid, created_secs, generation, header FROM slots WHERE slot = ?1",
            [slot],
            |row| {
                let mut aad = b"slotfs 1 header\0".to_vec();
                for column in 0..13 {
                    match row.get_ref(column)? {
                        ValueRef::Text(text) => {
                            aad.extend((text.len() as u64).to_le_bytes());
                            aad.extend(text);
                        }
                        ValueRef::Null => aad.extend(u64::MAX.to_le_bytes()),
                        value => aad.extend(value.as_i64()?.to_le_bytes()),
                    }
                }
                Ok((aad, row.get::<_, Vec<u8>>(13)?))
            },
        )
        .unwrap();
    let opened = key.open(Purpose::Header, &aad, &SealedRow::stored(header));
    let mut plain = opened
        .expect("the header opens as docs/format.md says")
        .bytes()
        .to_vec();
    change(&mut plain);
    let sealed = key.seal(Purpose::Header, &aad, &plain).unwrap();
    connection
        .execute(
            "UPDATE slots SET header = ?2 WHERE slot = ?1",
            (slot, sealed.bytes()),
        )
        .unwrap();
}
