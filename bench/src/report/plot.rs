//! Latency by percentile as SVG, one panel per work.
//!
//! The horizontal axis stretches the tail: each step is one more nine. The
//! vertical one is logarithmic. Both systems share the axes of a panel.

use std::fmt::Result;

use hdrhistogram::Histogram;

use crate::{
    compare::session::Session,
    report::{
        axes::Decades,
        series::Series,
        svg::{self, Area, COLOURS},
    },
};

/// Nines at the right edge: 99.99 %.
const NINES_MAX: f64 = 4.0;

/// Points of a curve.
const POINTS_COUNT: u32 = 160;

/// The plot as SVG; `None` without a work to show.
pub(super) fn render(session: &Session) -> Option<String> {
    let works: Vec<_> = session.works().filter(|work| !work.is_step()).collect();
    if works.is_empty() {
        return None;
    }
    let mut svg = svg::open(session, works.len());
    for (position, work) in works.into_iter().enumerate() {
        let series = Series::of(session, work);
        let curves = [series.latencies(0), series.latencies(1)];
        // Writing to a String cannot fail.
        let _written = panel(&mut svg, &Area::of(position), &work.title, &curves);
    }
    Some(svg::close(svg))
}

type Curves = [Option<Histogram<u64>>; 2];

fn panel(svg: &mut String, area: &Area, title: &str, curves: &Curves) -> Result {
    let Some(decades) = decades(curves) else {
        return Ok(());
    };
    area.title(svg, title)?;
    decades.grid(svg, area)?;
    for (nines, mark) in (0_u32..).zip(["0 %", "90 %", "99 %", "99.9 %", "99.99 %"]) {
        area.vertical(svg, f64::from(nines) / NINES_MAX, mark)?;
    }
    for (histogram, colour) in curves.iter().zip(COLOURS) {
        let Some(histogram) = histogram else { continue };
        let points = (0..=POINTS_COUNT).map(|step| {
            let part = f64::from(step) / f64::from(POINTS_COUNT);
            let quantile = 1.0 - 10_f64.powf(-NINES_MAX * part);
            let nanos = histogram.value_at_quantile(quantile) as f64;
            (part, decades.part(nanos))
        });
        area.curve(svg, colour, points)?;
    }
    Ok(())
}

/// Decades that hold all curves; `None` without a curve.
fn decades(curves: &Curves) -> Option<Decades> {
    let present = || curves.iter().flatten().filter(|curve| !curve.is_empty());
    let tail = 1.0 - 10_f64.powf(-NINES_MAX);
    let low = present().map(Histogram::min).min()?;
    let high = present().map(|curve| curve.value_at_quantile(tail)).max()?;
    Some(Decades::holding(low as f64, high as f64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_both_curves() {
        let mut curve = Histogram::new(3).unwrap();
        for nanos in [40_000_u64, 900_000, 2_000_000] {
            curve.record(nanos).unwrap();
        }
        let found = decades(&[Some(curve), None]);
        assert_eq!(found, Some(Decades::holding(4e4, 2e6)));
        assert_eq!(decades(&[None, None]), None);
    }
}
