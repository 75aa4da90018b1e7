//! Microseconds for each operation with a prepared key: `cargo run --release -p slotfs-crypto --example speed`.
#![allow(clippy::unwrap_used)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use slotfs_crypto::aead::{GcmEncrypt, gcm_open, gcm_open_into, gcm_seal};
use slotfs_crypto::mac::Hmac;
use slotfs_crypto::{Curve, Hash, ec, edwards, pq::ml_dsa, rsa, self_test};

/// Runs `work` for half a second and prints what one run took.
fn time<T>(name: &str, mut work: impl FnMut() -> T) {
    let (start, mut runs) = (Instant::now(), 0_u32);
    while start.elapsed() < Duration::from_millis(500) {
        black_box(work());
        runs += 1;
    }
    let each = start.elapsed().as_secs_f64() * 1e6 / f64::from(runs);
    println!("{name:<32} {each:10.1} us");
}

fn main() {
    let digest = [7; 32];
    time("self-test", || self_test().unwrap());
    let parts = rsa::generate(2048, &[1, 0, 1]).unwrap();
    let private = rsa::PrivateKey::new(&parts).unwrap();
    let public = rsa::PublicKey::new(&parts.n, &parts.e).unwrap();
    let sign = || private.sign_pkcs1_digest(Hash::Sha256, &digest).unwrap();
    time("RSA-2048 sign", sign);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| time("RSA-2048 sign, one of two threads", sign));
        }
    });
    let signature = sign();
    time("RSA-2048 verify", || {
        public.verify_pkcs1_digest(Hash::Sha256, &digest, &signature)
    });
    time("RSA-2048 prepare a key", || {
        rsa::PrivateKey::new(&parts).unwrap()
    });
    let sealed = public.encrypt_pkcs1(&digest).unwrap();
    time("RSA-2048 decrypt", || {
        private.decrypt_pkcs1(&sealed).unwrap()
    });
    for curve in Curve::ALL {
        let (scalar, point) = ec::generate(curve).unwrap();
        let private = ec::PrivateKey::new(curve, &scalar).unwrap();
        let public = ec::PublicKey::new(curve, &point).unwrap();
        time(&format!("{curve:?} sign"), || {
            private.sign(&digest).unwrap()
        });
        let signature = private.sign(&digest).unwrap();
        time(&format!("{curve:?} verify"), || {
            public.verify(&digest, &signature)
        });
        time(&format!("{curve:?} agree"), || {
            private.ecdh(&point).unwrap()
        });
        time(&format!("{curve:?} prepare a key"), || {
            ec::PrivateKey::new(curve, &scalar).unwrap()
        });
        time(&format!("{curve:?} generate"), || {
            ec::generate(curve).unwrap()
        });
    }
    let (seed, _) = edwards::generate().unwrap();
    let private = edwards::PrivateKey::new(&seed).unwrap();
    time("Ed25519 sign", || {
        private.sign(&digest, edwards::Variant::Pure).unwrap()
    });
    let set = ml_dsa::ParameterSet::MlDsa65;
    let made = ml_dsa::generate(set).unwrap();
    let private = ml_dsa::PrivateKey::new(set, &made.private).unwrap();
    time("ML-DSA-65 sign", || {
        private.sign(&digest, &[], ml_dsa::Hedge::Hedged).unwrap()
    });
    let (key, iv, data) = ([1; 32], [2; 12], vec![3; 1 << 20]);
    let sealed = gcm_seal(&key, &iv, &[], &data, 16).unwrap();
    let (body, tag) = sealed.split_at(data.len());
    time("GCM seal 1 MiB, new buffer", || {
        gcm_seal(&key, &iv, &[], &data, 16).unwrap()
    });
    let mut out = Vec::with_capacity(data.len() + 64);
    time("GCM seal 1 MiB, kept buffer", || {
        out.clear();
        let mut running = GcmEncrypt::new(&key, &iv, &[], 16).unwrap();
        running.update_into(&data, &mut out).unwrap();
        running.finish().unwrap()
    });
    time("GCM open 1 MiB, wiped", || {
        gcm_open(&key, &iv, &[], body, tag).unwrap()
    });
    time("GCM open 1 MiB, kept buffer", || {
        out.clear();
        gcm_open_into(&key, &iv, &[], body, tag, &mut out).unwrap();
    });
    time("wipe 1 MiB", || slotfs_crypto::wipe(&mut out));
    time("GCM seal 32 bytes", || {
        gcm_seal(&key, &iv, &[], &digest, 16).unwrap()
    });
    let hmac = Hmac::new(Hash::Sha256, &key);
    time("HMAC-SHA-256 of 32 bytes", || {
        let mut hmac = hmac.clone();
        hmac.update(&digest);
        hmac.finish().unwrap()
    });
}
