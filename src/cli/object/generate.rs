//! `object generate`

use clap::{Args, ValueEnum};

use super::super::{Console, Ended};
use super::Target;
use super::made::{AT_ONCE, store};
use crate::error::{Error, Result};
use crate::keyfile::generate::{EcCurve, GenerateError, KeyPair, KeyPairType, generate_key_pair};
use crate::object::Object;
use crate::object::new::{self, NewError, SecretKeyType};

/// `object generate`
#[derive(Args)]
pub struct Generate {
    /// The key's type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Generated,
    /// Its length: 128, 192 or 256 for aes, whole bytes up to 4096 for generic [default: 256]; 2048, 3072 or 4096
    /// for rsa [default: 3072]
    #[arg(long, conflicts_with = "curve")]
    bits: Option<u32>,
    /// The curve of ec [default: p256]
    #[arg(long)]
    curve: Option<Curve>,
    /// How many
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    target: Target,
}

#[derive(Clone, Copy, ValueEnum)]
enum Generated {
    Aes,
    Generic,
    Rsa,
    Ec,
    Ed25519,
    X25519,
}

#[derive(Clone, Copy, ValueEnum)]
enum Curve {
    P256,
    P384,
    P521,
    Secp256k1,
}

/// What `object generate` makes of its options.
enum Made {
    Secret(SecretKeyType, u32),
    Pair(KeyPairType),
}

impl Generate {
    fn kind(&self) -> Result<Made> {
        if self.curve.is_some() && !matches!(self.kind, Generated::Ec) {
            return Err(Error::Usage("-curve is for -type ec".into()));
        }
        let bits = |default| self.bits.unwrap_or(default);
        Ok(match self.kind {
            Generated::Aes => Made::Secret(SecretKeyType::Aes, bits(256)),
            Generated::Generic => Made::Secret(SecretKeyType::Generic, bits(256)),
            Generated::Rsa => {
                let bits = bits(3072).try_into().map_err(not_generated)?;
                Made::Pair(KeyPairType::Rsa(bits))
            }
            _ if self.bits.is_some() => {
                return Err(Error::Usage(
                    "-bits is for -type aes, generic and rsa".into(),
                ));
            }
            Generated::Ec => Made::Pair(KeyPairType::Ec(match self.curve {
                None | Some(Curve::P256) => EcCurve::P256,
                Some(Curve::P384) => EcCurve::P384,
                Some(Curve::P521) => EcCurve::P521,
                Some(Curve::Secp256k1) => EcCurve::Secp256k1,
            })),
            Generated::Ed25519 => Made::Pair(KeyPairType::Ed25519),
            Generated::X25519 => Made::Pair(KeyPairType::X25519),
        })
    }

    pub(super) fn run(self, console: &Console<'_>) -> Result<Ended> {
        let chosen = self.target.chosen()?;
        let naming = self.target.naming();
        let kind = self.kind()?;
        // An RSA key can take seconds, and each is worth keeping at once.
        let at_once = match kind {
            Made::Pair(KeyPairType::Rsa(_)) => 1,
            _ => AT_ONCE,
        };
        let make = || -> Result<Vec<Object>> {
            let mut made = match kind {
                Made::Secret(kind, bits) => {
                    vec![new::generate_secret_key(kind, bits, &naming).map_err(not_made)?]
                }
                Made::Pair(kind) => {
                    let KeyPair { private, public } =
                        generate_key_pair(kind, &naming).map_err(not_generated)?;
                    vec![private, public]
                }
            };
            chosen.apply(&mut made)?;
            Ok(made)
        };
        // The first before the login, so that a length or attribute that cannot be costs no password.
        let mut first = Some(make()?);
        let made = (0..self.count).map(|_| first.take().map_or_else(make, Ok));
        store(console, &self.target, made, at_once)
    }
}

fn not_made(error: NewError) -> Error {
    Error::ObjectRefused {
        why: error.to_string(),
        hint: error.hint(),
    }
}

fn not_generated(error: GenerateError) -> Error {
    Error::ObjectRefused {
        why: error.to_string(),
        hint: error.hint(),
    }
}
