//! docs/troubleshooting.md names every errno, exit status, CKR code and message that the code can give, and no other.

use super::*;

const PAGE: &str = "docs/troubleshooting.md";
const OUTCOMES: &str = "crates/hsm/src/error/outcome.rs";

/// A file without its comments and without its unit tests, which stand at its end. What else is for tests alone stays.
fn product(path: &Path) -> String {
    let text = fs::read_to_string(path).unwrap();
    let text = text.split("\n#[cfg(test)]\nmod tests {").next().unwrap();
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines()
        .filter(is_code)
        .map(|line| format!("{line}\n"))
        .collect()
}

/// The words of a text: letters, digits and underscores.
fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_')
        .filter(|word| !word.is_empty())
}

/// The first two cells of each row of the page's tables.
fn rows(page: &str) -> impl Iterator<Item = (&str, &str)> {
    let rows = page.lines().filter_map(|line| line.strip_prefix("| "));
    rows.map(|row| {
        let mut cells = row.split(" | ").map(str::trim);
        (
            cells.next().unwrap_or_default(),
            cells.next().unwrap_or_default(),
        )
    })
}

/// The numbers of errnos by name.
fn errnos() -> BTreeMap<String, i32> {
    let known = (1..134).map(|number| (format!("{:?}", Errno::from_raw(number)), number));
    known.collect()
}

/// The errnos that a text names. `prefix` stands before each of them.
fn errnos_in(text: &str, prefix: &str) -> BTreeSet<String> {
    let known = errnos();
    let named = words(text).filter(|word| known.contains_key(*word));
    named
        .filter(|word| text.contains(&format!("{prefix}{word}")))
        .map(str::to_owned)
        .collect()
}

#[track_caller]
fn nothing_is_missing(what: &str, missing: &[String]) {
    assert!(
        missing.is_empty(),
        "{PAGE} lacks {} {what}:\n{}",
        missing.len(),
        missing.join("\n")
    );
}

/// What the code gives the kernel, what docs/mount.md says about it, and the words that tools print.
#[test]
fn every_errno_is_explained() {
    let page = read(PAGE);
    let explained: BTreeMap<&str, &str> = rows(&page)
        .filter(|(name, _)| errnos().contains_key(*name))
        .collect();
    let mut given = errnos_in(&product(&root().join(OUTCOMES)), "");
    given.extend(errnos_in(&product(&root().join("src/error.rs")), "libc::"));
    let mount = read("docs/mount.md");
    let errors = mount.split_once("\n## Errors\n").unwrap().1;
    let table = errors.split("\n## ").next().unwrap();
    given.extend(
        rows(table)
            .map(|(name, _)| name.to_owned())
            .filter(|name| errnos().contains_key(name)),
    );
    assert!(given.len() > 18, "only {given:?} were found");
    let missing: Vec<_> = given
        .into_iter()
        .filter(|name| !explained.contains_key(name.as_str()))
        .collect();
    nothing_is_missing("errnos", &missing);
    for (name, said) in explained {
        let system = std::io::Error::from_raw_os_error(errnos()[name]).to_string();
        let system = system.split(" (os error").next().unwrap();
        assert_eq!(said, system, "what tools print for {name}");
    }
}

#[test]
fn every_exit_status_is_explained() {
    let (page, code) = (read(PAGE), product(&root().join(OUTCOMES)));
    let statuses: Vec<String> = code
        .lines()
        .filter_map(|line| {
            line.trim()
                .strip_prefix("pub const ")?
                .split_once(": u8 = ")
        })
        .map(|(_, number)| number.trim_end_matches(';').to_owned())
        .collect();
    assert_eq!(statuses.len(), 7, "{statuses:?}");
    let has_row = |status: &String| rows(&page).any(|(cell, _)| cell == status);
    let missing: Vec<_> = statuses
        .into_iter()
        .filter(|status| !has_row(status))
        .collect();
    nothing_is_missing("exit statuses", &missing);
}

/// The codes of commands, and those of the module and its server; and no code that there is not.
#[test]
fn every_code_is_explained() {
    let page = read(PAGE);
    let explained: BTreeSet<&str> = words(&page)
        .filter(|word| word.starts_with("CKR_"))
        .collect();
    let outcomes = product(&root().join(OUTCOMES));
    let table = outcomes.split_once("\n    codes! {").unwrap().1;
    let mut given: BTreeSet<String> = table
        .lines()
        .map_while(|line| match line.trim() {
            "" => Some(None),
            "}" => None,
            line => Some(
                line.split_once(" = ")
                    .map(|(name, _)| format!("CKR_{name}")),
            ),
        })
        .flatten()
        .collect();
    assert!(given.len() > 30, "only {given:?} were found");
    for file in sources(&["crates/token/src", "crates/pkcs11/src"]) {
        let is_test = file
            .iter()
            .any(|part| part == "tests" || part == "tests.rs" || part == "testing.rs");
        if !is_test {
            let code = product(&file);
            given.extend(
                words(&code)
                    .filter(|word| word.starts_with("CKR_"))
                    .map(str::to_owned),
            );
        }
    }
    given.remove("CKR_OK");
    let missing: Vec<_> = given
        .iter()
        .filter(|code| !explained.contains(code.as_str()))
        .cloned()
        .collect();
    nothing_is_missing("codes", &missing);
    let strange: Vec<_> = explained
        .iter()
        .filter(|code| !given.contains(**code))
        .collect();
    assert!(
        strange.is_empty(),
        "{PAGE} explains {strange:?}, which nothing gives"
    );
}

/// The string literals that follow `before` in a text, in a `format!` or not, unescaped as far as messages need it.
fn literals<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = String> + 'a {
    text.match_indices(before).filter_map(move |(at, _)| {
        let rest = text[at + before.len()..].trim_start();
        let rest = rest.strip_prefix("format!(").unwrap_or(rest).trim_start();
        let rest = rest.strip_prefix('"')?;
        let end = rest
            .match_indices('"')
            .find(|(at, _)| !rest[..*at].ends_with('\\'))?
            .0;
        Some(rest[..end].replace("\\\"", "\""))
    })
}

/// A message as the page writes it: without its slot, `…` for what differs, and none of these at the ends. `None` if too
/// little of it is the same every time.
fn written(message: &str) -> Option<String> {
    let message = message.strip_prefix("slot {slot}: ").unwrap_or(message);
    let mut parts = message.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push('…');
        text.push_str(part.split_once('}').map_or("", |(_, after)| after));
    }
    let text = text.trim_matches(|c| " :,;()…".contains(c)).to_owned();
    let has_words = text.split('…').any(|part| part.trim().len() >= 6);
    has_words.then_some(text)
}

/// Each message of an error type, of a mount that fails and of a server that fails is on the page.
#[test]
fn every_message_is_explained() {
    let page = read(PAGE);
    let mut missing = Vec::new();
    let mut found = 0;
    let folders = [
        "src/error.rs",
        "src/daemon.rs",
        "src/daemon",
        "src/serve.rs",
        "src/serve",
        "crates/hsm/src",
        "crates/store/src",
        "crates/seal/src",
        "crates/object/src",
        "crates/keyfile/src",
    ];
    for file in sources(&folders) {
        let code = product(&file);
        let starts = ["#[error(", "mount_error(", "serve_error("];
        for message in starts.iter().flat_map(|start| literals(&code, start)) {
            let Some(text) = written(&message) else {
                continue;
            };
            found += 1;
            if !page.contains(&text) {
                missing.push(format!(
                    "{}: {message}",
                    file.strip_prefix(root()).unwrap().display()
                ));
            }
        }
    }
    assert!(found > 150, "only {found} messages were found");
    nothing_is_missing("messages", &missing);
}

/// What the page quotes in the first column of its tables is in the code. Ours begin with a small letter or a placeholder.
#[test]
fn every_message_on_the_page_is_one() {
    let page = read(PAGE);
    let code: String = sources(&["src", "crates"])
        .iter()
        .map(|file| product(file))
        .collect();
    // Those of the system and of other programs, and those that the code puts together from parts.
    let others = [
        "No such file or directory",
        "Permission denied",
        "fusermount3: ",
        "database is locked",
        "the identity … of handle",
        "cannot open /dev/fuse",
        "and its daemon does not answer",
    ];
    let (mut quoted, mut wrong) = (0, Vec::new());
    let messages = page
        .split_once("\n### The command line and files\n")
        .unwrap()
        .1;
    let (messages, rest) = messages.split_once("\n## systemd and fstab\n").unwrap();
    let log = rest.split_once("\n## Lines in the log\n").unwrap().1;
    let rows = messages.lines().chain(log.lines());
    for cell in rows.filter(|line| line.starts_with("| `")) {
        let cell = cell.trim_start_matches("| ").split(" | ").next().unwrap();
        for message in cell.split('`').skip(1).step_by(2) {
            if others.iter().any(|other| message.contains(other)) {
                continue;
            }
            let parts = message.split('…');
            for part in parts.map(|part| part.trim_matches(|c| " :,;()'".contains(c))) {
                // Words that the code puts together: "cannot {what}: {why}".
                let part = part.strip_prefix("cannot ").unwrap_or(part);
                if part.len() >= 6 {
                    quoted += 1;
                    if !code.contains(part) {
                        wrong.push(part);
                    }
                }
            }
        }
    }
    assert!(quoted > 150, "only {quoted} messages were found");
    assert!(
        wrong.is_empty(),
        "{PAGE} quotes what no code says: {wrong:#?}"
    );
}
