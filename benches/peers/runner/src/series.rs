//! One figure from repeated rounds.

/// The values of one figure, without the rounds that failed.
pub(crate) struct Series(Vec<f64>);

impl Series {
    /// The quotients of two figures in the rounds that have both.
    pub(crate) fn ratio<'a>(
        over: impl Iterator<Item = Option<&'a f64>>,
        under: impl Iterator<Item = Option<&'a f64>>,
    ) -> Self {
        let quotients = over.zip(under).filter_map(|(over, under)| Some(over? / under?));
        // What costs nothing at all is no measure.
        quotients.filter(|quotient| quotient.is_finite()).collect()
    }

    /// The value that `part` of all lie below, interpolated; `None` without values.
    pub(crate) fn quantile(&self, part: f64) -> Option<f64> {
        let place = self.0.len().checked_sub(1)? as f64 * part;
        let (below, above) = (self.0[place.floor() as usize], self.0[place.ceil() as usize]);
        Some(below + (above - below) * place.fract())
    }

    /// The lower quartile, the median and the upper quartile; `None` without values.
    pub(crate) fn quartiles(&self) -> Option<[f64; 3]> {
        Some([self.quantile(0.25)?, self.quantile(0.5)?, self.quantile(0.75)?])
    }
}

impl FromIterator<f64> for Series {
    fn from_iter<I: IntoIterator<Item = f64>>(values: I) -> Self {
        let mut sorted: Vec<f64> = values.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        Self(sorted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quartiles_are_interpolated_whatever_the_order() {
        let series: Series = [40.0, 10.0, 30.0, 20.0].into_iter().collect();
        assert_eq!(series.quartiles(), Some([17.5, 25.0, 32.5]));
        let one: Series = [7.0].into_iter().collect();
        assert_eq!(one.quartiles(), Some([7.0, 7.0, 7.0]));
        let none: Series = [].into_iter().collect();
        assert_eq!(none.quartiles(), None);
    }

    #[test]
    fn a_ratio_is_of_the_same_round_and_leaves_out_those_that_failed() {
        let (over, under) = ([Some(6.0), None, Some(8.0), Some(9.0)], [2.0, 3.0, 2.0, 0.0]);
        let under = under.map(Some);
        let ratio =
            Series::ratio(over.iter().map(Option::as_ref), under.iter().map(Option::as_ref));
        assert_eq!(ratio.0, [3.0, 4.0]);
    }
}
