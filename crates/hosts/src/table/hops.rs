//! Next hops of routes, and the neighbours on links that they resolve to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;

use thruway_api::{HostGateway, HostHop};

/// A next hop as the kernel knows it: a neighbour on a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hop {
    pub(crate) via: IpAddr,
    /// Interface index.
    pub(crate) link: u32,
}

/// A neighbour, with its link's name for people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Gateway {
    pub(crate) hop: Hop,
    pub(crate) interface: Arc<str>,
}

/// What a next hop resolves to: neighbours, at least one, or why there is none.
pub(crate) type Lookup = Result<Vec<Gateway>, String>;

/// Place of a next hop in [`NextHops`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct HopId(u32);

#[derive(Debug)]
struct Slot {
    addr: IpAddr,
    /// Paths that have it.
    users: u32,
    /// `None`: not looked up yet.
    lookup: Option<Lookup>,
}

/// The next hops in use.
#[derive(Debug, Default)]
pub(super) struct NextHops {
    ids: HashMap<IpAddr, HopId>,
    slots: Vec<Slot>,
    free: Vec<HopId>,
    pending: Vec<IpAddr>,
}

impl NextHops {
    /// One more path has it.
    pub(super) fn take(&mut self, addr: IpAddr) -> HopId {
        if let Some(id) = self.ids.get(&addr) {
            if let Some(slot) = self.slots.get_mut(id.0 as usize) {
                slot.users += 1;
            }
            return *id;
        }
        let fresh = Slot {
            addr,
            users: 1,
            lookup: None,
        };
        let id = self.free.pop().unwrap_or(HopId(self.slots.len() as u32));
        match self.slots.get_mut(id.0 as usize) {
            Some(slot) => *slot = fresh,
            None => self.slots.push(fresh),
        }
        self.ids.insert(addr, id);
        self.pending.push(addr);
        id
    }

    /// One path less has it.
    pub(super) fn give_back(&mut self, id: HopId) {
        let Some(slot) = self.slots.get_mut(id.0 as usize) else {
            return;
        };
        slot.users -= 1;
        if slot.users == 0 {
            slot.lookup = None;
            self.ids.remove(&slot.addr);
            slot.addr = Ipv4Addr::UNSPECIFIED.into();
            self.free.push(id);
        }
    }

    /// Those not looked up yet. They count as looked up from now on.
    pub(super) fn take_pending(&mut self) -> Vec<IpAddr> {
        let mut pending = std::mem::take(&mut self.pending);
        pending.retain(|addr| self.ids.contains_key(addr));
        pending
    }

    pub(super) fn addresses(&self) -> Vec<IpAddr> {
        self.ids.keys().copied().collect()
    }

    /// What an address resolves to. Where that is news: its id, and whether it could not be reached
    /// before.
    pub(super) fn set(&mut self, addr: IpAddr, lookup: Lookup) -> Option<(HopId, bool)> {
        let id = *self.ids.get(&addr)?;
        let slot = self.slots.get_mut(id.0 as usize)?;
        let lookup = Some(lookup);
        if slot.lookup == lookup {
            return None;
        }
        let old = std::mem::replace(&mut slot.lookup, lookup);
        Some((id, matches!(old, Some(Err(_)))))
    }

    /// All are to be looked up again.
    pub(super) fn forget(&mut self) {
        for id in self.ids.values() {
            if let Some(slot) = self.slots.get_mut(id.0 as usize) {
                slot.lookup = None;
            }
        }
        self.pending = self.addresses();
    }

    /// The neighbours; none where it cannot be reached or was not looked up yet.
    pub(super) fn gateways(&self, id: HopId) -> &[Gateway] {
        let lookup = self.slots.get(id.0 as usize).map(|slot| &slot.lookup);
        match lookup {
            Some(Some(Ok(gateways))) => gateways,
            _ => &[],
        }
    }

    pub(super) fn address(&self, id: HopId) -> Option<IpAddr> {
        self.slots.get(id.0 as usize).map(|slot| slot.addr)
    }

    pub(super) fn view(&self, id: HopId) -> HostHop {
        let slot = self.slots.get(id.0 as usize);
        let error = slot.and_then(|slot| slot.lookup.as_ref()?.as_ref().err().cloned());
        let gateway = |gateway: &Gateway| HostGateway {
            gateway: gateway.hop.via,
            interface: gateway.interface.to_string(),
        };
        HostHop {
            address: slot.map_or(Ipv4Addr::UNSPECIFIED.into(), |slot| slot.addr),
            via: self.gateways(id).iter().map(gateway).collect(),
            error,
        }
    }
}
