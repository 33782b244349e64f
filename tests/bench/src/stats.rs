//! Medians and percentiles of what was measured. Must not measure.

/// What was measured, one value a round.
#[derive(Clone, Debug, Default)]
pub struct Samples(Vec<f64>);

impl Samples {
    pub fn push(&mut self, value: f64) {
        self.0.push(value);
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// The value below or at which `share` (0 to 1) of all lie, by nearest rank; 0 of nothing.
    fn rank(&self, share: f64) -> f64 {
        let mut sorted = self.0.clone();
        sorted.sort_by(f64::total_cmp);
        // A rank is small and not negative.
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, clippy::cast_precision_loss)]
        let rank = (share * sorted.len() as f64).ceil() as usize;
        sorted.get(rank.max(1) - 1).copied().unwrap_or_default()
    }

    pub fn median(&self) -> f64 {
        self.rank(0.5)
    }

    /// With fewer than a hundred rounds this is the longest.
    pub fn p99(&self) -> f64 {
        self.rank(0.99)
    }

    /// Between which values the middle half lies.
    pub fn quartiles(&self) -> (f64, f64) {
        (self.rank(0.25), self.rank(0.75))
    }

    pub fn max(&self) -> f64 {
        self.rank(1.0)
    }
}

impl FromIterator<f64> for Samples {
    fn from_iter<T: IntoIterator<Item = f64>>(values: T) -> Self {
        Samples(values.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranks_are_values_that_were_measured() {
        let hundred: Samples = (1..=100).rev().map(f64::from).collect();
        assert_eq!((hundred.median(), hundred.p99(), hundred.max()), (50.0, 99.0, 100.0));
        assert_eq!(hundred.quartiles(), (25.0, 75.0));
        let three: Samples = [3.0, 1.0, 2.0].into_iter().collect();
        assert_eq!((three.median(), three.p99()), (2.0, 3.0));
        assert_eq!(Samples::default().median(), 0.0);
    }
}
