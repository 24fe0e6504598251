//! Sinks: where records leave.

use std::{
    fs::File,
    io::{BufWriter, Write},
    path::Path,
};

use eddyline_runtime::{
    Data,
    batch::Batch,
    fate::Fate,
    fault::FaultKind,
    guard,
    operator::{Cx, Operator},
    ports::Inlet,
    record::RecordId,
    view::Role,
};

use crate::{
    at_rest::Finally,
    report::{Collected, Output, Sink},
    rows,
    stream::{Stream, spec},
};

impl<T: Data> Stream<T> {
    /// Keeps every value, to be taken from the report when the run is over.
    #[track_caller]
    pub fn collect(self) -> Output<T> {
        let collected = Collected::default();
        let into = collected.clone();
        let sink = self.end_in(spec("collect", Role::Sink), move || Whole {
            f: move |mut values: Vec<T>, mut records: Vec<RecordId>| {
                let mut collected = into.lock();
                collected.values.append(&mut values);
                collected.records.append(&mut records);
            },
            types: Default::default(),
        });
        Output { sink, collected }
    }

    /// Runs `f` on each value. A panic in it is a fault of that record.
    #[track_caller]
    pub fn for_each(self, f: impl FnMut(T) + Send + 'static) -> Sink {
        self.end_in(spec("for_each", Role::Sink), move || ForEach { f, types: Default::default() })
    }

    /// Ends the records here without looking at them.
    #[track_caller]
    pub fn ignore(self) -> Sink {
        self.end_in(spec("ignore", Role::Sink), || Whole { f: |_: Vec<T>, _| (), types: Default::default() })
    }

    /// Writes each value as a row of a CSV file, under a header with its field names. The file is overwritten.
    ///
    /// ```
    /// # use eddyline::prelude::*;
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let dir = temp_dir::TempDir::new()?;
    /// # let path = dir.path().join("squares.csv");
    /// let flow = Workflow::new("squares");
    /// flow.source("numbers", 1..=2).map(|n| (n, n * n)).write_csv(&path);
    /// flow.run().await?;
    /// assert_eq!(std::fs::read_to_string(&path)?, "1,1\n2,4\n");
    /// # Ok(()) }
    /// ```
    #[track_caller]
    pub fn write_csv(self, path: impl AsRef<Path>) -> Sink {
        let spec = spec("write_csv", Role::Sink);
        let file = self.create(path.as_ref(), &spec);
        self.end_in(spec, move || {
            let mut writer = file.map(|file| csv::Writer::from_writer(Lines(file)));
            FileSink {
                write: move |value: Option<&T>| match (&mut writer, value) {
                    (Some(writer), Some(value)) => writer.serialize(value).map_err(|e| e.to_string()),
                    (Some(writer), None) => writer.flush().map_err(|e| e.to_string()),
                    (None, _) => Err("the file is not open".to_owned()),
                },
                types: Default::default(),
            }
        })
    }

    /// Writes each value as a line of JSON. The file is overwritten.
    #[track_caller]
    pub fn write_json_lines(self, path: impl AsRef<Path>) -> Sink {
        let spec = spec("write_json_lines", Role::Sink);
        let file = self.create(path.as_ref(), &spec);
        self.end_in(spec, move || {
            let mut writer = file;
            FileSink {
                write: move |value: Option<&T>| match (&mut writer, value) {
                    (Some(file), Some(value)) => serde_json::to_string(value)
                        .map_err(|e| e.to_string())
                        .and_then(|line| writeln!(file, "{line}").map_err(|e| e.to_string())),
                    (Some(file), None) => file.flush().map_err(|e| e.to_string()),
                    (None, _) => Err("the file is not open".to_owned()),
                },
                types: Default::default(),
            }
        })
    }

    /// Adds a node with this stream as its only input and no output.
    fn end_in<Op>(
        self,
        spec: eddyline_runtime::graph::NodeSpec,
        make: impl FnOnce() -> Op + Send + 'static,
    ) -> Sink
    where
        Op: Operator<In = Inlet<T>, Out = ()>,
    {
        let graph = self.graph.clone();
        let node = graph.add(spec);
        let input = self.lead_to(node);
        graph.build_with(node, move |_| {
            let op = Finally::new(make());
            (op, input.inlet(), ())
        });
        Sink { graph, node }
    }

    fn create(&self, path: &Path, spec: &eddyline_runtime::graph::NodeSpec) -> Option<BufWriter<File>> {
        match File::create(path) {
            Ok(file) => Some(BufWriter::new(file)),
            Err(error) => {
                self.graph.error(
                    Some(self.port.node()),
                    Some(spec.place),
                    format!("{} cannot be written: {error}", path.display()),
                    "check that its folder exists and may be written to",
                );
                None
            }
        }
    }
}

/// A buffered file behind the CSV writer, which has a buffer of its own.
struct Lines(BufWriter<File>);

impl Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> std::io::Result<()> {
        self.0.flush()
    }
}

/// Ends all rows of a batch as emitted.
fn emitted<T>(batch: Batch<T>, cx: &mut Cx<'_>) -> Vec<T> {
    if batch.is_plain() {
        cx.end_plain(batch.len(), Fate::Emitted, batch.ids().iter());
        return batch.into_parts().0;
    }
    let (values, tags) = batch.into_parts();
    for tag in tags {
        cx.end(&tag, Fate::Emitted);
    }
    values
}

/// Takes whole batches: the values and, where lineage is kept, which records they were.
struct Whole<T, F> {
    f: F,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, F: FnMut(Vec<T>, Vec<RecordId>) + Send + 'static> Operator for Whole<T, F> {
    type In = Inlet<T>;
    type Out = ();

    fn process(&mut self, batch: Batch<T>, (): &mut (), cx: &mut Cx<'_>) {
        let records = if cx.keeps_lineage() { batch.ids().iter().collect() } else { Vec::new() };
        let values = emitted(batch, cx);
        (self.f)(values, records);
    }
}

/// Runs the author's code on each value.
struct ForEach<T, F> {
    f: F,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, F: FnMut(T) + Send + 'static> Operator for ForEach<T, F> {
    type In = Inlet<T>;
    type Out = ();

    fn process(&mut self, batch: Batch<T>, (): &mut (), cx: &mut Cx<'_>) {
        let done = rows::map_rows(batch, cx, &mut self.f);
        emitted(done, cx);
    }
}

/// Writes each value to a file, and flushes it (`None`) after each batch.
struct FileSink<T, F> {
    write: F,
    types: std::marker::PhantomData<fn(T)>,
}

impl<T: Data, F: FnMut(Option<&T>) -> Result<(), String> + Send + 'static> Operator for FileSink<T, F> {
    type In = Inlet<T>;
    type Out = ();

    fn process(&mut self, batch: Batch<T>, (): &mut (), cx: &mut Cx<'_>) {
        let mut written = Vec::with_capacity(batch.len());
        for (value, tag) in batch.into_rows() {
            match guard::call(|| (self.write)(Some(&value))) {
                Ok(Ok(())) => written.push((value, tag)),
                Ok(Err(why)) => cx.fault(&tag, FaultKind::Unwritable, &why, Some(&value)),
                Err(panicked) => rows::fault_of_panic(cx, &tag, &panicked, Some(&value)),
            }
        }
        // A row counts as emitted when it has reached the file.
        let flushed = (self.write)(None);
        for (value, tag) in written {
            match &flushed {
                Ok(()) => cx.end(&tag, Fate::Emitted),
                Err(why) => cx.fault(&tag, FaultKind::Unwritable, why, Some(&value)),
            }
        }
    }
}
