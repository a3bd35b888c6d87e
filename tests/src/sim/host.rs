//! A BGP speaker made from the wire layer alone: it opens, keeps alive, announces what its script
//! says, and remembers what was advertised to it.

use std::collections::BTreeMap;
use std::net::IpAddr;

use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::message::{MessageType, RawMessage, encode_keepalive, frame};
use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open};
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::update::{UpdateContext, UpdateView, Verdict};
use thruway_wire::{
    Asn, Community, Family, FamilySet, Ipv4Prefix, Ipv6Prefix, NextHop, Nlri, Prefix, PrefixKey,
    RouterId, Time,
};

/// What a host is.
#[derive(Clone, Debug)]
pub struct HostConfig {
    /// Its address.
    pub addr: IpAddr,
    /// Its AS.
    pub asn: Asn,
    /// Its BGP identifier.
    pub router_id: RouterId,
    /// It speaks 4-octet AS numbers.
    pub as4: bool,
    /// It takes extended messages.
    pub extended: bool,
    /// It knows enhanced route refresh (and route refresh).
    pub enhanced_refresh: bool,
    /// It sends several paths a prefix of these families.
    pub add_path_send: FamilySet,
    /// It takes several paths a prefix of these.
    pub add_path_receive: FamilySet,
    /// It keeps its forwarding state over a restart, seconds.
    pub restart_time: Option<u16>,
    /// Its routes may stay long-lived stale after that, seconds.
    pub stale_time: Option<u32>,
    /// Families.
    pub families: FamilySet,
    /// It waits for the server's connection.
    pub passive: bool,
}

impl HostConfig {
    /// Host `n`, 1 to 250, in an AS of its own.
    #[must_use]
    pub fn new(n: u8) -> Self {
        HostConfig {
            addr: IpAddr::from([10, 9, 0, n]),
            asn: Asn(64_600 + u32::from(n)),
            router_id: RouterId(0x0a09_0000 + u32::from(n)),
            as4: true,
            extended: false,
            enhanced_refresh: true,
            add_path_send: FamilySet::EMPTY,
            add_path_receive: FamilySet::EMPTY,
            restart_time: None,
            stale_time: None,
            families: FamilySet::ALL,
            passive: false,
        }
    }
}

/// A route as a host announces it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Route {
    /// AS path, the host's own AS first where it is external.
    pub path: Vec<u32>,
    /// Next hop.
    pub next_hop: IpAddr,
    /// ORIGIN.
    pub origin: u8,
    /// MULTI_EXIT_DISC.
    pub med: Option<u32>,
    /// LOCAL_PREF: iBGP.
    pub local_pref: Option<u32>,
    /// Communities.
    pub communities: Vec<Community>,
}

impl Route {
    /// The canonical set.
    #[must_use]
    pub fn set(&self) -> AttrSetBuf {
        let mut set = AttrSetBuf::new();
        set.set_next_hop(Some(NextHop::from(self.next_hop)));
        set.set_origin(self.origin);
        set.set_raw(2, 0x40, &[]);
        for asn in self.path.iter().rev() {
            set.prepend(Asn(*asn), 1);
        }
        set.set_med(self.med);
        set.set_local_pref(self.local_pref);
        set.set_communities(self.communities.iter().copied());
        set
    }
}

/// Where its session stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// No connection.
    Down,
    /// OPEN sent.
    OpenSent,
    /// KEEPALIVE awaited.
    OpenConfirm,
    /// Routes flow.
    Up,
}

/// A prefix and path identifier.
pub type Key = (Prefix, u32);

/// A speaker and what it knows.
#[derive(Debug)]
pub struct Host {
    /// What it is.
    pub config: HostConfig,
    /// Where its session stands.
    pub phase: Phase,
    /// What it announces, now and after each reconnection.
    pub announces: BTreeMap<Key, Route>,
    /// What was advertised to it and not told otherwise since.
    pub table: BTreeMap<Key, AttrSet>,
    /// End-of-RIB came.
    pub end_of_rib: [bool; 2],
    /// NOTIFICATIONs that came, over all sessions.
    pub notifications: Vec<Notification>,
    /// UPDATEs that came in this session.
    pub updates: u64,
    /// Messages longer than 4,096 octets that came.
    pub long_messages: u64,
    /// Octets it reads per turn; `usize::MAX`: as many as there are.
    pub rate: usize,
    /// Refreshes that were bracketed by markers.
    pub refreshed: u64,
    /// Routes advertised before the refresh that is under way, by family.
    stale: [Option<Vec<Key>>; 2],
    input: Vec<u8>,
    /// What it wants to send.
    pub output: Vec<u8>,
    peer: Option<Open>,
    alive: Time,
}

impl Host {
    /// A host without connection.
    #[must_use]
    pub fn new(config: HostConfig) -> Self {
        Host {
            config,
            phase: Phase::Down,
            announces: BTreeMap::new(),
            table: BTreeMap::new(),
            end_of_rib: [false; 2],
            notifications: Vec::new(),
            updates: 0,
            long_messages: 0,
            rate: usize::MAX,
            refreshed: 0,
            stale: [None, None],
            input: Vec::new(),
            output: Vec::new(),
            peer: None,
            alive: Time::ZERO,
        }
    }

    /// A connection is there.
    pub fn connected(&mut self, now: Time) {
        self.disconnected();
        self.phase = Phase::OpenSent;
        self.alive = now;
        self.open().encode(&mut self.output);
    }

    /// It is gone, and so is what it told.
    pub fn disconnected(&mut self) {
        self.phase = Phase::Down;
        self.table.clear();
        self.end_of_rib = [false; 2];
        self.updates = 0;
        self.stale = [None, None];
        self.input.clear();
        self.output.clear();
        self.peer = None;
    }

    fn open(&self) -> Open {
        let config = &self.config;
        let families = || config.families.iter();
        let mut capabilities: Vec<Capability> = families()
            .map(|family| Capability::Multiprotocol(family.to_wire()))
            .collect();
        capabilities.push(Capability::RouteRefresh);
        if config.enhanced_refresh {
            capabilities.push(Capability::EnhancedRouteRefresh);
        }
        if config.as4 {
            capabilities.push(Capability::FourOctetAs(config.asn));
        }
        if config.extended {
            capabilities.push(Capability::ExtendedMessage);
        }
        let mode = |family: Family| {
            let receive = config.add_path_receive.contains(family);
            u8::from(receive) | u8::from(config.add_path_send.contains(family)) << 1
        };
        let modes = families().map(|family| (family.to_wire(), mode(family)));
        let modes: Vec<_> = modes.filter(|(_, mode)| *mode != 0).collect();
        if !modes.is_empty() {
            capabilities.push(Capability::AddPath(modes));
        }
        if let Some(restart_time) = config.restart_time {
            capabilities.push(Capability::GracefulRestart {
                restarting: false,
                notification: false,
                restart_time,
                families: families().map(|family| (family.to_wire(), true)).collect(),
            });
        }
        if let Some(seconds) = config.stale_time {
            let long = families()
                .map(|family| (family.to_wire(), true, seconds))
                .collect();
            capabilities.push(Capability::LongLivedGracefulRestart(long));
        }
        Open {
            version: 4,
            my_as: config.asn.to_as2(),
            hold_time: 90,
            router_id: config.router_id,
            capabilities,
        }
    }

    /// Time passes: says that it is alive.
    pub fn tick(&mut self, now: Time) {
        if self.phase != Phase::Down && now.since(self.alive).as_secs() >= 20 {
            self.alive = now;
            if matches!(self.phase, Phase::OpenConfirm | Phase::Up) {
                encode_keepalive(&mut self.output);
            }
        }
    }

    /// When it wants to be asked again.
    #[must_use]
    pub fn deadline(&self) -> Time {
        match self.phase {
            Phase::Down => Time::NEVER,
            _ => self.alive + std::time::Duration::from_secs(20),
        }
    }

    /// Octets came.
    pub fn receive(&mut self, bytes: &[u8]) {
        self.input.extend_from_slice(bytes);
        let input = std::mem::take(&mut self.input);
        let mut rest = input.as_slice();
        let max = if self.agreed_extended() { 65_535 } else { 4096 };
        while let Some(message) = frame(rest, max).expect("the server frames its messages") {
            rest = &rest[message.bytes.len()..];
            self.message(message);
        }
        self.input = rest.to_vec();
    }

    fn message(&mut self, message: RawMessage<'_>) {
        match message.kind {
            MessageType::Open => {
                self.peer = Some(Open::parse(message.body()).expect("the server's OPEN"));
                self.phase = Phase::OpenConfirm;
                encode_keepalive(&mut self.output);
            }
            MessageType::Keepalive if self.phase == Phase::OpenConfirm => {
                self.phase = Phase::Up;
                self.announce_all();
            }
            MessageType::Keepalive => {}
            MessageType::Notification => {
                self.notifications.push(Notification::parse(message.body()));
            }
            MessageType::RouteRefresh => self.refresh(message.body()),
            MessageType::Update => {
                self.long_messages += u64::from(message.bytes.len() > 4096);
                self.update(message.body());
            }
        }
    }

    fn refresh(&mut self, body: &[u8]) {
        let refresh = RouteRefresh::parse(body).expect("the server's ROUTE-REFRESH");
        let Some(refresh) = refresh else { return };
        let Some(family) = Family::from_wire(refresh.family) else {
            return;
        };
        match refresh.subtype {
            RouteRefresh::REQUEST => {
                self.marker(family, RouteRefresh::BEGIN);
                self.announce_family(family);
                self.marker(family, RouteRefresh::END);
            }
            RouteRefresh::BEGIN => {
                let keys = self
                    .table
                    .keys()
                    .filter(|(prefix, _)| prefix.family() == family);
                self.stale[family.index()] = Some(keys.copied().collect());
            }
            RouteRefresh::END => {
                let stale = self.stale[family.index()].take().expect("EoRR after BoRR");
                for key in stale {
                    self.table.remove(&key);
                }
                self.refreshed += 1;
            }
            _ => {}
        }
    }

    fn marker(&mut self, family: Family, subtype: u8) {
        let theirs = |open: &Open| {
            open.capabilities
                .contains(&Capability::EnhancedRouteRefresh)
        };
        if self.config.enhanced_refresh && self.peer.as_ref().is_some_and(theirs) {
            RouteRefresh {
                family: family.to_wire(),
                subtype,
            }
            .encode(&mut self.output);
        }
    }

    /// Asks the server for a family again.
    pub fn ask_again(&mut self, family: Family) {
        if self.phase == Phase::Up {
            RouteRefresh {
                family: family.to_wire(),
                subtype: RouteRefresh::REQUEST,
            }
            .encode(&mut self.output);
        }
    }

    fn update(&mut self, body: &[u8]) {
        self.updates += 1;
        let ctx = UpdateContext {
            as4: self.agreed_as4(),
            external: self
                .peer
                .as_ref()
                .is_none_or(|open| open.asn() != self.config.asn),
            families: self.config.families,
            add_path: self.agreed_add_path(1),
        };
        let view = UpdateView::parse(body, &ctx);
        assert_eq!(
            view.verdict(),
            Verdict::Ok,
            "{:?} in {body:02x?}",
            view.error()
        );
        if let Some(family) = view.end_of_rib() {
            self.end_of_rib[family.index()] = true;
        }
        view.withdrawn4().for_each(|nlri| self.forget(nlri));
        view.withdrawn6().for_each(|nlri| self.forget(nlri));
        let mut buf = AttrSetBuf::new();
        for (part, family) in view.announced() {
            let set = AttrSet::new(view.canonical(part, &mut buf));
            match family {
                Family::Ipv4 => view
                    .announced4(part)
                    .for_each(|nlri| self.learn(nlri, &set)),
                Family::Ipv6 => view.announced6().for_each(|nlri| self.learn(nlri, &set)),
            }
        }
    }

    fn learn<P: PrefixKey>(&mut self, nlri: Nlri<P>, set: &AttrSet) {
        let key = (nlri.prefix.into(), nlri.path_id);
        if let Some(stale) = &mut self.stale[P::FAMILY.index()] {
            stale.retain(|other| *other != key);
        }
        self.table.insert(key, set.clone());
    }

    fn forget<P: PrefixKey>(&mut self, nlri: Nlri<P>) {
        self.table.remove(&(nlri.prefix.into(), nlri.path_id));
    }

    fn peer_has(&self, want: impl Fn(&Capability) -> bool) -> bool {
        self.peer
            .as_ref()
            .is_some_and(|open| open.capabilities.iter().any(want))
    }

    fn agreed_as4(&self) -> bool {
        self.config.as4 && self.peer_has(|cap| matches!(cap, Capability::FourOctetAs(_)))
    }

    fn agreed_extended(&self) -> bool {
        self.config.extended && self.peer_has(|cap| matches!(cap, Capability::ExtendedMessage))
    }

    /// `direction`: 1 where the host receives, 2 where it sends.
    fn agreed_add_path(&self, direction: u8) -> FamilySet {
        let ours = if direction == 1 {
            self.config.add_path_receive
        } else {
            self.config.add_path_send
        };
        let theirs = |family: Family| {
            let (wanted, mode) = (family.to_wire(), 3 - direction);
            self.peer_has(|cap| match cap {
                Capability::AddPath(modes) => modes
                    .iter()
                    .any(|(known, modes)| *known == wanted && modes & mode != 0),
                _ => false,
            })
        };
        let mut agreed = ours.intersection(self.config.families);
        let refused = agreed.iter().filter(|family| !theirs(*family));
        refused.for_each(|family| agreed.remove(family));
        agreed
    }

    fn encoding(&self, family: Family) -> Encoding {
        Encoding {
            as4: self.agreed_as4(),
            add_path: self.agreed_add_path(2).contains(family),
            max_len: if self.agreed_extended() { 65_535 } else { 4096 },
            extended_next_hop: false,
            link: None,
        }
    }

    fn announce_all(&mut self) {
        for family in self.config.families.iter() {
            self.announce_family(family);
            encode::end_of_rib(&mut self.output, family);
        }
    }

    fn announce_family(&mut self, family: Family) {
        let routes: Vec<_> = self
            .announces
            .iter()
            .filter(|((prefix, _), _)| prefix.family() == family)
            .map(|(key, route)| (*key, route.clone()))
            .collect();
        for (key, route) in routes {
            self.send_route(key, &route);
        }
    }

    /// Announces a route, now and from now on.
    pub fn announce(&mut self, key: Key, route: Route) {
        if self.phase == Phase::Up {
            self.send_route(key, &route);
        }
        self.announces.insert(key, route);
    }

    /// Withdraws one.
    pub fn withdraw(&mut self, key: Key) {
        if self.announces.remove(&key).is_none() || self.phase != Phase::Up {
            return;
        }
        let encoding = self.encoding(key.0.family());
        let out = &mut self.output;
        match key.0 {
            Prefix::V4(prefix) => {
                let nlri = Nlri::<Ipv4Prefix> {
                    path_id: key.1,
                    prefix,
                };
                encode::withdraw(out, &encoding, [nlri].into_iter());
            }
            Prefix::V6(prefix) => {
                let nlri = Nlri::<Ipv6Prefix> {
                    path_id: key.1,
                    prefix,
                };
                encode::withdraw(out, &encoding, [nlri].into_iter());
            }
        }
    }

    fn send_route(&mut self, key: Key, route: &Route) {
        let encoding = self.encoding(key.0.family());
        let rewrite = Rewrite {
            local_pref: route.local_pref.is_some(),
            ..Rewrite::TRANSPARENT
        };
        let set = route.set();
        let out = &mut self.output;
        let sent = match key.0 {
            Prefix::V4(prefix) => {
                let nlri = [Nlri {
                    path_id: key.1,
                    prefix,
                }];
                encode::announce(out, set.as_ref(), &rewrite, &encoding, nlri.into_iter())
            }
            Prefix::V6(prefix) => {
                let nlri = [Nlri {
                    path_id: key.1,
                    prefix,
                }];
                encode::announce(out, set.as_ref(), &rewrite, &encoding, nlri.into_iter())
            }
        };
        sent.expect("a host announces what fits");
    }
}
