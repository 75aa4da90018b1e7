//! Guesses which option or command a wrong word was meant for.

/// The most suggestions.
const MOST: usize = 3;

/// The names that `word` may have been meant for, the nearest first.
pub(crate) fn nearest<'a>(word: &str, names: impl IntoIterator<Item = &'a str>) -> Vec<&'a str> {
    let word = word.to_ascii_lowercase();
    let mut near: Vec<(f64, &str)> = names
        .into_iter()
        .filter_map(|name| Some((nearness(&word, name)?, name)))
        .collect();
    near.sort_by(|(one, a), (other, b)| other.total_cmp(one).then_with(|| a.cmp(b)));
    near.dedup_by_key(|(_, name)| *name);
    near.truncate(MOST);
    near.into_iter().map(|(_, name)| name).collect()
}

fn nearness(word: &str, name: &str) -> Option<f64> {
    // Shorter names are part of too many words.
    const WHOLE: usize = 4;
    if word.is_empty() {
        return None;
    }
    if is_typing_error(word, name) {
        return Some(2.0 + strsim::jaro_winkler(word, name));
    }
    if name.starts_with(word) {
        return Some(2.0 + share(word, name));
    }
    if (name.len() >= WHOLE && word.contains(name)) || (word.len() >= WHOLE && name.contains(word))
    {
        return Some(1.0 + share(word, name));
    }
    let alike = strsim::jaro_winkler(word, name);
    (alike > 0.85).then_some(alike)
}

/// The length of the shorter text, as a share of the longer.
fn share(one: &str, other: &str) -> f64 {
    let (one, other) = (one.len() as f64, other.len() as f64);
    one.min(other) / one.max(other)
}

/// Whether `word` differs from `name` by a letter or two. Such a word can be shown, since it is not a value.
pub(crate) fn is_typing_error(word: &str, name: &str) -> bool {
    let word = word.to_ascii_lowercase();
    let distance = strsim::damerau_levenshtein(&word, name);
    distance <= 2 && distance * 3 <= word.chars().count()
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMES: [&str; 6] = ["domain", "domainkey", "force", "label", "password", "slot"];

    #[test]
    fn the_near_ones_come_first() {
        for (word, near) in [
            ("defaultdomain", &["domain"][..]),
            ("domainfile", &["domainkey", "domain"]),
            ("lable", &["label"]),
            ("PASWORD", &["password"]),
            ("passwordsecret123", &["password"]),
            ("forc", &["force"]),
            ("dom", &["domain", "domainkey"]),
            ("xyzzy", &[]),
            ("", &[]),
        ] {
            let mut found = nearest(word, NAMES);
            let mut near = near.to_vec();
            found.sort_unstable();
            near.sort_unstable();
            assert_eq!(found, near, "{word}");
        }
    }

    #[test]
    fn a_typing_error_is_a_letter_or_two() {
        assert!(is_typing_error("lable", "label"));
        assert!(is_typing_error("pasword", "password"));
        assert!(!is_typing_error("passwordsecret", "password"));
        assert!(!is_typing_error("ab", "uid"));
    }
}
