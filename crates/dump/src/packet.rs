//! A BGP message with what is known around it, from a dump or from text.

use std::net::{IpAddr, Ipv4Addr};

use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::mrt::{Bgp4mpMessage, Bgp4mpSession, MrtHeader};
use thruway_wire::notification::Notification;
use thruway_wire::open::Open;
use thruway_wire::refresh::RouteRefresh;
use thruway_wire::update::{UpdateContext, UpdateView, Verdict};
use thruway_wire::{Asn, FamilySet, WireError, limits};

use super::assumed::{Assumed, Said};
use super::facts::{Facts, Fields, Shape, guess_as4, has_as_numbers};
use super::faults::{self, Fault};
use super::scratch::Notes;

/// Type code of UPDATE.
pub(super) const UPDATE: u8 = 2;

/// A whole message, 19 octets at least.
#[derive(Clone, Copy, Debug)]
pub(super) struct Packet<'a> {
    /// When and in what kind of record; all zero for messages from text.
    pub(super) header: MrtHeader,
    /// Between whom; unspecified for messages from text.
    pub(super) session: Bgp4mpSession,
    /// What is known of it from its record or from the user.
    known: Said,
    /// It stands in a record, whose subtype says that it has no path identifiers unless it says
    /// that it has.
    recorded: bool,
    /// Sent by the collector.
    pub(super) local: bool,
    bytes: &'a [u8],
}

impl<'a> Packet<'a> {
    /// The message of a record. What its subtype has in its name is so; of the others the user may
    /// say that they have it all the same, as collectors wrote them in the early days of each.
    pub(super) fn recorded(header: MrtHeader, message: &Bgp4mpMessage<'a>, said: Said) -> Self {
        Packet {
            header,
            session: message.session,
            known: Said {
                as4: Some(message.as4 || said.as4 == Some(true)),
                add_path: if message.add_path {
                    Some(true)
                } else {
                    said.add_path
                },
            },
            recorded: true,
            local: message.local,
            bytes: message.message,
        }
    }

    /// A message without anything around it.
    pub(super) fn bare(bytes: &'a [u8], said: Said) -> Self {
        let nobody = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
        Packet {
            header: MrtHeader {
                timestamp: 0,
                micros: None,
                kind: 0,
                subtype: 0,
                len: 0,
            },
            session: Bgp4mpSession {
                peer_as: Asn::ZERO,
                local_as: Asn::ZERO,
                interface: 0,
                peer_addr: nobody,
                local_addr: nobody,
            },
            known: said,
            recorded: false,
            local: false,
            bytes,
        }
    }

    /// Type code (RFC 4271 §4.1); 0 in what is no message.
    pub(super) fn kind(&self) -> u8 {
        self.bytes
            .get(limits::HEADER_LEN - 1)
            .copied()
            .unwrap_or_default()
    }

    /// What follows the header.
    pub(super) fn body(&self) -> &'a [u8] {
        self.bytes.get(limits::HEADER_LEN..).unwrap_or_default()
    }

    /// Finds what is wrong in a message, but for what is in an UPDATE's fields: [`Packet::update`].
    pub(super) fn check(&self, found: &mut Vec<Fault>) {
        faults::header(self.bytes, found);
        if found.iter().any(|fault| matches!(fault, Fault::Refused(_))) {
            return;
        }
        match self.meaning() {
            Meaning::Torn => found.push(Fault::Lengths),
            Meaning::Refused(answer) => found.push(Fault::Refused(answer.to_string())),
            _ => {}
        }
    }

    /// Reads an UPDATE. What was assumed for it, and what of it does not read, is noted.
    pub(super) fn update(
        &self,
        fields: &Fields<'a>,
        wide: &'a mut AttrSetBuf,
        notes: &mut Notes,
    ) -> Update<'a> {
        let mut assumed = Assumed::default();
        let as4 = self.known.as4.unwrap_or_else(|| {
            let guess = guess_as4(fields.attrs);
            assumed.as4 = has_as_numbers(fields.attrs).then_some(guess);
            guess
        });
        let shape = Shape {
            rib: false,
            as2: !as4,
        };
        let facts = Facts::read(fields.attrs, shape, wide);
        let add_path = self.known.add_path.unwrap_or_else(|| {
            let guess = fields.must_be_add_path(&facts);
            // A record's own word is no guess of ours.
            let told = self.recorded && !guess;
            assumed.add_path = (!told && fields.has_prefixes(&facts)).then_some(guess);
            guess
        });
        if facts.torn() > 0 {
            notes.faults.push(Fault::Attributes(facts.torn()));
        }
        let unread = fields.unread(&facts, add_path);
        notes.faults.extend(unread.map(Fault::Nlri));
        notes.assumptions.count(assumed);
        Update {
            shape,
            facts,
            add_path,
            assumed,
        }
    }

    /// The message by its meaning.
    pub(super) fn meaning(&self) -> Meaning<'a> {
        let body = self.body();
        match self.kind() {
            1 => Open::parse(body).map_or_else(Meaning::Refused, Meaning::Open),
            UPDATE => Fields::locate(body).map_or(Meaning::Torn, Meaning::Update),
            3 => Meaning::Notification(Notification::parse(body)),
            4 => Meaning::Keepalive,
            5 => match RouteRefresh::parse(body) {
                Ok(Some(refresh)) => Meaning::RouteRefresh(refresh),
                Ok(None) => Meaning::Unknown(body),
                Err(refusal) => Meaning::Refused(refusal),
            },
            _ => Meaning::Unknown(body),
        }
    }

    /// What a session would make of an UPDATE's errors (RFC 7606); `None` where there are none.
    /// Without a session, an UPDATE with LOCAL_PREF counts as one from the same AS.
    pub(super) fn verdict(&self, update: &Update<'_>) -> Option<(Verdict, Option<WireError>)> {
        let known = self.session.peer_as != Asn::ZERO && self.session.local_as != Asn::ZERO;
        let external = if known {
            self.session.peer_as != self.session.local_as
        } else {
            update.facts.local_pref.is_none()
        };
        let ctx = UpdateContext {
            as4: !update.shape.as2,
            external,
            families: FamilySet::ALL,
            add_path: if update.add_path {
                FamilySet::ALL
            } else {
                FamilySet::EMPTY
            },
        };
        let view = UpdateView::parse(self.body(), &ctx);
        (view.verdict() != Verdict::Ok).then(|| (view.verdict(), view.error()))
    }
}

/// An UPDATE, read.
pub(super) struct Update<'a> {
    shape: Shape,
    pub(super) facts: Facts<'a>,
    /// NLRI carry path identifiers.
    pub(super) add_path: bool,
    /// What of this is a guess.
    pub(super) assumed: Assumed,
}

/// A message's body, read.
pub(super) enum Meaning<'a> {
    Open(Open),
    Update(Fields<'a>),
    Notification(Notification),
    Keepalive,
    RouteRefresh(RouteRefresh),
    /// A type or form that is not read here.
    Unknown(&'a [u8]),
    /// An UPDATE whose lengths contradict each other.
    Torn,
    /// What a session would answer with.
    Refused(Notification),
}

/// The name of a message type.
pub(super) fn kind_name(kind: u8) -> &'static str {
    match kind {
        1 => "OPEN",
        UPDATE => "UPDATE",
        3 => "NOTIFICATION",
        4 => "KEEPALIVE",
        5 => "ROUTE-REFRESH",
        _ => "UNKNOWN",
    }
}

/// A verdict in the RFC's words.
pub(super) fn verdict_name(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Ok => "ok",
        Verdict::Discard => "attribute-discard",
        Verdict::Withdraw => "treat-as-withdraw",
        Verdict::Disable(_) => "afi-safi-disable",
        Verdict::Reset => "session-reset",
    }
}

/// The name of a session's state, as dumps number them.
pub(super) fn state_name(state: u16) -> Option<&'static str> {
    Some(match state {
        1 => "Idle",
        2 => "Connect",
        3 => "Active",
        4 => "OpenSent",
        5 => "OpenConfirm",
        6 => "Established",
        7 => "Clearing",
        8 => "Deleted",
        _ => return None,
    })
}

/// The name of an ORIGIN (RFC 4271 §5.1.1).
pub(super) fn origin_name(origin: u8) -> &'static str {
    match origin {
        0 => "IGP",
        1 => "EGP",
        2 => "INCOMPLETE",
        _ => "UNKNOWN",
    }
}
