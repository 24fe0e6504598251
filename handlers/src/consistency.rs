//! Objects over time: what is missing for a moment, what flickers, what changes that should not.

use std::{
    collections::HashMap,
    fmt::{self, Display, Formatter},
    hash::Hash,
};

use serde::Serialize;

use crate::{Handler, NoLoop, Seen, Verdict, by};

/// What must be so of objects that are sighted frame by frame: those with one identifier are one object, which does not come and
/// go within a moment, and keeps its attributes.
///
/// It is the consistency assertion of Kang, Raghavan, Bailis and Zaharia, *Model Assertions for Monitoring and Improving ML Models*
/// (MLSys 2020, section 4): from identifier, attributes and time come both a detector and a corrector.
///
/// | asked for by | finds | corrects by |
/// |---|---|---|
/// | [`gaps`](Consistency::gaps) | objects missing for at most so many frames, there before and after | a sighting in between, that you make of both |
/// | [`at_least`](Consistency::at_least) | objects that flicker: seen fewer times than this, all of it inside the window | taking the sightings out |
/// | [`attribute`](Consistency::attribute) | objects whose attribute is not always the same | what most of its sightings say; nothing where two are equally frequent |
///
/// It looks at a window: a slice of sightings, in any order. An object at the window's first or last frame does not flicker: it may
/// have been there before, or stay; and of a gap between two windows neither knows, so make windows long beside the gaps that you
/// look for. As a handler it judges `Vec<T>`, such as `.batch` gives. Time and memory grow with the window times the attributes.
///
/// ```
/// use eddyline_handlers::{Consistency, Verdict, consistency::Kind, testing};
///
/// #[derive(Clone, Debug, PartialEq)]
/// struct Sighting { frame: u64, track: u32, class: &'static str, x: f64 }
///
/// let rules = || {
///     Consistency::new(|s: &Sighting| s.track, |s| s.frame)
///         .attribute("class", |s| s.class, |s, class| s.class = class)
///         .gaps(2, |a, b, gap| Sighting { frame: gap.frame, x: a.x + (b.x - a.x) * gap.share, ..a.clone() })
///         .at_least(2)
/// };
/// let s = |frame, track, class, x| Sighting { frame, track, class, x };
/// let window = vec![
///     s(1, 7, "car", 10.0),
///     s(2, 7, "van", 12.0),
///     s(2, 8, "dog", 90.0),
///     // track 7 is missing in frame 3
///     s(4, 7, "car", 16.0),
/// ];
///
/// let findings = rules().findings(&window);
/// let words: Vec<_> = findings.iter().map(ToString::to_string).collect();
/// assert_eq!(words, ["7 changes its class in frame 2", "7 is missing in frame 3", "8 flickers in frame 2"]);
/// assert_eq!(findings[1].kind, Kind::Missing);
///
/// let right = [s(1, 7, "car", 10.0), s(2, 7, "car", 12.0), s(3, 7, "car", 14.0), s(4, 7, "car", 16.0)];
/// assert_eq!(testing::judge(rules().or_correct(), [window]), [Verdict::Replace(right.to_vec())]);
/// ```
pub struct Consistency<T> {
    objects: Objects<T>,
    frame: Box<dyn Fn(&T) -> u64 + Send>,
    attributes: Vec<Attribute<T>>,
    gap: Option<(u64, Between<T>)>,
    at_least: usize,
}

type Objects<T> = Box<dyn Fn(&[T]) -> Vec<Object> + Send>;
type Between<T> = Box<dyn Fn(&T, &T, Gap) -> T + Send>;
/// Of an object's sightings: the ones that differ from most, and the place of one that does not; none where nothing is most.
type Differing<T> = Box<dyn Fn(&[T], &[usize]) -> (Vec<usize>, Option<usize>) + Send>;
/// The first with the attribute of the second.
type Like<T> = Box<dyn Fn(&T, &T) -> T + Send>;

/// An object's name, and its sightings as places in the window.
type Object = (String, Vec<usize>);

struct Attribute<T> {
    name: String,
    differing: Differing<T>,
    like: Like<T>,
}

/// A frame in which an object is missing.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Gap {
    /// The frame.
    pub frame: u64,
    /// How far it is from the sighting before (0) to the one after (1).
    pub share: f64,
}

/// Something that is not as it must be, and what to do about it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Finding<T> {
    /// The object's identifier, in words.
    pub object: String,
    /// The frame it is about.
    pub frame: u64,
    /// What it is.
    pub kind: Kind,
    /// What would mend it; none where that cannot be decided.
    pub correction: Option<Correction<T>>,
}

/// What is not as it must be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// The object was there shortly before and after.
    Missing,
    /// The object is seen too few times.
    Flickering,
    /// The attribute is not what it is elsewhere.
    Changing {
        /// Its name.
        attribute: String,
    },
}

/// What would mend a window. Places are those of the window that was looked at.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Correction<T> {
    /// Also this sighting.
    Insert(T),
    /// This sighting in the place of the one there. Where one has several findings, the last of them has all corrections.
    Replace(usize, T),
    /// Not the sighting there.
    Remove(usize),
}

impl<T: Clone + 'static> Consistency<T> {
    /// Objects of which `identifier` says which is which, and `frame` in which frame (a number that grows by one) it is seen. So far
    /// nothing must be so.
    pub fn new<K: Eq + Hash + Display>(
        identifier: impl Fn(&T) -> K + Send + 'static,
        frame: impl Fn(&T) -> u64 + Send + 'static,
    ) -> Self {
        let objects = move |window: &[T]| {
            let mut places: HashMap<K, usize> = HashMap::new();
            let mut objects: Vec<Object> = Vec::new();
            for (place, sighting) in window.iter().enumerate() {
                let key = identifier(sighting);
                let name = key.to_string();
                let object = *places.entry(key).or_insert_with(|| {
                    objects.push((name, Vec::new()));
                    objects.len() - 1
                });
                objects[object].1.push(place);
            }
            objects
        };
        let (objects, frame) = (Box::new(objects), Box::new(frame));
        Self { objects, frame, attributes: Vec::new(), gap: None, at_least: 0 }
    }

    /// An object keeps the attribute `name`: `get` reads it, `set` puts another in.
    #[must_use]
    pub fn attribute<V: Eq + Hash>(
        mut self,
        name: &str,
        get: impl Fn(&T) -> V + Send + Clone + 'static,
        set: impl Fn(&mut T, V) + Send + 'static,
    ) -> Self {
        let read = get.clone();
        self.attributes.push(Attribute {
            name: name.to_owned(),
            differing: Box::new(move |window, places| differing(window, places, &read)),
            like: Box::new(move |sighting, other| {
                let mut right = sighting.clone();
                set(&mut right, get(other));
                right
            }),
        });
        self
    }

    /// An object that is there before and after is not missing for `frames` frames or less; `between` makes a sighting for such a
    /// frame of the ones before and after, which have their corrected attributes. Who is away for longer has left.
    #[must_use]
    pub fn gaps(self, frames: u64, between: impl Fn(&T, &T, Gap) -> T + Send + 'static) -> Self {
        Self { gap: Some((frames, Box::new(between))), ..self }
    }

    /// An object is seen at least so many times, unless it may be there outside the window too.
    #[must_use]
    pub fn at_least(self, sightings: usize) -> Self {
        Self { at_least: sightings, ..self }
    }

    /// What is not as it must be in `window`, object by object in the order in which they first appear there: first attributes,
    /// then what is missing; or that it flickers.
    pub fn findings(&self, window: &[T]) -> Vec<Finding<T>> {
        let frames = || window.iter().map(&self.frame);
        let (Some(first), Some(last)) = (frames().min(), frames().max()) else { return Vec::new() };
        let mut findings = Vec::new();
        // With the corrections so far, so that those of one sighting add up.
        let mut corrected = window.to_vec();
        for (object, mut places) in (self.objects)(window) {
            places.sort_by_key(|&place| (self.frame)(&window[place]));
            let frame = |place: usize| (self.frame)(&window[place]);
            let inside = places.iter().all(|&place| (first + 1..last).contains(&frame(place)));
            if inside && places.len() < self.at_least {
                findings.extend(places.iter().map(|&place| Finding {
                    object: object.clone(),
                    frame: frame(place),
                    kind: Kind::Flickering,
                    correction: Some(Correction::Remove(place)),
                }));
                continue;
            }
            for attribute in &self.attributes {
                let (differing, like) = (attribute.differing)(window, &places);
                for place in differing {
                    let correction = like.map(|other| {
                        corrected[place] = (attribute.like)(&corrected[place], &window[other]);
                        Correction::Replace(place, corrected[place].clone())
                    });
                    let kind = Kind::Changing { attribute: attribute.name.clone() };
                    findings.push(Finding { object: object.clone(), frame: frame(place), kind, correction });
                }
            }
            for (before, after) in places.iter().zip(places.iter().skip(1)) {
                self.missing(&object, &corrected[*before], &corrected[*after], &mut findings);
            }
        }
        findings
    }

    fn missing(&self, object: &str, before: &T, after: &T, findings: &mut Vec<Finding<T>>) {
        let Some((longest, between)) = &self.gap else { return };
        let (from, to) = ((self.frame)(before), (self.frame)(after));
        if to.saturating_sub(from).saturating_sub(1) > *longest {
            return;
        }
        for frame in from.saturating_add(1)..to {
            let share = (frame - from) as f64 / (to - from) as f64;
            let sighting = between(before, after, Gap { frame, share });
            let correction = Some(Correction::Insert(sighting));
            findings.push(Finding { object: object.to_owned(), frame, kind: Kind::Missing, correction });
        }
    }

    /// `window` with the corrections of `findings`, which must be its own. What is put in stands before the first sighting of a
    /// later frame; a window in order of time stays so.
    pub fn corrected(&self, window: &[T], findings: &[Finding<T>]) -> Vec<T> {
        let mut kept: Vec<Option<T>> = window.iter().cloned().map(Some).collect();
        let mut inserted = Vec::new();
        for correction in findings.iter().filter_map(|finding| finding.correction.as_ref()) {
            match correction {
                Correction::Insert(sighting) => inserted.push(sighting.clone()),
                Correction::Replace(place, sighting) => {
                    if let Some(kept) = kept.get_mut(*place) {
                        *kept = Some(sighting.clone());
                    }
                }
                Correction::Remove(place) => {
                    if let Some(kept) = kept.get_mut(*place) {
                        *kept = None;
                    }
                }
            }
        }
        inserted.sort_by_key(&self.frame);
        let mut inserted = inserted.into_iter().peekable();
        let mut whole = Vec::with_capacity(window.len());
        for sighting in kept.into_iter().flatten() {
            while let Some(earlier) = inserted.next_if(|i| (self.frame)(i) < (self.frame)(&sighting)) {
                whole.push(earlier);
            }
            whole.push(sighting);
        }
        whole.extend(inserted);
        whole
    }

    /// A handler of windows that makes all corrections there are. A finding without one leaves its sighting as it is; to hear of it,
    /// say what is to become of such windows with [`or_else`](Consistency::or_else).
    pub fn or_correct(self) -> impl Handler<Vec<T>, Retry = NoLoop> {
        by(move |window: &Vec<T>, _: &Seen| {
            let findings = self.findings(window);
            if findings.iter().all(|finding| finding.correction.is_none()) {
                return Verdict::Abstain;
            }
            Verdict::Replace(self.corrected(window, &findings))
        })
    }

    /// A handler of windows. Where something is not as it must be, the verdict is what `otherwise` says, who gets the window, what
    /// was found (one finding at least), and what handlers see.
    ///
    /// ```
    /// use eddyline_handlers::{Consistency, Verdict, testing};
    ///
    /// // (object, frame)
    /// let strict = Consistency::new(|s: &(u32, u64)| s.0, |s| s.1)
    ///     .gaps(1, |a, _, gap| (a.0, gap.frame))
    ///     .or_else(|_, findings, _| Verdict::reject(findings[0].to_string()));
    /// let reasons: [Verdict<_>; 1] = [Verdict::reject("7 is missing in frame 2")];
    /// assert_eq!(testing::judge(strict, [vec![(7, 1), (7, 3)]]), reasons);
    /// ```
    pub fn or_else<R: 'static>(
        self,
        mut otherwise: impl FnMut(&Vec<T>, &[Finding<T>], &Seen) -> Verdict<Vec<T>, R> + Send + 'static,
    ) -> impl Handler<Vec<T>, Retry = R> {
        by(move |window: &Vec<T>, seen: &Seen| {
            let findings = self.findings(window);
            if findings.is_empty() { Verdict::Abstain } else { otherwise(window, &findings, seen) }
        })
    }
}

/// The places whose value is not the most frequent, and one whose value is. Where several are most frequent, all places that are not
/// like the first sighting, and no one to be like.
fn differing<T, V: Eq + Hash>(
    window: &[T],
    places: &[usize],
    get: &dyn Fn(&T) -> V,
) -> (Vec<usize>, Option<usize>) {
    let values: Vec<V> = places.iter().map(|&place| get(&window[place])).collect();
    let mut counts: HashMap<&V, usize> = HashMap::new();
    for value in &values {
        *counts.entry(value).or_default() += 1;
    }
    let most = counts.values().copied().max().unwrap_or_default();
    let decided = counts.values().filter(|count| **count == most).count() == 1;
    let like = values.iter().position(|value| counts[value] == most).unwrap_or_default();
    let of = |at: usize| places[at];
    let differing = (0..values.len()).filter(|&at| values[at] != values[like]).map(of).collect();
    (differing, decided.then(|| of(like)))
}

impl<T> Display for Finding<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { object, frame, .. } = self;
        match &self.kind {
            Kind::Missing => write!(f, "{object} is missing in frame {frame}"),
            Kind::Flickering => write!(f, "{object} flickers in frame {frame}"),
            Kind::Changing { attribute } => write!(f, "{object} changes its {attribute} in frame {frame}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing::judge;

    #[derive(Clone, Debug, PartialEq)]
    struct Sighting {
        frame: u64,
        track: u8,
        class: u8,
        colour: u8,
    }

    fn rules() -> Consistency<Sighting> {
        Consistency::new(|s: &Sighting| s.track, |s| s.frame)
            .attribute("class", |s| s.class, |s, class| s.class = class)
            .attribute("colour", |s| s.colour, |s, colour| s.colour = colour)
            .gaps(3, |a, _, gap| Sighting { frame: gap.frame, ..a.clone() })
            .at_least(2)
    }

    fn window() -> impl Strategy<Value = Vec<Sighting>> {
        let one = (0..12_u64, 0..3_u8, 0..3_u8, 0..2_u8);
        prop::collection::vec(
            one.prop_map(|(frame, track, class, colour)| Sighting { frame, track, class, colour }),
            0..30,
        )
    }

    /// Three objects over twelve frames, each with a class and a colour of its own, with some sightings lost and some wrong: at most
    /// one in a row, so that what is true is in the majority.
    fn damaged() -> impl Strategy<Value = (Vec<Sighting>, Vec<Sighting>)> {
        prop::collection::vec(0..4_u8, 3 * 6).prop_map(|damage| {
            let all = (0..12_u64).flat_map(|frame| (0..3_u8).map(move |track| (frame, track)));
            let truth: Vec<_> = all
                .map(|(frame, track)| Sighting { frame, track, class: track, colour: track % 2 })
                .collect();
            let seen = truth.iter().cloned().filter_map(|mut s| {
                // Frames 0, 11 and every second one are as they are.
                if s.frame % 2 == 0 || s.frame == 11 {
                    return Some(s);
                }
                match damage[usize::from(s.track) * 6 + s.frame as usize / 2] {
                    0 => return None,
                    1 => s.class += 1,
                    2 => s.colour ^= 1,
                    _ => {}
                }
                Some(s)
            });
            let seen = seen.collect();
            (truth, seen)
        })
    }

    proptest! {
        #[test]
        fn what_is_damaged_is_as_it_was((truth, seen) in damaged()) {
            let findings = rules().findings(&seen);
            let mut corrected = rules().corrected(&seen, &findings);
            corrected.sort_by_key(|s| (s.frame, s.track));
            prop_assert_eq!(corrected, truth);
        }

        #[test]
        fn where_all_could_be_corrected_nothing_is_found_again(window in window()) {
            let findings = rules().findings(&window);
            let undecided: Vec<_> = findings.iter().filter(|f| f.correction.is_none()).map(|f| &f.object).collect();
            let again = rules().findings(&rules().corrected(&window, &findings));
            prop_assert!(again.iter().all(|finding| undecided.contains(&&finding.object)), "{:?}", again);
        }

        #[test]
        fn a_window_without_findings_is_left_alone(mut window in window()) {
            let fine = rules().findings(&window).is_empty();
            let correctable = rules().findings(&window).iter().any(|finding| finding.correction.is_some());
            let verdict = judge(rules().or_correct(), [window.clone()]).remove(0);
            prop_assert_eq!(verdict == Verdict::Abstain, !correctable);
            prop_assert!(!fine || verdict == Verdict::Abstain);
            window.sort_by_key(|s| s.frame);
            let corrected = rules().corrected(&window, &rules().findings(&window));
            prop_assert!(corrected.is_sorted_by_key(|s| s.frame));
        }
    }

    #[test]
    fn where_two_are_equally_frequent_it_is_found_and_not_decided() {
        let s = |frame, class| Sighting { frame, track: 1, class, colour: 0 };
        let findings = rules().findings(&[s(1, 0), s(2, 5)]);
        assert_eq!(findings.len(), 1);
        assert_eq!((findings[0].frame, &findings[0].correction), (2, &None));
        assert_eq!(judge(rules().or_correct(), [vec![s(1, 0), s(2, 5)]]), [Verdict::Abstain]);
    }

    #[test]
    fn who_is_away_for_long_has_left_and_who_is_at_the_edge_does_not_flicker() {
        let s = |frame, track| Sighting { frame, track, class: 0, colour: 0 };
        let away = [s(1, 1), s(6, 1), s(1, 2), s(2, 2), s(u64::MAX, 3), s(2, 4), s(1, 5)];
        let found: Vec<_> = rules().findings(&away).iter().map(ToString::to_string).collect();
        assert_eq!(found, ["4 flickers in frame 2"]);
    }
}
