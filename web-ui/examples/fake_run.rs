//! Demo feed for working on the page: no records flow here. The numbers are a function of time, made up so that every
//! part of the page has something to show. `cargo run -p eddyline-web-ui --example fake_run [refused]`
//!
//! The graph is that of the example `account-numbers`: hand-written digits are read by a cheap model, handlers send the
//! unsure ones back, and the second time round a heavy model reads them.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use eddyline_runtime::{
    clock::Clock,
    lineage::History,
    observer::{Ending, Observer, Part, SteerError, Watch},
    people::{AnswerError, QuestionView},
    record::RecordId,
    view::{
        BalanceView, Balances, DeviceView, EdgeSnapshot, EdgeView, FaultView, FaultsView, GraphView,
        LoopSnapshot, MemoryView, ModelCounts, NodeSnapshot, NodeView, ProblemView, ReasonView,
        ReservationView, Role, RunState, Snapshot, VerdictCounts,
    },
};
use serde_json::json;

/// Numbers brought in per second.
const RATE: f64 = 240.0;
/// A run of this length is made up; then it drains.
const LENGTH: Duration = Duration::from_secs(3600);

const NODES: [(&str, &str, Role, &[&str]); 12] = [
    ("numbers", "source", Role::Source, &["240 per second"]),
    ("look again", "feedback", Role::Feedback, &["rounds ≤ 2", "64 permits"]),
    ("digits", "scatter", Role::Operator, &["9 per number"]),
    ("first look?", "split", Role::Operator, &[]),
    ("light", "model", Role::Model, &["light.onnx", "batch ≤ 64"]),
    ("heavy", "model", Role::Model, &["heavy.onnx", "batch ≤ 16"]),
    ("readings", "merge", Role::Operator, &[]),
    ("number", "gather", Role::Operator, &[]),
    ("unsure", "handle_or_retry", Role::Handler, &["confidence < 0.8"]),
    ("check digit", "handle", Role::Handler, &["mod 97"]),
    ("enough left", "filter@main.rs:71", Role::Operator, &[]),
    ("accounts", "collect", Role::Sink, &[]),
];

/// from, to, label, type, share of the source's records that goes over it, mean fill of its capacity.
type Row = (u32, u32, &'static str, &'static str, f64, f64);
const EDGES: [Row; 13] = [
    (0, 1, "", "Picture", 1.0, 0.18),
    (1, 2, "", "Picture", 1.11, 0.30),
    (2, 3, "", "Digit", 9.99, 0.42),
    (3, 4, "first", "Digit", 9.0, 0.55),
    (3, 5, "rest", "Digit", 0.99, 0.82),
    (4, 6, "", "Reading", 9.0, 0.12),
    (5, 6, "", "Reading", 0.98, 0.08),
    (6, 7, "", "Reading", 9.98, 0.22),
    (7, 8, "", "Number", 1.11, 0.10),
    (8, 1, "retry", "Picture", 0.11, 0.15),
    (8, 9, "", "Number", 0.98, 0.10),
    (9, 10, "", "Number", 0.965, 0.05),
    (10, 11, "", "Number", 0.96, 0.04),
];

struct Feed {
    clock: Clock,
    refused: bool,
    /// µs at which the page asked for the end; 0 while it has not.
    drained_at: AtomicU64,
    stopped_at: AtomicU64,
}

impl Feed {
    /// The moment up to which records came in, and the moment now.
    fn seconds(&self) -> (f64, f64) {
        let stop = Some(self.stopped_at.load(Relaxed)).filter(|at| *at > 0).unwrap_or(u64::MAX);
        let drain = Some(self.drained_at.load(Relaxed)).filter(|at| *at > 0).unwrap_or(u64::MAX);
        let now = self.clock.now_us().min(stop);
        (now.min(drain).min(LENGTH.as_micros() as u64) as f64 / 1e6, now as f64 / 1e6)
    }

    fn state(&self, fed: f64, now: f64) -> RunState {
        match now {
            _ if self.refused => RunState::Refused,
            _ if self.stopped_at.load(Relaxed) > 0 => RunState::Stopped,
            now if now < 1.0 => RunState::Starting,
            now if now <= fed => RunState::Running,
            now if now < fed + 4.0 => RunState::Draining,
            _ => RunState::Finished,
        }
    }
}

/// Source records up to `seconds`: the rate swells and sinks.
fn brought(seconds: f64) -> f64 {
    if seconds < 1.0 {
        return 0.0;
    }
    RATE * (seconds - 1.0 + 3.0 * (1.0 - (seconds / 9.0).cos()))
}

fn wave(seconds: f64, edge: usize) -> f64 {
    (1.0 + 0.45 * (seconds / (3.0 + edge as f64 * 0.7) + edge as f64).sin()).max(0.0)
}

impl Watch for Feed {
    fn graph(&self) -> GraphView {
        let node = |(id, (name, kind, role, notes)): (usize, &(&str, &str, Role, &[&str]))| NodeView {
            id: id as u32,
            name: (*name).into(),
            kind: kind.split('@').next().unwrap_or(kind).into(),
            role: *role,
            location: format!("examples/account-numbers/main.rs:{}", 40 + id * 3),
            notes: notes.iter().map(|note| (*note).into()).collect(),
        };
        let edge = |(id, &(from, to, label, type_name, ..)): (usize, &Row)| EdgeView {
            id: id as u32,
            from,
            to,
            back: label == "retry",
            label: label.into(),
            type_name: type_name.into(),
            capacity: if label == "retry" { 64 } else { 1024 },
        };
        let errors = self.refused.then(|| ProblemView {
            node: Some(1),
            location: "examples/account-numbers/main.rs:43".into(),
            what: "nothing was ever sent back to the feedback `look again`".into(),
            advice: "give `again` to a handler with `.handle_or_retry(\"unsure\", again, …)`, or delete the feedback"
                .into(),
        });
        GraphView {
            workflow: "account numbers (demo feed)".into(),
            version: 1,
            nodes: NODES.iter().enumerate().map(node).collect(),
            edges: EDGES.iter().enumerate().map(edge).collect(),
            errors: errors.into_iter().collect(),
        }
    }

    fn snapshot(&self) -> Snapshot {
        let (fed, now) = self.seconds();
        let state = self.state(fed, now);
        let over = matches!(state, RunState::Finished | RunState::Refused);
        let seconds = if self.refused { 0.0 } else { fed };
        let edges = edges(seconds, over);
        Snapshot {
            state,
            at_us: (now * 1e6) as u64,
            balances: balances(now, seconds, over),
            nodes: nodes(&edges, seconds, over),
            loops: vec![LoopSnapshot {
                nodes: (1..=8).collect(),
                names: vec!["look again".into()],
                permits: 64,
                used: if over { 0 } else { (40.0 * wave(seconds, 2)) as u64 },
                overflow_most: 12,
            }],
            edges,
            faults: faults(seconds),
            devices: if self.refused { Vec::new() } else { devices(now, fed) },
            hints: hints(seconds),
            stalls: 0,
        }
    }

    fn history(&self, _record: RecordId) -> Option<History> {
        None
    }

    fn questions(&self, _most: usize) -> Vec<QuestionView> {
        Vec::new()
    }

    fn answer(&self, node: u32, _number: u64, _answer: serde_json::Value) -> Result<(), AnswerError> {
        Err(AnswerError::NoSuchDesk(node))
    }

    fn drain(&self) {
        let _ = self.drained_at.compare_exchange(0, self.clock.now_us(), Relaxed, Relaxed);
    }

    fn stop(&self) {
        let _ = self.stopped_at.compare_exchange(0, self.clock.now_us(), Relaxed, Relaxed);
    }

    /// Numbers that are made up cannot wait.
    fn pause(&self, _part: Part) -> Result<(), SteerError> {
        Err(SteerError::NotRunning)
    }

    fn resume(&self, _part: Part) -> Result<(), SteerError> {
        Err(SteerError::NotRunning)
    }
}

fn edges(seconds: f64, over: bool) -> Vec<EdgeSnapshot> {
    let edge = |(id, &(.., label, _, share, fill)): (usize, &Row)| EdgeSnapshot {
        records: (brought(seconds) * share) as u64,
        most: (brought(seconds) * share).min(900.0) as u64,
        queued: match over {
            true => 0,
            false => {
                let capacity = if label == "retry" { 64.0 } else { 1024.0 };
                (f64::min(fill * wave(seconds, id), 1.0) * capacity) as u64
            }
        },
    };
    EDGES.iter().enumerate().map(edge).collect()
}

fn nodes(edges: &[EdgeSnapshot], seconds: f64, over: bool) -> Vec<NodeSnapshot> {
    let sum = |end: fn(&Row) -> u32, node: usize| -> u64 {
        let ours = |(edge, _): &(&Row, &EdgeSnapshot)| end(edge) == node as u32;
        EDGES.iter().zip(edges).filter(ours).map(|(_, edge)| edge.records).sum()
    };
    let node = |id: usize| {
        let (records_in, records_out) = (sum(|edge| edge.1, id), sum(|edge| edge.0, id));
        let role = NODES[id].2;
        let part = |share: f64| (records_in as f64 * share) as u64;
        NodeSnapshot {
            records_in,
            records_out,
            ended: ended(id, records_in),
            parked: if !over && id == 7 { (90.0 * wave(seconds, 7)) as u64 } else { 0 },
            overflow: if !over && id == 2 { (12.0 * wave(seconds, 1)) as u64 } else { 0 },
            busy_us: (seconds * 1e6 * [0.1, 0.05, 0.3, 0.1, 0.7, 0.9, 0.1, 0.2, 0.15, 0.1, 0.05, 0.05][id])
                as u64,
            blocked: !over && id == 3 && wave(seconds, 4) > 1.15,
            done: over,
            paused: false,
            latency: None,
            verdicts: (role == Role::Handler).then(|| VerdictCounts {
                judged: records_in,
                passed: part(0.86),
                replaced: if id == 9 { part(0.031) } else { 0 },
                retried: if id == 8 { part(0.099) } else { 0 },
                rejected: part(0.012),
                ..VerdictCounts::default()
            }),
            model: (role == Role::Model).then(|| ModelCounts {
                items: records_in,
                remembered: 0,
                late: 0,
                failed: part(0.001),
                waiting: if over { 0 } else { (40.0 * wave(seconds, id)) as u64 },
                launches: records_in / 24,
            }),
            people: None,
        }
    };
    (0..NODES.len()).map(node).collect()
}

fn ended(node: usize, records_in: u64) -> BTreeMap<&'static str, u64> {
    let part = |share: f64| (records_in as f64 * share) as u64;
    match node {
        5 => BTreeMap::from([("failed", part(0.008))]),
        8 | 9 => BTreeMap::from([("rejected", part(0.012)), ("superseded", part(0.09))]),
        10 => BTreeMap::from([("filtered", part(0.005))]),
        11 => BTreeMap::from([("emitted", records_in)]),
        _ => BTreeMap::new(),
    }
}

fn balances(now: f64, seconds: f64, over: bool) -> Balances {
    let balance = |per_root: f64, fates: &[(&'static str, f64)]| {
        let created = (brought(seconds) * per_root) as u64;
        let in_flight =
            if over { 0 } else { (created / 3).min((300.0 * per_root * wave(seconds, 3)) as u64) };
        let mut ended: BTreeMap<_, _> = fates
            .iter()
            .map(|(fate, share)| (*fate, ((created - in_flight) as f64 * share) as u64))
            .collect();
        let named: u64 = ended.values().sum();
        ended.insert("emitted", created - in_flight - named);
        BalanceView { created, ended, in_flight, holds: true }
    };
    Balances {
        at_us: (now * 1e6) as u64,
        records: balance(
            10.1,
            &[
                ("absorbed", 0.85),
                ("superseded", 0.02),
                ("rejected", 0.003),
                ("failed", 0.001),
                ("filtered", 0.002),
            ],
        ),
        roots: balance(1.0, &[("rejected", 0.024), ("failed", 0.004), ("filtered", 0.005)]),
    }
}

fn faults(seconds: f64) -> FaultsView {
    let roots = brought(seconds);
    let reasons = [
        (
            9,
            "rejected",
            "the check digit is wrong after two rounds",
            0.012,
            "look at the pictures in quarantine; more rounds help only where the second model differs",
        ),
        (
            8,
            "rounds spent",
            "confidence stayed below 0.8 for 2 rounds",
            0.009,
            "allow more rounds with `Rounds::at_most(3)`, or reject sooner to save the accelerator",
        ),
        (
            5,
            "error",
            "input 0 has shape [1, 28, 27], the model wants [1, 28, 28]",
            0.002,
            "pad the picture in the model's pre-step",
        ),
        (
            2,
            "panic",
            "index out of bounds: the len is 9 but the index is 9",
            0.0008,
            "see digits at main.rs:46; the record is kept with its value",
        ),
    ];
    let by_reason: Vec<_> = reasons
        .iter()
        .map(|&(node, kind, reason, share, advice)| ReasonView {
            node,
            kind,
            reason: reason.into(),
            first: "numbers #3".into(),
            count: (roots * share) as u64,
            advice: advice.into(),
        })
        .filter(|reason| reason.count > 0)
        .collect();
    let total: u64 = by_reason.iter().map(|reason| reason.count).sum();
    let recent = (0..total.min(50)).map(|back| {
        let nth = total - 1 - back;
        let (node, kind, reason, ..) = reasons[[0, 1, 0, 2, 1, 0, 1, 3][nth as usize % 8]];
        FaultView {
            at_us: ((seconds - back as f64 * 0.18).max(0.0) * 1e6) as u64,
            node,
            kind,
            reason: reason.into(),
            record: format!("numbers #{}", nth * 41 + 17),
            id: RecordId::of_source(0, nth * 41 + 17),
            value: (kind != "panic")
                .then(|| json!({ "number": format!("4{:08}", nth * 7919 % 100_000_000), "confidence": (41 + nth % 30) as f64 / 100.0, "digits": [4, nth % 10, nth / 3 % 10] })),
        }
    });
    FaultsView { total, recent: recent.collect(), by_reason, store: None }
}

fn devices(now: f64, fed: f64) -> Vec<DeviceView> {
    let device = |name: &str, engine: &str, stages: &[&str], each_us: u64, models: &[&str], sick: bool| {
        let now_us = (now * 1e6) as u64;
        let last = (now.min(fed) * 1e6) as u64 / each_us + 5;
        let slots = (last.saturating_sub(160)..last)
            .filter(|id| (*id * each_us) as f64 / 1e6 <= fed.max(0.5) + if fed < now { 0.0 } else { 1.0 });
        let reservation = |id: u64| {
            let model = models[id as usize % models.len()];
            let batch = 8 + (id * 7 % 56) as u32;
            let from_us = id * each_us;
            let until_us = from_us + each_us * (60 + id * 13 % 35) / 100;
            ReservationView {
                id,
                from_us,
                until_us,
                model: model.into(),
                stage: 0,
                batch,
                retries: if model == "heavy" {
                    batch / 2 + 1
                } else if id.is_multiple_of(5) {
                    3
                } else {
                    0
                },
                state: match () {
                    () if from_us > now_us => "promised",
                    () if until_us > now_us => "running",
                    () if sick && id.is_multiple_of(19) => "failed",
                    () => "done",
                },
            }
        };
        DeviceView {
            name: name.into(),
            engine: engine.into(),
            stages: stages.iter().map(|stage| (*stage).into()).collect(),
            busy_us: (now.min(fed) * 1e6 * 0.78) as u64,
            items: (now.min(fed) * 1e6 / each_us as f64 * 31.0) as u64,
            launches: now_us / each_us,
            memory: MemoryView {
                weight_bytes: stages.len() as u64 * 21_500_000,
                call_bytes: 3_400_000,
                limit_bytes: Some(8_000_000_000),
            },
            problem: sick.then(|| ProblemView {
                node: Some(5),
                location: String::new(),
                what: format!("`{name}` runs 1.4 times slower than its profile"),
                advice: "profile it again with `eddyline profile`, or close what else runs on it".into(),
            }),
            reservations: slots.map(reservation).collect(),
        }
    };
    vec![
        device("cpu-0", "cpu", &["light 1/1"], 70_000, &["light"], false),
        device(
            "old-gpu",
            "throttled",
            &["light 1/1", "heavy 1/2"],
            110_000,
            &["light", "light", "heavy"],
            true,
        ),
        device("new-gpu", "simulated", &["heavy 2/2"], 160_000, &["heavy"], false),
    ]
}

fn hints(seconds: f64) -> Vec<ProblemView> {
    let hint = ProblemView {
        node: Some(5),
        location: "examples/account-numbers/main.rs:55".into(),
        what: "`heavy` is the bottleneck: its inbox was over 85 % full for most of the last 10 s".into(),
        advice:
            "give it more devices in the plan, or send it fewer records with a lower threshold in `unsure`"
                .into(),
    };
    if seconds > 3.0 { vec![hint] } else { Vec::new() }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let refused = std::env::args().any(|argument| argument == "refused");
    let mut page = eddyline_web_ui::on("127.0.0.1:8080");
    page.open().await?;
    page.started(Arc::new(Feed {
        clock: Clock::real(),
        refused,
        drained_at: AtomicU64::new(0),
        stopped_at: AtomicU64::new(0),
    }));
    tokio::signal::ctrl_c().await?;
    page.finished(Ending::Done).await;
    Ok(())
}
