//! `thruway`: a BGP route server and its tools.

use std::io::Write;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

// Batches are made on one thread and freed on another all the time: what mimalloc is good at.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// A BGP route server for Linux network appliances.
#[derive(Parser)]
#[command(name = "thruway", version, arg_required_else_help = true)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run the server.
    Serve(thruway::serve::ServeArgs),
    /// Ask a running server.
    Show(thruway::show::ShowArgs),
    /// Why a prefix's best path is best, and why a peer does or does not get it.
    Explain(thruway::show::ExplainArgs),
    /// Turn route exchange on or off: whether branches of a virtual network learn each other's routes.
    Exchange(thruway::show::ExchangeArgs),
    /// What a changed configuration would do to keys, sessions and routes, before it is in force. Status 0:
    /// nothing changes, 2: something does.
    Plan(thruway::show::PlanArgs),
    /// Have a running server read its configuration again.
    Reload(thruway::show::ReloadArgs),
    /// Keep a change that was made with `--confirm`.
    Confirm(thruway::show::ConfirmArgs),
    /// The configurations that were in force.
    History(thruway::show::HistoryArgs),
    /// How two configurations differ: what runs and the file, or those of the history. Status 2: they do.
    Diff(thruway::show::DiffArgs),
    /// Go back to a configuration of the history.
    Rollback(thruway::show::RollbackArgs),
    /// Who may use the API over TCP: make, list and revoke tokens.
    Token(thruway::token::TokenArgs),
    /// Reset a peer's session, softly or not.
    Reset(thruway::show::ResetArgs),
    /// Watch a server carry a table between real BGP sessions on loopback.
    Demo(thruway::demo::DemoArgs),
    /// Check a configuration file, what it would do to a running server, or two instances.
    Check(thruway::show::CheckCommand),
    /// Play MRT files into a BGP speaker.
    Replay(thruway_replay::cli::ReplayArgs),
    /// Write a realistic table as MRT.
    Generate(thruway_replay::cli::GenerateArgs),
    /// Print MRT files and hex messages.
    Decode(thruway_dump::DecodeArgs),
}

fn main() -> ExitCode {
    let done = |()| ExitCode::SUCCESS;
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(said) => {
            let _ = said.print();
            let command = std::env::args().nth(1).unwrap_or_default();
            // There 2 says that something would change.
            let compares = ["plan", "diff", "rollback", "show"].contains(&command.as_str());
            return match (said.use_stderr(), compares) {
                (false, _) => ExitCode::SUCCESS,
                (true, true) => ExitCode::FAILURE,
                (true, false) => ExitCode::from(2),
            };
        }
    };
    let result = match cli.command {
        Command::Serve(args) => thruway::serve::serve(&args).map(done),
        Command::Show(args) => thruway::show::show(&args),
        Command::Explain(args) => thruway::show::explain(&args).map(done),
        Command::Exchange(args) => thruway::show::exchange(&args).map(done),
        Command::Plan(args) => thruway::show::plan(&args),
        Command::Reload(args) => thruway::show::reload(&args).map(done),
        Command::Confirm(args) => thruway::show::confirm(&args).map(done),
        Command::History(args) => thruway::show::history(&args).map(done),
        Command::Diff(args) => thruway::show::diff(&args),
        Command::Rollback(args) => thruway::show::rollback(&args),
        Command::Token(args) => thruway::token::token(&args).map(done),
        Command::Reset(args) => thruway::show::reset(&args).map(done),
        Command::Demo(args) => thruway::demo::run(&args).map(done),
        Command::Check(args) => thruway::show::check(&args),
        Command::Replay(args) => thruway_replay::cli::replay(&args),
        Command::Generate(args) => thruway_replay::cli::generate(&args),
        Command::Decode(args) => thruway_dump::run(&args).map(done),
    };
    result.unwrap_or_else(|error: anyhow::Error| {
        if is_broken_pipe(&error) {
            return ExitCode::SUCCESS;
        }
        // What an argument or a server's text holds must not write to the terminal by itself.
        let text = format!("{error:#}");
        let plain = |it: char| it.is_control() && it != '\n' && it != '\t';
        let text: String = text
            .chars()
            .map(|it| if plain(it) { '?' } else { it })
            .collect();
        let _ = writeln!(std::io::stderr(), "error: {text}");
        ExitCode::FAILURE
    })
}

/// `thruway … | head` is no failure. A server that goes away in the middle is one: then the system's word stands
/// behind the client's.
fn is_broken_pipe(error: &anyhow::Error) -> bool {
    let io = error.downcast_ref::<std::io::Error>();
    let json = error.downcast_ref::<serde_json::Error>();
    let kind = io
        .map(std::io::Error::kind)
        .or(json.and_then(serde_json::Error::io_error_kind));
    kind == Some(std::io::ErrorKind::BrokenPipe)
}
