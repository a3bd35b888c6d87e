//! TLS for the API: certificates and keys of PEM files, for the server and for whoever asks it.
//!
//! The server shows a certificate, and where it has a CA for clients asks them for theirs (mutual TLS). What a
//! client may is not said here: it is known by the [`fingerprint`] of what it showed. Every fault names its
//! file. TLS 1.2 and 1.3 (RFC 5246, RFC 8446), with the protocol and the cryptography of rustls and ring.
#![forbid(unsafe_code)]

mod files;

pub use files::{
    Clients, Identity, ServerTls, TlsError, client, fingerprint, fingerprint_of, name_of, server,
};
