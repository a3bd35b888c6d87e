//! Adj-RIB-Out of a group whose members get one path a prefix: what was advertised to all of them, and what the
//! source of that path was advertised instead.

use thruway_wire::Nlri;

use crate::adj_rib_out::members::Members;
use crate::adj_rib_out::runs::{BuildKey, Builder};
use crate::table::chunked::Chunked;
use crate::table::sets::Sets;
use crate::{Audience, Handle, PeerId};

/// What a group was advertised of a prefix.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Advertised {
    /// What everyone has but `source`, who gets `alternate`. `NONE`: nothing.
    pub(crate) handle: Handle,
    /// What `source` has, if it is a member. `NONE`: nothing.
    pub(crate) alternate: Handle,
    /// Whose path `handle` is.
    pub(crate) source: PeerId,
    /// Whose path `alternate` is.
    pub(crate) alternate_source: PeerId,
}

/// The same as it is stored: most prefixes have no alternate, which lies apart.
#[derive(Clone, Copy, Debug, Default)]
struct Kept {
    handle: Handle,
    source: PeerId,
    has_alternate: bool,
}

#[derive(Clone, Copy, Debug, Default)]
struct Alternate {
    handle: Handle,
    source: PeerId,
}

const _: () = assert!(size_of::<Kept>() == 8 && size_of::<Alternate>() == 8);

/// One receiver's view of a prefix: the set and whose it is.
type View = Option<(Handle, PeerId)>;

fn view(handle: Handle, source: PeerId) -> View {
    handle.is_some().then_some((handle, source))
}

impl Advertised {
    /// What everyone but the source has.
    #[inline]
    fn common(&self) -> View {
        view(self.handle, self.source)
    }

    /// What `member` has.
    #[inline]
    pub(crate) fn of(&self, member: PeerId) -> View {
        if self.handle.is_some() && self.source == member {
            view(self.alternate, self.alternate_source)
        } else {
            self.common()
        }
    }

    #[inline]
    pub(crate) fn is_nothing(&self) -> bool {
        self.handle.is_none()
    }
}

/// All prefixes of one family, and the numbers that follow from them.
#[derive(Debug, Default)]
pub(crate) struct AdvertisedTable {
    slots: Chunked<Kept, 12>,
    alternates: Chunked<Alternate, 12>,
    /// Prefixes with something advertised.
    announced: u32,
    /// By source: prefixes where it is advertised nothing because the path is its own.
    masked: Vec<u32>,
}

impl AdvertisedTable {
    #[inline]
    pub(crate) fn get(&self, slot: u32) -> Advertised {
        let kept = self.slots.get(slot).copied().unwrap_or_default();
        let alternate = match kept.has_alternate {
            true => self.alternates.get(slot).copied().unwrap_or_default(),
            false => Alternate::default(),
        };
        Advertised {
            handle: kept.handle,
            alternate: alternate.handle,
            source: kept.source,
            alternate_source: alternate.source,
        }
    }

    /// Tells of a slot for the first time, with no alternate; the uses of sets are the caller's. False where
    /// something was advertised of it.
    #[inline]
    pub(crate) fn begin(&mut self, slot: u32, handle: Handle, source: PeerId) -> bool {
        if handle.is_none() {
            let kept = self.slots.get(slot);
            return kept.is_none_or(|kept| kept.handle.is_none());
        }
        let Some(place) = self.slots.slot(slot).filter(|kept| kept.handle.is_none()) else {
            return false;
        };
        *place = Kept {
            handle,
            source,
            has_alternate: false,
        };
        self.announced += 1;
        self.mask(source, 1);
        true
    }

    /// Replaces what was advertised, `old`; the uses of sets follow.
    pub(crate) fn set(&mut self, slot: u32, old: &Advertised, now: Advertised, sets: &mut Sets) {
        debug_assert!(*old == self.get(slot));
        let has_alternate = now.alternate.is_some();
        let Some(place) = self.slots.slot(slot) else {
            return;
        };
        *place = Kept {
            handle: now.handle,
            source: now.source,
            has_alternate,
        };
        if has_alternate && let Some(place) = self.alternates.slot(slot) {
            *place = Alternate {
                handle: now.alternate,
                source: now.alternate_source,
            };
        }
        for handle in [now.handle, now.alternate] {
            if handle.is_some() {
                sets.acquire(handle, 1);
            }
        }
        for handle in [old.handle, old.alternate] {
            if handle.is_some() {
                sets.release(handle);
            }
        }
        self.announced += u32::from(now.handle.is_some());
        self.announced -= u32::from(old.handle.is_some());
        if now.handle.is_some() && !has_alternate {
            self.mask(now.source, 1);
        }
        if old.handle.is_some() && old.alternate.is_none() {
            self.mask(old.source, -1);
        }
        if self.announced == 0 && self.slots.is_large() {
            self.slots.clear();
            self.alternates.clear();
        }
    }

    /// Prefixes more of which a source is advertised nothing.
    #[inline]
    fn mask(&mut self, source: PeerId, more: i32) {
        let source = source.index();
        if self.masked.len() <= source {
            self.masked.resize(source + 1, 0);
        }
        if let Some(count) = self.masked.get_mut(source) {
            debug_assert!(count.checked_add_signed(more).is_some());
            *count = count.wrapping_add_signed(more);
        }
    }

    /// Prefixes that a member has been advertised.
    pub(crate) fn count(&self, member: PeerId) -> u32 {
        self.announced - self.masked.get(member.index()).copied().unwrap_or(0)
    }

    /// Lets go of everything.
    pub(crate) fn clear(&mut self, sets: &mut Sets) {
        for (_, kept) in self.slots.iter_mut() {
            if kept.handle.is_some() {
                sets.release(kept.handle);
            }
        }
        // What a slot had once may still stand among the alternates.
        for (slot, alternate) in self.alternates.iter_mut() {
            let holds = self.slots.get(slot).is_some_and(|kept| kept.has_alternate);
            if holds {
                sets.release(alternate.handle);
            }
        }
        self.alternates.clear();
        self.slots.clear();
        self.announced = 0;
        self.masked.clear();
    }

    pub(crate) fn memory(&self) -> usize {
        self.slots.memory() + self.alternates.memory() + self.masked.capacity() * size_of::<u32>()
    }
}

/// Tells the members what changed, each only where its own view did.
pub(crate) fn advertise_change<P: BuildKey>(
    out: &mut Builder,
    members: &Members,
    reflects: bool,
    nlri: Nlri<P>,
    old: &Advertised,
    new: &Advertised,
) {
    if old.is_nothing() {
        return advertise_state(out, members, nlri, new, false);
    }
    // Whose path it is shows in the bytes only where we reflect (RFC 4456 §8).
    let alike = |a: View, b: View| match (a, b) {
        (Some((a, from_a)), Some((b, from_b))) => a == b && (!reflects || from_a == from_b),
        (a, b) => a.is_none() && b.is_none(),
    };
    let Some((handle, source)) = new.common() else {
        if old.common().is_some() {
            let source_has_nothing = members.has(old.source) && old.alternate.is_none();
            let but = Audience::AllBut(old.source);
            out.withdraw(
                if source_has_nothing {
                    but
                } else {
                    Audience::All
                },
                nlri,
            );
        }
        return;
    };
    if !alike(old.common(), new.common()) {
        out.advertise(handle, source, members.all_but(source), nlri);
    } else if old.source != source
        && members.has(old.source)
        && !alike(old.of(old.source), new.common())
    {
        out.advertise(handle, source, Audience::Only(old.source), nlri);
    }
    if members.has(source) && !alike(old.of(source), new.of(source)) {
        match new.of(source) {
            Some((handle, from)) => out.advertise(handle, from, Audience::Only(source), nlri),
            None => out.withdraw(Audience::Only(source), nlri),
        }
    }
}

/// Tells a reader how things stand. `again`: it may have been advertised something else before, so what is
/// not there is withdrawn.
pub(crate) fn advertise_state<P: BuildKey>(
    out: &mut Builder,
    members: &Members,
    nlri: Nlri<P>,
    advertised: &Advertised,
    again: bool,
) {
    let Some((handle, source)) = advertised.common() else {
        if again {
            out.withdraw(Audience::All, nlri);
        }
        return;
    };
    out.advertise(handle, source, members.all_but(source), nlri);
    if !members.has(source) {
        return;
    }
    match advertised.of(source) {
        Some((handle, from)) => out.advertise(handle, from, Audience::Only(source), nlri),
        None if again => out.withdraw(Audience::Only(source), nlri),
        None => {}
    }
}

#[cfg(test)]
mod tests;
