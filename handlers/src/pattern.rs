//! What a text must look like: a regular expression.

use regex::Regex;

use crate::Check;

/// A regular expression that fits a whole text, or something in it.
///
/// The syntax is that of the crate [`regex`](https://docs.rs/regex#syntax): Unicode, without look-around and back-references, so
/// that the time it takes grows with the text and never faster.
#[derive(Clone, Debug)]
pub struct Pattern {
    written: String,
    regex: Regex,
}

/// Not a regular expression.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("`{pattern}` is no regular expression: {why}; docs.rs/regex#syntax has what can be written")]
pub struct PatternError {
    /// What was written.
    pub pattern: String,
    /// What is wrong with it.
    pub why: String,
}

impl Pattern {
    /// Fits texts that are this from their first character to their last. A comment of `(?x)` cannot be at its end.
    ///
    /// ```
    /// use eddyline_handlers::{Check, Pattern};
    ///
    /// let number = Pattern::whole(r"[0-9]{4}-[0-9]{2}")?;
    /// let check = Check::new().pattern("number", |n: &String| n, number);
    /// assert!(check.violations(&"2026-03".to_owned()).is_empty());
    /// assert_eq!(check.violations(&"no 2026-03".to_owned()), ["number does not look like [0-9]{4}-[0-9]{2}"]);
    /// # Ok::<(), eddyline_handlers::PatternError>(())
    /// ```
    ///
    /// # Errors
    ///
    /// Where `pattern` is no regular expression, or takes more than 10 MB when compiled.
    pub fn whole(pattern: &str) -> Result<Self, PatternError> {
        // Compiled alone first: `a)(b` would be well-formed within the brackets.
        Self::anywhere(pattern)?;
        Self::compile(pattern, &format!(r"\A(?:{pattern})\z"))
    }

    /// Fits texts with this somewhere in them.
    ///
    /// # Errors
    ///
    /// As [`whole`](Pattern::whole).
    pub fn anywhere(pattern: &str) -> Result<Self, PatternError> {
        Self::compile(pattern, pattern)
    }

    /// Whether `text` fits.
    pub fn fits(&self, text: &str) -> bool {
        self.regex.is_match(text)
    }

    fn compile(pattern: &str, whole: &str) -> Result<Self, PatternError> {
        match Regex::new(whole) {
            Ok(regex) => Ok(Self { written: pattern.to_owned(), regex }),
            Err(error) => Err(PatternError { pattern: pattern.to_owned(), why: error.to_string() }),
        }
    }
}

impl<T> Check<T> {
    /// The text `name` looks like `pattern`. See [`Pattern::whole`].
    #[must_use]
    pub fn pattern(self, name: &str, text: impl Fn(&T) -> &str + Send + 'static, pattern: Pattern) -> Self {
        self.rule(format!("{name} does not look like {}", pattern.written), move |value| {
            pattern.fits(text(value))
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_whole_pattern_fits_whole_texts_only(text in "[ab]{0,6}") {
            let (whole, anywhere) = (Pattern::whole("a|ab").unwrap(), Pattern::anywhere("a|ab").unwrap());
            prop_assert_eq!(whole.fits(&text), text == "a" || text == "ab");
            prop_assert_eq!(anywhere.fits(&text), text.contains('a'));
        }

        #[test]
        fn what_is_written_is_compiled_or_refused(pattern in ".{0,16}", text in ".{0,16}") {
            if let Ok(whole) = Pattern::whole(&pattern) {
                let anywhere = Pattern::anywhere(&pattern).unwrap();
                prop_assert!(anywhere.fits(&text) || !whole.fits(&text));
            }
        }
    }

    #[test]
    fn what_is_wrong_is_said_in_the_authors_own_words() {
        let error = Pattern::whole("a)(b").unwrap_err();
        assert_eq!(error.pattern, "a)(b");
        assert!(error.to_string().starts_with("`a)(b` is no regular expression"), "{error}");
    }
}
