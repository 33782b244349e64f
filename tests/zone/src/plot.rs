//! The plot: how things grow, one column for what grows and one row for what is looked at. Must not compute.

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use crate::growth::Series;
use crate::run::Outcome;

const WIDTH: u32 = 1200;
const HEIGHT: u32 = 1040;

/// What is drawn in one row of the plot.
struct Look {
    title: &'static str,
    of: fn(&Outcome) -> f64,
}

const LOOKS: [Look; 4] = [
    Look { title: "messages for a VM event", of: |o| o.per_event(o.all_messages.sent) },
    Look { title: "tunnel ports in the zone", of: |o| o.size.tunnels as f64 },
    Look { title: "network whole again, p99, ms", of: |o| o.whole_all.p99 },
    Look { title: "worst host in transactions, %", of: |o| o.worst.writing * 100.0 },
];

/// The plot as SVG.
///
/// # Errors
/// When the library cannot draw it.
pub fn growth(all: &[Series]) -> Result<String> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, (WIDTH, HEIGHT)).into_drawing_area();
        root.fill(&WHITE).map_err(failed)?;
        let cells = root.split_evenly((LOOKS.len(), all.len().max(1)));
        let pairs = LOOKS.iter().flat_map(|look| all.iter().map(move |series| (look, series)));
        for (cell, (look, series)) in cells.iter().zip(pairs) {
            draw(cell, look, series)?;
        }
        root.present().map_err(failed)?;
    }
    Ok(svg)
}

fn failed(error: impl std::fmt::Display) -> anyhow::Error {
    anyhow!("the plot cannot be drawn: {error}")
}

fn draw(cell: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>, look: &Look, series: &Series) -> Result<()> {
    let points: Vec<(f64, f64)> = series.points.iter().map(|(x, outcome)| (*x, (look.of)(outcome))).collect();
    let top = |of: fn(&(f64, f64)) -> f64| points.iter().map(of).fold(f64::MIN_POSITIVE, f64::max) * 1.1;
    let mut chart = ChartBuilder::on(cell)
        .caption(look.title, ("sans-serif", 16))
        .margin(12)
        .x_label_area_size(34)
        .y_label_area_size(58)
        .build_cartesian_2d(0.0..top(|point| point.0), 0.0..top(|point| point.1))
        .map_err(failed)?;
    let number = |value: &f64| match *value {
        value if value >= 1e6 => format!("{:.1}M", value / 1e6),
        value if value >= 1e4 => format!("{:.0}k", value / 1e3),
        value if value >= 10.0 || value == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    };
    chart
        .configure_mesh()
        .x_desc(series.title)
        .x_labels(6)
        .y_labels(5)
        .x_label_formatter(&number)
        .y_label_formatter(&number)
        .light_line_style(WHITE)
        .draw()
        .map_err(failed)?;
    chart.draw_series(LineSeries::new(points.clone(), BLUE.stroke_width(2))).map_err(failed)?;
    chart.draw_series(points.into_iter().map(|point| Circle::new(point, 3, BLUE.filled()))).map_err(failed)?;
    Ok(())
}
