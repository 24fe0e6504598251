//! The rules that keep a run right, each with a switch, so that a test can show what goes wrong without it.

/// Which rules hold. All of them, always, but in a test that shows what one is for.
#[doc(hidden)]
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// What was made from a version that has been revised is ended wherever it is met; so the first retry of a version wins.
    pub stale_records_end: bool,
    /// A withdrawal reaches quarantine, tallies and fates of what has ended already.
    pub withdrawals_reach_ends: bool,
    /// A withdrawal reaches rows at rest: in joins, gathers and sinks.
    pub withdrawals_reach_rows: bool,
    /// Withdrawals on their way to rows at rest keep a loop open.
    pub notices_count: bool,
    /// A sink that appends waits until a record is final.
    pub sinks_wait: bool,
    /// A record that re-enters carries what it first entered with, not what it gained since.
    pub entries_are_restored: bool,
    /// A row parked in a join or gather gives its permit back.
    pub parked_rows_return_permits: bool,
    /// A record made of several takes the pointwise worst of their rounds.
    pub worst_rounds: bool,
    /// A record parked in a join does not keep its source from bringing more.
    pub parked_epochs_do_not_count: bool,
    /// A record made of several carries what each of them carries.
    pub marks_are_joined: bool,
    /// A model does not wait only for more records: it also launches what is there.
    pub models_linger: bool,
    /// A record made of several epochs holds the lowest open, and not only the highest.
    pub lowest_epochs_are_held: bool,
    /// Records on their way hold time back: a source's newest record alone does not say what may still come.
    pub records_hold_time: bool,
    /// A join forgets a row by what may still come to its other side, and not by what may come to the row's own.
    pub joins_look_across: bool,
    /// An answer goes on only when nothing can withdraw its question any more.
    pub answers_wait: bool,
    /// What comes round a loop is taken in before what is new.
    pub back_edges_come_first: bool,
    /// What waits for a permit of a loop gets one before what is new.
    pub overflow_comes_first: bool,
    /// Only where a record is always alone does it go round without an origin.
    pub only_linear_loops_need_no_origins: bool,
}

impl Default for Rules {
    fn default() -> Self {
        Self {
            stale_records_end: true,
            withdrawals_reach_ends: true,
            withdrawals_reach_rows: true,
            notices_count: true,
            sinks_wait: true,
            entries_are_restored: true,
            parked_rows_return_permits: true,
            worst_rounds: true,
            parked_epochs_do_not_count: true,
            marks_are_joined: true,
            models_linger: true,
            lowest_epochs_are_held: true,
            records_hold_time: true,
            joins_look_across: true,
            answers_wait: true,
            back_edges_come_first: true,
            overflow_comes_first: true,
            only_linear_loops_need_no_origins: true,
        }
    }
}
