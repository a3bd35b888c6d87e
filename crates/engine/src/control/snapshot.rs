//! How a worker is, for `show` and the metrics.

use thruway_wire::Time;

use crate::Worker;
use crate::control::status::{Counters, PeerStatus, WorkerStatus};
use crate::session::peers::Peer;
use crate::session::profile::missing_policies;

impl Worker {
    /// A snapshot: no table is walked for it.
    pub(crate) fn status(&mut self, now: Time) -> WorkerStatus {
        for id in self.peers.ids() {
            let told = self.egress.take_sent(id);
            if let Some(peer) = self.peers.get_mut(id) {
                peer.count_sent(told);
            }
        }
        WorkerStatus {
            worker: self.config.id,
            now,
            peers: self
                .peers
                .iter()
                .map(|peer| self.peer_status(peer))
                .collect(),
            tables: self
                .shard
                .as_ref()
                .map(|stage| stage.tables())
                .unwrap_or_default(),
            import_hits: self
                .shard
                .as_ref()
                .map(|stage| stage.import_hits())
                .unwrap_or_default(),
            export_hits: self
                .shard
                .as_ref()
                .map(|stage| stage.export_hits())
                .unwrap_or_default(),
            shard: self.shard.as_ref().map(|stage| stage.shard.counters()),
            counters: self.counters(),
        }
    }

    fn peer_status(&self, peer: &Peer) -> PeerStatus {
        let (id, session) = (peer.config.id, &peer.session);
        let standing = self.egress.standing(id);
        let internal = session
            .negotiated()
            .is_some_and(|negotiated| negotiated.internal);
        let (no_import_policy, no_export_policy) = missing_policies(&peer.config, internal);
        let conn = session.conn();
        let agreed = session.negotiated().map(|negotiated| negotiated.families);
        let agreed = agreed.unwrap_or_default();
        let taken = peer.up.as_ref().map_or(agreed, |up| up.ctx.families);
        PeerStatus {
            peer: id,
            name: peer.config.name.clone(),
            addr: peer.config.addr,
            role: peer.config.role,
            dynamic: peer.range.is_some(),
            range: peer.range.clone(),
            shutdown: peer.shutdown,
            state: session.state(),
            since: session.established_at(),
            ends: conn
                .and_then(|conn| self.conns.get(conn))
                .and_then(|conn| conn.ends),
            negotiated: session.negotiated().cloned(),
            disabled: agreed
                .iter()
                .filter(|family| !taken.contains(*family))
                .collect(),
            messages: *session.counters(),
            bytes_in: peer.stats.bytes_in,
            bytes_out: peer.stats.bytes_out,
            last_sent: session.last_sent().map(|(at, sent)| (at, sent.clone())),
            last_received: session
                .last_received()
                .map(|(at, received)| (at, received.clone())),
            last_down: session.last_down().map(|(at, reason)| (at, reason.clone())),
            damped: session.damped(),
            update_errors: peer.stats.update_errors,
            routes_announced: peer.stats.queued.announced,
            routes_withdrawn: peer.stats.queued.withdrawn,
            group: standing.map(|standing| standing.group),
            queued: conn.map_or(0, |conn| self.conns.queued(conn)),
            behind: standing.is_some_and(|standing| standing.slow),
            table_sent: standing.is_some_and(|standing| standing.told),
            table_received: peer.up.as_ref().map_or([false; 2], |up| up.received),
            no_import_policy,
            no_export_policy,
            quiet_max: peer.stats.quiet_max,
        }
    }

    fn counters(&self) -> Counters {
        let sets = self.ingress.stats();
        Counters {
            announced_in: self.ingress.announced,
            withdrawn_in: self.ingress.withdrawn,
            updates_encoded: self.egress.messages,
            bytes_queued: self.egress.bytes,
            bytes_out: self.conns.bytes_out,
            sets: sets.sets as u64,
            sets_bytes: sets.bytes as u64,
            queued: self.conns.queued as u64,
            detached: self.egress.detached,
            ..self.counters
        }
    }
}
