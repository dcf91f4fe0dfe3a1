//! Numbers as the pages write them: with no more digits than mean something.

use crate::report::figure;

/// Three digits, or all before the point: `5.07`, `34.6`, `110`, `21,228`.
pub(crate) fn three(number: f64) -> String {
    match number.abs() {
        size if size < 9.995 => format!("{number:.2}"),
        size if size < 99.95 => format!("{number:.1}"),
        _ => whole(number),
    }
}

/// A quotient: `0.95`, and above ten no decimals.
pub(crate) fn factor(number: f64) -> String {
    if number.abs() < 9.995 { format!("{number:.2}") } else { whole(number) }
}

/// `1,000`.
pub(crate) fn whole(number: f64) -> String {
    figure(number.round()).trim_end_matches(".0").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_or_all_before_the_point() {
        let texts = [5.074, 9.996, 34.55, 99.96, 109.6, 999.7, 21_227.6].map(three);
        assert_eq!(texts, ["5.07", "10.0", "34.5", "100", "110", "1,000", "21,228"]);
    }

    #[test]
    fn factors_have_decimals_below_ten() {
        let texts = [0.014, 0.95, 9.994, 9.996, 14.6, 1_234.0].map(factor);
        assert_eq!(texts, ["0.01", "0.95", "9.99", "10", "15", "1,234"]);
    }
}
