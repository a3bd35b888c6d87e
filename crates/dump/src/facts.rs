//! Messages and attributes as they stand in the bytes, for showing. Nothing is judged or repaired
//! here: a decoder shows what a session would refuse, too.

use std::net::Ipv4Addr;

use thruway_wire::attrs::{AsPath, AttrSetBuf, Attrs, CommunityValue, RawAttr, code};
use thruway_wire::mrt::MpReach;
use thruway_wire::{
    AfiSafi, Asn, Community, ExtendedCommunity, Ipv4Prefix, Ipv6ExtendedCommunity, Ipv6Prefix,
    LargeCommunity, NextHop, Prefix, PrefixKey, RouterId,
};

/// The three fields of an UPDATE (RFC 4271 §4.3), located but not read.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Fields<'a> {
    pub(super) withdrawn: &'a [u8],
    pub(super) attrs: &'a [u8],
    pub(super) nlri: &'a [u8],
}

impl<'a> Fields<'a> {
    /// `None` where the two lengths contradict the body's.
    pub(super) fn locate(body: &'a [u8]) -> Option<Self> {
        let (withdrawn, rest) = counted(body)?;
        let (attrs, nlri) = counted(rest)?;
        Some(Fields {
            withdrawn,
            attrs,
            nlri,
        })
    }

    /// True where all NLRI, read without path identifiers, cannot be meant so, and read with them
    /// they fit. Old collectors recorded ADD-PATH sessions in the plain subtypes.
    pub(super) fn must_be_add_path(&self, facts: &Facts<'a>) -> bool {
        let mut found = false;
        for (_, ipv6, nlri) in self.runs(facts) {
            if !fits(nlri, ipv6, true) {
                return false;
            }
            found |= !fits(nlri, ipv6, false);
        }
        found
    }

    /// True where there are prefixes, which may have path identifiers.
    pub(super) fn has_prefixes(&self, facts: &Facts<'a>) -> bool {
        self.runs(facts).next().is_some()
    }

    /// The first family whose prefixes do not read to their end.
    pub(super) fn unread(&self, facts: &Facts<'a>, add_path: bool) -> Option<AfiSafi> {
        let mut runs = self.runs(facts);
        let unread = runs.find(|(_, ipv6, nlri)| {
            let mut run = NlriRun::new(nlri, *ipv6, add_path);
            run.by_ref().for_each(drop);
            !run.is_done()
        });
        unread.map(|(family, ..)| family)
    }

    /// Fields and attributes that hold prefixes, and whether those are IPv6.
    fn runs(&self, facts: &Facts<'a>) -> impl Iterator<Item = (AfiSafi, bool, &'a [u8])> + use<'a> {
        let reach = facts
            .mp_reach
            .and_then(|reach| Some((reach.family?, reach.nlri)));
        let classic = [self.withdrawn, self.nlri].map(|nlri| Some((IPV4, nlri)));
        let runs = classic.into_iter().chain([reach, facts.mp_unreach]);
        runs.flatten().filter_map(|(family, nlri)| {
            let ipv6 = is_ipv6(family)?;
            (!nlri.is_empty()).then_some((family, ipv6, nlri))
        })
    }
}

fn counted(input: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = input.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// IPv4 unicast: the family of the classic fields.
pub(super) const IPV4: AfiSafi = AfiSafi { afi: 1, safi: 1 };

/// True for IPv6, false for IPv4, `None` for families whose NLRI are no plain prefixes.
pub(super) fn is_ipv6(family: AfiSafi) -> Option<bool> {
    match (family.afi, family.safi) {
        (1, 1 | 2) => Some(false),
        (2, 1 | 2) => Some(true),
        _ => None,
    }
}

/// True where all of `nlri` reads, and no default route is in it twice.
fn fits(nlri: &[u8], ipv6: bool, add_path: bool) -> bool {
    let mut run = NlriRun::new(nlri, ipv6, add_path);
    let defaults = run
        .by_ref()
        .filter(|(_, prefix)| prefix.prefix_len() == 0)
        .count();
    run.is_done() && (add_path || defaults < 2)
}

/// The NLRI of a field, up to the first that does not read.
#[derive(Clone, Debug)]
pub(super) struct NlriRun<'a> {
    rest: &'a [u8],
    ipv6: bool,
    add_path: bool,
}

impl<'a> NlriRun<'a> {
    pub(super) fn new(nlri: &'a [u8], ipv6: bool, add_path: bool) -> Self {
        NlriRun {
            rest: nlri,
            ipv6,
            add_path,
        }
    }

    /// True where the run ended with the field.
    pub(super) fn is_done(&self) -> bool {
        self.rest.is_empty()
    }
}

impl Iterator for NlriRun<'_> {
    /// Path identifier, 0 without ADD-PATH, and prefix.
    type Item = (u32, Prefix);

    fn next(&mut self) -> Option<Self::Item> {
        let (path_id, rest) = if self.add_path {
            let (id, rest) = self.rest.split_first_chunk::<4>()?;
            (u32::from_be_bytes(*id), rest)
        } else {
            (0, self.rest)
        };
        let (&len, rest) = rest.split_first()?;
        let (octets, rest) = rest.split_at_checked(usize::from(len.div_ceil(8)))?;
        let prefix = if self.ipv6 {
            Prefix::V6(Ipv6Prefix::from_octets(octets, len)?)
        } else {
            Prefix::V4(Ipv4Prefix::from_octets(octets, len)?)
        };
        self.rest = rest;
        Some((path_id, prefix))
    }
}

/// How a block of attributes is to be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shape {
    /// It stands in a RIB entry: MP_REACH_NLRI may be abbreviated (RFC 6396 §4.3.4).
    pub(super) rib: bool,
    /// AS numbers have two octets.
    pub(super) as2: bool,
}

/// Path attributes, each by its meaning. Malformed ones are absent and show up in
/// [`Facts::others`].
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Facts<'a> {
    block: &'a [u8],
    shape: Shape,
    pub(super) origin: Option<u8>,
    pub(super) as_path: Option<AsPath<'a>>,
    pub(super) next_hop: Option<NextHop>,
    pub(super) med: Option<u32>,
    pub(super) local_pref: Option<u32>,
    pub(super) atomic_aggregate: bool,
    pub(super) aggregator: Option<(Asn, Ipv4Addr)>,
    communities: &'a [[u8; 4]],
    pub(super) originator_id: Option<RouterId>,
    cluster_list: &'a [[u8; 4]],
    pub(super) mp_reach: Option<MpReach<'a>>,
    pub(super) mp_unreach: Option<(AfiSafi, &'a [u8])>,
    extended: &'a [[u8; 8]],
    extended6: &'a [[u8; 20]],
    large: &'a [[u8; 12]],
    pub(super) otc: Option<Asn>,
}

impl<'a> Facts<'a> {
    /// Reads a block. Two-octet AS numbers are widened and AS4_PATH and AS4_AGGREGATOR merged in
    /// `wide` (RFC 6793 §4.2.3).
    pub(super) fn read(block: &'a [u8], shape: Shape, wide: &'a mut AttrSetBuf) -> Self {
        let mut facts = Facts {
            block,
            shape,
            ..Facts::default()
        };
        for attr in Attrs::new(block) {
            facts.take(attr);
        }
        if shape.as2 {
            wide.set_block(None, block, false);
            let wide = wide.as_ref();
            facts.as_path = wide.find(code::AS_PATH).map(|attr| AsPath::new(attr.value));
            facts.aggregator = wide.aggregator().map(|(asn, id)| (asn, id.into()));
        }
        facts
    }

    /// Takes an attribute's meaning; false where it has none here.
    fn take(&mut self, attr: RawAttr<'a>) -> bool {
        let value = attr.value;
        match attr.code {
            code::ORIGIN => set(&mut self.origin, exact(value).map(|[origin]| origin)),
            code::AS_PATH | code::AGGREGATOR | code::AS4_PATH | code::AS4_AGGREGATOR
                if self.shape.as2 =>
            {
                true
            }
            code::AS_PATH => set(&mut self.as_path, as_path(value)),
            code::NEXT_HOP => set(
                &mut self.next_hop,
                exact::<4>(value).map(|addr| NextHop::V4(addr.into())),
            ),
            code::MED => set(&mut self.med, exact(value).map(u32::from_be_bytes)),
            code::LOCAL_PREF => set(&mut self.local_pref, exact(value).map(u32::from_be_bytes)),
            code::ATOMIC_AGGREGATE if value.is_empty() => {
                self.atomic_aggregate = true;
                true
            }
            code::AGGREGATOR => set(
                &mut self.aggregator,
                exact(value).map(|[a, b, c, d, e, f, g, h]| {
                    (
                        Asn(u32::from_be_bytes([a, b, c, d])),
                        Ipv4Addr::new(e, f, g, h),
                    )
                }),
            ),
            code::COMMUNITIES => all(&mut self.communities, value),
            code::ORIGINATOR_ID => set(
                &mut self.originator_id,
                exact(value).map(|id| RouterId(u32::from_be_bytes(id))),
            ),
            code::CLUSTER_LIST => all(&mut self.cluster_list, value),
            code::MP_REACH_NLRI => {
                let parse = if self.shape.rib {
                    MpReach::parse_rib
                } else {
                    MpReach::parse
                };
                set(&mut self.mp_reach, parse(value).ok())
            }
            code::MP_UNREACH_NLRI => set(&mut self.mp_unreach, mp_unreach(value)),
            code::EXTENDED_COMMUNITIES => all(&mut self.extended, value),
            code::IPV6_EXTENDED_COMMUNITIES => all(&mut self.extended6, value),
            code::LARGE_COMMUNITIES => all(&mut self.large, value),
            code::OTC => set(
                &mut self.otc,
                exact(value).map(|asn| Asn(u32::from_be_bytes(asn))),
            ),
            _ => false,
        }
    }

    /// The attributes without a meaning here: unknown, malformed or repeated ones.
    pub(super) fn others(&self) -> impl Iterator<Item = RawAttr<'a>> + Clone + use<'a> {
        let mut again = Facts {
            shape: self.shape,
            ..Facts::default()
        };
        let mut seen = [false; 256];
        Attrs::new(self.block).filter(move |attr| {
            let first = !std::mem::replace(&mut seen[usize::from(attr.code)], true);
            !(first && again.take(*attr))
        })
    }

    /// Octets at the end of the block that make no whole attribute.
    pub(super) fn torn(&self) -> usize {
        let mut attrs = Attrs::new(self.block);
        attrs.by_ref().for_each(drop);
        attrs.rest().len()
    }

    /// The next hop of the MP_REACH_NLRI, where there is one of a known length.
    pub(super) fn mp_next_hop(&self) -> Option<NextHop> {
        NextHop::from_octets(self.mp_reach?.next_hop)
    }

    /// COMMUNITIES.
    pub(super) fn communities(&self) -> impl Iterator<Item = Community> + use<'a> {
        let values = self.communities.iter();
        values.map(|octets| Community(u32::from_be_bytes(*octets)))
    }

    /// EXTENDED COMMUNITIES.
    pub(super) fn extended(&self) -> impl Iterator<Item = ExtendedCommunity> + use<'a> {
        self.extended
            .iter()
            .map(|octets| ExtendedCommunity(*octets))
    }

    /// IPv6 Address Specific Extended Communities.
    pub(super) fn extended6(&self) -> impl Iterator<Item = Ipv6ExtendedCommunity> + use<'a> {
        let values = self.extended6.iter();
        values.map(|octets| Ipv6ExtendedCommunity(*octets))
    }

    /// LARGE_COMMUNITIES.
    pub(super) fn large(&self) -> impl Iterator<Item = LargeCommunity> + use<'a> {
        let values = self.large.iter();
        values.filter_map(|octets| LargeCommunity::from_octets(octets))
    }

    /// CLUSTER_LIST.
    pub(super) fn clusters(&self) -> impl Iterator<Item = RouterId> + use<'a> {
        let ids = self.cluster_list.iter();
        ids.map(|id| RouterId(u32::from_be_bytes(*id)))
    }
}

/// Whether the AS_PATH of a block without context has four-octet numbers: where it reads as such.
pub(super) fn guess_as4(attrs: &[u8]) -> bool {
    let path = Attrs::new(attrs).find(|attr| attr.code == code::AS_PATH);
    let as4_path = Attrs::new(attrs).any(|attr| attr.code == code::AS4_PATH);
    !as4_path && path.is_none_or(|path| as_path(path.value).is_some())
}

/// True where a block has AS numbers, whose width matters.
pub(super) fn has_as_numbers(attrs: &[u8]) -> bool {
    Attrs::new(attrs).any(|attr| match attr.code {
        code::AS_PATH => !attr.value.is_empty(),
        other => other == code::AGGREGATOR,
    })
}

fn exact<const N: usize>(value: &[u8]) -> Option<[u8; N]> {
    value.try_into().ok()
}

/// The first of a kind counts (RFC 7606 §3 g).
fn set<T>(slot: &mut Option<T>, value: Option<T>) -> bool {
    let taken = slot.is_none() && value.is_some();
    if taken {
        *slot = value;
    }
    taken
}

fn all<'a, const N: usize>(slot: &mut &'a [[u8; N]], value: &'a [u8]) -> bool {
    let (values, rest) = value.as_chunks();
    let taken = slot.is_empty() && rest.is_empty() && !values.is_empty();
    if taken {
        *slot = values;
    }
    taken
}

/// The path, if all of it reads.
fn as_path(value: &[u8]) -> Option<AsPath<'_>> {
    let path = AsPath::new(value);
    let len: usize = path.segments().map(|(_, asns)| 2 + 4 * asns.len()).sum();
    (len == value.len()).then_some(path)
}

fn mp_unreach(value: &[u8]) -> Option<(AfiSafi, &[u8])> {
    let (&[high, low, safi], nlri) = value.split_first_chunk()?;
    Some((
        AfiSafi {
            afi: u16::from_be_bytes([high, low]),
            safi,
        },
        nlri,
    ))
}
