//! `message`: what a client of the token server may send, and what a server may answer.
//!
//! Requests go through a socket, as those of a client do, to an application that is logged in. Nothing they do outlives an
//! input: the store is read only.

use std::io::Write;
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, OnceLock};

use slotfs_hsm::{
    Access, DEFAULT_RETENTION_SECS, FIRST_DOMAIN_LABEL, Hsm, Logins, NewPartition, Policies,
};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::secret::SecretBytes;
use slotfs_seal::domain::{DomainKey, new_key_file};
use slotfs_token::{Application, Options, Peer, Provider};
use slotfs_wire::frame::{LENGTHS_BYTES, decode, encode};
use slotfs_wire::{
    MAX_DATA_BYTES, Mechanism, Parameter, Preamble, RawAttribute, RawValue, Reply, Request, Secret,
    Who,
};
use zeroize::Zeroizing;

use crate::serve::fuzzing::{Budget, Frames};

const CO: &str = "password of co";
/// A session's number as it is encoded: a mark, and eight bytes.
const NUMBER_MARK: u8 = 253;
/// Set in the length of a header that has no session to be filled in.
const AS_IT_IS: u8 = 0x80;

/// The first byte says what the rest is.
pub(super) fn run(data: &[u8]) {
    match data.split_first() {
        Some((0, rest)) => reply(rest),
        // Bytes as they come.
        Some((1, rest)) => {
            requests(|_| rest.to_vec());
        }
        Some((_, rest)) => requests(|session| frames(rest, session)),
        None => {}
    }
}

/// A reply that a module can read means one thing.
fn reply(data: &[u8]) {
    if let Some(preamble) = data.first_chunk().and_then(Preamble::parse) {
        assert_eq!(Preamble::parse(&preamble.to_bytes()), Some(preamble));
    }
    if let Ok(reply) = decode::<Reply>(data) {
        let again = encode(&reply, 0).expect("what was read is no longer than a header");
        assert_eq!(decode::<Reply>(&again[LENGTHS_BYTES..]), Ok(reply));
    }
}

/// Records of a header and data, as the frames of a client that knows its session: two lengths, then both. The session
/// stands behind the first byte of a header, which says what is asked.
fn frames(mut records: &[u8], session: u64) -> Vec<u8> {
    let mut stream = Vec::new();
    while let [header_bytes, data_bytes, rest @ ..] = records {
        let length = usize::from(header_bytes & !AS_IT_IS).min(rest.len());
        let (header, rest) = rest.split_at(length);
        let (data, rest) = rest.split_at(usize::from(*data_bytes).min(rest.len()));
        let mut whole = Vec::new();
        match header.split_first() {
            Some((what, more)) if header_bytes & AS_IT_IS == 0 => {
                whole.extend([*what, NUMBER_MARK]);
                whole.extend(session.to_le_bytes());
                whole.extend(more);
            }
            _ => whole.extend(header),
        }
        stream.extend((whole.len() as u32).to_le_bytes());
        stream.extend((data.len() as u32).to_le_bytes());
        stream.extend(whole);
        stream.extend(data);
        records = rest;
    }
    stream
}

/// Every request that can be read gets an answer that fits a frame.
fn requests(stream: impl FnOnce(u64) -> Vec<u8>) {
    let (application, session) = token().application();
    let (mut client, server) = UnixStream::pair().expect("a pair of sockets");
    let sent = stream(session);
    // So much fits into the socket; nobody reads yet.
    let sent = &sent[..sent.len().min(64 << 10)];
    client.write_all(sent).expect("it fits");
    client.shutdown(Shutdown::Write).expect("it is open");
    let budget = Budget::default();
    let mut frames = Frames::new(&server);
    while let Ok(Some((frame, _memory))) = frames.next(&budget, 0, None) {
        let Ok(request) = decode::<Request>(frame.header) else {
            break;
        };
        if !takes_long(&request) {
            let mut out = Zeroizing::default();
            let reply = application.answer(request, frame.data, &mut out);
            assert!(out.len() <= MAX_DATA_BYTES);
            encode(&reply, out.len()).expect("a reply fits a frame");
        }
        frames.forget();
    }
    application.end();
}

/// What costs seconds by its nature: passwords, and RSA keys.
fn takes_long(request: &Request) -> bool {
    use slotfs_wire::numbers::{CKM_RSA_PKCS_KEY_PAIR_GEN, CKM_RSA_X9_31_KEY_PAIR_GEN};
    match request {
        Request::Login { .. }
        | Request::InitToken { .. }
        | Request::InitPin { .. }
        | Request::SetPin { .. }
        | Request::OpenSlot { .. } => true,
        Request::GenerateKeyPair { mechanism, .. } => matches!(
            mechanism.number,
            CKM_RSA_PKCS_KEY_PAIR_GEN | CKM_RSA_X9_31_KEY_PAIR_GEN
        ),
        Request::DeriveKey { mechanism, .. } | Request::GenerateKey { mechanism, .. } => {
            matches!(mechanism.parameter, Parameter::Pbkdf2 { .. })
        }
        _ => false,
    }
}

/// A token that is open for as long as the process lives.
struct Token {
    hsm: Arc<Hsm>,
    logins: Arc<Logins>,
    /// Keeps the slot open, so that a further login costs no Argon2id.
    _keeper: Arc<Application>,
    _folder: tempfile::TempDir,
}

impl Token {
    /// An application of a new provider, so that its objects have the same numbers each time; and its session.
    fn application(&self) -> (Arc<Application>, u64) {
        let options = Options::default();
        let provider = Provider::new(&self.hsm, Arc::clone(&self.logins), options);
        let provider = provider.expect("random numbers");
        logged_in(&provider, 4)
    }
}

fn token() -> &'static Token {
    static TOKEN: OnceLock<Token> = OnceLock::new();
    TOKEN.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        make(&path);
        let hsm = Hsm::open(&path, Access::ReadOnly).expect("it was just made");
        let logins = Logins::new(&hsm);
        let provider = Provider::new(&hsm, Arc::clone(&logins), Options::default());
        let (keeper, _) = logged_in(&provider.expect("random numbers"), 4);
        Token {
            hsm,
            logins,
            _keeper: keeper,
            _folder: folder,
        }
    })
}

fn logged_in(provider: &Arc<Provider>, flags: u64) -> (Arc<Application>, u64) {
    let application = provider.application(Peer::All, Who::Co);
    let open = Request::OpenSession { slot: 0, flags };
    let Reply::Handle(session) = ask(&application, open) else {
        panic!("no session");
    };
    let login = Request::Login {
        session,
        user: 1,
        pin: Some(Secret::from(CO.as_bytes())),
        name: None,
    };
    assert_eq!(ask(&application, login), Reply::Done);
    (application, session)
}

fn ask(application: &Application, request: Request) -> Reply {
    application.answer(request, &[], &mut Zeroizing::default())
}

/// A store with one slot that has keys of every kind.
fn make(path: &Path) {
    use slotfs_object::pkcs11::{
        CKA_EC_PARAMS, CKA_MODULUS_BITS, CKA_PARAMETER_SET, CKA_TOKEN, CKA_VALUE_LEN,
    };
    use slotfs_wire::numbers::*;
    let hsm = Hsm::open_or_create(path).expect("a new store");
    let secret = || SecretBytes::from(CO.as_bytes()).into();
    let domain = new_key_file().expect("random numbers");
    let made = hsm.init_partition_of_po(NewPartition {
        slot: SlotId(0),
        serial: 1,
        v1: false,
        label: "fuzzed".into(),
        domain: DomainKey::from_pem(domain.bytes()).expect("it was just made"),
        domain_label: FIRST_DOMAIN_LABEL.into(),
        secret: secret(),
        retention_secs: DEFAULT_RETENTION_SECS,
        uid: None,
        gid: None,
        capacity_objects: 100,
        policies: Policies::default(),
        replaces: None,
    });
    made.expect("a new slot");
    let slot = hsm.partition(SlotId(0));
    slot.login(Role::Po, &secret()).expect("its password");
    slot.init_role(Role::Co, &secret()).expect("a new role");
    slot.logout();
    let logins = Logins::new(&hsm);
    let provider = Provider::new(&hsm, logins, Options::default()).expect("random numbers");
    let (application, session) = logged_in(&provider, 6);
    let plain = |number| Mechanism {
        number,
        parameter: Parameter::None,
    };
    let value = |kind: u32, bytes: &[u8]| RawAttribute {
        kind: kind.into(),
        value: RawValue::Bytes(Secret::from(bytes)),
    };
    let of_token = || value(CKA_TOKEN, &[1]);
    let number = |kind, it: u64| value(kind, &it.to_ne_bytes());
    for (mechanism, bytes) in [
        (CKM_AES_KEY_GEN, 32),
        (CKM_AES_KEY_GEN, 16),
        (CKM_GENERIC_SECRET_KEY_GEN, 48),
    ] {
        let request = Request::GenerateKey {
            session,
            mechanism: plain(mechanism),
            template: vec![of_token(), number(CKA_VALUE_LEN, bytes)],
        };
        assert!(matches!(ask(&application, request), Reply::Handle(_)));
    }
    let curve = |oid: &[u8]| vec![of_token(), value(CKA_EC_PARAMS, oid)];
    let set = |it| vec![of_token(), number(CKA_PARAMETER_SET, it)];
    for (mechanism, public) in [
        (
            CKM_RSA_PKCS_KEY_PAIR_GEN,
            vec![of_token(), number(CKA_MODULUS_BITS, 2048)],
        ),
        (
            CKM_EC_KEY_PAIR_GEN,
            curve(&[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7]),
        ),
        (CKM_EC_EDWARDS_KEY_PAIR_GEN, curve(&[6, 3, 0x2b, 101, 112])),
        (
            CKM_EC_MONTGOMERY_KEY_PAIR_GEN,
            curve(&[6, 3, 0x2b, 101, 110]),
        ),
        (CKM_ML_KEM_KEY_PAIR_GEN, set(1)),
        (CKM_ML_DSA_KEY_PAIR_GEN, set(1)),
    ] {
        let request = Request::GenerateKeyPair {
            session,
            mechanism: plain(mechanism),
            public,
            private: vec![of_token()],
        };
        let reply = ask(&application, request);
        assert!(matches!(reply, Reply::Pair(..)), "{reply:?}");
    }
}
