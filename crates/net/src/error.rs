//! Errors of the system, with what was tried.

use std::fmt::Display;
use std::io;

/// Puts what was tried before the kernel's text.
pub(crate) fn during(what: impl Display, error: impl Into<io::Error>) -> io::Error {
    let error = error.into();
    io::Error::new(error.kind(), format!("{what}: {error}"))
}
