//! One connection: a preamble from each side, a hello, then a reply to each request.

use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use slotfs_token::Owner;
use slotfs_wire::rv::CKR_DEVICE_ERROR;
use slotfs_wire::{Hello, Preamble, Reply, Request, VERSION, Welcome, frame};
use zeroize::Zeroizing;

use super::Shared;
use super::admission::Admitted;
use super::applications::{Joined, Refused};
use super::door::Door;
use super::process::{Credentials, Process};
use super::seats::is_foreign;
use super::stream::Frames;
use super::watch;
use crate::hsm::asker;

/// How long a client may take to introduce itself.
const HELLO_TIMEOUT: Duration = Duration::from_secs(10);

/// A connection before anything is known of it.
pub(crate) struct Connection {
    pub(crate) stream: Arc<UnixStream>,
    pub(crate) credentials: Credentials,
    /// The rights of one that came through a door.
    pub(crate) admitted: Option<Admitted>,
}

impl Connection {
    /// The user to whom it is counted.
    pub(crate) fn uid(&self) -> u32 {
        let admitted = self.admitted.as_ref();
        admitted.map_or(self.credentials.uid, |it| it.uid)
    }
}

/// Serves a connection to its end.
pub(crate) fn serve(connection: Connection, shared: &Shared) {
    let pid = connection.credentials.pid;
    asker::set(connection.uid());
    if let Err(error) = converse(connection, shared) {
        // Applications end at any time, in the middle of a call too.
        log::debug!("the connection of process {pid} ended: {error}");
    }
}

fn converse(connection: Connection, shared: &Shared) -> io::Result<()> {
    let uid = connection.uid();
    let Connection {
        stream,
        credentials,
        admitted,
    } = connection;
    let pid = credentials.pid;
    let complain = |why: &str| {
        let of = credentials.uid;
        watch::complain(uid, &format!("process {pid} of user {of}: {why}"));
    };
    let mut frames = Frames::new(&stream);
    let deadline = Instant::now() + HELLO_TIMEOUT;
    let theirs = Preamble::parse(&frames.preamble(deadline)?);
    // It fits into any socket, so this does not wait.
    (&*stream).write_all(&Preamble::OURS.to_bytes())?;
    match theirs {
        Some(theirs) if theirs == Preamble::OURS => {}
        Some(theirs) => {
            complain(&format!(
                "it speaks version {} of the messages, and this server version {VERSION}; install the module and the program of one version",
                theirs.version
            ));
            return Ok(());
        }
        None => {
            complain("it sent something that is no message of a PKCS#11 module");
            return Ok(());
        }
    }
    let hello = match frames.next(&shared.budget, uid, Some(deadline))? {
        Some((frame, _memory)) => frame::decode::<Request>(frame.header),
        None => return Ok(()),
    };
    frames.forget();
    let Ok(Request::Hello(hello)) = hello else {
        complain("it did not introduce itself");
        return Ok(());
    };
    let send = |frames: &Frames<'_>, reply: &Reply, data: &[u8], door: Option<&OwnedFd>| {
        let door = door.map(AsFd::as_fd);
        frames.send(reply, data, door, &shared.budget, uid)
    };
    let (joined, welcome, door) = match introduce(&hello, credentials, admitted, &stream, shared) {
        Ok(introduced) => introduced,
        Err(why) => {
            complain(why);
            return send(&frames, &Reply::Failed(CKR_DEVICE_ERROR), &[], None);
        }
    };
    send(&frames, &Reply::Welcome(welcome), &[], door.as_ref())?;
    drop(door);
    loop {
        let mut out = Zeroizing::new(Vec::new());
        let Some((frame, memory)) = frames.next(&shared.budget, uid, None)? else {
            return Ok(());
        };
        let request = frame::decode::<Request>(frame.header).map_err(io::Error::other)?;
        shared.requests.fetch_add(1, Ordering::Relaxed);
        let ends = matches!(request, Request::Finalize);
        let reply = joined.application.answer(request, frame.data, &mut out);
        frames.forget();
        drop(memory);
        send(&frames, &reply, &out, None)?;
        // Zeroizing alone wipes byte by byte.
        let mut out = std::mem::take(&mut *out);
        slotfs_crypto::wipe(&mut out);
        if ends {
            joined.finalize();
            return Ok(());
        }
    }
}

/// The application of a connection, new or known; else why it is not let in.
fn introduce<'a>(
    hello: &Hello,
    credentials: Credentials,
    admitted: Option<Admitted>,
    stream: &Arc<UnixStream>,
    shared: &'a Shared,
) -> Result<(Joined<'a>, Welcome, Option<OwnedFd>), &'static str> {
    const RANDOM: &str = "the system has no random numbers";
    if hello.store != shared.store {
        return Err("it means another store than the one that is served here");
    }
    let refused = |why| match why {
        Refused::Unknown => "it names an application that this process does not have",
        Refused::TooMany => "it has too many connections",
        Refused::Closed => "the server ends",
    };
    let process = Process::of_peer(stream, credentials.pid);
    let (process, descriptor) = process.ok_or("the process has ended, or cannot be seen here")?;
    if let Some(token) = hello.application {
        let joined = shared.join(token, process, stream).map_err(refused)?;
        let welcome = Welcome {
            application: token,
            has_door: false,
        };
        return Ok((joined, welcome, None));
    }
    let admitted = admitted.or_else(|| Admitted::at_the_socket(credentials, shared));
    let admitted = admitted.ok_or("it is neither the server's user nor root, and owns no slot")?;
    let mut token = [0; 16];
    getrandom::fill(&mut token).map_err(|_| RANDOM)?;
    let owner = match is_foreign(admitted.uid) {
        true => Owner::Another(admitted.uid),
        false => Owner::Server,
    };
    let made = shared
        .provider
        .application_of(owner, admitted.peer.clone(), hello.user);
    let joined = shared.register(token, made, process, stream);
    let joined = joined.map_err(refused)?;
    shared.watch.add_process(process, descriptor);
    let door = match hello.wants_door {
        true => Door::open(admitted).ok(),
        false => None,
    };
    let theirs = door.and_then(|(ours, theirs)| {
        let most = shared.seats.most_of(ours.admitted.uid);
        shared.watch.add_door(ours, most).then_some(theirs)
    });
    let welcome = Welcome {
        application: token,
        has_door: theirs.is_some(),
    };
    Ok((joined, welcome, theirs))
}
