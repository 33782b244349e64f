//! All directions between hosts as a matrix, in the forms in which it is given: JSON, CSV, SVG and PNG.
//!
//! What it does: puts hosts together by rack, or as many as it takes for a form to stay small; what is put together shows the worst of it. What it must
//! not do: judge a direction, or leave anything out without saying so.

mod csv;
mod json;
mod png;
mod svg;

use std::collections::BTreeMap;

use ovstunnel_manager_api::MatrixBy;

use crate::zone::{Cell, Pairs};

pub(crate) use csv::render_csv;
pub(crate) use json::render_json;
pub(crate) use png::render_png;
pub(crate) use svg::{cell_paths, render_svg};

/// A row, and the column of the same place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// The host, or the rack; none for the hosts that are in no rack.
    pub name: Option<String>,
    /// How many hosts it is.
    pub hosts: usize,
}

/// A matrix, of hosts or of several of them together.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    /// Rows and columns.
    pub lines: Vec<Line>,
    cells: Vec<Cell>,
}

/// Cells of one row, side by side, that are alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub from: usize,
    pub to: usize,
    pub width: usize,
    pub cell: Cell,
}

impl Grid {
    /// A line for each host, in the order of the pairs; or for each rack, in the order of names.
    pub fn from_pairs(pairs: &Pairs, by: MatrixBy) -> Grid {
        match by {
            MatrixBy::Host => {
                let line = |host: &String| Line { name: Some(host.clone()), hosts: 1 };
                let lines = pairs.places.iter().map(|place| line(&place.host)).collect();
                Grid { lines, cells: pairs.cells().to_vec() }
            }
            MatrixBy::Rack => {
                let mut racks: BTreeMap<Option<&str>, usize> = BTreeMap::new();
                pairs.places.iter().for_each(|place| *racks.entry(place.rack.as_deref()).or_default() += 1);
                let line =
                    |(rack, hosts): (&Option<&str>, &usize)| Line { name: rack.map(str::to_owned), hosts: *hosts };
                let lines = racks.iter().map(line).collect();
                let at: BTreeMap<Option<&str>, usize> =
                    racks.keys().enumerate().map(|(at, rack)| (*rack, at)).collect();
                let place: Vec<usize> = pairs.places.iter().map(|place| at[&place.rack.as_deref()]).collect();
                Grid::fold_lines(pairs, &place, lines)
            }
        }
    }

    /// A line for so many hosts each that there are no more lines than that; hosts of a rack beside each other.
    pub fn at_most(pairs: &Pairs, lines: usize) -> Grid {
        let size = pairs.places.len();
        let block = size.div_ceil(lines.max(1)).max(1);
        let mut order: Vec<usize> = (0..size).collect();
        order.sort_by(|one, other| pairs.places[*one].rack.cmp(&pairs.places[*other].rack).then(one.cmp(other)));
        let mut place = vec![0; size];
        order.iter().enumerate().for_each(|(at, host)| place[*host] = at / block);
        let line = |hosts: &[usize]| Line {
            name: hosts.first().map(|host| pairs.places[*host].host.clone()),
            hosts: hosts.len(),
        };
        Grid::fold_lines(pairs, &place, order.chunks(block).map(line).collect())
    }

    fn fold_lines(pairs: &Pairs, place: &[usize], lines: Vec<Line>) -> Grid {
        let (size, all) = (lines.len(), pairs.places.len().max(1));
        let mut cells = vec![Cell::Apart; size * size];
        for (row, from) in pairs.cells().chunks(all).zip(place) {
            for (cell, to) in row.iter().zip(place) {
                let there = &mut cells[from * size + to];
                *there = (*there).max(*cell);
            }
        }
        Grid { lines, cells }
    }

    /// How many lines there are.
    pub fn size(&self) -> usize {
        self.lines.len()
    }

    /// The cells, row by row.
    pub fn cells(&self) -> &[Cell] {
        &self.cells
    }

    /// Neighbours in a row that are alike and not proven, row by row.
    pub fn runs(&self) -> Vec<Run> {
        let mut runs: Vec<Run> = Vec::new();
        let size = self.size().max(1);
        for (at, cell) in self.cells.iter().enumerate().filter(|(_, cell)| **cell > Cell::Proven) {
            let (from, to) = (at / size, at % size);
            match runs.last_mut() {
                Some(run) if run.from == from && run.to + run.width == to && run.cell == *cell => run.width += 1,
                _ => runs.push(Run { from, to, width: 1, cell: *cell }),
            }
        }
        runs
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::zone::Place;

    /// Hosts h0, h1, ... in two racks by turns, of a mesh.
    pub(super) fn pairs(hosts: usize, not_proven: &[(usize, usize, Cell)]) -> Pairs {
        let rack = |n: usize| Some(if n.is_multiple_of(2) { "r-a" } else { "r-b" }.to_owned());
        Pairs::of((0..hosts).map(|n| Place { host: format!("h{n}"), rack: rack(n) }).collect(), not_proven)
    }

    #[test]
    fn what_is_put_together_shows_the_worst_of_it() {
        let pairs = pairs(6, &[(0, 1, Cell::Unknown), (2, 3, Cell::Bad), (1, 5, Cell::Limited)]);
        let racks = Grid::from_pairs(&pairs, MatrixBy::Rack);
        assert_eq!(racks.lines, ["r-a", "r-b"].map(|name| Line { name: Some(name.into()), hosts: 3 }));
        assert_eq!(racks.cells(), [Cell::Proven, Cell::Bad, Cell::Proven, Cell::Limited]);
        // h0 h2 | h4 h1 | h3 h5
        let three = Grid::at_most(&pairs, 3);
        assert_eq!(three.cells()[..3], [Cell::Proven, Cell::Unknown, Cell::Bad]);
        let run = |from, to, width, cell| Run { from, to, width, cell };
        assert_eq!(three.runs()[..2], [run(0, 1, 1, Cell::Unknown), run(0, 2, 1, Cell::Bad)]);
        assert_eq!((three.lines[1].name.as_deref(), three.lines[1].hosts), (Some("h4"), 2));
    }

    #[test]
    fn neighbours_that_are_alike_are_one_run() {
        let row: Vec<_> = (1..5).map(|to| (0, to, Cell::Bad)).collect();
        let runs = Grid::from_pairs(&pairs(5, &row), MatrixBy::Host).runs();
        assert_eq!(runs, [Run { from: 0, to: 1, width: 4, cell: Cell::Bad }]);
    }
}
