//! The session from outside.

mod properties;
