//! A matrix as the API's JSON. Must not be larger than a download may be.

use ovstunnel_manager_api::{CellState, Matrix, MatrixBy, MatrixCount, MatrixLine, MatrixRun};

use super::{Grid, Run};
use crate::zone::{Cell, Pairs};

/// Runs that are listed.
const RUNS: usize = 4000;

/// The matrix of a network, or of the zone where none is named.
pub(crate) fn render_json(network: Option<&str>, pairs: &Pairs, by: MatrixBy, age: Option<f64>) -> Matrix {
    let grid = Grid::from_pairs(pairs, by);
    let mut runs = grid.runs();
    let left_off = runs.len().saturating_sub(RUNS);
    if left_off > 0 {
        runs.sort_by_key(|run| std::cmp::Reverse(run.cell));
        runs.truncate(RUNS);
    }
    let line = |line: super::Line| MatrixLine { name: line.name, hosts: saturating_u32(line.hosts) };
    Matrix {
        network: network.map(str::to_owned),
        by,
        lines: grid.lines.into_iter().map(line).collect(),
        count: count_cells(pairs),
        runs: runs.into_iter().filter_map(run_to_wire).collect(),
        left_off: saturating_u32(left_off),
        age,
    }
}

fn saturating_u32(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

fn run_to_wire(run: Run) -> Option<MatrixRun> {
    let state = match run.cell {
        Cell::Apart | Cell::Proven => return None,
        Cell::Unknown => CellState::NotKnown,
        Cell::Limited => CellState::Limited,
        Cell::OneSided => CellState::OneSided,
        Cell::Bad => CellState::Bad,
    };
    Some(MatrixRun {
        from: saturating_u32(run.from),
        to: saturating_u32(run.to),
        width: saturating_u32(run.width),
        state,
    })
}

fn count_cells(pairs: &Pairs) -> MatrixCount {
    let of = |cell| pairs.count_of(cell) as u64;
    MatrixCount {
        wanted: Cell::ALL.into_iter().map(of).sum(),
        proven: of(Cell::Proven),
        not_known: of(Cell::Unknown),
        limited: of(Cell::Limited),
        one_sided: of(Cell::OneSided),
        bad: of(Cell::Bad),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::super::tests::pairs;
    use super::*;

    #[test]
    fn the_worst_are_listed_and_the_rest_is_counted() {
        // Each other direction of 150 hosts, so that no two neighbours are alike; one is worse.
        let mut found: Vec<_> = (0..150)
            .flat_map(|from| {
                (0..150).filter(move |to| from != *to && (from + to) % 2 == 0).map(move |to| (from, to, Cell::Limited))
            })
            .collect();
        found.push((149, 0, Cell::Bad));
        let matrix = render_json(Some("acme"), &pairs(150, &found), MatrixBy::Host, None);
        assert_eq!((matrix.runs.len(), matrix.runs[0].state), (4000, CellState::Bad));
        assert_eq!(matrix.left_off as usize, found.len() - 4000);
        assert_eq!((matrix.count.wanted, matrix.count.bad), (150 * 149, 1));
        let bytes = serde_json::to_string(&matrix).unwrap().len();
        assert!(bytes < 400_000, "{bytes}");
        let racks = render_json(None, &pairs(150, &found), MatrixBy::Rack, None);
        assert_eq!((racks.lines.len(), racks.runs.len(), racks.left_off), (2, 4 - 1, 0));
    }
}
