//! Who may use the API over TCP: a file of tokens with names, roles and expiry.
//!
//! ```toml
//! [[token]]
//! name = "grafana"
//! role = "read"
//! expires = "2027-01-01T00:00:00Z"
//! sha256 = "…"
//! ```
//!
//! Of a token only its digest is kept: 256 random bits need no salt and no slow hash, and nobody who reads the
//! file can use it. Still nobody but its owner may read or write it, for who writes it lets others in.
#![forbid(unsafe_code)]

mod file;

pub use file::{
    NAME_MAX, Role, TOKENS_MAX, Token, TokenError, Tokens, Unwelcome, alone, check_time,
};
