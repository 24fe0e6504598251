//! `eddyline plan`: a search with its table, its file and its picture.

use std::{fs, path::Path, sync::Mutex};

use eddyline_planner::{
    Answer, Highs, Limits, Objective, Problem, Progress, Status, Watcher, chain_pairs, explain, greedy,
    no_partition, plan, replan, with_arrivals,
};

use crate::{
    ask::{Ask, CliError},
    diff, picture,
};

pub fn run(ask: &Ask) -> Result<(), CliError> {
    let watch = Some(Watcher::new(progress()));
    let limits = Limits { seconds: ask.seconds, gap: ask.gap, nodes: None, log: ask.log.clone(), watch };
    let figures = [
        ("seconds", ask.seconds, ask.seconds > 0.0, "give seconds above 0"),
        ("gap", ask.gap, ask.gap >= 0.0, "give 0 or more; 0.01 is one percent"),
        (
            "give-away",
            ask.give_away,
            (0.0..1.0).contains(&ask.give_away),
            "give a part of the objective, 0 up to 1",
        ),
    ];
    if let Some((option, value, _, wanted)) = figures.into_iter().find(|(_, _, good, _)| !good) {
        return Err(CliError::Argument { option, value: value.to_string(), wanted: wanted.to_owned() });
    }
    let problem = ask.problem()?;
    let present = ask.from.as_deref().map(diff::read).transpose()?;
    // Before the search, lest its result be lost.
    [&ask.output, &ask.deploy, &ask.svg, &ask.log]
        .into_iter()
        .flatten()
        .try_for_each(|path| writable(path))?;
    eprintln!(
        "models: {}, devices: {}, kinds of device: {}; at most {} s",
        problem.demands().len(),
        problem.counts().iter().sum::<u32>(),
        problem.counts().len(),
        ask.seconds
    );
    let problem = with_arrivals(&problem, &Highs, &limits)?;
    let answer = match &present {
        None => plan(&problem, &Highs, &limits)?,
        Some(present) => {
            let next = replan(&problem, present, ask.give_away, &Highs, &limits)?;
            next.changes.iter().for_each(|change| println!("{change}"));
            let least = next.least_moved.map_or(String::new(), |least| format!("; at least {least:.2} must"));
            println!(
                "{:.2} devices take up other work ({:.2} had it not been looked at{least})\n",
                next.moved_devices, next.moved_devices_without
            );
            next.answer
        }
    };
    table(&problem, &answer, &limits, present.is_some());
    if ask.explain {
        let why = explain(&problem, &answer, &Highs, &limits)?;
        let of_cost = matches!(problem.objective(), Objective::LeastDevices | Objective::LeastCost);
        let brings = if of_cost { "saves" } else { "brings" };
        println!("\nbottleneck: {}", why.bottleneck);
        for tight in &why.tight {
            let worth = if tight.price > 0.0 {
                format!("; an item per second more through it is worth {:.3}", tight.price)
            } else {
                String::new()
            };
            println!("  route {}, stage {} on {} is full{worth}", tight.route, tight.stage, tight.on);
        }
        for gain in &why.gains {
            let at_least = if gain.at_least { "at least " } else { "" };
            println!("  one more {} {brings} {at_least}{:.2}", gain.kind, gain.gain);
        }
    }
    if let Some(path) = &ask.output {
        write_plan(path, &problem, &answer)?;
    }
    if let Some(path) = &ask.deploy {
        write(path, &answer.placement.deploy(&problem)?.to_toml())?;
    }
    if let Some(path) = &ask.svg {
        write(path, &picture::svg(&answer.placement))?;
    }
    Ok(())
}

/// Writes a plan as others read it; with its devices by name, where it can be given any.
pub fn write_plan(path: &Path, problem: &Problem, answer: &Answer) -> Result<(), CliError> {
    let file = serde_json::json!({
        "objective": problem.objective(),
        "rules": problem.rules(),
        "demands": problem.demands(),
        "placement": answer.placement,
        "proof": answer.proof,
        "deployment": answer.placement.deploy(problem).ok().map(|plan| plan.to_toml()),
    });
    write(path, &format!("{file:#}\n"))
}

/// Says how far the search is, where that is other than the last time.
fn progress() -> impl Fn(Progress) + Send + Sync {
    let last = Mutex::new(String::new());
    move |progress| {
        let value = progress.value.map_or("no plan yet".to_owned(), |value| format!("best {value:.3}"));
        let gap = progress.value.zip(progress.bound).filter(|(value, _)| *value != 0.0);
        let gap = gap.map_or(String::new(), |(value, bound)| {
            format!(", gap {:.3} %", 100.0 * (bound - value).abs() / value.abs())
        });
        let bound = progress.bound.map_or("no bound yet".to_owned(), |bound| format!("bound {bound:.3}"));
        let now = format!("{value}, {bound}{gap}");
        let Ok(mut last) = last.lock() else { return };
        if *last != now {
            match progress.seconds {
                Some(seconds) => eprintln!("  {seconds:7.1} s  {now}"),
                None => eprintln!("   tables   {now}"),
            }
            *last = now;
        }
    }
}

/// Whether a file can be put there.
pub fn writable(path: &Path) -> Result<(), CliError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    match folder {
        Some(folder) if !folder.is_dir() => {
            Err(CliError::file(path, format!("there is no folder `{}`; make it first", folder.display())))
        }
        _ if path.is_dir() => Err(CliError::file(path, "is a folder; name a file in it")),
        _ => Ok(()),
    }
}

pub fn write(path: &Path, text: &str) -> Result<(), CliError> {
    fs::write(path, text).map_err(|error| CliError::file(path, format!("cannot be written: {error}")))
}

/// What chains of one device of each of two kinds are worth, where that is a question.
fn chains(problem: &Problem, uncut: &Answer, limits: &Limits) -> Option<f64> {
    if problem.objective() != Objective::MaxMin || problem.counts().len() != 2 {
        return None;
    }
    let limits = Limits { watch: None, ..limits.clone() };
    let rates = chain_pairs(problem, &uncut.placement, &Highs, &limits).ok()?;
    rates.iter().zip(problem.demands()).map(|(rate, demand)| rate / demand.weight).reduce(f64::min)
}

/// The plan, what it is worth and how well that is proven, beside plans that are easier to have.
fn table(problem: &Problem, answer: &Answer, limits: &Limits, follows: bool) {
    print!("{}", answer.placement);
    let used = answer.placement.devices(problem.rules().packing);
    let kinds = problem.cluster().kinds().iter().zip(problem.counts());
    let kinds =
        kinds.map(|(kind, count)| format!("{} of {count} {}", used.get(&kind.name).unwrap_or(&0), kind.name));
    println!("\ndevices: {}", kinds.collect::<Vec<_>>().join(", "));
    let proof = &answer.proof;
    let what = match problem.objective() {
        Objective::MaxMin => "least rate ÷ weight",
        Objective::Headroom => "times the demand",
        Objective::LeastDevices => "devices",
        Objective::LeastCost => "cost",
    };
    print!("{what}: {:.3}", proof.value);
    if let (Some(bound), Some(gap)) = (proof.bound, proof.gap()) {
        print!(", bound {bound:.3}, gap {:.3} %", 100.0 * gap);
    }
    let given_away = follows && proof.gap().is_some_and(|gap| gap > limits.gap + 1e-6);
    let status = match proof.status {
        Status::Optimal if given_away => "what the best is worth less what was given away for less movement",
        Status::Optimal => "proven best within the gap asked for",
        Status::Limit => "the limit came first",
        Status::Heuristic => "without a proof",
    };
    println!("; {status}");
    match (proof.seconds, proof.nodes) {
        (Some(seconds), Some(nodes)) => println!(
            "{seconds:.2} s, {nodes} nodes, {} templates, {} columns, {} rows",
            proof.templates, proof.columns, proof.rows
        ),
        _ => println!("devices divided by tables, {} templates", proof.templates),
    }
    if let Ok(uncut) = no_partition(problem, &Highs, &Limits { watch: None, ..limits.clone() }) {
        let routes = uncut.placement.models.iter().flat_map(|model| &model.routes);
        let whole = routes.flat_map(|route| &route.stages).any(|stage| stage.whole_latency);
        let how = if whole { " (latency of the uncut engine where it was measured)" } else { "" };
        println!("without cuts: {:.3}{how}", uncut.proof.value);
        if let Some(chains) = chains(problem, &uncut, limits) {
            println!("chains of one device of each kind: {chains:.3}");
        }
    }
    match greedy(problem) {
        Ok(quick) if quick.placement.check(problem).is_ok() => {
            println!("greedy, without a solver: {:.3}", quick.proof.value);
        }
        _ => println!("greedy, without a solver: falls short of the demand"),
    }
}
