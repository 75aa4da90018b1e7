//! What a slot's rows may say that was not written by slotfs, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use super::header::{self, Header, domain_aad, header_aad, object_aad};
use super::policy::Policies;
use super::session::{Keys, Session};
use slotfs_object::fuzzing::Input;
use slotfs_object::partition::Role;
use slotfs_object::partition::{DomainKind, PartitionVersion, SlotKind};
use slotfs_object::sealed::SealedRow;
use slotfs_object::secret::Key;
use slotfs_object::{Handle, Ouid, SlotId};
use slotfs_seal::blob::{MAX_STANZAS, blob_bytes};
use slotfs_seal::credential::{Purpose, SlotKey};
use slotfs_store::{DomainRow, Place, SlotRow, SlotRows};

/// The first byte says how the rest is taken: as a header in clear, as policies, as sealed rows of any content under
/// the right slot key, or as sealed rows of any bytes.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    match input.byte() % 4 {
        0 => header(input.rest()),
        1 => policies(input.rest()),
        2 => session(&mut input),
        _ => row(&mut input),
    }
}

/// What decodes encodes to the same bytes.
fn header(data: &[u8]) {
    if let Some(mut header) = Header::decode(data) {
        let encoded = header.encode();
        // Earlier versions have no hashes; sealing sets them.
        for named in &mut header.credentials {
            named.hash.get_or_insert_default();
        }
        match data.first() {
            Some(&header::VERSION) => assert_eq!(encoded, data),
            // An earlier version is written as this one.
            _ => assert_eq!(Header::decode(&encoded), Some(header)),
        }
    }
}

fn policies(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Some(policies) = Policies::from_stored(text) {
        assert_eq!(policies.to_stored(), text);
    }
}

fn slot_key() -> SlotKey {
    SlotKey::new(Key::make(|key| key.fill(0x33)))
}

fn slot_row(input: &mut Input<'_>) -> SlotRow {
    let owner = input.byte();
    SlotRow {
        slot: SlotId(input.byte().into()),
        serial: input.u64(),
        label: String::from_utf8_lossy(input.short()).into_owned(),
        kind: match input.flag() {
            true => SlotKind::Quorum,
            false => SlotKind::Password,
        },
        version: match input.flag() {
            true => PartitionVersion::V1,
            false => PartitionVersion::V0,
        },
        capacity_objects: input.u64(),
        capacity_bytes: input.u64(),
        retention_secs: input.u64(),
        policies: Policies {
            private_key_cloning: input.flag(),
            secret_key_cloning: input.flag(),
            failed_logins: input.u32(),
            crypto_user_cloning: input.flag().then_some(false),
            private_key_wrapping: false,
            secret_key_wrapping: false,
        },
        uid: (owner & 1 == 1).then(|| input.u32()),
        gid: (owner & 2 == 2).then(|| input.u32()),
        created_secs: input.u64(),
        generation: input.u64(),
        header: SealedRow::stored(Vec::new()),
    }
}

/// Two slots with any clear fields have the same associated data only if those are the same. A header of any bytes
/// opens or is damage; and what opens has the domains that it names, each of 32 bytes.
fn session(input: &mut Input<'_>) {
    let key = slot_key();
    let mut row = slot_row(input);
    let other = slot_row(input);
    assert_eq!(
        header_aad(&row) == header_aad(&other),
        row == other,
        "associated data stand for all that is in clear"
    );
    let domains: Vec<DomainRow> = (0..input.byte() % 5)
        .map(|_| {
            let id = slotfs_object::sealed::PartId(input.u64().cast_signed());
            let kind = match input.flag() {
                true => DomainKind::String,
                false => DomainKind::KeyFile,
            };
            let label = String::from_utf8_lossy(input.short()).into_owned();
            let aad = domain_aad(row.serial, kind, id, &label);
            let plain = match input.flag() {
                true => input.short().to_vec(),
                false => vec![input.byte(); 32],
            };
            let sealed = key.seal(Purpose::Domain, &aad, &plain).expect("it seals");
            DomainRow {
                id,
                kind,
                label,
                sealed,
            }
        })
        .collect();
    let named = match input.flag() {
        true => None,
        false => Some(Header {
            generation: row.generation,
            domains: domains.iter().map(|domain| domain.id).collect(),
            ..Header::default()
        }),
    };
    let header = named.map_or_else(|| input.rest().to_vec(), |header| header.encode());
    row.header = key
        .seal(Purpose::Header, &header_aad(&row), &header)
        .expect("it seals");

    let keys = Keys {
        slot_key: key.clone(),
        pair: None,
    };
    let parts = SlotRows {
        domains,
        ..SlotRows::default()
    };
    match Session::open(row.clone(), Role::Co, keys.clone(), &parts) {
        Ok(session) => {
            let header = Header::decode(&header).expect("only a header opens");
            assert_eq!(header.generation, row.generation);
            assert_eq!(session.domains().len(), header.domains.len());
            assert!(!session.domains().is_empty());
            if session.domains().len() <= MAX_STANZAS {
                let size = blob_bytes(session.domains().len(), 9) as u64;
                assert_eq!(session.blob_bytes(9), size);
            }
            let moved = SlotRow {
                serial: row.serial ^ 1,
                ..row
            };
            let moved = Session::open(moved, Role::Co, keys, &parts);
            assert!(moved.is_err(), "it opens in its own place alone");
        }
        Err(error) if error.is_damage() => {
            assert!(!error.to_string().contains(char::is_control), "{error}")
        }
        Err(other) => panic!("{other}"),
    }
}

/// Bytes that the slot key did not seal open as nothing; what it did, at its own place and unchanged.
fn row(input: &mut Input<'_>) {
    let key = slot_key();
    let purpose = input.pick(&[
        Purpose::Object,
        Purpose::Header,
        Purpose::Domain,
        Purpose::Smk,
    ]);
    let place = |input: &mut Input<'_>| Place {
        id: slotfs_object::RowId(input.u64().cast_signed()),
        handle: Handle::new(input.u32()).unwrap_or(Handle::FIRST),
        ouid: Ouid([input.byte(); 16]),
        payload_bytes: input.u32(),
        created_secs: input.u64(),
        changed_secs: input.flag().then(|| input.u64()),
    };
    let serial = input.u64();
    let (here, there) = (place(input), place(input));
    let edit = (input.u16(), input.byte());
    let plain = input.short();
    let aad = object_aad(serial, here);
    assert_eq!(aad == object_aad(serial, there), here == there);
    let sealed = key.seal(purpose, &aad, plain).expect("it seals");
    let opened = key.open(purpose, &aad, &sealed).expect("it opens");
    assert_eq!(opened.bytes(), plain);
    assert_eq!(
        key.open(purpose, &object_aad(serial, there), &sealed)
            .is_some(),
        here == there
    );
    for other in [Purpose::Object, Purpose::Header, Purpose::Domain] {
        assert_eq!(key.open(other, &aad, &sealed).is_some(), other == purpose);
    }
    let mut changed = sealed.bytes().to_vec();
    let at = usize::from(edit.0) % changed.len();
    changed[at] ^= edit.1;
    let changed = SealedRow::stored(changed);
    assert_eq!(key.open(purpose, &aad, &changed).is_some(), edit.1 == 0);
    let anything = SealedRow::stored(input.rest().to_vec());
    assert!(key.open(purpose, &aad, &anything).is_none());
}
