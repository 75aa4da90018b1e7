//! The calls. A module is loaded for the life of the process; what a call refuses is its CK_RV.

use std::ffi::c_void;
use std::ptr::null_mut;

use crate::Mechanism;
use crate::sys::*;

/// Attributes with their values as bytes: [`ck`] and [`flag`] make numbers and truth values of them.
pub type Template = Vec<(CK_ATTRIBUTE_TYPE, Vec<u8>)>;
type Handle = CK_OBJECT_HANDLE;
/// A public and a private key.
pub type Pair = (Handle, Handle);

/// A CK_ULONG as the value of an attribute.
pub fn ck(value: u64) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

pub fn flag(value: bool) -> Vec<u8> {
    vec![u8::from(value)]
}

/// The CK_ULONG in the value of an attribute.
pub fn number(value: &[u8]) -> Option<u64> {
    value.try_into().ok().map(u64::from_ne_bytes)
}

/// One call of the function list, as a Result.
macro_rules! call {
    ($list:expr, $function:ident $(, $argument:expr)*) => {
        match $list.$function {
            // SAFETY: the function belongs to a module that is never unloaded; arguments are of the C types, and each
            // pointer is to memory of this process of the length beside it that outlives the call.
            Some(function) => match unsafe { function($($argument),*) } {
                CKR_OK => Ok(()),
                rv => Err(rv),
            },
            None => Err(CKR_FUNCTION_NOT_SUPPORTED),
        }
    };
}

/// A loaded module.
#[derive(Clone, Copy)]
pub struct Module {
    list: &'static CK_FUNCTION_LIST,
    newest: Option<&'static CK_FUNCTION_LIST_3_2>,
}

impl Module {
    /// Loads it and initialises it for threads.
    pub fn load(path: &str) -> Result<Self, String> {
        // SAFETY: modules run their constructors here, as for any application.
        let library = unsafe { libloading::Library::new(path) }.map_err(|e| e.to_string())?;
        let library = Box::leak(Box::new(library));
        // SAFETY: the standard gives the symbol this type.
        let get: libloading::Symbol<'_, unsafe extern "C" fn(*mut *mut CK_FUNCTION_LIST) -> CK_RV> =
            unsafe { library.get(b"C_GetFunctionList") }.map_err(|e| e.to_string())?;
        let mut list = null_mut();
        // SAFETY: `list` is written once; what it points to is part of the library, which is never unloaded.
        let list = unsafe {
            if get(&mut list) != CKR_OK {
                return Err("C_GetFunctionList failed".into());
            }
            &*list
        };
        let newest = newest(library);
        let module = Self { list, newest };
        module
            .initialize()
            .map_err(|rv| format!("C_Initialize: {rv:#x}"))?;
        Ok(module)
    }

    pub fn initialize(&self) -> Result<(), CK_RV> {
        let mut arguments = CK_C_INITIALIZE_ARGS {
            CreateMutex: None,
            DestroyMutex: None,
            LockMutex: None,
            UnlockMutex: None,
            flags: CKF_OS_LOCKING_OK,
            pReserved: null_mut(),
        };
        call!(self.list, C_Initialize, (&raw mut arguments).cast())
    }

    pub fn finalize(&self) -> Result<(), CK_RV> {
        call!(self.list, C_Finalize, null_mut())
    }

    /// The slot of the token with this label.
    pub fn slot(&self, label: &str) -> Result<CK_SLOT_ID, String> {
        let mut slots = [0; 64];
        let mut count = slots.len() as CK_ULONG;
        call!(
            self.list,
            C_GetSlotList,
            CK_TRUE,
            slots.as_mut_ptr(),
            &mut count
        )
        .map_err(|rv| format!("C_GetSlotList: {rv:#x}"))?;
        for slot in &slots[..count as usize] {
            let mut info = CK_TOKEN_INFO::default();
            if call!(self.list, C_GetTokenInfo, *slot, &mut info).is_ok()
                && String::from_utf8_lossy(&info.label).trim_end() == label
            {
                return Ok(*slot);
            }
        }
        Err(format!("no token {label}"))
    }

    pub fn has(&self, slot: CK_SLOT_ID, mechanism: CK_MECHANISM_TYPE) -> bool {
        let mut info = CK_MECHANISM_INFO::default();
        call!(self.list, C_GetMechanismInfo, slot, mechanism, &mut info).is_ok()
    }

    pub fn open(&self, slot: CK_SLOT_ID) -> Result<Session, CK_RV> {
        let mut handle = 0;
        call!(
            self.list,
            C_OpenSession,
            slot,
            CKF_SERIAL_SESSION | CKF_RW_SESSION,
            null_mut(),
            None,
            &mut handle
        )?;
        Ok(Session {
            module: *self,
            handle,
        })
    }
}

/// The function list of PKCS#11 3.2, if the module has one.
fn newest(library: &libloading::Library) -> Option<&'static CK_FUNCTION_LIST_3_2> {
    type Get = unsafe extern "C" fn(
        *mut CK_UTF8CHAR,
        *mut CK_VERSION,
        *mut *mut CK_INTERFACE,
        CK_FLAGS,
    ) -> CK_RV;
    // SAFETY: the standard gives the symbol this type, and what it returns stays as long as the library.
    unsafe {
        let get: libloading::Symbol<'_, Get> = library.get(b"C_GetInterface").ok()?;
        let mut name = *b"PKCS 11\0";
        let mut version = CK_VERSION { major: 3, minor: 2 };
        let mut interface = null_mut();
        if get(name.as_mut_ptr(), &mut version, &mut interface, 0) != CKR_OK {
            return None;
        }
        Some(&*(*interface).pFunctionList.cast())
    }
}

/// An open session. It is not closed by being dropped.
pub struct Session {
    module: Module,
    handle: CK_SESSION_HANDLE,
}

fn attributes(template: &Template) -> Vec<CK_ATTRIBUTE> {
    template
        .iter()
        .map(|(number, value)| CK_ATTRIBUTE {
            type_: *number,
            pValue: value.as_ptr().cast_mut().cast::<c_void>(),
            ulValueLen: value.len() as CK_ULONG,
        })
        .collect()
}

fn pointer(bytes: &[u8]) -> *mut u8 {
    bytes.as_ptr().cast_mut()
}

/// What a call with an output of at most `most` bytes gives.
fn output(
    most: usize,
    call: impl FnOnce(*mut u8, *mut CK_ULONG) -> Result<(), CK_RV>,
) -> Result<Vec<u8>, CK_RV> {
    let mut bytes = vec![0; most];
    let mut length = most as CK_ULONG;
    call(bytes.as_mut_ptr(), &mut length)?;
    bytes.truncate(length as usize);
    Ok(bytes)
}

impl Session {
    fn list(&self) -> &'static CK_FUNCTION_LIST {
        self.module.list
    }

    pub fn close(self) -> Result<(), CK_RV> {
        call!(self.list(), C_CloseSession, self.handle)
    }

    pub fn login(&self, pin: &str) -> Result<(), CK_RV> {
        let length = pin.len() as CK_ULONG;
        call!(
            self.list(),
            C_Login,
            self.handle,
            CKU_USER,
            pointer(pin.as_bytes()),
            length
        )
    }

    pub fn logout(&self) -> Result<(), CK_RV> {
        call!(self.list(), C_Logout, self.handle)
    }

    /// A call that changes nothing and needs no key.
    pub fn nothing(&self) -> Result<(), CK_RV> {
        let mut info = CK_SESSION_INFO::default();
        call!(self.list(), C_GetSessionInfo, self.handle, &mut info)
    }

    pub fn create(&self, template: &Template) -> Result<Handle, CK_RV> {
        let (mut list, mut object) = (attributes(template), 0);
        let count = list.len() as CK_ULONG;
        call!(
            self.list(),
            C_CreateObject,
            self.handle,
            list.as_mut_ptr(),
            count,
            &mut object
        )?;
        Ok(object)
    }

    pub fn copy(&self, object: Handle, template: &Template) -> Result<Handle, CK_RV> {
        let (mut list, mut copy) = (attributes(template), 0);
        let count = list.len() as CK_ULONG;
        call!(
            self.list(),
            C_CopyObject,
            self.handle,
            object,
            list.as_mut_ptr(),
            count,
            &mut copy
        )?;
        Ok(copy)
    }

    pub fn destroy(&self, object: Handle) -> Result<(), CK_RV> {
        call!(self.list(), C_DestroyObject, self.handle, object)
    }

    /// Handles of what fits a template, at most `most` of them.
    pub fn find(&self, template: &Template, most: usize) -> Result<Vec<Handle>, CK_RV> {
        let mut list = attributes(template);
        let count = list.len() as CK_ULONG;
        call!(
            self.list(),
            C_FindObjectsInit,
            self.handle,
            list.as_mut_ptr(),
            count
        )?;
        let (mut found, mut objects) = (Vec::new(), vec![0; most.min(1024)]);
        let ended = loop {
            let mut count = 0;
            let room = objects.len().min(most - found.len()) as CK_ULONG;
            let result = call!(
                self.list(),
                C_FindObjects,
                self.handle,
                objects.as_mut_ptr(),
                room,
                &mut count
            );
            found.extend_from_slice(&objects[..count as usize]);
            if result.is_err() || count < room || found.len() == most {
                break result;
            }
        };
        call!(self.list(), C_FindObjectsFinal, self.handle)?;
        ended.map(|()| found)
    }

    /// The value of one attribute of at most 64 KiB.
    pub fn attribute(&self, object: Handle, number: CK_ATTRIBUTE_TYPE) -> Result<Vec<u8>, CK_RV> {
        output(65536, |bytes, length| {
            let mut attribute = CK_ATTRIBUTE {
                type_: number,
                pValue: bytes.cast(),
                ulValueLen: 65536,
            };
            call!(
                self.list(),
                C_GetAttributeValue,
                self.handle,
                object,
                &mut attribute,
                1
            )?;
            // SAFETY: `output` handed in a length of its own.
            unsafe { *length = attribute.ulValueLen };
            Ok(())
        })
    }

    pub fn set(&self, object: Handle, template: &Template) -> Result<(), CK_RV> {
        let mut list = attributes(template);
        let count = list.len() as CK_ULONG;
        call!(
            self.list(),
            C_SetAttributeValue,
            self.handle,
            object,
            list.as_mut_ptr(),
            count
        )
    }

    pub fn generate(&self, mechanism: &Mechanism, template: &Template) -> Result<Handle, CK_RV> {
        let (mut list, mut key) = (attributes(template), 0);
        let count = list.len() as CK_ULONG;
        mechanism.with(|mechanism| {
            call!(
                self.list(),
                C_GenerateKey,
                self.handle,
                mechanism,
                list.as_mut_ptr(),
                count,
                &mut key
            )
        })?;
        Ok(key)
    }

    pub fn generate_pair(
        &self,
        mechanism: &Mechanism,
        public: &Template,
        private: &Template,
    ) -> Result<Pair, CK_RV> {
        let (mut publics, mut privates) = (attributes(public), attributes(private));
        let (mut public_key, mut private_key) = (0, 0);
        mechanism.with(|mechanism| {
            call!(
                self.list(),
                C_GenerateKeyPair,
                self.handle,
                mechanism,
                publics.as_mut_ptr(),
                publics.len() as CK_ULONG,
                privates.as_mut_ptr(),
                privates.len() as CK_ULONG,
                &mut public_key,
                &mut private_key
            )
        })?;
        Ok((public_key, private_key))
    }

    pub fn sign_init(&self, mechanism: &Mechanism, key: Handle) -> Result<(), CK_RV> {
        mechanism.with(|m| call!(self.list(), C_SignInit, self.handle, m, key))
    }

    /// C_SignInit and C_Sign.
    pub fn sign(&self, mechanism: &Mechanism, key: Handle, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
        self.sign_init(mechanism, key)?;
        output(8192, |bytes, length| {
            call!(
                self.list(),
                C_Sign,
                self.handle,
                pointer(data),
                data.len() as CK_ULONG,
                bytes,
                length
            )
        })
    }

    /// The same in parts of `part` bytes.
    pub fn sign_in_parts(
        &self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
        part: usize,
    ) -> Result<Vec<u8>, CK_RV> {
        self.sign_init(mechanism, key)?;
        for part in data.chunks(part) {
            call!(
                self.list(),
                C_SignUpdate,
                self.handle,
                pointer(part),
                part.len() as CK_ULONG
            )?;
        }
        output(8192, |bytes, length| {
            call!(self.list(), C_SignFinal, self.handle, bytes, length)
        })
    }

    pub fn verify(
        &self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
        signature: &[u8],
    ) -> Result<(), CK_RV> {
        mechanism.with(|m| call!(self.list(), C_VerifyInit, self.handle, m, key))?;
        call!(
            self.list(),
            C_Verify,
            self.handle,
            pointer(data),
            data.len() as CK_ULONG,
            pointer(signature),
            signature.len() as CK_ULONG
        )
    }

    pub fn encrypt(
        &self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        let mut bytes = vec![0; data.len() + 1024];
        let length = self.encrypt_into(mechanism, key, data, &mut bytes)?;
        bytes.truncate(length);
        Ok(bytes)
    }

    /// Without memory of its own, for measurements.
    pub fn encrypt_into(
        &self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
        into: &mut [u8],
    ) -> Result<usize, CK_RV> {
        mechanism.with(|m| call!(self.list(), C_EncryptInit, self.handle, m, key))?;
        let mut length = into.len() as CK_ULONG;
        call!(
            self.list(),
            C_Encrypt,
            self.handle,
            pointer(data),
            data.len() as CK_ULONG,
            into.as_mut_ptr(),
            &mut length
        )?;
        Ok(length as usize)
    }

    pub fn decrypt(
        &self,
        mechanism: &Mechanism,
        key: Handle,
        data: &[u8],
    ) -> Result<Vec<u8>, CK_RV> {
        mechanism.with(|m| call!(self.list(), C_DecryptInit, self.handle, m, key))?;
        output(data.len() + 1024, |bytes, length| {
            call!(
                self.list(),
                C_Decrypt,
                self.handle,
                pointer(data),
                data.len() as CK_ULONG,
                bytes,
                length
            )
        })
    }

    pub fn digest(&self, mechanism: &Mechanism, data: &[u8]) -> Result<Vec<u8>, CK_RV> {
        mechanism.with(|m| call!(self.list(), C_DigestInit, self.handle, m))?;
        output(64, |bytes, length| {
            call!(
                self.list(),
                C_Digest,
                self.handle,
                pointer(data),
                data.len() as CK_ULONG,
                bytes,
                length
            )
        })
    }

    pub fn random(&self, into: &mut [u8]) -> Result<(), CK_RV> {
        let length = into.len() as CK_ULONG;
        call!(
            self.list(),
            C_GenerateRandom,
            self.handle,
            into.as_mut_ptr(),
            length
        )
    }

    pub fn derive(
        &self,
        mechanism: &Mechanism,
        base: Handle,
        template: &Template,
    ) -> Result<Handle, CK_RV> {
        let (mut list, mut key) = (attributes(template), 0);
        let count = list.len() as CK_ULONG;
        mechanism.with(|m| {
            call!(
                self.list(),
                C_DeriveKey,
                self.handle,
                m,
                base,
                list.as_mut_ptr(),
                count,
                &mut key
            )
        })?;
        Ok(key)
    }

    pub fn wrap(
        &self,
        mechanism: &Mechanism,
        wrapping: Handle,
        key: Handle,
    ) -> Result<Vec<u8>, CK_RV> {
        output(16384, |bytes, length| {
            mechanism.with(|m| {
                call!(
                    self.list(),
                    C_WrapKey,
                    self.handle,
                    m,
                    wrapping,
                    key,
                    bytes,
                    length
                )
            })
        })
    }

    pub fn unwrap(
        &self,
        mechanism: &Mechanism,
        unwrapping: Handle,
        wrapped: &[u8],
        template: &Template,
    ) -> Result<Handle, CK_RV> {
        let (mut list, mut key) = (attributes(template), 0);
        let count = list.len() as CK_ULONG;
        mechanism.with(|m| {
            call!(
                self.list(),
                C_UnwrapKey,
                self.handle,
                m,
                unwrapping,
                pointer(wrapped),
                wrapped.len() as CK_ULONG,
                list.as_mut_ptr(),
                count,
                &mut key
            )
        })?;
        Ok(key)
    }

    /// The ciphertext and the shared secret as a key.
    pub fn encapsulate(
        &self,
        mechanism: &Mechanism,
        public: Handle,
        template: &Template,
    ) -> Result<(Vec<u8>, Handle), CK_RV> {
        let newest = self.module.newest.ok_or(CKR_FUNCTION_NOT_SUPPORTED)?;
        let (mut list, mut key) = (attributes(template), 0);
        let count = list.len() as CK_ULONG;
        let ciphertext = output(4096, |bytes, length| {
            mechanism.with(|m| {
                call!(
                    newest,
                    C_EncapsulateKey,
                    self.handle,
                    m,
                    public,
                    list.as_mut_ptr(),
                    count,
                    bytes,
                    length,
                    &mut key
                )
            })
        })?;
        Ok((ciphertext, key))
    }

    pub fn decapsulate(
        &self,
        mechanism: &Mechanism,
        private: Handle,
        ciphertext: &[u8],
        template: &Template,
    ) -> Result<Handle, CK_RV> {
        let newest = self.module.newest.ok_or(CKR_FUNCTION_NOT_SUPPORTED)?;
        let (mut list, mut key) = (attributes(template), 0);
        let count = list.len() as CK_ULONG;
        mechanism.with(|m| {
            call!(
                newest,
                C_DecapsulateKey,
                self.handle,
                m,
                private,
                list.as_mut_ptr(),
                count,
                pointer(ciphertext),
                ciphertext.len() as CK_ULONG,
                &mut key
            )
        })?;
        Ok(key)
    }
}
