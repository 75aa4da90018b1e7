//! A credential's row as whoever has the file may have changed it, for [`crate::fuzzing`].
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // that is how a property fails

use zeroize::Zeroizing;

use slotfs_object::partition::Role;
use slotfs_object::sealed::{COMMITMENT_BYTES, Credential, KdfParams, Method, PartId, Quorum};

use super::{
    Binding, Contents, CredentialError, QuorumSecret, Secret, WrapKeys, open, open_with, wrap_under,
};
use slotfs_object::fuzzing::Input;
use slotfs_object::secret::{KEY_BYTES, SecretBytes};

/// A row that is wrapped under known keys opens; changed anywhere, or put elsewhere, it does not. A cost that is not
/// accepted is refused before it is paid.
pub fn run(data: &[u8]) {
    let mut input = Input::new(data);
    let mut key = Zeroizing::new([0x11; KEY_BYTES]);
    key[0] = input.byte();
    let keys = WrapKeys {
        key,
        nonce: Zeroizing::new([0x33; KEY_BYTES]),
        commitment: [0x11; COMMITMENT_BYTES],
    };
    let is_pair = input.flag();
    let plain = vec![0x22; if is_pair { 2 * KEY_BYTES } else { KEY_BYTES }];
    let mut binding = binding(&mut input);
    let method = match input.byte() % 4 {
        0 => {
            let quorum = Quorum::new(2, 3).expect("it is one");
            let (secret, _) = QuorumSecret::random(quorum, 7).expect("there are random numbers");
            Method::Quorum(secret.set().clone())
        }
        _ => Method::Password(params(&mut input)),
    };
    let salt = input.short().to_vec();
    let random = [input.byte(); 32];
    let good = wrap_under(&keys, &plain, binding, method, salt, &random)
        .expect("wrapping needs no memory");
    let opened = open_with(&good, is_pair, &keys, binding).expect("it opens");
    match &opened {
        Contents::SlotKey(key) => assert_eq!(key.key().bytes().as_slice(), plain),
        Contents::Pair(pair) => assert_eq!(*pair.bytes(), plain),
    }

    let (mut row, mut place) = (good.clone(), binding);
    change(&mut row, &mut place, &mut input);
    let outcome = open_with(&row, is_pair, &keys, place);
    if (&row, place) == (&good, binding) {
        assert!(outcome.is_ok());
    } else {
        let expected = match row.commitment == good.commitment {
            true => CredentialError::Damaged,
            false => CredentialError::Wrong,
        };
        assert_eq!(outcome.err(), Some(expected), "a change is seen");
    }
    let password = Secret::from(SecretBytes::from(b"password".as_slice()));
    binding.id = PartId(0);
    match &row.method {
        Method::Password(params) if params.is_sane() => {}
        Method::Password(_) => {
            let refused = open(&row, is_pair, &password, binding).err();
            assert!(matches!(refused, Some(CredentialError::Kdf(_))));
        }
        Method::Quorum(_) => {
            let refused = open(&row, is_pair, &password, binding).err();
            assert_eq!(refused, Some(CredentialError::OtherMethod));
        }
    }
}

fn binding(input: &mut Input<'_>) -> Binding {
    Binding {
        serial: input.u64(),
        role: input.pick(&Role::ALL),
        id: PartId(input.u64().cast_signed()),
    }
}

fn params(input: &mut Input<'_>) -> KdfParams {
    KdfParams {
        memory_kib: input.u32(),
        passes: input.u32(),
        lanes: input.u32(),
    }
}

fn change(row: &mut Credential, place: &mut Binding, input: &mut Input<'_>) {
    while !input.is_empty() {
        match input.byte() % 6 {
            0 => row.method = Method::Password(params(input)),
            1 => row.salt = input.short().to_vec(),
            2 => row.commitment = input.short().to_vec(),
            3 => row.wrapped = input.short().to_vec(),
            4 => *place = binding(input),
            _ => {
                let at = usize::from(input.byte()) % row.wrapped.len().max(1);
                if let Some(byte) = row.wrapped.get_mut(at) {
                    *byte ^= input.byte();
                }
            }
        }
    }
}
