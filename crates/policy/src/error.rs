//! Why definitions do not compile.

use std::fmt;

/// A definition that an error is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Item {
    /// A policy.
    Policy(String),
    /// A set of AS path expressions.
    AsPathSet(String),
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Policy(name) => write!(f, "policy.{name}"),
            Item::AsPathSet(name) => write!(f, "as-path-set.{name}"),
        }
    }
}

/// One fault in a definition, and where it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompileError {
    /// The definition.
    pub item: Item,
    /// The statement's index from 0, where the fault is in one.
    pub statement: Option<usize>,
    /// The key at fault within it, as the configuration calls it; empty where the whole is.
    pub field: &'static str,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.item)?;
        if let Some(index) = self.statement {
            write!(f, " statement {}", index + 1)?;
        }
        if !self.field.is_empty() {
            write!(f, " {}", self.field)?;
        }
        write!(f, ": {}", self.message)
    }
}

impl std::error::Error for CompileError {}
