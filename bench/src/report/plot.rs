//! Latency by percentile as SVG, one panel per work.
//!
//! The horizontal axis stretches the tail: each step is one more nine. The
//! vertical one is logarithmic. Both systems share the axes of a panel.

use std::fmt::Write;

use hdrhistogram::Histogram;

use crate::{compare::session::Session, report::series::Series};

/// Panels beside each other.
const COLUMNS_COUNT: usize = 2;

/// Size of a panel with its margins, in pixels.
const PANEL: (f64, f64) = (440.0, 260.0);

/// Space around the plot area: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (62.0, 34.0, 14.0, 36.0);

/// Nines at the right edge: 99.99 %.
const NINES_MAX: f64 = 4.0;

/// Points of a curve.
const POINTS_COUNT: u32 = 160;

/// Height of the legend above the panels.
const LEGEND: f64 = 30.0;

/// Colours of the systems, told apart by colour-blind readers too.
const COLOURS: [&str; 2] = ["#d55e00", "#0072b2"];

/// The plot as SVG.
#[must_use]
pub fn render(session: &Session) -> String {
    let rows = session.works.len().div_ceil(COLUMNS_COUNT);
    let width = PANEL.0 * COLUMNS_COUNT as f64;
    let height = PANEL.1 * rows as f64 + LEGEND;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    // Writing to a String cannot fail.
    let _written = legend(&mut svg, session);
    for (position, work) in session.works.iter().enumerate() {
        let series = Series::of(session, work);
        let curves = [series.latencies(0), series.latencies(1)];
        let left = PANEL.0 * (position % COLUMNS_COUNT) as f64;
        let top = PANEL.1 * (position / COLUMNS_COUNT) as f64 + LEGEND;
        let _written = panel(&mut svg, (left, top), work.title, &curves);
    }
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, session: &Session) -> std::fmt::Result {
    let mut left = MARGIN.0;
    for (system, colour) in session.systems.iter().zip(COLOURS) {
        writeln!(
            svg,
            "<line x1=\"{left}\" y1=\"18\" x2=\"{}\" y2=\"18\" stroke=\"{colour}\" \
             stroke-width=\"3\"/>\n<text x=\"{}\" y=\"22\">{}</text>",
            left + 24.0,
            left + 30.0,
            escape(&system.version),
        )?;
        left += PANEL.0 / 2.0;
    }
    Ok(())
}

type Curves = [Option<Histogram<u64>>; 2];

fn panel(svg: &mut String, corner: (f64, f64), title: &str, curves: &Curves) -> std::fmt::Result {
    let Some(axes) = Axes::of(corner, curves) else {
        return Ok(());
    };
    writeln!(
        svg,
        "<text x=\"{}\" y=\"{}\" font-weight=\"bold\">{}</text>",
        axes.left,
        axes.top - 10.0,
        escape(title),
    )?;
    axes.grid(svg)?;
    for (histogram, colour) in curves.iter().zip(COLOURS) {
        let Some(histogram) = histogram else { continue };
        let mut points = String::new();
        for step in 0..=POINTS_COUNT {
            let nines = NINES_MAX * f64::from(step) / f64::from(POINTS_COUNT);
            let nanos = histogram.value_at_quantile(1.0 - 10_f64.powf(-nines));
            let (x, y) = (axes.x(nines), axes.y((nanos as f64).log10()));
            write!(points, "{x:.1},{y:.1} ")?;
        }
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            points.trim_end(),
        )?;
    }
    Ok(())
}

/// Where a panel's values lie on the page.
struct Axes {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
    /// Decades of nanoseconds at the bottom and at the top.
    decades: (f64, f64),
}

impl Axes {
    /// Axes that hold all curves; `None` without a curve.
    fn of(corner: (f64, f64), curves: &Curves) -> Option<Self> {
        let present = || curves.iter().flatten().filter(|curve| !curve.is_empty());
        let tail = 1.0 - 10_f64.powf(-NINES_MAX);
        let low = present().map(Histogram::min).min()?;
        let high = present().map(|curve| curve.value_at_quantile(tail)).max()?;
        let bottom = (low.max(1) as f64).log10().floor();
        let top = (high.max(1) as f64).log10().ceil();
        Some(Self {
            left: corner.0 + MARGIN.0,
            top: corner.1 + MARGIN.1,
            width: PANEL.0 - MARGIN.0 - MARGIN.2,
            height: PANEL.1 - MARGIN.1 - MARGIN.3,
            decades: (bottom, top.max(bottom + 1.0)),
        })
    }

    fn x(&self, nines: f64) -> f64 {
        self.left + self.width * nines / NINES_MAX
    }

    fn y(&self, decade: f64) -> f64 {
        let (bottom, top) = self.decades;
        let part = ((decade - bottom) / (top - bottom)).clamp(0.0, 1.0);
        self.top + self.height * (1.0 - part)
    }

    fn grid(&self, svg: &mut String) -> std::fmt::Result {
        let (right, bottom) = (self.left + self.width, self.top + self.height);
        let mut decade = self.decades.0;
        while decade <= self.decades.1 {
            let y = self.y(decade);
            writeln!(
                svg,
                "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" \
                 stroke=\"#ddd\"/>\n<text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{}</text>",
                self.left,
                self.left - 6.0,
                y + 4.0,
                duration(decade),
            )?;
            decade += 1.0;
        }
        let marks = ["0 %", "90 %", "99 %", "99.9 %", "99.99 %"];
        for (nines, mark) in (0_u32..).zip(marks) {
            let x = self.x(f64::from(nines));
            let anchor = if nines == 4 { "end" } else { "middle" };
            writeln!(
                svg,
                "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" \
                 stroke=\"#ddd\"/>\n<text x=\"{x:.1}\" y=\"{:.1}\" \
                 text-anchor=\"{anchor}\">{mark}</text>",
                self.top,
                bottom + 16.0,
            )?;
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

fn escape(text: &str) -> String {
    let text = text.replace('&', "&amp;");
    text.replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_hold_every_value_and_grow_upwards() {
        let mut curve = Histogram::new(3).unwrap();
        for nanos in [40_000_u64, 900_000, 2_000_000] {
            curve.record(nanos).unwrap();
        }
        let axes = Axes::of((0.0, 0.0), &[Some(curve), None]).unwrap();
        assert_eq!(axes.decades, (4.0, 7.0));
        assert!(axes.y(7.0) < axes.y(4.0));
        assert!(axes.x(4.0) <= PANEL.0);
        assert!(Axes::of((0.0, 0.0), &[None, None]).is_none());
    }

    #[test]
    fn decades_have_readable_names() {
        let names = [3.0, 5.0, 6.0, 9.0].map(duration);
        assert_eq!(names, ["1 us", "100 us", "1 ms", "1 s"]);
        assert_eq!(escape("a<b & c"), "a&lt;b &amp; c");
    }
}
