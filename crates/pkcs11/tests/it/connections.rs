//! Servers that come and go, and applications that do what they like with descriptors and processes.

use std::fs::{self, File};
use std::io::Write;
use std::os::fd::AsRawFd;
use std::ptr;
use std::time::Duration;

use cryptoki_sys::*;
use slotfs_wire::{Preamble, Reply, Request};

use crate::fake::{Answer, Fake, Module, call, initialize, turn, usual};

fn random(session: CK_SESSION_HANDLE) -> CK_RV {
    let mut bytes = [0u8; 4];
    call!(C_GenerateRandom, session, bytes.as_mut_ptr(), 4)
}

fn open_session() -> CK_RV {
    let mut session = 0;
    call!(
        C_OpenSession,
        0,
        CKF_SERIAL_SESSION,
        ptr::null_mut(),
        None,
        &raw mut session
    )
}

fn slots() -> (CK_RV, CK_ULONG) {
    let mut count = 99;
    let listed = call!(C_GetSlotList, 0, ptr::null_mut(), &raw mut count);
    (listed, count)
}

fn with_random(request: &Request) -> Answer {
    match request {
        Request::Random { .. } => Answer::WithData(Reply::Output { bytes: 4 }, vec![4; 4]),
        Request::Slots { .. } => Answer::Reply(Reply::Handles(vec![0])),
        other => usual(other),
    }
}

#[test]
fn without_a_store_there_are_no_slots() {
    let fake = Fake::without_server();
    let _module = Module::new(&fake);
    assert_eq!(slots(), (CKR_DEVICE_ERROR, 99));
    fs::remove_file(fake.path().join("store.db")).unwrap();
    assert_eq!(slots(), (CKR_OK, 0));
    assert_eq!(open_session(), CKR_SLOT_ID_INVALID);
    assert_eq!(random(1), CKR_SESSION_HANDLE_INVALID);
}

#[test]
fn another_server_takes_over_with_new_sessions() {
    let fake = Fake::new(|request, _| with_random(request));
    let module = Module::new(&fake);
    let session = module.session();
    assert_eq!(random(session), CKR_OK);
    fake.end();
    assert_eq!(random(session), CKR_SESSION_HANDLE_INVALID);
    assert_eq!(random(session), CKR_SESSION_HANDLE_INVALID);
    assert_eq!(open_session(), CKR_DEVICE_ERROR);
    fake.serve(|request, _| with_random(request));
    assert_eq!(random(session), CKR_SESSION_HANDLE_INVALID);
    assert_eq!(open_session(), CKR_OK);
    assert_eq!(slots(), (CKR_OK, 1));
}

#[test]
fn a_server_that_ends_in_a_call_is_a_device_error() {
    let fake = Fake::new(|request, _| match request {
        Request::Random { .. } => Answer::Close,
        other => with_random(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    assert_eq!(random(session), CKR_DEVICE_ERROR);
    // The connection alone was lost, so a new one is made.
    assert_eq!(call!(C_Logout, session), CKR_OK);
}

#[test]
fn a_server_that_lies_is_a_device_error() {
    for (what, lie) in [
        (
            "more data than asked for",
            Answer::WithData(Reply::Output { bytes: 400 }, vec![1; 400]),
        ),
        ("a longer header than allowed", Answer::Raw(vec![0xff; 64])),
        (
            "no reply",
            Answer::Raw(vec![3, 0, 0, 0, 0, 0, 0, 0, 250, 250, 250]),
        ),
        (
            "bytes behind the reply",
            Answer::Raw([&[1, 0, 0, 0, 0, 0, 0, 0, 1][..], &[9; 9]].concat()),
        ),
        ("another reply", Answer::Reply(Reply::Pair(1, 2))),
    ] {
        let lie = std::sync::Mutex::new(Some(lie));
        let fake = Fake::new(move |request, _| match request {
            Request::Random { .. } => lie.lock().unwrap().take().unwrap_or(Answer::Close),
            other => with_random(other),
        });
        let module = Module::new(&fake);
        let session = module.session();
        assert_eq!(random(session), CKR_DEVICE_ERROR, "{what}");
        assert_eq!(call!(C_Logout, session), CKR_OK, "{what}");
    }
}

#[test]
fn another_version_is_a_device_error() {
    let fake = Fake::without_server();
    fake.serve_as(Preamble { version: 900 }, |request, _| usual(request));
    let _module = Module::new(&fake);
    assert_eq!(slots(), (CKR_DEVICE_ERROR, 99));
}

/// Daemons close all descriptors and open files of their own: no byte of a message goes there.
#[test]
fn a_descriptor_that_the_application_took_is_left_alone() {
    let fake = Fake::new(|request, _| with_random(request));
    let module = Module::new(&fake);
    let session = module.session();
    let path = fake.path().join("file");
    let mut file = File::create(&path).unwrap();
    let mut taken = 0;
    for entry in fs::read_dir("/proc/self/fd").unwrap() {
        let number: i32 = entry
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .parse()
            .unwrap();
        if is_connected_to(number, &fake.path().join("socket")) {
            assert_eq!(unsafe { libc::dup2(file.as_raw_fd(), number) }, number);
            taken += 1;
        }
    }
    assert_eq!(taken, 1);
    assert_eq!(random(session), CKR_OK);
    drop(module);
    file.write_all(b"the application's").unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"the application's");
}

fn is_connected_to(number: i32, path: &std::path::Path) -> bool {
    let mut address: libc::sockaddr_un = unsafe { std::mem::zeroed() };
    let mut length = size_of_val(&address) as libc::socklen_t;
    let result = unsafe { libc::getpeername(number, (&raw mut address).cast(), &raw mut length) };
    let name = address.sun_path.iter().map(|it| *it as u8);
    let name: Vec<u8> = name.take_while(|it| *it != 0).collect();
    result == 0 && name == path.as_os_str().as_encoded_bytes()
}

#[test]
fn sockets_are_above_standard_error_and_close_on_exec() {
    let fake = Fake::new(|request, _| with_random(request));
    let module = Module::new(&fake);
    module.session();
    let socket = fake.path().join("socket");
    let mut numbers = (0..1024).filter(|number| is_connected_to(*number, &socket));
    let number = numbers.next().unwrap();
    assert!(number > 2);
    let flags = unsafe { libc::fcntl(number, libc::F_GETFD) };
    assert_eq!(flags & libc::FD_CLOEXEC, libc::FD_CLOEXEC);
}

#[test]
fn finalize_wakes_calls_that_wait() {
    let fake = Fake::new(|request, _| match request {
        Request::Random { .. } => Answer::Hang,
        other => with_random(other),
    });
    let module = Module::new(&fake);
    let session = module.session();
    fake.requests();
    std::thread::scope(|scope| {
        let asks = scope.spawn(move || random(session));
        let waits = scope.spawn(|| {
            let mut slot = 0;
            call!(C_WaitForSlotEvent, 0, &raw mut slot, ptr::null_mut())
        });
        fake.until_asked();
        // Nothing shows whether the other one is inside yet; either way it returns the same.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(call!(C_Finalize, ptr::null_mut()), CKR_OK);
        assert_eq!(asks.join().unwrap(), CKR_CRYPTOKI_NOT_INITIALIZED);
        assert_eq!(waits.join().unwrap(), CKR_CRYPTOKI_NOT_INITIALIZED);
    });
    assert_eq!(random(session), CKR_CRYPTOKI_NOT_INITIALIZED);
    assert_eq!(initialize(&fake), CKR_OK);
}

#[test]
fn threads_have_connections_of_their_own() {
    let barrier = std::sync::Barrier::new(4);
    let fake = Fake::new(move |request, _| {
        if let Request::Random { .. } = request {
            barrier.wait();
        }
        with_random(request)
    });
    let module = Module::new(&fake);
    let session = module.session();
    std::thread::scope(|scope| {
        let all: Vec<_> = (0..4)
            .map(|_| scope.spawn(move || random(session)))
            .collect();
        for one in all {
            assert_eq!(one.join().unwrap(), CKR_OK);
        }
    });
}

#[test]
fn a_child_of_fork_is_another_application() {
    let fake = Fake::new(|request, _| with_random(request));
    let module = Module::new(&fake);
    let session = module.session();
    let child = unsafe { libc::fork() };
    if child == 0 {
        let before = random(session);
        let initialized = call!(C_Initialize, ptr::null_mut());
        // The store and the socket are those that its parent was told.
        let opened = open_session();
        let ended = call!(C_Finalize, ptr::null_mut());
        let again = call!(C_Initialize, ptr::null_mut());
        let results = [initialized, opened, ended, again, open_session()];
        let is_right = before == CKR_CRYPTOKI_NOT_INITIALIZED && results == [CKR_OK; 5];
        unsafe { libc::_exit(i32::from(!is_right)) };
    }
    let mut status = 0;
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    assert_eq!(random(session), CKR_OK);
}

#[test]
fn initialize_and_finalize_in_many_threads() {
    let _turn = turn();
    let fake = Fake::new(|request, _| with_random(request));
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let begun = initialize(&fake);
                    assert!([CKR_OK, CKR_CRYPTOKI_ALREADY_INITIALIZED].contains(&begun));
                    let (listed, _) = slots();
                    assert!(
                        [CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED].contains(&listed),
                        "{listed:#x}"
                    );
                    let ended = call!(C_Finalize, ptr::null_mut());
                    assert!([CKR_OK, CKR_CRYPTOKI_NOT_INITIALIZED].contains(&ended));
                }
            });
        }
    });
    assert_eq!(
        call!(C_Finalize, ptr::null_mut()),
        CKR_CRYPTOKI_NOT_INITIALIZED
    );
}
