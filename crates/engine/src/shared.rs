//! The little that workers have in common: rings between them, the registry of update groups, whose a
//! connection is.

pub(crate) mod directory;
pub(crate) mod registry;
pub(crate) mod rings;
