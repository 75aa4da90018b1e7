//! The padding of PKCS#1 v1.5 encryption, judged in constant time.

use std::hint::black_box;

/// All ones if `it` is 0, else 0. Both are below 2^63.
fn is_zero(it: u64) -> u64 {
    // The hint keeps the compiler from seeing a condition in the mask and making a branch of it.
    black_box((it | it.wrapping_neg()) >> 63).wrapping_sub(1)
}

/// All ones if `a` is below `b`, else 0. Both are below 2^63.
fn is_below(a: u64, b: u64) -> u64 {
    black_box(a.wrapping_sub(b) >> 63).wrapping_neg()
}

/// Where the message starts in a block: 0, 2, at least 8 bytes that are not 0, and 0 before it. `None` if the block is
/// none. Until the verdict, the time depends on the block's length alone.
pub(super) fn pkcs1_type_2(block: &[u8]) -> Option<usize> {
    let (&[first, second], rest) = block.split_first_chunk()?;
    let mut searching = u64::MAX;
    let mut zero_at = 0_u64;
    for (at, &byte) in (2_u64..).zip(rest) {
        let found = searching & is_zero(byte.into());
        zero_at |= found & at;
        searching &= !found;
    }
    let good = is_zero(first.into())
        & is_zero(u64::from(second) ^ 2)
        & !searching
        & !is_below(zero_at, 10);
    // One masked number carries the verdict: 0 is no position of a message.
    let start = black_box(good & (zero_at + 1));
    if start == 0 {
        return None;
    }
    usize::try_from(start).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(parts: &[&[u8]]) -> Vec<u8> {
        parts.concat()
    }

    #[test]
    fn finds_the_message_behind_eight_bytes_or_more() {
        assert_eq!(
            pkcs1_type_2(&block(&[&[0, 2], &[1; 8], &[0], b"xy"])),
            Some(11)
        );
        assert_eq!(
            pkcs1_type_2(&block(&[&[0, 2], &[255; 40], &[0], b"\0x"])),
            Some(43)
        );
        assert_eq!(pkcs1_type_2(&block(&[&[0, 2], &[9; 20], &[0]])), Some(23));
    }

    #[test]
    fn refuses_other_blocks() {
        for bad in [
            vec![],
            vec![0],
            vec![0, 2],
            block(&[&[0, 2], &[1; 7], &[0], b"xy"]),
            block(&[&[0, 2], &[0], &[1; 20]]),
            block(&[&[0, 2], &[1; 30]]),
            block(&[&[0, 1], &[1; 8], &[0], b"xy"]),
            block(&[&[1, 2], &[1; 8], &[0], b"xy"]),
        ] {
            assert_eq!(pkcs1_type_2(&bad), None, "{bad:?}");
        }
    }
}
