//! Exact decimal numbers from their text, never through a float: `4.83e-05` times 10^12 is 48300000.

/// Why a text is not a number this module can give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecimalError {
    /// The text is not a decimal number.
    #[error("is not a number")]
    NotANumber,
    /// The text is `NaN` or an infinity.
    #[error("is not a finite number")]
    NotFinite,
    /// The number is below zero.
    #[error("is negative")]
    Negative,
    /// The number does not fit.
    #[error("is too large")]
    TooLarge,
}

/// Reads `text` as a decimal number, with sign, fraction and exponent as JSON or Python write them, and gives it
/// times `10^scale`, rounded half to even.
///
/// # Errors
/// When it is not a number, is negative, or does not fit.
pub fn scaled(text: &str, scale: i64) -> Result<u64, DecimalError> {
    let (negative, unsigned) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, without_plus(text)),
    };
    if ["nan", "inf", "infinity"].iter().any(|word| unsigned.eq_ignore_ascii_case(word)) {
        return Err(DecimalError::NotFinite);
    }
    let parts = Parts::split(unsigned).ok_or(DecimalError::NotANumber)?;
    let is_zero = parts.integer.bytes().chain(parts.fraction.bytes()).all(|digit| digit == b'0');
    match (is_zero, negative) {
        (true, _) => Ok(0),
        (false, true) => Err(DecimalError::Negative),
        (false, false) => parts.rounded(scale),
    }
}

fn without_plus(text: &str) -> &str {
    text.strip_prefix('+').unwrap_or(text)
}

/// A number's text, cut at the point and the exponent.
struct Parts<'a> {
    integer: &'a str,
    fraction: &'a str,
    exponent: i64,
}

impl<'a> Parts<'a> {
    fn split(text: &'a str) -> Option<Self> {
        let (mantissa, exponent) = match text.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, parse_exponent(exponent)?),
            None => (text, 0),
        };
        let (integer, fraction) = match mantissa.split_once('.') {
            Some(both) => both,
            None => (mantissa, ""),
        };
        let all_digits = |part: &str| part.bytes().all(|c| c.is_ascii_digit());
        let some_digit = !(integer.is_empty() && fraction.is_empty());
        (some_digit && all_digits(integer) && all_digits(fraction)).then_some(Self { integer, fraction, exponent })
    }

    /// Each digit has a power of ten: those at 0 and above are the result, the one at -1 and the rest round it.
    fn rounded(&self, scale: i64) -> Result<u64, DecimalError> {
        let integer_digits = i64::try_from(self.integer.len()).map_err(|_| DecimalError::TooLarge)?;
        let mut power = integer_digits.saturating_add(self.exponent).saturating_add(scale);
        let (mut value, mut half, mut beyond_half) = (0_u64, 0_u8, false);
        for digit in self.integer.bytes().chain(self.fraction.bytes()).map(|c| c.saturating_sub(b'0')) {
            power = power.saturating_sub(1);
            match power {
                0.. => value = shift_in(value, digit)?,
                -1 => half = digit,
                _ => beyond_half |= digit != 0,
            }
        }
        while power > 0 && value > 0 {
            value = shift_in(value, 0)?;
            power -= 1;
        }
        let up = half > 5 || (half == 5 && (beyond_half || value % 2 == 1));
        value.checked_add(u64::from(up)).ok_or(DecimalError::TooLarge)
    }
}

fn shift_in(value: u64, digit: u8) -> Result<u64, DecimalError> {
    value.checked_mul(10).and_then(|value| value.checked_add(u64::from(digit))).ok_or(DecimalError::TooLarge)
}

/// An exponent; one too large for any use is held at a bound that keeps its sign.
fn parse_exponent(text: &str) -> Option<i64> {
    const BOUND: i64 = 1 << 40;
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, without_plus(text)),
    };
    if digits.is_empty() || !digits.bytes().all(|c| c.is_ascii_digit()) {
        return None;
    }
    // digits that are too many for the type are beyond the bound too
    let size = digits.parse().map_or(BOUND, |size: i64| size.min(BOUND));
    Some(if negative { -size } else { size })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_are_exact_whatever_their_notation() {
        for text in ["4.83e-05", "0.0000483", "483E-7", "0.483e-4", "+4.83e-5", "0000.00004830000"] {
            assert_eq!(scaled(text, 12), Ok(48_300_000), "{text}");
        }
        assert_eq!(scaled("37756000", 2), Ok(3_775_600_000));
        assert_eq!(scaled("1e6", 12), Ok(1_000_000_000_000_000_000));
        assert_eq!(scaled("-0.0", 12), Ok(0));
        assert_eq!(scaled("0e999999999999999999999", 12), Ok(0));
        assert_eq!(scaled("1e-999999999999999999999", 12), Ok(0));
    }

    #[test]
    fn what_lies_beyond_the_scale_rounds_half_to_even() {
        for (text, want) in
            [("0.5", 0), ("1.5", 2), ("2.5", 2), ("2.500001", 3), ("0.49999", 0), ("0.05", 0), ("9.5", 10)]
        {
            assert_eq!(scaled(text, 0), Ok(want), "{text}");
        }
    }

    #[test]
    fn what_is_not_a_number_says_why() {
        for text in ["", ".", "-", "1e", "1.2.3", "0x1", "1_000", "e5", "1e+-2", "--1", "١"] {
            assert_eq!(scaled(text, 0), Err(DecimalError::NotANumber), "{text}");
        }
        for text in ["NaN", "inf", "-Infinity"] {
            assert_eq!(scaled(text, 0), Err(DecimalError::NotFinite), "{text}");
        }
        assert_eq!(scaled("-1e-30", 12), Err(DecimalError::Negative));
        assert_eq!(scaled("1e20", 0), Err(DecimalError::TooLarge));
        assert_eq!(scaled("1e99999999999999999999", 0), Err(DecimalError::TooLarge));
    }

    proptest! {
        #[test]
        fn any_integer_reads_as_itself_and_any_text_without_panic(value: u64, text in ".*") {
            prop_assert_eq!(scaled(&value.to_string(), 0), Ok(value));
            let _whatever = scaled(&text, 12);
        }
    }
}
