//! The control plane's commands.

use std::sync::Arc;

use thruway_rib::{PeerId, Query, ShardEvent};
use thruway_session::{Session, State};
use thruway_wire::notification::Notification;
use thruway_wire::{Family, Time};

use crate::session::peers::Peer;
use crate::session::profile::{
    advertised_limits, group_key, peer_profile, prefix_limit, same_limit,
};
use crate::{Command, PeerConfig, PolicyRef, QueryId, Reply, Reset, Sink, Worker};

impl Worker {
    pub(crate) fn command(&mut self, now: Time, command: Command, out: &mut dyn Sink) {
        match command {
            Command::AddPeer(config) => self.add_peer(now, config, out),
            Command::UpdatePeer(config) => self.update_peer(now, config, out),
            Command::RemovePeer(id) => self.remove_peer(now, id, out),
            Command::SetRange(range) => self.peers.set_range(range),
            Command::RemoveRange(name) => self.remove_range(now, &name, out),
            Command::Reset { peer, kind } => self.reset(now, peer, kind, out),
            Command::Eligibility(eligibility) => {
                for profile in self.groups.set_eligibility(eligibility) {
                    self.ingress.broadcast(&ShardEvent::Group(profile));
                }
            }
            Command::Query { id, query } => self.query(id, query, out),
            Command::Cancel(id) => {
                if let Some(shard) = &mut self.shard {
                    shard.cancel(id);
                }
            }
            Command::Status(id) => {
                let status = self.status(now);
                out.reply(id, Reply::Status(Box::new(status)));
            }
            Command::Settle(id) => self.begin_settle(now, id, out),
            Command::Shutdown(text) => self.shut_down(now, &text, out),
        }
    }

    fn add_peer(&mut self, now: Time, config: PeerConfig, out: &mut dyn Sink) {
        let (id, shutdown) = (config.id, config.shutdown);
        self.peers.insert(Peer::new(config, None, self.config.seed));
        if !shutdown && !self.draining {
            self.with_session(now, id, out, |session, actions| session.start(now, actions));
        }
    }

    /// Policies, checks, limits and exports change in place; the rest resets the session.
    fn update_peer(&mut self, now: Time, config: PeerConfig, out: &mut dyn Sink) {
        let id = config.id;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let started = peer.shutdown && !config.shutdown;
        let stopped = !peer.shutdown && config.shutdown;
        peer.shutdown = config.shutdown;
        let old = &peer.config;
        let limits = |config: &PeerConfig| (config.limits, config.max_advertised);
        let other_limits = limits(old) != limits(&config);
        let ask_again = old.local_pref != config.local_pref;
        // What a connection is made with, and what the peer is to us, are of the whole session.
        let whole = |config: &PeerConfig| (config.addr, config.transport.clone(), config.role);
        let other_session = whole(old) != whole(&config);
        let needs_reset = peer.session.reconfigure(config.session.clone()) || other_session;
        peer.config = config;
        if stopped {
            return self.reset(now, id, Reset::Shutdown(String::new()), out);
        }
        if started {
            return self.reset(now, id, Reset::Start, out);
        }
        if std::mem::take(&mut peer.limited) && peer.session.state() == State::Idle {
            // It is down for a limit: with another one it may come up at once.
            if other_limits {
                return self.reset(now, id, Reset::Start, out);
            }
            peer.limited = true;
            return;
        }
        if needs_reset {
            let notification = Notification::other_configuration_change();
            return self.with_session(now, id, out, |session, actions| {
                session.reset(now, notification, actions);
            });
        }
        self.update_import(id);
        self.update_export(now, id, out);
        if ask_again {
            self.reset(now, id, Reset::SoftIn, out);
        }
    }

    fn update_import(&mut self, id: PeerId) {
        let home = self.config.id;
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        let Some(negotiated) = peer.session.negotiated() else {
            return;
        };
        for (limit, config) in peer.limits.iter_mut().zip(&peer.config.limits) {
            if !same_limit(limit.as_ref(), config.as_ref()) {
                *limit = config.as_ref().map(prefix_limit);
            }
        }
        let limits = peer.limits.clone();
        if let Some(up) = &mut peer.up {
            let local = up.local.ip();
            let profile = peer_profile(&peer.config, negotiated, home, local, up.link, limits);
            let profile = Arc::new(profile);
            up.profile = profile.clone();
            self.ingress.broadcast(&ShardEvent::PeerUp(profile));
        }
    }

    fn update_export(&mut self, now: Time, id: PeerId, out: &mut dyn Sink) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let (Some(negotiated), Some(up)) = (peer.session.negotiated(), &peer.up) else {
            return;
        };
        let key = group_key(&peer.config, negotiated, up.local.ip(), up.link);
        match &up.group {
            Some((held, group)) if *held == key => {
                let policy = peer.config.export.policy.as_ref().map(PolicyRef::policy);
                let policy = policy.and_then(|policy| self.groups.set_policy(group.id, &policy));
                let limits = advertised_limits(&peer.config);
                let limits = self.groups.set_limits(group.id, limits);
                // The later profile holds what the earlier one changed.
                if let Some(profile) = limits.or(policy) {
                    self.ingress.broadcast(&ShardEvent::Group(profile));
                }
            }
            // Identifiers differ between groups, so the old group's paths cannot be withdrawn by
            // walking the new one's.
            _ if !negotiated.add_path_tx.is_empty() => {
                let notification = Notification::other_configuration_change();
                self.with_session(now, id, out, |session, actions| {
                    session.reset(now, notification, actions);
                });
            }
            _ => self.egress.begin_move(id),
        }
    }

    /// The member has left its group's stream: the group that its configuration now asks for is told.
    pub(crate) fn move_on(&mut self, id: PeerId, out: &mut dyn Sink) {
        let Some(peer) = self.peers.get(id) else {
            return;
        };
        let (Some(negotiated), Some(up)) = (peer.session.negotiated(), &peer.up) else {
            return;
        };
        let key = group_key(&peer.config, negotiated, up.local.ip(), up.link);
        self.leave(id);
        self.join(id, key, true, out);
    }

    fn remove_peer(&mut self, now: Time, id: PeerId, out: &mut dyn Sink) {
        let notification = Notification::peer_deconfigured();
        self.with_session(now, id, out, |session, actions| {
            session.stop(now, notification, None, actions);
        });
        self.retire(id, out);
    }

    fn remove_range(&mut self, now: Time, name: &str, out: &mut dyn Sink) {
        self.peers.remove_range(name);
        let ids: Vec<PeerId> = self
            .peers
            .of_range(name)
            .map(|peer| peer.config.id)
            .collect();
        for id in ids {
            self.remove_peer(now, id, out);
        }
    }

    fn reset(&mut self, now: Time, id: PeerId, kind: Reset, out: &mut dyn Sink) {
        let Some(peer) = self.peers.get_mut(id) else {
            return;
        };
        match kind {
            Reset::SoftOut => {
                let families = peer
                    .up
                    .as_ref()
                    .map(|up| up.ctx.families)
                    .unwrap_or_default();
                for family in families.iter() {
                    self.refresh_out(now, id, family, out);
                }
            }
            Reset::SoftIn => self.with_session(now, id, out, |session, actions| {
                for family in families_of(session) {
                    session.request_refresh(family, actions);
                }
            }),
            Reset::Hard(text) => {
                peer.limited = false;
                let notification = Notification::administrative_reset().with_text(&text);
                self.with_session(now, id, out, |session, actions| {
                    session.reset(now, notification, actions);
                });
            }
            Reset::Shutdown(text) => {
                (peer.shutdown, peer.limited) = (true, false);
                let notification = Notification::administrative_shutdown().with_text(&text);
                self.with_session(now, id, out, |session, actions| {
                    session.stop(now, notification, None, actions);
                });
            }
            Reset::Start => {
                (peer.shutdown, peer.limited) = (false, false);
                self.with_session(now, id, out, |session, actions| session.start(now, actions));
            }
        }
    }

    fn query(&mut self, id: QueryId, mut query: Query, out: &mut dyn Sink) {
        if let Query::Tally { eligibility } = &mut query {
            eligibility.get_or_insert_with(|| self.groups.eligibility());
        }
        match (&mut self.shard, query) {
            (Some(shard), query) => shard.ask(id, query, out),
            (None, Query::Tally { .. }) => out.reply(id, Reply::Tally(Vec::new())),
            (None, _) => out.reply(id, Reply::Done),
        }
    }

    fn shut_down(&mut self, now: Time, text: &str, out: &mut dyn Sink) {
        self.draining = true;
        for id in self.peers.ids() {
            let notification = Notification::administrative_shutdown().with_text(text);
            self.with_session(now, id, out, |session, actions| {
                session.stop(now, notification, None, actions);
            });
        }
    }
}

fn families_of(session: &Session) -> Vec<Family> {
    session
        .negotiated()
        .map(|negotiated| negotiated.families.iter().collect())
        .unwrap_or_default()
}
