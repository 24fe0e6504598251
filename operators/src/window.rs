//! Windows: which rows of a key are put together.

use std::time::Duration;

use eddyline_runtime::times::millis;

/// Which rows of a key [`group_by`](crate::Stream::group_by) puts together. Durations are whole milliseconds, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Window(pub(crate) Span);

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Span {
    /// Of this size, one every so often.
    Sliding { size: i64, every: i64 },
    /// Until nothing comes for longer than this.
    Session { gap: i64 },
    /// So many rows.
    Count(usize),
}

impl Window {
    /// Windows of one size, one after the other: each row is in one. They begin at multiples of `size` from time 0, and a row at
    /// the end of one belongs to the next.
    pub fn tumbling(size: Duration) -> Self {
        Self::sliding(size, size)
    }

    /// Windows of one size, one every `every`: each row is in `size / every` of them. `every` must not be longer than `size`,
    /// or rows would be in none.
    pub fn sliding(size: Duration, every: Duration) -> Self {
        Self(Span::Sliding { size: millis(size), every: millis(every) })
    }

    /// Rows that follow each other within `gap`; a longer pause begins the next window.
    pub fn session(gap: Duration) -> Self {
        Self(Span::Session { gap: millis(gap) })
    }

    /// So many rows each, in the order of their times; what is left at the end comes as a smaller one.
    pub fn count(rows: usize) -> Self {
        Self(Span::Count(rows))
    }

    /// All rows, in one window that closes at the end.
    pub fn whole() -> Self {
        Self(Span::Count(usize::MAX))
    }

    /// What is wrong with it, and what to do.
    pub(crate) fn problem(self) -> Option<(&'static str, &'static str)> {
        match self.0 {
            Span::Sliding { size, every } if size < 1 || every < 1 => {
                Some(("a window of less than a millisecond", "give it a size and a step of at least 1 ms"))
            }
            Span::Sliding { size, every } if every > size => {
                Some(("between these windows rows would be in none", "let `every` be at most `size`"))
            }
            Span::Count(0) => Some(("a window of 0 rows never fills", "give `Window::count` at least 1")),
            _ => None,
        }
    }

    pub(crate) fn note(self) -> String {
        match self.0 {
            Span::Sliding { size, every } if size == every => format!("windows of {size} ms"),
            Span::Sliding { size, every } => format!("windows of {size} ms every {every} ms"),
            Span::Session { gap } => format!("sessions, pauses of {gap} ms"),
            Span::Count(usize::MAX) => "one window".to_owned(),
            Span::Count(rows) => format!("windows of {rows} rows"),
        }
    }
}

impl Span {
    /// The windows that a row of this time may close: when nothing earlier than the first can come any more, look at the window
    /// that is named by the second.
    pub fn closings(self, time: i64) -> Vec<(i64, i64)> {
        match self {
            Span::Sliding { size, every } => {
                let last = time.div_euclid(every).saturating_mul(every);
                let windows = std::iter::successors(Some(last), |start| start.checked_sub(every));
                let holds_it = |start: &i64| time.saturating_sub(*start) < size;
                windows.take_while(holds_it).map(|start| (start.saturating_add(size), start)).collect()
            }
            Span::Session { gap } => vec![(time.saturating_add(gap).saturating_add(1), time)],
            Span::Count(_) => vec![(time.saturating_add(1), time)],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn windows(window: Window, time: i64) -> Vec<(i64, i64)> {
        window.0.closings(time)
    }

    #[test]
    fn a_row_at_the_end_of_a_window_belongs_to_the_next() {
        let tens = Window::tumbling(Duration::from_millis(10));
        assert_eq!(windows(tens, 9), [(10, 0)]);
        assert_eq!(windows(tens, 10), [(20, 10)]);
        assert_eq!(windows(tens, -1), [(0, -10)]);
        assert_eq!(windows(tens, -10), [(0, -10)]);
    }

    #[test]
    fn a_row_is_in_every_sliding_window_that_holds_its_time() {
        let slides = Window::sliding(Duration::from_millis(10), Duration::from_millis(4));
        assert_eq!(windows(slides, 9), [(18, 8), (14, 4), (10, 0)]);
        assert_eq!(windows(slides, 10), [(18, 8), (14, 4)]);
    }

    #[test]
    fn the_ends_of_time_have_windows() {
        let tens = Window::tumbling(Duration::from_millis(10));
        assert_eq!(windows(tens, i64::MIN).len(), 1);
        assert_eq!(windows(tens, i64::MAX), [(i64::MAX, i64::MAX - 7)]);
        assert_eq!(windows(Window::session(Duration::MAX), 5), [(i64::MAX, 5)]);
    }
}
