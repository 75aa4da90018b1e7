//! A provider over a store with one slot, and an application that asks it.

use std::sync::Arc;

use slotfs_hsm::{DEFAULT_RETENTION_SECS, Hsm, Logins, NewPartition, Policies, Policy, new_serial};
use slotfs_object::SlotId;
use slotfs_object::partition::Role;
use slotfs_object::secret::SecretBytes;
use slotfs_seal::credential::Secret as Credential;
use slotfs_seal::domain::{DomainKey, new_key_file};
use slotfs_token::{Application, Options, Peer, Provider};
use slotfs_wire::{
    Got, Mechanism, Operation, Parameter, RawAttribute, RawValue, Reply, Request, Secret, Template,
    Who,
};
use zeroize::Zeroizing;

pub const PO: &str = "password of po";
pub const CO: &str = "password of co";
pub const CU: &str = "password of cu";

pub struct Fixture {
    folder: tempfile::TempDir,
    pub hsm: Arc<Hsm>,
    pub provider: Arc<Provider>,
}

pub fn credential(text: &str) -> Credential {
    SecretBytes::from(text.as_bytes()).into()
}

impl Fixture {
    /// Slot 0 with po, co and cu.
    pub fn new() -> Self {
        Self::with(Policies::default())
    }

    pub fn with(policies: Policies) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let hsm = Hsm::open_or_create(&folder.path().join("store.db")).unwrap();
        hsm.init_partition_of_po(NewPartition {
            slot: SlotId(0),
            serial: new_serial().unwrap(),
            v1: false,
            label: "the token".into(),
            domain: DomainKey::from_pem(new_key_file().unwrap().bytes()).unwrap(),
            domain_label: "primary".into(),
            secret: credential(PO),
            retention_secs: DEFAULT_RETENTION_SECS,
            uid: None,
            gid: None,
            capacity_objects: 100,
            policies,
            replaces: None,
        })
        .unwrap();
        let slot = hsm.partition(SlotId(0));
        slot.login(Role::Po, &credential(PO)).unwrap();
        slot.init_role(Role::Co, &credential(CO)).unwrap();
        slot.init_role(Role::Cu, &credential(CU)).unwrap();
        slot.logout();
        let provider = Provider::new(&hsm, Logins::new(&hsm), Options::default()).unwrap();
        Self {
            folder,
            hsm,
            provider,
        }
    }

    /// A slot whose policies let keys be wrapped.
    pub fn wrapping() -> Self {
        let it = Self::new();
        let slot = it.hsm.partition(SlotId(0));
        slot.login(Role::Po, &credential(PO)).unwrap();
        let changes = [
            (Policy::PrivateKeyCloning, 0),
            (Policy::PrivateKeyWrapping, 1),
            (Policy::SecretKeyWrapping, 1),
        ];
        slot.change_policies(&changes).unwrap();
        slot.logout();
        it
    }

    pub fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("store.db")
    }

    pub fn application(&self) -> App {
        self.application_as(Who::Co)
    }

    pub fn application_as(&self, who: Who) -> App {
        App(self.provider.application(Peer::All, who))
    }

    /// An application with a read-write session in which co is logged in.
    pub fn co(&self) -> (App, u64) {
        let app = self.application();
        let session = app.open();
        app.login(session, 1, CO).unwrap();
        (app, session)
    }
}

/// An application. Errors are CKR numbers.
pub struct App(pub Arc<Application>);

impl App {
    pub fn ask(&self, request: Request) -> Result<Reply, u64> {
        self.ask_with(request, &[]).map(|(reply, _)| reply)
    }

    pub fn ask_with(
        &self,
        request: Request,
        data: &[u8],
    ) -> Result<(Reply, Zeroizing<Vec<u8>>), u64> {
        let mut out = Zeroizing::default();
        match self.0.answer(request, data, &mut out) {
            Reply::Failed(number) => Err(number),
            reply => Ok((reply, out)),
        }
    }

    pub fn open(&self) -> u64 {
        self.open_with(0, 6).unwrap()
    }

    pub fn open_with(&self, slot: u64, flags: u64) -> Result<u64, u64> {
        match self.ask(Request::OpenSession { slot, flags })? {
            Reply::Handle(handle) => Ok(handle),
            other => panic!("{other:?}"),
        }
    }

    pub fn login(&self, session: u64, user: u64, pin: &str) -> Result<(), u64> {
        self.ask(Request::Login {
            session,
            user,
            pin: Some(Secret::from(pin.as_bytes())),
            name: None,
        })
        .map(drop)
    }

    pub fn create(&self, session: u64, template: Template) -> Result<u64, u64> {
        let created = self.ask(Request::CreateObject { session, template })?;
        Ok(handle(created))
    }

    pub fn copy(&self, session: u64, object: u64, template: Template) -> Result<u64, u64> {
        let copied = self.ask(Request::CopyObject {
            session,
            object,
            template,
        })?;
        Ok(handle(copied))
    }

    pub fn find(&self, session: u64, template: Template) -> Vec<u64> {
        self.ask(Request::FindInit { session, template }).unwrap();
        let mut found = Vec::new();
        loop {
            match self.ask(Request::Find { session, most: 2 }).unwrap() {
                Reply::Handles(page) if page.is_empty() => break,
                Reply::Handles(page) => found.extend(page),
                other => panic!("{other:?}"),
            }
        }
        self.ask(Request::FindFinal { session }).unwrap();
        found
    }

    pub fn get(&self, session: u64, object: u64, kind: u32) -> Result<Got, u64> {
        let kinds = vec![u64::from(kind)];
        let got = self.ask(Request::GetAttributes {
            session,
            object,
            kinds,
        })?;
        match got {
            Reply::Attributes(mut all) if all.len() == 1 => Ok(all.remove(0)),
            other => panic!("{other:?}"),
        }
    }

    pub fn set(&self, session: u64, object: u64, template: Template) -> Result<(), u64> {
        self.ask(Request::SetAttributes {
            session,
            object,
            template,
        })
        .map(drop)
    }

    pub fn destroy(&self, session: u64, object: u64) -> Result<(), u64> {
        self.ask(Request::DestroyObject { session, object })
            .map(drop)
    }

    pub fn generate(&self, session: u64, mechanism: u64, template: Template) -> Result<u64, u64> {
        let made = self.ask(Request::GenerateKey {
            session,
            mechanism: plain(mechanism),
            template,
        })?;
        Ok(handle(made))
    }

    /// A P-256 pair: the public key, the private key.
    pub fn pair(
        &self,
        session: u64,
        mut public: Template,
        private: Template,
    ) -> Result<(u64, u64), u64> {
        const P256: &[u8] = &[6, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 3, 1, 7];
        public.push(RawAttribute::bytes(0x180, P256));
        let made = self.ask(Request::GenerateKeyPair {
            session,
            mechanism: plain(0x1040),
            public,
            private,
        })?;
        match made {
            Reply::Pair(public, private) => Ok((public, private)),
            other => panic!("{other:?}"),
        }
    }

    pub fn start(
        &self,
        session: u64,
        operation: Operation,
        mechanism: u64,
        key: u64,
    ) -> Result<(), u64> {
        self.ask(Request::Start {
            session,
            operation,
            mechanism: plain(mechanism),
            key,
        })
        .map(drop)
    }

    /// `C_SignInit` and `C_Sign`.
    pub fn sign(
        &self,
        session: u64,
        mechanism: u64,
        key: u64,
        data: &[u8],
    ) -> Result<Vec<u8>, u64> {
        self.start(session, Operation::Sign, mechanism, key)?;
        let whole = Request::Whole {
            session,
            operation: Operation::Sign,
            room: Some(1024),
            signature: Vec::new(),
        };
        self.ask_with(whole, data).map(|(_, out)| out.to_vec())
    }

    pub fn verify(
        &self,
        session: u64,
        mechanism: u64,
        key: u64,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), u64> {
        self.start(session, Operation::Verify, mechanism, key)?;
        let whole = Request::Whole {
            session,
            operation: Operation::Verify,
            room: None,
            signature: signature.to_vec(),
        };
        self.ask_with(whole, data).map(drop)
    }

    pub fn wrap(&self, session: u64, mechanism: u64, by: u64, key: u64) -> Result<Vec<u8>, u64> {
        let wrap = Request::WrapKey {
            session,
            mechanism: plain(mechanism),
            wrapping: by,
            key,
            room: Some(8192),
        };
        self.ask_with(wrap, &[]).map(|(_, out)| out.to_vec())
    }

    pub fn unwrap(
        &self,
        session: u64,
        mechanism: u64,
        by: u64,
        wrapped: &[u8],
        template: Template,
    ) -> Result<u64, u64> {
        let unwrap = Request::UnwrapKey {
            session,
            mechanism: plain(mechanism),
            unwrapping: by,
            template,
        };
        self.ask_with(unwrap, wrapped)
            .map(|(reply, _)| handle(reply))
    }
}

fn handle(reply: Reply) -> u64 {
    match reply {
        Reply::Handle(handle) => handle,
        other => panic!("{other:?}"),
    }
}

pub fn plain(number: u64) -> Mechanism {
    let parameter = Parameter::None;
    Mechanism { number, parameter }
}

pub fn number(kind: u32, value: u64) -> RawAttribute {
    RawAttribute::bytes(u64::from(kind), &value.to_ne_bytes())
}

pub fn boolean(kind: u32, value: bool) -> RawAttribute {
    RawAttribute::bytes(u64::from(kind), &[u8::from(value)])
}

pub fn bytes(kind: u32, value: &[u8]) -> RawAttribute {
    RawAttribute::bytes(u64::from(kind), value)
}

/// The bytes of an attribute that is shown.
#[track_caller]
pub fn shown(got: Got) -> Vec<u8> {
    match got {
        Got::Value(RawValue::Bytes(bytes)) => bytes.bytes().to_vec(),
        other => panic!("{other:?}"),
    }
}
