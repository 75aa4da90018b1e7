//! The operations, each a function of a session that says what is wrong with its result.

use aws_lc_rs::digest;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED, ED25519 as ED25519_VERIFICATION, RSA_PKCS1_2048_8192_SHA256,
    RsaPublicKeyComponents, UnparsedPublicKey,
};

use super::{AES, ED25519, HMAC, P256, P256_PARAMETERS, RSA, Trouble};
use crate::sys::*;
use crate::{Mechanism, Module, Pair, Param, Session, Template, ck, flag};

type Done = Result<(), Trouble>;
pub type Operation = (&'static str, fn(&Context<'_>) -> Done);

/// What an operation has.
pub struct Context<'a> {
    pub module: Module,
    pub slot: CK_SLOT_ID,
    pub session: &'a Session,
    /// Of this thread, for objects of its own.
    pub id: Vec<u8>,
    pub data: Vec<u8>,
}

pub const ALL: &[Operation] = &[
    ("rsa signature", rsa_signature),
    ("rsa pss", rsa_pss),
    ("rsa oaep", rsa_oaep),
    ("ecdsa", ecdsa),
    ("ecdsa of a new token pair", token_pair),
    ("eddsa", eddsa),
    ("gcm", gcm),
    ("cbc", cbc),
    ("cmac", cmac),
    ("hmac in parts", hmac),
    ("digest", sha256),
    ("random", random),
    ("ecdh", ecdh),
    ("hkdf", hkdf),
    ("wrap and unwrap", wrap),
    ("copy and attributes", copy),
    ("data object", data_object),
    ("sessions", sessions),
    ("search", search),
    ("ml-kem", ml_kem),
    ("ml-dsa", ml_dsa),
];

fn lost(what: &'static str) -> impl Fn(CK_RV) -> Trouble {
    move |rv| Trouble::Lost(what, rv)
}

fn right(right: bool, what: &str) -> Done {
    if right {
        Ok(())
    } else {
        Err(Trouble::Wrong(what.to_owned()))
    }
}

/// The one token object of a class with this id.
pub fn object(session: &Session, class: u64, id: u8) -> Result<CK_OBJECT_HANDLE, Trouble> {
    let template = vec![(CKA_CLASS, ck(class)), (CKA_ID, vec![id])];
    match session.find(&template, 2).map_err(lost("find"))?[..] {
        [object] => Ok(object),
        ref other => Err(Trouble::Wrong(format!(
            "{} objects {class} with id {id}",
            other.len()
        ))),
    }
}

fn rsa_signature(at: &Context<'_>) -> Done {
    let key = object(at.session, CKO_PRIVATE_KEY, RSA)?;
    let public = object(at.session, CKO_PUBLIC_KEY, RSA)?;
    let plain = Mechanism::plain(CKM_SHA256_RSA_PKCS);
    let signature = at
        .session
        .sign(&plain, key, &at.data)
        .map_err(lost("sign"))?;
    let number = |attribute| {
        at.session
            .attribute(public, attribute)
            .map_err(lost("attribute"))
    };
    let key = RsaPublicKeyComponents {
        n: number(CKA_MODULUS)?,
        e: number(CKA_PUBLIC_EXPONENT)?,
    };
    let verified = key.verify(&RSA_PKCS1_2048_8192_SHA256, &at.data, &signature);
    right(verified.is_ok(), "an RSA signature does not verify")
}

fn rsa_pss(at: &Context<'_>) -> Done {
    let key = object(at.session, CKO_PRIVATE_KEY, RSA)?;
    let public = object(at.session, CKO_PUBLIC_KEY, RSA)?;
    let pss = Mechanism::new(
        CKM_SHA256_RSA_PKCS_PSS,
        Param::Pss {
            hash: CKM_SHA256,
            mgf: CKG_MGF1_SHA256,
            salt_bytes: 20,
        },
    );
    let signature = at.session.sign(&pss, key, &at.data).map_err(lost("sign"))?;
    match at.session.verify(&pss, public, &at.data, &signature) {
        Err(CKR_SIGNATURE_INVALID) => Err(Trouble::Wrong("a PSS signature does not verify".into())),
        other => other.map_err(lost("verify")),
    }?;
    let mut other = at.data.clone();
    other[0] ^= 1;
    match at.session.verify(&pss, public, &other, &signature) {
        Ok(()) => Err(Trouble::Wrong(
            "a PSS signature of other data verifies".into(),
        )),
        Err(CKR_SIGNATURE_INVALID) => Ok(()),
        Err(rv) => Err(lost("verify")(rv)),
    }
}

fn rsa_oaep(at: &Context<'_>) -> Done {
    let key = object(at.session, CKO_PRIVATE_KEY, RSA)?;
    let public = object(at.session, CKO_PUBLIC_KEY, RSA)?;
    let oaep = Mechanism::new(
        CKM_RSA_PKCS_OAEP,
        Param::Oaep {
            hash: CKM_SHA_1,
            mgf: CKG_MGF1_SHA1,
            label: Vec::new(),
        },
    );
    let secret = &at.data[..32];
    let encrypted = at
        .session
        .encrypt(&oaep, public, secret)
        .map_err(lost("encrypt"))?;
    let plain = at
        .session
        .decrypt(&oaep, key, &encrypted)
        .map_err(lost("decrypt"))?;
    right(plain == secret, "OAEP gives another plaintext")
}

/// A signature of P-256 over the data's digest, verified here.
fn checked_ecdsa(at: &Context<'_>, (public, private): Pair) -> Done {
    let digest = digest::digest(&digest::SHA256, &at.data);
    let plain = Mechanism::plain(CKM_ECDSA);
    let signature = at
        .session
        .sign(&plain, private, digest.as_ref())
        .map_err(lost("sign"))?;
    let point = at
        .session
        .attribute(public, CKA_EC_POINT)
        .map_err(lost("attribute"))?;
    // An OCTET STRING of 65 bytes, or those alone.
    let point = &point[point.len().saturating_sub(65)..];
    let verified =
        UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, point).verify(&at.data, &signature);
    right(verified.is_ok(), "an ECDSA signature does not verify")
}

fn ecdsa(at: &Context<'_>) -> Done {
    let public = object(at.session, CKO_PUBLIC_KEY, P256)?;
    let private = object(at.session, CKO_PRIVATE_KEY, P256)?;
    checked_ecdsa(at, (public, private))
}

fn pair(at: &Context<'_>, on_token: bool, usage: CK_ATTRIBUTE_TYPE) -> Result<Pair, Trouble> {
    at.session
        .generate_pair(
            &Mechanism::plain(CKM_EC_KEY_PAIR_GEN),
            &vec![
                (CKA_TOKEN, flag(on_token)),
                (CKA_EC_PARAMS, P256_PARAMETERS.to_vec()),
                (CKA_ID, at.id.clone()),
            ],
            &vec![
                (CKA_TOKEN, flag(on_token)),
                (CKA_PRIVATE, flag(true)),
                (usage, flag(true)),
                (CKA_ID, at.id.clone()),
            ],
        )
        .map_err(lost("generate pair"))
}

fn destroy(at: &Context<'_>, objects: &[CK_OBJECT_HANDLE]) -> Done {
    objects
        .iter()
        .try_for_each(|object| at.session.destroy(*object).map_err(lost("destroy")))
}

fn token_pair(at: &Context<'_>) -> Done {
    let (public, private) = pair(at, true, CKA_SIGN)?;
    checked_ecdsa(at, (public, private))?;
    destroy(at, &[public, private])?;
    let left = vec![(CKA_ID, at.id.clone()), (CKA_TOKEN, flag(true))];
    let left = at.session.find(&left, 9).map_err(lost("find"))?;
    right(left.is_empty(), "destroyed keys are found")
}

fn eddsa(at: &Context<'_>) -> Done {
    if !at.module.has(at.slot, CKM_EDDSA) {
        return Ok(());
    }
    let key = object(at.session, CKO_PRIVATE_KEY, ED25519)?;
    let public = object(at.session, CKO_PUBLIC_KEY, ED25519)?;
    let plain = Mechanism::plain(CKM_EDDSA);
    let signature = at
        .session
        .sign(&plain, key, &at.data)
        .map_err(lost("sign"))?;
    let point = at
        .session
        .attribute(public, CKA_EC_POINT)
        .map_err(lost("attribute"))?;
    let point = &point[point.len().saturating_sub(32)..];
    let verified =
        UnparsedPublicKey::new(&ED25519_VERIFICATION, point).verify(&at.data, &signature);
    right(verified.is_ok(), "an Ed25519 signature does not verify")
}

fn gcm(at: &Context<'_>) -> Done {
    let key = object(at.session, CKO_SECRET_KEY, AES)?;
    let gcm = Mechanism::new(
        CKM_AES_GCM,
        Param::Gcm {
            iv: at.data[..12].to_vec(),
            aad: at.data[12..40].to_vec(),
            tag_bits: 128,
        },
    );
    let mut encrypted = at
        .session
        .encrypt(&gcm, key, &at.data)
        .map_err(lost("encrypt"))?;
    let plain = at
        .session
        .decrypt(&gcm, key, &encrypted)
        .map_err(lost("decrypt"))?;
    right(plain == at.data, "GCM gives another plaintext")?;
    encrypted[3] ^= 1;
    match at.session.decrypt(&gcm, key, &encrypted) {
        Ok(_) => Err(Trouble::Wrong("GCM takes a changed ciphertext".into())),
        // SoftHSM2 has no better code.
        Err(CKR_ENCRYPTED_DATA_INVALID | CKR_AEAD_DECRYPT_FAILED | CKR_GENERAL_ERROR) => Ok(()),
        Err(rv) => Err(lost("decrypt")(rv)),
    }
}

fn cbc(at: &Context<'_>) -> Done {
    let key = object(at.session, CKO_SECRET_KEY, AES)?;
    let cbc = Mechanism::new(CKM_AES_CBC_PAD, Param::Bytes(at.data[..16].to_vec()));
    let encrypted = at
        .session
        .encrypt(&cbc, key, &at.data)
        .map_err(lost("encrypt"))?;
    let plain = at
        .session
        .decrypt(&cbc, key, &encrypted)
        .map_err(lost("decrypt"))?;
    right(plain == at.data, "CBC gives another plaintext")
}

fn cmac(at: &Context<'_>) -> Done {
    let key = object(at.session, CKO_SECRET_KEY, AES)?;
    let plain = Mechanism::plain(CKM_AES_CMAC);
    let once = at
        .session
        .sign(&plain, key, &at.data)
        .map_err(lost("sign"))?;
    let parts = at
        .session
        .sign_in_parts(&plain, key, &at.data, 100)
        .map_err(lost("sign"))?;
    right(
        once.len() == 16 && once == parts,
        "CMAC in parts is another one",
    )
}

fn hmac(at: &Context<'_>) -> Done {
    let key = object(at.session, CKO_SECRET_KEY, HMAC)?;
    let plain = Mechanism::plain(CKM_SHA256_HMAC);
    let parts = at
        .session
        .sign_in_parts(&plain, key, &at.data, 77)
        .map_err(lost("sign"))?;
    // The value that the coordinator gave it.
    let known = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, &[HMAC; 32]);
    let known = aws_lc_rs::hmac::sign(&known, &at.data);
    right(parts == known.as_ref(), "HMAC is another one")
}

fn sha256(at: &Context<'_>) -> Done {
    let plain = Mechanism::plain(CKM_SHA256);
    let digest = at
        .session
        .digest(&plain, &at.data)
        .map_err(lost("digest"))?;
    right(
        digest == digest::digest(&digest::SHA256, &at.data).as_ref(),
        "SHA-256 is another one",
    )
}

fn random(at: &Context<'_>) -> Done {
    let (mut one, mut two) = ([0; 32], [0; 32]);
    at.session.random(&mut one).map_err(lost("random"))?;
    at.session.random(&mut two).map_err(lost("random"))?;
    right(one != two && one != [0; 32], "random bytes repeat")
}

/// A secret of a session that can be read.
fn readable(usage: &[CK_ATTRIBUTE_TYPE], length: Option<u64>) -> Template {
    let mut template = vec![
        (CKA_CLASS, ck(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ck(CKK_GENERIC_SECRET)),
        (CKA_TOKEN, flag(false)),
        (CKA_SENSITIVE, flag(false)),
        (CKA_EXTRACTABLE, flag(true)),
    ];
    template.extend(usage.iter().map(|usage| (*usage, flag(true))));
    template.extend(length.map(|length| (CKA_VALUE_LEN, ck(length))));
    template
}

fn value(at: &Context<'_>, key: CK_OBJECT_HANDLE) -> Result<Vec<u8>, Trouble> {
    at.session
        .attribute(key, CKA_VALUE)
        .map_err(lost("attribute"))
}

fn ecdh(at: &Context<'_>) -> Done {
    let (one, two) = (pair(at, false, CKA_DERIVE)?, pair(at, false, CKA_DERIVE)?);
    let derived = |own: Pair, other: Pair| -> Result<(CK_OBJECT_HANDLE, Vec<u8>), Trouble> {
        let public = at
            .session
            .attribute(other.0, CKA_EC_POINT)
            .map_err(lost("attribute"))?;
        let with_public = Mechanism::new(CKM_ECDH1_DERIVE, Param::Ecdh { public });
        let template = readable(&[], None);
        let key = at
            .session
            .derive(&with_public, own.1, &template)
            .map_err(lost("derive"))?;
        Ok((key, value(at, key)?))
    };
    let (first, second) = (derived(one, two)?, derived(two, one)?);
    right(
        first.1 == second.1 && first.1.len() == 32,
        "ECDH gives two secrets",
    )?;
    destroy(at, &[first.0, second.0, one.0, one.1, two.0, two.1])
}

fn hkdf(at: &Context<'_>) -> Done {
    if !at.module.has(at.slot, CKM_HKDF_DERIVE) {
        return Ok(());
    }
    let mut template = readable(&[CKA_DERIVE], None);
    template.push((CKA_VALUE, at.data[..32].to_vec()));
    let base = at.session.create(&template).map_err(lost("create"))?;
    let with_info = Mechanism::new(
        CKM_HKDF_DERIVE,
        Param::Hkdf {
            hash: CKM_SHA256,
            salt: at.data[32..48].to_vec(),
            info: at.data[48..64].to_vec(),
        },
    );
    let key = at
        .session
        .derive(&with_info, base, &readable(&[], Some(32)))
        .map_err(lost("derive"))?;
    let derived = value(at, key)?;
    let salt = aws_lc_rs::hkdf::Salt::new(aws_lc_rs::hkdf::HKDF_SHA256, &at.data[32..48]);
    let pseudorandom = salt.extract(&at.data[..32]);
    let (mut known, info) = ([0; 32], [&at.data[48..64]]);
    let expanded = pseudorandom.expand(&info, aws_lc_rs::hkdf::HKDF_SHA256);
    let filled = expanded.and_then(|okm| okm.fill(&mut known));
    right(filled.is_ok() && derived == known, "HKDF is another one")?;
    destroy(at, &[base, key])
}

fn wrap(at: &Context<'_>) -> Done {
    let wrapping = vec![
        (CKA_CLASS, ck(CKO_SECRET_KEY)),
        (CKA_KEY_TYPE, ck(CKK_AES)),
        (CKA_TOKEN, flag(false)),
        (CKA_WRAP, flag(true)),
        (CKA_UNWRAP, flag(true)),
        (CKA_VALUE, at.data[..32].to_vec()),
    ];
    let wrapping = at.session.create(&wrapping).map_err(lost("create"))?;
    let mut template = readable(&[], None);
    template.push((CKA_VALUE, at.data[64..96].to_vec()));
    let key = at.session.create(&template).map_err(lost("create"))?;
    let plain = Mechanism::plain(CKM_AES_KEY_WRAP);
    let wrapped = at
        .session
        .wrap(&plain, wrapping, key)
        .map_err(lost("wrap"))?;
    let again = at
        .session
        .unwrap(&plain, wrapping, &wrapped, &readable(&[], None))
        .map_err(lost("unwrap"))?;
    right(
        value(at, again)? == at.data[64..96],
        "another key is unwrapped",
    )?;
    destroy(at, &[wrapping, key, again])
}

fn copy(at: &Context<'_>) -> Done {
    let mut template = readable(&[CKA_SIGN], None);
    template.push((CKA_VALUE, at.data[..32].to_vec()));
    let key = at.session.create(&template).map_err(lost("create"))?;
    let label = vec![(CKA_LABEL, at.data[..8].to_vec())];
    let copy = at.session.copy(key, &label).map_err(lost("copy"))?;
    let read = at
        .session
        .attribute(copy, CKA_LABEL)
        .map_err(lost("attribute"))?;
    right(read == at.data[..8], "a copy has another label")?;
    at.session
        .set(copy, &vec![(CKA_LABEL, b"later".to_vec())])
        .map_err(lost("set"))?;
    let read = at
        .session
        .attribute(copy, CKA_LABEL)
        .map_err(lost("attribute"))?;
    right(read == b"later", "a changed label is not there")?;
    right(
        value(at, copy)? == at.data[..32],
        "a copy has another value",
    )?;
    destroy(at, &[key, copy])
}

fn data_object(at: &Context<'_>) -> Done {
    let template = vec![
        (CKA_CLASS, ck(CKO_DATA)),
        (CKA_TOKEN, flag(true)),
        (CKA_PRIVATE, flag(true)),
        (CKA_LABEL, at.id.clone()),
        (CKA_VALUE, at.data.clone()),
    ];
    let object = at.session.create(&template).map_err(lost("create"))?;
    right(
        value(at, object)? == at.data,
        "a data object has another value",
    )?;
    destroy(at, &[object])
}

fn sessions(at: &Context<'_>) -> Done {
    let opened: Result<Vec<Session>, CK_RV> = (0..8).map(|_| at.module.open(at.slot)).collect();
    for session in opened.map_err(lost("open"))? {
        session.nothing().map_err(lost("session info"))?;
        session.close().map_err(lost("close"))?;
    }
    Ok(())
}

fn search(at: &Context<'_>) -> Done {
    let all = vec![(CKA_CLASS, ck(CKO_PRIVATE_KEY)), (CKA_TOKEN, flag(true))];
    let found = at.session.find(&all, 10_000).map_err(lost("find"))?;
    right(found.len() >= 2, "the keys of all are not found")
}

fn ml_kem(at: &Context<'_>) -> Done {
    if !at.module.has(at.slot, CKM_ML_KEM) {
        return Ok(());
    }
    let (public, private) = at
        .session
        .generate_pair(
            &Mechanism::plain(CKM_ML_KEM_KEY_PAIR_GEN),
            &vec![
                (CKA_TOKEN, flag(false)),
                (CKA_PARAMETER_SET, ck(CKP_ML_KEM_768)),
                (CKA_ENCAPSULATE, flag(true)),
            ],
            &vec![(CKA_TOKEN, flag(false)), (CKA_DECAPSULATE, flag(true))],
        )
        .map_err(lost("generate pair"))?;
    let plain = Mechanism::plain(CKM_ML_KEM);
    let template = readable(&[], None);
    let (ciphertext, one) = at
        .session
        .encapsulate(&plain, public, &template)
        .map_err(lost("encapsulate"))?;
    let two = at
        .session
        .decapsulate(&plain, private, &ciphertext, &template)
        .map_err(lost("decapsulate"))?;
    right(
        value(at, one)? == value(at, two)?,
        "ML-KEM gives two secrets",
    )?;
    destroy(at, &[public, private, one, two])
}

fn ml_dsa(at: &Context<'_>) -> Done {
    if !at.module.has(at.slot, CKM_ML_DSA) {
        return Ok(());
    }
    let (public, private) = at
        .session
        .generate_pair(
            &Mechanism::plain(CKM_ML_DSA_KEY_PAIR_GEN),
            &vec![
                (CKA_TOKEN, flag(false)),
                (CKA_PARAMETER_SET, ck(CKP_ML_DSA_65)),
                (CKA_VERIFY, flag(true)),
            ],
            &vec![(CKA_TOKEN, flag(false)), (CKA_SIGN, flag(true))],
        )
        .map_err(lost("generate pair"))?;
    let plain = Mechanism::plain(CKM_ML_DSA);
    let signature = at
        .session
        .sign(&plain, private, &at.data)
        .map_err(lost("sign"))?;
    match at.session.verify(&plain, public, &at.data, &signature) {
        Err(CKR_SIGNATURE_INVALID) => {
            Err(Trouble::Wrong("an ML-DSA signature does not verify".into()))
        }
        other => other.map_err(lost("verify")),
    }?;
    destroy(at, &[public, private])
}
