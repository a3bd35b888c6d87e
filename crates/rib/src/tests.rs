//! What the crate's tests share.

use std::net::IpAddr;
use std::sync::Arc;

use thruway_policy::Policy;
use thruway_wire::attrs::{AttrSet, AttrSetBuf, RawAttr, TRANSITIVE, code};
use thruway_wire::encode::{Encoding, Rewrite};
use thruway_wire::{Asn, Family, FamilySet, Ipv4Prefix, NextHop, Nlri, Prefix, RouterId};

use crate::{
    AddPathSend, DecisionConfig, EgressBatch, EgressSink, Eligibility, GroupId, GroupProfile,
    Hygiene, Interner, NextHopCheck, PeerClass, PeerId, PeerProfile, Shard, ShardBatch,
    ShardConfig, ShardEvent, ShardId, ShardNote, WorkerId,
};

/// A set with this path.
pub(crate) fn path(asns: &[u32]) -> AttrSetBuf {
    path_via(NextHop::V4([192, 0, 2, 1].into()), asns)
}

/// The same for IPv6 routes.
pub(crate) fn path6(asns: &[u32]) -> AttrSetBuf {
    path_via(NextHop::V6([0x2001, 0xdb8, 0, 0, 0, 0, 0, 1].into()), asns)
}

fn path_via(next_hop: NextHop, asns: &[u32]) -> AttrSetBuf {
    let mut value = vec![2, asns.len() as u8];
    asns.iter()
        .for_each(|asn| value.extend_from_slice(&asn.to_be_bytes()));
    let value = if asns.is_empty() { Vec::new() } else { value };
    let attr = |code, value| RawAttr {
        flags: TRANSITIVE,
        code,
        value,
    };
    let attrs = [attr(code::ORIGIN, &[0]), attr(code::AS_PATH, &value)];
    AttrSetBuf::from_parts(Some(next_hop), attrs.into_iter())
}

/// A set like no other one with another number.
pub(crate) fn set(number: u32) -> AttrSet {
    let mut set = path(&[64601]);
    set.prepend(Asn(number), 1);
    AttrSet::new(set.as_ref())
}

/// An external peer in AS 64600 + n at 192.0.2.n that may announce anything.
pub(crate) fn profile(peer: u16) -> PeerProfile {
    PeerProfile {
        id: PeerId(peer),
        name: format!("p{peer}"),
        asn: Asn(64600 + u32::from(peer)),
        addr: IpAddr::from([192, 0, 2, peer as u8]),
        router_id: RouterId(u32::from(peer) + 1),
        local: (None, None),
        link_local: None,
        internal: false,
        class: PeerClass(0),
        rank: 0,
        home: WorkerId(0),
        add_path_rx: FamilySet::EMPTY,
        import: Some(Policy::accept()),
        hygiene: Hygiene {
            local_as: Asn(64500),
            allow_own_as: 0,
            martians: [].into(),
            router_id: RouterId(99),
            cluster_id: RouterId(98),
            enforce_first_as: false,
            allow_as_sets: false,
            as_path_max: 50,
            next_hop: NextHopCheck::Any,
            interpret_communities: true,
        },
        limits: [None, None],
    }
}

/// A group of route-server clients.
pub(crate) fn group(id: u16) -> GroupProfile {
    GroupProfile {
        id: GroupId(id),
        families: FamilySet::ALL,
        class: PeerClass(0),
        eligibility: Eligibility([u32::MAX; 32]),
        external: true,
        alternatives: true,
        interpret_communities: true,
        long_lived: false,
        export: Some(Policy::accept()),
        to: None,
        limits: None,
        add_path: [AddPathSend::Off; 2],
        rewrite: Rewrite::TRANSPARENT,
        cluster: None,
        encoding: Encoding::PLAIN,
    }
}

/// One worker and its shard.
pub(crate) struct Bed {
    pub(crate) shard: Shard,
    pub(crate) interner: Interner,
    pub(crate) batch: ShardBatch,
    pub(crate) advertised: Vec<EgressBatch>,
    /// News of the last turn.
    pub(crate) notes: Vec<ShardNote>,
}

struct Keep<'a>(&'a mut Vec<EgressBatch>);

impl EgressSink for Keep<'_> {
    fn has_room(&self, _: GroupId) -> bool {
        true
    }

    fn batch(&mut self, batch: EgressBatch) {
        self.0.push(batch);
    }
}

impl Bed {
    pub(crate) fn new() -> Bed {
        let decision = DecisionConfig::default();
        Bed {
            shard: Shard::new(ShardConfig {
                id: ShardId(0),
                workers: 1,
                decision,
                seed: 1,
            }),
            interner: Interner::new(WorkerId(0), 1, 1),
            batch: ShardBatch::default(),
            advertised: Vec::new(),
            notes: Vec::new(),
        }
    }

    /// With peers that are members of a group.
    pub(crate) fn with(peers: &[PeerProfile], group: GroupProfile) -> Bed {
        let mut bed = Bed::new();
        for peer in peers {
            bed.event(ShardEvent::PeerUp(Arc::new(peer.clone())));
        }
        let id = group.id;
        bed.event(ShardEvent::Group(Arc::new(group)));
        for peer in peers {
            bed.event(ShardEvent::Join(id, peer.id));
        }
        bed.turn();
        bed
    }

    pub(crate) fn event(&mut self, event: ShardEvent) {
        self.batch.events.push(event);
    }

    pub(crate) fn announce(&mut self, peer: u16, prefix: &str, set: &AttrSetBuf) {
        let handle = self.interner.intern(set.as_ref());
        let new = self.interner.grant(handle, ShardId(0));
        let prefix: Prefix = prefix.parse().unwrap();
        self.event(ShardEvent::Announce {
            peer: PeerId(peer),
            family: prefix.family(),
            handle,
            new_set: new.is_some(),
            count: 1,
        });
        self.batch.sets.extend(new);
        let path_id = 0;
        match prefix {
            Prefix::V4(prefix) => self.batch.nlri4.push(Nlri { path_id, prefix }),
            Prefix::V6(prefix) => self.batch.nlri6.push(Nlri { path_id, prefix }),
        }
    }

    pub(crate) fn withdraw(&mut self, peer: u16, prefix: &str) {
        let (peer, family) = (PeerId(peer), Family::Ipv4);
        self.event(ShardEvent::Withdraw {
            peer,
            family,
            count: 1,
        });
        self.batch.nlri4.push(Nlri {
            path_id: 0,
            prefix: v4(prefix),
        });
    }

    /// Applies what was said and lets the shard come to rest; what was advertised to groups is in `advertised`.
    pub(crate) fn turn(&mut self) {
        self.advertised.clear();
        self.shard.apply(&mut self.batch);
        while !self.shard.idle() {
            self.shard.sweep(100);
            self.shard.run_groups(100, &mut Keep(&mut self.advertised));
        }
        self.notes.clear();
        if let Some(mut returns) = self.shard.take_returns(WorkerId(0)) {
            self.notes.append(&mut returns.notes);
            self.interner.returned(&mut returns);
        }
    }
}

pub(crate) fn v4(text: &str) -> Ipv4Prefix {
    match text.parse() {
        Ok(Prefix::V4(prefix)) => prefix,
        other => panic!("{other:?}"),
    }
}
