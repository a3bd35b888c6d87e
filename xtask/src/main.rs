//! `cargo xtask …`: the project's own tools.

mod compare;
mod count;
mod fuzz;
mod mutants;
mod packages;
mod shell;
mod test;
mod tidy;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The project's own tools.
#[derive(Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Everything that CI asks for: format, clippy, tidy, tests against real daemons, instruction
    /// counts, fuzzing, simulation.
    Test(test::TestArgs),
    /// The house rules: dependency tiers, budgets, banned names.
    Tidy,
    /// Thruway beside other BGP daemons: time, CPU, memory, each table verified.
    Compare(compare::CompareArgs),
    /// Instructions of the hot paths under callgrind, against what was recorded.
    Count(count::CountArgs),
    /// Runs each fuzz target for a while.
    Fuzz(fuzz::FuzzArgs),
    /// Mistakes in a crate that none of its unit tests notices.
    Mutants(mutants::MutantsArgs),
}

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Test(args) => test::run(&args),
        Command::Tidy => tidy::run(),
        Command::Compare(args) => compare::run(&args),
        Command::Count(args) => count::run(&args),
        Command::Fuzz(args) => fuzz::run(&args),
        Command::Mutants(args) => mutants::run(&args),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}
