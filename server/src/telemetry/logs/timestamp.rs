//! Wall-clock time as log lines show it: `2006-01-02T15:04:05.000000Z`.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

/// Appends the time in UTC with microseconds.
pub(super) fn write_utc(time: SystemTime, text: &mut String) {
    let since_epoch = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = since_epoch.as_secs();
    let (year, month, day) = civil_from_days(seconds / 86_400);
    let in_day = seconds % 86_400;
    let (hour, minute, second) = (in_day / 3_600, in_day / 60 % 60, in_day % 60);
    let micros = since_epoch.subsec_micros();
    let _ = write!(
        text,
        "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}.{micros:06}Z"
    );
}

/// The time as lines show it.
pub fn utc(time: SystemTime) -> String {
    let mut text = String::new();
    write_utc(time, &mut text);
    text
}

/// Gregorian date of a day counted from 1970-01-01.
///
/// Source: era arithmetic over 400-year cycles of 146 097 days that begin on
/// the first of March, so that the leap day is the last of its year.
fn civil_from_days(days_since_epoch: u64) -> (u64, u64, u64) {
    let days = days_since_epoch + 719_468;
    let (era, day_of_era) = (days / 146_097, days % 146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 {
        shifted_month + 3
    } else {
        shifted_month - 9
    };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use std::time::{Duration, UNIX_EPOCH};

    use super::write_utc;

    #[test]
    fn dates_are_gregorian() {
        for (seconds, expected) in [
            (0, "1970-01-01T00:00:00.000000Z"),
            (951_782_399, "2000-02-28T23:59:59.000000Z"),
            (951_782_400, "2000-02-29T00:00:00.000000Z"),
            (1_704_067_199, "2023-12-31T23:59:59.000000Z"),
            (4_107_542_400, "2100-03-01T00:00:00.000000Z"),
        ] {
            let mut text = String::new();
            write_utc(UNIX_EPOCH + Duration::from_secs(seconds), &mut text);
            assert_eq!(text, expected);
        }
    }

    #[test]
    fn a_fraction_has_six_digits() {
        let mut text = String::new();
        write_utc(UNIX_EPOCH + Duration::from_nanos(1_042_999), &mut text);
        assert_eq!(text, "1970-01-01T00:00:00.001042Z");
    }
}
