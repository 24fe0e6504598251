//! Luhn: cards, accounts, IMEI numbers (ISO/IEC 7812-1, annex B; US patent 2,950,048, 1960).

/// What the digit at `place` (from 0 at the left) adds to the Luhn sum of a number with `len` digits.
///
/// Every second digit, beginning with the last but one, is doubled, and 9 is taken off where that gives two digits
/// (ISO/IEC 7812-1, annex B).
///
/// ```
/// use eddyline_handlers::check_digit::luhn_term;
///
/// // In 79927398713 the last but one is doubled, and the check digit is not.
/// assert_eq!((luhn_term(9, 11, 1), luhn_term(10, 11, 3)), (2, 3));
/// assert_eq!(luhn_term(7, 11, 8), 7, "16 less 9");
/// ```
pub fn luhn_term(place: usize, len: usize, digit: u8) -> u32 {
    let digit = u32::from(digit);
    if (len - place).is_multiple_of(2) { if digit < 5 { 2 * digit } else { 2 * digit - 9 } } else { digit }
}

/// The Luhn sum of `digits` (each 0 to 9) modulo 10; 0 says that the check digit fits.
///
/// ```
/// use eddyline_handlers::check_digit::luhn_remainder;
///
/// assert_eq!(luhn_remainder(&[7, 9, 9, 2, 7, 3, 9, 8, 7, 1, 3]), 0);
/// assert_ne!(luhn_remainder(&[7, 9, 9, 2, 7, 3, 9, 8, 7, 1, 4]), 0);
/// ```
pub fn luhn_remainder(digits: &[u8]) -> u32 {
    digits.iter().enumerate().map(|(place, &digit)| luhn_term(place, digits.len(), digit)).sum::<u32>() % 10
}

/// The digit that makes the Luhn sum fit when the digit at `place` is replaced by it. There is exactly one.
///
/// `place` must be one of `digits`; [`CheckDigit::corrections`](super::CheckDigit::corrections) takes any text and place.
///
/// ```
/// use eddyline_handlers::check_digit::luhn_substitute;
///
/// // The third digit was a 9, and was read as a 4.
/// assert_eq!(luhn_substitute(&[7, 9, 4, 2, 7, 3, 9, 8, 7, 1, 3], 2), 9);
/// ```
pub fn luhn_substitute(digits: &[u8], place: usize) -> u8 {
    let others = luhn_remainder(digits) + 10 - luhn_term(place, digits.len(), digits[place]) % 10;
    (0..10)
        .find(|&d| (others + luhn_term(place, digits.len(), d)).is_multiple_of(10))
        .unwrap_or(digits[place])
}

/// The digits of a text that has nothing else.
fn digits(text: &str) -> Option<Vec<u8>> {
    text.bytes().map(|byte| byte.is_ascii_digit().then(|| byte - b'0')).collect()
}

pub(super) fn valid(text: &str) -> bool {
    text.len() >= 2 && digits(text).is_some_and(|digits| luhn_remainder(&digits) == 0)
}

pub(super) fn digits_for(body: &str) -> Option<String> {
    let mut digits = digits(body).filter(|digits| !digits.is_empty())?;
    digits.push(0);
    Some(luhn_substitute(&digits, digits.len() - 1).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn luhn_knows_right_from_wrong() {
        assert_eq!(luhn_remainder(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 7]), 0);
        assert_eq!(luhn_remainder(&[1, 2, 3, 4, 5, 6, 7, 8, 9, 0]), 3);
        // The number printed in the standard's example.
        assert_eq!(luhn_remainder(&[7, 9, 9, 2, 7, 3, 9, 8, 7, 1, 3]), 0);
    }

    #[test]
    fn a_substitute_makes_any_number_fit() {
        let mut digits = [8, 2, 0, 4, 9, 6, 1, 8, 3, 7];
        for place in 0..10 {
            let before = digits[place];
            digits[place] = luhn_substitute(&digits, place);
            assert_eq!(luhn_remainder(&digits), 0);
            digits[place] = before;
        }
    }
}
