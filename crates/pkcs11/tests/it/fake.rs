//! A token server that answers as a test wants, and the module before it.

use std::ffi::CString;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, Once, PoisonError};

use cryptoki_sys::*;
use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{PREAMBLE_BYTES, Preamble, Reply, Request, Welcome};
use tempfile::TempDir;

pub enum Answer {
    Reply(Reply),
    WithData(Reply, Vec<u8>),
    /// Bytes that need not be a frame.
    Raw(Vec<u8>),
    /// Closes the connection without an answer.
    Close,
    /// Never answers.
    Hang,
}

type Ask = dyn Fn(&Request, &[u8]) -> Answer + Send + Sync;

#[derive(Default)]
struct Seen {
    requests: Mutex<Vec<(Request, Vec<u8>)>>,
    more: Condvar,
    streams: Mutex<Vec<UnixStream>>,
}

/// A server that listens in a folder of its own, beside a file that stands for its store.
pub struct Fake {
    folder: TempDir,
    seen: Arc<Seen>,
}

impl Fake {
    pub fn new(answer: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static) -> Self {
        let fake = Self::without_server();
        fake.serve(answer);
        fake
    }

    pub fn without_server() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("store.db"), "").unwrap();
        let seen = Arc::default();
        Self { folder, seen }
    }

    /// Starts to listen.
    pub fn serve(&self, answer: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static) {
        self.serve_as(Preamble::OURS, answer);
    }

    pub fn serve_as(
        &self,
        preamble: Preamble,
        answer: impl Fn(&Request, &[u8]) -> Answer + Send + Sync + 'static,
    ) {
        let listener = UnixListener::bind(self.folder.path().join("socket")).unwrap();
        let seen = Arc::clone(&self.seen);
        let answer: Arc<Ask> = Arc::new(answer);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let stream = stream.unwrap();
                seen.streams
                    .lock()
                    .unwrap()
                    .push(stream.try_clone().unwrap());
                let (seen, answer) = (Arc::clone(&seen), Arc::clone(&answer));
                std::thread::spawn(move || converse(stream, preamble, &seen, &*answer));
            }
        });
    }

    /// Ends the server: its connections close, and nobody listens.
    pub fn end(&self) {
        std::fs::remove_file(self.folder.path().join("socket")).unwrap();
        for stream in self.seen.streams.lock().unwrap().drain(..) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    pub fn path(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The requests since the last call, but for introductions.
    pub fn requests(&self) -> Vec<(Request, Vec<u8>)> {
        std::mem::take(&mut self.seen.requests.lock().unwrap())
    }

    /// Waits until the server has got a request.
    pub fn until_asked(&self) {
        let mut requests = self.seen.requests.lock().unwrap();
        while requests.is_empty() {
            requests = self.seen.more.wait(requests).unwrap();
        }
    }

    /// The text for `pReserved` that leads the module here.
    pub fn parameters(&self) -> CString {
        let folder = self.folder.path().to_str().unwrap();
        CString::new(format!("store={folder}/store.db socket={folder}/socket")).unwrap()
    }
}

fn converse(mut stream: UnixStream, preamble: Preamble, seen: &Seen, answer: &Ask) -> Option<()> {
    let mut theirs = [0; PREAMBLE_BYTES];
    stream.read_exact(&mut theirs).ok()?;
    stream.write_all(&preamble.to_bytes()).ok()?;
    if preamble != Preamble::OURS {
        return None;
    }
    loop {
        let mut lengths = [0; LENGTHS_BYTES];
        stream.read_exact(&mut lengths).ok()?;
        let lengths = Lengths::parse(lengths).unwrap();
        let mut header = vec![0; lengths.header];
        stream.read_exact(&mut header).ok()?;
        let mut data = vec![0; lengths.data];
        stream.read_exact(&mut data).ok()?;
        let request: Request = frame::decode(&header).unwrap();
        if let Request::Hello(_) = request {
            let welcome = Reply::Welcome(Welcome {
                application: [7; 16],
                has_door: false,
            });
            stream
                .write_all(&frame::encode(&welcome, 0).unwrap())
                .ok()?;
            continue;
        }
        let reply = answer(&request, &data);
        seen.requests.lock().unwrap().push((request, data));
        seen.more.notify_all();
        let (reply, data) = match reply {
            Answer::Reply(reply) => (reply, Vec::new()),
            Answer::WithData(reply, data) => (reply, data),
            Answer::Raw(bytes) => {
                stream.write_all(&bytes).ok()?;
                continue;
            }
            Answer::Close => {
                let _ = stream.shutdown(Shutdown::Both);
                return None;
            }
            Answer::Hang => continue,
        };
        stream
            .write_all(&frame::encode(&reply, data.len()).unwrap())
            .ok()?;
        stream.write_all(&data).ok()?;
    }
}

static ONE: Mutex<()> = Mutex::new(());

/// The module is one for a process, so tests take turns.
pub fn turn() -> MutexGuard<'static, ()> {
    static SET: Once = Once::new();
    let turn = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    // SAFETY: no other test runs.
    SET.call_once(|| unsafe { std::env::set_var("SLOTFS_SPAWN", "0") });
    turn
}

/// The functions of the module.
pub fn functions() -> &'static CK_FUNCTION_LIST_3_2 {
    let mut interface = ptr::null_mut();
    let found = unsafe {
        slotfs_pkcs11::C_GetInterface(ptr::null_mut(), ptr::null_mut(), &raw mut interface, 0)
    };
    assert_eq!(found, CKR_OK);
    unsafe { &*(*interface).pFunctionList.cast::<CK_FUNCTION_LIST_3_2>() }
}

/// Calls a function of the module.
macro_rules! call {
    ($function:ident $(, $argument:expr)* $(,)?) => {{
        let function = crate::fake::functions().$function.unwrap();
        #[allow(unused_unsafe)]
        let result = unsafe { function($($argument),*) };
        result
    }};
}
pub(crate) use call;

/// The module, initialised.
pub struct Module {
    _turn: MutexGuard<'static, ()>,
}

impl Module {
    pub fn new(fake: &Fake) -> Self {
        let turn = turn();
        assert_eq!(initialize(fake), CKR_OK);
        Self { _turn: turn }
    }

    /// A session that the fake server gave; its `OpenSession` must answer with a handle.
    pub fn session(&self) -> CK_SESSION_HANDLE {
        let mut session = 0;
        let opened = call!(
            C_OpenSession,
            0,
            CKF_SERIAL_SESSION,
            ptr::null_mut(),
            None,
            &raw mut session
        );
        assert_eq!(opened, CKR_OK);
        session
    }
}

pub fn initialize(fake: &Fake) -> CK_RV {
    let text = fake.parameters();
    let mut arguments = CK_C_INITIALIZE_ARGS {
        CreateMutex: None,
        DestroyMutex: None,
        LockMutex: None,
        UnlockMutex: None,
        flags: CKF_OS_LOCKING_OK,
        pReserved: text.as_ptr().cast_mut().cast(),
    };
    call!(C_Initialize, (&raw mut arguments).cast())
}

impl Drop for Module {
    fn drop(&mut self) {
        call!(C_Finalize, ptr::null_mut());
    }
}

/// What most tests need: sessions, and `Done` for the rest.
pub fn usual(request: &Request) -> Answer {
    Answer::Reply(match request {
        Request::OpenSession { .. } => Reply::Handle(41),
        _ => Reply::Done,
    })
}
