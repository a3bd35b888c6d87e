//! Realistic tables from a seed.
//!
//! The same options give the same table on every machine: only whole-number arithmetic and an own
//! generator of random numbers take part.

mod attributes;
mod figures;
mod prefixes;
#[cfg(test)]
mod tests;

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};
use std::time::Duration;

use thruway_wire::attrs::AttrSet;
use thruway_wire::{Asn, Family, NextHop, Nlri, Prefix};

use crate::limits::GENERATE_PREFIXES_MAX;
use crate::random::{Rng, Weighted, mix};
use crate::table::Table;
use attributes::AttributeSource;
use prefixes::{Ipv4Space, Ipv6Space};

/// What to generate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GenerateOptions {
    /// Other seeds give other tables of the same kind.
    pub seed: u64,
    /// IPv4 prefixes.
    pub ipv4: u32,
    /// IPv6 prefixes.
    pub ipv6: u32,
    /// Whose table it is.
    pub view: Viewpoint,
}

impl Default for GenerateOptions {
    fn default() -> Self {
        GenerateOptions {
            seed: 1,
            ipv4: 100_000,
            ipv6: 0,
            view: Viewpoint::default(),
        }
    }
}

/// A peer, as its routes show it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Viewpoint {
    /// The first AS of every path.
    pub asn: Asn,
    /// Next hop of its IPv4 routes.
    pub next_hop4: Ipv4Addr,
    /// Next hop of its IPv6 routes.
    pub next_hop6: Ipv6Addr,
}

impl Default for Viewpoint {
    fn default() -> Self {
        Viewpoint {
            asn: Asn(64_601),
            next_hop4: Ipv4Addr::new(198, 18, 1, 1),
            next_hop6: Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 1, 1),
        }
    }
}

impl Viewpoint {
    fn next_hop(&self, family: Family) -> NextHop {
        match family {
            Family::Ipv4 => NextHop::V4(self.next_hop4),
            Family::Ipv6 => NextHop::V6(self.next_hop6),
        }
    }
}

/// More prefixes than the address space holds in these lengths.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TooManyPrefixes {
    /// How many were asked for.
    pub wanted: u32,
}

impl fmt::Display for TooManyPrefixes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let TooManyPrefixes { wanted } = self;
        write!(
            f,
            "{wanted} prefixes of one family are too many: at most {GENERATE_PREFIXES_MAX}"
        )
    }
}

impl std::error::Error for TooManyPrefixes {}

/// Generates one table.
pub struct Generator {
    options: GenerateOptions,
    rng: Rng,
    sizes: Weighted,
    attributes: AttributeSource,
}

impl Generator {
    /// A generator for `options`.
    ///
    /// # Errors
    /// [`TooManyPrefixes`] over [`GENERATE_PREFIXES_MAX`] of one family.
    pub fn new(options: GenerateOptions) -> Result<Self, TooManyPrefixes> {
        let wanted = options.ipv4.max(options.ipv6);
        if wanted > GENERATE_PREFIXES_MAX {
            return Err(TooManyPrefixes { wanted });
        }
        Ok(Generator {
            options,
            rng: Rng::new(mix(options.seed)),
            sizes: Weighted::new(figures::SET_SIZES),
            attributes: AttributeSource::new(),
        })
    }

    /// The table: distinct prefixes, none of them a bogon, those of one set mostly side by side.
    #[must_use]
    pub fn table(mut self) -> Table {
        let mut table = Table::new();
        let (mut ipv4, mut ipv6) = (Ipv4Space::new(), Ipv6Space::new());
        let mut run = Vec::new();
        for (family, count) in [
            (Family::Ipv4, self.options.ipv4),
            (Family::Ipv6, self.options.ipv6),
        ] {
            let mut left = count;
            while left > 0 {
                let size = self.set_size().min(left);
                left -= size;
                run.clear();
                match family {
                    Family::Ipv4 => ipv4.jump(&mut self.rng),
                    Family::Ipv6 => ipv6.jump(&mut self.rng),
                }
                for _ in 0..size {
                    run.push(match family {
                        Family::Ipv4 => Prefix::V4(ipv4.draw(&mut self.rng)),
                        Family::Ipv6 => Prefix::V6(ipv6.draw(&mut self.rng)),
                    });
                }
                let set = self.attribute_set(family);
                let run = run.iter().map(|prefix| Nlri {
                    path_id: 0,
                    prefix: *prefix,
                });
                table.push(Duration::ZERO, Some(set), family, run);
            }
        }
        table
    }

    fn set_size(&mut self) -> u32 {
        let largest = self.sizes.draw(&mut self.rng);
        let classes = figures::SET_SIZES.iter().map(|(size, _)| *size);
        let before = classes
            .take_while(|size| *size < largest)
            .last()
            .unwrap_or(0);
        self.rng.falling(before + 1, largest)
    }

    fn attribute_set(&mut self, family: Family) -> AttrSet {
        let view = self.options.view;
        self.attributes
            .draw(&mut self.rng, view.asn, view.next_hop(family))
    }
}

impl Table {
    /// The same prefixes as another peer tells them: other paths to the same origins. What it gives
    /// depends on the table and the viewpoint alone.
    #[must_use]
    pub fn as_seen_by(&self, view: &Viewpoint) -> Table {
        let mut source = AttributeSource::new();
        let families: Vec<Family> = self.groups().iter().map(|group| group.family).collect();
        self.with_sets(|index, set| {
            let seed = mix(u64::from(view.asn.0)) ^ index as u64;
            let mut rng = Rng::new(mix(seed));
            let next_hop = view.next_hop(*families.get(index)?);
            Some(source.seen_by(&mut rng, set, view.asn, next_hop))
        })
    }
}
