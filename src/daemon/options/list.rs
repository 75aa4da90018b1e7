//! Lists of mount options: `ro,login=0,passfile=/a\,b`.

use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};

/// The options of a list. As in libfuse (`fuse_opt.c`) a backslash keeps the next character as it is, and as in libmount
/// (`optstr.c`) a comma between double quotes belongs to the value; the quotes stay out of it.
///
/// `None` for a list that ends within quotes, or with a backslash: joined with another list it would swallow a part of that.
pub(super) fn split(list: &str) -> Option<Vec<String>> {
    let mut options = Vec::new();
    let mut option = String::new();
    let mut is_quoted = false;
    let mut rest = list.chars();
    while let Some(c) = rest.next() {
        match c {
            '\\' => option.push(rest.next()?),
            '"' => is_quoted = !is_quoted,
            ',' if !is_quoted => options.push(std::mem::take(&mut option)),
            c => option.push(c),
        }
    }
    options.push(option);
    options.retain(|option| !option.is_empty());
    (!is_quoted).then_some(options)
}

/// One value of a list, so that [`split`] and fusermount3 give it back as it was.
pub(crate) fn escape(value: &OsStr) -> OsString {
    let mut escaped = Vec::with_capacity(value.len());
    for byte in value.as_bytes() {
        if matches!(byte, b',' | b'\\' | b'"') {
            escaped.push(b'\\');
        }
        escaped.push(*byte);
    }
    OsString::from_vec(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commas_belong_to_values_where_they_are_escaped_or_quoted() {
        assert_eq!(split("ro,,uid=1,").unwrap(), ["ro", "uid=1"]);
        assert_eq!(split(r"a=1\,2,b").unwrap(), ["a=1,2", "b"]);
        assert_eq!(split(r#"a="1,2",b"#).unwrap(), ["a=1,2", "b"]);
        assert_eq!(split(r"a=\\,b=").unwrap(), [r"a=\", "b="]);
        assert!(split("").unwrap().is_empty());
        assert_eq!(split(r"a=\"), None);
        assert_eq!(split("a=\"b"), None);
        for value in ["/a,b", r"/a\b", "/a\"b", "/a b", "ü,"] {
            let escaped = escape(OsStr::new(value));
            assert_eq!(split(escaped.to_str().unwrap()).unwrap(), [value]);
        }
    }
}
