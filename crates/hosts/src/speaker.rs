//! The network's end of the local session: the handful of BGP that a peer inside the process needs.
//!
//! There is no hold timer, no collision, no retry: the stream is the process's own. What the server
//! tells goes straight into the table.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;

use thruway_wire::attrs::{AttrSetBuf, OPTIONAL, RawAttr, TRANSITIVE, code};
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::limits::EXTENDED_MESSAGE_LEN_MAX;
use thruway_wire::message::{self, MessageType, RawMessage};
use thruway_wire::notification::Notification;
use thruway_wire::open::{Capability, Open, VERSION};
use thruway_wire::update::{UpdateContext, UpdateView, Verdict};
use thruway_wire::{Asn, Family, FamilySet, NextHop, Nlri, Prefix, PrefixKey, RouterId};

use super::limits::{OUTBOX_MAX, READ_MAX};
use super::table::Table;

/// LOCAL_PREF of the network's own routes.
const LOCAL_PREF: u32 = 100;
/// Receive, in the ADD-PATH capability (RFC 7911 §4).
const RECEIVE: u8 = 1;
/// Send, there.
const SEND: u8 = 2;

/// How routes go out: as they are, with LOCAL_PREF.
const REWRITE: Rewrite = Rewrite {
    local_pref: true,
    med: false,
    ..Rewrite::TRANSPARENT
};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    OpenSent,
    OpenConfirm,
    Established,
}

/// What a turn brought, besides routes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct News {
    /// The session came up.
    pub(super) established: bool,
    /// Families whose table was told to its end.
    pub(super) told: FamilySet,
}

/// One stream's session.
pub(super) struct Speaker {
    stream: UnixStream,
    asn: Asn,
    state: State,
    context: UpdateContext,
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    /// What the network announces; sorted, one route a prefix.
    routes: Vec<(Prefix, NextHop)>,
}

impl Speaker {
    /// Begins a session: its OPEN waits to go out.
    pub(super) fn new(
        stream: UnixStream,
        asn: Asn,
        router_id: RouterId,
        routes: &[(Prefix, NextHop)],
    ) -> io::Result<Self> {
        stream.set_nonblocking(true)?;
        let mut outbox = Vec::new();
        open(asn, router_id).encode(&mut outbox);
        Ok(Speaker {
            stream,
            asn,
            state: State::OpenSent,
            context: UpdateContext {
                as4: true,
                external: false,
                families: FamilySet::ALL,
                add_path: FamilySet::EMPTY,
            },
            inbox: Vec::new(),
            outbox,
            routes: in_order(routes),
        })
    }

    /// The stream, to wait for.
    pub(super) fn stream(&self) -> BorrowedFd<'_> {
        self.stream.as_fd()
    }

    /// Something waits until the stream takes it.
    pub(super) fn is_full(&self) -> bool {
        !self.outbox.is_empty()
    }

    /// Sends and receives once. `Err`: the session is over, in words.
    pub(super) fn turn(&mut self, table: &mut Table) -> Result<News, String> {
        self.flush()?;
        let mut news = News::default();
        let held = self.inbox.len();
        self.inbox.resize(held + READ_MAX, 0);
        let read = self
            .stream
            .read(self.inbox.get_mut(held..).unwrap_or_default());
        self.inbox.truncate(held + *read.as_ref().unwrap_or(&0));
        match read {
            Ok(0) => return Err("the route server closed the stream".to_owned()),
            Ok(_) => {}
            Err(error) if is_later(&error) => return Ok(news),
            Err(error) => return Err(format!("the stream broke: {error}")),
        }
        let inbox = std::mem::take(&mut self.inbox);
        let mut taken = 0;
        while let Some(rest) = inbox.get(taken..)
            && let Some(message) =
                message::frame(rest, EXTENDED_MESSAGE_LEN_MAX).map_err(|error| refused(&error))?
        {
            taken += message.bytes.len();
            self.message(message, table, &mut news)?;
        }
        self.inbox = inbox;
        self.inbox.drain(..taken);
        self.flush()?;
        Ok(news)
    }

    fn message(
        &mut self,
        message: RawMessage<'_>,
        table: &mut Table,
        news: &mut News,
    ) -> Result<(), String> {
        match (message.kind, self.state) {
            (MessageType::Update, State::Established) => {
                let view = UpdateView::parse(message.body(), &self.context);
                if let Some(family) = update(&view, table)? {
                    news.told.insert(family);
                }
            }
            // Nothing of ours can be asked for: the session offered no refresh.
            (MessageType::Keepalive | MessageType::RouteRefresh, State::Established) => {}
            (MessageType::Open, State::OpenSent) => {
                let open = Open::parse(message.body()).map_err(|error| refused(&error))?;
                self.accept(&open)?;
                message::encode_keepalive(&mut self.outbox);
                self.state = State::OpenConfirm;
            }
            (MessageType::Keepalive, State::OpenConfirm) => {
                self.state = State::Established;
                news.established = true;
                let routes = std::mem::take(&mut self.routes);
                announce(&mut self.outbox, &routes);
                self.routes = routes;
                for family in Family::ALL {
                    encode::end_of_rib(&mut self.outbox, family);
                }
            }
            (MessageType::Notification, _) => {
                let notification = Notification::parse(message.body());
                return Err(format!("the route server said {notification}"));
            }
            (kind, state) => return Err(format!("unexpected {kind:?} in {state:?}")),
        }
        Ok(())
    }

    /// Takes the server's OPEN.
    fn accept(&mut self, open: &Open) -> Result<(), String> {
        if open.asn() != self.asn {
            return Err(format!("the route server's AS is {}", open.asn()));
        }
        let mut families = FamilySet::EMPTY;
        for capability in &open.capabilities {
            match capability {
                Capability::Multiprotocol(pair) => Family::from_wire(*pair)
                    .into_iter()
                    .for_each(|family| families.insert(family)),
                Capability::AddPath(entries) => entries
                    .iter()
                    .filter(|(_, way)| way & SEND != 0)
                    .filter_map(|(pair, _)| Family::from_wire(*pair))
                    .for_each(|family| self.context.add_path.insert(family)),
                _ => {}
            }
        }
        self.context.families = families;
        Ok(())
    }

    /// Announces and withdraws what is new in `routes`.
    pub(super) fn update(&mut self, routes: &[(Prefix, NextHop)]) {
        let new = in_order(routes);
        let old = std::mem::replace(&mut self.routes, new);
        if self.state != State::Established {
            return;
        }
        let kept = |prefix: &Prefix| {
            let known = self
                .routes
                .binary_search_by_key(prefix, |(prefix, _)| *prefix);
            known.is_ok()
        };
        let gone: Vec<Prefix> = old
            .iter()
            .map(|(prefix, _)| *prefix)
            .filter(|prefix| !kept(prefix))
            .collect();
        let fresh: Vec<(Prefix, NextHop)> = self
            .routes
            .iter()
            .filter(|route| old.binary_search(route).is_err())
            .copied()
            .collect();
        encode::withdraw(
            &mut self.outbox,
            &Encoding::PLAIN,
            nlri::<thruway_wire::Ipv4Prefix>(&gone),
        );
        encode::withdraw(
            &mut self.outbox,
            &Encoding::PLAIN,
            nlri::<thruway_wire::Ipv6Prefix>(&gone),
        );
        announce(&mut self.outbox, &fresh);
    }

    /// Sends what the stream takes.
    pub(super) fn flush(&mut self) -> Result<(), String> {
        while !self.outbox.is_empty() {
            match self.stream.write(&self.outbox) {
                Ok(sent) => {
                    self.outbox.drain(..sent);
                }
                Err(error) if is_later(&error) => break,
                Err(error) => return Err(format!("the stream broke: {error}")),
            }
        }
        if self.outbox.len() > OUTBOX_MAX {
            return Err("the route server does not read".to_owned());
        }
        Ok(())
    }
}

fn is_later(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        io::ErrorKind::WouldBlock | io::ErrorKind::Interrupted
    )
}

fn refused(notification: &Notification) -> String {
    format!("the route server sent a message that does not parse: {notification}")
}

/// No hold timer (RFC 4271 §4.2): who would be gone is this process.
fn open(asn: Asn, router_id: RouterId) -> Open {
    let pairs = || Family::ALL.map(Family::to_wire);
    let mut capabilities = pairs().map(Capability::Multiprotocol).to_vec();
    let ipv4_over_ipv6 = (Family::Ipv4.to_wire(), Family::Ipv6.to_wire().afi);
    capabilities.extend([
        Capability::ExtendedNextHop(vec![ipv4_over_ipv6]),
        Capability::ExtendedMessage,
        Capability::FourOctetAs(asn),
        Capability::AddPath(pairs().map(|pair| (pair, RECEIVE)).to_vec()),
    ]);
    Open {
        version: VERSION,
        my_as: asn.to_as2(),
        hold_time: 0,
        router_id,
        capabilities,
    }
}

fn in_order(routes: &[(Prefix, NextHop)]) -> Vec<(Prefix, NextHop)> {
    let mut routes = routes.to_vec();
    routes.sort_unstable();
    // The network can list a prefix twice, its own and a peered one; it is told once.
    routes.dedup_by_key(|(prefix, _)| *prefix);
    routes
}

/// Appends UPDATEs for `routes`, a next hop at a time.
fn announce(out: &mut Vec<u8>, routes: &[(Prefix, NextHop)]) {
    let mut hops: Vec<NextHop> = routes.iter().map(|(_, hop)| *hop).collect();
    hops.sort_unstable();
    hops.dedup();
    for hop in hops {
        let set = attributes(hop);
        let prefixes = routes.iter().filter(|(_, with)| *with == hop);
        let prefixes: Vec<Prefix> = prefixes.map(|(prefix, _)| *prefix).collect();
        let v4 = nlri::<thruway_wire::Ipv4Prefix>(&prefixes);
        let v6 = nlri::<thruway_wire::Ipv6Prefix>(&prefixes);
        let sent = encode::announce(out, set.as_ref(), &REWRITE, &Encoding::PLAIN, v4)
            .and_then(|_| encode::announce(out, set.as_ref(), &REWRITE, &Encoding::PLAIN, v6));
        if let Err(error) = sent {
            tracing::warn!(%hop, ?error, "prefixes of the network cannot be announced");
        }
    }
}

/// What the network announces its prefixes with: ORIGIN IGP, an empty AS_PATH, LOCAL_PREF.
#[must_use]
pub fn attributes(hop: NextHop) -> AttrSetBuf {
    let attr = |code, value| RawAttr {
        flags: TRANSITIVE & !OPTIONAL,
        code,
        value,
    };
    let local_pref = LOCAL_PREF.to_be_bytes();
    let attrs = [
        attr(code::ORIGIN, &[0]),
        attr(code::AS_PATH, &[]),
        attr(code::LOCAL_PREF, &local_pref),
    ];
    AttrSetBuf::from_parts(Some(hop), attrs.into_iter())
}

/// The prefixes of one family.
fn nlri<P: PrefixKey>(prefixes: &[Prefix]) -> impl Iterator<Item = Nlri<P>> + '_ {
    let of_family = prefixes.iter().filter_map(|prefix| P::from_prefix(*prefix));
    of_family.map(|prefix| Nlri { path_id: 0, prefix })
}

/// Puts an UPDATE's routes into the table; gives the family that it ends.
fn update(view: &UpdateView<'_>, table: &mut Table) -> Result<Option<Family>, String> {
    if view.verdict() >= Verdict::Reset {
        let error = view
            .notification()
            .unwrap_or_else(|| Notification::new(3, 0));
        return Err(refused(&error));
    }
    for nlri in view.withdrawn4() {
        table.withdraw(nlri.prefix.into(), nlri.path_id);
    }
    for nlri in view.withdrawn6() {
        table.withdraw(nlri.prefix.into(), nlri.path_id);
    }
    for (part, family) in view.announced() {
        let Some(hop) = view.next_hop(part) else {
            continue;
        };
        match family {
            Family::Ipv4 => view
                .announced4(part)
                .for_each(|nlri| table.announce(nlri.prefix.into(), nlri.path_id, hop.addr())),
            Family::Ipv6 => view
                .announced6()
                .for_each(|nlri| table.announce(nlri.prefix.into(), nlri.path_id, hop.addr())),
        }
    }
    Ok(view.end_of_rib())
}
