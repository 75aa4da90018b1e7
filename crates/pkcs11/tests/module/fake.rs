//! A token server that answers as a test says, and the module connected to it.

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use cryptoki_sys::*;
use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{PREAMBLE_BYTES, Preamble, Reply, Request, Welcome};

/// What a request is answered with: a reply with its data, or `None` for the end of the server: the next
/// one does not know the application.
pub type Answer = Option<(Reply, Vec<u8>)>;
/// A request with its data.
pub type Asked = (Request, Vec<u8>);

type Script = Arc<dyn Fn(&Request, &[u8]) -> Answer + Send + Sync>;

/// The module is one for the process.
static ALONE: Mutex<()> = Mutex::new(());

/// The module in a folder of its own, with a server that listens.
pub struct Module {
    pub list: &'static CK_FUNCTION_LIST,
    asked: Arc<Mutex<Vec<Asked>>>,
    _folder: tempfile::TempDir,
    _alone: MutexGuard<'static, ()>,
}

/// The same, of a function of the list.
macro_rules! c {
    ($module:expr, $name:ident $(, $argument:expr)* $(,)?) => {{
        let function = $module.list.$name.unwrap();
        // SAFETY: the test gives the function what it needs.
        unsafe { function($($argument),*) }
    }};
}
pub(crate) use c;

impl Module {
    /// An initialised module whose server answers by `script`.
    pub fn new(script: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static) -> Self {
        let module = Self::with_version(Preamble::OURS, script);
        assert_eq!(c!(module, C_Initialize, std::ptr::null_mut()), CKR_OK);
        module
    }

    /// A module that is not initialised, and a server of some version.
    pub fn with_version(
        version: Preamble,
        script: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static,
    ) -> Self {
        let alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        let folder = tempfile::tempdir().unwrap();
        let (store, socket) = (folder.path().join("store.db"), folder.path().join("sock"));
        std::fs::write(&store, b"").unwrap();
        let listener = UnixListener::bind(&socket).unwrap();
        // SAFETY: one test at a time is here, and the threads of servers read no environment.
        unsafe {
            std::env::set_var("SLOTFS_STORE", &store);
            std::env::set_var("SLOTFS_SOCKET", &socket);
            std::env::set_var("SLOTFS_SPAWN", "0");
            std::env::set_var("XDG_CONFIG_HOME", folder.path());
        }
        let asked = Arc::new(Mutex::new(Vec::new()));
        let (log, script): (_, Script) = (Arc::clone(&asked), Arc::new(script));
        std::thread::spawn(move || {
            let server = Arc::new(AtomicU8::new(1));
            for stream in listener.incoming().flatten() {
                let (log, script) = (Arc::clone(&log), Arc::clone(&script));
                let server = Arc::clone(&server);
                std::thread::spawn(move || serve(stream, version, &log, &server, &*script));
            }
        });
        let mut list = std::ptr::null_mut();
        // SAFETY: there is a place for the list, which is static.
        let list = unsafe {
            assert_eq!(slotfs_pkcs11::C_GetFunctionList(&raw mut list), CKR_OK);
            &*list
        };
        Self {
            list,
            asked,
            _folder: folder,
            _alone: alone,
        }
    }

    /// What was asked so far, without the hellos; forgotten here.
    pub fn asked(&self) -> Vec<Asked> {
        let mut asked = self.asked.lock().unwrap_or_else(PoisonError::into_inner);
        let all = std::mem::take(&mut *asked);
        let is_hello = |it: &Asked| matches!(it.0, Request::Hello(_));
        all.into_iter().filter(|it| !is_hello(it)).collect()
    }
}

impl Drop for Module {
    fn drop(&mut self) {
        c!(self, C_Finalize, std::ptr::null_mut());
    }
}

/// Serves one connection to its end. `server` counts the servers that ended.
fn serve(
    mut stream: UnixStream,
    version: Preamble,
    asked: &Mutex<Vec<Asked>>,
    server: &AtomicU8,
    script: &(dyn Fn(&Request, &[u8]) -> Answer + Send + Sync),
) -> Option<()> {
    let mut preamble = [0; PREAMBLE_BYTES];
    stream.read_exact(&mut preamble).ok()?;
    stream.write_all(&version.to_bytes()).ok()?;
    if version != Preamble::OURS {
        return None;
    }
    loop {
        let mut lengths = [0; LENGTHS_BYTES];
        stream.read_exact(&mut lengths).ok()?;
        let lengths = Lengths::parse(lengths).unwrap();
        let (mut header, mut data) = (vec![0; lengths.header], vec![0; lengths.data]);
        stream.read_exact(&mut header).ok()?;
        stream.read_exact(&mut data).ok()?;
        let request: Request = frame::decode(&header).unwrap();
        let (reply, out) = match &request {
            Request::Hello(hello) => match hello.application {
                Some(token) if token != [server.load(Ordering::SeqCst); 16] => {
                    (Reply::Failed(CKR_DEVICE_ERROR), Vec::new())
                }
                _ => {
                    let application = [server.load(Ordering::SeqCst); 16];
                    let has_door = false;
                    let welcome = Welcome {
                        application,
                        has_door,
                    };
                    (Reply::Welcome(welcome), Vec::new())
                }
            },
            request => {
                let answer = script(request, &data);
                asked.lock().unwrap().push((request.clone(), data));
                if answer.is_none() {
                    server.fetch_add(1, Ordering::SeqCst);
                }
                answer?
            }
        };
        let mut bytes = frame::encode(&reply, out.len()).unwrap().to_vec();
        bytes.extend(out);
        stream.write_all(&bytes).ok()?;
    }
}
