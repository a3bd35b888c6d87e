//! The peers of a worker.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use ahash::RandomState;
use hashbrown::HashMap;
use thruway_rib::{GroupId, GroupProfile, PeerId, PeerProfile, PrefixLimit};
use thruway_session::{ConnId, Session, State};
use thruway_wire::update::UpdateContext;
use thruway_wire::{Link, Prefix, Time};

use crate::egress::SentCount;
use crate::shared::registry::GroupKey;
use crate::{LimitEvent, PeerConfig, RangeConfig};

/// A peer, from its configuration (or first connection, in a range) until every shard has swept it.
#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) config: PeerConfig,
    /// The range that it came from.
    pub(crate) range: Option<Arc<str>>,
    pub(crate) session: Session,
    /// When the timers bring it up next.
    pub(crate) armed: Time,
    /// The attempt under way.
    pub(crate) connecting: Option<ConnId>,
    pub(crate) up: Option<Up>,
    /// Counts its sessions.
    pub(crate) epoch: u32,
    pub(crate) limits: [Option<Arc<PrefixLimit>>; 2],
    /// Shards know of it.
    pub(crate) known: bool,
    /// Held down by the operator.
    pub(crate) shutdown: bool,
    /// Stopped by a limit, for as long as that says.
    pub(crate) limited: bool,
    /// It goes; bit n: shard n has still routes of it.
    pub(crate) leaving: Option<u32>,
    pub(crate) stats: Stats,
}

/// An Established session.
#[derive(Debug)]
pub(crate) struct Up {
    pub(crate) conn: ConnId,
    /// Our end.
    pub(crate) local: SocketAddr,
    /// The IPv6 subnet that both ends share.
    pub(crate) link: Option<Link>,
    pub(crate) ctx: UpdateContext,
    pub(crate) profile: Arc<PeerProfile>,
    /// Its update group; `None`: there are too many.
    pub(crate) group: Option<(GroupKey, Arc<GroupProfile>)>,
    /// When a message came last.
    pub(crate) heard: Time,
    pub(crate) received: [bool; 2],
    /// By family, bit n: shard n holds routes back from it.
    pub(crate) held_back: [u32; 2],
    /// It was said that there are paths that it cannot be sent.
    pub(crate) unsendable_noted: bool,
}

/// Counters for `show`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Stats {
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
    /// What was queued for it.
    pub(crate) queued: SentCount,
    /// Attribute discarded, withdrawn, family disabled, reset.
    pub(crate) update_errors: [u64; 4],
    pub(crate) quiet_max: Duration,
    /// The last news of a limit, by family, of what it tells and of what is advertised to it: every shard brings
    /// its own.
    pub(crate) limit_told: [[Option<(Time, LimitEvent)>; 2]; 2],
    /// Error events: the minute that is counted, how many in it, and how many were not told.
    pub(crate) minute: Time,
    pub(crate) told: u32,
    pub(crate) suppressed: u32,
}

impl Peer {
    pub(crate) fn new(config: PeerConfig, range: Option<Arc<str>>, seed: u64) -> Self {
        let key = RandomState::with_seeds(seed, 13, 14, 15).hash_one(config.id);
        Peer {
            session: Session::new(config.session.clone(), key),
            shutdown: config.shutdown,
            config,
            range,
            armed: Time::NEVER,
            connecting: None,
            up: None,
            epoch: 0,
            limits: [None, None],
            known: false,
            leaving: None,
            limited: false,
            stats: Stats::default(),
        }
    }
}

impl Peer {
    /// Adds what was queued for it lately.
    pub(crate) fn count_sent(&mut self, told: SentCount) {
        self.session.count_updates_sent(told.updates);
        self.stats.queued.add(told);
    }

    /// A range's peer whose first connection this is.
    pub(crate) fn is_new(&self) -> bool {
        self.range.is_some() && !self.known && self.session.state() == State::Idle
    }
}

/// Peers by number and address, and the ranges that new ones come from.
#[derive(Debug)]
pub(crate) struct Peers {
    by_id: Vec<Option<Box<Peer>>>,
    by_addr: HashMap<IpAddr, PeerId, RandomState>,
    /// Longest prefix first.
    ranges: Vec<RangeConfig>,
}

impl Peers {
    pub(crate) fn new(seed: u64) -> Self {
        Peers {
            by_id: Vec::new(),
            by_addr: HashMap::with_hasher(RandomState::with_seeds(seed, 16, 17, 18)),
            ranges: Vec::new(),
        }
    }

    pub(crate) fn get(&self, id: PeerId) -> Option<&Peer> {
        self.by_id.get(id.index())?.as_deref()
    }

    pub(crate) fn get_mut(&mut self, id: PeerId) -> Option<&mut Peer> {
        self.by_id.get_mut(id.index())?.as_deref_mut()
    }

    pub(crate) fn by_addr(&self, addr: IpAddr) -> Option<PeerId> {
        self.by_addr.get(&addr).copied()
    }

    pub(crate) fn insert(&mut self, peer: Peer) {
        let id = peer.config.id;
        if self.by_id.len() <= id.index() {
            self.by_id.resize_with(id.index() + 1, || None);
        }
        self.by_addr.insert(peer.config.addr.ip(), id);
        if let Some(slot) = self.by_id.get_mut(id.index()) {
            *slot = Some(Box::new(peer));
        }
    }

    /// The address is free for another peer; this one goes on until it is swept.
    pub(crate) fn forget_addr(&mut self, id: PeerId) {
        self.by_addr.retain(|_, other| *other != id);
    }

    pub(crate) fn remove(&mut self, id: PeerId) -> Option<Box<Peer>> {
        self.forget_addr(id);
        self.by_id.get_mut(id.index())?.take()
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &Peer> {
        self.by_id.iter().flatten().map(|peer| &**peer)
    }

    pub(crate) fn ids(&self) -> Vec<PeerId> {
        self.iter().map(|peer| peer.config.id).collect()
    }

    pub(crate) fn set_range(&mut self, range: RangeConfig) {
        self.remove_range(&range.name);
        self.ranges.push(range);
        self.ranges
            .sort_by_key(|range| u8::MAX - range.prefix.prefix_len());
    }

    pub(crate) fn remove_range(&mut self, name: &str) {
        self.ranges.retain(|range| *range.name != *name);
    }

    /// The range that a neighbour falls into.
    pub(crate) fn range_of(&self, addr: IpAddr) -> Option<&RangeConfig> {
        let host = Prefix::host(addr);
        self.ranges.iter().find(|range| range.prefix.covers(host))
    }

    /// Members of an update group whose session is up and that have not heard so yet: from now on they
    /// have, that there are paths that they cannot be sent.
    pub(crate) fn of_group(&mut self, group: GroupId) -> Vec<PeerId> {
        let peers = self.by_id.iter_mut().flatten();
        let news = peers.filter_map(|peer| {
            let up = peer.up.as_mut()?;
            let is_member = up
                .group
                .as_ref()
                .is_some_and(|(_, known)| known.id == group);
            let new = is_member && !std::mem::replace(&mut up.unsendable_noted, is_member);
            new.then_some(peer.config.id)
        });
        news.collect()
    }

    /// Peers of a range.
    pub(crate) fn of_range<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a Peer> {
        self.iter()
            .filter(move |peer| peer.range.as_deref() == Some(name))
    }
}
