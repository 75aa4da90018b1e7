//! `--version`: its first line is the release; the rest is the same in text and in JSON.

use crate::fixture::Store;

#[test]
fn the_first_line_is_the_release_and_the_rest_is_what_json_says() {
    let store = Store::empty();
    let text = store.run("--version").ok().stdout;
    let mut lines = text.lines();
    let first = format!("slotfs {}", env!("CARGO_PKG_VERSION"));
    assert_eq!(lines.next(), Some(first.as_str()));
    let json = store.run("--version --json").ok().json();
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    assert_eq!(json["program"], "slotfs");
    let mut said = 2;
    for line in lines {
        let (name, value) = line.split_once(": ").unwrap();
        let field = &json[name.to_lowercase().replace([' ', '-'], "_")];
        let of_json = match field {
            serde_json::Value::String(text) => text.clone(),
            serde_json::Value::Array(all) if all.is_empty() => "none".into(),
            serde_json::Value::Array(all) => {
                let texts = all.iter().map(|it| it.to_string().replace('"', ""));
                texts.collect::<Vec<_>>().join(", ")
            }
            other => other.to_string(),
        };
        assert_eq!(of_json, value, "{name}");
        said += 1;
    }
    assert_eq!(json.as_object().unwrap().len(), said);
}

/// The commit is the one that git has checked out, where the tests run in a clone.
#[test]
fn the_commit_is_that_of_the_tree() {
    let json = Store::empty().run("--version --json").ok().json();
    let commit = json["commit"].as_str().unwrap();
    let is_hex = commit.bytes().all(|byte| byte.is_ascii_hexdigit());
    assert!(
        commit == "unknown" || (is_hex && commit.len() >= 7),
        "{commit}"
    );
    // The tree may be no clone.
    let git = std::process::Command::new("git")
        .args(["-C", env!("CARGO_MANIFEST_DIR"), "rev-parse", "HEAD"])
        .output();
    if let Ok(git) = git
        && git.status.success()
    {
        assert_eq!(commit, String::from_utf8(git.stdout).unwrap().trim());
    }
}
