//! The module under valgrind.

use super::{Driven, Served};
use std::process::Stdio;

/// No invalid access, no use of what was never written, and nothing lost, in calls of every kind and after the loss of a server.
#[test]
fn memcheck_finds_nothing() {
    let served = Served::new();
    let program = served.compiled("driven");
    let of_slot = served.of_slot(&program, 0);
    let log = served.store.path("valgrind.log");
    let mut command = served.program("valgrind");
    command
        .args([
            "--leak-check=full",
            "--show-leak-kinds=definite",
            "--errors-for-leak-kinds=definite",
        ])
        .args([
            "--error-exitcode=9",
            "--trace-children=no",
            "--num-callers=30",
        ])
        .arg(format!("--log-file={}", log.display()))
        .arg(of_slot.get_program())
        .args(of_slot.get_args())
        .stderr(Stdio::null());
    let mut application = Driven::start(command);
    application.ok("open");
    let key = application.ok("generate 61");
    application.ok(&format!("sign {key}"));
    application.ok("find 61");
    application.ok("random");
    application.says("sign 999999");
    served.kill_servers();
    application.says(&format!("sign {key}"));
    application.ok("open");
    application.ok("again");
    application.ok("open");
    application.ok(&format!("destroy {key}"));
    // The end of its input is the end of the program.
    let ended = application.end();
    let told = std::fs::read_to_string(&log).unwrap();
    assert!(ended.success(), "{ended}: {told}");
    assert!(told.contains("ERROR SUMMARY: 0 errors"), "{told}");
}
