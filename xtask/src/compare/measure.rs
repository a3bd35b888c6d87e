//! One run: a fresh daemon, the load on it, and what the kernel counted meanwhile.

use std::time::{Duration, Instant};

use anyhow::Result;
use indicatif::ProgressBar;
use serde::{Deserialize, Serialize};
use thruway_net::TransportChoice;
use thruway_replay::load::{self, LoadOptions, Report};
use thruway_replay::progress::{Phase, Progress, Snapshot};
use thruway_replay::relay::{Relay, RelayOptions};
use thruway_wire::Asn;

use super::cases::Case;
use super::config::SERVER_AS;
use super::daemon::{Daemon, Kind};
use super::lab::{Lab, SERVER, Side};
use super::process::{self, Cpu, Memory};

/// What one run measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Run {
    /// Seconds from the first UPDATE sent until the last receiver had the last prefix.
    pub(super) wall: Option<f64>,
    /// The daemon's CPU until nothing more came.
    pub(super) cpu: Cpu,
    /// Peak memory over the idle daemon's, KiB.
    pub(super) growth: u64,
    /// The idle daemon's memory, KiB.
    pub(super) idle: u64,
    /// Seconds until all sessions were up.
    pub(super) sessions: f64,
    /// CPU seconds of the load tool.
    pub(super) tool: f64,
    /// UPDATEs that were sent and that came.
    pub(super) messages: (u64, u64),
    /// Prefixes that were sent and that came.
    pub(super) prefixes: (u64, u64),
    /// Cores that other programs kept busy meanwhile: much of it makes wall times worthless.
    #[serde(default)]
    pub(super) foreign: Option<f64>,
    /// Prefixes that were told back to who sent them.
    #[serde(default)]
    pub(super) reflected: u64,
    pub(super) churn: Option<ChurnRun>,
    pub(super) flap: Option<FlapRun>,
    /// Why the run does not count.
    pub(super) trouble: Option<String>,
    /// It was given up at the time limit.
    pub(super) too_slow: bool,
}

/// Updates without end.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct ChurnRun {
    pub(super) updates_per_second: f64,
    /// The daemon's CPU for one update, in microseconds.
    pub(super) cpu_us: f64,
    /// Updates that never arrived.
    pub(super) lost: u64,
    pub(super) p50_ms: f64,
    pub(super) p99_ms: f64,
    pub(super) p999_ms: f64,
    pub(super) max_ms: f64,
    /// Of a calm neighbour's updates meanwhile.
    pub(super) calm_p50_ms: f64,
    pub(super) calm_p99_ms: f64,
    pub(super) calm_p999_ms: f64,
    /// How much the daemon grew meanwhile, in octets for one update.
    pub(super) growth: f64,
}

/// Members that took everything back and told it again.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct FlapRun {
    pub(super) withdraw: Option<f64>,
    pub(super) withdraw_cpu: f64,
    pub(super) announce: Option<f64>,
    pub(super) announce_cpu: f64,
}

/// Looks at the daemon whenever the load enters a phase.
struct Observer<'a> {
    daemon: Option<&'a mut Daemon>,
    marks: Vec<Mark>,
    bar: &'a ProgressBar,
    title: String,
}

struct Mark {
    phase: Phase,
    at: Instant,
    machine: f64,
    cpu: Cpu,
    memory: Memory,
}

impl Progress for Observer<'_> {
    fn update(&mut self, snapshot: &Snapshot) {
        let percent = 100 * snapshot.done / snapshot.total.max(1);
        let phase = format!("{:?}", snapshot.phase).to_lowercase();
        self.bar
            .set_message(format!("{}: {phase} {percent} %", self.title));
        self.bar.tick();
    }

    fn begins(&mut self, phase: Phase) {
        if let Some(daemon) = &mut self.daemon {
            self.marks.push(Mark {
                phase,
                at: Instant::now(),
                machine: process::machine_busy(),
                cpu: daemon.tree.cpu(),
                memory: daemon.tree.memory(),
            });
        }
    }
}

impl Observer<'_> {
    /// CPU and memory at the beginning and at the end of the first phase of this kind.
    fn span(&self, phase: Phase) -> Option<(&Mark, &Mark)> {
        let at = self.marks.iter().position(|mark| mark.phase == phase)?;
        Some((self.marks.get(at)?, self.marks.get(at + 1)?))
    }

    fn cpu(&self, phase: Phase) -> Option<Cpu> {
        let (from, to) = self.span(phase)?;
        Some(Cpu {
            seconds: to.cpu.seconds - from.cpu.seconds,
            user: to.cpu.user - from.cpu.user,
            system: to.cpu.system - from.cpu.system,
        })
    }
}

/// Plays `load` once.
pub(super) fn run(
    kind: Kind,
    case: &Case,
    load: &LoadOptions,
    lab: &Lab,
    bar: &ProgressBar,
) -> Result<Run> {
    let title = format!("{} {}", case.key, kind.key());
    bar.set_message(format!("{title}: starting"));
    if kind == Kind::Ceiling {
        return ceiling(case, load, lab, bar, title);
    }
    let mut daemon = Daemon::start(kind, &case.site(), lab)?;
    let mut run = {
        let mut observer = Observer {
            daemon: Some(&mut daemon),
            marks: Vec::new(),
            bar,
            title,
        };
        let report = lab.inside(Side::Load, || Ok(load::run(load, &mut observer)?))?;
        outcome(&report, &observer, load.patience.run)
    };
    run.idle = daemon.idle.resident;
    run.growth = run.growth.saturating_sub(run.idle);
    if let Some(trouble) = &mut run.trouble
        && !daemon.is_alive()
    {
        *trouble = format!("{trouble}; the daemon ended: {}", daemon.last_words());
    }
    Ok(run)
}

/// The load against a relay that only copies: the tool's own ceiling.
fn ceiling(
    case: &Case,
    load: &LoadOptions,
    lab: &Lab,
    bar: &ProgressBar,
    title: String,
) -> Result<Run> {
    let options = RelayOptions {
        listen: (SERVER, 179).into(),
        asn: Asn(SERVER_AS),
        sink_asn: load
            .receivers
            .first()
            .map_or(Asn::ZERO, |session| session.peer.asn),
        sinks: if case.exchange {
            case.sessions()
        } else {
            case.receivers
        },
        exchange: case.exchange,
        transport: TransportChoice::Auto,
        tamper: None,
    };
    let mut load = load.clone();
    load.best = false;
    for (number, receiver) in load.receivers.iter_mut().enumerate() {
        // The relay tells sinks by their AS number.
        receiver.peer.asn = options.sink_asn;
        receiver.name = format!("sink {}", number + 1);
    }
    let relay = lab.inside(Side::Server, || Ok(Relay::spawn(options)?))?;
    let mut observer = Observer {
        daemon: None,
        marks: Vec::new(),
        bar,
        title,
    };
    let report = lab.inside(Side::Load, || Ok(load::run(&load, &mut observer)?))?;
    drop(relay);
    Ok(outcome(&report, &observer, load.patience.run))
}

fn outcome(report: &Report, observer: &Observer<'_>, limit: Duration) -> Run {
    let mut run = Run {
        wall: report.convergence_seconds,
        cpu: observer.cpu(Phase::Converging).unwrap_or_default(),
        sessions: report.sessions_seconds,
        tool: report.cpu_seconds,
        messages: (report.sent.messages, report.received.messages),
        prefixes: (report.sent.prefixes, report.received.prefixes),
        reflected: report
            .differences
            .as_ref()
            .map_or(0, |found| found.reflected),
        ..Run::default()
    };
    // The peak while the table came: what follows has figures of its own.
    if let Some((begin, end)) = observer.span(Phase::Converging) {
        let others = end.machine - begin.machine - run.cpu.seconds - run.tool;
        let elapsed = (end.at - begin.at).as_secs_f64();
        run.foreign = Some((others / elapsed.max(0.01)).max(0.0));
        run.too_slow = run.wall.is_none() && end.at - begin.at >= limit;
        run.growth = end.memory.peak;
    }
    run.trouble = trouble(report);
    if let Some(churn) = &report.churn {
        run.churn = Some(churn_run(churn, observer));
    }
    if let Some(flap) = &report.flap {
        let seconds = |phase| observer.cpu(phase).unwrap_or_default().seconds;
        run.flap = Some(FlapRun {
            withdraw: flap.withdraw_seconds,
            withdraw_cpu: seconds(Phase::Withdrawing),
            announce: flap.announce_seconds,
            announce_cpu: seconds(Phase::Announcing),
        });
    }
    run
}

fn churn_run(churn: &load::Churn, observer: &Observer<'_>) -> ChurnRun {
    let updates = churn.updates.max(1) as f64;
    let cpu = observer.cpu(Phase::Churning).unwrap_or_default();
    let growth = observer.span(Phase::Churning).map_or(0.0, |(from, to)| {
        1024.0 * (to.memory.resident as f64 - from.memory.resident as f64)
    });
    let latency = churn.latency.unwrap_or_default();
    let calm = churn.calm.unwrap_or_default();
    let ms = |us: u64| us as f64 / 1000.0;
    ChurnRun {
        updates_per_second: churn.updates_per_second,
        cpu_us: cpu.seconds * 1e6 / updates,
        lost: churn.lost,
        p50_ms: ms(latency.p50_us),
        p99_ms: ms(latency.p99_us),
        p999_ms: ms(latency.p999_us),
        max_ms: ms(latency.max_us),
        calm_p50_ms: ms(calm.p50_us),
        calm_p99_ms: ms(calm.p99_us),
        calm_p999_ms: ms(calm.p999_us),
        growth: growth / updates,
    }
}

/// Why a run is void: a session failed, a table differs.
fn trouble(report: &Report) -> Option<String> {
    let mut text = String::new();
    if let Some(failure) = report.failures.first() {
        text = format!("{}: {}", failure.session, failure.error);
        match report.failures.len() - 1 {
            0 => {}
            more => text.push_str(&format!(" (and {more} more)")),
        }
    }
    let differences = report
        .differences
        .as_ref()
        .filter(|found| found.total() > 0);
    let Some(found) = differences else {
        return Some(text).filter(|text| !text.is_empty());
    };
    if !text.is_empty() {
        text.push_str("; ");
    }
    text.push_str(&format!(
        "wrong table: {} missing, {} unexpected, {} changed, {} not the best",
        found.missing, found.unexpected, found.changed, found.not_best
    ));
    if let Some(example) = found.examples.first() {
        let side = |side: &Option<String>| side.clone().unwrap_or_else(|| "nothing".to_owned());
        let (sent, received) = (side(&example.sent), side(&example.received));
        text.push_str(&format!(
            "; {} {} at {}: sent {sent}, received {received}",
            example.kind, example.prefix, example.receiver
        ));
    }
    Some(text)
}
