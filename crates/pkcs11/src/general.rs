//! `C_Initialize`, `C_Finalize`, `C_GetInfo`, and functions of old versions.
#![allow(non_snake_case)]

use std::path::PathBuf;

use cryptoki_sys::*;
use slotfs_config::Config;
use slotfs_wire::Who;

use crate::entry::{call, give, outside};
use crate::memory::{pad, probe};
use crate::state::{self, Settings};
use crate::sys;

/// The longest text at `pReserved`.
const MOST_RESERVED: usize = 8 << 10;
/// How much of it is read at once. No page is shorter.
const PIECE: usize = 4 << 10;

/// The version of this module.
pub(crate) const LIBRARY_VERSION: CK_VERSION = CK_VERSION { major: 0, minor: 1 };
/// The manufacturer, as every structure names it.
pub(crate) const MANUFACTURER: &str = "slotfs";

/// PKCS#11 3.2 section 5.4.1
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Initialize(pInitArgs: CK_VOID_PTR) -> CK_RV {
    outside(|| {
        if state::is_initialized() {
            return Err(CKR_CRYPTOKI_ALREADY_INITIALIZED);
        }
        // SAFETY: null, or the structure that the standard asks for.
        let arguments = unsafe { pInitArgs.cast::<CK_C_INITIALIZE_ARGS>().as_ref() };
        let text = match arguments {
            None => None,
            Some(arguments) => {
                check_locking(arguments)?;
                reserved(arguments.pReserved.cast())?
            }
        };
        state::initialize(settings(text.as_deref())?)?;
        // For a door, if a server listens; the call succeeds without one.
        if let Ok(inside) = state::enter() {
            inside.connect_if_listening();
        }
        Ok(())
    })
}

/// The module locks as the operating system does, and calls nobody to lock.
fn check_locking(arguments: &CK_C_INITIALIZE_ARGS) -> Result<(), CK_RV> {
    let given = [
        arguments.CreateMutex.is_some(),
        arguments.DestroyMutex.is_some(),
        arguments.LockMutex.is_some(),
        arguments.UnlockMutex.is_some(),
    ];
    let some = given.contains(&true);
    if some && given.contains(&false) {
        return Err(CKR_ARGUMENTS_BAD);
    }
    match some && arguments.flags & CKF_OS_LOCKING_OK == 0 {
        true => Err(CKR_CANT_LOCK),
        false => Ok(()),
    }
}

/// The settings, with those of the text above the others.
///
/// A child of fork has its parent's, unless its own environment names another store: servers such as nginx take the environment
/// away from their workers, and the rights to read files.
fn settings(text: Option<&str>) -> Result<Settings, CK_RV> {
    let trusts_environment = !sys::is_secure();
    let named = trusts_environment.then(|| std::env::var_os("SLOTFS_STORE"));
    let named = named.flatten().map(PathBuf::from);
    let inherited = state::inherited_settings();
    let inherited = inherited.filter(|it| named.is_none() || it.config.store == named);
    let mut settings = match inherited {
        Some(inherited) => inherited,
        None => {
            let config = Config::load(trusts_environment).map_err(|_| CKR_GENERAL_ERROR)?;
            Settings {
                store: config.store_path(trusts_environment),
                config,
                who: Who::Co,
                trusts_environment,
                inherited_store: None,
            }
        }
    };
    let before = settings.config.store.clone();
    let taken = text.map_or(Ok(()), |text| settings.config.take_parameters(text));
    taken.map_err(|_| CKR_ARGUMENTS_BAD)?;
    if settings.config.store != before {
        settings.store = settings.config.store_path(trusts_environment);
        settings.inherited_store = None;
    }
    settings.who = match settings.config.user_is_cu {
        true => Who::Cu,
        false => Who::Co,
    };
    Ok(settings)
}

/// The text at `pReserved`, where NSS and Java put one. Others put anything there, so the kernel reads it.
fn reserved(address: *const u8) -> Result<Option<String>, CK_RV> {
    if address.is_null() {
        return Ok(None);
    }
    let mut text = Vec::new();
    while text.len() < MOST_RESERVED {
        let from = address.wrapping_add(text.len());
        // No further than this piece: the next one may not be there.
        let piece = PIECE - from.addr() % PIECE;
        let piece = probe(from, piece).ok_or(CKR_ARGUMENTS_BAD)?;
        let end = piece.iter().position(|it| *it == 0);
        text.extend_from_slice(&piece[..end.unwrap_or(piece.len())]);
        if end.is_some() {
            let text = String::from_utf8(text).map_err(|_| CKR_ARGUMENTS_BAD)?;
            return Ok(Some(text));
        }
    }
    Err(CKR_ARGUMENTS_BAD)
}

/// PKCS#11 3.2 section 5.4.2
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_Finalize(pReserved: CK_VOID_PTR) -> CK_RV {
    outside(|| {
        if !pReserved.is_null() {
            return Err(CKR_ARGUMENTS_BAD);
        }
        state::finalize(&state::enter()?)
    })
}

/// PKCS#11 3.2 section 5.4.3
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetInfo(pInfo: CK_INFO_PTR) -> CK_RV {
    call(|_| {
        let mut info = CK_INFO {
            cryptokiVersion: CK_VERSION { major: 3, minor: 2 },
            manufacturerID: [b' '; 32],
            flags: 0,
            libraryDescription: [b' '; 32],
            libraryVersion: LIBRARY_VERSION,
        };
        pad(&mut info.manufacturerID, MANUFACTURER);
        pad(&mut info.libraryDescription, "slotfs token server module");
        // SAFETY: the caller vouches for the place.
        unsafe { give(pInfo, info) }
    })
}

/// PKCS#11 3.2 section 5.20.1: of versions before 2.0.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_GetFunctionStatus(_session: CK_SESSION_HANDLE) -> CK_RV {
    call(|_| Err(CKR_FUNCTION_NOT_PARALLEL))
}

/// PKCS#11 3.2 section 5.20.2: of versions before 2.0.
#[unsafe(no_mangle)]
pub(crate) unsafe extern "C" fn C_CancelFunction(_session: CK_SESSION_HANDLE) -> CK_RV {
    call(|_| Err(CKR_FUNCTION_NOT_PARALLEL))
}
