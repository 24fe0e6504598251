//! Runs the author's code so that its panic is a fault of one record and of nothing else.
//!
//! The catch is paid once per batch: after a panic the loop goes on with the next record. A panic inside the guard is not
//! printed; its message and place go into the fault.

use std::{
    any::Any,
    cell::RefCell,
    panic::{self, AssertUnwindSafe},
    sync::Once,
};

thread_local! {
    /// `Some` while the author's code runs on this thread; the hook leaves the panic's place here.
    static PLACE: RefCell<Option<String>> = const { RefCell::new(None) };
}

/// What a caught panic said, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Panicked(pub String);

/// Makes panics inside the guard quiet. Panics elsewhere are printed as before.
pub(crate) fn install_hook() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let previous = panic::take_hook();
        panic::set_hook(Box::new(move |info| {
            let guarded = PLACE.with_borrow_mut(|place| match place {
                Some(place) => {
                    *place =
                        info.location().map(|l| format!("{}:{}", l.file(), l.line())).unwrap_or_default();
                    true
                }
                None => false,
            });
            if !guarded {
                previous(info);
            }
        }));
    });
}

/// Runs one call of the author's code.
pub fn call<R>(f: impl FnOnce() -> R) -> Result<R, Panicked> {
    let outer = PLACE.replace(Some(String::new()));
    let result = panic::catch_unwind(AssertUnwindSafe(f));
    let place = PLACE.replace(outer).unwrap_or_default();
    result.map_err(|payload| Panicked(message(payload.as_ref(), &place)))
}

/// Runs the author's code on each item; gives the index and message of those on which it panicked.
pub fn each<T>(items: impl IntoIterator<Item = T>, mut f: impl FnMut(T)) -> Vec<(usize, Panicked)> {
    let mut items = items.into_iter();
    let mut begun = 0;
    let mut panics = Vec::new();
    loop {
        let run = call(|| {
            for item in items.by_ref() {
                begun += 1;
                f(item);
            }
        });
        match run {
            Ok(()) => return panics,
            Err(panicked) => panics.push((begun - 1, panicked)),
        }
    }
}

fn message(payload: &(dyn Any + Send), place: &str) -> String {
    let text = payload
        .downcast_ref::<&str>()
        .map(|s| (*s).to_owned())
        .or_else(|| payload.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "panicked with a value that is not text".to_owned());
    if place.is_empty() { text } else { format!("{text} (at {place})") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_takes_one_item_only() {
        install_hook();
        let mut seen = Vec::new();
        let panics = each(0..5, |i| {
            assert!(i != 2, "two is bad");
            seen.push(i);
        });
        assert_eq!(seen, [0, 1, 3, 4]);
        assert_eq!(panics.len(), 1);
        assert_eq!(panics[0].0, 2);
        assert!(
            panics[0].1.0.contains("two is bad") && panics[0].1.0.contains("guard.rs"),
            "{:?}",
            panics[0].1
        );
    }
}
