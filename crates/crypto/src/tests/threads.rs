//! One prepared key serves many threads at once.

use std::sync::Barrier;

use crate::mac::{Cmac, Hmac};
use crate::pq::{ml_dsa, ml_kem};
use crate::{Curve, Hash, Hasher, aead, aes, ec, edwards, montgomery, rsa};

fn shared<T: Send + Sync>() {}
fn sent<T: Send>() {}

#[test]
fn prepared_keys_are_shared_and_running_operations_are_sent() {
    shared::<rsa::PrivateKey>();
    shared::<rsa::PublicKey>();
    shared::<ec::PrivateKey>();
    shared::<ec::PublicKey>();
    shared::<edwards::PrivateKey>();
    shared::<edwards::PublicKey>();
    shared::<montgomery::PrivateKey>();
    shared::<ml_kem::PrivateKey>();
    shared::<ml_kem::PublicKey>();
    shared::<ml_dsa::PrivateKey>();
    shared::<ml_dsa::PublicKey>();
    shared::<Hmac>();
    shared::<Cmac>();
    shared::<Hasher>();
    sent::<aes::Cipher>();
    sent::<aead::GcmEncrypt>();
    sent::<ml_dsa::Representative>();
}

/// Runs `work` in eight threads, which start together, so that they meet in what a key makes on its first use.
fn together(work: impl Fn() + Sync) {
    let barrier = Barrier::new(8);
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                barrier.wait();
                for _ in 0..40 {
                    work();
                }
            });
        }
    });
}

#[test]
fn rsa_in_many_threads() {
    let parts = rsa::generate(2048, &[1, 0, 1]).unwrap();
    let private = rsa::PrivateKey::new(&parts).unwrap();
    let public = rsa::PublicKey::new(&parts.n, &parts.e).unwrap();
    let expected = rsa::PrivateKey::new(&parts).unwrap();
    let expected = expected.sign_pkcs1_raw(b"x").unwrap();
    together(|| {
        assert_eq!(private.sign_pkcs1_raw(b"x").unwrap(), expected);
        assert!(public.verify_pkcs1_raw(b"x", &expected));
        let sealed = public.encrypt_pkcs1(b"y").unwrap();
        assert_eq!(*private.decrypt_pkcs1(&sealed).unwrap(), b"y");
    });
}

#[test]
fn other_keys_in_many_threads() {
    let (scalar, point) = ec::generate(Curve::P256).unwrap();
    let private = ec::PrivateKey::new(Curve::P256, &scalar).unwrap();
    let public = ec::PublicKey::new(Curve::P256, &point).unwrap();
    let set = ml_kem::ParameterSet::MlKem768;
    let made = ml_kem::generate(set).unwrap();
    let kem = ml_kem::PrivateKey::new(set, &made.private).unwrap();
    let kem_public = ml_kem::PublicKey::new(set, &made.public).unwrap();
    let prepared = Hmac::new(Hash::Sha256, b"key");
    let expected = prepared.clone().finish().unwrap();
    together(|| {
        assert!(public.verify(b"d", &private.sign(b"d").unwrap()));
        let (ciphertext, secret) = kem_public.encapsulate().unwrap();
        assert_eq!(kem.decapsulate(&ciphertext).unwrap(), secret);
        assert_eq!(prepared.clone().finish().unwrap(), expected);
    });
}
