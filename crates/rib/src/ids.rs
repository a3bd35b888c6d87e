//! Small numbers that name things inside one daemon.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(transparent)]
        pub struct $name(pub $inner);

        impl $name {
            /// For indexing arrays.
            #[must_use]
            pub const fn index(self) -> usize {
                self.0 as usize
            }
        }
    };
}

id! {
    /// A worker thread.
    WorkerId(u8)
}
id! {
    /// A shard of the RIB; shard n lives on worker n.
    ShardId(u8)
}
id! {
    /// A peer, for as long as it is configured (or, dynamic, connected). Reused only after every
    /// shard has swept its paths.
    PeerId(u16)
}
id! {
    /// An update group.
    GroupId(u16)
}
id! {
    /// What a peer is to the eligibility matrix, 0 to 31.
    PeerClass(u8)
}

/// A canonical attribute set, by number: owner in the top six bits, index below.
///
/// Owners 0..32 are the workers' interners; 32..64 the shards' tables of sets derived by policy,
/// which never leave their shard.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Handle(u32);

impl Handle {
    /// No set: a withdrawn or rejected route.
    pub const NONE: Handle = Handle(u32::MAX);
    const INDEX_BITS: u32 = 26;
    /// Largest index; the one above is kept free for `NONE`.
    pub const INDEX_MAX: u32 = (1 << Self::INDEX_BITS) - 2;

    /// The handle of an owner's set.
    #[must_use]
    pub const fn new(owner: u8, index: u32) -> Handle {
        debug_assert!(owner < 64 && index <= Self::INDEX_MAX);
        Handle((owner as u32) << Self::INDEX_BITS | index)
    }

    /// Who interned it.
    #[must_use]
    pub const fn owner(self) -> usize {
        (self.0 >> Self::INDEX_BITS) as usize
    }

    /// Its place in the owner's table.
    #[must_use]
    pub const fn index(self) -> usize {
        (self.0 & ((1 << Self::INDEX_BITS) - 1)) as usize
    }

    /// False for `NONE`.
    #[must_use]
    pub const fn is_some(self) -> bool {
        self.0 != u32::MAX
    }

    /// True for `NONE`.
    #[must_use]
    pub const fn is_none(self) -> bool {
        self.0 == u32::MAX
    }
}

impl Default for Handle {
    fn default() -> Self {
        Handle::NONE
    }
}

impl fmt::Debug for Handle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_some() {
            write!(f, "Handle({}:{})", self.owner(), self.index())
        } else {
            f.write_str("Handle(-)")
        }
    }
}
