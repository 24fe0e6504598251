//! Handlers by name, with parameters that can be given while a workflow runs.

use std::{fmt, sync::Arc};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::{Map, Value};
use thiserror::Error;

use crate::{Handler, NoLoop};

/// Handlers of values of type `T` by name, each with parameters of a type of its own: what can be put into an empty slot of a
/// workflow while it runs. Cheap to clone.
///
/// A handler is registered with the parameters that it begins with, which also say which there are: a struct with `#[derive(Serialize,
/// Deserialize)]` whose fields are shown on the page. Whoever gives others may leave some out; a field that is not there, or a value of
/// another type, is refused.
///
/// ```
/// use eddyline_handlers::{Check, Handlers, Verdict, testing};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Serialize, Deserialize)]
/// struct Threshold { least: f64 }
///
/// // (what was read, how sure)
/// let handlers = Handlers::new().register("threshold", Threshold { least: 0.8 }, |p: Threshold| {
///     Check::new().confidence(|r: &(&str, f64)| r.1, p.least).or_reject()
/// });
/// let strict = handlers.make("threshold", &serde_json::json!({ "least": 0.95 })).unwrap();
/// let verdicts = testing::judge(strict, [("7", 0.99), ("1", 0.9)]);
/// assert!(matches!(&verdicts[..], [Verdict::Abstain, Verdict::Reject(_)]));
///
/// let wrong = handlers.make("threshold", &serde_json::json!({ "lest": 0.95 })).err().unwrap();
/// assert_eq!(wrong.to_string(), "`threshold` has no parameter `lest`; it has `least`");
/// ```
pub struct Handlers<T> {
    all: Vec<Registered<T>>,
}

/// A handler of any kind, without a loop.
pub type AnyHandler<T> = Box<dyn Handler<T, Retry = NoLoop>>;

type Make<T> = Arc<dyn Fn(Value) -> Result<AnyHandler<T>, serde_json::Error> + Send + Sync>;

struct Registered<T> {
    name: String,
    parameters: Value,
    make: Make<T>,
}

/// Why a handler cannot be made.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// There is none of this name.
    #[error("there is no handler `{0}`; there is {1}")]
    NoSuchHandler(String, String),
    /// It has no such parameter.
    #[error("`{handler}` has no parameter `{parameter}`; it has {known}")]
    NoSuchParameter {
        /// The handler.
        handler: String,
        /// What it does not have.
        parameter: String,
        /// What it has.
        known: String,
    },
    /// A parameter has another type.
    #[error("`{handler}` cannot be made with these parameters: {why}")]
    WrongParameters {
        /// The handler.
        handler: String,
        /// What the reader said.
        why: String,
    },
}

impl<T: 'static> Handlers<T> {
    /// No handlers.
    pub fn new() -> Self {
        Self { all: Vec::new() }
    }

    /// Also one of this name, which `make` makes of its parameters, and those that it begins with. One of the same name before it is
    /// replaced.
    #[must_use]
    pub fn register<P, H>(
        mut self,
        name: &str,
        parameters: P,
        make: impl Fn(P) -> H + Send + Sync + 'static,
    ) -> Self
    where
        P: Serialize + DeserializeOwned,
        H: Handler<T, Retry = NoLoop>,
    {
        self.all.retain(|other| other.name != name);
        self.all.push(Registered {
            name: name.to_owned(),
            // What cannot be written as JSON cannot be given as JSON either: then it has no parameters to show.
            parameters: serde_json::to_value(&parameters).unwrap_or_default(),
            make: Arc::new(move |value| Ok(Box::new(make(serde_json::from_value(value)?)))),
        });
        self
    }

    /// The names, with the parameters that each begins with.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.all.iter().map(|one| (one.name.as_str(), &one.parameters))
    }

    /// The parameters of a handler, where those that are not `given` are what it begins with.
    ///
    /// # Errors
    /// There is no such handler, or it has no such parameter.
    pub fn parameters(&self, name: &str, given: &Value) -> Result<Value, RegistryError> {
        let registered = self.find(name)?;
        let (Value::Object(known), Value::Object(given)) = (&registered.parameters, given) else {
            return Ok(if given.is_null() { registered.parameters.clone() } else { given.clone() });
        };
        let mut all: Map<String, Value> = known.clone();
        for (field, value) in given {
            let place = all.get_mut(field).ok_or_else(|| RegistryError::NoSuchParameter {
                handler: name.to_owned(),
                parameter: field.clone(),
                known: names(known.keys()),
            })?;
            *place = value.clone();
        }
        Ok(Value::Object(all))
    }

    /// Makes a handler. Where the author's code panics on the parameters, so does this.
    ///
    /// # Errors
    /// There is no such handler, or these are no parameters of it.
    pub fn make(&self, name: &str, given: &Value) -> Result<AnyHandler<T>, RegistryError> {
        let wrong = |error: serde_json::Error| RegistryError::WrongParameters {
            handler: name.to_owned(),
            why: error.to_string(),
        };
        (self.find(name)?.make)(self.parameters(name, given)?).map_err(wrong)
    }

    fn find(&self, name: &str) -> Result<&Registered<T>, RegistryError> {
        let no_such =
            || RegistryError::NoSuchHandler(name.to_owned(), names(self.all.iter().map(|one| &one.name)));
        self.all.iter().find(|one| one.name == name).ok_or_else(no_such)
    }
}

fn names<'a>(all: impl Iterator<Item = &'a String>) -> String {
    let all: Vec<String> = all.map(|name| format!("`{name}`")).collect();
    if all.is_empty() { "none".to_owned() } else { all.join(", ") }
}

impl<T: 'static> Default for Handlers<T> {
    fn default() -> Self {
        Self::new()
    }
}

impl<T> Clone for Handlers<T> {
    fn clone(&self) -> Self {
        let one = |one: &Registered<T>| Registered {
            name: one.name.clone(),
            parameters: one.parameters.clone(),
            make: Arc::clone(&one.make),
        };
        Self { all: self.all.iter().map(one).collect() }
    }
}

impl<T> fmt::Debug for Handlers<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.all.iter().map(|one| (&one.name, &one.parameters))).finish()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::{Check, Seen, Verdict, by, testing::judge};

    #[derive(Serialize, Deserialize)]
    struct Range {
        least: i32,
        most: i32,
    }

    fn handlers() -> Handlers<i32> {
        Handlers::new()
            .register("range", Range { least: 0, most: 9 }, |p: Range| {
                Check::new().range("n", |n: &i32| *n, p.least..=p.most).or_reject()
            })
            .register("add", 1, |more: i32| {
                by(move |n: &i32, _: &Seen| -> Verdict<i32> { Verdict::Replace(n + more) })
            })
    }

    proptest! {
        #[test]
        fn what_is_not_given_is_what_it_begins_with(least in -20..20_i32, n in -40..40_i32) {
            let made = handlers().make("range", &json!({ "least": least })).unwrap();
            let rejected = matches!(judge(made, [n])[..], [Verdict::Reject(_)]);
            prop_assert_eq!(rejected, !(least..=9).contains(&n));
        }
    }

    #[test]
    fn parameters_may_be_of_any_type_and_wrong_ones_are_refused() {
        let verdicts = judge(handlers().make("add", &Value::Null).unwrap(), [1]);
        assert_eq!(verdicts, [Verdict::Replace(2)]);
        assert_eq!(judge(handlers().make("add", &json!(5)).unwrap(), [1]), [Verdict::Replace(6)]);
        for (name, given, why) in [
            ("none", json!({}), "there is no handler `none`; there is `range`, `add`"),
            ("range", json!({ "lest": 1 }), "`range` has no parameter `lest`; it has `least`, `most`"),
            (
                "range",
                json!({ "least": "one" }),
                "`range` cannot be made with these parameters: invalid type: string \"one\", expected i32",
            ),
            (
                "add",
                json!("one"),
                "`add` cannot be made with these parameters: invalid type: string \"one\", expected i32",
            ),
        ] {
            assert_eq!(handlers().make(name, &given).err().unwrap().to_string(), why);
        }
    }
}
