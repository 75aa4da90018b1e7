//! The date of a page: that of `$SOURCE_DATE_EPOCH`, so that a build at another time gives the same bytes.

/// The date as `2026-11-29`; nothing where no time is given.
pub(crate) fn of_the_source() -> String {
    let secs = std::env::var("SOURCE_DATE_EPOCH").ok();
    let secs: Option<i64> = secs.and_then(|it| it.parse().ok());
    secs.map_or_else(String::new, |secs| date(secs.div_euclid(24 * 3600)))
}

/// The Gregorian date of a day since 1970, by counting from March, so that the leap day comes last.
fn date(day: i64) -> String {
    let from_march_0000 = day + 719_468;
    let era = from_march_0000.div_euclid(146_097);
    let of_era = from_march_0000.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = (month_from_march + 2) % 12 + 1;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}")
}

#[cfg(test)]
mod tests {
    use super::date;

    #[test]
    fn days_are_dates() {
        for (day, text) in [
            (0, "1970-01-01"),
            (11_016, "2000-02-29"),
            (11_017, "2000-03-01"),
            (20_786, "2026-11-29"),
            (-1, "1969-12-31"),
        ] {
            assert_eq!(date(day), text);
        }
    }
}
