//! What users of lunacm expect (docs/lunacm.md).

use super::{FAILED, LOGIN, USAGE, one_slot};
use crate::fixture::{password, run_with_input, write_private};
use crate::terminal::Terminal;

/// The label is po's to change, after a question; objects and secrets stay.
#[test]
fn changelabel() {
    let store = one_slot();
    store
        .run("role changepw -name co -slot 0 -oldpw WRONG -newpw another-horse")
        .fails(LOGIN);
    write_private(&store.path("po"), &(password(0) + "\n"));
    write_private(&store.path("co"), "another horse\n");
    store
        .run("role changepw -name co -slot 0 --password-file 0=po -newpasswordfile co")
        .ok();
    let line = "partition changelabel -slot 0 -label renamed";
    store
        .run(&format!("{line} -force --password-file 0:po=co"))
        .fails(LOGIN);
    let out = store
        .run_without_terminal(&format!("{line} --password-file 0:po=po"))
        .fails(FAILED);
    assert!(out.stderr.contains("-force"), "{out:?}");
    assert!(store.run("slot list").ok().stdout.contains("slot0"));
    for bad in ["", &"l".repeat(33)] {
        store
            .args(&["partition", "changelabel", "-slot", "0", "-label", bad])
            .fails(USAGE);
    }
    let out = store
        .run(&format!("{line} -force --json --password-file 0:po=po"))
        .ok()
        .json();
    assert_eq!(out["earlier_label"], "slot0");
    assert_eq!(out["label"], "renamed");
    let list = store.run("slot list").ok().stdout;
    assert!(list.contains("Label ->              renamed\n"), "{list}");
    let out = store
        .run("partition contents -slot 0 --password-file 0=co")
        .ok();
    assert!(out.stdout.contains("key"), "{out:?}");
    // It was sealed again with the new label: an edited one would be damage.
    store.run("store check --password-file 0=co").ok();

    let args = "partition changelabel -slot 0 -label again --password-file 0:po=po";
    let mut terminal = Terminal::spawn(store.command(&args.split(' ').collect::<Vec<_>>()));
    terminal.expect("partition 'renamed' on slot 0 would be called 'again'");
    terminal.expect("->");
    terminal.send_line("quit");
    assert_eq!(terminal.wait().0, FAILED);
}

/// A daemon that is logged in goes on over the new label.
#[test]
fn changelabel_under_a_mount() {
    let store = one_slot();
    let mount = store.start(&[0]);
    store
        .run("partition changelabel -slot 0 -label renamed -force --password-file 0:po=pw-0")
        .ok();
    let blob = std::fs::read(mount.point.join("0/1")).unwrap();
    assert!(!blob.is_empty());
    assert!(mount.point.join("0/1").exists());
}

/// "slot list" has lunacm's lines; "Configuration" says what policies let objects leave.
#[test]
fn slot_list() {
    let store = one_slot();
    let list = store.run("slot list").ok().stdout;
    for line in [
        "        Slot Id ->            0\n",
        "        Label ->              slot0\n",
        "        Model ->              slotfs\n",
        &format!(
            "        Firmware Version ->   {}\n",
            env!("CARGO_PKG_VERSION")
        ),
        "        Configuration ->      User Partition With SO (PW) Cloning Mode\n",
        "        Slot Description ->   User Token Slot\n",
        "        Current Slot Id: 0\n",
    ] {
        assert!(list.contains(line), "{line}: {list}");
    }
    store
        .run("partition changepolicy -policy 0,1 -value 0,1 -slot 0 -force --password-file 0:po=pw-0")
        .ok();
    let list = store.run("slot list --json").ok().json();
    let configuration = &list["slots"][0]["configuration"];
    assert_eq!(configuration, "User Partition With SO (PW) Key Export Mode");
    assert_eq!(list["slots"][0]["model"], "slotfs");
    let shown = store.run("slot configshow -slot 0").ok().stdout;
    assert!(shown.contains("Key Export Mode"), "{shown}");
    let shown = store.run("slot configshow -slot 0 --json").ok().json();
    assert_eq!(shown["failed_logins_allowed"], 10);
    let out = store
        .run("slot configset -slot 0 -parameter retention -value 7d")
        .fails(USAGE);
    assert!(out.stderr.contains("'partition set'"), "{out:?}");
}

/// "-quiet": failures and one line.
#[test]
fn a_quiet_clone() {
    let store = one_slot();
    store.slot(1, "red");
    store.slot(2, "blue");
    let clone = |slot: u32, more: &str| {
        store.run(&format!(
            "partition clone -slot {slot} {more} --password-file 0=pw-0 --password-file {slot}=pw-{slot}"
        ))
    };
    let out = clone(1, "-objects all -Quiet").ok();
    assert_eq!(
        out.stdout,
        "        1 object cloned, 0 already there, 0 failed.\n\nCommand Result : No Error\n"
    );
    let out = clone(1, "-objects 1,9 -q -f").fails(FAILED);
    let lines: Vec<&str> = out.stdout.lines().collect();
    assert_eq!(lines.len(), 4, "{out:?}");
    assert!(lines[0].contains("Handle 9"), "{out:?}");
    assert!(lines[1].ends_with("0 objects cloned, 1 already there, 1 failed."));
    let out = clone(2, "-objects all -q").fails(FAILED);
    assert!(out.stdout.contains("no domain of this slot opens it"));
    // Refused without an answer: there is nothing to sum up.
    let out = clone(1, "-objects all -q").fails(FAILED);
    assert!(out.stdout.trim_start().starts_with("Command Result"));
    let out = clone(1, "-objects 1,9 -q -f --json").fails(FAILED).json();
    assert_eq!(out["objects"].as_array().unwrap().len(), 1);
    assert_eq!(out["already"], 1);
}

/// "role init": lunacm's options.
#[test]
fn role_init() {
    let store = one_slot();
    store
        .run("ROLE INIT -NAME CU -PASSWORD Crypto-User -FORCE -slot 0 --password-file 0=pw-0")
        .ok();
    store
        .run("role login -name cu -password Crypto-User -slot 0")
        .ok();
    store
        .run("role login -name cu -password crypto-user -slot 0")
        .fails(LOGIN);
}

/// Every command ends with its result; what is data for a pipe has none.
#[test]
fn command_result() {
    let store = one_slot();
    let _mount = crate::logs::Cleared::at(&store);
    for line in [
        "mount mnt --login 0 --password-file 0=pw-0",
        "umount mnt",
        "slot list",
        "slot configshow -slot 0",
        "domain newkey blue.pem",
        "serve --background",
        "store backup copy.db",
        "store check",
    ] {
        let out = store.run(line).ok();
        assert!(
            out.stdout.ends_with("\nCommand Result : No Error\n"),
            "{line}: {out:?}"
        );
    }
    write_private(&store.path("wrong"), "not the password\n");
    let out = store
        .run("mount mnt --login 0 --password-file 0=wrong")
        .fails(LOGIN);
    assert!(
        out.stdout
            .ends_with("\nCommand Result : 0xa0 (CKR_PIN_INCORRECT)\n"),
        "{out:?}"
    );
    store
        .run_in(0, "object import -type data -file pw-0 -label data")
        .ok();
    for line in [
        "domain newstring",
        "domain newkey -",
        "object export -handle 2 -file - -slot 0 --password-file 0=pw-0",
    ] {
        let out = store.run(line).ok();
        assert!(!out.stdout.contains("Command Result"), "{line}: {out:?}");
    }
}

/// The shell's own words, too.
#[test]
fn the_shell_in_any_case() {
    let store = one_slot();
    let script = "SLOTFS Slot List\nSlot SET -Slot 0\nHELP\nEXIT\nnonsense\n";
    let out = run_with_input(&mut store.command(&[]), script.as_bytes()).ok();
    assert!(out.stdout.contains("Current Slot Id: 0"), "{out:?}");
}
