//! Keys that one derivation makes beside its first: their templates are in the mechanism's parameter, and so are the places
//! for their handles.

use std::ptr;

use cryptoki_sys::*;
use slotfs_wire::{
    KdfPart, NestedAttribute, Parameter, RawAttribute, RawValue, Reply, Request, Secret,
};

use crate::fake::{Answer, Fake, Module, call, usual};

fn attribute<T: ?Sized>(kind: CK_ATTRIBUTE_TYPE, value: &mut T) -> CK_ATTRIBUTE {
    CK_ATTRIBUTE {
        type_: kind,
        ulValueLen: size_of_val(value) as CK_ULONG,
        pValue: ptr::from_mut(value).cast(),
    }
}

fn derived(template: &mut [CK_ATTRIBUTE], handle: &mut CK_OBJECT_HANDLE) -> CK_DERIVED_KEY {
    CK_DERIVED_KEY {
        pTemplate: template.as_mut_ptr(),
        ulAttributeCount: template.len() as CK_ULONG,
        phKey: handle,
    }
}

fn feedback(
    parts: &mut [CK_PRF_DATA_PARAM],
    iv: &mut [u8],
    keys: &mut [CK_DERIVED_KEY],
) -> CK_SP800_108_FEEDBACK_KDF_PARAMS {
    CK_SP800_108_FEEDBACK_KDF_PARAMS {
        prfType: CKM_AES_CMAC,
        ulNumberOfDataParams: parts.len() as CK_ULONG,
        pDataParams: parts.as_mut_ptr(),
        ulIVLen: iv.len() as CK_ULONG,
        pIV: iv.as_mut_ptr(),
        ulAdditionalDerivedKeys: keys.len() as CK_ULONG,
        pAdditionalDerivedKeys: keys.as_mut_ptr(),
    }
}

/// The iteration variable of feedback mode has no format.
const PREVIOUS: CK_PRF_DATA_PARAM = CK_PRF_DATA_PARAM {
    type_: CK_SP800_108_ITERATION_VARIABLE,
    pValue: ptr::null_mut(),
    ulValueLen: 0,
};

fn derive<T>(
    session: CK_SESSION_HANDLE,
    mechanism: CK_MECHANISM_TYPE,
    parameter: &mut T,
    key: &mut CK_OBJECT_HANDLE,
) -> CK_RV {
    let mut mechanism = CK_MECHANISM {
        mechanism,
        pParameter: ptr::from_mut(parameter).cast(),
        ulParameterLen: size_of::<T>() as CK_ULONG,
    };
    call!(
        C_DeriveKey,
        session,
        &raw mut mechanism,
        5,
        ptr::null_mut(),
        0,
        key
    )
}

#[test]
fn templates_go_and_handles_come() {
    let fake = Fake::new(|request, _| match request {
        Request::DeriveKey { .. } => Answer::Reply(Reply::Handles(vec![8, 9, 10])),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    let (mut yes, mut label, mut iv) = ([1u8], *b"label", *b"iv");
    let mut inside = [attribute(CKA_TOKEN, &mut yes)];
    let mut first = [
        attribute(CKA_LABEL, &mut label),
        attribute(CKA_WRAP_TEMPLATE, &mut inside),
    ];
    let mut handles = [0; 3];
    let [main, one, two] = &mut handles;
    let mut keys = [derived(&mut first, one), derived(&mut [], two)];
    let mut parts = [PREVIOUS];
    let mut parameter = feedback(&mut parts, &mut iv, &mut keys);
    let made = derive(session, CKM_SP800_108_FEEDBACK_KDF, &mut parameter, main);
    assert_eq!((made, handles), (CKR_OK, [8, 9, 10]));
    let nested = NestedAttribute {
        kind: CKA_TOKEN,
        bytes: Secret::from(&[1u8][..]),
    };
    let template = vec![
        RawAttribute::bytes(CKA_LABEL, b"label"),
        RawAttribute {
            kind: CKA_WRAP_TEMPLATE,
            value: RawValue::Template(vec![nested]),
        },
    ];
    let expected = Parameter::FeedbackKdf {
        prf: CKM_AES_CMAC,
        parts: vec![KdfPart::Iteration {
            little_endian: false,
            bits: 0,
        }],
        additional_keys: vec![template, vec![]],
        iv: b"iv".to_vec(),
    };
    match &fake.requests()[0].0 {
        Request::DeriveKey { mechanism, .. } => assert_eq!(mechanism.parameter, expected),
        other => unreachable!("{other:?}"),
    }
}

#[test]
fn the_template_to_blame_gets_an_invalid_handle() {
    let fake = Fake::new(|request, _| match request {
        Request::DeriveKey { .. } => Answer::Reply(Reply::NotDerived {
            number: CKR_TEMPLATE_INCOMPLETE,
            template: 2,
        }),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let mut handles = [77; 3];
    let [main, one, two] = &mut handles;
    let mut keys = [derived(&mut [], one), derived(&mut [], two)];
    let mut parts = [PREVIOUS];
    let mut parameter = feedback(&mut parts, &mut [], &mut keys);
    let refused = derive(session, CKM_SP800_108_FEEDBACK_KDF, &mut parameter, main);
    let expected = [77, 77, CK_INVALID_HANDLE];
    assert_eq!((refused, handles), (CKR_TEMPLATE_INCOMPLETE, expected));
}

#[test]
fn a_server_that_counts_wrong_is_not_believed() {
    let fake = Fake::new(|request, _| match request {
        Request::DeriveKey { base: 5, .. } => Answer::Reply(Reply::Handles(vec![8, 9, 10])),
        other => usual(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    let mut handles = [77; 2];
    let [main, one] = &mut handles;
    let mut keys = [derived(&mut [], one)];
    let mut parts = [PREVIOUS];
    let mut parameter = feedback(&mut parts, &mut [], &mut keys);
    let confused = derive(session, CKM_SP800_108_FEEDBACK_KDF, &mut parameter, main);
    assert_eq!((confused, handles), (CKR_DEVICE_ERROR, [77; 2]));
}

#[test]
fn what_points_nowhere_is_refused_before_a_key_is_made() {
    let fake = Fake::new(|request, _| usual(request));
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    let wild = ptr::without_provenance_mut(0x1000);
    let (mut main, mut one, mut parts) = (77, 77, [PREVIOUS]);
    let mut value = [1u8; 4];
    let honest = derived(&mut [], &mut one);
    let nowhere = CK_ATTRIBUTE {
        type_: CKA_LABEL,
        pValue: ptr::without_provenance_mut(0x1000),
        ulValueLen: 4,
    };
    let long = CK_ATTRIBUTE {
        ulValueLen: CK_ULONG::MAX,
        ..attribute(CKA_LABEL, &mut value)
    };
    let half = CK_ATTRIBUTE {
        ulValueLen: 4,
        ..attribute(CKA_WRAP_TEMPLATE, &mut value)
    };
    for lie in [
        CK_DERIVED_KEY {
            phKey: ptr::null_mut(),
            ..honest
        },
        CK_DERIVED_KEY {
            phKey: ptr::without_provenance_mut(0x1000),
            ..honest
        },
        CK_DERIVED_KEY {
            pTemplate: wild,
            ulAttributeCount: 1,
            ..honest
        },
        CK_DERIVED_KEY {
            ulAttributeCount: CK_ULONG::MAX,
            ..honest
        },
        derived(&mut [nowhere], &mut one),
        derived(&mut [long], &mut one),
        derived(&mut [half], &mut one),
    ] {
        let mut keys = [lie];
        let mut parameter = feedback(&mut parts, &mut [], &mut keys);
        let refused = derive(
            session,
            CKM_SP800_108_FEEDBACK_KDF,
            &mut parameter,
            &mut main,
        );
        assert_eq!(refused, CKR_MECHANISM_PARAM_INVALID);
    }
    let mut keys = vec![honest; 65];
    let mut parameter = feedback(&mut parts, &mut [], &mut keys);
    let many = derive(
        session,
        CKM_SP800_108_FEEDBACK_KDF,
        &mut parameter,
        &mut main,
    );
    assert_eq!(many, CKR_MECHANISM_PARAM_INVALID);
    assert_eq!((main, one), (77, 77));
    assert_eq!(fake.requests(), []);
}
