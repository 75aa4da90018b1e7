//! Random bytes from aws-lc's generator, which the system seeds.

use zeroize::Zeroizing;

use crate::{Error, Result};

/// Fills `bytes`.
///
/// # Errors
/// [`Error::Library`]
pub fn fill(bytes: &mut [u8]) -> Result<()> {
    aws_lc_rs::rand::fill(bytes).map_err(|_| Error::Library)
}

/// `count` bytes.
///
/// # Errors
/// [`Error::Library`]
pub fn bytes(count: usize) -> Result<Zeroizing<Vec<u8>>> {
    let mut bytes = Zeroizing::new(vec![0; count]);
    fill(&mut bytes)?;
    Ok(bytes)
}
