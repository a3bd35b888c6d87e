//! The control plane's commands.

use std::sync::Arc;

use thruway_rib::{Foreseen, Foresight, PeerId, Query, ShardEvent};
use thruway_session::Session;
use thruway_wire::notification::Notification;
use thruway_wire::{Family, Time};

use crate::control::outlook::Comes;
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
            Command::Outlook { id, changes } => {
                let outlooks = self.outlook(&changes);
                out.reply(id, Reply::Outlook(outlooks));
            }
            Command::Plan { id, proposal } => match &mut self.shard {
                Some(shard) => {
                    let (seed, shards) = (self.config.seed, self.config.shards);
                    shard.foresee(id, Foresight::new(proposal, seed, shards), out);
                }
                None => out.reply(id, Reply::Planned(Foreseen::default())),
            },
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
        let comes = peer.under(&config);
        peer.shutdown = config.shutdown;
        let ask_again = peer.config.local_pref != config.local_pref;
        let _ = peer.session.reconfigure(config.session.clone());
        peer.config = config;
        match comes {
            Comes::Stopped => self.reset(now, id, Reset::Shutdown(String::new()), out),
            Comes::Started => self.reset(now, id, Reset::Start, out),
            Comes::Limited => {}
            Comes::Reset => {
                peer.limited = false;
                self.begin_anew(now, id, out);
            }
            Comes::InPlace => {
                peer.limited = false;
                self.update_import(id);
                self.update_export(id);
                if ask_again {
                    self.reset(now, id, Reset::SoftIn, out);
                }
            }
        }
    }

    fn begin_anew(&mut self, now: Time, id: PeerId, out: &mut dyn Sink) {
        let notification = Notification::other_configuration_change();
        self.with_session(now, id, out, |session, actions| {
            session.reset(now, notification, actions);
        });
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

    fn update_export(&mut self, id: PeerId) {
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
