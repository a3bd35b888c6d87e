//! From batches to messages: what egress does with a shard's answer.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use thruway_wire::RouterId;

use crate::{Audience, EgressBatch, GroupProfile, PeerId};

/// Encodes batches of one group, once for all its members on a worker.
#[derive(Debug)]
pub struct Packer {
    profile: Arc<GroupProfile>,
}

/// Encoded messages: one segment, whole messages only, and who gets which part.
#[derive(Clone, Debug, Default)]
pub struct Packed {
    bytes: Bytes,
    parts: Vec<(Audience, Range<u32>)>,
    /// Messages in it.
    pub messages: u32,
    /// NLRI withdrawn instead of announced: their set fits no message to these members (RFC 8654 §5),
    /// or its next hop does not go with them.
    pub unsendable: u32,
}

impl Packer {
    /// For a group.
    #[must_use]
    pub fn new(profile: Arc<GroupProfile>) -> Self {
        Packer { profile }
    }

    /// The group's profile was replaced.
    pub fn set_profile(&mut self, profile: Arc<GroupProfile>) {
        self.profile = profile;
    }

    /// Adds a batch. Batches of several shards may be packed together where they are for the same
    /// members; two batches of one shard must be given in order.
    pub fn absorb(&mut self, batch: &EgressBatch) {
        let _ = batch;
    }

    /// True where nothing was absorbed since the last `pack`.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        true
    }

    /// Encodes what was absorbed. `router_id` gives a source's BGP identifier and whether it is
    /// internal, for the marks of a reflector (RFC 4456 §8).
    pub fn pack(&mut self, router_id: &dyn Fn(PeerId) -> Option<RouterId>) -> Packed {
        let _ = router_id;
        Packed::default()
    }
}

impl Packed {
    /// True without messages.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The messages for one member, in order, neighbouring ones in one slice.
    pub fn slices_for(&self, member: PeerId) -> impl Iterator<Item = Bytes> + '_ {
        let _ = (member, &self.parts);
        std::iter::empty()
    }
}
