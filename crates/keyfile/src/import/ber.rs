//! BER to DER (X.690). NSS, and Netscape before it, write PKCS#12 with indefinite lengths and strings in parts.
//!
//! Rewritten are lengths, strings in parts, numbers with leading zeros, and values of true other than 255. All other
//! bytes stay, and the reader of the result accepts or refuses them. Never used for bytes that a signature or MAC
//! covers.

use zeroize::Zeroizing;

use slotfs_object::secret::SecretBytes;

/// Deeper than any key, certificate or store nests.
const MAX_DEPTH: usize = 32;
/// The bit of a tag that marks a constructed element.
const CONSTRUCTED: u8 = 0x20;
/// The bits of a tag that hold its number. If all are set, the number continues in the next byte; such tags are refused.
const LONG_TAG: u8 = 0x1f;
const BOOLEAN: u8 = 1;
const INTEGER: u8 = 2;
const BIT_STRING: u8 = 3;
const OCTET_STRING: u8 = 4;

/// The DER of the single element in `ber`; `None` if `ber` is not a single element, or nests too deep.
pub(super) fn to_der(ber: &[u8]) -> Option<SecretBytes> {
    let mut der = Zeroizing::new(Vec::with_capacity(ber.len() + ber.len() / 2));
    let rest = element(ber, MAX_DEPTH, &mut der)?;
    rest.is_empty().then(|| SecretBytes::from(der.as_slice()))
}

/// Whether every element has the length form that DER requires, and ends within the element around it, so that every
/// reader finds the same elements.
pub(super) fn is_der(bytes: &[u8]) -> bool {
    fn all(mut bytes: &[u8], depth: usize) -> Option<()> {
        while !bytes.is_empty() {
            let Head { tag, length, after } = head(bytes)?;
            let length = length?;
            let mut shortest = Zeroizing::new(Vec::new());
            put_head(tag, length, &mut shortest);
            if !bytes.starts_with(&shortest) {
                return None;
            }
            let (content, rest) = after.split_at_checked(length)?;
            if tag & CONSTRUCTED != 0 {
                all(content, depth.checked_sub(1)?)?;
            }
            bytes = rest;
        }
        Some(())
    }
    all(bytes, MAX_DEPTH).is_some()
}

/// The content of an OCTET STRING whose parts are the elements of `parts`.
pub(super) fn octets(parts: &[u8]) -> Option<SecretBytes> {
    joined(OCTET_STRING, parts).map(|whole| SecretBytes::from(whole.as_slice()))
}

/// The tag and length of an element.
struct Head<'a> {
    tag: u8,
    /// `None` for an indefinite length, which two zero bytes end.
    length: Option<usize>,
    after: &'a [u8],
}

fn head(ber: &[u8]) -> Option<Head<'_>> {
    let [tag, first, after @ ..] = ber else {
        return None;
    };
    if tag & LONG_TAG == LONG_TAG {
        return None;
    }
    let (length, after) = match first {
        0..0x80 => (Some(usize::from(*first)), after),
        0x80 => (None, after),
        _ => {
            let (bytes, after) = after.split_at_checked(usize::from(first & 0x7f))?;
            let length = bytes.iter().try_fold(0_usize, |length, byte| {
                length.checked_mul(256)?.checked_add(usize::from(*byte))
            })?;
            (Some(length), after)
        }
    };
    Some(Head {
        tag: *tag,
        length,
        after,
    })
}

/// Appends the DER of the first element and returns the bytes after it.
fn element<'a>(ber: &'a [u8], depth: usize, der: &mut Zeroizing<Vec<u8>>) -> Option<&'a [u8]> {
    let Head { tag, length, after } = head(ber)?;
    if tag & CONSTRUCTED == 0 {
        let (content, rest) = after.split_at_checked(length?)?;
        put(tag, shortest(tag, content), der);
        return Some(rest);
    }
    let depth = depth.checked_sub(1)?;
    let mut inside = Zeroizing::new(Vec::with_capacity(
        // The length is not checked yet.
        length.unwrap_or(after.len()).min(after.len()),
    ));
    let (mut left, rest) = match length {
        Some(length) => after
            .split_at_checked(length)
            .map(|(in_it, rest)| (in_it, Some(rest)))?,
        None => (after, None),
    };
    let rest = loop {
        match (rest, left) {
            (Some(rest), []) => break rest,
            (None, [0, 0, rest @ ..]) => break rest,
            _ => left = element(left, depth, &mut inside)?,
        }
    };
    match tag & !CONSTRUCTED {
        string @ (OCTET_STRING | BIT_STRING) => put(string, &joined(string, &inside)?, der),
        _ => put(tag, &inside, der),
    }
    Some(rest)
}

/// Joins the parts of a string, which are DER already.
fn joined(string: u8, mut parts: &[u8]) -> Option<Zeroizing<Vec<u8>>> {
    let mut whole = Zeroizing::new(Vec::with_capacity(parts.len()));
    if string == BIT_STRING {
        whole.push(0);
    }
    while !parts.is_empty() {
        let Head { tag, length, after } = head(parts)?;
        let (content, rest) = after.split_at_checked(length?)?;
        if tag != string {
            return None;
        }
        match (string, content) {
            // Only the last part may have unused bits.
            (BIT_STRING, [unused, bits @ ..]) if *unused == 0 || rest.is_empty() => {
                whole[0] = *unused;
                whole.extend_from_slice(bits);
            }
            (BIT_STRING, _) => return None,
            _ => whole.extend_from_slice(content),
        }
        parts = rest;
    }
    Some(whole)
}

/// The DER form of a number or boolean; other content unchanged.
fn shortest(tag: u8, content: &[u8]) -> &[u8] {
    match (tag, content) {
        (BOOLEAN, [1..=0xff]) => &[0xff],
        (INTEGER, _) => {
            let mut number = content;
            while let [0, 0..=0x7f, ..] | [0xff, 0x80..=0xff, ..] = number {
                number = &number[1..];
            }
            number
        }
        _ => content,
    }
}

fn put(tag: u8, content: &[u8], der: &mut Zeroizing<Vec<u8>>) {
    put_head(tag, content.len(), der);
    der.extend_from_slice(content);
}

fn put_head(tag: u8, length: usize, der: &mut Zeroizing<Vec<u8>>) {
    der.push(tag);
    let bytes = length.to_be_bytes();
    let bytes = &bytes[bytes.iter().take_while(|byte| **byte == 0).count()..];
    match length {
        0..0x80 => der.push(length as u8),
        _ => {
            der.push(0x80 | bytes.len() as u8);
            der.extend_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn becomes(ber: &[u8], der: &[u8]) {
        assert_eq!(
            to_der(ber).map(|it| it.bytes().to_vec()).as_deref(),
            Some(der)
        );
    }

    #[test]
    fn what_is_der_stays() {
        for der in [
            &[5, 0][..],
            &[0x30, 0],
            &[0x30, 6, 2, 1, 0, 1, 1, 0xff],
            &[4, 0],
            &[3, 2, 1, 0x80],
            &[0xa0, 3, 0x80, 1, 7],
            &[2, 2, 0, 0x80],
            &[2, 2, 0xff, 0x7f],
        ] {
            becomes(der, der);
            assert!(is_der(der));
        }
        let long = [&[4, 0x82, 1, 0][..], &[7; 256]].concat();
        becomes(&long, &long);
    }

    #[test]
    fn other_forms_become_the_one() {
        for ber in [
            &[0x30, 0x80, 2, 1, 5, 0, 0][..],
            &[0x30, 0x81, 3, 2, 1, 5],
            &[0x30, 4, 2, 0x81, 1, 5],
            &[0x30, 4, 2, 1, 5, 2],
        ] {
            assert!(!is_der(ber), "{ber:?}");
        }
        becomes(&[0x30, 0x80, 2, 1, 5, 0, 0], &[0x30, 3, 2, 1, 5]);
        becomes(&[0x30, 0x80, 0x31, 0x80, 0, 0, 0, 0], &[0x30, 2, 0x31, 0]);
        becomes(&[0x30, 0x84, 0, 0, 0, 3, 2, 1, 5], &[0x30, 3, 2, 1, 5]);
        becomes(
            &[0x24, 0x80, 4, 1, 1, 4, 0, 4, 2, 2, 3, 0, 0],
            &[4, 3, 1, 2, 3],
        );
        becomes(&[0x24, 7, 0x24, 2, 4, 0, 4, 1, 9], &[4, 1, 9]);
        becomes(&[0x23, 8, 3, 2, 0, 1, 3, 2, 4, 0x10], &[3, 3, 4, 1, 0x10]);
        becomes(&[2, 3, 0, 0, 7], &[2, 1, 7]);
        becomes(&[2, 3, 0xff, 0xff, 0x80], &[2, 1, 0x80]);
        becomes(&[2, 2, 0, 0], &[2, 1, 0]);
        becomes(&[1, 1, 1], &[1, 1, 0xff]);
    }

    #[test]
    fn what_is_none_is_refused() {
        let deep = [[0x30, 0x80].repeat(40), vec![0; 80]].concat();
        let deep_and_open = [0x30, 0x80].repeat(100_000);
        for ber in [
            &[][..],
            &[4],
            &[4, 2, 1],
            &[4, 0x80, 1, 0, 0],
            &[0x30, 0x80, 2, 1, 5],
            &[0x30, 0x80, 2, 1, 5, 0],
            &[0x30, 0x89, 1, 0, 0, 0, 0, 0, 0, 0, 0],
            &[0x30, 2, 0x30, 1, 0],
            &[5, 0, 0],
            &[0x24, 3, 2, 1, 0],
            &[0x23, 8, 3, 2, 4, 0x10, 3, 2, 0, 1],
            &[0x23, 2, 3, 0],
            &[0x3f, 0x81, 0, 0],
            &deep,
            &deep_and_open,
        ] {
            assert!(to_der(ber).is_none(), "{:?}", &ber[..ber.len().min(12)]);
        }
    }
}
