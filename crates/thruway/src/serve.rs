//! `thruway serve`.

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

/// `thruway serve`.
#[derive(Args, Clone, Debug)]
pub struct ServeArgs {
    /// The configuration file.
    #[arg(long, short, value_name = "FILE")]
    pub config: PathBuf,
    /// Log lines as JSON.
    #[arg(long)]
    pub log_json: bool,
}

/// Runs the server until SIGTERM or SIGINT. SIGHUP reads the configuration again.
///
/// # Errors
/// What is wrong with the configuration, or what the system refused.
pub fn serve(args: &ServeArgs) -> Result<()> {
    thruway_daemon::run(&args.config, args.log_json)
}
