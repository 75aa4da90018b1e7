//! A client of the token server, as small as can be, and processes that are one.

use std::io::{self, BufRead, BufReader, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use data_encoding::HEXLOWER;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use slotfs_wire::frame::{self, LENGTHS_BYTES, Lengths};
use slotfs_wire::{
    ApplicationToken, Hello, PREAMBLE_BYTES, Preamble, Reply, Request, StoreId, Welcome, Who,
};

use crate::fixture::DEADLINE;

/// The id of a store's file.
pub fn store_id(store: &Path) -> StoreId {
    slotfs_config::store::identify(store).unwrap().1
}

/// A connection.
pub struct Client {
    pub stream: UnixStream,
    pub door: Option<OwnedFd>,
}

impl Client {
    /// Connects, without a word.
    pub fn connect(socket: &Path) -> io::Result<Self> {
        UnixStream::connect(socket).map(Self::over)
    }

    pub fn over(stream: UnixStream) -> Self {
        stream.set_read_timeout(Some(DEADLINE)).unwrap();
        Self { stream, door: None }
    }

    /// Connects and introduces itself, as a new application or as one more connection of `application`.
    pub fn hello(
        socket: &Path,
        store: StoreId,
        application: Option<ApplicationToken>,
    ) -> io::Result<(Self, Reply)> {
        let mut client = Self::connect(socket)?;
        let reply = client.introduce(store, application)?;
        Ok((client, reply))
    }

    /// A new application that must be let in.
    #[track_caller]
    pub fn enter(socket: &Path, store: StoreId) -> (Self, ApplicationToken) {
        match Self::hello(socket, store, None).unwrap() {
            (client, Reply::Welcome(Welcome { application, .. })) => (client, application),
            (_, other) => panic!("not welcome: {other:?}"),
        }
    }

    pub fn introduce(
        &mut self,
        store: StoreId,
        application: Option<ApplicationToken>,
    ) -> io::Result<Reply> {
        self.stream.write_all(&Preamble::OURS.to_bytes())?;
        let mut theirs = [0; PREAMBLE_BYTES];
        self.stream.read_exact(&mut theirs)?;
        assert_eq!(Preamble::parse(&theirs), Some(Preamble::OURS));
        self.ask(&Request::Hello(Hello {
            store,
            application,
            user: Who::Co,
            wants_door: true,
        }))
    }

    pub fn ask(&mut self, request: &Request) -> io::Result<Reply> {
        self.stream.write_all(&frame::encode(request, 0).unwrap())?;
        let mut lengths = [0; LENGTHS_BYTES];
        self.receive(&mut lengths)?;
        let lengths = Lengths::parse(lengths).unwrap();
        let mut rest = vec![0; lengths.header + lengths.data];
        self.stream.read_exact(&mut rest)?;
        Ok(frame::decode(&rest[..lengths.header]).unwrap())
    }

    /// Fills `bytes`, and keeps a descriptor that comes with them.
    fn receive(&mut self, bytes: &mut [u8]) -> io::Result<()> {
        let mut have = 0;
        while have < bytes.len() {
            let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
            let mut control = RecvAncillaryBuffer::new(&mut space);
            let mut rest = [IoSliceMut::new(&mut bytes[have..])];
            let received = recvmsg(
                &self.stream,
                &mut rest,
                &mut control,
                RecvFlags::CMSG_CLOEXEC,
            )?;
            if received.bytes == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
            have += received.bytes;
            for message in control.drain() {
                if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                    self.door = self.door.take().or(descriptors.into_iter().next());
                }
            }
        }
        Ok(())
    }

    /// The slots that it sees.
    #[track_caller]
    pub fn slots(&mut self) -> Vec<u64> {
        let with_token = true;
        match self.ask(&Request::Slots { with_token }).unwrap() {
            Reply::Handles(slots) => slots,
            other => panic!("no slots: {other:?}"),
        }
    }

    /// Whether the server still answers.
    pub fn is_alive(&mut self) -> bool {
        self.ask(&Request::Ping).is_ok_and(|it| it == Reply::Done)
    }

    /// What the server sends before it ends the connection.
    #[track_caller]
    pub fn rest(&mut self) -> Vec<u8> {
        let mut all = Vec::new();
        match self.stream.read_to_end(&mut all) {
            Ok(_) => {}
            Err(error) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Err(error) => panic!("the connection does not end: {error}"),
        }
        all
    }
}

/// Sends one end of a pair of sockets through a door; the other one is the connection.
pub fn through_the_door(door: impl AsFd) -> io::Result<Client> {
    let (ours, theirs) = UnixStream::pair()?;
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    let descriptors = [theirs.as_fd()];
    assert!(control.push(SendAncillaryMessage::ScmRights(&descriptors)));
    sendmsg(
        door.as_fd(),
        &[IoSlice::new(b"x")],
        &mut control,
        SendFlags::NOSIGNAL,
    )?;
    Ok(Client::over(ours))
}

/// What a client in a process of its own does: the words of `$SLOTFS_TEST_CLIENT`.
const DOES: &str = "SLOTFS_TEST_CLIENT";

/// A client in another process. Its standard input may be a door; it ends when it is killed or has done its work.
pub fn process(does: &str, socket: &Path, store: &Path, uid: u32, input: Stdio) -> Child {
    let store = store_id(store);
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "serve::client::other_process", "--nocapture"])
        .env(DOES, does)
        .env("SOCKET", socket)
        .env("STORE", format!("{} {}", store.device, store.inode))
        .current_dir("/")
        .uid(uid)
        .gid(uid)
        .stdin(input)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// The next line that a process says, which begins with `!`.
#[track_caller]
pub fn says(child: &mut Child) -> String {
    let mut output = BufReader::new(child.stdout.as_mut().unwrap());
    loop {
        let mut line = String::new();
        let bytes = output.read_line(&mut line).unwrap();
        assert_ne!(bytes, 0, "the process said nothing");
        // The harness prints before it on the same line.
        if let Some((_, said)) = line.split_once('!') {
            return said.trim().to_owned();
        }
    }
}

/// No test of its own: what [`process`] runs.
#[test]
fn other_process() {
    let Ok(does) = std::env::var(DOES) else {
        return;
    };
    let socket = std::env::var_os("SOCKET").unwrap();
    let socket = Path::new(&socket);
    let store = std::env::var("STORE").unwrap();
    let (device, inode) = store.split_once(' ').unwrap();
    let store = StoreId {
        device: device.parse().unwrap(),
        inode: inode.parse().unwrap(),
    };
    let describe = |hello: io::Result<(Client, Reply)>| match hello {
        Ok((mut client, Reply::Welcome(_))) => println!("!welcome {:?}", client.slots()),
        Ok((_, other)) => println!("!{other:?}"),
        Err(error) => println!("!{:?}", error.kind()),
    };
    let (word, rest) = does.split_once(' ').unwrap_or((&does, ""));
    match word {
        // What it sees as a new application.
        "look" => describe(Client::hello(socket, store, None)),
        // The same as an application of that token.
        "token" => {
            let token = HEXLOWER.decode(rest.as_bytes()).unwrap();
            let token = token.try_into().unwrap();
            describe(Client::hello(socket, store, Some(token)));
        }
        // The same through the door at standard input.
        "door" => {
            let mut client = through_the_door(io::stdin()).unwrap();
            let reply = client.introduce(store, None);
            describe(reply.map(|reply| (client, reply)));
        }
        // Holds a connection until it is killed, and a child of its holds it for longer.
        "hold" => {
            let (client, _) = Client::enter(socket, store);
            let stream = OwnedFd::from(client.stream.try_clone().unwrap());
            let script = "exec 3<&0; sleep 300 >/dev/null 2>&1 & echo $!";
            let child = Command::new("sh")
                .args(["-c", script])
                .stdin(Stdio::from(stream))
                .output()
                .unwrap();
            println!("!{}", String::from_utf8(child.stdout).unwrap().trim());
            std::thread::sleep(DEADLINE);
        }
        // Opens as many connections as it can and holds them, without a word.
        "crowd" => {
            let held: Vec<Client> = (0..1_000)
                .map_while(|_| Client::connect(socket).ok())
                .collect();
            let open = held
                .into_iter()
                .filter_map(|mut client| {
                    let preamble = Preamble::OURS.to_bytes();
                    client.stream.write_all(&preamble).ok()?;
                    client.stream.read_exact(&mut [0; PREAMBLE_BYTES]).ok()?;
                    Some(client)
                })
                .collect::<Vec<_>>();
            println!("!{}", open.len());
            std::thread::sleep(DEADLINE);
        }
        other => panic!("{other}"),
    }
}
