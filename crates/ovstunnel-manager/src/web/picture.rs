//! A network's matrix as PNG. Must not be larger than a point for each direction.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use ovstunnel_server::problem::ApiError;

use super::pages::encoded;
use crate::zone::{Cell, Pairs};

/// The colours, in the order of [`Cell`]: they can be told apart in grey, and on a light page as on a dark one.
const PALETTE: [[u8; 3]; 5] = [[196, 224, 208], [139, 150, 165], [224, 160, 60], [176, 106, 10], [196, 38, 46]];

/// Where a cell stands in the palette.
fn index(cell: Cell) -> u8 {
    match cell {
        Cell::Proven => 0,
        Cell::Unknown => 1,
        Cell::Limited => 2,
        Cell::OneSided => 3,
        Cell::Bad => 4,
    }
}

/// The picture, hosts by rack and then by number; at most so many points a side, of which each shows the worst that it stands for.
pub(super) fn png(name: &str, pairs: &Pairs, side: Option<usize>) -> Result<Response, ApiError> {
    let bytes =
        drawn(pairs, side).map_err(|error| ApiError::internal(format!("the picture cannot be drawn: {error}")))?;
    let headers = [
        (header::CONTENT_TYPE, "image/png".to_owned()),
        (header::CONTENT_DISPOSITION, format!("inline; filename=\"{}.png\"", encoded(name))),
    ];
    Ok((headers, bytes).into_response())
}

fn drawn(pairs: &Pairs, side: Option<usize>) -> Result<Vec<u8>, png::EncodingError> {
    let size = pairs.places.len().max(1);
    let block = size.div_ceil(side.unwrap_or(size).max(1)).max(1);
    let points = size.div_ceil(block);
    let mut order: Vec<usize> = (0..pairs.places.len()).collect();
    order.sort_by(|one, other| pairs.places[*one].rack.cmp(&pairs.places[*other].rack).then(one.cmp(other)));
    let mut place = vec![0; pairs.places.len()];
    order.iter().enumerate().for_each(|(at, host)| place[*host] = at / block);
    let mut cells = vec![0u8; points * points];
    for (from, to, cell) in pairs.not_proven() {
        let point = &mut cells[place[from] * points + place[to]];
        *point = index(cell).max(*point);
    }
    let length = u32::try_from(points).unwrap_or(u32::MAX);
    let mut bytes = Vec::new();
    let mut encoder = png::Encoder::new(&mut bytes, length, length);
    encoder.set_color(png::ColorType::Indexed);
    encoder.set_depth(png::BitDepth::Eight);
    encoder.set_palette(PALETTE.concat());
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&cells)?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test fails by panicking")]
    use super::*;
    use crate::zone::Place;

    #[test]
    fn each_point_is_the_worst_of_what_it_stands_for() {
        let places: Vec<Place> = (0..2000).map(|n| Place { host: format!("h{n}"), rack: None }).collect();
        let pairs = Pairs::of(places, &[(1999, 0, Cell::Bad), (0, 1, Cell::OneSided), (1, 3, Cell::Limited)]);
        let whole = drawn(&pairs, None).unwrap();
        assert!(whole.len() < 20_000, "{} bytes", whole.len());
        let small = drawn(&pairs, Some(300)).unwrap();
        let mut reader = png::Decoder::new(std::io::Cursor::new(&small)).read_info().unwrap();
        let mut cells = vec![0; reader.output_buffer_size().unwrap()];
        let info = reader.next_frame(&mut cells).unwrap();
        assert_eq!((info.width, info.height), (286, 286));
        assert_eq!((cells[0], cells[285 * 286], cells[1]), (3, 4, 0));
    }
}
