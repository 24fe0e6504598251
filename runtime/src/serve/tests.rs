//! The whole way: plan → dispatcher → device → engine, on small models made in memory.

use std::time::Duration;

use eddyline_planner::Plan;
use tokio::sync::oneshot;

use super::*;
use crate::{
    clock::Moment,
    engine::{Item, ItemErrorKind},
    onnx::{Cuts, OnnxModel, tests::model},
    tensor::Tensor,
    view::ReservationView,
};

const TWO_SLOW: &str = r#"
    [kind.slow]
    engine = "throttled"
    devices = ["slow-1", "slow-2"]
    [profile.light.latency_us]
    slow = { fixed = 3000, per_item = 100 }
    [model.light]
    batch = 4
    pool = ["slow-1", "slow-2"]
"#;

fn plan(text: &str) -> Plan {
    Plan::from_toml(text, "plan.toml").unwrap()
}

/// A model that adds `constant` to two numbers.
fn adds(name: &str, constant: f32) -> ServedModel {
    ServedModel::Onnx { name: name.to_owned(), model: model("Add", "x", "y", &[-1, 2], constant) }
}

fn numbers(values: &[f32]) -> Item {
    Item::from(Tensor::vector(values.to_vec()))
}

fn submit(
    client: &ModelClient,
    work: Work,
    retries: u32,
    deadline: Option<Moment>,
) -> oneshot::Receiver<CallResult> {
    let (tell, told) = oneshot::channel();
    let done = Box::new(move |result| drop(tell.send(result)));
    client.submit(Call { work, retries, deadline, done, wake: None });
    told
}

fn items(count: usize) -> Work {
    Work::Items((0..count).map(|i| numbers(&[i as f32, 0.0])).collect())
}

fn values(result: &CallResult) -> Vec<Result<f32, ItemErrorKind>> {
    let Outcome::Items(items) = &result.outcome else { panic!("these were items") };
    let value = |item: &Item| item.tensors[0].values::<f32>().unwrap()[0];
    items.iter().map(|item| item.as_ref().map(value).map_err(|error| error.kind)).collect()
}

fn reservations(serving: &Serving) -> Vec<ReservationView> {
    let mut all: Vec<_> = serving.devices().into_iter().flat_map(|device| device.reservations).collect();
    all.sort_by_key(|reservation| reservation.id);
    all
}

fn assert_no_overlaps(serving: &Serving) {
    for device in serving.devices() {
        for pair in device.reservations.windows(2) {
            assert!(pair[0].until_us <= pair[1].from_us, "{pair:?} overlap on {}", device.name);
        }
    }
}

#[tokio::test]
async fn a_long_call_is_cut_and_runs_on_both_devices() {
    let clock = Clock::real();
    let serving = Serving::start(plan(TWO_SLOW), vec![adds("light", 1.0)], clock.clone()).await.unwrap();
    let client = serving.client("light").unwrap();
    assert_eq!((client.batch(), client.in_flight_hint()), (4, 16));
    assert!(serving.client("lihgt").is_none());

    let from = clock.now();
    let result = submit(&client, items(16), 0, None).await.unwrap();
    let took = clock.now() - from;
    assert_eq!(values(&result), (0..16).map(|i| Ok(i as f32 + 1.0)).collect::<Vec<_>>());
    assert_eq!(result.launches, 4);
    assert!(took >= Duration::from_micros(2 * 3400), "two launches of 3400 µs on each device took {took:?}");
    let devices = serving.devices();
    assert_eq!(
        devices.iter().map(|device| (device.launches, device.items)).collect::<Vec<_>>(),
        [(2, 8), (2, 8)]
    );
    assert!(devices.iter().all(|device| device.busy_us >= 6800 && device.engine == "throttled"));
    assert_eq!(devices[0].stages, ["light 1/1"]);
    assert_no_overlaps(&serving);
    serving.stop().await;
}

#[tokio::test]
async fn a_retry_is_a_second_reservation() {
    let serving = Serving::start(plan(TWO_SLOW), vec![adds("light", 1.0)], Clock::real()).await.unwrap();
    let client = serving.client("light").unwrap();
    submit(&client, items(3), 0, None).await.unwrap();
    submit(&client, items(2), 1, None).await.unwrap();
    let seen: Vec<_> = reservations(&serving).iter().map(|r| (r.batch, r.retries, r.state)).collect();
    assert_eq!(seen, [(3, 0, "done"), (2, 1, "done")]);
    serving.stop().await;
}

#[tokio::test]
async fn calls_that_wait_share_a_launch_and_keep_their_order() {
    let one = TWO_SLOW.replace("pool = [\"slow-1\", \"slow-2\"]", "pool = [\"slow-1\"]");
    let serving = Serving::start(plan(&one), vec![adds("light", 1.0)], Clock::real()).await.unwrap();
    let client = serving.client("light").unwrap();
    let calls: Vec<_> = (0..9).map(|_| submit(&client, items(1), 0, None)).collect();
    for call in calls {
        assert_eq!(values(&call.await.unwrap()), [Ok(1.0)]);
    }
    // The first finds the device idle; the others fill batches while it runs.
    let batches: Vec<u32> = reservations(&serving).iter().map(|r| r.batch).collect();
    assert_eq!(batches.iter().sum::<u32>(), 9);
    assert!(batches.len() <= 4 && batches.contains(&4), "{batches:?}");
    serving.stop().await;
}

#[tokio::test]
async fn a_wrong_item_leaves_its_neighbours_alone() {
    let serving = Serving::start(plan(TWO_SLOW), vec![adds("light", 1.0)], Clock::real()).await.unwrap();
    let client = serving.client("light").unwrap();
    let work = Work::Items(vec![numbers(&[1.0, 0.0]), numbers(&[1.0, 2.0, 3.0]), numbers(&[3.0, 0.0])]);
    let result = submit(&client, work, 0, None).await.unwrap();
    assert_eq!(values(&result), [Ok(2.0), Err(ItemErrorKind::Input), Ok(4.0)]);
    assert_eq!(result.launches, 1);
    assert!(serving.devices().iter().all(|device| device.problem.is_none()));

    let all_wrong = submit(&client, Work::Items(vec![numbers(&[1.0])]), 0, None).await.unwrap();
    assert_eq!(values(&all_wrong), [Err(ItemErrorKind::Input)]);
    assert_eq!(reservations(&serving)[1].state, "failed");
    assert!(serving.devices().iter().any(|device| device.problem.is_some()));
    let wrong_work = submit(&client, Work::function(1, || ()), 0, None).await.unwrap();
    assert!(
        matches!(wrong_work.outcome, Outcome::Functions(of) if of[0].as_ref().is_err_and(|error| error.kind == ItemErrorKind::Input))
    );
    serving.stop().await;
}

#[tokio::test]
async fn a_function_runs_on_the_device_and_may_panic() {
    let models = vec![ServedModel::Function { name: "f".into() }];
    let serving = Serving::start(Plan::on_cpu(["f"]), models, Clock::real()).await.unwrap();
    let client = serving.client("f").unwrap();
    let (tell, told) = oneshot::channel();
    let run = move || drop(tell.send(std::thread::current().name().map(str::to_owned)));
    let result = submit(&client, Work::function(5, run), 2, None).await.unwrap();
    assert_eq!(result.outcome, Outcome::Functions(vec![Ok(())]));
    assert_eq!((&*result.device, result.launches), ("cpu", 1));
    assert_eq!(told.await.unwrap().as_deref(), Some("device cpu"));

    crate::guard::install_hook();
    let line = line!() + 1;
    let run = || panic!("on purpose");
    let result = submit(&client, Work::function(2, run), 0, None).await.unwrap();
    let Outcome::Functions(of) = result.outcome else { panic!("it was a function") };
    let error = of.into_iter().next().unwrap().unwrap_err();
    assert_eq!(error.kind, ItemErrorKind::Panic);
    assert_eq!(error.message, format!("the model's code panicked: on purpose (at {}:{line})", file!()));
    let seen: Vec<_> = reservations(&serving).iter().map(|r| (r.batch, r.retries, r.state)).collect();
    assert_eq!(seen, [(5, 2, "done"), (2, 0, "failed")]);
    serving.stop().await;
}

const TWO_STAGES: &str = r#"
    [kind.slow]
    engine = "throttled"
    devices = ["slow-1", "slow-2"]
    [kind.fast]
    engine = "throttled"
    devices = ["fast"]
    [profile.cut.latency_us]
    slow = [{ fixed = 1500, per_item = 100 }, { fixed = 2000, per_item = 200 }]
    fast = [{ fixed = 100, per_item = 10 }, { fixed = 500, per_item = 50 }]
    [model.cut]
    batch = 4
    [[model.cut.stage]]
    blocks = [0, 1]
    pool = ["slow-1", "slow-2"]
    [[model.cut.stage]]
    blocks = [1, 2]
    pool = ["fast"]
"#;

fn cut() -> ServedModel {
    let blocks = vec![model("Mul", "x", "y", &[-1, 2], 3.0), model("Add", "y", "z", &[-1, 2], 1.0)];
    ServedModel::Blocks { name: "cut".into(), blocks }
}

#[tokio::test]
async fn stages_hand_on_and_every_stage_is_reserved() {
    let serving = Serving::start(plan(TWO_STAGES), vec![cut()], Clock::real()).await.unwrap();
    let client = serving.client("cut").unwrap();
    let mut work: Vec<Item> = (0..12).map(|i| numbers(&[i as f32, 0.0])).collect();
    work[5] = numbers(&[0.0]);
    let result = submit(&client, Work::Items(work), 0, None).await.unwrap();
    for (i, value) in values(&result).into_iter().enumerate() {
        assert_eq!(value, if i == 5 { Err(ItemErrorKind::Input) } else { Ok(i as f32 * 3.0 + 1.0) });
    }
    assert_eq!((result.launches, &*result.device), (3, "fast"));
    let of_stage = |stage| {
        let mut batches: Vec<_> =
            reservations(&serving).iter().filter(|r| r.stage == stage).map(|r| (r.batch, r.state)).collect();
        batches.sort_unstable();
        batches
    };
    assert_eq!(of_stage(0), [(4, "done"); 3]);
    assert_eq!(of_stage(1), [(3, "done"), (4, "done"), (4, "done")]);
    assert_no_overlaps(&serving);

    // Where no item goes on, the later stage gets its slot back.
    submit(&client, Work::Items(vec![numbers(&[0.0])]), 0, None).await.unwrap();
    tokio::time::sleep(Duration::from_millis(5)).await;
    assert_eq!((of_stage(0).len(), of_stage(1).len()), (4, 3));
    serving.stop().await;
}

#[tokio::test]
async fn the_blocks_together_are_the_whole_model() {
    let serving = Serving::start(Plan::on_cpu(["cut"]), vec![cut()], Clock::real()).await.unwrap();
    let result = submit(&serving.client("cut").unwrap(), items(40), 0, None).await.unwrap();
    assert_eq!(values(&result), (0..40).map(|i| Ok(i as f32 * 3.0 + 1.0)).collect::<Vec<_>>());
    serving.stop().await;
}

fn heavy() -> ServedModel {
    let model = OnnxModel::load("../examples/account-numbers/heavy.onnx").unwrap();
    ServedModel::Onnx { name: "heavy".into(), model: Arc::new(model) }
}

/// The digits' model over so many stages on unlike devices, of which some are slow.
fn staged(stages: usize, more: &str) -> Plan {
    let line = |n: usize| format!("{{ fixed = {}, per_item = 20 }}", 100 * n);
    let lines = |by: usize| (1..=stages).map(|n| line(by * n)).collect::<Vec<_>>().join(", ");
    let mut text = format!(
        "kind.slow = {{ engine = \"throttled\", devices = [\"slow-1\", \"slow-2\"] }}\n\
         kind.fast = {{ engine = \"throttled\", devices = [\"fast\"] }}\n\
         kind.cpu = {{ engine = \"cpu\", devices = [\"cpu\"] {more} }}\n\
         [profile.heavy.latency_us]\nslow = [{}]\nfast = [{}]\n[model.heavy]\nbatch = 4\n",
        lines(3),
        lines(1)
    );
    for stage in 0..stages {
        let pool = ["[\"slow-1\", \"slow-2\"]", "[\"fast\"]", "[\"cpu\"]"][stage % 3];
        text += &format!("[[model.heavy.stage]]\nblocks = [{stage}, {}]\npool = {pool}\n", stage + 1);
    }
    plan(&text)
}

fn pictures(n: usize) -> Vec<Item> {
    let pixel = |picture: usize, at: usize| ((picture * 31 + at * 17) % 97) as f32 / 6.0;
    let picture = |n: usize| Tensor::new([1, 8, 8], (0..64).map(|at| pixel(n, at)).collect::<Vec<f32>>());
    (0..n).map(|n| Item::from(picture(n).unwrap())).collect()
}

#[tokio::test]
async fn a_graph_in_two_to_five_stages_on_unlike_devices_gives_what_the_whole_gives() {
    let run = async |plan: Plan| {
        let serving = Serving::start(plan, vec![heavy()], Clock::real()).await.unwrap();
        let mut work = pictures(11);
        work[3] = Item::from(Tensor::new([8, 8], vec![0.0_f32; 64]).unwrap());
        let result = submit(&serving.client("heavy").unwrap(), Work::Items(work), 0, None).await.unwrap();
        let stages = serving.devices().iter().map(|device| device.stages.len()).sum::<usize>();
        assert_no_overlaps(&serving);
        serving.stop().await;
        let Outcome::Items(results) = result.outcome else { panic!("items were sent") };
        (results, stages)
    };
    let (whole, _) = run(Plan::on_cpu(["heavy"])).await;
    assert_eq!(whole.iter().filter(|result| result.is_ok()).count(), 10);
    for stages in 2..=5 {
        let (parts, prepared) = run(staged(stages, "")).await;
        // The first and the fourth stage are on two devices each.
        assert_eq!(prepared, stages + stages.div_ceil(3));
        assert_eq!(parts[3].as_ref().unwrap_err().kind, ItemErrorKind::Input);
        assert!(parts.iter().zip(&whole).all(|(part, whole)| part.as_ref().ok() == whole.as_ref().ok()));
    }
}

#[tokio::test]
async fn a_graph_is_cut_where_its_profile_says() {
    let text = |cuts: &str| {
        format!(
            "kind.a = {{ engine = \"cpu\", devices = [\"a\"] }}\nkind.b = {{ engine = \"cpu\", devices = [\"b\"] }}\n\
             [profile.heavy]\nlatency_us = {{ a = [[1], [1], [1]] }}\ncuts = {cuts}\n[model.heavy]\nbatch = 2\n\
             [[model.heavy.stage]]\nblocks = [0, 2]\npool = [\"a\"]\n[[model.heavy.stage]]\nblocks = [2, 3]\npool = [\"b\"]\n"
        )
    };
    let ServedModel::Onnx { model, .. } = heavy() else { panic!("it is a graph") };
    let cuts = Cuts::new(&model).unwrap();
    let names: Vec<&str> = [3, 5].iter().map(|place| cuts.crossing(*place)[0].name.as_str()).collect();
    let right = format!("[[{:?}], [{:?}]]", names[0], names[1]);
    let serving = Serving::start(plan(&text(&right)), vec![heavy()], Clock::real()).await.unwrap();
    let work = Work::Items(pictures(3));
    let result = submit(&serving.client("heavy").unwrap(), work, 0, None).await.unwrap();
    assert!(matches!(result.outcome, Outcome::Items(results) if results.iter().all(Result::is_ok)));
    serving.stop().await;

    let refused = async |cuts: &str| {
        Serving::start(plan(&text(cuts)), vec![heavy()], Clock::real()).await.err().unwrap().to_string()
    };
    let lost = refused(&format!("[[\"lost\"], [{:?}]]", names[1])).await;
    assert!(
        lost.contains("`heavy.onnx` is one graph that cannot be: it has no cut where just `lost` cross"),
        "{lost}"
    );
    let turned = refused(&format!("[[{:?}], [{:?}]]", names[1], names[0])).await;
    assert!(turned.contains("in the order of the graph"), "{turned}");
}

#[tokio::test]
async fn weights_that_do_not_fit_into_a_device_are_refused() {
    let small = staged(3, ", memory_bytes = 100");
    let error = Serving::start(small, vec![heavy()], Clock::real()).await.err().unwrap().to_string();
    assert!(error.contains("device `cpu` has 100 bytes of memory, but the stages on it need"), "{error}");
}

#[tokio::test]
async fn what_a_device_holds_is_known_and_a_launch_that_does_not_fit_is_refused() {
    let narrow = |memory: u64| {
        let of = format!(
            "[kind.cpu]\nengine = \"cpu\"\ndevices = 1\nmemory_bytes = {memory}\n[model.a]\nbatch = 4\npool = [\"cpu-1\"]\n"
        );
        plan(&of)
    };
    let wide = ServedModel::Onnx { name: "a".into(), model: model("Add", "x", "y", &[-1, 1000], 1.0) };
    let ServedModel::Onnx { model: graph, .. } = &wide else { panic!("it was made so") };
    let (weights, call) = (graph.bytes().len() as u64, 2 * 4000);
    let fits = Serving::start(narrow(weights + call), vec![wide.clone()], Clock::real()).await.unwrap();
    let memory = fits.devices()[0].memory;
    assert_eq!(
        (memory.weight_bytes, memory.call_bytes, memory.limit_bytes),
        (weights, call, Some(weights + call))
    );
    fits.stop().await;
    let refused = Serving::start(narrow(weights + call - 1), vec![wide], Clock::real()).await.err().unwrap();
    assert_eq!(
        refused.to_string(),
        format!(
            "device `cpu-1` has {} bytes of memory, but the stages on it need {weights} for their weights and {call} for a launch; \
             place fewer there, or give smaller batches",
            weights + call - 1
        )
    );
}

#[tokio::test]
async fn what_cannot_be_met_is_declined_at_once() {
    let clock = Clock::real();
    let serving = Serving::start(plan(TWO_SLOW), vec![adds("light", 1.0)], clock.clone()).await.unwrap();
    let client = serving.client("light").unwrap();
    let hopeless = clock.now() + Duration::from_micros(2000);
    let result = submit(&client, items(2), 0, Some(hopeless)).await.unwrap();
    assert!(clock.now() < hopeless + Duration::from_millis(20));
    assert_eq!(values(&result), [Err(ItemErrorKind::Declined); 2]);
    assert_eq!((result.launches, &*result.device), (0, ""));

    let easy = clock.now() + Duration::from_secs(5);
    assert_eq!(values(&submit(&client, items(1), 0, Some(easy)).await.unwrap()), [Ok(1.0)]);
    serving.stop().await;
}

#[tokio::test]
async fn a_batch_is_cut_to_its_deadline_and_the_rest_is_declined() {
    let slow = TWO_SLOW.replace("fixed = 3000, per_item = 100", "fixed = 0, per_item = 20000");
    let one = slow.replace("pool = [\"slow-1\", \"slow-2\"]", "pool = [\"slow-1\"]");
    let clock = Clock::real();
    let serving = Serving::start(plan(&one), vec![adds("light", 1.0)], clock.clone()).await.unwrap();
    let deadline = clock.now() + Duration::from_millis(70);
    let result = submit(&serving.client("light").unwrap(), items(12), 0, Some(deadline)).await.unwrap();
    let mut wanted = vec![Ok(1.0), Ok(2.0), Ok(3.0)];
    wanted.resize(12, Err(ItemErrorKind::Declined));
    assert_eq!(values(&result), wanted);
    assert_eq!(reservations(&serving)[0].batch, 3);
    serving.stop().await;
}

#[tokio::test]
async fn a_model_that_shares_a_device_is_not_starved() {
    let text = r#"
        [kind.slow]
        engine = "throttled"
        devices = ["slow"]
        [profile.busy.latency_us]
        slow = { fixed = 1000, per_item = 0 }
        [profile.rare.latency_us]
        slow = { fixed = 1000, per_item = 0 }
        [model.busy]
        batch = 2
        pool = ["slow"]
        [model.rare]
        batch = 64
        pool = ["slow"]
    "#;
    let models = vec![adds("busy", 1.0), adds("rare", 2.0)];
    let serving = Serving::start(plan(text), models, Clock::real()).await.unwrap();
    let busy = submit(&serving.client("busy").unwrap(), items(200), 0, None);
    let rare = submit(&serving.client("rare").unwrap(), items(1), 0, None).await.unwrap();
    assert_eq!(values(&rare), [Ok(2.0)]);
    let launches = serving.devices()[0].launches;
    assert!(launches < 60, "it waited for {launches} of 100 launches");
    assert_eq!(values(&busy.await.unwrap()).len(), 200);
    assert_no_overlaps(&serving);
    serving.stop().await;
}

#[tokio::test]
async fn a_stop_ends_every_call() {
    let serving = Serving::start(plan(TWO_SLOW), vec![adds("light", 1.0)], Clock::real()).await.unwrap();
    let client = serving.client("light").unwrap();
    let long = submit(&client, items(400), 0, None);
    tokio::time::sleep(Duration::from_millis(5)).await;
    serving.stop().await;
    let values_seen = values(&long.await.unwrap());
    assert_eq!(values_seen.len(), 400);
    assert!(values_seen.contains(&Err(ItemErrorKind::Stopped)));
    assert!(values_seen.iter().all(|value| !matches!(value, Err(kind) if *kind != ItemErrorKind::Stopped)));
    let late = submit(&client, items(1), 0, None).await.unwrap();
    assert_eq!(values(&late), [Err(ItemErrorKind::Stopped)]);
    serving.stop().await;
}

/// An item takes ten milliseconds; a hundred thousand of them take a quarter of an hour.
const ONE_SLOW: &str = r#"
    [kind.slow]
    engine = "throttled"
    devices = ["slow"]
    [profile.light.latency_us]
    slow = { fixed = 0, per_item = 10000 }
    [model.light]
    batch = 1000000
    pool = ["slow"]
"#;

/// A function that is handed over and that a device has begun with.
async fn begun(client: &ModelClient, items: usize) -> (Sent, oneshot::Receiver<CallResult>) {
    let (tell, told) = oneshot::channel();
    let (run, ran) = oneshot::channel();
    let work = Work::function(items, move || run.send(()).unwrap());
    let done = Box::new(move |result| drop(tell.send(result)));
    let sent = client.submit(Call { work, retries: 0, deadline: None, done, wake: None });
    ran.await.unwrap();
    (sent, told)
}

#[tokio::test]
async fn a_stop_ends_a_call_that_would_take_hours() {
    let serving =
        Serving::start(plan(ONE_SLOW), vec![ServedModel::Function { name: "light".into() }], Clock::real());
    let serving = serving.await.unwrap();
    let (_, told) = begun(&serving.client("light").unwrap(), 1_000_000).await;
    serving.stop().await;
    assert_eq!(told.await.unwrap().outcome, Outcome::Functions(vec![Ok(())]));
}

#[tokio::test]
async fn a_call_that_is_given_up_ends_and_the_device_goes_on() {
    let serving =
        Serving::start(plan(ONE_SLOW), vec![ServedModel::Function { name: "light".into() }], Clock::real());
    let serving = serving.await.unwrap();
    let client = serving.client("light").unwrap();
    let (long, told) = begun(&client, 1_000_000).await;
    client.give_up(&long);
    told.await.unwrap();
    assert!(!serving.late.is_any());
    let (_, next) = begun(&client, 1).await;
    assert_eq!(next.await.unwrap().outcome, Outcome::Functions(vec![Ok(())]));
    let device = &serving.devices()[0];
    assert!((device.launches, device.problem.is_none()) == (2, true), "{device:?}");
    serving.stop().await;
}

#[tokio::test]
async fn a_launch_that_somebody_still_wants_is_not_ended() {
    let quick = ONE_SLOW.replace("per_item = 10000", "per_item = 100");
    let serving = Serving::start(plan(&quick), vec![adds("light", 1.0)], Clock::real()).await.unwrap();
    let client = serving.client("light").unwrap();
    let mut answers = Vec::new();
    // The first keeps the device, so that the two behind it share a launch.
    for _ in 0..3 {
        let (tell, told) = oneshot::channel();
        let done = Box::new(move |result| drop(tell.send(result)));
        let call = Call { work: items(500), retries: 0, deadline: None, done, wake: None };
        answers.push((client.submit(call), told));
    }
    let (_, first) = answers.remove(0);
    assert!(values(&first.await.unwrap()).iter().all(Result::is_ok));
    let (given_up, _) = answers.remove(0);
    client.give_up(&given_up);
    let (_, wanted) = answers.remove(0);
    assert!(values(&wanted.await.unwrap()).iter().all(Result::is_ok));
    serving.stop().await;
}

#[tokio::test]
async fn a_run_that_is_dropped_ends_its_calls() {
    let serving = Serving::start(plan(TWO_SLOW), vec![adds("light", 1.0)], Clock::real()).await.unwrap();
    let long = submit(&serving.client("light").unwrap(), items(400), 0, None);
    drop(serving);
    assert_eq!(values(&long.await.unwrap()).len(), 400);
}

#[tokio::test]
async fn what_cannot_be_served_is_refused_with_advice() {
    let refused = async |plan: Plan, models: Vec<ServedModel>| {
        Serving::start(plan, models, Clock::real())
            .await
            .err()
            .map(|error| error.to_string())
            .unwrap_or_default()
    };
    assert_eq!(
        refused(plan(TWO_SLOW), vec![adds("lihgt", 1.0)]).await,
        "the plan does not place the model `lihgt`, only `light`; add `[model.lihgt]` to the plan, or rename the model"
    );
    let uncut = refused(plan(TWO_STAGES), vec![adds("cut", 1.0)]).await;
    assert!(uncut.contains("cuts the model `cut` into 2 stages, but `add.onnx` is one graph"), "{uncut}");
    let function = refused(plan(TWO_STAGES), vec![ServedModel::Function { name: "cut".into() }]).await;
    assert!(function.contains("it is a function, which cannot be cut"), "{function}");
    let ServedModel::Blocks { blocks, .. } = cut() else { panic!("blocks were made") };
    let twisted = ServedModel::Blocks { name: "cut".into(), blocks: blocks.iter().rev().cloned().collect() };
    assert!(refused(plan(TWO_STAGES), vec![twisted]).await.contains("do not fit"));
    let twice = refused(Plan::on_cpu(["a"]), vec![adds("a", 1.0), adds("a", 1.0)]).await;
    assert!(twice.contains("two models named `a`"), "{twice}");
    // `MatMul` of [1, 2] and a constant of rank 0 is no valid graph; that shows only when it is prepared.
    let invalid = ServedModel::Onnx { name: "a".into(), model: model("MatMul", "x", "y", &[-1, 2], 1.0) };
    let unprepared = refused(Plan::on_cpu(["a"]), vec![invalid]).await;
    assert!(
        unprepared.starts_with("model `a` cannot be prepared on device `cpu`: `matmul.onnx`"),
        "{unprepared}"
    );
}
