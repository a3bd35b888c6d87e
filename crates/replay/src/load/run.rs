//! A run's phases, one after the other.

use std::time::{Duration, Instant};

use rustix::time::{ClockId, clock_gettime};
use thruway_wire::Asn;
use thruway_wire::notification::Notification;

use super::client::{Client, Clock};
use super::expect::{Builder, Comparison, Expected, Place, unspoken};
use super::report::{Failure, Report};
use super::tally::{Probes, Tally};
use super::verify::differences;
use super::{LoadError, LoadOptions, Speed};
use crate::endpoint::Endpoint;
use crate::limits::{CLOSE_DEADLINE, CONNECT_WAVE, PROGRESS_INTERVAL, SETTLE, WAVE_PATIENCE};
use crate::pack::{Packing, pack};
use crate::progress::{Phase, Progress, Snapshot};
use crate::table::Table;

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

pub(super) struct Runner<'a> {
    pub(super) options: &'a LoadOptions,
    pub(super) endpoint: Endpoint,
    pub(super) client: Client,
    progress: &'a mut dyn Progress,
    began: Instant,
    shown: Option<Instant>,
    pub(super) notes: Vec<String>,
    stay_until: Option<Instant>,
}

/// What was measured between the first octet and the last.
pub(super) struct Measured {
    pub(super) cpu: Duration,
    pub(super) bytes_in: u64,
    pub(super) converged: bool,
}

impl Runner<'_> {
    fn run(&mut self) -> Result<Report, LoadError> {
        self.begin(Phase::Connecting);
        self.connect()?;
        let up_at = Instant::now();
        let mut report = Report {
            sessions_seconds: self.began.elapsed().as_secs_f64(),
            transport: self.endpoint.kind().to_string(),
            senders: self.client.senders.len(),
            receivers: self.client.receivers.len(),
            ..Report::default()
        };
        if self.client.failures.is_empty() {
            self.begin(Phase::Preparing);
            self.prepare()?;
            while up_at.elapsed() < self.options.pause {
                self.turn(Phase::Preparing, None)?;
            }
            let measured = self.converge()?;
            self.begin(Phase::Checking);
            self.fill_in(&mut report, &measured);
            self.flap(&mut report)?;
            self.churn(&mut report)?;
            self.begin(Phase::Checking);
            if !self.client.receivers.is_empty() {
                let options = self.options;
                let found = differences(&self.client, options.verify, options.best);
                report.differences = Some(found);
            }
            self.begin(Phase::Staying);
            self.stay()?;
        }
        self.begin(Phase::Closing);
        self.close()?;
        report.failures = std::mem::take(&mut self.client.failures);
        report.notes = std::mem::take(&mut self.notes);
        Ok(report)
    }

    pub(super) fn begin(&mut self, phase: Phase) {
        self.progress.begins(phase);
    }

    fn connect(&mut self) -> Result<(), LoadError> {
        let patience = self.options.patience.sessions;
        let options = self.options;
        let senders = options.senders.iter().map(|sender| &sender.session);
        let sessions: Vec<_> = senders.chain(&options.receivers).collect();
        for (wave, sessions) in sessions.chunks(CONNECT_WAVE).enumerate() {
            for session in sessions {
                if let Err(error) = self.endpoint.add((*session).clone(), patience) {
                    let error = format!("cannot listen: {error}");
                    let session = session.name.clone();
                    self.client.failures.push(Failure { session, error });
                }
            }
            // Servers have short queues for connections: what overflows them waits for minutes.
            let (next, wanted) = (Instant::now() + WAVE_PATIENCE, (wave + 1) * CONNECT_WAVE);
            while self.client.up() < wanted.min(self.client.sessions())
                && self.client.failures.is_empty()
                && Instant::now() < next
            {
                self.turn(Phase::Connecting, None)?;
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
        self.expect(builder.finish(), comparison);
        Ok(())
    }

    /// Sets up what receivers wait for, and whose way is timed.
    fn expect(&mut self, expected: Expected, comparison: Comparison) {
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
        for (index, receiver) in self.client.receivers.iter_mut().enumerate() {
            let mut tally = Tally::new(&expected, self.options.verify, comparison);
            let sender = self.client.senders.get(index);
            if let Some(sender) = sender.filter(|_| self.options.exchange) {
                leave_out_own(&mut tally, index as u32, &sender.table, &expected);
            }
            receiver.tally = Some(tally);
        }
        self.client.expected = expected;
    }

    /// Sends everything and waits until it is everywhere.
    fn converge(&mut self) -> Result<Measured, LoadError> {
        // What came during preparation is not part of the run.
        self.turn(Phase::Preparing, Some(Duration::ZERO))?;
        self.begin(Phase::Converging);
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
    pub(super) fn send_all(&mut self, start: Instant) -> Result<bool, LoadError> {
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

    fn stay(&mut self) -> Result<(), LoadError> {
        let until = Instant::now() + self.options.stay;
        self.stay_until = Some(until);
        // Without a session there is nothing left to stay for.
        while Instant::now() < until && self.endpoint.has_connections() {
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
    pub(super) fn turn(&mut self, phase: Phase, wait: Option<Duration>) -> Result<(), LoadError> {
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
            (Phase::Converging | Phase::Announcing | Phase::Churning, _)
                if client.receivers.is_empty() =>
            {
                let done = client.senders.iter().map(|sender| sender.nlri).sum();
                (
                    done,
                    client.senders.iter().map(|sender| sender.packed.nlri).sum(),
                )
            }
            (Phase::Converging | Phase::Withdrawing | Phase::Announcing | Phase::Churning, _) => {
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

/// What only the receiver itself sends must not come back to it.
fn leave_out_own(tally: &mut Tally, sender: u32, table: &Table, expected: &Expected) {
    for (nlri, set) in table.routes() {
        let place = set.and_then(|_| expected.place(nlri.prefix));
        let Some(index) = place.map(Place::index) else {
            continue;
        };
        if expected
            .offers(index)
            .iter()
            .all(|offer| offer.sender == sender)
        {
            tally.leave_out(index, expected);
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
