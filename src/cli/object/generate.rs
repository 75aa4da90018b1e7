//! `object generate`

use clap::{Args, ValueEnum};

use super::NewObject;
use super::add::{AT_ONCE, add};
use crate::cli::{Answer, Console};
use crate::error::{Error, Result};
use crate::keyfile::generate::{EcCurve, GenerateError, KeyPair, KeyPairType, generate_key_pair};
use crate::object::Object;
use crate::object::new::{self, NewError, SecretKeyType};

/// `object generate`
#[derive(Args)]
pub(crate) struct Generate {
    /// The key's type
    #[arg(long = "type", value_name = "TYPE")]
    kind: Generated,
    /// The key's length: 128, 192 or 256 for aes, whole bytes up to 4096 for generic [default: 256]; 2048, 3072 or 4096
    /// for rsa [default: 3072]
    #[arg(long, conflicts_with = "curve")]
    bits: Option<u32>,
    /// The curve of ec [default: p256]
    #[arg(long)]
    curve: Option<Curve>,
    /// How many keys or key pairs to generate
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..))]
    count: u32,
    #[command(flatten)]
    new_object: NewObject,
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

/// What to generate.
enum Kind {
    Secret(SecretKeyType, u32),
    Pair(KeyPairType),
}

impl Generate {
    fn kind(&self) -> Result<Kind> {
        if self.curve.is_some() && !matches!(self.kind, Generated::Ec) {
            return Err(Error::Usage("-curve is for -type ec".into()));
        }
        let bits = |default| self.bits.unwrap_or(default);
        Ok(match self.kind {
            Generated::Aes => Kind::Secret(SecretKeyType::Aes, bits(256)),
            Generated::Generic => Kind::Secret(SecretKeyType::Generic, bits(256)),
            Generated::Rsa => {
                let bits = bits(3072).try_into().map_err(not_generated)?;
                Kind::Pair(KeyPairType::Rsa(bits))
            }
            _ if self.bits.is_some() => {
                return Err(Error::Usage(
                    "-bits is for -type aes, generic and rsa".into(),
                ));
            }
            Generated::Ec => Kind::Pair(KeyPairType::Ec(match self.curve {
                None | Some(Curve::P256) => EcCurve::P256,
                Some(Curve::P384) => EcCurve::P384,
                Some(Curve::P521) => EcCurve::P521,
                Some(Curve::Secp256k1) => EcCurve::Secp256k1,
            })),
            Generated::Ed25519 => Kind::Pair(KeyPairType::Ed25519),
            Generated::X25519 => Kind::Pair(KeyPairType::X25519),
        })
    }

    pub(super) fn run(self, console: &Console<'_>) -> Result<Answer> {
        let chosen = self.new_object.chosen()?;
        let naming = self.new_object.naming();
        let kind = self.kind()?;
        // An RSA key can take seconds to generate, so each is stored at once.
        let at_once = match kind {
            Kind::Pair(KeyPairType::Rsa(_)) => 1,
            _ => AT_ONCE,
        };
        let make = || -> Result<Vec<Object>> {
            let mut made = match kind {
                Kind::Secret(kind, bits) => {
                    vec![new::generate_secret_key(kind, bits, &naming).map_err(not_made)?]
                }
                Kind::Pair(kind) => {
                    let KeyPair { private, public } =
                        generate_key_pair(kind, &naming).map_err(not_generated)?;
                    vec![private, public]
                }
            };
            chosen.apply(&mut made)?;
            Ok(made)
        };
        // The first is made before the login, so that a wrong length or attribute is refused before a password is asked for.
        let mut first = Some(make()?);
        let made = (0..self.count).map(|_| first.take().map_or_else(make, Ok));
        add(console, &self.new_object, made, at_once)
    }
}

fn not_made(error: NewError) -> Error {
    refused(&error, error.hint())
}

fn not_generated(error: GenerateError) -> Error {
    refused(&error, error.hint())
}

fn refused(why: &dyn std::fmt::Display, hint: Option<&'static str>) -> Error {
    Error::ObjectRefused {
        why: why.to_string(),
        hint,
    }
}
