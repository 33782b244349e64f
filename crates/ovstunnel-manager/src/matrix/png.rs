//! A matrix as PNG. Must not be larger than a download may be.

use super::Grid;
use crate::zone::{Cell, Pairs};

/// The colours, in the order of [`Cell`]: they can be told apart in grey, and on a light page as on a dark one.
pub(super) const PALETTE: [[u8; 3]; 6] =
    [[226, 229, 234], [196, 224, 208], [139, 150, 165], [224, 160, 60], [176, 106, 10], [196, 38, 46]];

/// Bytes of a picture at most.
const SIZE: usize = 400_000;

/// Points of a side at least: below that each cell is several points.
const SIDE: usize = 300;

/// Where a cell stands in the palette.
pub(super) fn palette_index(cell: Cell) -> u8 {
    match cell {
        Cell::Apart => 0,
        Cell::Proven => 1,
        Cell::Unknown => 2,
        Cell::Limited => 3,
        Cell::OneSided => 4,
        Cell::Bad => 5,
    }
}

/// The picture. Where it were too large, a point is several hosts, and shows the worst of them.
pub(crate) fn render_png(pairs: &Pairs, grid: Grid) -> Result<Vec<u8>, png::EncodingError> {
    render_within(pairs, &grid, SIZE)
}

fn render_within(pairs: &Pairs, grid: &Grid, most: usize) -> Result<Vec<u8>, png::EncodingError> {
    let mut lines = grid.size();
    let mut bytes = draw_grid(grid)?;
    while bytes.len() > most && lines > 1 {
        lines /= 2;
        bytes = draw_grid(&Grid::at_most(pairs, lines))?;
    }
    Ok(bytes)
}

fn draw_grid(grid: &Grid) -> Result<Vec<u8>, png::EncodingError> {
    // A picture has one point at least.
    let size = grid.size().max(1);
    let scale = (SIDE / size).max(1);
    let mut points = Vec::with_capacity(size * scale * size * scale);
    for row in grid.cells().chunks(size) {
        let line: Vec<u8> = row.iter().flat_map(|cell| std::iter::repeat_n(palette_index(*cell), scale)).collect();
        (0..scale).for_each(|_| points.extend_from_slice(&line));
    }
    points.resize(size * scale * size * scale, 0);
    let length = u32::try_from(size * scale).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, length, length);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(PALETTE.concat());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&points)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::zone::Place;

    fn places(hosts: usize) -> Vec<Place> {
        (0..hosts).map(|n| Place { host: format!("h{n}"), rack: None }).collect()
    }

    fn read(bytes: &[u8]) -> (u32, Vec<u8>) {
        let mut reader = png::Decoder::new(std::io::Cursor::new(bytes)).read_info().unwrap();
        let mut points = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut points).unwrap();
        assert_eq!(info.width, info.height);
        (info.width, points)
    }

    #[test]
    fn each_point_is_the_worst_of_what_it_stands_for() {
        let pairs = Pairs::of(places(2000), &[(1999, 0, Cell::Bad), (0, 1, Cell::OneSided), (1, 3, Cell::Limited)]);
        let whole = render_png(&pairs, Grid::at_most(&pairs, 2000)).unwrap();
        assert!(whole.len() < 20_000, "{} bytes", whole.len());
        let (side, points) = read(&render_png(&pairs, Grid::at_most(&pairs, 300)).unwrap());
        assert_eq!((side, points[0], points[285 * 286], points[1]), (286, 4, 5, 1));
        let small = Pairs::of(places(3), &[(0, 1, Cell::Bad)]);
        let (side, points) = read(&render_png(&small, Grid::at_most(&small, 3)).unwrap());
        assert_eq!((side, points[99], points[100], points[200]), (300, 0, 5, 1));
    }

    #[test]
    fn a_picture_of_noise_is_made_coarser_until_it_is_small() {
        let mut seed = 7u32;
        let noise: Vec<_> = (0..400 * 400)
            .filter_map(|at| {
                seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                (seed >> 29 != 0).then_some((at / 400, at % 400, Cell::ALL[(seed >> 24) as usize % 5]))
            })
            .collect();
        let pairs = Pairs::of(places(400), &noise);
        let grid = Grid::at_most(&pairs, 400);
        assert_eq!(read(&render_within(&pairs, &grid, SIZE).unwrap()).0, 400);
        let bytes = render_within(&pairs, &grid, 30_000).unwrap();
        assert!(bytes.len() < 30_000 && read(&bytes).0 < 400, "{} bytes", bytes.len());
    }
}
