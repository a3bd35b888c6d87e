//! The speaker's thread.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::mpsc::{Receiver, SyncSender};
use std::time::Instant;

use bytes::Bytes;
use thruway_net::Waker;
use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::{AfiSafi, Family};

use super::{Command, Shared, SpeakerOptions};
use crate::endpoint::{Endpoint, Handler};
use crate::pack::{Packing, pack_groups};
use crate::peer::{Negotiated, SessionEnd};
use crate::table::Table;

type Ready = SyncSender<io::Result<(Waker, Option<SocketAddr>)>>;

pub(super) fn run(
    options: SpeakerOptions,
    shared: &Shared,
    inbox: &Receiver<Command>,
    ready: &Ready,
) {
    let opened = open(options);
    let endpoint = match opened {
        Ok(endpoint) => {
            let told = (endpoint.waker(), endpoint.listening_on(0));
            // The owner waits for just this.
            let _ = ready.send(Ok(told));
            endpoint
        }
        Err(error) => {
            let _ = ready.send(Err(error));
            return;
        }
    };
    let hearing = Hearing {
        shared,
        up: None,
        scratch: AttrSetBuf::new(),
        changed: false,
        given: 0,
    };
    Worker {
        endpoint,
        hearing,
        inbox,
        waiting: VecDeque::new(),
    }
    .run();
}

fn open(options: SpeakerOptions) -> io::Result<Endpoint> {
    let mut endpoint = Endpoint::open(options.transport)?;
    endpoint.add(options.session, options.patience)?;
    Ok(endpoint)
}

struct Worker<'a> {
    endpoint: Endpoint,
    hearing: Hearing<'a>,
    inbox: &'a Receiver<Command>,
    // Commands for a session that is not up yet.
    waiting: VecDeque<Command>,
}

/// What the session hears goes into the shared state.
struct Hearing<'a> {
    shared: &'a Shared,
    up: Option<Negotiated>,
    scratch: AttrSetBuf,
    changed: bool,
    /// Commands whose octets are in the endpoint's hands.
    given: u64,
}

impl Worker<'_> {
    fn run(&mut self) {
        loop {
            if let Err(error) = self.endpoint.poll(None, &mut self.hearing) {
                self.hearing.ended(0, SessionEnd::Closed(error.to_string()));
            }
            let traffic = self.endpoint.traffic();
            {
                let mut state = self.hearing.shared.lock();
                state.stats.bytes_in = traffic.bytes_in;
                state.stats.bytes_out = traffic.bytes_out;
            }
            if std::mem::take(&mut self.hearing.changed) {
                self.hearing.shared.notify();
            }
            while let Ok(command) = self.inbox.try_recv() {
                if matches!(command, Command::Drop) {
                    return;
                }
                self.waiting.push_back(command);
            }
            let is_over = self.hearing.shared.lock().ended.is_some();
            if let Some(up) = self.hearing.up.clone() {
                while let Some(command) = self.waiting.pop_front() {
                    self.command(command, &up);
                }
                self.endpoint.flush(Instant::now(), &mut self.hearing);
                if std::mem::take(&mut self.hearing.changed) {
                    self.hearing.shared.notify();
                }
            } else if is_over {
                self.waiting.clear();
            }
        }
    }

    fn command(&mut self, command: Command, up: &Negotiated) {
        self.hearing.given += 1;
        match command {
            Command::Bytes(bytes) => self.endpoint.push(0, bytes),
            Command::Table(table) => self.push_table(&table, up),
            Command::Withdraw(nlri) => {
                let mut table = Table::new();
                for family in Family::ALL {
                    table.push(
                        std::time::Duration::ZERO,
                        None,
                        family,
                        nlri.iter().copied(),
                    );
                }
                self.push_table(&table, up);
            }
            Command::Refresh(family) => {
                let mut message = Vec::new();
                RouteRefresh { family, subtype: 0 }.encode(&mut message);
                self.endpoint.push(0, message.into());
            }
            Command::SetReading(on) => self.endpoint.set_reading(0, on),
            Command::Close(notification) => {
                self.endpoint.close(0, notification);
                self.hearing.ended(0, SessionEnd::Finished);
            }
            Command::Drop => {}
        }
        self.endpoint.nudge(0);
    }

    fn push_table(&mut self, table: &Table, up: &Negotiated) {
        let packed = pack_groups(table, &Packing::of(up, false));
        for chunk in packed.chunks {
            self.endpoint.push(0, chunk.bytes);
        }
    }
}

impl Handler for Hearing<'_> {
    fn established(&mut self, _index: usize, negotiated: &Negotiated, _now: Instant) {
        self.up = Some(negotiated.clone());
        self.shared.lock().up = Some(negotiated.clone());
        self.changed = true;
    }

    fn update(&mut self, _index: usize, body: &[u8], negotiated: &Negotiated, _now: Instant) {
        let mut state = self.shared.lock();
        let super::State { table, stats, .. } = &mut *state;
        table.update(body, negotiated, &mut self.scratch, stats);
        self.changed = true;
    }

    fn refresh(&mut self, _index: usize, family: AfiSafi) {
        self.shared.lock().refreshes.push(family);
        self.changed = true;
    }

    fn ended(&mut self, _index: usize, end: SessionEnd) {
        self.shared.lock().ended.get_or_insert(end);
        self.changed = true;
    }

    fn more(&mut self, _index: usize, _outbox: &mut VecDeque<Bytes>, _now: Instant) {
        let mut state = self.shared.lock();
        if state.done != self.given {
            state.done = self.given;
            self.changed = true;
        }
    }
}
