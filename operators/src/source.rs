//! Sources: how records come in.

use std::{
    fs::File,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    clock::Moment,
    fault::FaultKind,
    feed::{Fed, Feed, Read, Unreadable},
    graph::{NodeSpec, Start},
    image::Image,
    operator::{Cx, Operator},
    ports::Outlet,
    record::{RecordId, Tag, Trail},
    times::{Timestamps, Told},
    view::Role,
};
use futures::StreamExt;

use crate::{
    csv_rows::Rows,
    rows,
    stream::{Stream, named_spec},
    workflow::Workflow,
};

impl Workflow {
    /// Brings in the values of anything that can be iterated. The iterator runs on a thread of its own, so it may block.
    #[track_caller]
    pub fn source<T: Data>(
        &self,
        name: &str,
        records: impl IntoIterator<Item = T> + Send + 'static,
    ) -> Stream<T> {
        self.iterate(named_spec("source", Role::Source, name), move || records.into_iter().map(Ok))
    }

    /// Brings in the values of an async stream.
    #[track_caller]
    pub fn source_stream<T: Data>(
        &self,
        name: &str,
        records: impl futures::Stream<Item = T> + Send + 'static,
    ) -> Stream<T> {
        self.graph.fed_by_task();
        self.begin(named_spec("source", Role::Source, name), move |start| {
            let feed = Feed::for_task(start.waker());
            let into = Arc::clone(&feed);
            tokio::spawn(async move {
                let mut records = std::pin::pin!(records);
                loop {
                    let value = tokio::select! {
                        value = records.next() => value,
                        () = into.closed() => return,
                    };
                    let Some(value) = value else { break };
                    if !into.give(Ok(value)).await {
                        return;
                    }
                }
                into.end();
            });
            feed
        })
    }

    /// Brings in the lines of a text file, without their ends.
    #[track_caller]
    pub fn lines(&self, name: &str, path: impl AsRef<Path>) -> Stream<String> {
        let path = path.as_ref().to_owned();
        let spec = file_spec("lines", name, &path);
        let file = self.open(&path, &spec);
        self.iterate(spec, move || numbered_lines(file, &path).map(|line| line.map(|(_, text)| text)))
    }

    /// Brings in the rows of a CSV file whose header names the fields of `T`. A row that does not parse is a fault with its
    /// line number; the others go on.
    ///
    /// ```no_run
    /// # use eddyline::prelude::*;
    /// #[derive(Clone, serde::Serialize, serde::Deserialize)]
    /// struct Order { invoice: String, expected: f64 }
    ///
    /// let flow = Workflow::new("orders");
    /// let orders = flow.csv::<Order>("orders", "orders.csv");
    /// # orders.ignore();
    /// ```
    #[track_caller]
    pub fn csv<T: Data>(&self, name: &str, path: impl AsRef<Path>) -> Stream<T> {
        let path = path.as_ref().to_owned();
        let spec = file_spec("csv", name, &path);
        let file = self.open(&path, &spec);
        self.iterate(spec, move || file.into_iter().flat_map(move |file| Rows::new(file, &path)))
    }

    /// Brings in the values of a file with one JSON value per line. A line that does not parse is a fault with its number; the
    /// others go on. Empty lines are passed over.
    #[track_caller]
    pub fn json_lines<T: Data>(&self, name: &str, path: impl AsRef<Path>) -> Stream<T> {
        let path = path.as_ref().to_owned();
        let spec = file_spec("json_lines", name, &path);
        let file = self.open(&path, &spec);
        self.iterate(spec, move || {
            let file_name = path.clone();
            numbered_lines(file, &path)
                .filter(|line| !line.as_ref().is_ok_and(|(_, text)| text.trim().is_empty()))
                .map(move |line| {
                    let (number, text) = line?;
                    serde_json::from_str(&text).map_err(|error| {
                        // It counts lines within the text that it was given, which is one.
                        let what = error.to_string();
                        let what = what.rsplit_once(" at line ").map_or(what.as_str(), |(what, _)| what);
                        Unreadable {
                            place: format!("{} line {number}", file_name.display()),
                            reason: format!("column {}: {what}", error.column()),
                            raw: Some(text),
                        }
                    })
                })
        })
    }

    /// Brings in the pictures (PNG, JPEG) of a folder, in order of their names. One that cannot be read is a fault with its
    /// name; the others go on.
    #[track_caller]
    pub fn images(&self, name: &str, folder: impl AsRef<Path>) -> Stream<Image> {
        let folder = folder.as_ref().to_owned();
        let spec = file_spec("images", name, &folder);
        let paths = match picture_paths(&folder) {
            Ok(paths) => paths,
            Err(error) => {
                self.unreadable(&folder, &error, &spec);
                Vec::new()
            }
        };
        self.iterate(spec, move || {
            paths.into_iter().map(|path| {
                Image::read(&path).map_err(|error| Unreadable {
                    place: path.display().to_string(),
                    reason: error.why,
                    raw: None,
                })
            })
        })
    }

    fn open(&self, path: &Path, spec: &NodeSpec) -> Option<File> {
        let readable = |file: File| match file.metadata()?.is_dir() {
            true => Err(std::io::ErrorKind::IsADirectory.into()),
            false => Ok(file),
        };
        File::open(path).and_then(readable).map_err(|error| self.unreadable(path, &error, spec)).ok()
    }

    fn unreadable(&self, path: &Path, error: &std::io::Error, spec: &NodeSpec) {
        let from = std::env::current_dir().map(|dir| dir.display().to_string()).unwrap_or_default();
        self.graph.error(
            None,
            Some(spec.place),
            format!("{} cannot be read: {error}", path.display()),
            format!("check the path; relative ones begin at {from}"),
        );
    }

    fn iterate<T: Data, I>(&self, spec: NodeSpec, make: impl FnOnce() -> I + Send + 'static) -> Stream<T>
    where
        I: Iterator<Item = Read<T>>,
    {
        let name = spec.name.clone().unwrap_or_default();
        self.begin(spec, move |start| {
            Feed::from_iterator(&name, start.waker(), start.clock().clone(), start.schedule(), make)
        })
    }

    fn begin<T: Data>(
        &self,
        spec: NodeSpec,
        feed: impl FnOnce(&Start<'_>) -> Arc<Feed<T>> + Send + 'static,
    ) -> Stream<T> {
        let graph = self.graph.clone();
        let node = graph.add(spec);
        let output = graph.output(node, "", false);
        let out = output.clone();
        graph.build_with(node, move |start| {
            let source = Source {
                feed: feed(start),
                times: out.take_times(),
                seq: 0,
                looked: start.clock().now(),
                idle: false,
            };
            (source, (), out.outlet())
        });
        Stream::new(graph, output)
    }
}

#[track_caller]
fn file_spec(kind: &'static str, name: &str, path: &Path) -> NodeSpec {
    let mut spec = named_spec(kind, Role::Source, name);
    spec.notes.push(path.display().to_string());
    spec
}

fn numbered_lines(file: Option<File>, path: &Path) -> impl Iterator<Item = Read<(usize, String)>> + use<> {
    let path = path.to_owned();
    let lines = file.into_iter().flat_map(|file| BufReader::new(file).lines());
    // After a line that is not UTF-8 the next can be read; after any other error the same error would come for ever.
    let mut broken = false;
    lines.enumerate().map_while(move |(i, line)| match line {
        _ if broken => None,
        Ok(text) => Some(Ok((i + 1, text))),
        Err(error) => {
            broken = error.kind() != std::io::ErrorKind::InvalidData;
            let place = format!("{} line {}", path.display(), i + 1);
            Some(Err(Unreadable { place, reason: error.to_string(), raw: None }))
        }
    })
}

fn picture_paths(folder: &Path) -> std::io::Result<Vec<PathBuf>> {
    let mut paths = Vec::new();
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        let ending = path.extension().and_then(|e| e.to_str()).unwrap_or_default().to_ascii_lowercase();
        if ["png", "jpg", "jpeg"].contains(&ending.as_str()) {
            paths.push(path);
        }
    }
    paths.sort();
    Ok(paths)
}

/// Takes what its feed has.
struct Source<T: Data> {
    feed: Arc<Feed<T>>,
    times: Option<Timestamps<T>>,
    seq: u64,
    /// When it last brought something, or was not to.
    looked: Moment,
    /// It has brought nothing for so long that others do not wait for it.
    idle: bool,
}

impl<T: Data> Source<T> {
    /// How long it may bring nothing, if anybody said, while it has not done so.
    fn patience(&self) -> Option<Duration> {
        let patience = self.times.as_ref().and_then(Timestamps::idle_after)?;
        (!self.idle && self.feed.is_open()).then_some(patience)
    }

    /// There is nothing to bring. Says whether it is idle from now on.
    fn rest(&mut self, cx: &mut Cx<'_>) -> bool {
        let Some(patience) = self.patience() else { return false };
        self.idle = cx.clock().now().saturating_sub(self.looked) >= patience;
        if self.idle {
            cx.set_idle(true);
        }
        self.idle
    }

    /// It brings something, or could not.
    fn is_not_idle(&mut self, cx: &mut Cx<'_>) {
        if std::mem::take(&mut self.idle) {
            cx.set_idle(false);
        }
        if self.patience().is_some() {
            self.looked = cx.clock().now();
        }
    }

    /// Gives each record its time; those that are late, or whose time cannot be told, end as faults.
    fn timed(
        times: &mut Timestamps<T>,
        batch: Batch<T>,
        trail: Option<&Arc<Trail>>,
        cx: &mut Cx<'_>,
    ) -> Batch<T> {
        let mut timed = Batch::with_capacity(batch.len());
        for (value, mut tag) in batch.into_rows() {
            tag.trail = trail.cloned();
            match times.tell(&value) {
                Told::Time(time) => {
                    tag.trail_mut().time = Some(time);
                    timed.push(value, tag);
                }
                Told::Late => {
                    let reason = "it is older than the lateness of its source allows";
                    cx.fault(&tag, FaultKind::Late, reason, Some(&value));
                }
                Told::Panic(panicked) => rows::fault_of_panic(cx, &tag, &panicked, Some(&value)),
            }
        }
        cx.raise_watermark(times.watermark());
        timed
    }
}

impl<T: Data> Operator for Source<T> {
    type In = ();
    type Out = Outlet<T>;

    fn process(&mut self, (): (), _: &mut Outlet<T>, _: &mut Cx<'_>) {}

    fn wake(&mut self, out: &mut Outlet<T>, cx: &mut Cx<'_>) -> bool {
        if cx.is_draining() && self.feed.is_open() {
            self.feed.close();
        }
        if cx.is_paused() || !cx.may_enter() {
            self.is_not_idle(cx);
            return false;
        }
        let Fed { values, bad } = self.feed.take(cx.most());
        let count = values.len() + bad.len();
        if count == 0 {
            return self.rest(cx);
        }
        self.is_not_idle(cx);
        let (mut ids, trail) = cx.enter(self.seq, count);
        self.seq += count as u64;
        let faults: Vec<RecordId> =
            bad.iter().enumerate().map(|(nth, (before, _))| ids[before + nth]).collect();
        for (id, (_, bad)) in faults.iter().zip(&bad) {
            let place = if bad.place.is_empty() { cx.name().to_owned() } else { bad.place.clone() };
            let tag = Tag { id: *id, trail: trail.clone() };
            cx.fault_from(&tag, FaultKind::Unreadable, &bad.reason, bad.raw.as_ref(), place);
        }
        let mut faults = faults.iter().peekable();
        ids.retain(|id| faults.next_if_eq(&id).is_none());
        let batch = Batch::of_source(values, ids);
        let batch = match &mut self.times {
            Some(times) => Self::timed(times, batch, trail.as_ref(), cx),
            None => batch.carrying(trail),
        };
        out.put(batch, cx);
        true
    }

    fn flush(&mut self, _: &mut Outlet<T>, cx: &mut Cx<'_>) {
        cx.leave();
    }

    fn is_open(&self) -> bool {
        self.feed.is_open()
    }

    fn next_wake(&self) -> Option<Moment> {
        self.patience().map(|patience| self.looked.saturating_add(patience))
    }

    fn stop(&mut self) {
        self.feed.close();
    }
}

impl<T: Data> Drop for Source<T> {
    fn drop(&mut self) {
        self.feed.close();
    }
}
