//! Routing policy: what is accepted, what is changed on the way, and which statement said so.
//!
//! Definitions ([`PolicyDef`], [`SetDefs`]) are plain data. [`compile`] turns them into immutable
//! [`Policy`] values that shards share and evaluate without allocation. The crate reads no file and
//! no clock: sets kept in files are read by the configuration.
#![forbid(unsafe_code)]

mod as_path;
mod as_set;
mod change;
mod community;
mod compile;
mod condition;
mod context;
mod def;
mod error;
pub mod fuzzing;
pub mod limits;
mod policy;
mod prefix_set;
mod range;

pub use as_path::{AsPathExpression, AsPathSet};
pub use as_set::AsSet;
pub use community::{AnyCommunity, CommunityPattern, CommunitySet};
pub use compile::{CompileOptions, Compiled, compile};
pub use context::{Hits, Outcome, PeerFacts, RouteContext};
pub use def::{
    AsPathChange, ChangeDef, CommunityChange, LengthMatch, MatchDef, MedChange, NextHopChange,
    PeerMatch, PolicyDef, Prepend, PrependAs, SetDefs, SetMatch, StatementDef, Verdict,
};
pub use error::{CompileError, Item};
pub use policy::Policy;
pub use prefix_set::{PrefixEntry, PrefixSet};
pub use range::AsnRange;
