//! The virtual network's route server: what it is for, in pure functions and tables.
//!
//! A virtual network (VNet) has hosts, network virtual appliances (NVAs) and gateways: ExpressRoute
//! to one site, VPN to another. The route server hears routes from all of them and decides who is
//! told whose:
//!
//! ```text
//!  on-premises 1 ── SD-WAN ── NVA ──┐
//!                                   ├── route server ── programs ──> hosts of the VNet
//!  on-premises 2 ── ExpressRoute ───┤
//!  on-premises 3 ── VPN ────────────┘
//! ```
//!
//! One idea, one file, in the order in which they explain each other:
//!
//! - [`Kind`]: what a neighbour is to the network
//! - [`MATRIX`]: who is advertised whose routes, and what the switch changes; [`eligibility`] compiles it
//! - [`Switch`]: route exchange on or off, by the file or by a command, over restarts
//! - [`Preference`]: which kind of source wins for equal prefixes
//! - [`Vnet`]: the network's own prefixes, and those of networks peered with it
//! - [`host_policy`]: routes that hosts are not given
//! - [`Health`]: whether a gateway has the sessions that it needs
//! - [`reserved_as`]: AS numbers that an NVA cannot have
//!
//! The crate opens no session and holds no route. Its tables become classes, ranks and policies of
//! the RIB, which does not know what a gateway is.
//!
//! # Loops
//!
//! Two rules keep a route from coming back, and neither needs a table here. What went out over
//! eBGP carries our AS and is refused when it returns (RFC 4271 §9.1.2); an NVA's AS may not be
//! ours, so this holds for every NVA. What went from one gateway to another over iBGP carries
//! ORIGINATOR_ID and CLUSTER_LIST (RFC 4456 §8); routes of other sources do not, as they were not
//! reflected.
#![forbid(unsafe_code)]

mod health;
mod hosts;
mod kind;
mod matrix;
mod preference;
mod reserved;
mod switch;
mod vnet;

#[cfg(test)]
mod tests;

pub use health::{Health, Instance};
pub use hosts::{HOST_POLICY, host_policy};
pub use kind::Kind;
pub use matrix::{Cell, MATRIX, cell, eligibility, why_not};
pub use preference::Preference;
pub use reserved::reserved_as;
pub use switch::{SetBy, Switch, SwitchState};
pub use vnet::{PeeredVnet, Vnet};
