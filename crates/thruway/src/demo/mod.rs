//! `thruway demo`: a server, three peers and a table, in one process tree on loopback.
//!
//! Nothing of it is pretended: the server is this binary's own `serve` as a child process, the peers
//! speak BGP over TCP, and every number comes from the server's API or from what a peer received.

mod child;
mod view;

use std::io::{self, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use serde::Serialize;
use thruway_replay::generate::{GenerateOptions, Generator, Viewpoint};
use thruway_replay::speaker::{Speaker, SpeakerOptions};
use thruway_replay::table::Table;
use thruway_replay::{Link, PeerOptions, SessionOptions};
use thruway_wire::{Asn, Family, RouterId};

use self::child::Server;
use self::view::LiveView;

/// How long the table may take to be everywhere.
const PATIENCE: Duration = Duration::from_secs(120);

/// `thruway demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// End after so many seconds; without, stay until interrupted.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// Prefixes in the table.
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    prefixes: u32,
    /// Seed of the table.
    #[arg(long, default_value_t = 1, value_name = "N")]
    seed: u64,
    /// Print what was measured as JSON, and end.
    #[arg(long)]
    json: bool,
}

/// A peer of the demo.
struct Client {
    name: &'static str,
    asn: u32,
    addr: Ipv4Addr,
    router_id: Ipv4Addr,
    /// Announces every prefix whose group's index divides by this; 0: nothing.
    share: usize,
}

const CLIENTS: [Client; 3] = [
    Client {
        name: "alpha",
        asn: 64_601,
        addr: Ipv4Addr::new(127, 0, 1, 1),
        router_id: Ipv4Addr::new(198, 18, 1, 1),
        share: 1,
    },
    Client {
        name: "beta",
        asn: 64_602,
        addr: Ipv4Addr::new(127, 0, 1, 2),
        router_id: Ipv4Addr::new(198, 18, 1, 2),
        share: 2,
    },
    Client {
        name: "gamma",
        asn: 64_603,
        addr: Ipv4Addr::new(127, 0, 1, 3),
        router_id: Ipv4Addr::new(198, 18, 1, 3),
        share: 0,
    },
];

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Outcome {
    prefixes: usize,
    sessions_up_ms: u128,
    convergence_ms: u128,
    prefixes_per_second: f64,
    peers: Vec<Learned>,
}

/// What one peer sent and got.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Learned {
    name: &'static str,
    asn: u32,
    announced: usize,
    learned: usize,
    example: Option<String>,
}

/// Runs the demo.
///
/// # Errors
/// A server that does not start, a session that does not come up, a table that does not arrive.
pub fn run(args: &DemoArgs) -> Result<()> {
    let until = args
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let quiet = args.json;
    say(
        quiet,
        &format!(
            "generating a table of {} prefixes (seed {})",
            args.prefixes, args.seed
        ),
    )?;
    let tables = tables(args)?;
    say(quiet, "starting the server: thruway serve, on 127.0.0.1")?;
    let peers = CLIENTS
        .iter()
        .map(|client| (client.name, client.addr.into(), client.asn));
    let server = Server::start(peers)?;
    let started = Instant::now();
    let speakers = connect(server.addr())?;
    let sessions_up = started.elapsed();
    say(
        quiet,
        &format!("three BGP sessions up after {} ms", sessions_up.as_millis()),
    )?;
    let outcome = exchange(&server, &speakers, tables, sessions_up, quiet)?;
    if args.json {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &outcome)?;
        writeln!(out)?;
        return Ok(());
    }
    summary(&server, &outcome)?;
    stay(until, &speakers)
}

fn tables(args: &DemoArgs) -> Result<Vec<Arc<Table>>> {
    let view = |client: &Client| Viewpoint {
        asn: Asn(client.asn),
        next_hop4: client.addr,
        next_hop6: Ipv6Addr::LOCALHOST,
    };
    let [first, ..] = &CLIENTS;
    let options = GenerateOptions {
        seed: args.seed,
        ipv4: args.prefixes,
        ipv6: 0,
        view: view(first),
    };
    let whole = Generator::new(options)?.table();
    let of = |client: &Client| match client.share {
        0 => Table::new(),
        1 => whole.clone(),
        share => {
            let seen = whole.as_seen_by(&view(client));
            // A part of the same prefixes by other paths: something to choose from.
            seen.split(share).into_iter().next().unwrap_or_default()
        }
    };
    Ok(CLIENTS.iter().map(|client| Arc::new(of(client))).collect())
}

fn connect(server: SocketAddr) -> Result<Vec<Speaker>> {
    let mut speakers = Vec::new();
    for client in &CLIENTS {
        let session = SessionOptions {
            name: client.name.to_owned(),
            link: Link::Connect {
                remote: server,
                local: Some(IpAddr::V4(client.addr)),
            },
            peer: PeerOptions::new(Asn(client.asn), RouterId::from(client.router_id)),
            md5: None,
        };
        let speaker = Speaker::spawn(SpeakerOptions::new(session))
            .with_context(|| format!("cannot start peer {}", client.name))?;
        speakers.push(speaker);
    }
    for (speaker, client) in speakers.iter().zip(&CLIENTS) {
        speaker
            .established(PATIENCE)
            .map_err(|error| anyhow!("{}: {error}", client.name))?;
    }
    Ok(speakers)
}

/// Sends the tables and waits until everybody has what is his.
fn exchange(
    server: &Server,
    speakers: &[Speaker],
    tables: Vec<Arc<Table>>,
    sessions_up: Duration,
    quiet: bool,
) -> Result<Outcome> {
    let announced: Vec<usize> = tables.iter().map(|table| table.len()).collect();
    let prefixes = announced.iter().copied().max().unwrap_or(0);
    // A route-server client gets the best path that is not its own: alpha, the only source of half
    // of the prefixes, learns what beta has; the others learn everything.
    let goals: Vec<usize> = (0..speakers.len())
        .map(|me| {
            let others = announced.iter().enumerate().filter(|(peer, _)| *peer != me);
            others.map(|(_, count)| *count).max().unwrap_or(0)
        })
        .collect();
    let live = (!quiet).then(|| LiveView::new(CLIENTS.iter().map(|c| c.name).zip(&goals)));
    let started = Instant::now();
    for (speaker, table) in speakers.iter().zip(tables) {
        speaker.announce(table);
        speaker.end_of_rib(Family::Ipv4);
    }
    let end = started + PATIENCE;
    let mut done: Vec<Option<Duration>> = vec![None; speakers.len()];
    while done.iter().any(Option::is_none) {
        for ((speaker, goal), done) in speakers.iter().zip(&goals).zip(&mut done) {
            let left = end.saturating_duration_since(Instant::now());
            if done.is_some() {
                continue;
            }
            anyhow::ensure!(!left.is_zero(), "the table did not arrive in {PATIENCE:?}");
            // Waits for one peer at a time, at most a frame of the live view.
            let frame = left.min(Duration::from_millis(40));
            if speaker
                .wait_for(|table| table.len() >= *goal, frame)
                .is_ok()
            {
                *done = Some(started.elapsed());
            } else if let Some(end) = speaker.ended() {
                return Err(anyhow!("a session ended: {end}\n{}", server.log()));
            }
        }
        if let Some(live) = &live {
            live.update(
                speakers
                    .iter()
                    .map(|speaker| speaker.with_table(|table| table.len())),
            );
        }
    }
    if let Some(live) = live {
        live.finish();
    }
    let convergence = done.iter().flatten().max().copied().unwrap_or_default();
    let peers = CLIENTS.iter().zip(speakers).zip(&announced);
    let peers = peers.map(|((client, speaker), announced)| learned(client, speaker, *announced));
    let delivered: usize = goals.iter().sum();
    Ok(Outcome {
        prefixes,
        sessions_up_ms: sessions_up.as_millis(),
        convergence_ms: convergence.as_millis(),
        prefixes_per_second: delivered as f64 / convergence.as_secs_f64().max(1e-6),
        peers: peers.collect(),
    })
}

fn learned(client: &Client, speaker: &Speaker, announced: usize) -> Learned {
    speaker.with_table(|table| {
        // The lowest, so that the same seed shows the same one.
        let example = table.iter().min_by_key(|(nlri, _)| *nlri);
        let example =
            example.map(|(nlri, set)| format!("{} path {}", nlri.prefix, set.as_ref().as_path()));
        Learned {
            name: client.name,
            asn: client.asn,
            announced,
            learned: table.len(),
            example,
        }
    })
}

fn summary(server: &Server, outcome: &Outcome) -> Result<()> {
    let mut out = io::stdout().lock();
    writeln!(
        out,
        "\neverybody has everything after {} ms: {:.0} routes a second delivered\n",
        outcome.convergence_ms, outcome.prefixes_per_second
    )?;
    writeln!(
        out,
        "  {:<8} {:>6} {:>10} {:>10}  for example",
        "peer", "AS", "announced", "learned"
    )?;
    for peer in &outcome.peers {
        let example = peer.example.as_deref().unwrap_or("-");
        writeln!(
            out,
            "  {:<8} {:>6} {:>10} {:>10}  {example}",
            peer.name, peer.asn, peer.announced, peer.learned
        )?;
    }
    let prefix = outcome
        .peers
        .iter()
        .find_map(|peer| peer.example.as_deref());
    let prefix = prefix
        .and_then(|text| text.split(' ').next())
        .unwrap_or("192.0.2.0/24");
    let socket = server.socket().display();
    writeln!(out, "\nlook further, in another terminal:\n")?;
    for line in [
        "show status".to_owned(),
        "show peers".to_owned(),
        "show peer beta advertised --json | head -3".to_owned(),
        format!("show routes {prefix}"),
        format!("explain {prefix} --to alpha"),
    ] {
        let (command, rest) = line
            .split_once(" |")
            .map_or((line.as_str(), ""), |(a, b)| (a, b));
        let pipe = if rest.is_empty() {
            String::new()
        } else {
            format!(" |{rest}")
        };
        writeln!(out, "  thruway {command} --socket {socket}{pipe}")?;
    }
    Ok(())
}

/// Keeps everything up until the time is over or a signal comes.
fn stay(until: Option<Instant>, speakers: &[Speaker]) -> Result<()> {
    let Some(until) = until else {
        say(false, "\nCtrl-C ends it")?;
        return crate::show::runtime()?.block_on(async {
            tokio::signal::ctrl_c()
                .await
                .context("cannot wait for Ctrl-C")
        });
    };
    let Some(first) = speakers.first() else {
        return Ok(());
    };
    let left = until.saturating_duration_since(Instant::now());
    match first.wait_until_ended(left) {
        Ok(end) => Err(anyhow!("a session ended: {end}")),
        // Time is over, and the session still stands: what was wanted.
        Err(_) => Ok(()),
    }
}

fn say(quiet: bool, line: &str) -> Result<()> {
    if !quiet {
        writeln!(io::stdout().lock(), "{line}")?;
    }
    Ok(())
}
