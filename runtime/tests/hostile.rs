//! Models that are damaged or meant to harm: read, cut, prepared and, where that is little work, run. Each gives a result or an error of one
//! line, in bounded memory and time, and never a panic.
//!
//! `HOSTILE_CASES=1000000 HOSTILE_SEED=7 cargo test -p eddyline-runtime --test hostile -- --nocapture` tries more than `make test`
//! does. The model that is tried lies in `target/hostile/model.onnx`: where the process is ended, it is the one. `HOSTILE_MODEL=path` tries only
//! that one, and says where it panics.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

use std::{
    fs,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use cpu_time::{ProcessTime, ThreadTime};
use eddyline_runtime::{
    engine::{Engine, StageModel, cpu::Cpu, measure::sample, stop::Stop},
    onnx::{Cuts, OnnxModel},
    tensor::Dim,
};
use parking_lot::Mutex;

#[path = "hostile/memory.rs"]
mod memory;
#[path = "hostile/mutate.rs"]
mod mutate;

/// Most memory that a model may take until it is prepared, bytes, beside 16 times its file.
const MOST_BYTES: usize = 1 << 30;
/// Most processor time, of an unoptimised build.
const MOST_TIME: Duration = Duration::from_secs(30);

/// One model at a time, so that memory is its own.
static ALONE: Mutex<()> = Mutex::new(());

/// How far a model came.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Came {
    Refused,
    Read,
    Cut,
    Prepared,
    Ran,
}

/// Takes a model through all that is done with one, and tells how far it came and the first error.
fn take(bytes: &[u8]) -> (Came, Option<String>) {
    let model = match OnnxModel::from_bytes("hostile.onnx", bytes) {
        Ok(model) => Arc::new(model),
        Err(error) => return (Came::Refused, Some(error.to_string())),
    };
    let mut came = Came::Read;
    let mut said = None;
    let mut small = false;
    let mut stages = vec![model.clone()];
    match Cuts::new(&model) {
        Ok(cuts) => {
            came = Came::Cut;
            let work: u64 = cuts
                .layers()
                .iter()
                .map(|layer| layer.macs.saturating_add(layer.bytes))
                .fold(0, u64::saturating_add);
            small = work < 20_000_000;
            match cuts.blocks(2).and_then(|places| cuts.segments(&places)) {
                Ok(segments) => stages.extend(segments),
                Err(error) => said = Some(error.to_string()),
            }
        }
        Err(error) => said = Some(error.to_string()),
    }
    for stage in stages {
        match Cpu.prepare(&StageModel::Onnx(vec![stage.clone()])) {
            Ok(mut session) => {
                came = came.max(Came::Prepared);
                if small && Arc::ptr_eq(&stage, &model) {
                    let len = |dim: &Dim| if let Dim::Fixed(len) = dim { *len } else { 64 };
                    let shape = |input: &eddyline_runtime::tensor::TensorSpec| {
                        input.item_shape().iter().map(len).collect()
                    };
                    let shapes: Vec<Vec<usize>> = model.inputs().iter().map(shape).collect();
                    match session.run(&[sample(&model, &shapes).unwrap()], &Stop::default()).remove(0) {
                        Ok(_) => came = Came::Ran,
                        Err(error) => said = said.or(Some(error.message)),
                    }
                }
            }
            Err(error) => said = said.or(Some(error.message)),
        }
    }
    (came, said)
}

/// The same, with its bounds held.
fn hold(name: &str, bytes: &[u8]) -> (Came, Option<String>) {
    let from = ThreadTime::now();
    let (took, peak) = memory::peak(|| catch_unwind(AssertUnwindSafe(|| take(bytes))));
    let time = from.elapsed();
    let most = MOST_BYTES + 16 * bytes.len();
    assert!(peak <= most, "{name} took {peak} bytes");
    assert!(time <= MOST_TIME, "{name} took {time:?}");
    let (came, said) = took.unwrap_or_else(|panic| {
        let said = panic.downcast_ref::<String>().cloned();
        let said = said.or_else(|| panic.downcast_ref::<&str>().map(|said| (*said).to_owned()));
        panic!("{name} panicked: {}", said.unwrap_or_default())
    });
    if let Some(said) = &said {
        assert!(
            !said.is_empty() && !said.contains('\n') && said.contains("hostile.onnx"),
            "{name}: {said:?}"
        );
    }
    (came, said)
}

fn corpus() -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hostile/corpus");
    let files = fs::read_dir(folder).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<PathBuf> =
        files.filter(|file| file.extension().is_some_and(|of| of == "onnx")).collect();
    files.sort();
    let name = |file: &Path| file.file_stem().unwrap().to_string_lossy().into_owned();
    files.iter().map(|file| (name(file), fs::read(file).unwrap())).collect()
}

/// A file that is to be tried instead of all others.
fn wanted() -> Option<PathBuf> {
    std::env::var_os("HOSTILE_MODEL").map(PathBuf::from)
}

/// Panics that are caught on purpose say nothing, unless one file is looked into.
fn quiet() {
    std::panic::set_hook(Box::new(|panic| {
        let here = panic.location().is_some_and(|at| at.file().contains("hostile"));
        if here || wanted().is_some() {
            eprintln!("{panic}");
        }
        if wanted().is_some() {
            eprintln!("{}", std::backtrace::Backtrace::force_capture());
        }
    }));
}

#[test]
fn what_asks_for_more_than_there_is_is_refused_and_the_rest_runs() {
    let _alone = ALONE.lock();
    quiet();
    let all =
        wanted().map_or_else(corpus, |file| vec![(file.display().to_string(), fs::read(file).unwrap())]);
    for (name, bytes) in all {
        let (came, said) = hold(&name, &bytes);
        println!("{name}: {came:?} {said:?}");
        let wanted = match name.as_str() {
            "circle" => "node `a` (Add) waits for its own output: the graph goes round in a circle",
            "unknown_operator" => "the operator `Frobnicate`",
            // Found by this test: an engine filled the memory.
            "order_of_dimensions" => "puts dimensions into the order [1, 2, 1], which is none",
            // Likewise: an engine read beyond its weights.
            "wide_recurrent" => "takes an input of width 65536, but its weights are for 4",
            "scan_of_many" => "has 1099511627776 as its num_scan_inputs, but there are 2",
            "far_dimension" => "names dimension -2147483648, and there are at most 64",
            "near_dimension" => "starts at dimension -3 of a tensor of 2 dimensions",
            "near_dimension_inside" => "starts at dimension -3 of a tensor of a number of dimensions",
            "no_number" => "takes a number from a tensor without elements",
            // Found by this test: an engine worked for ever at a shape.
            "many_dimensions" => "takes 32768 numbers as its sizes",
            "many_limits" => "takes more than one number as a limit",
            // Found by this test: an engine computed more than the operator says, and let a number be a picture.
            "wide_scale" => "make a tensor of [700,700,1] where its operator gives one of [700,1,1]",
            "number_from_behind" => "what node `h` (StftWindow<Hann>) takes and gives does not go together",
            "number_from_behind_only" => {
                "node `b` (BatchNorm) takes a tensor of 0 dimensions, which has no channels"
            }
            "no_channels_inside" => {
                "node `then_y` (BatchNorm) takes a tensor of a number of dimensions that is not known"
            }
            "many_sizes" => "takes 33554432 numbers as its sizes",
            "long_formula" => "would make a tensor of dimensions that cannot be worked out",
            "no_channels" => "takes a tensor of 1 dimensions, which has no channels",
            "no_maker" => "takes `w`, which no input, constant or node gives",
            "bomb_in_a_branch" => "in a graph inside a node, has a size that is computed",
            "bomb_kernel" => "has a kernel of [1048576, 1048576]",
            "bomb_of_items" => "asks for a tensor of [1, 4, 32768, 32768]",
            bomb if bomb.starts_with("bomb_") => "would make a tensor of [",
            _ => "",
        };
        match wanted {
            "" => assert!(came == Came::Ran, "{name}: {said:?}"),
            wanted => {
                assert!(came < Came::Prepared && said.is_some_and(|said| said.contains(wanted)), "{name}")
            }
        }
    }
}

#[test]
fn a_model_made_wrong_is_refused_or_runs_in_bounded_memory_and_time() {
    let _alone = ALONE.lock();
    quiet();
    let number = |name: &str, otherwise: u64| {
        std::env::var(name).ok().map_or(otherwise, |value| value.parse().unwrap())
    };
    let (cases, seed) = (number("HOSTILE_CASES", 500), number("HOSTILE_SEED", 1));
    let corpus: Vec<Vec<u8>> = corpus().into_iter().map(|(_, bytes)| bytes).collect();
    let mut operators: Vec<String> = tract_onnx::onnx().op_register.0.keys().cloned().collect();
    operators.sort();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/hostile");
    fs::create_dir_all(&folder).unwrap();
    let path = folder.join("model.onnx");
    end_what_hangs();
    let mut counts = [0_usize; 5];
    for case in 0..cases {
        CASE.store(case as usize + 1, Relaxed);
        let mut random = mutate::Random::new(seed.wrapping_mul(1 << 32) + case);
        let start = &corpus[random.below(corpus.len())];
        let model = mutate::mutate(start, &corpus, &operators, &mut random);
        fs::write(&path, &model).unwrap();
        let (came, _) = hold(&format!("case {case} of seed {seed}, {}", path.display()), &model);
        counts[came as usize] += 1;
    }
    CASE.store(0, Relaxed);
    let [refused, read, cut, prepared, ran] = counts;
    println!("{cases} models: {refused} refused, {read} read, {cut} cut, {prepared} prepared, {ran} run");
    assert!(cases < 500 || (refused > 0 && read > 0 && ran > 0), "{counts:?}: some way is never taken");
}

/// The case that is tried, from 1; 0 where none is.
static CASE: AtomicUsize = AtomicUsize::new(0);

/// Ends the process where a case takes far more processor time than it may.
fn end_what_hangs() {
    std::thread::spawn(|| {
        let (mut case, mut from) = (0, ProcessTime::now());
        loop {
            std::thread::sleep(Duration::from_millis(500));
            let now = CASE.load(Relaxed);
            if now != case {
                (case, from) = (now, ProcessTime::now());
            } else if case > 0 && from.elapsed() > 3 * MOST_TIME {
                eprintln!("case {} does not end", case - 1);
                std::process::abort();
            }
        }
    });
}
