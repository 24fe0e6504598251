//! How a corrector of texts gets at the text in a value, and puts another in.

pub(crate) type Get<T> = Box<dyn Fn(&T) -> &str + Send>;
pub(crate) type Put<T> = Box<dyn Fn(&mut T, String) + Send>;
