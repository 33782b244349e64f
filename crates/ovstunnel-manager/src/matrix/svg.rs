//! A matrix as SVG. Must not have more pieces than a view may, nor a style: what it is sent with forbids one.

use std::fmt::Write;

use super::png::{PALETTE, palette_index};
use super::{Grid, Run};
use crate::zone::{Cell, Pairs};

/// Pieces of a drawing at most.
const PIECES: usize = 3000;

/// Of each state that is there the outline of its cells, as the path of a drawing in which a cell is 1 by 1; none where these are too many pieces.
pub(crate) fn cell_paths(grid: &Grid) -> Option<Vec<(Cell, String)>> {
    let runs = grid.runs();
    let path = |cell: Cell| {
        let of_it: Vec<&Run> = runs.iter().filter(|run| run.cell == cell).collect();
        let pieces = of_it.iter().map(|run| format!("M{} {}h{w}v1h-{w}z", run.to, run.from, w = run.width));
        (!of_it.is_empty()).then(|| (cell, pieces.collect()))
    };
    (runs.len() <= PIECES).then(|| Cell::ALL.into_iter().filter_map(path).collect())
}

/// The matrix as a picture of its own. Where a line for each host were too many pieces, a line is several hosts.
pub(crate) fn render_svg(title: &str, pairs: &Pairs, grid: Grid) -> String {
    let (mut grid, mut paths_of) = (grid, None);
    while paths_of.is_none() {
        paths_of = cell_paths(&grid);
        if paths_of.is_none() {
            grid = Grid::at_most(pairs, grid.size() / 2);
        }
    }
    let (size, color) = (grid.size(), |cell| {
        let [red, green, blue] = PALETTE[usize::from(palette_index(cell))];
        format!("#{red:02x}{green:02x}{blue:02x}")
    });
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {size} {size}\" width=\"{side}\" height=\"{side}\" shape-rendering=\"crispEdges\">\n\
         <title>{title}: from row to column</title>\n<rect width=\"{size}\" height=\"{size}\" fill=\"{}\"/>\n",
        color(Cell::Proven),
        side = size.clamp(300, 1200),
    );
    for (cell, path) in paths_of.unwrap_or_default() {
        // Writing into a text cannot fail.
        let _ = writeln!(text, "<path fill=\"{}\" d=\"{path}\"><title>{}</title></path>", color(cell), cell.as_str());
    }
    text + "</svg>\n"
}

#[cfg(test)]
mod tests {
    use ovstunnel_manager_api::MatrixBy;

    use super::super::tests::pairs;
    use super::*;

    #[test]
    fn a_drawing_stays_small_whatever_is_wrong() {
        let few = pairs(5, &[(0, 1, Cell::Bad), (0, 2, Cell::Bad), (3, 4, Cell::Unknown)]);
        let text = render_svg("acme", &few, Grid::from_pairs(&few, MatrixBy::Host));
        assert!(
            text.contains("d=\"M1 0h2v1h-2z\"><title>bad") && text.contains("M4 3h1v1h-1z\"><title>not known"),
            "{text}"
        );
        let each_other: Vec<_> = (0..400)
            .flat_map(|from| (0..400).filter(move |to| (from + to) % 2 == 0).map(move |to| (from, to, Cell::Bad)))
            .collect();
        let many = pairs(400, &each_other);
        let text = render_svg("acme", &many, Grid::from_pairs(&many, MatrixBy::Host));
        assert!(text.len() < 100_000 && text.contains("bad"), "{}", text.len());
    }
}
