//! `quarantine` and `replay`: faults are kept in a file, and come back from there into a workflow.

use std::{path::Path, sync::Arc};

use eddyline_quarantine::{Faults, Writer};
use eddyline_runtime::{
    Data,
    feed::{Feed, Unreadable},
    graph::Place,
    quarantine::Beside,
    view::Role,
};

use crate::{
    replayable::Back,
    stream::{Stream, named_spec},
    workflow::Workflow,
};

impl Workflow {
    /// Keeps every record that fails or is rejected in this SQLite file, with its run, operator, reason, source records and
    /// value: for the page, for [`Quarantine`](crate::Quarantine), for `eddyline quarantine list FILE`, and for any other tool. The
    /// file is made where there is none; runs are added to one that is there.
    ///
    /// It is written by a thread of its own. A run whose faults come faster than that writes waits for it; where the disk is full
    /// or broken the run goes on, and the report and the page say how many faults are not in the file, and why. A file that
    /// cannot be opened is an error of the workflow.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = temp_dir::TempDir::new()?;
    /// # let path = dir.path().join("quarantine.sqlite");
    /// let flow = Workflow::new("roots").quarantine(&path);
    /// flow.source("numbers", [4.0, -9.0])
    ///     .handle("real", |x: &f64| if *x < 0.0 { Verdict::reject("negative") } else { Verdict::Pass })
    ///     .map(f64::sqrt)
    ///     .ignore();
    /// flow.run().await?;
    ///
    /// let negative = Quarantine::open(&path)?.faults(&Filter::new().reason("negative"))?;
    /// assert_eq!(negative[0].origin, "numbers #1");
    ///
    /// // The same once more, of what was rejected, in a workflow that knows what to do about it.
    /// let flow = Workflow::new("roots, mended").quarantine(&path);
    /// let roots = flow.replay("numbers", &negative).map(|x: f64| x.abs().sqrt()).collect();
    /// assert_eq!(flow.run().await?.take(roots), [3.0]);
    ///
    /// let replayed = Quarantine::open(&path)?.faults(&Filter::new().replayed())?;
    /// assert_eq!(replayed[0].replays[0].fate, Some(Fate::Emitted));
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn quarantine(mut self, path: impl AsRef<Path>) -> Self {
        match Writer::open(path.as_ref()) {
            Ok(writer) => self.options.store = Some(Arc::new(writer)),
            Err(error) => self.graph.error(None, Some(Place::here()), error.what, error.advice),
        }
        self
    }

    /// Brings faults of a quarantine in again, oldest first: each with the value that its operator was given, or, with
    /// [`faults.at_source(name)`](crate::Faults::at_source), with what that source had brought. A value that is no `T`, or was
    /// not kept, is a fault of kind `Unreadable`.
    ///
    /// One alone is `faults(&Filter::new().ids([17]))`: `eddyline quarantine list FILE` and the page show the numbers.
    ///
    /// Each fault is marked in its file with this run, and with how its replay ended. What goes wrong again is kept where this
    /// workflow says, as any fault of it, and names the fault that it is a replay of.
    ///
    /// Lead them to where they failed with [`merge`](Stream::merge), or write what comes behind as a function from stream to
    /// stream, so that it is the same in both workflows. See [`quarantine`](Self::quarantine) for an example.
    #[track_caller]
    pub fn replay<T: Data>(&self, name: &str, faults: &Faults) -> Stream<T> {
        let mut spec = named_spec("replay", Role::Source, name);
        spec.notes.push(format!("{} faults of {}", faults.len(), faults.path().display()));
        let place = spec.place;
        // Opened now, so that what is wrong with it is told with everything else.
        match Writer::open(faults.path()) {
            Ok(writer) => self.graph.also_mark(Arc::new(writer)),
            Err(error) => self.graph.error(None, Some(place), error.what, error.advice),
        }
        let (values, path) = (faults.values(), faults.path().to_owned());
        self.begin(spec, move |start, returning| {
            let store = start.store_at(&path);
            let back = values.into_iter().map(move |(id, json)| Back {
                read: read(&path, id, json.as_deref()),
                beside: Beside {
                    replay_of: Some(id),
                    told: store.as_ref().map(|store| store.replayed(id)),
                    brought: None,
                },
            });
            returning.begin_with(Box::new(back));
            let feed = Feed::for_task(start.waker());
            feed.end();
            feed
        })
    }
}

fn read<T: Data>(path: &Path, id: u64, json: Option<&str>) -> Result<T, Unreadable> {
    let json = json.ok_or_else(|| {
        let why = "its value was not kept: put `.replayable()` behind the source, and replay `faults.at_source(name)`";
        unreadable(path, id, why.to_owned())
    })?;
    serde_json::from_str(json).map_err(|error| Unreadable {
        raw: Some(json.to_owned()),
        ..unreadable(
            path,
            id,
            format!("it is no {}: {error}", eddyline_runtime::data::short_type_name::<T>()),
        )
    })
}

fn unreadable(path: &Path, id: u64, reason: String) -> Unreadable {
    Unreadable { place: format!("{} fault {id}", path.display()), reason, raw: None }
}
