//! A client of a token server, for `slotfs login` and `slotfs logout`.

use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::time::Duration;

use nix::unistd::Uid;
use slotfs_config::{Config, place};
use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{Hello, PREAMBLE_BYTES, Preamble, Reply, Request, StoreId, Who};

use super::process::Credentials;
use super::{failed, file_error, serve_error};
use crate::error::Result;
use crate::shown;

/// An Argon2id on a loaded machine takes some seconds.
const TIMEOUT: Duration = Duration::from_secs(120);
const PAUSE: Duration = Duration::from_millis(20);

/// A connection to the server of a store.
pub(crate) struct Client(UnixStream);

impl Client {
    /// Connects to the server of the store, if one listens.
    ///
    /// # Errors
    /// [`Error::Serve`](crate::error::Error::Serve) when the one that listens is of another version, or is nobody's whom a
    /// PIN may be told.
    pub(crate) fn connect(config: &Config, store: &Path) -> Result<Option<Self>> {
        /// How often a server that is just ending is looked for again.
        const TRIES: u32 = 50;
        let identified = slotfs_config::store::identify(store);
        let (path, store) = identified.map_err(file_error(store))?;
        let mut lost = None;
        for _ in 0..TRIES {
            let sockets = place::sockets(config, &path, true);
            let found = sockets
                .iter()
                .find_map(|socket| UnixStream::connect(socket).ok().map(|it| (socket, it)));
            let Some((socket, stream)) = found else {
                return Ok(None);
            };
            check_owner(&stream, config, socket)?;
            match Self::introduce(stream, store) {
                Ok(introduced) => return introduced.map(Some),
                Err(why) => lost = Some(why),
            }
            std::thread::sleep(PAUSE);
        }
        let why = lost.unwrap_or_else(|| io::ErrorKind::TimedOut.into());
        Err(failed("talk to the token server")(why))
    }

    /// The error is that of the connection: the server may just be ending.
    fn introduce(mut stream: UnixStream, store: StoreId) -> io::Result<Result<Self>> {
        stream.set_read_timeout(Some(TIMEOUT))?;
        stream.write_all(&Preamble::OURS.to_bytes())?;
        let mut theirs = [0; PREAMBLE_BYTES];
        stream.read_exact(&mut theirs)?;
        if Preamble::parse(&theirs) != Some(Preamble::OURS) {
            let what = "the token server is of another version of slotfs; end it, then try again";
            return Ok(Err(serve_error(what)));
        }
        let mut client = Self(stream);
        let hello = Request::Hello(Hello {
            store,
            application: None,
            user: Who::Co,
            wants_door: false,
        });
        Ok(match client.exchange(&hello)? {
            Reply::Welcome(_) => Ok(client),
            _ => Err(serve_error("the token server does not let this user in")),
        })
    }

    /// Asks the server something that it answers without data.
    ///
    /// # Errors
    /// When the connection ends.
    pub(crate) fn ask(&mut self, request: &Request) -> Result<Reply> {
        self.exchange(request)
            .map_err(failed("talk to the token server"))
    }

    fn exchange(&mut self, request: &Request) -> io::Result<Reply> {
        let frame = frame::encode(request, 0).map_err(io::Error::other)?;
        self.0.write_all(&frame)?;
        let mut lengths = [0; LENGTHS_BYTES];
        self.0.read_exact(&mut lengths)?;
        let lengths = Lengths::parse(lengths).map_err(io::Error::other)?;
        let mut whole = vec![0; lengths.header + lengths.data];
        self.0.read_exact(&mut whole)?;
        frame::decode(&whole[..lengths.header]).map_err(io::Error::other)
    }
}

/// Whether the server is root's, one's own, or of the owner that is configured.
fn check_owner(stream: &UnixStream, config: &Config, socket: &Path) -> Result<()> {
    let owner = Credentials::of(stream).map(|it| it.uid);
    let own = Uid::effective().as_raw();
    match owner {
        Some(uid) if uid == 0 || uid == own || Some(uid) == config.owner => Ok(()),
        _ => Err(serve_error(format!(
            "the server at {} is neither root's nor yours, so it is told no password",
            shown::path(socket)
        ))),
    }
}
