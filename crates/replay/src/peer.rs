//! The least BGP that keeps a session up: OPEN, KEEPALIVE, the hold timer, framing.
//!
//! It shares nothing with the server's own state machine on purpose: a load tool that had the same
//! mistakes could not find them.

use std::fmt;
use std::time::{Duration, Instant};

use thruway_wire::limits::{EXTENDED_MESSAGE_LEN_MAX, MESSAGE_LEN_MAX};
use thruway_wire::message::{self, MessageType, RawMessage};
use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open};
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::update::UpdateContext;
use thruway_wire::{AfiSafi, Asn, Family, FamilySet, RouterId};

/// Until the hold time is agreed a silent neighbour gets this long (RFC 4271 §8.2.2: a large value).
const HOLD_BEFORE_OPEN: Duration = Duration::from_secs(240);

/// How one side presents itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeerOptions {
    /// AS number.
    pub asn: Asn,
    /// BGP identifier.
    pub router_id: RouterId,
    /// Seconds: 0 or at least 3.
    pub hold_time: u16,
    /// Families to offer.
    pub families: FamilySet,
    /// Families to offer to send several paths in (RFC 7911).
    pub add_path_send: FamilySet,
    /// Families to offer to take several paths in.
    pub add_path_receive: FamilySet,
    /// Offer messages over 4,096 octets (RFC 8654).
    pub extended_message: bool,
    /// Offer four-octet AS numbers (RFC 6793).
    pub as4: bool,
    /// Offer IPv6 next hops for IPv4 (RFC 8950).
    pub extended_next_hop: bool,
}

impl PeerOptions {
    /// Both families and the usual capabilities.
    #[must_use]
    pub fn new(asn: Asn, router_id: RouterId) -> Self {
        PeerOptions {
            asn,
            router_id,
            hold_time: 180,
            families: FamilySet::ALL,
            add_path_send: FamilySet::EMPTY,
            add_path_receive: FamilySet::EMPTY,
            extended_message: true,
            as4: true,
            extended_next_hop: false,
        }
    }

    fn open(&self) -> Open {
        let mut capabilities = Vec::new();
        for family in self.families.iter() {
            capabilities.push(Capability::Multiprotocol(family.to_wire()));
        }
        capabilities.push(Capability::RouteRefresh);
        if self.extended_next_hop {
            let ipv4_over_ipv6 = (Family::Ipv4.to_wire(), Family::Ipv6.to_wire().afi);
            capabilities.push(Capability::ExtendedNextHop(vec![ipv4_over_ipv6]));
        }
        if self.extended_message {
            capabilities.push(Capability::ExtendedMessage);
        }
        if self.as4 {
            capabilities.push(Capability::FourOctetAs(self.asn));
        }
        let add_path: Vec<(AfiSafi, u8)> = Family::ALL
            .into_iter()
            .map(|family| {
                let receive = u8::from(self.add_path_receive.contains(family));
                (
                    family.to_wire(),
                    receive | u8::from(self.add_path_send.contains(family)) << 1,
                )
            })
            .filter(|(_, way)| *way != 0)
            .collect();
        if !add_path.is_empty() {
            capabilities.push(Capability::AddPath(add_path));
        }
        Open {
            version: 4,
            my_as: self.asn.to_as2(),
            hold_time: self.hold_time,
            router_id: self.router_id,
            capabilities,
        }
    }
}

/// What both OPENs together mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Negotiated {
    /// The neighbour's AS number.
    pub remote_asn: Asn,
    /// The neighbour's identifier.
    pub remote_id: RouterId,
    /// The neighbour is in another AS.
    pub external: bool,
    /// Four-octet AS numbers both ways.
    pub as4: bool,
    /// Families both have.
    pub families: FamilySet,
    /// Families in which we may send path identifiers.
    pub add_path_send: FamilySet,
    /// Families in which the neighbour may.
    pub add_path_receive: FamilySet,
    /// IPv4 routes may have IPv6 next hops, both ways.
    pub extended_next_hop: bool,
    /// Largest message that the neighbour may send.
    pub message_len_max: usize,
    /// Hold time; `None` where there is none.
    pub hold: Option<Duration>,
}

impl Negotiated {
    fn of(options: &PeerOptions, open: &Open) -> Self {
        let mut families = FamilySet::EMPTY;
        let (mut multiprotocol, mut as4, mut extended, mut next_hop) = (false, false, false, false);
        let (mut sends, mut receives) = (FamilySet::EMPTY, FamilySet::EMPTY);
        for capability in &open.capabilities {
            match capability {
                Capability::Multiprotocol(pair) => {
                    multiprotocol = true;
                    Family::from_wire(*pair)
                        .into_iter()
                        .for_each(|family| families.insert(family));
                }
                Capability::FourOctetAs(_) => as4 = true,
                Capability::ExtendedMessage => extended = true,
                Capability::ExtendedNextHop(entries) => {
                    let wanted = (Family::Ipv4.to_wire(), Family::Ipv6.to_wire().afi);
                    next_hop |= entries.contains(&wanted);
                }
                Capability::AddPath(entries) => {
                    for (pair, way) in entries {
                        let Some(family) = Family::from_wire(*pair) else {
                            continue;
                        };
                        if way & 1 != 0 {
                            receives.insert(family);
                        }
                        if way & 2 != 0 {
                            sends.insert(family);
                        }
                    }
                }
                _ => {}
            }
        }
        if !multiprotocol {
            families = FamilySet::IPV4;
        }
        let hold = options.hold_time.min(open.hold_time);
        let long = options.extended_message && extended;
        Negotiated {
            remote_asn: open.asn(),
            remote_id: open.router_id,
            external: open.asn() != options.asn,
            as4: options.as4 && as4,
            families: families.intersection(options.families),
            add_path_send: receives.intersection(options.add_path_send),
            add_path_receive: sends.intersection(options.add_path_receive),
            extended_next_hop: options.extended_next_hop && next_hop,
            message_len_max: if long {
                EXTENDED_MESSAGE_LEN_MAX
            } else {
                MESSAGE_LEN_MAX
            },
            hold: (hold > 0).then(|| Duration::from_secs(hold.into())),
        }
    }

    /// How to read the neighbour's UPDATEs.
    #[must_use]
    pub fn context(&self) -> UpdateContext {
        UpdateContext {
            as4: self.as4,
            external: self.external,
            families: self.families,
            add_path: self.add_path_receive,
        }
    }
}

/// Why a session ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SessionEnd {
    /// The neighbour sent a NOTIFICATION.
    Notified(Notification),
    /// We sent one.
    Refused(Notification),
    /// The connection closed or broke; the text says how.
    Closed(String),
    /// It was never there; the text says why.
    Unreachable(String),
    /// We ended it.
    Finished,
}

impl fmt::Display for SessionEnd {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SessionEnd::Notified(notification) => write!(f, "the neighbour said {notification}"),
            SessionEnd::Refused(notification) => write!(f, "we said {notification}"),
            SessionEnd::Closed(why) => write!(f, "connection lost: {why}"),
            SessionEnd::Unreachable(why) => write!(f, "no session: {why}"),
            SessionEnd::Finished => f.write_str("finished"),
        }
    }
}

impl std::error::Error for SessionEnd {}

/// What a neighbour's octets brought.
pub(crate) enum Heard<'a> {
    Established,
    Update(&'a [u8]),
    Refresh(RouteRefresh),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    OpenSent,
    OpenConfirm,
    Established,
}

/// One side of one connection.
pub(crate) struct Peer {
    options: PeerOptions,
    state: State,
    negotiated: Option<Negotiated>,
    // The start of a message whose rest has not come.
    carry: Vec<u8>,
    heard_at: Instant,
    advertised_at: Instant,
}

impl Peer {
    /// The connection stands; `out` gets our OPEN.
    pub(crate) fn connected(options: PeerOptions, now: Instant, out: &mut Vec<u8>) -> Self {
        options.open().encode(out);
        Peer {
            options,
            state: State::OpenSent,
            negotiated: None,
            carry: Vec::new(),
            heard_at: now,
            advertised_at: now,
        }
    }

    pub(crate) fn is_established(&self) -> bool {
        self.state == State::Established
    }

    /// Takes input; whole messages go to `hear`, replies to `out`.
    pub(crate) fn received(
        &mut self,
        now: Instant,
        mut bytes: &[u8],
        out: &mut Vec<u8>,
        hear: &mut impl FnMut(Heard<'_>, &Negotiated),
    ) -> Result<(), SessionEnd> {
        self.heard_at = now;
        while !self.carry.is_empty() && !bytes.is_empty() {
            bytes = self.fill_carry(bytes);
            let carry = std::mem::take(&mut self.carry);
            let taken = self.messages(&carry, out, hear)?;
            if taken == 0 {
                self.carry = carry;
            }
        }
        let taken = self.messages(bytes, out, hear)?;
        self.carry
            .extend_from_slice(bytes.get(taken..).unwrap_or_default());
        Ok(())
    }

    /// Moves what the message in `carry` lacks, as far as its length is known, out of `bytes`.
    fn fill_carry<'a>(&mut self, bytes: &'a [u8]) -> &'a [u8] {
        let wanted = match self.carry.get(16..18) {
            Some([high, low]) => usize::from(u16::from_be_bytes([*high, *low])),
            _ => 18,
        };
        let missing = wanted
            .saturating_sub(self.carry.len())
            .clamp(1, bytes.len());
        let (head, rest) = bytes.split_at(missing);
        self.carry.extend_from_slice(head);
        rest
    }

    fn messages(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        hear: &mut impl FnMut(Heard<'_>, &Negotiated),
    ) -> Result<usize, SessionEnd> {
        let max = self
            .negotiated
            .as_ref()
            .map_or(MESSAGE_LEN_MAX, |n| n.message_len_max);
        let mut taken = 0;
        while let Some(rest) = bytes.get(taken..)
            && let Some(message) = message::frame(rest, max).map_err(SessionEnd::Refused)?
        {
            taken += message.bytes.len();
            self.message(message, out, hear)?;
        }
        Ok(taken)
    }

    fn message(
        &mut self,
        message: RawMessage<'_>,
        out: &mut Vec<u8>,
        hear: &mut impl FnMut(Heard<'_>, &Negotiated),
    ) -> Result<(), SessionEnd> {
        match (message.kind, self.state, &self.negotiated) {
            (MessageType::Update, State::Established, Some(negotiated)) => {
                hear(Heard::Update(message.body()), negotiated);
            }
            (MessageType::Keepalive, State::Established, _) => {}
            (MessageType::Keepalive, State::OpenConfirm, Some(negotiated)) => {
                self.state = State::Established;
                hear(Heard::Established, negotiated);
            }
            (MessageType::Open, State::OpenSent, _) => {
                let open = Open::parse(message.body()).map_err(SessionEnd::Refused)?;
                self.negotiated = Some(Negotiated::of(&self.options, &open));
                self.state = State::OpenConfirm;
                message::encode_keepalive(out);
            }
            (MessageType::RouteRefresh, State::Established, Some(negotiated)) => {
                if let Some(refresh) =
                    RouteRefresh::parse(message.body()).map_err(SessionEnd::Refused)?
                {
                    hear(Heard::Refresh(refresh), negotiated);
                }
            }
            (MessageType::Notification, ..) => {
                return Err(SessionEnd::Notified(Notification::parse(message.body())));
            }
            // RFC 6608: 1 in OpenSent, 2 in OpenConfirm, 3 in Established.
            (_, state, _) => {
                return Err(SessionEnd::Refused(Notification::new(5, state as u8 + 1)));
            }
        }
        Ok(())
    }

    /// Something went out: the neighbour's hold timer starts again.
    pub(crate) fn told(&mut self, now: Instant) {
        self.advertised_at = now;
    }

    /// The next instant at which [`Peer::timers`] has something to do.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        let hold = self.hold();
        let keepalive = self
            .keepalive_interval()
            .map(|interval| self.advertised_at + interval);
        [hold.map(|hold| self.heard_at + hold), keepalive]
            .into_iter()
            .flatten()
            .min()
    }

    /// Sends the KEEPALIVE that is due. `unread`: input waits that was not looked at yet.
    pub(crate) fn timers(
        &mut self,
        now: Instant,
        unread: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), SessionEnd> {
        if self.hold().is_some_and(|hold| now >= self.heard_at + hold) {
            if !unread {
                return Err(SessionEnd::Refused(Notification::new(4, 0)));
            }
            self.heard_at = now;
        }
        if self
            .keepalive_interval()
            .is_some_and(|interval| now >= self.advertised_at + interval)
        {
            self.advertised_at = now;
            message::encode_keepalive(out);
        }
        Ok(())
    }

    fn hold(&self) -> Option<Duration> {
        self.negotiated
            .as_ref()
            .map_or(Some(HOLD_BEFORE_OPEN), |n| n.hold)
    }

    /// A third of the hold time (RFC 4271 §10), from when the neighbour knows us.
    fn keepalive_interval(&self) -> Option<Duration> {
        self.negotiated
            .as_ref()
            .and_then(|n| n.hold)
            .map(|hold| hold / 3)
    }
}
