//! `thruway demo`: a virtual network, its appliance and its gateways, in one process tree on
//! loopback.
//!
//! Nothing of it is pretended: the server is this binary's own `serve` as a child process, its
//! neighbours speak BGP over TCP, the switch is thrown by the API, and every time is measured where
//! routes arrive.

mod child;
mod network;
mod phases;
mod report;
mod view;

use std::io::{self, Write};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use thruway_replay::speaker::{Speaker, SpeakerOptions};
use thruway_replay::{Link, PeerOptions, SessionOptions};
use thruway_wire::{Asn, Family, RouterId};

use self::child::Server;
use self::network::{MEMBERS, PREMISES};
use self::phases::Scene;
use self::report::Outcome;

/// How long anything may take.
const PATIENCE: Duration = Duration::from_secs(120);

/// `thruway demo`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {
    /// End after so many seconds; without, stay until interrupted.
    #[arg(long, value_name = "N")]
    seconds: Option<u64>,
    /// So many times the prefixes: 4,000, 10,000 and 4,000 by themselves.
    #[arg(long, default_value_t = 1, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=100))]
    scale: u32,
    /// Print what was measured as JSON, and end.
    #[arg(long)]
    json: bool,
}

/// Runs the demo.
///
/// # Errors
/// A server that does not start, a session that does not come up, routes that do not arrive.
pub fn run(args: &DemoArgs) -> Result<()> {
    let until = args
        .seconds
        .map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let quiet = args.json;
    let server = Server::start(network::config)?;
    say(quiet, &introduction(args.scale, server.addr()))?;
    let started = Instant::now();
    let speakers = connect(server.addr())?;
    let sessions_up = started.elapsed();
    let scene = Scene::new(&server, &speakers, args.scale, quiet)?;
    let loaded = fill(&scene, args.scale)?;
    say(
        quiet,
        &format!(
            "{} BGP sessions up after {} ms, all tables in {} ms later\n",
            MEMBERS.len(),
            sessions_up.as_millis(),
            loaded.as_millis()
        ),
    )?;
    let outcome = Outcome {
        scale: args.scale,
        sources: report::sources(),
        sessions_up_ms: sessions_up.as_millis(),
        loaded_ms: loaded.as_millis(),
        apart: show(scene.apart()?, quiet)?,
        on: show(scene.switch(true)?, quiet)?,
        off: show(scene.switch(false)?, quiet)?,
    };
    if args.json {
        let mut out = io::stdout().lock();
        serde_json::to_writer_pretty(&mut out, &outcome)?;
        writeln!(out)?;
        return Ok(());
    }
    say(quiet, &report::next_steps(server.socket()))?;
    stay(until, &speakers)
}

fn introduction(scale: u32, addr: SocketAddr) -> String {
    let mut text = String::from("a virtual network on loopback:\n\n");
    for member in &MEMBERS {
        let premises = PREMISES.get(member.behind);
        let behind = premises.map_or_else(String::new, |premises| {
            let prefixes = report::thousands(u64::from(premises.prefixes) * u64::from(scale));
            format!("{}: {prefixes} prefixes", premises.name)
        });
        text += &format!("  {:<21} {:<13} {behind}\n", member.label, member.addr);
    }
    text + &format!(
        "  {:<21} {:<13} AS {}: thruway serve, route exchange off\n",
        "route server",
        addr.ip(),
        network::SERVER_AS
    )
}

fn connect(server: SocketAddr) -> Result<Vec<Speaker>> {
    let mut speakers = Vec::new();
    for member in &MEMBERS {
        let session = SessionOptions {
            name: member.session.to_owned(),
            link: Link::Connect {
                remote: server,
                local: Some(IpAddr::V4(member.addr)),
            },
            peer: PeerOptions::new(Asn(member.asn), RouterId::from(member.addr)),
            md5: None,
        };
        let speaker = Speaker::spawn(SpeakerOptions::new(session))
            .with_context(|| format!("cannot start the {}", member.label))?;
        speakers.push(speaker);
    }
    for (speaker, member) in speakers.iter().zip(&MEMBERS) {
        speaker
            .established(PATIENCE)
            .map_err(|error| anyhow!("{}: {error}", member.label))?;
    }
    Ok(speakers)
}

/// Tells the server everything, and waits until it has it.
fn fill(scene: &Scene<'_>, scale: u32) -> Result<Duration> {
    let tables: Vec<_> = MEMBERS
        .iter()
        .map(|member| Arc::new(network::table(member, scale)))
        .collect();
    let started = Instant::now();
    for (speaker, table) in scene.speakers.iter().zip(tables) {
        speaker.announce(table);
        for family in Family::ALL {
            speaker.end_of_rib(family);
        }
    }
    scene.wait_until_learned(network::held(scale))?;
    Ok(started.elapsed())
}

/// Prints a phase as it is over.
fn show(phase: report::Phase, quiet: bool) -> Result<report::Phase> {
    say(quiet, &phase.to_string())?;
    Ok(phase)
}

/// Keeps everything up until the time is over or a signal comes.
fn stay(until: Option<Instant>, speakers: &[Speaker]) -> Result<()> {
    let Some(until) = until else {
        say(false, "Ctrl-C ends it")?;
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
