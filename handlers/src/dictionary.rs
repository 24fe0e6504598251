//! Words that are known, and the nearest of them where one is misspelt.

use std::sync::Arc;

use symspell::{SymSpell, SymSpellBuilder, UnicodeStringStrategy, Verbosity};

use crate::{
    Check, Handler, NoLoop, Seen, Verdict,
    text::{Get, Put},
};

/// Most edits that a dictionary can be made for: its index grows with about (letters choose edits) per word.
const MOST_EDITS: usize = 3;

/// Known words, and how many edits a word may be away from one of them.
///
/// An edit puts in, takes out or changes one character, or swaps two neighbours (Damerau–Levenshtein distance). The index is
/// SymSpell's (symmetric deletes, W. Garbe 2012, crate `symspell`): a look-up does not go through all words. Words are compared
/// character by character; fold case and accents on both sides where they do not matter. Cheap to clone: clones share the index.
///
/// ```
/// use eddyline_handlers::{Dictionary, Spelling};
///
/// let months = Dictionary::of(["January", "June", "July"], 2)?;
/// assert_eq!(months.look_up("June"), Spelling::Known);
/// assert_eq!(months.look_up("Janvary"), Spelling::Nearest("January".to_owned()));
/// assert_eq!(months.look_up("Juny"), Spelling::Ambiguous(vec!["July".to_owned(), "June".to_owned()]));
/// assert_eq!(months.look_up("invoice"), Spelling::Unknown);
/// # Ok::<(), eddyline_handlers::DictionaryError>(())
/// ```
#[derive(Clone)]
pub struct Dictionary {
    index: Arc<SymSpell<UnicodeStringStrategy>>,
    edits: i64,
}

/// What a dictionary says of a word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Spelling {
    /// It is in it.
    Known,
    /// It is not; this one is the nearest, and the only one as near.
    Nearest(String),
    /// It is not, and these are equally near, in the order of the alphabet.
    Ambiguous(Vec<String>),
    /// Nothing is near enough.
    Unknown,
}

/// Words or limits of which no dictionary can be made.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DictionaryError {
    /// Too many edits.
    #[error(
        "a dictionary for {0} edits would be very large and correct anything to anything; give 1 to {MOST_EDITS}"
    )]
    Edits(usize),
    /// The index cannot be made.
    #[error("the dictionary's index cannot be made: {0}")]
    Index(String),
    /// Not a word.
    #[error(
        "word {place} (counted from 0) is {word:?}; a word has at least one character, and no tab or line end"
    )]
    Word {
        /// Its place, from 0.
        place: usize,
        /// What it is.
        word: String,
    },
}

impl Dictionary {
    /// A dictionary of `words` that finds what is at most `edits` away. Its index grows with the words, and
    /// steeply with the edits: of 80,000 words of 4 to 12 letters it takes 80, 200 and 380 MB for 1, 2 and 3 edits. A look-up in it
    /// takes about 10 µs.
    ///
    /// # Errors
    ///
    /// Where `edits` is 0 or more than 3, or a word is empty or has a tab or a line end.
    pub fn of<W: AsRef<str>>(
        words: impl IntoIterator<Item = W>,
        edits: usize,
    ) -> Result<Self, DictionaryError> {
        if !(1..=MOST_EDITS).contains(&edits) {
            return Err(DictionaryError::Edits(edits));
        }
        let edits = edits as i64;
        let mut index: SymSpell<UnicodeStringStrategy> = SymSpellBuilder::default()
            .max_dictionary_edit_distance(edits)
            .build()
            .map_err(|error| DictionaryError::Index(error.to_string()))?;
        for (place, word) in words.into_iter().enumerate() {
            let word = word.as_ref();
            if word.is_empty() || word.contains(['\t', '\n', '\r']) {
                return Err(DictionaryError::Word { place, word: word.to_owned() });
            }
            index.load_dictionary_line(&format!("{word}\t1"), 0, 1, "\t");
        }
        Ok(Self { index: Arc::new(index), edits })
    }

    /// What it says of `word`.
    pub fn look_up(&self, word: &str) -> Spelling {
        let mut nearest = self.index.lookup(word, Verbosity::Closest, self.edits);
        match &mut nearest[..] {
            [] => Spelling::Unknown,
            [only] if only.distance == 0 => Spelling::Known,
            [only] => Spelling::Nearest(std::mem::take(&mut only.term)),
            _ => {
                let mut words: Vec<String> = nearest.into_iter().map(|found| found.term).collect();
                words.sort();
                Spelling::Ambiguous(words)
            }
        }
    }

    /// A handler that puts the nearest word in the place of one that is not known. `text` gives the word, `corrected` puts the
    /// other in.
    ///
    /// It abstains where the word is known, and where it cannot decide: where several words are equally near it never chooses one.
    /// [`SpellingCorrector::or_else`] says what is to become of these.
    ///
    /// ```
    /// use std::time::Duration;
    /// use eddyline_handlers::{Answer, Dictionary, Question, Spelling, Verdict, testing};
    ///
    /// let months = Dictionary::of(["January", "June", "July"], 2)?;
    /// let asking = months.corrector(|w: &String| w, |w, right| *w = right).or_else(|word, spelling, _| match spelling {
    ///     Spelling::Ambiguous(words) => Verdict::Escalate(
    ///         Question::new(format!("which is {word}?"), Duration::from_secs(3600), Answer::reject("nobody knew"))
    ///             .candidates(words.clone()),
    ///     ),
    ///     _ => Verdict::reject("not a month"),
    /// });
    /// let words = ["June", "Janvary", "Juny", "invoice"].map(str::to_owned);
    /// let verdicts: Vec<Verdict<String>> = testing::judge(asking, words);
    /// assert_eq!(verdicts[..2], [Verdict::Abstain, Verdict::Replace("January".to_owned())]);
    /// assert!(matches!(&verdicts[2], Verdict::Escalate(q) if q.candidates == ["July", "June"]));
    /// assert_eq!(verdicts[3], Verdict::reject("not a month"));
    /// # Ok::<(), eddyline_handlers::DictionaryError>(())
    /// ```
    pub fn corrector<T>(
        &self,
        text: impl Fn(&T) -> &str + Send + 'static,
        corrected: impl Fn(&mut T, String) + Send + 'static,
    ) -> SpellingCorrector<T> {
        SpellingCorrector {
            dictionary: self.clone(),
            text: Box::new(text),
            corrected: Box::new(corrected),
            otherwise: Box::new(|_, _, _| Verdict::Abstain),
        }
    }
}

impl std::fmt::Debug for Dictionary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Dictionary").field("edits", &self.edits).finish_non_exhaustive()
    }
}

type Otherwise<T, R> = Box<dyn FnMut(&T, &Spelling, &Seen) -> Verdict<T, R> + Send>;

/// See [`Dictionary::corrector`].
pub struct SpellingCorrector<T, R = NoLoop> {
    dictionary: Dictionary,
    text: Get<T>,
    corrected: Put<T>,
    otherwise: Otherwise<T, R>,
}

impl<T, R> SpellingCorrector<T, R> {
    /// Where the word is unknown or several are equally near: what `otherwise` says.
    #[must_use]
    pub fn or_else<S>(
        self,
        otherwise: impl FnMut(&T, &Spelling, &Seen) -> Verdict<T, S> + Send + 'static,
    ) -> SpellingCorrector<T, S> {
        let SpellingCorrector { dictionary, text, corrected, otherwise: _ } = self;
        SpellingCorrector { dictionary, text, corrected, otherwise: Box::new(otherwise) }
    }
}

impl<T: Clone + 'static, R: 'static> Handler<T> for SpellingCorrector<T, R> {
    type Retry = R;

    fn judge(&mut self, value: &T, seen: &Seen) -> Verdict<T, R> {
        match self.dictionary.look_up((self.text)(value)) {
            Spelling::Known => Verdict::Abstain,
            Spelling::Nearest(word) => {
                let mut right = value.clone();
                (self.corrected)(&mut right, word);
                Verdict::Replace(right)
            }
            undecided => (self.otherwise)(value, &undecided, seen),
        }
    }
}

impl<T> Check<T> {
    /// The text `name` is a word of `dictionary`.
    #[must_use]
    pub fn known_word(
        self,
        name: &str,
        text: impl Fn(&T) -> &str + Send + 'static,
        dictionary: &Dictionary,
    ) -> Self {
        let dictionary = dictionary.clone();
        self.rule(format!("{name} is not a known word"), move |value| {
            dictionary.look_up(text(value)) == Spelling::Known
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::judge;

    /// All texts that one edit makes of `word`.
    fn edited(word: &str) -> Vec<String> {
        let letters: Vec<char> = word.chars().collect();
        let with = |from: usize, to: usize, put: &[char]| -> String {
            letters[..from].iter().chain(put).chain(&letters[to..]).collect()
        };
        let mut all = Vec::new();
        for at in 0..=letters.len() {
            for c in ['a', 'b', 'é'] {
                all.push(with(at, at, &[c]));
                if at < letters.len() {
                    all.push(with(at, at + 1, &[c]));
                }
            }
            if at < letters.len() {
                all.push(with(at, at + 1, &[]));
            }
            if at + 1 < letters.len() {
                all.push(with(at, at + 2, &[letters[at + 1], letters[at]]));
            }
        }
        all
    }

    proptest! {
        #[test]
        fn all_nearest_words_are_found_and_nothing_farther(
            words in prop::collection::btree_set("[abé]{1,9}", 1..12), word in "[abé]{0,9}",
        ) {
            let dictionary = Dictionary::of(&words, 1).unwrap();
            let near: std::collections::BTreeSet<_> = edited(&word).into_iter().filter(|w| words.contains(w)).collect();
            let near: Vec<_> = near.into_iter().collect();
            let expected = match &near[..] {
                _ if words.contains(&word) => Spelling::Known,
                [] => Spelling::Unknown,
                [only] => Spelling::Nearest(only.clone()),
                _ => Spelling::Ambiguous(near),
            };
            prop_assert_eq!(dictionary.look_up(&word), expected);
        }

        #[test]
        fn any_text_has_an_answer(words in prop::collection::vec("\\PC{1,9}", 0..6), text in ".{0,12}", edits in 1..=3_usize) {
            let dictionary = Dictionary::of(&words, edits).unwrap();
            prop_assert_eq!(dictionary.look_up(&text) == Spelling::Known, words.contains(&text));
        }
    }

    #[test]
    fn where_it_cannot_decide_it_changes_nothing() {
        let dictionary = Dictionary::of(["cat", "car"], 1).unwrap();
        let corrector = dictionary.corrector(|w: &String| w, |w, right| *w = right);
        let verdicts = judge(corrector, ["caz", "dog", "cat", "carr"].map(str::to_owned));
        let right = Verdict::Replace("car".to_owned());
        assert_eq!(verdicts, [Verdict::Abstain, Verdict::Abstain, Verdict::Abstain, right]);
        let check = Check::new().known_word("animal", |w: &String| w, &dictionary);
        assert_eq!(check.violations(&"caz".to_owned()), ["animal is not a known word"]);
    }

    #[test]
    fn what_is_no_dictionary_is_refused() {
        let error = Dictionary::of(["a"], 4).unwrap_err();
        assert!(error.to_string().contains("give 1 to 3"), "{error}");
        let error = Dictionary::of(["a", ""], 1).unwrap_err();
        assert!(error.to_string().starts_with(r#"word 1 (counted from 0) is """#), "{error}");
        assert!(Dictionary::of(["a\tb"], 1).is_err());
    }
}
