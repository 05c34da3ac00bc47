//! Throughput and latency against offered load as SVG, one panel each.

use std::fmt::Result;

use crate::{
    compare::{metric::Metric, session::Session, work::Work},
    report::{
        axes::Decades,
        series::Series,
        svg::{self, Area, COLOURS},
    },
};

/// Panels: throughput and latency.
const PANELS_COUNT: usize = 2;

/// Grid lines of a linear axis.
const LINES_COUNT: u32 = 4;

/// Nanoseconds in the unit of latencies.
const NANOS: f64 = 1e6;

/// One system's points: offered load and a figure.
type Curve = Vec<(f64, f64)>;

/// The plot as SVG; `None` without a step.
pub(super) fn render(session: &Session) -> Option<String> {
    let steps: Vec<&Work> = session.works().filter(|work| work.is_step()).collect();
    let offered = steps.iter().filter_map(|step| step.rate);
    let most = offered.reduce(f64::max)?;
    let curves = |metric| [0, 1].map(|which| curve(session, &steps, which, metric));
    let mut svg = svg::open(session, PANELS_COUNT);
    // Writing to a String cannot fail.
    let _written = throughput(&mut svg, most, &curves(Metric::Throughput));
    let _written = latency(&mut svg, most, &curves(Metric::P99));
    Some(svg::close(svg))
}

fn curve(session: &Session, steps: &[&Work], which: usize, metric: Metric) -> Curve {
    let points = steps.iter().filter_map(|step| {
        let spread = Series::of(session, step).spread(which, metric)?;
        Some((step.rate?, spread.median))
    });
    points.collect()
}

/// Achieved against offered, both linear and alike, with the line on which
/// they are equal.
fn throughput(svg: &mut String, most: f64, curves: &[Curve; 2]) -> Result {
    let area = Area::of(0);
    area.title(svg, "achieved against offered puts per second")?;
    for line in 0..=LINES_COUNT {
        let part = f64::from(line) / f64::from(LINES_COUNT);
        area.horizontal(svg, part, &thousands(most * part))?;
    }
    offered(svg, &area, most)?;
    area.curve(svg, "#bbb", [(0.0, 0.0), (1.0, 1.0)])?;
    draw(svg, &area, curves, |(x, y)| (x / most, y / most))
}

/// The 99th percentile against offered, logarithmic.
fn latency(svg: &mut String, most: f64, curves: &[Curve; 2]) -> Result {
    let area = Area::of(1);
    let values = || curves.iter().flatten().map(|(_, value)| value * NANOS);
    let bounds = values().reduce(f64::min).zip(values().reduce(f64::max));
    let Some((low, high)) = bounds else {
        return Ok(());
    };
    let decades = Decades::holding(low, high);
    area.title(svg, "p99 latency against offered puts per second")?;
    decades.grid(svg, &area)?;
    offered(svg, &area, most)?;
    draw(svg, &area, curves, |(x, y)| {
        (x / most, decades.part(y * NANOS))
    })
}

/// The axis of offered load.
fn offered(svg: &mut String, area: &Area, most: f64) -> Result {
    for line in 0..=LINES_COUNT {
        let part = f64::from(line) / f64::from(LINES_COUNT);
        area.vertical(svg, part, &thousands(most * part))?;
    }
    Ok(())
}

fn draw(
    svg: &mut String,
    area: &Area,
    curves: &[Curve; 2],
    place: impl Fn((f64, f64)) -> (f64, f64),
) -> Result {
    for (curve, colour) in curves.iter().zip(COLOURS) {
        let points: Curve = curve.iter().map(|point| place(*point)).collect();
        for (x, y) in &points {
            area.dot(svg, colour, *x, *y)?;
        }
        area.curve(svg, colour, points)?;
    }
    Ok(())
}

fn thousands(value: f64) -> String {
    if value < 1_000.0 {
        return format!("{value:.0}");
    }
    format!("{:.0}k", value / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn curves_are_drawn_with_a_dot_per_step() {
        let mut svg = String::new();
        let curves = [vec![(1_000.0, 990.0), (2_000.0, 1_200.0)], Vec::new()];
        throughput(&mut svg, 2_000.0, &curves).unwrap();
        latency(&mut svg, 2_000.0, &curves).unwrap();
        assert_eq!(svg.matches("<circle").count(), 4);
        assert!(svg.contains(">2k<") && svg.contains(">1 s<"));
    }

    #[test]
    fn loads_are_shown_in_thousands() {
        assert_eq!([0.0, 500.0, 40_000.0].map(thousands), ["0", "500", "40k"]);
    }
}
