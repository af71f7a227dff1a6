//! Integers of 64 bits, parsed and formatted.

/// Room for the digits of a number of 64 bits, and its sign.
pub(crate) const DIGITS: usize = 20;

/// An integer of 64 bits as Redis takes it: only digits, no leading zero, perhaps a minus sign.
pub(crate) fn integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_negative = digits.len() < text.len();
    if digits.is_empty() || (digits[0] == b'0' && text.len() > 1) {
        return None;
    }
    digits.iter().try_fold(0_i64, |number, digit| {
        let digit = i64::from(digit.checked_sub(b'0').filter(|&digit| digit < 10)?);
        let number = number.checked_mul(10)?;
        // The least integer has no positive counterpart, so negative ones are subtracted.
        if is_negative { number.checked_sub(digit) } else { number.checked_add(digit) }
    })
}

/// The digits of a number, written into `room`. Every reply has a number, and the standard
/// library's formatting takes as long as all the other work of GET.
pub(crate) fn decimal(number: i64, room: &mut [u8; DIGITS]) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut at = DIGITS;
    loop {
        at -= 1;
        room[at] = b'0' + (rest % 10) as u8; // less than 10
        rest /= 10;
        if rest == 0 {
            break;
        }
    }
    if number < 0 {
        at -= 1;
        room[at] = b'-';
    }
    &room[at..]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_digits_and_nothing_else() {
        for number in [0, 1, -1, 9, 10, 1_000_000, i64::MAX, i64::MIN] {
            assert_eq!(integer(number.to_string().as_bytes()), Some(number));
        }
        for text in ["", "-", "+1", " 1", "1 ", "01", "00", "-0", "-01", "1x", "x", "1.0", "--1"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
        for text in ["9223372036854775808", "-9223372036854775809", "99999999999999999999"] {
            assert_eq!(integer(text.as_bytes()), None, "{text:?}");
        }
    }

    #[test]
    fn numbers_have_the_digits_that_the_standard_library_gives_them() {
        for number in [0, 1, -1, 9, 10, 99, 100, -1234567890, i64::MAX, i64::MIN] {
            assert_eq!(decimal(number, &mut [0; DIGITS]), number.to_string().as_bytes());
        }
    }
}
