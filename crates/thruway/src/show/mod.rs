//! `thruway show …` and `thruway explain …`: questions to a running server.

mod change;
mod exchange;
mod expect;
mod instances;
mod plan;
mod server;
mod tables;

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Args, Subcommand};
use thruway_api::{Client, Failure, Peer, Route, Status, encode};

pub use self::change::{
    ConfirmArgs, DiffArgs, HistoryArgs, ReloadArgs, RollbackArgs, confirm, diff, history, reload,
    rollback,
};
pub use self::exchange::{ExchangeArgs, exchange};
pub use self::instances::InstancesArgs;
pub use self::plan::{CheckCommand, PlanArgs, check, plan};
pub use self::server::ServerArgs;

/// Something that is expected is broken.
const BROKEN: u8 = 2;

/// `thruway show`.
#[derive(Args, Debug)]
pub struct ShowArgs {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    what: What,
}

#[derive(Subcommand, Debug)]
enum What {
    /// The server: uptime, tables, memory.
    Status,
    /// All peers, a line each.
    Peers,
    /// One peer, or its routes.
    Peer {
        /// Name or address; or an NVA or gateway: all its sessions.
        name: String,
        /// Its routes instead: learned, rejected or advertised.
        table: Option<PeerTable>,
        /// Only this prefix.
        #[arg(long)]
        prefix: Option<String>,
        /// And its more specifics.
        #[arg(long, requires = "prefix")]
        longer: bool,
    },
    /// The virtual network: the switch, its NVAs and gateways, and who advertises how much to whom.
    Exchange,
    /// What hosts of the virtual network get, and whether the kernel has it.
    Hosts {
        /// Only within this prefix, or the longest match of an address.
        prefix: Option<String>,
    },
    /// What must stay true of the network, and whether it is. Status 2: something is broken.
    Expectations,
    /// What happens from now on, a line each, until interrupted.
    Events,
    /// Routes: all, those of one prefix, or of the best match of an address.
    Routes {
        /// A prefix (exactly), or an address (its longest match).
        prefix: Option<String>,
        /// The prefix and its more specifics.
        #[arg(long, requires = "prefix")]
        longer: bool,
        /// ipv4 or ipv6.
        #[arg(long)]
        family: Option<String>,
    },
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum PeerTable {
    /// What it advertised to us, rejected routes included.
    Learned,
    /// What of that was rejected, and why.
    Rejected,
    /// What was advertised to it.
    Advertised,
}

/// `thruway explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The prefix.
    prefix: String,
    /// Why this peer does or does not get it.
    #[arg(long, value_name = "PEER")]
    to: Option<String>,
    #[command(flatten)]
    server: ServerArgs,
}

/// Runs `thruway show`: status 2 where something that is expected is broken.
///
/// # Errors
/// What the server says, or that there is none.
pub fn show(args: &ShowArgs) -> Result<ExitCode> {
    runtime()?.block_on(async {
        let client = args.server.client()?;
        let json = args.server.json;
        let done = match &args.what {
            What::Expectations => {
                let all = expect::show(&client, json).await?;
                return Ok(ExitCode::from(if all { 0 } else { BROKEN }));
            }
            What::Status => status(&client, json).await,
            What::Peers => peers(&client, json).await,
            What::Exchange => exchange::show(&client, json).await,
            What::Events => events(&client, json).await,
            What::Hosts { prefix } => exchange::hosts(&client, prefix.as_deref(), json).await,
            What::Peer {
                name, table: None, ..
            } => peer(&client, name, json).await,
            What::Peer {
                name,
                table: Some(table),
                prefix,
                longer,
            } => {
                let table = match table {
                    PeerTable::Learned => "learned",
                    PeerTable::Rejected => "rejected",
                    PeerTable::Advertised => "advertised",
                };
                let path = format!("/v1/peers/{}/{table}", encode(name));
                let path = with_filter(path, prefix.as_deref(), *longer, None);
                routes(&client, &path, json).await
            }
            What::Routes {
                prefix,
                longer,
                family,
            } => {
                let path = "/v1/routes".to_owned();
                let path = with_filter(path, prefix.as_deref(), *longer, family.as_deref());
                routes(&client, &path, json).await
            }
        };
        done.map(|()| ExitCode::SUCCESS)
    })
}

/// Runs `thruway explain`.
///
/// # Errors
/// What the server says, or that there is none.
pub fn explain(args: &ExplainArgs) -> Result<()> {
    let mut path = format!("/v1/explain?prefix={}", encode(&args.prefix));
    if let Some(to) = &args.to {
        path += &format!("&to={}", encode(to));
    }
    runtime()?.block_on(async {
        let client = args.server.client()?;
        if args.server.json {
            return routes(&client, &path, true).await;
        }
        let mut found = Vec::new();
        client
            .lines(&path, |line| {
                found.push(parse_route(line)?);
                Ok(())
            })
            .await?;
        print(&tables::explain(&args.prefix, args.to.as_deref(), &found))
    })
}

/// A runtime for one question.
///
/// # Errors
/// The system's.
pub fn runtime() -> Result<tokio::runtime::Runtime> {
    tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
}

fn with_filter(
    mut path: String,
    prefix: Option<&str>,
    longer: bool,
    family: Option<&str>,
) -> String {
    let mut sign = '?';
    let mut add = |name: &str, value: &str| {
        path.push(sign);
        path.push_str(&format!("{name}={}", encode(value)));
        sign = '&';
    };
    if let Some(prefix) = prefix {
        add("prefix", prefix);
    }
    if longer {
        add("longer", "true");
    }
    if let Some(family) = family {
        add("family", family);
    }
    path
}

async fn status(client: &Client, json: bool) -> Result<()> {
    let status: Status = client.get("/v1/status").await?;
    if json {
        print_json(&status)
    } else {
        print(&tables::status(&status))
    }
}

async fn peers(client: &Client, json: bool) -> Result<()> {
    let peers: Vec<Peer> = client.get("/v1/peers").await?;
    if json {
        print_json(&peers)
    } else {
        print(&tables::peers(&peers))
    }
}

async fn peer(client: &Client, name: &str, json: bool) -> Result<()> {
    let found: PeerOrSite = client.get(&format!("/v1/peers/{}", encode(name))).await?;
    if json {
        return print_json(&found);
    }
    match found {
        PeerOrSite::Peer(peer) => print(&tables::peer(&peer)),
        PeerOrSite::Site(peers) if peers.is_empty() => {
            print(&format!("{name}: no session has come yet"))
        }
        PeerOrSite::Site(peers) => {
            let texts: Vec<String> = peers.iter().map(tables::peer).collect();
            print(&texts.join("\n\n"))
        }
    }
}

/// One peer, or all of an NVA or gateway.
#[derive(serde::Serialize, serde::Deserialize)]
#[serde(untagged)]
enum PeerOrSite {
    Peer(Box<Peer>),
    Site(Vec<Peer>),
}

/// Events as they happen: the time, what, and its particulars.
async fn events(client: &Client, json: bool) -> Result<()> {
    client
        .lines("/v1/events", |line| {
            if json {
                return print(&String::from_utf8_lossy(line));
            }
            let event: serde_json::Value = serde_json::from_slice(line)?;
            print(&tables::event(&event))
        })
        .await
}

/// Routes as they come: a table in pieces with columns of fixed width, or lines of JSON.
async fn routes(client: &Client, path: &str, json: bool) -> Result<()> {
    let mut out = io::BufWriter::new(io::stdout().lock());
    let mut count = 0usize;
    client
        .lines(path, |line| {
            count += 1;
            if json {
                if let Ok(failure) = serde_json::from_slice::<Failure>(line) {
                    anyhow::bail!(failure.error);
                }
                out.write_all(line)?;
                out.write_all(b"\n")?;
                return Ok(());
            }
            if count == 1 {
                writeln!(out, "{}", tables::route_heading())?;
            }
            writeln!(out, "{}", tables::route_line(&parse_route(line)?))?;
            Ok(())
        })
        .await?;
    if !json {
        writeln!(
            out,
            "{count} {}",
            if count == 1 { "route" } else { "routes" }
        )?;
    }
    out.flush()?;
    Ok(())
}

fn parse_route(line: &[u8]) -> Result<Route> {
    if let Ok(failure) = serde_json::from_slice::<Failure>(line) {
        anyhow::bail!(failure.error);
    }
    serde_json::from_slice(line).context("the server's answer is not what was expected")
}

fn print(text: &str) -> Result<()> {
    writeln!(io::stdout().lock(), "{}", text.trim_end())?;
    Ok(())
}

fn print_json(value: &impl serde::Serialize) -> Result<()> {
    let mut out = io::stdout().lock();
    serde_json::to_writer_pretty(&mut out, value)?;
    writeln!(out)?;
    Ok(())
}

/// `thruway reset`.
#[derive(Args, Debug)]
pub struct ResetArgs {
    /// Name or address of the peer.
    peer: String,
    /// How.
    #[arg(value_enum, default_value_t = ResetKind::SoftIn)]
    kind: ResetKind,
    /// A text for the peer's operator (RFC 9003).
    #[arg(long, default_value = "")]
    text: String,
    #[command(flatten)]
    server: ServerArgs,
}

#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum ResetKind {
    /// Ask the peer for its routes again.
    SoftIn,
    /// Send it everything again.
    SoftOut,
    /// End the session, and start anew.
    Hard,
    /// End the session, and stay down.
    Shutdown,
    /// Start a session that was shut down.
    Start,
}

/// Runs `thruway reset`.
///
/// # Errors
/// What the server says, or that there is none.
pub fn reset(args: &ResetArgs) -> Result<()> {
    let kind = match args.kind {
        ResetKind::SoftIn => "soft-in",
        ResetKind::SoftOut => "soft-out",
        ResetKind::Hard => "hard",
        ResetKind::Shutdown => "shutdown",
        ResetKind::Start => "start",
    };
    let (peer, text) = (encode(&args.peer), encode(&args.text));
    let path = format!("/v1/peers/{peer}/reset?kind={kind}&text={text}");
    let client = args.server.client()?;
    let answer: serde_json::Value = runtime()?.block_on(client.post(&path))?;
    if args.server.json {
        print_json(&answer)
    } else {
        print(&format!("{}: {kind}", args.peer))
    }
}
