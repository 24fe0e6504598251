//! The `eddyline` command. Each subcommand is a file; this one only reads the arguments and says errors.

mod ask;
mod chart;
mod devices;
mod diff;
mod gantt;
mod inspect;
mod model;
mod picture;
mod plan;
mod profile;
mod quarantine;
mod simulate;
mod tune;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(
    name = "eddyline",
    about = "Looks into models, measures them, places them on mixed devices; looks into quarantines",
    version
)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Looks for the best placement of models on a cluster, or compares two
    #[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
    Plan {
        #[command(subcommand)]
        also: Option<Also>,
        #[command(flatten)]
        ask: Option<ask::Ask>,
    },
    /// Runs a plan on a virtual clock and says what it keeps of its promise
    Simulate(simulate::Simulate),
    /// Looks for the plan that carries most, by planning and simulating
    Tune(tune::Tune),
    /// Shows the layers of a model, what they cost, where it can be cut and into which blocks
    Inspect(inspect::Inspect),
    /// Measures how long the blocks of a model take, and writes the profile that plans are made from
    Profile(profile::ProfileArgs),
    /// Lists what there is to run models on, and what is not and why
    Devices,
    /// Looks into the file that a workflow with `.quarantine(path)` has written; `flow.replay` brings faults from there back in
    #[command(subcommand)]
    Quarantine(quarantine::Command),
}

#[derive(Subcommand)]
enum Also {
    /// Says which pools differ between two plans, and how many devices change their work
    Diff(diff::Diff),
}

fn main() -> ExitCode {
    let done = match Arguments::parse().command {
        Command::Plan { also: Some(Also::Diff(diff)), .. } => diff.run().map_err(|error| error.to_string()),
        Command::Plan { ask: Some(ask), .. } => plan::run(&ask).map_err(|error| error.to_string()),
        Command::Plan { .. } => Err(ask::CliError::Nothing.to_string()),
        Command::Simulate(simulate) => simulate.run().map_err(|error| error.to_string()),
        Command::Tune(tune) => tune.run().map_err(|error| error.to_string()),
        Command::Inspect(inspect) => inspect.run().map_err(|error| error.to_string()),
        Command::Profile(profile) => profile.run().map_err(|error| error.to_string()),
        Command::Quarantine(quarantine) => quarantine.run().map_err(|error| error.to_string()),
        Command::Devices => {
            devices::run();
            Ok(())
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
