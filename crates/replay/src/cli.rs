//! The commands `replay` and `generate`: arguments, and what they print.

use std::fs::File;
use std::io::{self, BufWriter, IsTerminal, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context;
use clap::Args;
use flate2::Compression;
use flate2::write::GzEncoder;
use thruway_net::TransportChoice;
use thruway_wire::mrt::MrtPeer;
use thruway_wire::{Asn, RouterId};

use crate::dump::write_mrt;
use crate::generate::{GenerateOptions, Generator, Viewpoint};
use crate::limits::{GENERATE_PEERS_MAX, IDLE_TIMEOUT, RUN_TIMEOUT, SESSIONS_TIMEOUT};
use crate::load::{ChurnOptions, Expect, Patience, Report, Speed};
use crate::progress::{Bar, Silent};
use crate::replay::{self, LocalPool, NextHopChoice, PeerChoice, Prepend, ReplayOptions};

/// When a generated dump says that it was made: 2026-01-01. The same seed must give the same file.
const DUMP_TIME: u32 = 1_767_225_600;

/// Plays MRT files into a BGP speaker, one session for each MRT peer.
#[derive(Args, Clone, Debug)]
pub struct ReplayArgs {
    /// MRT files, RIB dumps or update traces; gzip and bzip2 too, `-` is standard input
    #[arg(required = true, value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// The speaker: address, or address:port (port 179 otherwise)
    #[arg(long, value_name = "ADDR", value_parser = parse_target)]
    pub to: SocketAddr,

    /// First local address and its pool; sessions take one after the other, receivers last
    /// [default: 127.1.0.1/16 towards 127.0.0.0/8, else what the kernel chooses]
    #[arg(long, value_name = "ADDR/LEN")]
    pub local: Option<LocalPool>,

    /// Wait at this port for the speaker to connect, instead of connecting
    #[arg(long, value_name = "PORT")]
    pub passive: Option<u16>,

    /// Play this peer only: its place in the dump from 0, its address, or AS and its number;
    /// may be repeated
    #[arg(long = "peer", value_name = "N|ADDR|ASn")]
    pub peers: Vec<PeerChoice>,

    /// Play at most so many peers
    #[arg(long, value_name = "N")]
    pub peers_max: Option<usize>,

    /// AS number of every sender [default: each MRT peer's own]
    #[arg(long, value_name = "ASN")]
    pub local_as: Option<Asn>,

    /// Put the sender's AS in front of paths: auto does where they do not begin with it
    #[arg(long, value_enum, default_value_t = Prepend::Auto)]
    pub prepend: Prepend,

    /// Next hop to advertise: keep, self (the session's address), or an address
    #[arg(long, value_name = "keep|self|ADDR", default_value_t = NextHopChoice::Keep)]
    pub next_hop: NextHopChoice,

    /// How fast a trace's time passes: 1x, 10x, max
    #[arg(long, default_value = "max", value_name = "SPEED")]
    pub speed: Speed,

    /// Sessions that take the table back and compare it
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub receivers: u32,

    /// AS number of the receivers
    #[arg(long, default_value_t = Asn(65_000), value_name = "ASN")]
    pub receiver_as: Asn,

    /// What the speaker does to routes: nothing, as a route server, or what plain eBGP does
    #[arg(long, value_enum, default_value_t = Expect::Transparent)]
    pub expect: Expect,

    /// Receivers count prefixes and do not compare attributes
    #[arg(long)]
    pub count_only: bool,

    /// Then send updates without end for so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub churn: Option<u64>,

    /// Updates under way at once in --churn
    #[arg(long, default_value_t = 1000, value_name = "N")]
    pub in_flight: u32,

    /// Updates a second in --churn [default: as many as go]
    #[arg(long, value_name = "N")]
    pub churn_rate: Option<u32>,

    /// Measure the tool itself first, against a relay of its own
    #[arg(long)]
    pub ceiling: bool,

    /// Keep the sessions up for so many seconds at the end
    #[arg(long, default_value_t = 0, value_name = "SECONDS")]
    pub stay: u64,

    /// TCP MD5 key of every session
    #[arg(long, value_name = "KEY")]
    pub md5: Option<String>,

    /// Hold time to offer, in seconds; 0 for none
    #[arg(long, default_value_t = 180, value_name = "SECONDS", value_parser = parse_hold_time)]
    pub hold_time: u16,

    /// Sockets: auto, io-uring or epoll
    #[arg(long, default_value = "auto", value_name = "KIND")]
    pub transport: TransportChoice,

    /// Give up when not all sessions are up after so many seconds
    #[arg(long, default_value_t = SESSIONS_TIMEOUT.as_secs(), value_name = "SECONDS")]
    pub connect_timeout: u64,

    /// Give up when nothing moves for so many seconds
    #[arg(long, default_value_t = IDLE_TIMEOUT.as_secs(), value_name = "SECONDS")]
    pub idle_timeout: u64,

    /// Give up after so many seconds in all, a trace's own length not counted
    #[arg(long, default_value_t = RUN_TIMEOUT.as_secs(), value_name = "SECONDS")]
    pub timeout: u64,

    /// Print the report as JSON
    #[arg(long)]
    pub json: bool,

    /// Show no progress bar
    #[arg(long, short)]
    pub quiet: bool,
}

/// Writes a realistic table as an MRT file (TABLE_DUMP_V2).
#[derive(Args, Clone, Debug)]
pub struct GenerateArgs {
    /// IPv4 prefixes
    #[arg(long, default_value_t = 100_000, value_name = "N")]
    pub ipv4: u32,

    /// IPv6 prefixes
    #[arg(long, default_value_t = 0, value_name = "N")]
    pub ipv6: u32,

    /// Another seed gives another table; the same seed the same one on every machine
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub seed: u64,

    /// Peers that advertise the same prefixes, each with paths of its own
    #[arg(long, default_value_t = 1, value_name = "N")]
    pub peers: u16,

    /// AS number of the first peer; the others follow
    #[arg(long, default_value_t = Viewpoint::default().asn, value_name = "ASN")]
    pub peer_as: Asn,

    /// IPv4 address and next hop of the first peer; the others follow
    #[arg(long, default_value_t = Viewpoint::default().next_hop4, value_name = "ADDR")]
    pub peer_address: Ipv4Addr,

    /// File to write, compressed where its name ends in .gz; `-` is standard output
    #[arg(long, short, default_value = "-", value_name = "FILE")]
    pub output: PathBuf,
}

/// Runs `replay`: failure where a session failed or a table differs.
///
/// # Errors
/// Nothing could be played; the text names the file or what is wrong.
pub fn replay(args: &ReplayArgs) -> anyhow::Result<ExitCode> {
    let options = args.options();
    let report = if args.quiet {
        replay::run(&options, &mut Silent)?
    } else {
        let mut bar = Bar::default();
        let report = replay::run(&options, &mut bar);
        bar.finish();
        report?
    };
    print(&report, args.json).context("cannot print the report")?;
    Ok(if report.is_good() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}

fn print(report: &Report, json: bool) -> io::Result<()> {
    let mut out = io::stdout().lock();
    let written = match json {
        true => serde_json::to_writer_pretty(&mut out, report)
            .map_err(io::Error::from)
            .and_then(|()| writeln!(out)),
        false => write!(out, "{report}"),
    };
    match written {
        // Who reads has read enough.
        Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        written => written,
    }
}

impl ReplayArgs {
    /// The run that the arguments mean.
    #[must_use]
    pub fn options(&self) -> ReplayOptions {
        let mut options = ReplayOptions::new(self.files.clone(), self.to);
        options.local = self.local.or(options.local);
        options.passive = self.passive;
        options.peers = self.peers.clone();
        options.peers_max = self.peers_max.unwrap_or(usize::MAX);
        options.local_as = self.local_as;
        options.prepend = self.prepend;
        options.next_hop = self.next_hop;
        options.receivers = self.receivers;
        options.receiver_as = self.receiver_as;
        options.verify = !self.count_only;
        options.expect = self.expect;
        options.speed = self.speed;
        options.churn = self.churn.map(|seconds| ChurnOptions {
            duration: Duration::from_secs(seconds),
            in_flight: self.in_flight,
            rate: self.churn_rate,
            calm: None,
        });
        options.ceiling = self.ceiling;
        options.stay = Duration::from_secs(self.stay);
        options.md5 = self.md5.clone().map(String::into_bytes);
        options.hold_time = self.hold_time;
        options.transport = self.transport;
        options.patience = Patience {
            sessions: Duration::from_secs(self.connect_timeout),
            idle: Duration::from_secs(self.idle_timeout),
            run: Duration::from_secs(self.timeout),
        };
        options
    }
}

fn parse_target(text: &str) -> Result<SocketAddr, String> {
    let addr = text
        .parse::<IpAddr>()
        .map(|addr| SocketAddr::new(addr, 179));
    addr.or_else(|_| text.parse())
        .map_err(|_| format!("`{text}` is neither an address nor address:port"))
}

fn parse_hold_time(text: &str) -> Result<u16, String> {
    match text.parse() {
        Ok(seconds) if seconds == 0 || seconds >= 3 => Ok(seconds),
        _ => Err("a hold time is 0 or 3 to 65535 seconds (RFC 4271 §4.2)".to_owned()),
    }
}

/// Runs `generate`.
///
/// # Errors
/// Too many prefixes or peers, or the file cannot be written.
pub fn generate(args: &GenerateArgs) -> anyhow::Result<ExitCode> {
    anyhow::ensure!(
        (1..=GENERATE_PEERS_MAX).contains(&args.peers),
        "--peers takes 1 to {GENERATE_PEERS_MAX}"
    );
    let path = args.output.as_path();
    let is_stdout = path == Path::new("-");
    anyhow::ensure!(
        !is_stdout || !io::stdout().is_terminal(),
        "an MRT file is nothing for a terminal: use --output FILE, or a pipe"
    );
    let what = || format!("cannot write {}", path.display());
    let written = if is_stdout {
        write_dump(args, &mut io::stdout().lock())
    } else {
        let file = BufWriter::new(File::create(path).with_context(what)?);
        match path.extension().is_some_and(|extension| extension == "gz") {
            true => {
                let mut file = GzEncoder::new(file, Compression::fast());
                write_dump(args, &mut file)
                    .and_then(|()| Ok(file.finish()?.into_inner().map_err(|e| e.into_error())?))
                    .and_then(|file| Ok(file.sync_all()?))
            }
            false => {
                let mut file = file;
                write_dump(args, &mut file)
            }
        }
    };
    match written {
        Err(error) if is_broken_pipe(&error) => Ok(ExitCode::SUCCESS),
        written => written.with_context(what).map(|()| ExitCode::SUCCESS),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error
        .downcast_ref::<io::Error>()
        .is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn write_dump(args: &GenerateArgs, out: &mut impl Write) -> anyhow::Result<()> {
    let view = |index: u16| {
        let next_hop4 = Ipv4Addr::from_bits(args.peer_address.to_bits().wrapping_add(index.into()));
        let base = Viewpoint::default().next_hop6.to_bits();
        Viewpoint {
            asn: Asn(args.peer_as.0.wrapping_add(index.into())),
            next_hop4,
            next_hop6: Ipv6Addr::from_bits(base + u128::from(index)),
        }
    };
    let GenerateArgs {
        ipv4, ipv6, seed, ..
    } = *args;
    let first = Generator::new(GenerateOptions {
        seed,
        ipv4,
        ipv6,
        view: view(0),
    })?
    .table();
    let others: Vec<_> = (1..args.peers)
        .map(|index| first.as_seen_by(&view(index)))
        .collect();
    let peers: Vec<_> = std::iter::once(&first)
        .chain(&others)
        .zip(0..)
        .map(|(table, index)| {
            let Viewpoint { asn, next_hop4, .. } = view(index);
            (
                MrtPeer {
                    router_id: RouterId::from(next_hop4),
                    addr: next_hop4.into(),
                    asn,
                },
                table,
            )
        })
        .collect();
    Ok(write_mrt(out, DUMP_TIME, &peers)?)
}
