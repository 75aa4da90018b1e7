//! The lists of functions by which applications find all others.
#![allow(non_snake_case)]

use cryptoki_sys::*;

use crate::entry::{must_be, outside};
use crate::{find::*, general::*, keys::*, messages::*, objects::*, operations::*};
use crate::{sessions::*, slots::*, unsupported::*, verify::*};

/// Something that an application gets the address of, and that nobody changes.
#[repr(transparent)]
struct Fixed<T>(T);

// SAFETY: the pointers in it lead to other constants.
unsafe impl<T> Sync for Fixed<T> {}

/// Each list has the functions of the one before it first.
macro_rules! lists {
    (
        $of_2_40:ident: $($old:ident)*;
        $of_3_0:ident: $($new:ident)*;
        $of_3_2:ident: $($newer:ident)*;
    ) => {
        static $of_2_40: Fixed<CK_FUNCTION_LIST> = Fixed(CK_FUNCTION_LIST {
            version: CK_VERSION { major: 2, minor: 40 },
            $($old: Some($old),)*
        });
        static $of_3_0: Fixed<CK_FUNCTION_LIST_3_0> = Fixed(CK_FUNCTION_LIST_3_0 {
            version: CK_VERSION { major: 3, minor: 0 },
            $($old: Some($old),)*
            $($new: Some($new),)*
        });
        static $of_3_2: Fixed<CK_FUNCTION_LIST_3_2> = Fixed(CK_FUNCTION_LIST_3_2 {
            version: CK_VERSION { major: 3, minor: 2 },
            $($old: Some($old),)*
            $($new: Some($new),)*
            $($newer: Some($newer),)*
        });
    };
}

lists! {
    FUNCTIONS_2_40:
        C_Initialize C_Finalize C_GetInfo C_GetFunctionList C_GetSlotList C_GetSlotInfo
        C_GetTokenInfo C_GetMechanismList C_GetMechanismInfo C_InitToken C_InitPIN C_SetPIN
        C_OpenSession C_CloseSession C_CloseAllSessions C_GetSessionInfo C_GetOperationState
        C_SetOperationState C_Login C_Logout C_CreateObject C_CopyObject C_DestroyObject
        C_GetObjectSize C_GetAttributeValue C_SetAttributeValue C_FindObjectsInit
        C_FindObjects C_FindObjectsFinal C_EncryptInit C_Encrypt C_EncryptUpdate
        C_EncryptFinal C_DecryptInit C_Decrypt C_DecryptUpdate C_DecryptFinal C_DigestInit
        C_Digest C_DigestUpdate C_DigestKey C_DigestFinal C_SignInit C_Sign C_SignUpdate
        C_SignFinal C_SignRecoverInit C_SignRecover C_VerifyInit C_Verify C_VerifyUpdate
        C_VerifyFinal C_VerifyRecoverInit C_VerifyRecover C_DigestEncryptUpdate
        C_DecryptDigestUpdate C_SignEncryptUpdate C_DecryptVerifyUpdate C_GenerateKey
        C_GenerateKeyPair C_WrapKey C_UnwrapKey C_DeriveKey C_SeedRandom C_GenerateRandom
        C_GetFunctionStatus C_CancelFunction C_WaitForSlotEvent;
    FUNCTIONS_3_0:
        C_GetInterfaceList C_GetInterface C_LoginUser C_SessionCancel C_MessageEncryptInit
        C_EncryptMessage C_EncryptMessageBegin C_EncryptMessageNext C_MessageEncryptFinal
        C_MessageDecryptInit C_DecryptMessage C_DecryptMessageBegin C_DecryptMessageNext
        C_MessageDecryptFinal C_MessageSignInit C_SignMessage C_SignMessageBegin
        C_SignMessageNext C_MessageSignFinal C_MessageVerifyInit C_VerifyMessage
        C_VerifyMessageBegin C_VerifyMessageNext C_MessageVerifyFinal;
    FUNCTIONS_3_2:
        C_EncapsulateKey C_DecapsulateKey C_VerifySignatureInit C_VerifySignature
        C_VerifySignatureUpdate C_VerifySignatureFinal C_GetSessionValidationFlags
        C_AsyncComplete C_AsyncGetID C_AsyncJoin C_WrapKeyAuthenticated
        C_UnwrapKeyAuthenticated;
}

/// The name of every interface here.
const NAME: &std::ffi::CStr = c"PKCS 11";

const fn interface<T>(functions: &'static Fixed<T>) -> CK_INTERFACE {
    CK_INTERFACE {
        pInterfaceName: NAME.as_ptr().cast_mut().cast(),
        pFunctionList: std::ptr::from_ref(functions).cast_mut().cast(),
        flags: CKF_INTERFACE_FORK_SAFE,
    }
}

/// The newest first: it is what an application gets that names none.
static INTERFACES: Fixed<[CK_INTERFACE; 3]> = Fixed([
    interface(&FUNCTIONS_3_2),
    interface(&FUNCTIONS_3_0),
    interface(&FUNCTIONS_2_40),
]);

/// The version of each of [`INTERFACES`].
const VERSIONS: [(u8, u8); 3] = [(3, 2), (3, 0), (2, 40)];

/// PKCS#11 3.2 section 5.4.4: the functions of version 2.40.
///
/// # Safety
/// `ppFunctionList` is null or a place for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetFunctionList(ppFunctionList: CK_FUNCTION_LIST_PTR_PTR) -> CK_RV {
    outside(|| {
        must_be(ppFunctionList)?;
        let list = std::ptr::from_ref(&FUNCTIONS_2_40.0).cast_mut();
        // SAFETY: the caller vouches for the place.
        unsafe { ppFunctionList.write(list) };
        Ok(())
    })
}

/// PKCS#11 3.2 section 5.4.5: every interface.
///
/// # Safety
/// `pInterfacesList` is null or has room for `*pulCount` interfaces; `pulCount` is null or a place for a number.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterfaceList(
    pInterfacesList: CK_INTERFACE_PTR,
    pulCount: CK_ULONG_PTR,
) -> CK_RV {
    outside(|| {
        must_be(pulCount)?;
        // SAFETY: the caller vouches for the number, and for as many interfaces.
        unsafe {
            let room = pulCount.replace(INTERFACES.0.len() as CK_ULONG);
            if pInterfacesList.is_null() {
                return Ok(());
            }
            if room < INTERFACES.0.len() as CK_ULONG {
                return Err(CKR_BUFFER_TOO_SMALL);
            }
            let all = INTERFACES.0.as_ptr();
            std::ptr::copy_nonoverlapping(all, pInterfacesList, INTERFACES.0.len());
        }
        Ok(())
    })
}

/// PKCS#11 3.2 section 5.4.6: the interface of a name and a version, with those flags.
///
/// # Safety
/// `pInterfaceName` is null or a text that ends with a zero, `pVersion` null or a version, `ppInterface` null or a place
/// for a pointer.
#[unsafe(no_mangle)]
pub unsafe extern "C" fn C_GetInterface(
    pInterfaceName: CK_UTF8CHAR_PTR,
    pVersion: CK_VERSION_PTR,
    ppInterface: CK_INTERFACE_PTR_PTR,
    flags: CK_FLAGS,
) -> CK_RV {
    outside(|| {
        must_be(ppInterface)?;
        // SAFETY: the caller vouches for name and version, if they are not null.
        let (is_named, version) = unsafe {
            let name: *const libc::c_char = pInterfaceName.cast_const().cast();
            let is_named = name.is_null() || std::ffi::CStr::from_ptr(name) == NAME;
            (is_named, pVersion.as_ref().map(|it| (it.major, it.minor)))
        };
        let at = match version {
            None => Some(0),
            Some(version) => VERSIONS.iter().position(|it| *it == version),
        };
        let interface = at.and_then(|at| INTERFACES.0.get(at));
        let found = interface.filter(|it| is_named && it.flags & flags == flags);
        let found = std::ptr::from_ref(found.ok_or(CKR_FUNCTION_FAILED)?).cast_mut();
        // SAFETY: the caller vouches for the place.
        unsafe { ppInterface.write(found) };
        Ok(())
    })
}
