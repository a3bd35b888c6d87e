//! A route as it reaches a member: what the encoder writes for its group, and what that parses to. The one
//! source for what answers and plans say was advertised.

use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::limits::HEADER_LEN;
use thruway_wire::update::{UpdateContext, UpdateView};
use thruway_wire::{FamilySet, Nlri, encode};

use crate::adj_rib_out::export::rewrite_of;
use crate::core::Core;
use crate::table::TableKey;
use crate::{GroupProfile, Handle, PeerId};

/// A group's way out, from the sets of one core.
#[derive(Clone, Copy)]
pub(crate) struct OnWire<'a> {
    core: &'a Core,
    profile: &'a GroupProfile,
}

impl<'a> OnWire<'a> {
    pub(crate) fn new(core: &'a Core, profile: &'a GroupProfile) -> Self {
        OnWire { core, profile }
    }

    pub(crate) fn profile(&self) -> &'a GroupProfile {
        self.profile
    }

    /// The set before the group's own changes.
    pub(crate) fn set(&self, handle: Handle) -> Option<&'a AttrSet> {
        self.core.sets.get(handle)
    }

    /// The UPDATE that brings a route, without a path identifier; `None` where it cannot be sent.
    pub(crate) fn octets<P: TableKey>(&self, handle: Handle, source: PeerId) -> Option<Vec<u8>> {
        let set = self.set(handle)?.as_ref();
        let rewrite = rewrite_of(self.profile, self.core, source);
        let encoding = encode::Encoding {
            add_path: false,
            ..self.profile.encoding
        };
        let any = Nlri {
            path_id: 0,
            prefix: P::from_octets(&[0; 16], 0)?,
        };
        let mut out = Vec::new();
        encode::announce(&mut out, set, &rewrite, &encoding, std::iter::once(any)).ok()?;
        Some(out)
    }

    /// The attributes as they arrive.
    pub(crate) fn arriving<P: TableKey>(&self, handle: Handle, source: PeerId) -> Option<AttrSet> {
        let octets = self.octets::<P>(handle, source)?;
        let context = UpdateContext {
            as4: self.profile.encoding.as4,
            external: self.profile.external,
            families: FamilySet::ALL,
            add_path: FamilySet::EMPTY,
        };
        let view = UpdateView::parse(octets.get(HEADER_LEN..)?, &context);
        let (part, _) = view.announced().next()?;
        let mut set = AttrSetBuf::default();
        Some(AttrSet::new(view.canonical(part, &mut set)))
    }
}
