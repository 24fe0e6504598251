//! What engines there are on this machine, and why others are not.

use std::{fs, sync::Arc, thread};

use eddyline_planner::EngineKind;

use super::{Engine, cpu::Cpu};

/// An engine that was looked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Found {
    /// Its word in a plan's `engine = "…"`.
    pub engine: &'static str,
    /// What it runs on, or why it is not there and what to do.
    pub what: Result<String, String>,
}

/// Looks for every engine that this program knows.
///
/// ```
/// use eddyline_runtime::engine::found::found;
///
/// let engines = found();
/// assert!(engines.iter().any(|found| found.engine == "cpu" && found.what.is_ok()));
/// ```
pub fn found() -> Vec<Found> {
    let cpu = processor();
    let throttled = format!("{cpu}, held back to a profile");
    vec![
        Found { engine: EngineKind::Cpu.name(), what: Ok(cpu.clone()) },
        Found { engine: EngineKind::Throttled.name(), what: Ok(throttled) },
        Found { engine: EngineKind::Onnxruntime.name(), what: onnxruntime(&cpu) },
        Found { engine: "cuda", what: Err("no engine of this program runs on a GPU yet".to_owned()) },
    ]
}

/// The engine of a kind that needs no profile.
///
/// # Errors
/// Where it is not there; says what to do.
pub fn open(kind: EngineKind) -> Result<Arc<dyn Engine>, String> {
    match kind {
        EngineKind::Cpu => Ok(Arc::new(Cpu)),
        #[cfg(feature = "onnxruntime")]
        EngineKind::Onnxruntime => Ok(Arc::new(super::onnxruntime::Onnxruntime::open()?)),
        #[cfg(not(feature = "onnxruntime"))]
        EngineKind::Onnxruntime => {
            Err("this program is built without it; build it with the feature `onnxruntime`".to_owned())
        }
        other => Err(format!("the engine `{other}` is not one that runs by itself")),
    }
}

#[cfg(feature = "onnxruntime")]
fn onnxruntime(cpu: &str) -> Result<String, String> {
    open(EngineKind::Onnxruntime)?;
    let library = super::onnxruntime::library()?;
    Ok(format!("{cpu}, by {}", library.display()))
}

#[cfg(not(feature = "onnxruntime"))]
fn onnxruntime(_: &str) -> Result<String, String> {
    open(EngineKind::Onnxruntime).map(|_| String::new())
}

fn processor() -> String {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let info = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let name = info.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let name = name.map_or("processor", |(_, name)| name.trim());
    let memory = memory_bytes().map_or_else(String::new, |bytes| {
        format!(", {:.1} GiB of memory", bytes as f64 / f64::from(1 << 30))
    });
    format!("{name}, {threads} threads, one of them per device{memory}")
}

/// The memory of this machine, which its processor's devices share; `None` where the system does not say.
pub fn memory_bytes() -> Option<u64> {
    let info = fs::read_to_string("/proc/meminfo").ok()?;
    let line = info.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}
