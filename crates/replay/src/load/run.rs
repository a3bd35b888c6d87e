//! A run's phases, one after the other.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use thruway_wire::Asn;
use thruway_wire::attrs::AttrFlags;
use thruway_wire::notification::Notification;

use super::churn::Churning;
use super::client::{Client, Clock};
use super::expect::{Builder, Comparison, unspoken};
use super::report::{Failure, Flow, Latency, Report};
use super::tally::{Probes, Tally};
use super::verify::differences;
use super::{LoadError, LoadOptions, Speed};
use crate::endpoint::Endpoint;
use crate::limits::{CLOSE_DEADLINE, PROGRESS_INTERVAL, SETTLE};
use crate::pack::{Packing, pack};
use crate::progress::{Phase, Progress, Snapshot};

/// Applies a load and reports.
///
/// # Errors
/// [`LoadError`] where the tool could not open its own sockets. A session that fails is in the
/// report instead.
pub fn run(options: &LoadOptions, progress: &mut dyn Progress) -> Result<Report, LoadError> {
    if options.senders.is_empty() && options.receivers.is_empty() {
        return Err(LoadError::Empty);
    }
    let endpoint = Endpoint::open(options.transport)
        .map_err(|error| LoadError::Transport("cannot open a transport", error))?;
    let began = Instant::now();
    let mut runner = Runner {
        options,
        endpoint,
        client: Client::new(options),
        progress,
        began,
        shown: None,
        notes: Vec::new(),
        stay_until: None,
    };
    runner.run()
}

struct Runner<'a> {
    options: &'a LoadOptions,
    endpoint: Endpoint,
    client: Client,
    progress: &'a mut dyn Progress,
    began: Instant,
    shown: Option<Instant>,
    notes: Vec<String>,
    stay_until: Option<Instant>,
}

/// What was measured between the first octet and the last.
struct Measured {
    cpu: Duration,
    bytes_in: u64,
    converged: bool,
}

impl Runner<'_> {
    fn run(&mut self) -> Result<Report, LoadError> {
        self.connect()?;
        let mut report = Report {
            transport: self.endpoint.kind().to_string(),
            senders: self.client.senders.len(),
            receivers: self.client.receivers.len(),
            ..Report::default()
        };
        if self.client.failures.is_empty() {
            self.prepare()?;
            let measured = self.converge()?;
            self.fill_in(&mut report, &measured);
            self.churn(&mut report)?;
            if !self.client.receivers.is_empty() {
                let found = differences(&self.client, self.options.verify);
                report.differences = Some(found);
            }
            self.stay()?;
        }
        self.close()?;
        report.failures = std::mem::take(&mut self.client.failures);
        report.notes = std::mem::take(&mut self.notes);
        Ok(report)
    }

    fn connect(&mut self) -> Result<(), LoadError> {
        let patience = self.options.patience.sessions;
        let senders = self.options.senders.iter().map(|sender| &sender.session);
        for session in senders.chain(&self.options.receivers) {
            if let Err(error) = self.endpoint.add(session.clone(), patience) {
                let error = format!("cannot listen: {error}");
                self.client.failures.push(Failure {
                    session: session.name.clone(),
                    error,
                });
            }
        }
        while self.client.up() < self.client.sessions() && self.client.failures.is_empty() {
            self.turn(Phase::Connecting, None)?;
        }
        Ok(())
    }

    /// Encodes every UPDATE and lists what receivers should get.
    fn prepare(&mut self) -> Result<(), LoadError> {
        let paced = self.options.speed != Speed::Max;
        let server = self
            .client
            .receivers
            .iter()
            .find_map(|receiver| receiver.up.as_ref());
        let server = server.map_or(Asn::ZERO, |up| up.remote_asn);
        let comparison = Comparison::new(self.options.expect, server);
        let mut builder = Builder::default();
        for index in 0..self.client.senders.len() {
            // Packing takes a while: KEEPALIVEs go out in between.
            self.turn(Phase::Preparing, Some(Duration::ZERO))?;
            let Some(sender) = self.client.senders.get_mut(index) else {
                continue;
            };
            let Some(up) = &sender.up else { continue };
            sender.packed = pack(&sender.table, &Packing::of(up, paced));
            if !up.external {
                let asn = up.remote_asn;
                let why = "the neighbour is in the session's own AS";
                self.notes
                    .push(format!("{}: {why}, {asn}: see --local-as", sender.name));
            }
            for family in unspoken(&sender.table, up.families) {
                self.notes.push(format!(
                    "{}: the neighbour does not speak {family}",
                    sender.name
                ));
            }
            if !self.client.receivers.is_empty() {
                let unsendable = &sender.packed.unsendable_groups;
                let told = |group: usize| unsendable.binary_search(&(group as u32)).is_err();
                builder.add(
                    index as u32,
                    &sender.table,
                    told,
                    up.add_path_send,
                    comparison,
                );
            }
        }
        let expected = builder.finish();
        for sender in &mut self.client.senders {
            for (chunk_index, chunk) in sender.packed.chunks.iter().enumerate() {
                let groups = sender
                    .table
                    .groups()
                    .get(chunk.groups.clone())
                    .unwrap_or_default();
                let nlri = groups
                    .iter()
                    .flat_map(|group| sender.table.run(group).iter());
                let places = nlri.filter_map(|nlri| expected.place(nlri.prefix));
                let probes = places.filter(|place| place.is_probe());
                sender
                    .probes
                    .extend(probes.map(|place| (chunk_index, place)));
            }
        }
        for receiver in &mut self.client.receivers {
            receiver.tally = Some(Tally::new(&expected, self.options.verify, comparison));
        }
        self.client.expected = expected;
        Ok(())
    }

    /// Sends everything and waits until it is everywhere.
    fn converge(&mut self) -> Result<Measured, LoadError> {
        // What came during preparation is not part of the run.
        self.turn(Phase::Preparing, Some(Duration::ZERO))?;
        let start = Instant::now();
        let (cpu, bytes_in) = (cpu_time(), self.endpoint.traffic().bytes_in);
        let probes = Probes::new(
            start,
            self.client.expected.len(),
            self.client.senders.len() > 1,
        );
        self.client.clock = Some(Clock { start, probes });
        let converged = self.send_all(start)?;
        Ok(Measured {
            cpu: cpu_time().saturating_sub(cpu),
            bytes_in: self.endpoint.traffic().bytes_in - bytes_in,
            converged,
        })
    }

    /// Until everything is sent and received; false where it was given up.
    fn send_all(&mut self, start: Instant) -> Result<bool, LoadError> {
        for index in 0..self.client.senders.len() {
            self.endpoint.nudge(index);
        }
        let chunks = self
            .client
            .senders
            .iter()
            .flat_map(|sender| &sender.packed.chunks);
        let span = chunks
            .map(|chunk| self.client.speed.due(chunk.at))
            .max()
            .unwrap_or_default();
        let deadline = start + span + self.options.patience.run;
        let settle = match self.options.verify || self.client.senders.len() > 1 {
            true => SETTLE,
            false => Duration::ZERO,
        };
        let (mut moved_at, mut movement) = (Instant::now(), self.client.movement());
        loop {
            let now = Instant::now();
            let (due, next) = self.client.due(now);
            due.into_iter().for_each(|index| self.endpoint.nudge(index));
            if self.client.all_sent()
                && self.client.all_received()
                && self.client.all_quiet(now, start, settle)
            {
                return Ok(true);
            }
            let waiting_for_time = next.is_some();
            if self.client.movement() != movement || waiting_for_time {
                (moved_at, movement) = (now, self.client.movement());
            } else if now.saturating_duration_since(moved_at) >= self.options.patience.idle {
                self.give_up("nothing moved any more");
                return Ok(false);
            }
            if now >= deadline {
                self.give_up("the run took too long");
                return Ok(false);
            }
            if self.client.senders.iter().all(|sender| sender.ended)
                && self.client.receivers.iter().all(|receiver| receiver.ended)
            {
                return Ok(false);
            }
            let wait = next.map(|at| at.saturating_duration_since(now));
            let wait = wait
                .into_iter()
                .chain([settle.max(Duration::from_millis(10))])
                .min();
            self.turn(Phase::Converging, wait)?;
        }
    }

    fn give_up(&mut self, why: &str) {
        let idle = self.options.patience.idle.as_secs_f64();
        let unsent = self
            .client
            .senders
            .iter()
            .filter(|s| !s.ended && s.sent_all_at.is_none());
        let unsent: Vec<_> = unsent.map(|sender| sender.name.clone()).collect();
        for session in unsent {
            let error = format!("{why} ({idle} s idle at most): the neighbour does not read");
            self.client.failures.push(Failure { session, error });
        }
        let incomplete = self
            .client
            .receivers
            .iter()
            .filter(|receiver| !receiver.ended);
        let incomplete = incomplete.filter_map(|receiver| {
            let left = receiver.tally.as_ref()?.left();
            (left > 0).then(|| (receiver.name.clone(), left))
        });
        for (session, left) in incomplete.collect::<Vec<_>>() {
            let error = format!("{why}: {left} prefixes did not come");
            self.client.failures.push(Failure { session, error });
        }
    }

    fn fill_in(&mut self, report: &mut Report, measured: &Measured) {
        let client = &self.client;
        let Some(clock) = &client.clock else { return };
        let since = |at: Option<Instant>| {
            at.map_or(Duration::ZERO, |at| {
                at.saturating_duration_since(clock.start)
            })
        };
        let sent_at = client
            .senders
            .iter()
            .filter_map(|sender| sender.sent_all_at)
            .max();
        let sum = |count: fn(&super::client::Sender) -> u64| client.senders.iter().map(count).sum();
        let (nlri, messages, bytes) = (
            sum(|s| s.nlri),
            sum(|s| s.packed.messages),
            sum(|s| s.packed.bytes),
        );
        report.sent = Flow::new(nlri, messages, bytes, since(sent_at));
        report.unsendable = sum(|s| s.packed.unsendable);
        let tallies = || {
            client
                .receivers
                .iter()
                .filter_map(|receiver| receiver.tally.as_ref())
        };
        let messages = tallies().map(|tally| tally.messages).sum();
        let changed_at = tallies().filter_map(|tally| tally.changed_at).max();
        let time = since(changed_at);
        report.received = Flow::new(client.received(), messages, measured.bytes_in, time);
        let all = measured.converged && client.receivers.iter().all(|receiver| !receiver.ended);
        let came = !client.receivers.is_empty();
        report.convergence_seconds = (all && came).then_some(time.as_secs_f64());
        report.cpu_seconds = measured.cpu.as_secs_f64();
        report.latency = Latency::of(&clock.probes.latency);
        self.note_trouble();
    }

    fn note_trouble(&mut self) {
        let client = &mut self.client;
        for receiver in &client.receivers {
            let Some(tally) = &receiver.tally else {
                continue;
            };
            if let Some(error) = &tally.first_error {
                client.failures.push(Failure {
                    session: receiver.name.clone(),
                    error: format!("{} malformed UPDATEs, the first: {error}", tally.malformed),
                });
            }
        }
        let sets = client
            .senders
            .iter()
            .flat_map(|sender| sender.table.groups());
        let as_sets = sets
            .filter(|group| {
                group
                    .set
                    .as_ref()
                    .is_some_and(|set| set.meta().flags.has(AttrFlags::AS_SET))
            })
            .map(|group| group.len() as u64)
            .sum::<u64>();
        if as_sets > 0 && client.tallies().any(|tally| tally.left() > 0) {
            self.notes.push(format!(
                "{as_sets} sent prefixes have an AS_SET in their path: a server that follows \
                 RFC 9774 drops them unless it is told to allow them"
            ));
        }
    }

    fn churn(&mut self, report: &mut Report) -> Result<(), LoadError> {
        let Some(options) = self.options.churn else {
            return Ok(());
        };
        let standing = self
            .client
            .receivers
            .iter()
            .filter(|receiver| !receiver.ended)
            .count();
        let senders: Vec<_> = self
            .client
            .senders
            .iter()
            .filter_map(|sender| {
                Some((
                    sender.table.as_ref(),
                    Packing::of(sender.up.as_ref()?, false),
                ))
            })
            .collect();
        let start = Instant::now();
        let expected = &self.client.expected;
        self.client.churn = Churning::new(options, &senders, expected, standing as u32, start);
        if self.client.churn.is_none() {
            self.notes
                .push("no churn: no receiver, or every prefix has several senders".into());
            return Ok(());
        }
        loop {
            let now = Instant::now();
            let Some(churn) = &mut self.client.churn else {
                break;
            };
            let over = churn.turn(now);
            if std::mem::take(&mut churn.has_room) {
                (0..self.client.senders.len()).for_each(|index| self.endpoint.nudge(index));
            }
            if over || self.client.receivers.iter().all(|receiver| receiver.ended) {
                break;
            }
            self.turn(Phase::Churning, Some(Duration::from_millis(20)))?;
        }
        report.churn = self.client.churn.take().map(|churn| churn.report());
        // Everything as it was, so that tables can be compared.
        self.client.rewind();
        let start = Instant::now();
        self.send_all(start)?;
        while !self.client.all_quiet(Instant::now(), start, SETTLE) {
            self.turn(Phase::Churning, Some(SETTLE))?;
        }
        Ok(())
    }

    fn stay(&mut self) -> Result<(), LoadError> {
        let until = Instant::now() + self.options.stay;
        self.stay_until = Some(until);
        while Instant::now() < until {
            let left = until.saturating_duration_since(Instant::now());
            self.turn(Phase::Staying, Some(left))?;
        }
        Ok(())
    }

    fn close(&mut self) -> Result<(), LoadError> {
        self.client.closing = true;
        for index in 0..self.client.sessions() {
            // Cease, administrative shutdown (RFC 4486).
            self.endpoint.close(index, Some(Notification::new(6, 2)));
        }
        let deadline = Instant::now() + CLOSE_DEADLINE;
        while self.endpoint.has_connections() && Instant::now() < deadline {
            self.turn(Phase::Closing, Some(Duration::from_millis(50)))?;
        }
        Ok(())
    }

    /// One turn of the endpoint, and the progress callback where it is time.
    fn turn(&mut self, phase: Phase, wait: Option<Duration>) -> Result<(), LoadError> {
        let wait = wait.unwrap_or(PROGRESS_INTERVAL).min(PROGRESS_INTERVAL);
        self.endpoint
            .poll(Some(wait), &mut self.client)
            .map_err(|error| LoadError::Transport("the transport failed", error))?;
        let now = Instant::now();
        let is_time = self
            .shown
            .is_none_or(|shown| now.saturating_duration_since(shown) >= PROGRESS_INTERVAL);
        if is_time {
            self.shown = Some(now);
            let (done, total) = self.share_done(phase, now);
            self.progress.update(&Snapshot {
                phase,
                done,
                total,
                received: self.client.received(),
                elapsed: now.saturating_duration_since(self.began),
            });
        }
        Ok(())
    }

    fn share_done(&self, phase: Phase, now: Instant) -> (u64, u64) {
        let client = &self.client;
        match (phase, &client.churn) {
            (Phase::Churning, Some(churn)) => {
                let (done, total) = churn.elapsed(now);
                (done.as_millis() as u64, total.as_millis() as u64)
            }
            (Phase::Converging | Phase::Churning, _) if client.receivers.is_empty() => {
                let done = client.senders.iter().map(|sender| sender.nlri).sum();
                (
                    done,
                    client.senders.iter().map(|sender| sender.packed.nlri).sum(),
                )
            }
            (Phase::Converging | Phase::Churning, _) => {
                let total = client.expected.required() * client.tallies().count() as u64;
                let left: u64 = client.tallies().map(Tally::left).sum();
                (total.saturating_sub(left), total)
            }
            (Phase::Staying, _) => {
                let whole = self.options.stay;
                let until = self.stay_until.unwrap_or(now);
                let left = until.saturating_duration_since(now);
                (
                    whole.saturating_sub(left).as_millis() as u64,
                    whole.as_millis() as u64,
                )
            }
            (Phase::Preparing, _) => {
                let packed = client
                    .senders
                    .iter()
                    .filter(|s| !s.packed.chunks.is_empty());
                (packed.count() as u64, client.senders.len() as u64)
            }
            _ => (client.up() as u64, client.sessions() as u64),
        }
    }
}

/// CPU time of this thread.
fn cpu_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(
        time.tv_sec.try_into().unwrap_or(0),
        time.tv_nsec.try_into().unwrap_or(0),
    )
}
