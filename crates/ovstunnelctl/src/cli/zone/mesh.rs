//! `zone mesh`: all directions between a network's hosts, or the zone's, as a matrix in the terminal.
//!
//! What it does: a sign and a colour for each direction, the worst lines first; says what it does not show. What it must not do: judge, or show by
//! colour alone.

use clap::{Args, ValueEnum};
use ovstunnel_manager_api::{CellState, Matrix, MatrixBy, MatrixLine};

use crate::cli::show::{Page, Tone};
use crate::cli::{Failure, Report, values, watch};
use crate::client::{ClientError, Manager};

/// Lines that are shown.
const SHOWN: usize = 60;

#[derive(Args, Clone, Debug)]
pub(in crate::cli) struct MeshArgs {
    /// Name of the network, such as key-1001; the whole zone where it is not given.
    #[arg(value_parser = values::zone_name)]
    network: Option<String>,
    /// What a row and a column are.
    #[arg(long, value_enum)]
    by: Option<ByWord>,
    /// Read again whenever something changes, until it is interrupted.
    #[arg(short, long)]
    watch: bool,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum ByWord {
    /// A host.
    Host,
    /// The hosts of a rack together.
    Rack,
}

pub(super) async fn show_mesh(manager: &Manager, args: MeshArgs, json: bool) -> Result<Report, Failure> {
    watch::repeat_report(watch::Source::Manager(manager), args.watch, async || {
        let matrix = fetch_matrix(manager, &args, json).await?;
        let wrong = matrix.count.proven < matrix.count.wanted;
        Ok(Report::new(json, &matrix, matrix_page)?.wrong_if(wrong))
    })
    .await
}

/// By racks where there are several, and more hosts than can be shown.
async fn fetch_matrix(manager: &Manager, args: &MeshArgs, json: bool) -> Result<Matrix, ClientError> {
    let get = async |by| match &args.network {
        Some(network) => manager.mesh(network, by).await,
        None => manager.zone_matrix(by).await,
    };
    let by = match args.by {
        Some(ByWord::Rack) => MatrixBy::Rack,
        Some(ByWord::Host) | None => MatrixBy::Host,
    };
    let matrix = get(by).await?;
    if args.by.is_some() || json || matrix.lines.len() <= SHOWN {
        return Ok(matrix);
    }
    let racks = get(MatrixBy::Rack).await?;
    Ok(if racks.lines.len() > 1 { racks } else { matrix })
}

/// A sign that is told from the others without its colour, too.
fn cell_sign(state: CellState) -> (Tone, char) {
    match state {
        CellState::Bad => (Tone::Bad, 'x'),
        CellState::OneSided => (Tone::Bad, '/'),
        CellState::Limited => (Tone::Warn, '~'),
        CellState::NotKnown => (Tone::Warn, '?'),
    }
}

/// The states of the cells that are not proven.
struct Cells {
    size: usize,
    cells: Vec<Option<CellState>>,
}

impl Cells {
    fn from_matrix(matrix: &Matrix) -> Cells {
        let size = matrix.lines.len();
        let mut cells = vec![None; size * size];
        for run in &matrix.runs {
            let columns = (run.to as usize..).take(run.width as usize).filter(|to| *to < size);
            for to in columns.filter(|_| (run.from as usize) < size) {
                cells[run.from as usize * size + to] = Some(run.state);
            }
        }
        Cells { size, cells }
    }

    fn cell_at(&self, from: usize, to: usize) -> Option<CellState> {
        self.cells[from * self.size + to]
    }

    /// The lines, the worst first: by the worst cell of their row and column, then by how many are not proven.
    fn worst_first(&self) -> Vec<usize> {
        let both =
            |line: usize| (0..self.size).flat_map(move |other| [self.cell_at(line, other), self.cell_at(other, line)]);
        let mut order: Vec<usize> = (0..self.size).collect();
        order.sort_by_cached_key(|line| {
            let worst = both(*line).max().flatten();
            std::cmp::Reverse((worst, both(*line).flatten().count()))
        });
        order
    }
}

fn matrix_page(matrix: &Matrix) -> Page {
    let mut page = Page::new();
    let count = &matrix.count;
    let what = matrix.network.as_deref().map_or_else(|| "the zone".to_owned(), |name| format!("network {name}"));
    let missing = count.wanted.saturating_sub(count.proven);
    match (count.wanted, missing) {
        (0, _) => page.line(format!("{what}: no two hosts have anything to tunnel")),
        (all, 0) => page.verdict(Tone::Plain, "OK", &format!(": {what}: each of {all} directions is proven")),
        (all, n) => page.verdict(Tone::Bad, "FAIL", &format!(": {what}: {n} of {all} directions are not proven")),
    }
    let cells = Cells::from_matrix(matrix);
    let order = cells.worst_first();
    let shown = &order[..order.len().min(SHOWN)];
    if shown.len() > 1 || missing > 0 {
        draw_cells(&mut page, matrix, &cells, shown);
        draw_legend(&mut page, matrix);
    }
    let hidden = order.len() - shown.len();
    if hidden > 0 {
        let wrong =
            order[SHOWN..].iter().filter(|line| (0..cells.size).any(|to| cells.cell_at(**line, to).is_some())).count();
        page.line(format!(
            "{hidden} more lines are not shown; from {wrong} of them something is not proven (--json has all)"
        ));
    }
    if matrix.left_off > 0 {
        page.line(format!(
            "{} runs of cells that are not proven are not shown as such: only the worst were asked for",
            matrix.left_off
        ));
    }
    add_hint(&mut page, matrix, &cells, &order);
    page
}

fn line_name(line: &MatrixLine) -> &str {
    line.name.as_deref().unwrap_or("(no rack)")
}

/// Numbers of the columns from above to below, then a row for each line with its number and name.
fn draw_cells(page: &mut Page, matrix: &Matrix, cells: &Cells, shown: &[usize]) {
    let digits = shown.len().to_string().len();
    let widest = shown.iter().map(|line| line_name(&matrix.lines[*line]).chars().count()).max().unwrap_or(0);
    let indent = digits + 1 + widest;
    page.line("row = from, column = to");
    for digit in 0..digits {
        let numbers = (1..=shown.len()).map(|n| format!("{n:>digits$}").chars().nth(digit).unwrap_or(' '));
        page.line(format!("{:indent$}  {}", "", numbers.flat_map(|digit| [digit, ' ']).collect::<String>().trim_end()));
    }
    for (n, from) in shown.iter().enumerate() {
        let mut pieces =
            vec![(Tone::Plain, format!("{:>digits$} {:<widest$}  ", n + 1, line_name(&matrix.lines[*from])))];
        for to in shown {
            let (tone, sign) = match cells.cell_at(*from, *to) {
                Some(state) => cell_sign(state),
                None if from == to && matrix.by == MatrixBy::Host => (Tone::Plain, '\\'),
                None => (Tone::Plain, '.'),
            };
            pieces.push((tone, format!("{sign} ")));
        }
        page.pieces(&pieces);
    }
}

fn draw_legend(page: &mut Page, matrix: &Matrix) {
    let count = &matrix.count;
    let mut pieces = vec![(Tone::Plain, String::new())];
    let of = [
        (CellState::Bad, "bad", count.bad),
        (CellState::OneSided, "one-sided", count.one_sided),
        (CellState::Limited, "limited", count.limited),
        (CellState::NotKnown, "not known", count.not_known),
    ];
    for (state, word, n) in of {
        let (tone, sign) = cell_sign(state);
        pieces.push((tone, sign.to_string()));
        pieces.push((Tone::Plain, format!(" {word} {n}   ")));
    }
    let apart = if matrix.network.is_none() { " or no network in common" } else { "" };
    pieces.push((Tone::Plain, format!(". proven {}{apart}", count.proven)));
    page.pieces(&pieces);
    if matrix.by == MatrixBy::Rack {
        page.line("a line is a rack, a cell the worst of what is between its hosts; --by host has each host");
    }
}

/// The question that leads from the worst direction to its cause.
fn add_hint(page: &mut Page, matrix: &Matrix, cells: &Cells, order: &[usize]) {
    let worst = order.iter().flat_map(|from| order.iter().map(move |to| (*from, *to)));
    let worst = worst.filter_map(|(from, to)| cells.cell_at(from, to).map(|state| (state, from, to)));
    let Some((_, from, to)) = worst.reduce(|one, other| if other.0 > one.0 { other } else { one }) else { return };
    if matrix.by == MatrixBy::Rack {
        return page.line("What is wrong, each cause once: ovstunnelctl zone faults");
    }
    let network = matrix.network.as_ref().map(|network| format!(" --network {network}")).unwrap_or_default();
    page.line(format!(
        "Why: ovstunnelctl zone why {} {}{network}",
        line_name(&matrix.lines[from]),
        line_name(&matrix.lines[to])
    ));
}
