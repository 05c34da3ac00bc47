//! Figures as text.

use crate::compare::statistics::Spread;

/// What stands where nothing was measured.
pub(super) const NOTHING: &str = "-";

/// A median with its spread.
pub(super) fn value(spread: Option<Spread>) -> String {
    spread.map_or_else(
        || NOTHING.to_owned(),
        |spread| {
            let [median, min, max] = [spread.median, spread.min, spread.max].map(number);
            format!("{median} ({min}-{max})")
        },
    )
}

/// A ratio with its spread.
pub(super) fn ratio(spread: Option<Spread>) -> String {
    decimals(spread, 2)
}

/// A ratio with its spread, fine enough to be held against a bound.
pub(super) fn judged(spread: Option<Spread>) -> String {
    decimals(spread, 3)
}

fn decimals(spread: Option<Spread>, count: usize) -> String {
    spread.map_or_else(
        || NOTHING.to_owned(),
        |spread| {
            let Spread { median, min, max } = spread;
            format!("{median:.count$} ({min:.count$}-{max:.count$})")
        },
    )
}

/// Three significant digits or so.
pub(super) fn number(value: f64) -> String {
    match value.abs() {
        large if large >= 100.0 => format!("{value:.0}"),
        medium if medium >= 10.0 => format!("{value:.1}"),
        _ => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_or_so() {
        let shown = [12_345.6, 123.4, 12.34, 1.234, 0.0].map(number);
        assert_eq!(shown, ["12346", "123", "12.3", "1.23", "0.00"]);
    }

    #[test]
    fn nothing_measured_is_a_dash() {
        assert_eq!(value(None), NOTHING);
        let spread = Spread::of(&[0.5, 0.25]);
        assert_eq!(ratio(spread), "0.38 (0.25-0.50)");
        assert_eq!(judged(spread), "0.375 (0.250-0.500)");
        assert_eq!(value(spread), "0.38 (0.25-0.50)");
    }
}
