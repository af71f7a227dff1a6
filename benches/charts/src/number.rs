//! Numbers as people read them: three digits that count, with the unit that suits them.

use std::fmt::Display;
use std::time::Duration;

/// Three digits that count, or all of a whole number: `1.04`, `10.4`, `104`, `1,040`.
pub fn figure(value: f64) -> String {
    match value.abs() {
        size if size < 9.995 => format!("{value:.2}"),
        size if size < 99.95 => format!("{value:.1}"),
        size => {
            let sign = if value < 0.0 { "-" } else { "" };
            format!("{sign}{}", grouped(size.round() as u64))
        }
    }
}

/// A time in nanoseconds: `980 ns`, `1.02 us`, `12.5 s`.
pub fn time(nanoseconds: f64) -> String {
    scaled(nanoseconds, &["ns", "us", "ms", "s"])
}

/// The same of a [`Duration`].
pub fn duration(time: Duration) -> String {
    self::time(time.as_nanos() as f64)
}

/// How many there are, in a second for example: `980`, `1.02 k`, `3.10 M`.
pub fn count(value: f64) -> String {
    scaled(value, &["", "k", "M", "G"])
}

/// A whole number with a comma after each third digit: `1,234,567`.
pub fn grouped(number: impl Display) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// The value with the first of the units in which it has at most three digits before the point.
fn scaled(mut value: f64, units: &[&str]) -> String {
    let mut units = units.iter().peekable();
    while let Some(unit) = units.next() {
        // A value that would be rounded to 1,000 is one of the next unit.
        if value.abs() < 999.5 || units.peek().is_none() {
            return format!("{} {unit}", figure(value)).trim_end().to_owned();
        }
        value /= 1e3;
    }
    figure(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits_that_count() {
        let figures =
            [0.0, 1.044, 9.999, 12.34, 99.96, 104.4, 12_345.6, -2.5, -1_234.0].map(figure);
        assert_eq!(
            figures,
            ["0.00", "1.04", "10.0", "12.3", "100", "104", "12,346", "-2.50", "-1,234"]
        );
        assert_eq!([0, 999, 1_000_000].map(grouped), ["0", "999", "1,000,000"]);
    }

    #[test]
    fn units_follow_the_size() {
        let times = [1.5, 999.4, 999.6, 12_345.0, 2.5e6, 9e9, 4e12].map(time);
        assert_eq!(
            times,
            ["1.50 ns", "999 ns", "1.00 us", "12.3 us", "2.50 ms", "9.00 s", "4,000 s"]
        );
        assert_eq!(duration(Duration::from_millis(410)), "410 ms");
        let counts = [12.0, 1_020.0, 3.1e6, 4.56e9].map(count);
        assert_eq!(counts, ["12.0", "1.02 k", "3.10 M", "4.56 G"]);
    }
}
