//! What docs/containers.md says: a mount in a user namespace, and the image's files.

use std::process::Command;

use super::*;
use crate::fixture::{Store, run};
use crate::namespace;

const DOCKERFILE: &str = "packaging/container/Dockerfile";

/// Root of a user namespace, without any right outside, mounts by mount(2): no fusermount3 is at hand.
#[test]
fn rootless_in_a_user_namespace() {
    let can = run(Command::new("unshare").args(["-Urm", "true"]));
    assert_eq!(
        can.code, 0,
        "user namespaces are off here, and this test needs them (sysctl user.max_user_namespaces, \
         kernel.unprivileged_userns_clone or kernel.apparmor_restrict_unprivileged_userns): {can:?}"
    );
    let store = Store::empty();
    for slot in [0, 1] {
        store.slot(slot, "red");
    }
    store.aes(0, 2);
    let script = r#"
        cat > inside <<'END'
        set -eu
        slotfs() { "$SLOTFS" --store store.db "$@"; }
        at() { grep -c " $PWD/mnt .* - fuse.slotfs " /proc/self/mountinfo || :; }
        slotfs mount mnt --login 0 --login 1 --password-file 0=pw-0 --password-file 1=pw-1
        trap 'umount -l mnt 2>/dev/null || :' EXIT
        [ "$(at)" = 1 ]
        cp mnt/0/1 mnt/1/ && cmp mnt/0/1 mnt/1/1
        mv mnt/0/2 mnt/1/
        [ "$(ls mnt/0)" = 1 ] && [ "$(echo $(ls mnt/1))" = '1 2' ]
        echo nonsense > bad
        if cp bad mnt/1/9; then exit 9; fi
        slotfs umount mnt
        [ "$(at)" = 0 ]
        slotfs partition contents -slot 1 --password-file 1=pw-1
END
        unshare -Urm sh inside
    "#;
    let mut script = namespace::script(&store, "", script);
    script
        .env("FUSERMOUNT_PATH", "/nonexistent")
        .env("SLOTFS_SOCKET", store.socket());
    let out = run(&mut script).ok();
    assert!(out.stderr.contains("Permission denied"), "{out:?}");
    assert_eq!(out.stdout.matches("secret key").count(), 2, "{out:?}");
}

/// The same for a user who has no right outside either: root of the namespace is no root of the system, so its state, its
/// log and its socket are below its home.
#[test]
fn rootless_of_an_ordinary_user() {
    let store = Store::empty();
    store.slot(0, "red");
    store.aes(0, 2);
    let script = r#"
        mknod fuse c 10 229; chmod 666 fuse; mount --bind fuse /dev/fuse
        chmod 755 .; cp "$SLOTFS" slotfs; chmod 755 slotfs; mkdir home
        chown -R nobody store.db* pw-0 mnt home .
        cat > inside <<'END'
        set -eu
        slotfs() { ./slotfs --store store.db "$@"; }
        trap 'umount -l mnt 2>/dev/null || :' EXIT
        slotfs mount mnt --login 0 --password-file 0=pw-0
        cat mnt/0/1 > blob
        slotfs umount mnt
        slotfs serve --background --idle 1
END
        setpriv --reuid nobody --regid nogroup --clear-groups env -i PATH="$PATH" HOME="$PWD/home" LC_ALL=C \
            unshare -Urm sh inside
    "#;
    let out = run(&mut namespace::script(&store, "", script)).ok();
    assert_eq!(out.stderr, "");
    let logs = store.path("home/.local/state/slotfs/log");
    assert_eq!(fs::read_dir(&logs).unwrap().count(), 1, "{logs:?}");
}

/// The instructions of a Dockerfile, continued lines joined, comments aside.
fn instructions(dockerfile: &str) -> Vec<(String, String)> {
    let lines = dockerfile
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    let joined = lines.collect::<Vec<_>>().join("\n").replace("\\\n", " ");
    joined
        .lines()
        .filter_map(|line| line.trim().split_once(' '))
        .map(|(word, rest)| (word.to_uppercase(), rest.trim().to_owned()))
        .collect()
}

/// The patterns of .dockerignore, and whether the last one that fits a path takes it in.
fn is_in_context(ignored: &str, path: &str) -> bool {
    let fits = |pattern: &str| {
        let pattern = pattern.trim_start_matches('/').trim_end_matches('/');
        pattern == "*" || path == pattern || path.starts_with(&format!("{pattern}/"))
    };
    let lines = ignored
        .lines()
        .map(str::trim)
        .filter(|line| !line.is_empty() && !line.starts_with('#'));
    let mut is_in = true;
    for line in lines {
        match line.strip_prefix('!') {
            Some(pattern) if fits(pattern) => is_in = true,
            None if fits(line) => is_in = false,
            _ => {}
        }
    }
    is_in
}

/// Every path that the image takes from the tree is there and not ignored, and the tree's own needs are met: each member of
/// the workspace, the lock file and what the build includes. The compiler is that of the workspace.
#[test]
fn the_image_takes_what_is_there() {
    let (dockerfile, ignored) = (read(DOCKERFILE), read(".dockerignore"));
    let instructions = instructions(&dockerfile);
    let mut taken = Vec::new();
    for (word, rest) in &instructions {
        assert_ne!(word, "ADD", "COPY does it: {rest}");
        if word != "COPY" {
            continue;
        }
        let from_stage = rest.split_whitespace().any(|it| it.starts_with("--from="));
        let mut paths: Vec<&str> = rest
            .split_whitespace()
            .filter(|it| !it.starts_with("--"))
            .collect();
        paths.pop();
        for path in paths.into_iter().filter(|_| !from_stage) {
            assert!(root().join(path).exists(), "{DOCKERFILE} copies {path}");
            assert!(
                is_in_context(&ignored, path),
                ".dockerignore leaves out {path}"
            );
            taken.push(path.trim_end_matches('/').to_owned());
        }
    }
    // Cargo reads all members and the targets that the manifest names, also those that it does not build.
    for needed in [
        "Cargo.toml",
        "Cargo.lock",
        "build.rs",
        "src",
        "crates",
        "benches",
    ] {
        let is_taken = taken.iter().any(|path| path == needed);
        assert!(is_taken, "{DOCKERFILE} does not copy {needed}");
    }
    for secret in ["target", ".git"] {
        assert!(
            !is_in_context(&ignored, secret),
            ".dockerignore lets {secret} in"
        );
    }
    let manifest = read("Cargo.toml");
    let version = manifest
        .split_once("rust-version = \"")
        .unwrap()
        .1
        .split_once('"')
        .unwrap()
        .0;
    let first = instructions
        .iter()
        .find(|(word, _)| word == "FROM")
        .unwrap();
    assert!(
        first.1.starts_with(&format!("rust:{version}-")),
        "{first:?}, and the workspace needs {version}"
    );
    let user = instructions.iter().rfind(|(word, _)| word == "USER");
    assert!(
        user.is_some_and(|(_, name)| name != "root" && name != "0"),
        "the image runs as root: {user:?}"
    );
}
