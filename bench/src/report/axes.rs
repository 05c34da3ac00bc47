//! Logarithmic time.

use std::fmt::Result;

use crate::report::svg::Area;

/// A range of whole decades of nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Decades {
    bottom: f64,
    top: f64,
}

impl Decades {
    /// Decades that hold everything from `low` to `high` nanoseconds.
    pub(super) fn holding(low: f64, high: f64) -> Self {
        let bottom = low.max(1.0).log10().floor();
        let top = high.max(1.0).log10().ceil();
        Self {
            bottom,
            top: top.max(bottom + 1.0),
        }
    }

    /// Where `nanos` lies: 0 at the bottom, 1 at the top.
    pub(super) fn part(&self, nanos: f64) -> f64 {
        (nanos.max(1.0).log10() - self.bottom) / (self.top - self.bottom)
    }

    /// One line per decade.
    pub(super) fn grid(&self, svg: &mut String, area: &Area) -> Result {
        let mut decade = self.bottom;
        while decade <= self.top {
            let part = (decade - self.bottom) / (self.top - self.bottom);
            area.horizontal(svg, part, &duration(decade))?;
            decade += 1.0;
        }
        Ok(())
    }
}

/// A power of ten of nanoseconds.
fn duration(decade: f64) -> String {
    match decade {
        nanos if nanos < 3.0 => format!("{:.0} ns", 10_f64.powf(nanos)),
        micros if micros < 6.0 => format!("{:.0} us", 10_f64.powf(micros - 3.0)),
        millis if millis < 9.0 => format!("{:.0} ms", 10_f64.powf(millis - 6.0)),
        seconds => format!("{:.0} s", 10_f64.powf(seconds - 9.0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decades_hold_every_value() {
        let decades = Decades::holding(40_000.0, 2_000_000.0);
        assert_eq!((decades.bottom, decades.top), (4.0, 7.0));
        assert_eq!(decades.part(1e4), 0.0);
        assert_eq!(decades.part(1e7), 1.0);
        assert_eq!(Decades::holding(0.0, 0.0).top, 1.0);
    }

    #[test]
    fn decades_have_readable_names() {
        let names = [3.0, 5.0, 6.0, 9.0].map(duration);
        assert_eq!(names, ["1 us", "100 us", "1 ms", "1 s"]);
    }
}
