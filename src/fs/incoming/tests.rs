use super::*;
use crate::object::RowId;

const WRITER: u32 = 7;

fn blob() -> Vec<u8> {
    let vectors = include_str!("../../../tests/vectors/blob.json");
    let vectors: serde_json::Value = serde_json::from_str(vectors).unwrap();
    let blob = vectors["vectors"][0]["blob"].as_str().unwrap();
    data_encoding::HEXLOWER.decode(blob.as_bytes()).unwrap()
}

fn open(verdict_at: VerdictAt) -> Incoming {
    Incoming::new(SlotId(0), verdict_at, false)
}

fn over(verdict_at: VerdictAt) -> Incoming {
    open(verdict_at)
        .over(Node::Object(RowId(3)), WRITER)
        .over_object(500, false)
}

/// What the filesystem does with a step, without a slot: `Err` is what the caller hears.
fn act(step: Step) -> Result<bool, i32> {
    match step {
        Step::Done => Ok(false),
        Step::Fail(errno) => Err(errno),
        Step::Refuse(why) => Err(why.errno()),
        Step::Submit(_) => Ok(true),
        Step::Wait => panic!("nothing is under way"),
    }
}

fn write(incoming: &mut Incoming, offset: u64, data: &[u8]) -> Result<bool, i32> {
    act(incoming.write(offset, data))
}

fn truncate(incoming: &mut Incoming, length: u64) -> Result<bool, i32> {
    act(incoming.truncate(length))
}

fn flush(incoming: &mut Incoming, ends: Ends) -> Result<bool, i32> {
    act(incoming.flush(WRITER, ends))
}

#[test]
fn the_write_that_completes_it_brings_the_verdict_in_whatever_order() {
    let blob = blob();
    let half = blob.len() / 2;
    let mut incoming = open(VerdictAt::Write);
    assert_eq!(write(&mut incoming, half as u64, &blob[half..]), Ok(false));
    assert_eq!(flush(&mut incoming, Ends::Sync), Ok(false));
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    assert_eq!(write(&mut incoming, 0, &blob[..half]), Ok(true));
    assert!(incoming.is_deciding());
    assert!(incoming.decided(Ok(())).is_empty());
    assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
    // The same bytes again are nothing new; others are not what was stored.
    assert_eq!(write(&mut incoming, 0, &blob), Ok(false));
    let end = blob.len() as u64;
    assert_eq!(write(&mut incoming, end, b"x"), Err(libc::EACCES));
}

#[test]
fn a_rejection_is_repeated_to_everything_but_the_close_of_who_was_told() {
    let mut incoming = open(VerdictAt::Write);
    assert_eq!(write(&mut incoming, 0, b"not a blob"), Err(libc::EACCES));
    assert_eq!(write(&mut incoming, 0, &blob()), Err(libc::EACCES));
    assert_eq!(truncate(&mut incoming, 0), Err(libc::EACCES));
    assert_eq!(flush(&mut incoming, Ends::Sync), Err(libc::EACCES));
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    incoming.rejection_seen_by(WRITER);
    assert_eq!(flush(&mut incoming, Ends::Sync), Err(libc::EACCES));
    incoming.rejection_seen_by(WRITER + 1);
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    incoming.rejection_seen_by(WRITER);
    assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
}

#[test]
fn opened_without_trunc_it_waits_for_ftruncate_or_close() {
    let blob = blob();
    let mut incoming = open(VerdictAt::Close);
    assert_eq!(write(&mut incoming, 0, &blob), Ok(false));
    assert_eq!(truncate(&mut incoming, blob.len() as u64), Ok(true));
    let mut incoming = open(VerdictAt::Close);
    assert_eq!(write(&mut incoming, 0, &blob), Ok(false));
    assert_eq!(flush(&mut incoming, Ends::Close), Ok(true));
    let mut incoming = open(VerdictAt::Close);
    assert_eq!(write(&mut incoming, 0, b"not a blob"), Ok(false));
    assert_eq!(truncate(&mut incoming, 10), Err(libc::EACCES));
    incoming.rejection_seen_by(WRITER);
    assert_eq!(flush(&mut incoming, Ends::Sync), Ok(false));
    assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
}

#[test]
fn trunc_after_the_open_moves_the_verdict_to_the_write() {
    let mut incoming = open(VerdictAt::Close).over(Node::Object(RowId(3)), WRITER);
    assert!(!incoming.opened_with_trunc(Node::Object(RowId(4)), WRITER));
    assert!(!incoming.opened_with_trunc(Node::Object(RowId(3)), WRITER + 1));
    assert!(incoming.opened_with_trunc(Node::Object(RowId(3)), WRITER));
    assert_eq!(write(&mut incoming, 0, &blob()), Ok(true));
}

/// A tool that opens without O_TRUNC, calls ftruncate(0), and ignores what close and ftruncate say.
#[test]
fn after_ftruncate_to_nothing_the_completing_write_brings_the_verdict() {
    let blob = blob();
    let mut incoming = over(VerdictAt::Close);
    assert_eq!(truncate(&mut incoming, 0), Ok(false));
    assert_eq!(write(&mut incoming, 0, &blob[..20]), Ok(false));
    assert_eq!(write(&mut incoming, 20, &blob[20..]), Ok(true));
    let mut incoming = open(VerdictAt::Close);
    assert_eq!(write(&mut incoming, 0, b"not a blob"), Ok(false));
    assert_eq!(truncate(&mut incoming, 0), Ok(false));
    assert_eq!(write(&mut incoming, 0, b"not a blob"), Err(libc::EACCES));
}

#[test]
fn another_size_and_nothing_written_is_refused_where_it_ends() {
    for verdict_at in [VerdictAt::Close, VerdictAt::Write] {
        for length in [10, 499, 501, 60_000] {
            let mut incoming = over(verdict_at);
            assert_eq!(truncate(&mut incoming, length), Ok(false));
            assert_eq!(flush(&mut incoming, Ends::Sync), Err(libc::EPERM));
            assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EPERM));
            assert!(incoming.release().is_none() && incoming.left_nothing());
            // Tools that set the size first.
            assert_eq!(truncate(&mut incoming, blob().len() as u64), Ok(false));
            let judged = write(&mut incoming, 0, &blob()).unwrap();
            assert!(judged || flush(&mut incoming, Ends::Close) == Ok(true));
        }
        let mut incoming = over(verdict_at);
        truncate(&mut incoming, 10).unwrap();
        truncate(&mut incoming, 500).unwrap();
        assert_eq!(flush(&mut incoming, Ends::Close), Ok(false), "its own");
        assert!(incoming.release().is_none() && !incoming.left_nothing());
    }
    let mut incoming = open(VerdictAt::Close);
    truncate(&mut incoming, 0).unwrap();
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EPERM));
}

#[test]
fn what_is_appended_to_an_object_is_refused_at_the_write() {
    let mut incoming = open(VerdictAt::Write).over_object(500, true);
    assert_eq!(write(&mut incoming, 500, b"x"), Err(libc::EACCES));
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    let mut incoming = open(VerdictAt::Write);
    assert_eq!(write(&mut incoming, 0, &blob()), Ok(true), "a free name");
}

#[test]
fn nothing_written_is_no_verdict_unless_it_was_opened_exclusively() {
    let mut incoming = open(VerdictAt::Write);
    assert_eq!(flush(&mut incoming, Ends::Close), Ok(false));
    assert!(incoming.release().is_none(), "there is nothing to tell");
    write(&mut incoming, 0, &blob()[..20]).unwrap();
    assert!(incoming.release().is_some());
    let mut incoming = Incoming::new(SlotId(0), VerdictAt::Write, true);
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    assert!(incoming.release().is_some());
    // Only incomplete: it may still be completed.
    assert_eq!(write(&mut incoming, 0, &blob()), Ok(true));
}

#[test]
fn longer_than_it_says_or_than_any_blob() {
    let mut long = blob();
    long.push(0);
    let mut incoming = open(VerdictAt::Write);
    assert_eq!(write(&mut incoming, 0, &long), Err(libc::EACCES));
    let mut incoming = open(VerdictAt::Write);
    assert_eq!(write(&mut incoming, 1 << 30, b"x"), Err(libc::EFBIG));
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EFBIG));
}

#[test]
fn a_request_that_comes_meanwhile_waits_for_the_verdict() {
    let mut incoming = open(VerdictAt::Write);
    assert_eq!(write(&mut incoming, 0, &blob()), Ok(true));
    assert!(matches!(incoming.flush(WRITER, Ends::Close), Step::Wait));
    let (sender, receiver) = std::sync::mpsc::channel();
    incoming.wait(Box::new(move || sender.send("again").unwrap()));
    for waiter in incoming.decided(Err(libc::ENOSPC)) {
        waiter();
    }
    assert_eq!(receiver.recv(), Ok("again"));
    assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::ENOSPC));
}

/// "fsync of an incomplete blob: success"; of bytes that cannot become a blob, the verdict.
#[test]
fn fsync_refuses_what_cannot_become_a_blob() {
    let blob = blob();
    for verdict_at in [VerdictAt::Close, VerdictAt::Write] {
        let mut incoming = open(verdict_at);
        write(&mut incoming, 0, &blob[..20]).unwrap();
        assert_eq!(flush(&mut incoming, Ends::Sync), Ok(false));
    }
    for bad in [b"not a blob".to_vec(), [&blob[..], b"x"].concat()] {
        let mut incoming = open(VerdictAt::Close);
        assert_eq!(write(&mut incoming, 0, &bad), Ok(false));
        assert_eq!(flush(&mut incoming, Ends::Sync), Err(libc::EACCES));
        assert_eq!(flush(&mut incoming, Ends::Close), Err(libc::EACCES));
    }
}
