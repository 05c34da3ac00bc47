//! Go's textual forms of flag values: booleans, base-0 integers, durations.
//!
//! etcd's command line is Go's `flag` package, and manifests in the field use
//! its whole grammar (`0x10`, `1_000`, `1h30m`); the same forms are written
//! into log lines. Nothing here knows a flag by name.

use std::time::Duration;

/// Parses Go's boolean words.
pub(crate) fn parse_bool(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "TRUE" | "true" | "True" => Some(true),
        "0" | "f" | "F" | "FALSE" | "false" | "False" => Some(false),
        _ => None,
    }
}

/// Why an integer is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum IntegerError {
    /// Not an integer at all.
    Syntax,
    /// An integer that does not fit.
    Range,
}

/// Parses an unsigned integer with an optional base prefix and underscores.
pub(crate) fn parse_unsigned(text: &str) -> Result<u64, IntegerError> {
    let lower = text.to_ascii_lowercase();
    let (digits, radix, prefixed) = match lower.as_bytes() {
        [b'0', b'x', ..] => (lower.get(2..).unwrap_or(""), 16, true),
        [b'0', b'b', ..] => (lower.get(2..).unwrap_or(""), 2, true),
        [b'0', b'o', ..] => (lower.get(2..).unwrap_or(""), 8, true),
        [b'0', _, ..] => (lower.get(1..).unwrap_or(""), 8, true),
        _ => (lower.as_str(), 10, false),
    };
    if !underscores_are_between_digits(digits, prefixed) {
        return Err(IntegerError::Syntax);
    }
    let plain: String = digits.chars().filter(|c| *c != '_').collect();
    if plain.is_empty() || !plain.chars().all(|c| c.is_digit(radix)) {
        return Err(IntegerError::Syntax);
    }
    u64::from_str_radix(&plain, radix).map_err(|_| IntegerError::Range)
}

/// Parses a signed integer in the same forms.
pub(crate) fn parse_signed(text: &str) -> Result<i64, IntegerError> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let magnitude = i128::from(parse_unsigned(digits)?);
    let value = if negative { -magnitude } else { magnitude };
    i64::try_from(value).map_err(|_| IntegerError::Range)
}

/// Parses a Go duration. Negative ones are accepted and clamped to zero by the
/// caller's choice, hence the sign is returned.
pub(crate) fn parse_duration(text: &str) -> Option<(bool, Duration)> {
    let (negative, rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some((false, Duration::ZERO));
    }
    if rest.is_empty() {
        return None;
    }
    let mut nanoseconds: u128 = 0;
    let mut rest = rest;
    while !rest.is_empty() {
        let (part, after) = duration_part(rest)?;
        nanoseconds = nanoseconds.checked_add(part)?;
        rest = after;
    }
    // Go's durations are 64-bit signed nanoseconds.
    let nanoseconds = u64::try_from(nanoseconds)
        .ok()
        .filter(|n| *n <= i64::MAX.unsigned_abs())?;
    Some((negative, Duration::from_nanos(nanoseconds)))
}

/// Writes a duration as Go prints it (`7s`, `1.248266ms`, `1h0m0s`).
pub fn format_duration(duration: Duration) -> String {
    let nanoseconds = duration.as_nanos();
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    if nanoseconds < 1_000 {
        return format!("{nanoseconds}ns");
    }
    if nanoseconds < 1_000_000 {
        return format!("{}\u{b5}s", fraction(nanoseconds, 1_000));
    }
    if nanoseconds < 1_000_000_000 {
        return format!("{}ms", fraction(nanoseconds, 1_000_000));
    }
    let (minutes, rest) = (nanoseconds / 60_000_000_000, nanoseconds % 60_000_000_000);
    let seconds = fraction(rest, 1_000_000_000);
    match (minutes / 60, minutes % 60) {
        (0, 0) => format!("{seconds}s"),
        (0, minutes) => format!("{minutes}m{seconds}s"),
        (hours, minutes) => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn underscores_are_between_digits(digits: &str, prefixed: bool) -> bool {
    let bytes = digits.as_bytes();
    if bytes.last() == Some(&b'_') || (!prefixed && bytes.contains(&b'_')) {
        // Go accepts underscores only where a base prefix allows base 0, and
        // base 0 is what flags use, so that plain decimals may have them too.
        return bytes.last() != Some(&b'_')
            && bytes.first() != Some(&b'_')
            && !digits.contains("__");
    }
    !digits.contains("__")
}

fn duration_part(text: &str) -> Option<(u128, &str)> {
    let number_end = text
        .find(|c: char| !c.is_ascii_digit() && c != '.')
        .unwrap_or(text.len());
    let (number, rest) = text.split_at_checked(number_end)?;
    let unit_end = rest
        .find(|c: char| c.is_ascii_digit() || c == '.')
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at_checked(unit_end)?;
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, decimals) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && decimals.is_empty() {
        return None;
    }
    let whole: u128 = if whole.is_empty() {
        0
    } else {
        whole.parse().ok()?
    };
    let mut part = whole.checked_mul(scale)?;
    let mut unit_left = scale;
    for digit in decimals.chars() {
        unit_left /= 10;
        part += u128::from(digit.to_digit(10)?) * unit_left;
    }
    Some((part, after))
}

fn fraction(value: u128, unit: u128) -> String {
    let (whole, rest) = (value / unit, value % unit);
    if rest == 0 {
        return whole.to_string();
    }
    let width = unit.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    format!("{whole}.{}", digits.trim_end_matches('0'))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{
        IntegerError, format_duration, parse_bool, parse_duration, parse_signed, parse_unsigned,
    };

    #[test]
    fn integers_are_base_zero() {
        for (text, expected) in [
            ("0", Ok(0)),
            ("10", Ok(10)),
            ("0x10", Ok(16)),
            ("0b11", Ok(3)),
            ("010", Ok(8)),
            ("0o17", Ok(15)),
            ("1_000", Ok(1000)),
            ("abc", Err(IntegerError::Syntax)),
            ("", Err(IntegerError::Syntax)),
            ("1__0", Err(IntegerError::Syntax)),
            ("_1", Err(IntegerError::Syntax)),
            ("1_", Err(IntegerError::Syntax)),
            ("-1", Err(IntegerError::Syntax)),
            ("18446744073709551616", Err(IntegerError::Range)),
        ] {
            assert_eq!(parse_unsigned(text), expected, "{text}");
        }
        assert_eq!(parse_signed("-0x10"), Ok(-16));
        assert_eq!(
            parse_signed("9223372036854775808"),
            Err(IntegerError::Range)
        );
    }

    #[test]
    fn durations_follow_gos_grammar() {
        for (text, nanoseconds) in [
            ("0", 0),
            ("300ms", 300_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1us", 1_000),
        ] {
            let expected = Some((false, Duration::from_nanos(nanoseconds)));
            assert_eq!(parse_duration(text), expected, "{text}");
        }
        for text in ["", "5", "abc", "1x", ".s", "1h3", "9223372036854775808ns"] {
            assert_eq!(parse_duration(text), None, "{text}");
        }
        assert_eq!(parse_duration("-5s"), Some((true, Duration::from_secs(5))));
    }

    #[test]
    fn durations_print_as_go_prints_them() {
        for (nanoseconds, text) in [
            (0, "0s"),
            (7_000_000_000, "7s"),
            (1_248_266, "1.248266ms"),
            (100_000_000, "100ms"),
            (3_600_000_000_000, "1h0m0s"),
            (90_500_000_000, "1m30.5s"),
        ] {
            assert_eq!(format_duration(Duration::from_nanos(nanoseconds)), text);
        }
    }

    #[test]
    fn only_gos_boolean_words_are_booleans() {
        assert_eq!(parse_bool("T"), Some(true));
        assert_eq!(parse_bool("0"), Some(false));
        assert_eq!(parse_bool("yes"), None);
    }
}
