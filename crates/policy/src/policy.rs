//! A compiled policy and its evaluation.

use std::sync::{Arc, OnceLock};

use thruway_wire::attrs::AttrSetBuf;

use crate::change::Change;
use crate::condition::Condition;
use crate::{Hits, Outcome, RouteContext, Verdict};

/// A compiled policy: immutable, shared behind an `Arc`.
#[derive(Debug)]
pub struct Policy {
    name: String,
    version: u32,
    default_accept: bool,
    statements: Box<[Statement]>,
    uses: Uses,
}

/// A compiled statement.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) name: String,
    pub(crate) conditions: Box<[Condition]>,
    pub(crate) changes: Box<[Change]>,
    pub(crate) verdict: Verdict,
}

/// What the outcome can depend on besides the attributes.
#[derive(Clone, Copy, Debug, Default)]
struct Uses {
    prefix: bool,
    peer: bool,
    to: bool,
}

impl Uses {
    fn of(statements: &[Statement]) -> Self {
        let mut uses = Uses::default();
        for condition in statements
            .iter()
            .flat_map(|statement| &statement.conditions)
        {
            match condition {
                Condition::Prefix(_) => uses.prefix = true,
                Condition::Peer(_) => uses.peer = true,
                Condition::To(_) => uses.to = true,
                _ => {}
            }
        }
        for change in statements.iter().flat_map(|statement| &statement.changes) {
            match change {
                Change::PrependPeer(_) | Change::NextHopPeer => uses.peer = true,
                Change::ReplaceAs { peer, to, .. } => {
                    uses.peer |= *peer;
                    uses.to |= *to;
                }
                Change::NextHopOwn => (uses.peer, uses.to) = (true, true),
                _ => {}
            }
        }
        uses
    }
}

impl Policy {
    pub(crate) fn new(
        name: &str,
        version: u32,
        default_accept: bool,
        statements: Vec<Statement>,
    ) -> Self {
        let uses = Uses::of(&statements);
        let statements = statements.into_boxed_slice();
        Policy {
            name: name.into(),
            version,
            default_accept,
            statements,
            uses,
        }
    }

    /// The built-in policy `accept`.
    #[must_use]
    pub fn accept() -> Arc<Policy> {
        static ACCEPT: OnceLock<Arc<Policy>> = OnceLock::new();
        let built_in = || Arc::new(Policy::new("accept", 0, true, Vec::new()));
        Arc::clone(ACCEPT.get_or_init(built_in))
    }

    /// The built-in policy `reject`: also what RFC 8212 puts where none is configured.
    #[must_use]
    pub fn reject() -> Arc<Policy> {
        static REJECT: OnceLock<Arc<Policy>> = OnceLock::new();
        let built_in = || Arc::new(Policy::new("reject", 0, false, Vec::new()));
        Arc::clone(REJECT.get_or_init(built_in))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The configuration's version that it was compiled for; 0 for the built-in ones. A policy that
    /// a reload leaves as it is keeps its version.
    #[must_use]
    pub fn version(&self) -> u32 {
        self.version
    }

    /// True where the verdict can depend on the prefix. Where it does not, the verdict is the same
    /// for every route with equal attributes (and equal peer, receiver and family, where those are
    /// used).
    #[must_use]
    pub fn uses_prefix(&self) -> bool {
        self.uses.prefix
    }

    /// True where the verdict or the change can depend on the peer that the route came from.
    #[must_use]
    pub fn uses_peer(&self) -> bool {
        self.uses.peer
    }

    /// True where the verdict or the change can depend on the receiving peer.
    #[must_use]
    pub fn uses_to(&self) -> bool {
        self.uses.to
    }

    /// Number of statements.
    #[must_use]
    pub fn statement_count(&self) -> usize {
        self.statements.len()
    }

    /// Judges a route. Under [`Outcome::AcceptChanged`] `out` holds the changed set; under the
    /// others its content means nothing. Later statements see what earlier ones changed. Changes
    /// that cancel out are no change.
    #[must_use]
    pub fn evaluate(
        &self,
        ctx: &RouteContext<'_>,
        out: &mut AttrSetBuf,
        hits: &mut Hits,
    ) -> Outcome {
        let mut changed = false;
        // `zip` bounds the index to 16 bits without a check; compilation bounds the statements.
        for (index, statement) in (0..Outcome::DEFAULT).zip(&self.statements) {
            let set = if changed { out.as_ref() } else { ctx.set };
            if !statement
                .conditions
                .iter()
                .all(|condition| condition.holds(ctx, &set))
            {
                continue;
            }
            hits.count(index);
            if statement.verdict == Verdict::Reject {
                return Outcome::Reject { statement: index };
            }
            if !statement.changes.is_empty() {
                if !changed {
                    out.copy_from(ctx.set);
                    changed = true;
                }
                statement
                    .changes
                    .iter()
                    .for_each(|change| change.apply(ctx, out));
            }
            if statement.verdict == Verdict::Accept {
                return accepted(changed, ctx, out);
            }
        }
        hits.count(Outcome::DEFAULT);
        if self.default_accept {
            accepted(changed, ctx, out)
        } else {
            Outcome::Reject {
                statement: Outcome::DEFAULT,
            }
        }
    }

    /// A statement for people: its number from 1 and its name; `end of policy` for
    /// [`Outcome::DEFAULT`].
    #[must_use]
    pub fn statement_label(&self, index: u16) -> String {
        let number = u32::from(index) + 1;
        match self.statements.get(usize::from(index)) {
            Some(statement) if statement.name.is_empty() => format!("statement {number}"),
            Some(statement) => format!("statement {number} ({})", statement.name),
            None => "end of policy".into(),
        }
    }
}

fn accepted(changed: bool, ctx: &RouteContext<'_>, out: &AttrSetBuf) -> Outcome {
    if changed && out.as_ref().bytes != ctx.set.bytes {
        Outcome::AcceptChanged
    } else {
        Outcome::Accept
    }
}

#[cfg(test)]
mod tests;
