//! What every plot shares: the page, colours, the legend, grid lines.

use std::fmt::{Result, Write};

use crate::compare::session::Session;

/// Panels beside each other.
pub(super) const COLUMNS_COUNT: usize = 2;

/// Size of a panel with its margins, in pixels.
pub(super) const PANEL: (f64, f64) = (440.0, 260.0);

/// Space around the plot area: left, top, right, bottom.
const MARGIN: (f64, f64, f64, f64) = (62.0, 34.0, 14.0, 36.0);

/// Height of the legend above the panels.
const LEGEND: f64 = 30.0;

/// Colours of the systems, told apart by colour-blind readers too.
pub(super) const COLOURS: [&str; 2] = ["#d55e00", "#0072b2"];

/// A page with room for `panels_count` panels, with a legend; to be closed.
pub(super) fn open(session: &Session, panels_count: usize) -> String {
    let rows = panels_count.div_ceil(COLUMNS_COUNT);
    let width = PANEL.0 * COLUMNS_COUNT as f64;
    let height = PANEL.1 * rows as f64 + LEGEND;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" font-size=\"11\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
    );
    // Writing to a String cannot fail.
    let _written = legend(&mut svg, session);
    svg
}

/// Ends a page.
pub(super) fn close(mut svg: String) -> String {
    svg.push_str("</svg>\n");
    svg
}

fn legend(svg: &mut String, session: &Session) -> Result {
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

/// The plot area of one panel: places on the page for values between 0 and 1.
#[derive(Clone, Copy, Debug)]
pub(super) struct Area {
    left: f64,
    top: f64,
    width: f64,
    height: f64,
}

impl Area {
    /// Of the panel at `position`, counted row by row.
    pub(super) fn of(position: usize) -> Self {
        let column = (position % COLUMNS_COUNT) as f64;
        let row = (position / COLUMNS_COUNT) as f64;
        Self {
            left: PANEL.0 * column + MARGIN.0,
            top: PANEL.1 * row + LEGEND + MARGIN.1,
            width: PANEL.0 - MARGIN.0 - MARGIN.2,
            height: PANEL.1 - MARGIN.1 - MARGIN.3,
        }
    }

    /// From the left edge.
    pub(super) fn x(&self, part: f64) -> f64 {
        self.left + self.width * part.clamp(0.0, 1.0)
    }

    /// From the bottom.
    pub(super) fn y(&self, part: f64) -> f64 {
        self.top + self.height * (1.0 - part.clamp(0.0, 1.0))
    }

    pub(super) fn title(&self, svg: &mut String, title: &str) -> Result {
        let y = self.top - 10.0;
        let (x, title) = (self.left, escape(title));
        writeln!(
            svg,
            "<text x=\"{x}\" y=\"{y}\" font-weight=\"bold\">{title}</text>"
        )
    }

    /// A line across the area with its value at the left.
    pub(super) fn horizontal(&self, svg: &mut String, part: f64, mark: &str) -> Result {
        let (y, right) = (self.y(part), self.left + self.width);
        writeln!(
            svg,
            "<line x1=\"{:.1}\" y1=\"{y:.1}\" x2=\"{right:.1}\" y2=\"{y:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"end\">{mark}</text>",
            self.left,
            self.left - 6.0,
            y + 4.0,
        )
    }

    /// A line up the area with its value below.
    pub(super) fn vertical(&self, svg: &mut String, part: f64, mark: &str) -> Result {
        let (x, bottom) = (self.x(part), self.top + self.height);
        let anchor = if part >= 1.0 { "end" } else { "middle" };
        writeln!(
            svg,
            "<line x1=\"{x:.1}\" y1=\"{:.1}\" x2=\"{x:.1}\" y2=\"{bottom:.1}\" stroke=\"#ddd\"/>\n\
             <text x=\"{x:.1}\" y=\"{:.1}\" text-anchor=\"{anchor}\">{mark}</text>",
            self.top,
            bottom + 16.0,
        )
    }

    /// A curve through points given as parts of the area.
    pub(super) fn curve(
        &self,
        svg: &mut String,
        colour: &str,
        points: impl IntoIterator<Item = (f64, f64)>,
    ) -> Result {
        let mut path = String::new();
        for (x, y) in points {
            write!(path, "{:.1},{:.1} ", self.x(x), self.y(y))?;
        }
        writeln!(
            svg,
            "<polyline fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\" points=\"{}\"/>",
            path.trim_end(),
        )
    }

    /// A dot at one point of a curve.
    pub(super) fn dot(&self, svg: &mut String, colour: &str, x: f64, y: f64) -> Result {
        let (x, y) = (self.x(x), self.y(y));
        writeln!(
            svg,
            "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"
        )
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
    fn places_lie_in_their_panel_and_grow_upwards() {
        let area = Area::of(3);
        assert!(area.x(0.0) > PANEL.0 && area.x(2.0) <= 2.0 * PANEL.0);
        assert!(area.y(1.0) < area.y(0.0));
        assert!(area.y(0.0) <= 2.0 * PANEL.1 + LEGEND);
    }

    #[test]
    fn marks_of_the_format_are_escaped() {
        assert_eq!(escape("a<b & c"), "a&lt;b &amp; c");
    }
}
