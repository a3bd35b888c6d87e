//! `cargo xtask test`: what CI runs.

use anyhow::Result;
use clap::Args;

use crate::shell::{cargo, step};
use crate::{count, fuzz, packages, tidy};

#[derive(Args)]
pub(crate) struct TestArgs {
    /// Seconds for each fuzz target; 0 leaves them out.
    #[arg(long, default_value_t = 20)]
    fuzz_seconds: u32,
    /// Leaves out the tests against other daemons and the instruction counts, and so the packages
    /// they need.
    #[arg(long)]
    no_daemons: bool,
}

pub(crate) fn run(args: &TestArgs) -> Result<()> {
    step("format", &mut cargo(&["fmt", "--all", "--check"]))?;
    let clippy = [
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "-D",
        "warnings",
    ];
    step("clippy", &mut cargo(&clippy))?;
    println!("==> tidy");
    tidy::run()?;
    if !args.no_daemons {
        packages::ensure()?;
    }
    let mut tests = cargo(&[
        "test",
        "--workspace",
        "--locked",
        "--exclude",
        "thruway-tests",
    ]);
    step("unit tests", &mut tests)?;
    // The black-box tests run the binary as a user does; it belongs to another package.
    let mut binary = cargo(&["build", "--locked", "--package", "thruway"]);
    step("the binary", &mut binary)?;
    // Real sockets, namespaces and daemons: one test at a time in each file, two cores do not give
    // more, and a daemon's own timers would be what is tested.
    let mut black_box = cargo(&["test", "--locked", "--package", "thruway-tests"]);
    black_box.args(["--", "--test-threads=1"]);
    if args.no_daemons {
        black_box.env("THRUWAY_NO_DAEMONS", "1");
    }
    step("black-box tests", &mut black_box)?;
    if !args.no_daemons {
        count::step()?;
    }
    if args.fuzz_seconds > 0 {
        fuzz::run(&fuzz::FuzzArgs::all(args.fuzz_seconds))?;
    }
    Ok(())
}
