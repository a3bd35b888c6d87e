//! Bounds of policies, each with its source.

/// Statements in one policy: their index is 16 bits wide, and its last value means "the end".
pub const STATEMENTS_MAX: usize = u16::MAX as usize;
/// Times that one action may prepend an AS. Longer paths are dropped by many networks.
pub const PREPEND_COUNT_MAX: u8 = 63;
/// Characters of one AS path expression.
pub const EXPRESSION_LEN_MAX: usize = 1024;
/// Octets of one compiled automaton, and of the work to build it: an expression such as
/// `(.*1){20}` would otherwise take all memory.
pub const AUTOMATON_LEN_MAX: usize = 1024 * 1024;
/// Largest index in front of a prefix set, as a power of two: 64 Ki entries, 256 KiB.
pub const PREFIX_INDEX_BITS_MAX: u32 = 16;
/// Pieces of a prefix set with equal top bits that a search may look through; more get an index of
/// their own.
pub const PREFIX_BUCKET_LEN_MAX: usize = 32;
