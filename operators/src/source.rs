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
    ids::Ids,
    image::Image,
    operator::{Cx, Operator},
    ports::Outlet,
    quarantine::Beside,
    record::{RecordId, Root, Tag, Trail},
    times::{Timestamps, Told},
    view::Role,
};
use futures::StreamExt;

use crate::{
    csv_rows::Rows,
    replayable::{Back, Returning},
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
        self.begin(named_spec("source", Role::Source, name), move |start, _| {
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
        self.begin(spec, move |start, _| {
            Feed::from_iterator(&name, start.waker(), start.clock().clone(), start.schedule(), make)
        })
    }

    pub(crate) fn begin<T: Data>(
        &self,
        spec: NodeSpec,
        feed: impl FnOnce(&Start<'_>, &Returning<T>) -> Arc<Feed<T>> + Send + 'static,
    ) -> Stream<T> {
        let graph = self.graph.clone();
        let returning = Returning::new(spec.name.as_deref().unwrap_or_default());
        let node = graph.add(spec);
        let output = graph.output(node, "", false);
        let (out, again) = (output.clone(), Arc::clone(&returning));
        graph.build_with(node, move |start| {
            again.open(start.waker());
            let source = Source {
                feed: feed(start, &again),
                times: out.take_times(),
                keeps: again.is_asked_for(),
                returning: again,
                seq: 0,
                looked: start.clock().now(),
                idle: false,
            };
            (source, (), out.outlet())
        });
        Stream { returning: Some(returning), ..Stream::new(graph, output) }
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

/// Takes what its feed has, and what comes back from the quarantine.
struct Source<T: Data> {
    feed: Arc<Feed<T>>,
    times: Option<Timestamps<T>>,
    /// Whether what it brought is kept until its record has ended.
    keeps: bool,
    returning: Arc<Returning<T>>,
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
    fn timed(times: &mut Timestamps<T>, batch: Batch<T>, cx: &mut Cx<'_>) -> Batch<T> {
        let mut timed = Batch::with_capacity(batch.len());
        for (value, mut tag) in batch.into_rows() {
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

    fn enter(&mut self, count: usize, cx: &mut Cx<'_>) -> (Ids, Option<Arc<Trail>>) {
        let entered = cx.enter(self.seq, count);
        self.seq += count as u64;
        entered
    }

    fn put(&mut self, batch: Batch<T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let batch = match &mut self.times {
            Some(times) => Self::timed(times, batch, cx),
            None => batch,
        };
        out.put(batch, cx);
    }

    /// Brings in what its feed has.
    fn bring(&mut self, Fed { values, bad }: Fed<T>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let (mut ids, trail) = self.enter(values.len() + bad.len(), cx);
        let faults: Vec<RecordId> =
            bad.iter().enumerate().map(|(nth, (before, _))| ids.get(before + nth)).collect();
        for (id, (_, bad)) in faults.iter().zip(&bad) {
            unreadable(&Tag { id: *id, trail: trail.clone() }, bad, cx);
        }
        if !faults.is_empty() {
            let mut faults = faults.iter().peekable();
            let flags: Vec<bool> = ids.iter().map(|id| faults.next_if_eq(&&id).is_none()).collect();
            ids.retain(&flags);
        }
        if self.keeps {
            let mut kept = Batch::with_capacity(values.len());
            for (value, id) in values.into_iter().zip(ids) {
                let tag = known(Tag { id, trail: trail.clone() }, &value, Beside::default());
                kept.push(value, tag);
            }
            self.put(kept, out, cx);
        } else {
            self.put(Batch::of_source(values, ids).carrying(trail), out, cx);
        }
    }

    /// Brings in what comes back from the quarantine.
    fn bring_back(&mut self, back: Vec<Back<T>>, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        let (ids, trail) = self.enter(back.len(), cx);
        let mut batch = Batch::with_capacity(back.len());
        for (Back { read, beside }, id) in back.into_iter().zip(ids) {
            let mut tag = Tag { id, trail: trail.clone() };
            match read {
                Ok(value) => {
                    let tag = known(tag, &value, beside);
                    batch.push(value, tag);
                }
                Err(bad) => {
                    tag.trail_mut().roots.push(Root::with_beside(id, beside));
                    unreadable(&tag, &bad, cx);
                }
            }
        }
        self.put(batch, out, cx);
    }
}

/// A record whose source value is kept until it has ended.
fn known<T: Data>(mut tag: Tag, value: &T, beside: Beside) -> Tag {
    let beside = Beside { brought: Some(Arc::new(value.clone())), ..beside };
    let root = Root::with_beside(tag.id, beside);
    tag.trail_mut().roots.push(root);
    tag
}

fn unreadable(tag: &Tag, bad: &Unreadable, cx: &mut Cx<'_>) {
    let place = if bad.place.is_empty() { cx.name().to_owned() } else { bad.place.clone() };
    cx.fault_from(tag, FaultKind::Unreadable, &bad.reason, bad.raw.as_ref(), place);
}

impl<T: Data> Operator for Source<T> {
    type In = ();
    type Out = Outlet<T>;

    fn process(&mut self, (): (), _: &mut Outlet<T>, _: &mut Cx<'_>) {}

    fn wake(&mut self, out: &mut Outlet<T>, cx: &mut Cx<'_>) -> bool {
        if cx.is_draining() {
            self.returning.close();
            if self.feed.is_open() {
                self.feed.close();
            }
        }
        if cx.is_paused() || !cx.may_enter() {
            self.is_not_idle(cx);
            return false;
        }
        let back = self.returning.take(cx.most());
        if !back.is_empty() {
            self.is_not_idle(cx);
            self.bring_back(back, out, cx);
            return true;
        }
        let fed = self.feed.take(cx.most());
        if fed.values.is_empty() && fed.bad.is_empty() {
            return self.rest(cx);
        }
        self.is_not_idle(cx);
        self.bring(fed, out, cx);
        true
    }

    fn is_awake(&self) -> bool {
        self.feed.is_waiting() || self.returning.is_waiting()
    }

    fn flush(&mut self, out: &mut Outlet<T>, cx: &mut Cx<'_>) {
        // What has come back since it was last looked at comes in; nothing can behind it.
        let last = self.returning.close_and_take();
        if !last.is_empty() {
            self.bring_back(last, out, cx);
        }
        cx.leave();
    }

    fn is_open(&self) -> bool {
        self.feed.is_open() || self.returning.is_waiting()
    }

    fn next_wake(&self) -> Option<Moment> {
        self.patience().map(|patience| self.looked.saturating_add(patience))
    }

    fn stop(&mut self) {
        self.returning.close();
        self.feed.close();
    }
}

impl<T: Data> Drop for Source<T> {
    fn drop(&mut self) {
        self.stop();
    }
}
