//! Keys never enter the application.

use std::fs::{self, File};
use std::os::unix::fs::FileExt;

use super::Served;
use crate::fixture::handles;

/// Whether the readable memory of a process has one of these.
fn has(process: u32, wanted: &[&[u8]]) -> bool {
    let maps = fs::read_to_string(format!("/proc/{process}/maps")).unwrap();
    let memory = File::open(format!("/proc/{process}/mem")).unwrap();
    let mut looked_at = 0;
    let found = maps.lines().any(|line| {
        let mut words = line.split_whitespace();
        let (range, rights) = (words.next().unwrap(), words.next().unwrap());
        if !rights.starts_with('r') || line.ends_with("[vvar]") || line.ends_with("[vsyscall]") {
            return false;
        }
        let (from, to) = range.split_once('-').unwrap();
        let [from, to] = [from, to].map(|text| u64::from_str_radix(text, 16).unwrap());
        let mut bytes = vec![0; usize::try_from(to - from).unwrap()];
        // What was unmapped meanwhile is not there to be read.
        let read = memory.read_at(&mut bytes, from).unwrap_or(0);
        looked_at += read;
        wanted.iter().any(|wanted| {
            bytes[..read]
                .windows(wanted.len())
                .any(|window| window == *wanted)
        })
    });
    assert!(
        found || looked_at > 100_000,
        "only {looked_at} bytes were read"
    );
    found
}

/// The value of an imported key is nowhere in the application that signs with it, in either order of its bytes.
#[test]
fn the_application_has_no_key_bytes_while_it_signs() {
    let served = Served::new();
    served
        .sh(
            "openssl ecparam -name prime256v1 -genkey -noout -out key.pem
            openssl ec -in key.pem -outform der -out key.der",
        )
        .ok();
    // SEC 1: 30 77 02 01 01 04 20, and the value.
    let der = fs::read(served.store.path("key.der")).unwrap();
    assert_eq!(der[5..7], [4, 32]);
    let value = &der[7..39];
    let backwards: Vec<u8> = value.iter().rev().copied().collect();
    let out = served
        .store
        .run_in(
            0,
            "object import -file key.pem -label imported -id 51 -attribute sign=true",
        )
        .ok();
    assert!(!handles(&out.stdout).is_empty());

    let mut application = served.driven(0);
    application.ok("open");
    let key = application.ok("find 51");
    let process = application.child.id();
    application.tell(&format!("sign-for 3000 {key}"));
    for _ in 0..5 {
        // Halves too: what is copied in parts.
        assert!(!has(
            process,
            &[
                &value[..16],
                &value[16..],
                &backwards[..16],
                &backwards[16..]
            ]
        ));
    }
    // It did sign meanwhile, and what the application does have is found.
    let answer = application.answer();
    assert!(
        answer.starts_with("ok ") && answer.ends_with(" 0"),
        "{answer}"
    );
    let label: &[u8] = b"slot0\0";
    assert!(has(process, &[label]));
}
