//! The check digit of machine-readable travel documents (ICAO Doc 9303, part 3, 8th edition, section 4.9).

/// What a character counts: digits as they are, A to Z from 10, the filler `<` nothing.
fn weight(character: u8) -> Option<u32> {
    match character {
        b'0'..=b'9' => Some(u32::from(character - b'0')),
        b'A'..=b'Z' => Some(u32::from(character - b'A') + 10),
        b'<' => Some(0),
        _ => None,
    }
}

/// The sum with the weights 7, 3, 1, again and again from the left, modulo 10.
fn remainder(body: &str) -> Option<u32> {
    body.bytes()
        .zip([7, 3, 1].into_iter().cycle())
        .try_fold(0, |sum, (c, times)| Some((sum + weight(c)? * times) % 10))
}

pub(super) fn valid(text: &str) -> bool {
    let Some((body, check)) = text.split_at_checked(text.len().saturating_sub(1)) else { return false };
    // Where an optional field is empty its check digit may be a filler (section 4.2.2.2 of part 4).
    let empty = body.bytes().all(|c| c == b'<') && check == "<";
    !body.is_empty() && (empty || digits_for(body).is_some_and(|digit| digit == check))
}

pub(super) fn digits_for(body: &str) -> Option<String> {
    if body.is_empty() { None } else { remainder(body).map(|digit| digit.to_string()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The examples of Doc 9303, part 3, appendix A.
    #[test]
    fn the_standards_examples_come_out() {
        assert_eq!(digits_for("520727"), Some("3".to_owned()));
        assert_eq!(digits_for("AB2134<<<"), Some("5".to_owned()));
        assert!(valid("AB2134<<<5") && !valid("AB2134<<<6"));
        // The composite check digit of the passport's lower line.
        assert_eq!(digits_for("HA672242<658022549601086<<<<<<<<<<<<<<0"), Some("8".to_owned()));
    }

    #[test]
    fn what_is_not_of_the_alphabet_has_no_check_digit() {
        assert_eq!(digits_for("ab12"), None);
        assert_eq!(digits_for(""), None);
        assert!(!valid("") && !valid("0") && !valid("ü0"));
        assert!(valid("<<<<<<<<<<<<<<<") && valid("<<<0"));
    }
}
