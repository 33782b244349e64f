//! The plots, as SVG. Must not say more than the report's curves do.

use std::path::{Path, PathBuf};

use anyhow::{Result, anyhow};
use plotters::coord::ranged1d::{Ranged, ValueFormatter};
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;

use crate::report::{Curve, Plot, Report};

const SIZE: (u32, u32) = (860, 480);

const COLOURS: [RGBColor; 5] =
    [RGBColor(0, 114, 178), RGBColor(213, 94, 0), RGBColor(0, 158, 115), RGBColor(204, 121, 167), RGBColor(90, 90, 90)];

/// What a plot is called, in the documentation and on the disk.
const PLOTS: [(Plot, &str, &str, &str); 2] = [
    (Plot::OneTunnel, "one-tunnel.svg", "One more tunnel", "milliseconds (median)"),
    (Plot::Flows, "flows.svg", "Flows of a bridge", "flows"),
];

/// Draws all plots of which there are curves into a folder; the files.
pub fn draw(report: &Report, folder: &Path) -> Result<Vec<PathBuf>> {
    std::fs::create_dir_all(folder)?;
    let mut drawn = Vec::new();
    for (plot, file, title, y) in PLOTS {
        let curves: Vec<Curve> = report.curves.iter().filter(|curve| curve.plot == plot).map(in_its_unit).collect();
        if !curves.is_empty() {
            let path = folder.join(file);
            draw_one(&path, title, y, &curves).map_err(|error| anyhow!("{}: {error}", path.display()))?;
            drawn.push(path);
        }
    }
    Ok(drawn)
}

/// Times are drawn in milliseconds. A logarithm has no zero: none is drawn as a half.
fn in_its_unit(curve: &Curve) -> Curve {
    let factor = if curve.plot == Plot::OneTunnel { 1000.0 } else { 1.0 };
    let points = curve.points.iter().map(|(x, y)| (*x, (y * factor).max(0.5))).collect();
    Curve { points, ..curve.clone() }
}

fn draw_one(path: &Path, title: &str, y: &str, curves: &[Curve]) -> Result<(), Box<dyn std::error::Error>> {
    let points = || curves.iter().flat_map(|curve| curve.points.iter().copied());
    let right = points().map(|(x, _)| x).fold(1.0, f64::max);
    let (low, high) = points().fold((f64::MAX, 1.0_f64), |(low, high), (_, y)| (low.min(y), high.max(y)));
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 20))
        .margin(12)
        .x_label_area_size(42)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..right * 1.02, (low / 1.5..high * 1.5).log_scale())?;
    chart
        .configure_mesh()
        .max_light_lines(1)
        .light_line_style(WHITE)
        .x_desc(if title.starts_with("One") { "tunnels on the host" } else { "tunnels of the bridge" })
        .y_desc(format!("{y}, logarithmic"))
        .y_label_formatter(&|value| if *value < 10.0 { format!("{value:.1}") } else { format!("{value:.0}") })
        .x_label_formatter(&|value| format!("{value:.0}"))
        .draw()?;
    lines(&mut chart, curves)?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.8))
        .border_style(RGBColor(200, 200, 200))
        .draw()?;
    area.present()?;
    Ok(())
}

type Chart<'a, Y> = ChartContext<'a, SVGBackend<'a>, Cartesian2d<RangedCoordf64, Y>>;

fn lines<'a, Y>(chart: &mut Chart<'a, Y>, curves: &[Curve]) -> Result<(), Box<dyn std::error::Error>>
where
    Y: Ranged<ValueType = f64> + ValueFormatter<f64>,
{
    for (curve, colour) in curves.iter().zip(COLOURS.iter().copied().cycle()) {
        let line = LineSeries::new(curve.points.iter().copied(), colour.stroke_width(2)).point_size(3);
        chart
            .draw_series(line)?
            .label(&curve.name)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour.stroke_width(2)));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_plots_name_their_curves() {
        let folder = std::env::temp_dir().join(format!("ovstunnel-plots-{}", std::process::id()));
        let curve = |plot, name: &str| Curve { plot, name: name.into(), points: vec![(0.0, 0.0), (10.0, 2.0)] };
        let curves =
            vec![curve(Plot::OneTunnel, "ours"), curve(Plot::OneTunnel, "theirs"), curve(Plot::Flows, "flows")];
        let machine = crate::machine::describe().unwrap();
        let report = Report { machine, quick: true, seconds: 1.0, lines: vec![], curves };
        let files = draw(&report, &folder).unwrap();
        let svg = std::fs::read_to_string(&files[0]).unwrap();
        std::fs::remove_dir_all(&folder).unwrap();
        assert_eq!(files.len(), 2);
        assert!(svg.contains("ours") && svg.contains("theirs") && svg.contains("tunnels on the host"), "{svg}");
    }
}
