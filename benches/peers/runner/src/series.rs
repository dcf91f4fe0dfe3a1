//! One figure from repeated rounds.

/// The values of one figure, without the rounds that failed.
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// The quotients of two figures in the rounds that have both.
    pub(crate) fn ratio<'a>(
        over: impl Iterator<Item = Option<&'a f64>>,
        under: impl Iterator<Item = Option<&'a f64>>,
    ) -> Self {
        over.zip(under).filter_map(|(over, under)| Some(over? / under?)).collect()
    }

    /// The value that `part` of all lie below, interpolated; `None` without values.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let place = self.0.len().checked_sub(1)? as f64 * part;
        let (below, above) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        Some(below + (above - below) * place.fract())
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }
}
