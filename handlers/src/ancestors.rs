//! What a record was made of, as a handler sees it that may revise it.

use std::{ops::Deref, sync::Arc};

use crate::{Seen, Verdict};

/// A value that was kept and from which the judged record was made. Reads like the value; what it says becomes a verdict.
///
/// ```
/// use eddyline_handlers::{Ancestors, Verdict};
///
/// let kept = Ancestors::of([7]);
/// let seven = kept.nearest().unwrap();
/// assert_eq!(**seven, 7);
/// let verdict: Verdict<String, i32> = seven.revise(8);
/// assert_eq!(verdict, Verdict::Revise(seven.clone(), 8));
/// ```
#[derive(Debug)]
pub struct Ancestor<A> {
    origin: u64,
    version: u32,
    value: Arc<A>,
}

impl<A> Ancestor<A> {
    #[doc(hidden)]
    pub fn new(origin: u64, version: u32, value: Arc<A>) -> Self {
        Self { origin, version, value }
    }

    #[doc(hidden)]
    pub fn origin(&self) -> u64 {
        self.origin
    }

    /// How many values have stood in its place so far, from 1.
    pub fn version(&self) -> u32 {
        self.version
    }

    /// It is to be `value`: what was made of it is withdrawn, the judged record too, and made again of the new value.
    pub fn revise<T>(&self, value: A) -> Verdict<T, A> {
        Verdict::Revise(self.clone(), value)
    }

    /// Beside it there is to be `value` too; the judged record goes on.
    pub fn append<T>(&self, value: A) -> Verdict<T, A> {
        Verdict::Append(self.clone(), value)
    }

    /// It is not to be: what was made of it is withdrawn, the judged record too.
    pub fn delete<T>(&self) -> Verdict<T, A> {
        Verdict::Delete(self.clone())
    }
}

impl<A> Deref for Ancestor<A> {
    type Target = A;
    fn deref(&self) -> &A {
        &self.value
    }
}

impl<A> Clone for Ancestor<A> {
    fn clone(&self) -> Self {
        Self { value: Arc::clone(&self.value), ..*self }
    }
}

/// Two are the same if they are the same version of the same record; values are not compared.
impl<A> PartialEq for Ancestor<A> {
    fn eq(&self, other: &Self) -> bool {
        (self.origin, self.version) == (other.origin, other.version)
    }
}

impl<A> Eq for Ancestor<A> {}

/// The kept values from which a record was made, the nearest last: one behind maps and filters, several behind joins and gathers.
#[derive(Clone, Debug)]
pub struct Ancestors<A> {
    all: Vec<Ancestor<A>>,
    seen: Seen,
}

impl<A> Ancestors<A> {
    /// These values, for trying a handler out.
    pub fn of(values: impl IntoIterator<Item = A>) -> Self {
        let one = |(origin, value)| Ancestor::new(origin, 1, Arc::new(value));
        Self { all: (0..).zip(values).map(one).collect(), seen: Seen::default() }
    }

    #[doc(hidden)]
    pub fn new(all: Vec<Ancestor<A>>, seen: Seen) -> Self {
        Self { all, seen }
    }

    /// The one that entered last; none if the record came in behind the place where values are kept.
    pub fn nearest(&self) -> Option<&Ancestor<A>> {
        self.all.last()
    }

    /// All of them.
    pub fn iter(&self) -> std::slice::Iter<'_, Ancestor<A>> {
        self.all.iter()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.all.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// Rounds that the record has spent here, and that are left.
    pub fn seen(&self) -> &Seen {
        &self.seen
    }
}

impl<'a, A> IntoIterator for &'a Ancestors<A> {
    type Item = &'a Ancestor<A>;
    type IntoIter = std::slice::Iter<'a, Ancestor<A>>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}
