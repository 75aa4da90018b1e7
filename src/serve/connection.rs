//! One connection: a preamble from each side, a hello, then a reply to each request.

use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::time::{Duration, Instant};

use slotfs_wire::rv::CKR_DEVICE_ERROR;
use slotfs_wire::{Hello, Preamble, Reply, Request, VERSION, Welcome, frame};
use zeroize::Zeroizing;

use super::Shared;
use super::admission::Admitted;
use super::applications::Registered;
use super::door::Door;
use super::process::{Credentials, Process};
use super::stream::Frames;

/// How long a client may take to introduce itself.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// Serves a connection to its end. `admitted` are the rights of one that came through a door.
pub(crate) fn serve(stream: &UnixStream, admitted: Option<Admitted>, shared: &Arc<Shared>) {
    let Some(credentials) = Credentials::of(stream) else {
        return;
    };
    let pid = credentials.pid.as_raw_nonzero().get();
    if let Err(error) = converse(stream, credentials, admitted, shared) {
        // Applications end at any time, in the middle of a call too.
        log::debug!("the connection of process {pid} ended: {error}");
    }
}

fn converse(
    stream: &UnixStream,
    credentials: Credentials,
    admitted: Option<Admitted>,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    let pid = credentials.pid.as_raw_nonzero().get();
    let mut frames = Frames::new(stream)?;
    let theirs = Preamble::parse(&frames.preamble()?);
    let mut writer = stream;
    writer.write_all(&Preamble::OURS.to_bytes())?;
    match theirs {
        Some(theirs) if theirs == Preamble::OURS => {}
        Some(theirs) => {
            log::warn!(
                "process {pid} speaks version {} of the messages, and this server version {VERSION}: install the module and the program of one version",
                theirs.version
            );
            return Ok(());
        }
        None => {
            log::warn!("process {pid} sent something that is no message of a PKCS#11 module");
            return Ok(());
        }
    }
    let deadline = Some(Instant::now() + HELLO_TIMEOUT);
    let hello = match frames.next(&shared.budget, deadline)? {
        Some(frame) => frame::decode::<Request>(frame.header),
        None => return Ok(()),
    };
    let Ok(Request::Hello(hello)) = hello else {
        log::warn!("process {pid} did not introduce itself");
        return Ok(());
    };
    let refuse = |why: &str| {
        shared.watch.refusal(credentials.uid, || {
            format!("process {pid} of user {}: {why}", credentials.uid)
        });
        frames.send(&Reply::Failed(CKR_DEVICE_ERROR), &[], None)
    };
    if hello.store != shared.store {
        return refuse("it means another store than the one that is served here");
    }
    let Some((registered, welcome, door)) = introduce(&hello, credentials, admitted, shared) else {
        return refuse(
            "it was not let in: it is not the server's user, owns no slot, and is no known application",
        );
    };
    let Some(number) = registered.add(stream) else {
        return refuse("it has too many connections");
    };
    let sent = frames.send(
        &Reply::Welcome(welcome.clone()),
        &[],
        door.as_ref().map(|door| door.as_fd()),
    );
    drop(door);
    let ended = sent.and_then(|()| answer_all(&mut frames, &registered, shared));
    registered.remove(number);
    shared.applications.end_if_alone(&welcome.application);
    ended
}

/// The application of a connection, new or known; `None` for one that is not let in.
fn introduce(
    hello: &Hello,
    credentials: Credentials,
    admitted: Option<Admitted>,
    shared: &Arc<Shared>,
) -> Option<(Arc<Registered>, Welcome, Option<std::os::fd::OwnedFd>)> {
    let (process, descriptor) = Process::open(credentials.pid)?;
    if let Some(application) = hello.application {
        let registered = shared.applications.find(&application, process)?;
        let welcome = Welcome {
            application,
            has_door: false,
        };
        return Some((registered, welcome, None));
    }
    let admitted = admitted.or_else(|| Admitted::at_the_socket(credentials, shared))?;
    let mut application = [0; 16];
    getrandom::fill(&mut application).ok()?;
    let door = match hello.wants_door {
        true => Door::open(admitted.clone()).ok(),
        false => None,
    };
    let (ours, theirs) = door.map_or((None, None), |(ours, theirs)| (Some(ours), Some(theirs)));
    let made = shared
        .provider
        .application(admitted.peer.clone(), hello.user);
    let registered = shared
        .applications
        .register(application, made, process, admitted);
    shared.watch.add(process, descriptor, ours);
    let welcome = Welcome {
        application,
        has_door: theirs.is_some(),
    };
    Some((registered, welcome, theirs))
}

fn answer_all(
    frames: &mut Frames<'_>,
    registered: &Registered,
    shared: &Arc<Shared>,
) -> io::Result<()> {
    loop {
        let mut out = Zeroizing::new(Vec::new());
        let (reply, ends) = {
            let Some(frame) = frames.next(&shared.budget, None)? else {
                return Ok(());
            };
            let request = frame::decode::<Request>(frame.header).map_err(io::Error::other)?;
            let ends = matches!(request, Request::Finalize);
            let application = &registered.application;
            (application.answer(request, frame.data, &mut out), ends)
        };
        frames.send(&reply, &out, None)?;
        // It goes out of memory quickly: zeroize alone writes byte by byte.
        let mut out = std::mem::take(&mut *out);
        slotfs_crypto::wipe(&mut out);
        if ends {
            return Ok(());
        }
    }
}
