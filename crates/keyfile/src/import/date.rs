//! `UTCTime` and `GeneralizedTime` of certificates (X.680, RFC 5280 section 4.1.2.5) to PKCS#11's dates.
//!
//! The `der` crate counts from 1970; RFC 5280 begins in 1950.

use x509_cert::der::Tag;

use slotfs_object::Date;

/// The date of a time in UTC. Seconds, which DER asks for and older certificates leave out, may be missing; a time of
/// another zone is none, since the date would not be the one that stands there.
pub(super) fn of_time(tag: Tag, text: &[u8]) -> Option<Date> {
    let text = text.strip_suffix(b"Z")?;
    let (year, rest) = match tag {
        Tag::UtcTime => {
            let (year, rest) = number(text, 2)?;
            // RFC 5280 section 4.1.2.5.1.
            let century = if year < 50 { 2000 } else { 1900 };
            (century + year, rest)
        }
        _ => number(text, 4)?,
    };
    let (month, rest) = number(rest, 2)?;
    let (day, rest) = number(rest, 2)?;
    let (hour, rest) = number(rest, 2)?;
    let (minute, rest) = number(rest, 2)?;
    let (second, rest) = match rest {
        [] => (0, rest),
        _ => number(rest, 2)?,
    };
    let fraction = match (tag, rest) {
        (_, []) => true,
        (Tag::GeneralizedTime, [b'.' | b',', digits @ ..]) => {
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    let in_range =
        (1..=days(year, month)?).contains(&day) && hour < 24 && minute < 60 && second <= 60;
    (fraction && in_range).then_some(Date {
        year,
        month: month as u8,
        day: day as u8,
    })
}

/// The number of so many digits, and what follows.
fn number(text: &[u8], digits: usize) -> Option<(u16, &[u8])> {
    let (number, rest) = text.split_at_checked(digits)?;
    let number = number.iter().try_fold(0, |number, digit| {
        digit
            .is_ascii_digit()
            .then(|| number * 10 + u16::from(digit - b'0'))
    })?;
    Some((number, rest))
}

fn days(year: u16, month: u16) -> Option<u16> {
    let is_leap = year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    Some(match month {
        2 if is_leap => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_dates_of_their_century() {
        for (tag, text, date) in [
            (Tag::UtcTime, "491231235959Z", "2049-12-31"),
            (Tag::UtcTime, "500101000000Z", "1950-01-01"),
            (Tag::UtcTime, "691231235959Z", "1969-12-31"),
            (Tag::UtcTime, "7001010000Z", "1970-01-01"),
            (Tag::UtcTime, "000229000000Z", "2000-02-29"),
            (Tag::UtcTime, "161231235960Z", "2016-12-31"),
            (Tag::GeneralizedTime, "00000101000000Z", "0000-01-01"),
            (Tag::GeneralizedTime, "19491231235959Z", "1949-12-31"),
            (Tag::GeneralizedTime, "20500101000000Z", "2050-01-01"),
            (Tag::GeneralizedTime, "99991231235959.999Z", "9999-12-31"),
        ] {
            let found = of_time(tag, text.as_bytes()).map(|date| date.to_string());
            assert_eq!(found.as_deref(), Some(date), "{text}");
        }
    }

    #[test]
    fn what_is_no_date_is_none() {
        for (tag, text) in [
            (Tag::UtcTime, ""),
            (Tag::UtcTime, "Z"),
            (Tag::UtcTime, "491231235959"),
            (Tag::UtcTime, "491231235959+0100"),
            (Tag::UtcTime, "49123123595Z"),
            (Tag::UtcTime, "491231235959.5Z"),
            (Tag::UtcTime, "491331235959Z"),
            (Tag::UtcTime, "490001235959Z"),
            (Tag::UtcTime, "490230235959Z"),
            (Tag::UtcTime, "490229235959Z"),
            (Tag::UtcTime, "490100235959Z"),
            (Tag::UtcTime, "491231245959Z"),
            (Tag::UtcTime, "4912312359 9Z"),
            (Tag::GeneralizedTime, "19000229000000Z"),
            (Tag::GeneralizedTime, "20500101000000.Z"),
            (Tag::GeneralizedTime, "500101000000Z"),
        ] {
            assert_eq!(of_time(tag, text.as_bytes()), None, "{text}");
        }
    }
}
