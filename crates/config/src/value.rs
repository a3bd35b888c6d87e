//! Values: what a key's text, number, list or table may be.

use std::fmt::Display;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use thruway_engine::PeerRole;
use thruway_exchange::Preference;
use thruway_policy::{AnyCommunity, AsPathExpression, AsnRange, CommunityPattern, PrefixEntry};
use thruway_policy::{MedChange, NextHopChange, PrependAs, Verdict};
use thruway_rib::LimitAction;
use thruway_session::Role;
use thruway_wire::{Asn, Family, Prefix, RouterId};
use toml::Spanned;
use toml::de::{DeInteger, DeValue};

use super::reader::{FromValue, Reader, Spot, found};
use super::suggest::hint;
use super::{LogLevel, Mode, Transport, Who};

type Value<'v> = Spanned<DeValue<'v>>;

/// Notes "expected …, found …".
fn expected<T>(what: impl Display, value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<T> {
    let line = reader.line(value.span());
    let found = found(value.get_ref());
    reader.error(line, key, format!("expected {what}, found {found}"));
    None
}

fn integer(number: &DeInteger<'_>) -> Option<i128> {
    i128::from_str_radix(number.as_str(), number.radix()).ok()
}

macro_rules! numbers {
    ($($type:ty),*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
                let number = value.get_ref().as_integer().and_then(integer);
                match number.and_then(|number| <$type>::try_from(number).ok()) {
                    Some(number) => Some(number),
                    None => {
                        let what = format!("a number from 0 to {}", <$type>::MAX);
                        expected(what, value, key, reader)
                    }
                }
            }
        }
    )*};
}
numbers!(u8, u16, u32);

impl FromValue for bool {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_bool() {
            Some(value) => Some(value),
            None => expected("true or false", value, key, reader),
        }
    }
}

impl FromValue for String {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str() {
            Some(text) => Some(text.into()),
            None => expected("a text", value, key, reader),
        }
    }
}

impl FromValue for PathBuf {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str().filter(|text| !text.is_empty()) {
            Some(text) => Some(text.into()),
            None => expected("a path", value, key, reader),
        }
    }
}

/// Whole seconds.
impl FromValue for Duration {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let seconds = value.get_ref().as_integer().and_then(integer);
        match seconds.and_then(|seconds| u32::try_from(seconds).ok()) {
            Some(seconds) => Some(Duration::from_secs(seconds.into())),
            None => expected("a number of seconds", value, key, reader),
        }
    }
}

/// Reads text with a type's own parser, whose error says what is wrong.
fn parsed<T: FromStr<Err: Display>>(
    what: &str,
    value: &Value<'_>,
    key: &str,
    reader: &mut Reader,
) -> Option<T> {
    let Some(text) = value.get_ref().as_str() else {
        return expected(what, value, key, reader);
    };
    match text.parse() {
        Ok(parsed) => Some(parsed),
        Err(error) => {
            let line = reader.line(value.span());
            reader.error(line, key, error.to_string());
            None
        }
    }
}

macro_rules! texts {
    ($($type:ty: $what:literal,)*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
                parsed($what, value, key, reader)
            }
        }
    )*};
}
texts! {
    Who: "a name",
    AnyCommunity: "a community",
    AsPathExpression: "an AS path expression",
    CommunityPattern: "a community or a pattern",
    Family: "`ipv4` or `ipv6`",
    Prefix: "a prefix",
    PrefixEntry: "a prefix",
}

impl FromValue for IpAddr {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let addr = value.get_ref().as_str().and_then(|text| text.parse().ok());
        match addr.map(|addr: IpAddr| addr.to_canonical()) {
            // ::ffff:192.0.2.1 is the same host as 192.0.2.1.
            Some(addr) => Some(addr),
            None => expected("an IP address", value, key, reader),
        }
    }
}

impl FromValue for RouterId {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let addr = value.get_ref().as_str().and_then(|text| text.parse().ok());
        match addr.map(|addr: std::net::Ipv4Addr| RouterId::from(addr)) {
            // RFC 6286 §2.1: an identifier is not zero.
            Some(id) if id.0 != 0 => Some(id),
            _ => expected(
                "an identifier such as \"192.0.2.1\", not 0.0.0.0",
                value,
                key,
                reader,
            ),
        }
    }
}

/// A number, or its text in any notation (`65536`, `AS65536`, `1.0`).
fn asn(value: &DeValue<'_>) -> Option<Asn> {
    match value {
        DeValue::Integer(number) => u32::try_from(integer(number)?).ok().map(Asn),
        DeValue::String(text) => text.parse().ok(),
        _ => None,
    }
}

impl FromValue for Asn {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        // RFC 7607: AS 0 is nobody's.
        match asn(value.get_ref()).filter(|asn| *asn != Asn::ZERO) {
            Some(asn) => Some(asn),
            None => expected("an AS number from 1 to 4294967295", value, key, reader),
        }
    }
}

impl FromValue for AsnRange {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref() {
            DeValue::Integer(_) => Asn::from_value(value, key, reader).map(AsnRange::from),
            _ => parsed("an AS number or a range of them", value, key, reader),
        }
    }
}

/// An address to listen on. The port may be left out.
#[derive(Clone, Copy, Debug)]
pub(super) struct Listen(pub(super) SocketAddr);

impl FromValue for Listen {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let text = value.get_ref().as_str();
        let addr = text.and_then(|text| {
            let with_port = text.parse().ok();
            with_port.or_else(|| {
                text.parse()
                    .ok()
                    .map(|addr| SocketAddr::new(addr, BGP_PORT))
            })
        });
        match addr {
            Some(addr) => Some(Listen(addr)),
            None => expected(
                "an address and port such as \"[::]:179\"",
                value,
                key,
                reader,
            ),
        }
    }
}

/// A host's name (RFC 1123 §2.1) in lower case; no address, no port.
#[derive(Clone, Debug)]
pub(super) struct HostName(pub(super) String);

impl FromValue for HostName {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let text = value.get_ref().as_str().map(str::to_ascii_lowercase);
        match text.filter(|text| is_host_name(text)) {
            Some(text) => Some(HostName(text)),
            None => expected(
                "a host's name such as \"routes.example.net\", without a port",
                value,
                key,
                reader,
            ),
        }
    }
}

fn is_host_name(text: &str) -> bool {
    let part = |part: &str| {
        let mut octets = part.bytes();
        (1..=63).contains(&part.len())
            && octets.all(|octet| octet.is_ascii_alphanumeric() || b"-_".contains(&octet))
    };
    text.len() <= 253 && text.split('.').all(part) && text.parse::<IpAddr>().is_err()
}

/// A mode of a file, as `chmod` has it.
#[derive(Clone, Copy, Debug)]
pub(super) struct FileMode(pub(super) u32);

impl FromValue for FileMode {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let text = value.get_ref().as_str();
        let mode = text.and_then(|text| u32::from_str_radix(text, 8).ok());
        match mode.filter(|mode| *mode <= 0o777) {
            Some(mode) => Some(FileMode(mode)),
            None => expected("a mode such as \"0660\"", value, key, reader),
        }
    }
}

/// RFC 4271 §8.2.1.
pub(super) const BGP_PORT: u16 = 179;

impl FromValue for SocketAddr {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str().and_then(|text| text.parse().ok()) {
            Some(addr) => Some(addr),
            None => expected(
                "an address and port such as \"[::1]:8179\"",
                value,
                key,
                reader,
            ),
        }
    }
}

/// One value or a list of them, each with its place.
#[derive(Clone, Debug)]
pub(super) struct Many<T>(pub(super) Vec<Spot<T>>);

impl<T> Many<T> {
    pub(super) fn values(self) -> Vec<T> {
        let mut values: Vec<T> = self.0.into_iter().map(|spot| spot.value).collect();
        // It is collected where it lay with its lines, and half of that room would stay.
        values.shrink_to_fit();
        values
    }
}

impl<T: FromValue> FromValue for Many<T> {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let mut read = |value: &Value<'_>, reader: &mut Reader| {
            let line = reader.line(value.span());
            let value = T::from_value(value, key, reader)?;
            Some(Spot {
                value,
                line,
                key: key.into(),
            })
        };
        each(value, key, reader, &mut read).map(Many)
    }
}

/// The same where no member is spoken of again: sets, which are long.
#[derive(Clone, Debug)]
pub(super) struct Members<T>(pub(super) Vec<T>);

impl<T: FromValue> FromValue for Members<T> {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        each(value, key, reader, &mut |value, reader| {
            T::from_value(value, key, reader)
        })
        .map(Members)
    }
}

/// Reads each member of a list, or the only one. One that is bad is an error already; the good ones still take
/// part in later checks.
fn each<T>(
    value: &Value<'_>,
    key: &str,
    reader: &mut Reader,
    read: &mut dyn FnMut(&Value<'_>, &mut Reader) -> Option<T>,
) -> Option<Vec<T>> {
    let Some(list) = value.get_ref().as_array() else {
        return Some(vec![read(value, reader)?]);
    };
    let long = reader.long.clone();
    let members = long.as_ref();
    if let Some((count, places)) = members.and_then(|long| long.members(value.span().start)) {
        // Room for what stays, and no more on the way there.
        let mut members = Vec::with_capacity(count);
        members.extend(places.filter_map(|(at, member)| {
            let value = Spanned::new(at, DeValue::String(member.into()));
            read(&value, reader)
        }));
        return Some(members);
    }
    if list.is_empty() {
        let line = reader.line(value.span());
        reader.error(line, key, "the list is empty: leave the key out instead");
        return None;
    }
    Some(
        list.iter()
            .filter_map(|value| read(value, reader))
            .collect(),
    )
}

/// Reads one of some names.
macro_rules! names {
    ($($type:ty { $($name:literal => $value:expr,)* })*) => {$(
        impl FromValue for $type {
            fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
                const NAMES: &[&str] = &[$($name),*];
                match value.get_ref().as_str() {
                    $(Some($name) => Some($value),)*
                    Some(other) => {
                        let line = reader.line(value.span());
                        let hint = hint(other, NAMES.iter().copied());
                        reader.error(line, key, format!("unknown value `{other}`{hint}"));
                        None
                    }
                    None => {
                        expected(format!("one of {}", NAMES.join(", ")), value, key, reader)
                    }
                }
            }
        }
    )*};
}
names! {
    Mode {
        "plain" => Mode::Plain,
        "exchange" => Mode::Exchange,
        "transparent" => Mode::Transparent,
    }
    Preference {
        "expressroute" => Preference::ExpressRoute,
        "vpn" => Preference::Vpn,
        "as-path" => Preference::AsPath,
    }
    PeerRole {
        "route-server-client" => PeerRole::RouteServerClient,
        "external" => PeerRole::External,
        "internal" => PeerRole::Internal,
        "route-reflector-client" => PeerRole::ReflectorClient,
    }
    Transport {
        "auto" => Transport::Auto,
        "io-uring" => Transport::IoUring,
        "epoll" => Transport::Epoll,
    }
    LogLevel {
        "error" => LogLevel::Error,
        "warn" => LogLevel::Warn,
        "info" => LogLevel::Info,
        "debug" => LogLevel::Debug,
        "trace" => LogLevel::Trace,
    }
    Role {
        "provider" => Role::Provider,
        "route-server" => Role::RouteServer,
        "route-server-client" => Role::RouteServerClient,
        "customer" => Role::Customer,
        "peer" => Role::Peer,
    }
    LimitAction {
        "warn" => LimitAction::Warn,
        "block" => LimitAction::Block,
        "restart" => LimitAction::Restart,
    }
    CountedPrefixes {
        "received" => CountedPrefixes::Received,
        "accepted" => CountedPrefixes::Accepted,
    }
    NextHopWord {
        "peer" => NextHopWord::Peer,
        "same-as" => NextHopWord::SameAs,
        "subnet" => NextHopWord::Subnet,
        "any" => NextHopWord::Any,
    }
    Verdict {
        "accept" => Verdict::Accept,
        "reject" => Verdict::Reject,
        "continue" => Verdict::Continue,
    }
    PolicyDefault {
        "accept" => PolicyDefault(true),
        "reject" => PolicyDefault(false),
    }
}

/// What a prefix limit counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CountedPrefixes {
    Received,
    Accepted,
}

/// `next-hop` of a peer, before it meets `subnets`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum NextHopWord {
    Peer,
    SameAs,
    Subnet,
    Any,
}

/// A policy's `default`: true accepts.
#[derive(Clone, Copy, Debug)]
pub(super) struct PolicyDefault(pub(super) bool);

/// `"any"`, or AS numbers.
#[derive(Clone, Debug)]
pub(super) enum PeerAs {
    Any,
    Numbers(Vec<Spot<Asn>>),
}

impl FromValue for PeerAs {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        if value.get_ref().as_str() == Some("any") {
            return Some(PeerAs::Any);
        }
        Many::from_value(value, key, reader).map(|asns| PeerAs::Numbers(asns.0))
    }
}

/// `"all"`, or how many.
#[derive(Clone, Copy, Debug)]
pub(super) enum PathCount {
    All,
    Best(u8),
}

impl FromValue for PathCount {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let count = value.get_ref().as_integer().and_then(integer);
        match count.and_then(|count| u8::try_from(count).ok()) {
            Some(count) if count > 0 => Some(PathCount::Best(count)),
            _ if value.get_ref().as_str() == Some("all") => Some(PathCount::All),
            _ => expected("\"all\" or a number from 1 to 255", value, key, reader),
        }
    }
}

/// `"never"`, or a number of seconds.
#[derive(Clone, Copy, Debug)]
pub(super) struct RestartAfter(pub(super) Option<Duration>);

impl FromValue for RestartAfter {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        if value.get_ref().as_str() == Some("never") {
            return Some(RestartAfter(None));
        }
        Duration::from_value(value, key, reader).map(|after| RestartAfter(Some(after)))
    }
}

impl FromValue for MedChange {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        let change = match value.get_ref() {
            DeValue::String(text) if text == "remove" => Some(MedChange::Remove),
            DeValue::String(text) => {
                let (sign, digits) = text.split_at_checked(1).unwrap_or(("", ""));
                let number = digits.parse().ok().filter(|_| !digits.starts_with('+'));
                match sign {
                    "+" => number.map(MedChange::Add),
                    "-" => number.map(MedChange::Subtract),
                    _ => None,
                }
            }
            other => {
                let number = other.as_integer().and_then(integer);
                number
                    .and_then(|number| u32::try_from(number).ok())
                    .map(MedChange::Set)
            }
        };
        match change {
            Some(change) => Some(change),
            None => expected("a number, \"+N\", \"-N\" or \"remove\"", value, key, reader),
        }
    }
}

impl FromValue for PrependAs {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str() {
            Some("self") => Some(PrependAs::Own),
            Some("peer") => Some(PrependAs::Peer),
            _ => match asn(value.get_ref()).filter(|asn| *asn != Asn::ZERO) {
                Some(asn) => Some(PrependAs::Asn(asn)),
                None => expected("an AS number, \"self\" or \"peer\"", value, key, reader),
            },
        }
    }
}

/// What our AS takes the place of.
#[derive(Clone, Copy, Debug)]
pub(super) enum ReplacedAs {
    Peer,
    To,
    Range(AsnRange),
}

impl FromValue for ReplacedAs {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str() {
            Some("peer") => Some(ReplacedAs::Peer),
            Some("to") => Some(ReplacedAs::To),
            _ => AsnRange::from_value(value, key, reader).map(ReplacedAs::Range),
        }
    }
}

impl FromValue for NextHopChange {
    fn from_value(value: &Value<'_>, key: &str, reader: &mut Reader) -> Option<Self> {
        match value.get_ref().as_str() {
            Some("self") => Some(NextHopChange::Own),
            Some("peer") => Some(NextHopChange::Peer),
            text => match text.and_then(|text| text.parse().ok()) {
                Some(addr) => Some(NextHopChange::Address(addr)),
                None => expected("an IP address, \"self\" or \"peer\"", value, key, reader),
            },
        }
    }
}
