//! Runs Argon2id once and prints the seconds that it took. A login cannot be faster.
//!
//! `scripts/bench` compares the login on a mount with this time.
//!
//!     cargo run --release --example argon2id -- MEMORY_KIB PASSES LANES

use std::error::Error;
use std::time::Instant;

use argon2::{Algorithm, Argon2, Params, Version};

fn main() -> Result<(), Box<dyn Error>> {
    let costs: Vec<u32> = std::env::args()
        .skip(1)
        .map(|word| word.parse())
        .collect::<Result<_, _>>()?;
    let [memory_kib, passes, lanes] = costs[..] else {
        return Err("usage: argon2id MEMORY_KIB PASSES LANES".into());
    };
    let params = Params::new(memory_kib, passes, lanes, Some(32))?;
    let mut key = [0; 32];
    let start = Instant::now();
    Argon2::new(Algorithm::Argon2id, Version::V0x13, params)
        .hash_password_into(b"correct horse", &[7; 16], &mut key)
        .map_err(|why| why.to_string())?;
    println!("{:.6}", start.elapsed().as_secs_f64());
    Ok(())
}
