//! The one error of the wire layer: small, `Copy`, with the field and the offset.

use std::fmt;

/// What was being read. Open to growth: match with a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Field {
    /// The message header (RFC 4271 §4.1).
    Header,
    /// OPEN's fixed part (§4.2).
    Open,
    /// OPEN's optional parameters (§4.2, RFC 9072).
    OptionalParameters,
    /// A capability (RFC 5492).
    Capability,
    /// Withdrawn Routes of an UPDATE (§4.3).
    WithdrawnRoutes,
    /// Total Path Attributes of an UPDATE (§4.3).
    PathAttributes,
    /// NLRI of an UPDATE (§4.3) or of MP_(UN)REACH_NLRI.
    Nlri,
    /// One path attribute, by type code.
    Attribute(u8),
    /// NOTIFICATION.
    Notification,
    /// ROUTE-REFRESH.
    RouteRefresh,
    /// The common header of an MRT record (RFC 6396 §2).
    MrtHeader,
    /// The body of an MRT record.
    MrtBody,
}

/// What is wrong with it. Open to growth: match with a wildcard.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum WireErrorKind {
    /// The bytes end before the field does.
    Truncated,
    /// A length contradicts its surroundings.
    BadLength,
    /// A value outside what its RFC allows.
    BadValue,
    /// Bytes are left over where there should be none.
    TrailingBytes,
    /// Well-formed, but not something this reader knows.
    Unsupported,
    /// A length over the limit in [`crate::limits`].
    TooLarge,
    /// An attribute's Optional or Transitive bit contradicts its type (RFC 7606 §3 c).
    BadFlags,
    /// It stands there more than once.
    Duplicate,
    /// It has to be there and is not.
    Missing,
    /// It has no meaning from this peer.
    Misplaced,
}

/// Why bytes were refused, and where.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WireError {
    /// What was being read.
    pub field: Field,
    /// What is wrong.
    pub kind: WireErrorKind,
    /// Octets from the start of the message body or record.
    pub offset: u32,
}

const _: () = assert!(size_of::<WireError>() <= 16);

impl fmt::Display for WireError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.kind {
            WireErrorKind::Truncated => "is cut short",
            WireErrorKind::BadLength => "has a wrong length",
            WireErrorKind::BadValue => "has a value that is not allowed",
            WireErrorKind::TrailingBytes => "has bytes left over",
            WireErrorKind::Unsupported => "is of a kind not known here",
            WireErrorKind::TooLarge => "is larger than the limit",
            WireErrorKind::BadFlags => "has flags that contradict its type",
            WireErrorKind::Duplicate => "is there more than once",
            WireErrorKind::Missing => "is missing",
            WireErrorKind::Misplaced => "has no meaning from this peer",
        };
        match self.field {
            Field::Attribute(code) => write!(f, "attribute {code}")?,
            Field::Header => f.write_str("message header")?,
            Field::Open => f.write_str("OPEN")?,
            Field::OptionalParameters => f.write_str("optional parameters")?,
            Field::Capability => f.write_str("capability")?,
            Field::WithdrawnRoutes => f.write_str("withdrawn routes")?,
            Field::PathAttributes => f.write_str("path attributes")?,
            Field::Nlri => f.write_str("NLRI")?,
            Field::Notification => f.write_str("NOTIFICATION")?,
            Field::RouteRefresh => f.write_str("ROUTE-REFRESH")?,
            Field::MrtHeader => f.write_str("MRT header")?,
            Field::MrtBody => f.write_str("MRT record")?,
        }
        write!(f, " {what} at offset {}", self.offset)
    }
}

impl std::error::Error for WireError {}
