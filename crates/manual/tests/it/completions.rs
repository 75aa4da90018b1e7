//! Completions in the shells that they are for.

use crate::{run, written};

/// bash, asked as readline asks: the words of a line, of which the last one is not finished.
fn offered(words: &[&str]) -> Vec<String> {
    let folder = written();
    let script = folder.path().join("bash/slotfs");
    let ask = r#"
        . "$1"
        shift
        COMP_WORDS=("$@")
        COMP_CWORD=$(($# - 1))
        function=$(complete -p slotfs | sed -E 's/.*-F ([^ ]+).*/\1/')
        "$function" slotfs "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD - 1]}"
        printf '%s\n' "${COMPREPLY[@]}"
    "#;
    let args = [&["-c", ask, "bash", script.to_str().unwrap()], words].concat();
    let out = run("bash", &args);
    let text = String::from_utf8(out.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn bash_completes_verbs_and_options() {
    assert_eq!(offered(&["slotfs", "part"]), ["partition"]);
    let verbs = offered(&["slotfs", "partition", "cl"]);
    assert!(verbs.contains(&"clone".to_owned()), "{verbs:?}");
    let options = offered(&["slotfs", "partition", "clone", "--obj"]);
    assert_eq!(options, ["--objects"]);
    // What only slotfs itself uses is not offered.
    assert_eq!(offered(&["slotfs", "mount", "--handed"]), [""]);
}

#[test]
fn zsh_and_fish_read_their_scripts() {
    let folder = written();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    run("zsh", &["-n", &path("zsh/_slotfs")]);
    let load = format!(
        "autoload -Uz compinit && compinit -u -D && source {}",
        path("zsh/_slotfs")
    );
    run("zsh", &["-f", "-c", &load]);
    let load = format!(
        "source {}; complete -C 'slotfs part'",
        path("fish/slotfs.fish")
    );
    let out = run("fish", &["--no-config", "-c", &load]);
    let offered = String::from_utf8_lossy(&out.stdout).into_owned();
    assert!(offered.starts_with("partition"), "{offered}");
}
