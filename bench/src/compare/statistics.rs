//! Medians of rounds and ratios of what ran side by side.

/// A figure over rounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// The middle value; the mean of the two middle ones for even numbers.
    pub median: f64,
    /// The least.
    pub min: f64,
    /// The greatest.
    pub max: f64,
}

impl Spread {
    /// Of some values; `None` of none.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        let mut sorted = values.to_vec();
        sorted.sort_by(f64::total_cmp);
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = *sorted.get(sorted.len() / 2)?;
        let lower = *sorted.get((sorted.len() - 1) / 2)?;
        Some(Self {
            median: f64::midpoint(lower, upper),
            min,
            max,
        })
    }

    /// Of the ratios `over[i] / under[i]`, round by round: what both systems
    /// suffered in one round cancels out. Rounds in which the base is zero say
    /// nothing.
    #[must_use]
    pub fn of_ratios(over: &[f64], under: &[f64]) -> Option<Self> {
        let pairs = over.iter().zip(under);
        let ratios: Vec<f64> = pairs
            .filter(|(_, under)| **under > 0.0)
            .map(|(over, under)| over / under)
            .collect();
        Self::of(&ratios)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_is_in_the_middle() {
        let spread = Spread::of(&[3.0, 1.0, 2.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (2.0, 1.0, 3.0));
        assert_eq!(Spread::of(&[1.0, 2.0]).unwrap().median, 1.5);
        assert_eq!(Spread::of(&[]), None);
    }

    #[test]
    fn ratios_are_paired_by_round() {
        let spread = Spread::of_ratios(&[2.0, 8.0, 1.0], &[1.0, 2.0, 0.0]).unwrap();
        assert_eq!((spread.median, spread.min, spread.max), (3.0, 2.0, 4.0));
    }
}
