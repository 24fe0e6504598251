//! The `eddyline` command. Each subcommand is a file; this one only reads the arguments and says errors.

mod ask;
mod diff;
mod picture;
mod plan;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

#[derive(Parser)]
#[command(name = "eddyline", about = "Places models on mixed devices", version)]
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
}

#[derive(Subcommand)]
enum Also {
    /// Says which pools differ between two plans, and how many devices change their work
    Diff(diff::Diff),
}

fn main() -> ExitCode {
    let Command::Plan { also, ask } = Arguments::parse().command;
    let done = match (also, ask) {
        (Some(Also::Diff(diff)), _) => diff.run(),
        (None, Some(ask)) => plan::run(&ask),
        (None, None) => Err(ask::CliError::Nothing),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}
