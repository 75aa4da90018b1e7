//! Functions that the token does not have.
#![allow(non_snake_case)]

use cryptoki_sys::*;

use crate::entry::call;

macro_rules! unsupported {
    ($($name:ident($($argument:ty),* $(,)?)),+ $(,)?) => {
        $(#[unsafe(no_mangle)]
        pub(crate) unsafe extern "C" fn $name($(_: $argument),*) -> CK_RV {
            call(|_| Err(CKR_FUNCTION_NOT_SUPPORTED))
        })+
    };
}

unsupported! {
    // The state of an operation would be the state of a key in use.
    C_GetOperationState(CK_SESSION_HANDLE, CK_BYTE_PTR, CK_ULONG_PTR),
    C_SetOperationState(
        CK_SESSION_HANDLE,
        CK_BYTE_PTR,
        CK_ULONG,
        CK_OBJECT_HANDLE,
        CK_OBJECT_HANDLE,
    ),
    C_GetSessionValidationFlags(CK_SESSION_HANDLE, CK_ULONG, CK_FLAGS_PTR),
    C_AsyncComplete(CK_SESSION_HANDLE, CK_UTF8CHAR_PTR, *mut CK_ASYNC_DATA),
    C_AsyncGetID(CK_SESSION_HANDLE, CK_UTF8CHAR_PTR, CK_ULONG_PTR),
    C_AsyncJoin(CK_SESSION_HANDLE, CK_UTF8CHAR_PTR, CK_ULONG, CK_BYTE_PTR, CK_ULONG),
    C_WrapKeyAuthenticated(
        CK_SESSION_HANDLE,
        CK_MECHANISM_PTR,
        CK_OBJECT_HANDLE,
        CK_OBJECT_HANDLE,
        CK_BYTE_PTR,
        CK_ULONG,
        CK_BYTE_PTR,
        CK_ULONG_PTR,
    ),
    C_UnwrapKeyAuthenticated(
        CK_SESSION_HANDLE,
        CK_MECHANISM_PTR,
        CK_OBJECT_HANDLE,
        CK_BYTE_PTR,
        CK_ULONG,
        CK_ATTRIBUTE_PTR,
        CK_ULONG,
        CK_BYTE_PTR,
        CK_ULONG,
        CK_OBJECT_HANDLE_PTR,
    ),
}
