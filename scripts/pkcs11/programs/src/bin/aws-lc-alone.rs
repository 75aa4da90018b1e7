//! What the cryptography of the bench costs without a token, in the library that slotfs has: microseconds each, as JSON.

use std::time::{Duration, Instant};

use aws_lc_rs::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::rand::SystemRandom;
use aws_lc_rs::rsa::KeySize;
use aws_lc_rs::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, RSA_PKCS1_SHA256, RsaKeyPair,
};
use serde_json::json;

/// Microseconds per operation of all threads together.
fn each(threads: usize, seconds: f64, operation: impl Fn() + Sync) -> f64 {
    let (start, time) = (Instant::now(), Duration::from_secs_f64(seconds));
    let count: u64 = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..threads)
            .map(|_| {
                scope.spawn(|| {
                    let mut count = 0_u64;
                    while start.elapsed() < time {
                        operation();
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        threads
            .into_iter()
            .map(|thread| thread.join().expect("a thread"))
            .sum()
    });
    start.elapsed().as_secs_f64() * 1e6 / count as f64
}

fn main() -> Result<(), aws_lc_rs::error::Unspecified> {
    let seconds = std::env::args()
        .nth(1)
        .and_then(|word| word.parse().ok())
        .unwrap_or(1.0);
    let random = SystemRandom::new();
    let ecdsa = EcdsaKeyPair::generate(&ECDSA_P256_SHA256_FIXED_SIGNING)?;
    let rsa = RsaKeyPair::generate(KeySize::Rsa2048)?;
    let rsa_sign = || {
        let mut signature = [0; 256];
        rsa.sign(&RSA_PKCS1_SHA256, &random, &[7; 32], &mut signature)
            .expect("a signature");
    };
    let ecdsa_sign = || {
        ecdsa.sign(&random, &[7; 32]).expect("a signature");
    };
    let aes = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32])?);
    let seal = |size: usize| {
        let data = std::sync::Mutex::new(vec![0; size]);
        each(1, seconds, || {
            let nonce = Nonce::assume_unique_for_key([0; 12]);
            let _tag = aes
                .seal_in_place_separate_tag(
                    nonce,
                    Aad::empty(),
                    &mut data.lock().expect("one thread"),
                )
                .expect("a tag");
        })
    };
    let took = json!({
        "ECDSA P-256 sign": { "us": each(1, seconds, ecdsa_sign) },
        "ECDSA P-256 sign, 2 threads": { "us": each(2, seconds, ecdsa_sign) },
        "RSA-2048 sign": { "us": each(1, seconds, rsa_sign) },
        "RSA-2048 sign, 2 threads": { "us": each(2, seconds, rsa_sign) },
        "AES-256-GCM, 1 KiB": { "us": seal(1024) },
        "AES-256-GCM, 1 MiB": { "us": seal(1 << 20) },
    });
    println!("{took}");
    Ok(())
}
