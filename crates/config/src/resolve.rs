//! From what is written of a peer to what it is: inheritance, defaults, and the checks that need
//! more than one key.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use thruway_engine::PeerRole;
use thruway_rib::{AddPathSend, LimitAction};
use thruway_session::{RemoteAs, Role};
use thruway_wire::{Asn, Family, FamilySet, Prefix};

use super::files;
use super::limits::{
    LONG_LIVED_TIME_MAX, MD5_KEY_LEN_MAX, PASSWORD_FILE_LEN_MAX, RANGE_PEERS_DEFAULT,
    RESTART_TIME_MAX,
};
use super::peer::{AddPathKeys, Group, MaxPrefixKeys, Md5, PeerKeys, PeerOnly, RawPeer, Restart};
use super::reader::{Reader, Spot};
use super::suggest::hint;
use super::value::{BGP_PORT, CountedPrefixes, NextHopWord, PathCount, PeerAs, RestartAfter};
use super::{
    Connection, Export, GracefulRestart, Import, MaxPrefixes, Mode, NextHopRule, Peer, Secret,
    Server, Session, Target,
};

/// Makes peers of what was read. One that lacks what the rest depends on is left out; the errors
/// say so.
pub(super) fn peers(
    raw: Vec<RawPeer>,
    groups: &[Group],
    server: &Server,
    reader: &mut Reader,
) -> Vec<(Peer, Place)> {
    let mut peers = Vec::with_capacity(raw.len());
    for raw in raw {
        let Some(keys) = inherited(&raw, groups, reader) else {
            continue;
        };
        peers.extend(peer(RawPeer { keys, ..raw }, server, reader));
    }
    peers
}

/// Makes a peer of what was read of it and inherited.
pub(super) fn peer(raw: RawPeer, server: &Server, reader: &mut Reader) -> Option<(Peer, Place)> {
    let place = Place {
        keys: raw.keys,
        line: raw.line,
        path: raw.path,
    };
    let mut resolver = Resolver {
        path: &place.path,
        line: place.line,
        server,
        reader,
    };
    let peer = resolver.resolve(&raw.only, raw.has_target, &place.keys)?;
    Some((peer, place))
}

/// Where a peer was written, for checks across peers.
pub(super) struct Place {
    /// Its keys, with those of its group.
    pub(super) keys: PeerKeys,
    /// Line of its table.
    pub(super) line: usize,
    /// `peer.NAME`, or `peer[3]` without a name.
    pub(super) path: String,
}

fn inherited(raw: &RawPeer, groups: &[Group], reader: &mut Reader) -> Option<PeerKeys> {
    let Some(name) = &raw.only.group else {
        return (!raw.has_group).then(|| raw.keys.clone());
    };
    if let Some(group) = groups.iter().find(|group| group.name == name.value) {
        let mut keys = raw.keys.clone().or(&group.keys);
        // The two exclude each other: what the peer says is not at odds with its group.
        match (&raw.keys.gtsm, &raw.keys.ttl) {
            (Some(_), None) => keys.ttl = None,
            (None, Some(_)) => keys.gtsm = None,
            _ => {}
        }
        return Some(keys);
    }
    let hint = hint(&name.value, groups.iter().map(|group| group.name.as_str()));
    reader.error_at(
        name,
        format!("no peer-group has the name `{}`{hint}", name.value),
    );
    None
}

/// The value, or a default.
fn pick<T: Clone>(spot: &Option<Spot<T>>, default: T) -> T {
    spot.as_ref().map_or(default, |spot| spot.value.clone())
}

fn is_external(role: PeerRole) -> bool {
    matches!(role, PeerRole::External | PeerRole::RouteServerClient)
}

struct Resolver<'r> {
    path: &'r str,
    line: usize,
    server: &'r Server,
    reader: &'r mut Reader,
}

impl Resolver<'_> {
    /// True where a key stands in the peer itself. What is inherited and means nothing here, for
    /// lack of the key or family that it goes with, is no fault: it is meant for other peers.
    fn is_own<T>(&self, spot: &Spot<T>) -> bool {
        spot.key
            .strip_prefix(self.path)
            .is_some_and(|rest| rest.starts_with('.'))
    }

    /// Notes a fault of the peer as a whole.
    fn error(&mut self, key: &str, message: impl Into<String>) {
        self.reader
            .error(self.line, &format!("{}.{key}", self.path), message);
    }

    fn resolve(&mut self, only: &PeerOnly, has_target: bool, keys: &PeerKeys) -> Option<Peer> {
        let target = self.target(only, has_target, keys);
        let asn = self.asn(only, keys, target.as_ref());
        let target = target?;
        let name = self.name(only, &target);
        let asn = asn?;
        let role = self.role(keys, &asn);
        let families = self.families(keys, &target);
        Some(Peer {
            name,
            description: pick(&keys.description, String::new()),
            group: only.group.as_ref().map(|group| group.value.clone()),
            target,
            role,
            kind: None,
            site: None,
            rank: 0,
            asn,
            shutdown: pick(&keys.shutdown, false),
            connection: self.connection(keys, &target, role),
            session: self.session(keys, role, families),
            import: self.import(keys, &target, role, families),
            export: self.export(keys, role, families),
        })
    }

    fn name(&mut self, only: &PeerOnly, target: &Target) -> String {
        let Some(name) = &only.name else {
            return match target {
                Target::Address(addr) => addr.ip().to_string(),
                Target::Range { prefix, .. } => prefix.to_string(),
            };
        };
        let bad = |char: char| char.is_whitespace() || char.is_control();
        if name.value.is_empty() || name.value.contains(bad) {
            self.reader
                .error_at(name, "a name is not empty and has no spaces");
        }
        name.value.clone()
    }

    fn target(&mut self, only: &PeerOnly, written: bool, keys: &PeerKeys) -> Option<Target> {
        match (&only.address, &only.prefix) {
            (Some(addr), None) => {
                let ip = addr.value;
                if ip.is_unspecified() || ip.is_multicast() {
                    self.reader
                        .error_at(addr, format!("{ip} is no neighbour's address"));
                }
                let port = pick(&keys.port, BGP_PORT);
                if let Some(port) = keys.port.as_ref().filter(|port| port.value == 0) {
                    self.reader
                        .error_at(port, "expected a port from 1 to 65535, found 0");
                }
                Some(Target::Address(SocketAddr::new(ip, port)))
            }
            (None, Some(prefix)) => {
                let peers_max = pick(&keys.peers_max, RANGE_PEERS_DEFAULT);
                if let Some(max) = keys.peers_max.as_ref().filter(|max| max.value == 0) {
                    self.reader.error_at(max, "expected at least 1, found 0");
                }
                Some(Target::Range {
                    prefix: prefix.value,
                    peers_max,
                })
            }
            (Some(_), Some(prefix)) => {
                self.reader
                    .error_at(prefix, "a peer has an address or a prefix, not both");
                None
            }
            (None, None) => {
                // A wrong value was noted where it stands.
                if !written {
                    self.error("address", "a peer needs an address or a prefix");
                }
                None
            }
        }
    }

    fn asn(
        &mut self,
        only: &PeerOnly,
        keys: &PeerKeys,
        target: Option<&Target>,
    ) -> Option<RemoteAs> {
        let Some(spot) = &keys.asn else {
            // Where it was written wrong, that was noted already.
            let group = only
                .group
                .as_ref()
                .map(|group| format!("peer-group.{}.asn", group.value));
            let noted = [Some(format!("{}.asn", self.path)), group];
            if !self
                .reader
                .errors
                .iter()
                .any(|problem| noted.iter().flatten().any(|key| *key == problem.key))
            {
                self.error("asn", "the key is missing");
            }
            return None;
        };
        match &spot.value {
            PeerAs::Any => {
                if matches!(target, Some(Target::Address(_))) {
                    let message = "\"any\" is for peers with a prefix: one neighbour has one AS";
                    self.reader.error_at(spot, message);
                }
                Some(RemoteAs::Any)
            }
            PeerAs::Numbers(asns) => match asns.as_slice() {
                [] => None,
                [one] => Some(RemoteAs::One(one.value)),
                many => Some(RemoteAs::OneOf(many.iter().map(|asn| asn.value).collect())),
            },
        }
    }

    /// The role fits the AS: internal peers are in ours, external ones are not (RFC 4271 §1.1).
    fn role(&mut self, keys: &PeerKeys, asn: &RemoteAs) -> PeerRole {
        let own = self.server.asn;
        let numbers: &[Asn] = match asn {
            RemoteAs::One(one) => std::slice::from_ref(one),
            RemoteAs::OneOf(list) => list,
            RemoteAs::Any => &[],
        };
        let all_own = !numbers.is_empty() && numbers.iter().all(|asn| *asn == own);
        let Some(spot) = &keys.role else {
            return match self.server.mode {
                _ if all_own => PeerRole::Internal,
                Mode::Transparent => PeerRole::RouteServerClient,
                Mode::Plain | Mode::Exchange => PeerRole::External,
            };
        };
        let role = spot.value;
        if is_external(role) {
            if numbers.contains(&own) {
                let message = format!("an external peer cannot be in our own AS {own}");
                self.reader.error_at(spot, message);
            }
        } else if !all_own {
            let message = format!("an internal peer must have our own AS {own}");
            self.reader.error_at(spot, message);
        }
        role
    }

    fn families(&mut self, keys: &PeerKeys, target: &Target) -> FamilySet {
        match &keys.families {
            Some(families) => families.value.0.iter().map(|spot| spot.value).collect(),
            None => [target_family(target)].into_iter().collect(),
        }
    }

    fn connection(&mut self, keys: &PeerKeys, target: &Target, role: PeerRole) -> Connection {
        let family = target_family(target);
        let local_address = keys.local_address.as_ref().map(|local| local.value);
        if let Some(local) = keys
            .local_address
            .as_ref()
            .filter(|l| addr_family(l.value) != family)
        {
            let message = format!("{} cannot talk to an {family} peer", local.value);
            self.reader.error_at(local, message);
        }
        let connect_retry = self.seconds(keys.connect_retry.as_ref(), 120);
        let idle_hold = self.seconds(keys.idle_hold.as_ref(), 1);
        let idle_hold_max = self.idle_hold_max(keys, idle_hold);
        let (gtsm_hops, ttl) = self.hops(keys, role);
        Connection {
            local_address,
            passive: self.passive(keys, target),
            connect_retry,
            idle_hold,
            idle_hold_max,
            md5: keys.md5.as_ref().and_then(|md5| self.md5(md5)),
            gtsm_hops,
            ttl,
        }
    }

    /// A span that must not be 0.
    fn seconds(&mut self, spot: Option<&Spot<Duration>>, default: u64) -> Duration {
        if let Some(spot) = spot.filter(|spot| spot.value.is_zero()) {
            self.reader
                .error_at(spot, "expected at least 1 second, found 0");
        }
        spot.map_or(Duration::from_secs(default), |spot| spot.value)
    }

    /// The longest rest after failures: at least the first one.
    fn idle_hold_max(&mut self, keys: &PeerKeys, first: Duration) -> Duration {
        let spot = keys.idle_hold_max.as_ref();
        if let Some(spot) = spot.filter(|spot| spot.value < first) {
            let message = format!("it is less than idle-hold, {} s", first.as_secs());
            self.reader.error_at(spot, &message);
        }
        spot.map_or(Duration::from_secs(60).max(first), |spot| spot.value)
    }

    fn passive(&mut self, keys: &PeerKeys, target: &Target) -> bool {
        let range = matches!(target, Target::Range { .. });
        if let Some(passive) = keys
            .passive
            .as_ref()
            .filter(|passive| range && !passive.value && self.is_own(passive))
        {
            let message = "a peer with a prefix is always passive: there is no one to connect to";
            self.reader.error_at(passive, message);
        }
        let passive = range || pick(&keys.passive, false);
        let family = target_family(target);
        let heard = self
            .server
            .listen
            .iter()
            .any(|addr| addr_family(addr.ip()) == family);
        if passive && !heard {
            let message =
                format!("the peer can never connect: server.listen has no {family} address");
            self.error("passive", message);
        }
        passive
    }

    /// GTSM's hops and the TTL. Plain external sessions reach one hop, as is the custom.
    fn hops(&mut self, keys: &PeerKeys, role: PeerRole) -> (Option<u8>, Option<u8>) {
        if let Some(gtsm) = keys
            .gtsm
            .as_ref()
            .filter(|gtsm| !(1..=254).contains(&gtsm.value))
        {
            let message = format!("expected 1 to 254 hops, found {}", gtsm.value);
            self.reader.error_at(gtsm, message);
        }
        if let Some(ttl) = keys.ttl.as_ref().filter(|ttl| ttl.value == 0) {
            self.reader.error_at(ttl, "expected 1 to 255, found 0");
        }
        match (&keys.gtsm, &keys.ttl) {
            (Some(_), Some(ttl)) => {
                let message = "with gtsm our packets have TTL 255 (RFC 5082): leave ttl out";
                self.reader.error_at(ttl, message);
                (None, None)
            }
            (Some(gtsm), None) => (Some(gtsm.value), None),
            (None, Some(ttl)) => (None, Some(ttl.value)),
            (None, None) => (None, is_external(role).then_some(1)),
        }
    }

    fn md5(&mut self, spot: &Spot<Md5>) -> Option<Secret> {
        let key = match &spot.value {
            Md5::Password(password) => password.clone().into_bytes(),
            Md5::File(path) => {
                let (_, text) = files::read(spot, path, PASSWORD_FILE_LEN_MAX, self.reader)?;
                text.trim_end_matches(['\r', '\n']).as_bytes().to_vec()
            }
        };
        if !(1..=MD5_KEY_LEN_MAX).contains(&key.len()) {
            let message = format!(
                "a key has 1 to {MD5_KEY_LEN_MAX} octets, this one {}",
                key.len()
            );
            self.reader.error_at(spot, message);
        }
        Some(Secret(key))
    }

    fn session(&mut self, keys: &PeerKeys, role: PeerRole, families: FamilySet) -> Session {
        let hold_time = pick(&keys.hold_time, 90);
        if let Some(hold) = keys
            .hold_time
            .as_ref()
            .filter(|hold| matches!(hold.value, 1 | 2))
        {
            let message = format!(
                "0 or at least 3 seconds (RFC 4271 §4.2), found {}",
                hold.value
            );
            self.reader.error_at(hold, message);
        }
        let extended_next_hop = pick(&keys.extended_next_hop, false);
        if let Some(spot) = &keys.extended_next_hop
            && extended_next_hop
            && !families.contains(Family::Ipv4)
            && self.is_own(spot)
        {
            let message = "it is about IPv4 routes (RFC 8950), and families has no ipv4";
            self.reader.error_at(spot, message);
        }
        let graceful_restart = self.graceful_restart(keys);
        let bgp_role = self.bgp_role(keys, role);
        Session {
            families,
            hold_time,
            send_hold: keys.send_hold.as_ref().map(|hold| hold.value),
            add_path_receive: self
                .add_path(keys)
                .receive
                .is_some_and(|receive| receive.value),
            extended_message: pick(&keys.extended_message, true),
            extended_next_hop,
            long_lived: self.long_lived(keys, graceful_restart.is_some()),
            graceful_restart,
            bgp_role,
            bgp_role_strict: pick(&keys.bgp_role_strict, false),
        }
    }

    fn add_path(&self, keys: &PeerKeys) -> AddPathKeys {
        pick(&keys.add_path, AddPathKeys::default())
    }

    fn graceful_restart(&mut self, keys: &PeerKeys) -> Option<GracefulRestart> {
        let keys = match keys.graceful_restart.as_ref().map(|spot| &spot.value) {
            Some(Restart::Off) => return None,
            Some(Restart::On(keys)) => keys.as_ref().clone(),
            None => super::peer::RestartKeys::default(),
        };
        for time in [&keys.restart_time, &keys.helper_time_max]
            .into_iter()
            .flatten()
        {
            if time.value > RESTART_TIME_MAX {
                let message = format!(
                    "expected 0 to {RESTART_TIME_MAX} seconds, found {}",
                    time.value
                );
                self.reader.error_at(time, message);
            }
        }
        Some(GracefulRestart {
            restart_time: pick(&keys.restart_time, 120),
            helper_time_max: pick(&keys.helper_time_max, RESTART_TIME_MAX),
            notification: pick(&keys.notification, true),
        })
    }

    fn long_lived(&mut self, keys: &PeerKeys, graceful: bool) -> Option<u32> {
        let spot = keys.long_lived.as_ref()?;
        if spot.value > LONG_LIVED_TIME_MAX {
            let message = format!(
                "expected 0 to {LONG_LIVED_TIME_MAX} seconds, found {}",
                spot.value
            );
            self.reader.error_at(spot, message);
        }
        if !graceful && self.is_own(spot) {
            self.reader
                .error_at(spot, "it needs graceful-restart (RFC 9494 §4.2)");
        }
        graceful.then_some(spot.value)
    }

    fn bgp_role(&mut self, keys: &PeerKeys, role: PeerRole) -> Option<Role> {
        let strict = keys.bgp_role_strict.as_ref().filter(|strict| strict.value);
        let Some(spot) = &keys.bgp_role else {
            if let Some(strict) = strict {
                self.reader.error_at(strict, "it needs bgp-role");
            }
            return None;
        };
        if !is_external(role) {
            self.reader
                .error_at(spot, "roles are for external peers (RFC 9234 §4)");
        }
        if role == PeerRole::RouteServerClient && spot.value != Role::RouteServer {
            let message = "it is our own role: toward a route-server-client we are `route-server`";
            self.reader.error_at(spot, message);
        }
        Some(spot.value)
    }

    fn import(
        &mut self,
        keys: &PeerKeys,
        target: &Target,
        role: PeerRole,
        families: FamilySet,
    ) -> Import {
        let as_path_max = pick(&keys.as_path_max, 255);
        if let Some(max) = keys.as_path_max.as_ref().filter(|max| max.value == 0) {
            self.reader.error_at(max, "expected at least 1, found 0");
        }
        let limits = keys.max_prefixes.as_ref();
        Import {
            policy: keys.import.as_ref().map(|name| name.value.clone()),
            max_prefixes: limits.map_or([None; 2], |limits| {
                self.limits(limits, LimitAction::Restart, families)
            }),
            allow_as_sets: pick(&keys.allow_as_sets, false),
            allow_own_as: pick(&keys.allow_own_as, 0),
            allow_martians: keys.allow_martians.as_ref().map_or_else(Vec::new, |list| {
                list.value.0.iter().map(|spot| spot.value).collect()
            }),
            enforce_first_as: pick(&keys.enforce_first_as, is_external(role)),
            as_path_max,
            next_hop: self.next_hop(keys, target),
        }
    }

    fn next_hop(&mut self, keys: &PeerKeys, target: &Target) -> NextHopRule {
        let rule = keys.next_hop.as_ref();
        if let Some(subnets) = &keys.subnets
            && rule.is_none_or(|rule| rule.value != NextHopWord::Subnet)
            && self.is_own(subnets)
        {
            self.reader
                .error_at(subnets, "subnets go with next-hop = \"subnet\"");
        }
        match rule.map(|rule| rule.value) {
            None | Some(NextHopWord::Any) => NextHopRule::Any,
            Some(NextHopWord::Peer) => NextHopRule::Peer,
            Some(NextHopWord::SameAs) => NextHopRule::SameAs,
            Some(NextHopWord::Subnet) => match (&keys.subnets, target) {
                (Some(subnets), _) => {
                    let subnets = subnets.value.0.iter().map(|spot| spot.value);
                    NextHopRule::Subnet(subnets.collect())
                }
                (None, Target::Range { prefix, .. }) => NextHopRule::Subnet(vec![*prefix]),
                (None, Target::Address(_)) => {
                    let rule = rule.map_or(self.line, |rule| rule.line);
                    let key = format!("{}.next-hop", self.path);
                    self.reader
                        .error(rule, &key, "\"subnet\" needs the key subnets");
                    NextHopRule::Any
                }
            },
        }
    }

    fn limits(
        &mut self,
        spot: &Spot<MaxPrefixKeys>,
        default: LimitAction,
        families: FamilySet,
    ) -> [Option<MaxPrefixes>; 2] {
        let keys = &spot.value;
        if keys.limit.is_none() && keys.ipv4.is_none() && keys.ipv6.is_none() {
            self.reader
                .error_at(spot, "it needs `limit`, or `ipv4` and `ipv6`");
        }
        let threshold = pick(&keys.threshold, 80);
        if let Some(bad) = keys
            .threshold
            .as_ref()
            .filter(|t| !(1..=100).contains(&t.value))
        {
            let message = format!("expected 1 to 100 percent, found {}", bad.value);
            self.reader.error_at(bad, message);
        }
        let action = pick(&keys.action, default);
        if let Some(after) = &keys.restart_after
            && action != LimitAction::Restart
        {
            self.reader
                .error_at(after, "it goes with action = \"restart\"");
        }
        let after = pick(
            &keys.restart_after,
            RestartAfter(Some(Duration::from_secs(300))),
        );
        let counted = pick(&keys.count, CountedPrefixes::Received);
        let one = |family: Family, own: &Option<Spot<u32>>| {
            let limit = own.as_ref().or(keys.limit.as_ref())?.value;
            families.contains(family).then(|| MaxPrefixes {
                limit,
                warn_at: (u64::from(limit) * u64::from(threshold)).div_ceil(100) as u32,
                action,
                accepted_only: counted == CountedPrefixes::Accepted,
                restart_after: after.0.filter(|_| action == LimitAction::Restart),
            })
        };
        let limits = [one(Family::Ipv4, &keys.ipv4), one(Family::Ipv6, &keys.ipv6)];
        for (family, key) in [(Family::Ipv4, &keys.ipv4), (Family::Ipv6, &keys.ipv6)] {
            let unused = |key: &&Spot<u32>| !families.contains(family) && self.is_own(key);
            if let Some(key) = key.as_ref().filter(unused) {
                self.reader
                    .error_at(key, format!("families has no {family}"));
            }
        }
        limits
    }

    /// Limits on what is advertised to it: by default they hold routes back and leave the session alone.
    fn max_advertised(&mut self, keys: &PeerKeys, families: FamilySet) -> [Option<MaxPrefixes>; 2] {
        let Some(spot) = &keys.max_advertised else {
            return [None; 2];
        };
        let mut limits = self.limits(
            &Spot {
                value: spot.value.clone().into(),
                line: spot.line,
                key: spot.key.clone(),
            },
            LimitAction::Block,
            families,
        );
        for limit in limits.iter_mut().flatten() {
            limit.accepted_only = true;
        }
        limits
    }

    fn export(&mut self, keys: &PeerKeys, role: PeerRole, families: FamilySet) -> Export {
        let plain_external = role == PeerRole::External;
        let client = role == PeerRole::RouteServerClient;
        let send = self.add_path(keys).send;
        let own = self.own_next_hops(keys);
        let v4 = own.iter().find_map(|addr| match addr {
            IpAddr::V4(addr) => Some(*addr),
            IpAddr::V6(_) => None,
        });
        let v6 = own.iter().find_map(|addr| match addr {
            IpAddr::V6(addr) => Some(*addr),
            IpAddr::V4(_) => None,
        });
        Export {
            policy: keys.export.as_ref().map(|name| name.value.clone()),
            max_advertised: self.max_advertised(keys, families),
            add_path: match send.map(|send| send.value) {
                None => AddPathSend::Off,
                Some(PathCount::All) => AddPathSend::All,
                Some(PathCount::Best(count)) => AddPathSend::Best(count),
            },
            // A route server is not on the way: what a client says of its routes is for the other
            // clients to obey (RFC 7947 §2.2).
            interpret_communities: pick(&keys.interpret_communities, !client),
            next_hop_self: pick(&keys.next_hop_self, plain_external),
            own_v4: v4,
            own_v6: v6,
            prepend_own_as: pick(&keys.prepend_own_as, plain_external),
            // RFC 4271 §5.1.4: a MED does not go from one neighbouring AS to another.
            send_med: pick(&keys.send_med, !plain_external),
            alternatives: pick(&keys.alternatives, client),
        }
    }

    /// Our addresses as next hops, best known first.
    fn own_next_hops(&mut self, keys: &PeerKeys) -> Vec<IpAddr> {
        let mut own: Vec<IpAddr> = Vec::new();
        for spot in keys.own_next_hop.iter().flat_map(|own| &own.value.0) {
            if own
                .iter()
                .any(|addr| addr.is_ipv4() == spot.value.is_ipv4())
            {
                self.reader
                    .error_at(spot, "one address of a family is enough");
            }
            own.push(spot.value);
        }
        own.extend(keys.local_address.as_ref().map(|local| local.value));
        for family in Family::ALL {
            let heard = self.server.listen.iter().map(SocketAddr::ip);
            let mut heard = heard.filter(|addr| addr_family(*addr) == family);
            if let (Some(addr), None) = (heard.next(), heard.next())
                && !addr.is_unspecified()
            {
                own.push(addr);
            }
        }
        own
    }
}

fn addr_family(addr: IpAddr) -> Family {
    if addr.is_ipv4() {
        Family::Ipv4
    } else {
        Family::Ipv6
    }
}

/// The family that a session to the target runs over.
pub(super) fn target_family(target: &Target) -> Family {
    match target {
        Target::Address(addr) => addr_family(addr.ip()),
        Target::Range { prefix, .. } => Prefix::family(*prefix),
    }
}
