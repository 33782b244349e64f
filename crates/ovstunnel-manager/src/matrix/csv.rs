//! The directions that are not proven as CSV, the worst first. Must not be larger than a download may be.

use std::cmp::Reverse;

use crate::zone::Pairs;

/// Bytes of it at most, but for the line that says what is left off.
const SIZE: usize = 399_000;

/// A line for each direction that is not proven: from, to, how. Where there are too many, the last line says how many more there are.
pub(crate) fn render_csv(pairs: &Pairs) -> String {
    let mut found: Vec<_> = pairs.not_proven().collect();
    found.sort_by_key(|(from, to, cell)| (Reverse(*cell), *from, *to));
    let mut text = String::from("from,to,state\n");
    for (n, (from, to, cell)) in found.iter().enumerate() {
        // Names have no comma and no quote.
        let line = format!("{},{},{}\n", pairs.places[*from].host, pairs.places[*to].host, cell.as_str());
        if text.len() + line.len() > SIZE {
            text.push_str(&format!("and {} more,,\n", found.len() - n));
            break;
        }
        text.push_str(&line);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::super::tests::pairs;
    use super::*;
    use crate::zone::Cell;

    #[test]
    fn the_worst_comes_first_and_what_is_left_off_is_said() {
        let few = render_csv(&pairs(5, &[(0, 1, Cell::Unknown), (3, 2, Cell::Bad)]));
        assert_eq!(few, "from,to,state\nh3,h2,bad\nh0,h1,not known\n");
        let all: Vec<_> = (0..200).flat_map(|from| (0..200).map(move |to| (from, to, Cell::OneSided))).collect();
        let many = render_csv(&pairs(200, &all));
        assert!(many.len() < 400_000, "{}", many.len());
        let listed = many.lines().count() - 2;
        assert_eq!(many.lines().last(), Some(format!("and {} more,,", 200 * 199 - listed).as_str()));
    }
}
