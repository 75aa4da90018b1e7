//! Verifications whose signature comes first: the server keeps it.

use std::ptr;

use cryptoki_sys::*;
use slotfs_wire::{MAX_DATA_BYTES, Mechanism, Operation, Parameter, Reply, Request};

use crate::fake::{Answer, Fake, Module, call, usual};

const KIND: Operation = Operation::VerifySignature;

fn init(session: CK_SESSION_HANDLE, signature: &mut [u8]) -> CK_RV {
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_ECDSA_SHA256,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    };
    call!(
        C_VerifySignatureInit,
        session,
        &raw mut mechanism,
        5,
        signature.as_mut_ptr(),
        signature.len() as CK_ULONG,
    )
}

#[test]
fn the_signature_goes_with_the_start() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    assert_eq!(init(session, &mut [3; 64]), CKR_OK);
    let mut data = *b"data";
    let verified = call!(C_VerifySignature, session, data.as_mut_ptr(), 4);
    assert_eq!(verified, CKR_OK);
    let updated = call!(C_VerifySignatureUpdate, session, data.as_mut_ptr(), 4);
    assert_eq!(updated, CKR_OK);
    assert_eq!(call!(C_VerifySignatureFinal, session), CKR_OK);
    // A null mechanism cancels the verification.
    let null = call!(
        C_VerifySignatureInit,
        session,
        ptr::null_mut(),
        5,
        ptr::null_mut(),
        0
    );
    assert_eq!(null, CKR_OK);
    let mechanism = Mechanism {
        number: CKM_ECDSA_SHA256,
        parameter: Parameter::None,
    };
    let operation = KIND;
    let expected = [
        (
            Request::Start {
                session,
                operation,
                mechanism,
                key: 5,
            },
            vec![3; 64],
        ),
        (
            Request::Whole {
                session,
                operation,
                room: None,
                signature: Vec::new(),
            },
            b"data".to_vec(),
        ),
        (
            Request::Update {
                session,
                operation,
                room: Some(0),
            },
            b"data".to_vec(),
        ),
        (
            Request::Final {
                session,
                operation,
                room: None,
            },
            Vec::new(),
        ),
        (
            Request::Cancel {
                session,
                flags: CKF_VERIFY,
            },
            Vec::new(),
        ),
    ];
    assert_eq!(fake.requests(), expected);
}

#[test]
fn data_longer_than_a_frame_goes_in_pieces() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    let mut data = vec![7; MAX_DATA_BYTES + 1];
    let length = data.len() as CK_ULONG;
    call!(C_VerifySignature, session, data.as_mut_ptr(), length);
    let asked = fake.requests();
    let operation = KIND;
    assert_eq!(asked[0].0, Request::Piece { session, operation });
    let lengths: Vec<_> = asked.iter().map(|it| it.1.len()).collect();
    assert_eq!(lengths, [MAX_DATA_BYTES, 1]);
}

#[test]
fn what_the_server_says_of_the_signature() {
    let fake = Fake::new(|request, _| match request {
        Request::Final { .. } => Answer::Reply(Reply::Failed(CKR_SIGNATURE_INVALID)),
        Request::Start { .. } => Answer::Reply(Reply::Failed(CKR_OPERATION_ACTIVE)),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    assert_eq!(init(session, &mut [3; 64]), CKR_OPERATION_ACTIVE);
    assert_eq!(
        call!(C_VerifySignatureFinal, session),
        CKR_SIGNATURE_INVALID
    );
    fake.requests();
    assert_eq!(
        init(session, &mut vec![3; (64 << 10) + 1]),
        CKR_SIGNATURE_LEN_RANGE
    );
    let mut mechanism = CK_MECHANISM {
        mechanism: CKM_ECDSA_SHA256,
        pParameter: ptr::null_mut(),
        ulParameterLen: 0,
    };
    let null = call!(
        C_VerifySignatureInit,
        session,
        &raw mut mechanism,
        5,
        ptr::null_mut(),
        64
    );
    assert_eq!(null, CKR_ARGUMENTS_BAD);
    assert_eq!(
        call!(C_VerifySignature, session, ptr::null_mut(), 1),
        CKR_ARGUMENTS_BAD
    );
    // Nonsense ends what runs, and nothing else is said of it.
    let asked: Vec<_> = fake.requests().into_iter().map(|it| it.0).collect();
    let flags = CKF_VERIFY;
    assert_eq!(asked, [Request::Cancel { session, flags }]);
}
