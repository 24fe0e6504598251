//! The check digits of bank accounts (ISO 13616-1, after ISO/IEC 7064, MOD 97-10).

/// Longest account number that the standard allows, in characters.
const LONGEST: usize = 34;

/// Remainder by 97 of a text in which each letter stands for two digits, A for 10 to Z for 35.
fn remainder(text: impl Iterator<Item = u8>) -> Option<u32> {
    text.into_iter().try_fold(0, |rest, c| match c {
        b'0'..=b'9' => Some((rest * 10 + u32::from(c - b'0')) % 97),
        b'A'..=b'Z' => Some((rest * 100 + u32::from(c - b'A') + 10) % 97),
        _ => None,
    })
}

/// Country and account, without the two check digits between them.
fn parts(text: &str) -> Option<(&str, &str, &str)> {
    if !text.is_ascii() || !(5..=LONGEST).contains(&text.len()) {
        return None;
    }
    let (country, rest) = text.split_at_checked(2)?;
    let (check, account) = rest.split_at_checked(2)?;
    country.bytes().all(|c| c.is_ascii_uppercase()).then_some((country, check, account))
}

pub(super) fn valid(text: &str) -> bool {
    let Some((country, check, account)) = parts(text) else { return false };
    let digits = check.bytes().all(|c| c.is_ascii_digit());
    // 00, 01 and 99 leave the same remainders as 97, 98 and 02, but no account has them.
    let given = digits && !["00", "01", "99"].contains(&check);
    given && remainder(account.bytes().chain(country.bytes()).chain(check.bytes())) == Some(1)
}

/// The two digits for a country and an account, written without them: `"GB" + "WEST12345698765432"`.
pub(super) fn digits_for(body: &str) -> Option<String> {
    let (country, account) = body.split_at_checked(2)?;
    let whole = format!("{country}00{account}");
    parts(&whole)?;
    let rest = remainder(account.bytes().chain(country.bytes()).chain(*b"00"))?;
    Some(format!("{:02}", 98 - rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_examples_come_out() {
        for iban in [
            "GB82WEST12345698765432",
            "DE89370400440532013000",
            "FR1420041010050500013M02606",
            "NO9386011117947",
        ] {
            assert!(valid(iban), "{iban}");
            assert_eq!(digits_for(&format!("{}{}", &iban[..2], &iban[4..])).as_deref(), Some(&iban[2..4]));
        }
        assert!(!valid("GB82WEST12345698765431"));
    }

    #[test]
    fn what_is_no_account_number_is_not_valid() {
        for text in [
            "",
            "GB",
            "GB82",
            "gb82WEST12345698765432",
            "GB82 WEST 1234 5698 7654 32",
            "ÄB82WEST12345",
            "GBXXWEST",
        ] {
            assert!(!valid(text), "{text}");
        }
        assert_eq!(digits_for("G"), None);
        assert_eq!(digits_for(&format!("GB{}", "1".repeat(31))), None);
    }
}
