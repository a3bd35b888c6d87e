//! Bounds of a configuration.

/// Octets of a TCP MD5 key (Linux: TCP_MD5SIG_MAXKEYLEN).
pub const MD5_KEY_LEN_MAX: usize = 80;
/// Octets of a configuration file. The parser needs some ten times as much memory.
pub const CONFIG_LEN_MAX: u64 = 64 * 1024 * 1024;
/// Octets of a file with a set's members.
pub const SET_FILE_LEN_MAX: u64 = 256 * 1024 * 1024;
/// Faults named in one file with a set's members; the rest is counted.
pub const SET_FILE_ERRORS_MAX: usize = 20;
/// Sessions of one peer with a prefix, unless the configuration says otherwise.
pub const RANGE_PEERS_DEFAULT: u32 = 256;
/// Seconds that a peer may be asked to wait for a restart (RFC 4724 §3: twelve bits).
pub const RESTART_TIME_MAX: u16 = 4095;
/// Seconds that stale routes may be kept (RFC 9494 §3.1: 24 bits).
pub const LONG_LIVED_TIME_MAX: u32 = (1 << 24) - 1;
/// Faults of TOML named in one file: what follows a broken line is mostly broken, too.
pub const SYNTAX_ERRORS_MAX: usize = 20;
/// Bytes of a file with an MD5 key.
pub const PASSWORD_FILE_LEN_MAX: u64 = 4096;
/// Bytes of a file in which every fault of TOML is looked for; of a larger one the first is named.
pub const SYNTAX_ERRORS_TEXT_MAX: usize = 1 << 20;

/// Members from which a list of prefixes stays out of the TOML tree.
pub const LONG_LIST_MIN: usize = 64;
/// Expectations of one file: each is counted over the table.
pub const EXPECTATIONS_MAX: usize = 1000;
