//! Bounds of the wire layer, each with its source.

/// Octets of the message header: marker, length, type (RFC 4271 §4.1).
pub const HEADER_LEN: usize = 19;
/// Largest message without the extended message capability (RFC 4271 §4.1).
pub const MESSAGE_LEN_MAX: usize = 4096;
/// Largest message with it (RFC 8654 §4).
pub const EXTENDED_MESSAGE_LEN_MAX: usize = 65_535;
/// Largest MRT record that a reader takes; real ones stay far below. A length over it is damage.
pub const MRT_RECORD_LEN_MAX: usize = 16 * 1024 * 1024;
/// Largest AS_PATH value in a canonical set, in octets: 8,000 AS numbers, a hundred times what is
/// seen. It leaves room for a set's offsets in 16 bits. A longer path is treated as withdrawn.
pub const AS_PATH_LEN_MAX: usize = 32_000;
/// Octets of a canonical set that fits a message of [`MESSAGE_LEN_MAX`] whatever becomes of it on the
/// way out: AS_PATH may grow by half of itself (AS4_PATH, RFC 6793 §4.2.2), and all else that is added,
/// around it and behind it, takes less than 200 octets.
pub const PLAIN_SET_LEN_MAX: usize = 2_560;
/// Largest text of an administrative shutdown or reset, in octets (RFC 9003 §2).
pub const SHUTDOWN_TEXT_LEN_MAX: usize = 255;
