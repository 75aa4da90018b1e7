//! `UTCTime` and `GeneralizedTime` of certificates (X.680, RFC 5280 section 4.1.2.5) to PKCS#11's dates.
//!
//! The `der` crate refuses dates before 1970; RFC 5280 starts in 1950.

use x509_cert::der::Tag;

use slotfs_object::Date;

/// The date of a time in UTC. Seconds may be missing, as in older certificates, although DER requires them. A time in
/// another zone is refused, because its date in UTC may differ from the date in the certificate.
pub(super) fn of_time(tag: Tag, text: &[u8]) -> Option<Date> {
    let mut rest = text.strip_suffix(b"Z")?;
    let year = match tag {
        // RFC 5280 section 4.1.2.5.1.
        Tag::UtcTime => match number(&mut rest, 2)? {
            year @ 0..50 => 2000 + year,
            year => 1900 + year,
        },
        _ => number(&mut rest, 4)?,
    };
    let [month, day] = [number(&mut rest, 2)?, number(&mut rest, 2)?];
    let [hour, minute] = [number(&mut rest, 2)?, number(&mut rest, 2)?];
    let second = match rest {
        [] => 0,
        _ => number(&mut rest, 2)?,
    };
    let has_right_end = match (tag, rest) {
        (_, []) => true,
        (Tag::GeneralizedTime, [b'.' | b',', digits @ ..]) => {
            !digits.is_empty() && digits.iter().all(u8::is_ascii_digit)
        }
        _ => false,
    };
    let exists = has_right_end && hour < 24 && minute < 60 && second <= 60;
    Date::of_calendar(year, month, day).filter(|_| exists)
}

/// Takes a number of this many digits from `text`.
fn number(text: &mut &[u8], digits: usize) -> Option<u16> {
    let (number, rest) = text.split_at_checked(digits)?;
    *text = rest;
    number.iter().try_fold(0, |number, digit| {
        let is_digit = digit.is_ascii_digit();
        is_digit.then(|| number * 10 + u16::from(digit - b'0'))
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
