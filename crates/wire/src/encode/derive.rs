//! The attributes that go out: the set's own, with what the peer's kind changes.

use std::net::Ipv4Addr;

use super::{Encoding, Rewrite, Unsendable};
use crate::Asn;
use crate::attrs::{
    AsPath, AttrFlags, AttrSetRef, OPTIONAL, RawAttr, TRANSITIVE, begin_attr, code,
    drop_confederation, end_attr, narrow, stays_inside, write_prepended,
};

/// LOCAL_PREF where the set has none and the peer is internal.
const DEFAULT_LOCAL_PREF: u32 = 100;

/// Appends the attributes of `set` for a peer, ascending by code; `hop` is NEXT_HOP, if it has one.
pub(super) fn write_attrs(
    out: &mut Vec<u8>,
    set: AttrSetRef<'_>,
    rewrite: &Rewrite,
    encoding: &Encoding,
    hop: Option<Ipv4Addr>,
) -> Result<(), Unsendable> {
    if is_transparent(set, rewrite, encoding) {
        let gap = usize::from(set.meta.next_hop_gap);
        let head = usize::from(set.meta.next_hop_len);
        out.extend_from_slice(set.bytes.get(head..gap).unwrap_or_default());
        if let Some(hop) = hop {
            write_next_hop(out, hop);
        }
        out.extend_from_slice(set.bytes.get(gap..).unwrap_or_default());
        return Ok(());
    }
    let internal = rewrite.local_pref;
    let as4 = encoding.as4;
    let mut derive = Derive {
        out,
        set,
        rewrite,
        as4,
        internal,
        hop,
        whole: true,
    };
    derive.run();
    if derive.whole {
        Ok(())
    } else {
        Err(Unsendable::TooLarge)
    }
}

/// True where the set's attributes go out as they are.
#[inline]
fn is_transparent(set: AttrSetRef<'_>, rewrite: &Rewrite, encoding: &Encoding) -> bool {
    let flags = set.meta.flags;
    let local_pref = if rewrite.local_pref {
        flags.has(AttrFlags::LOCAL_PREF)
    } else {
        !flags.has(AttrFlags::LOCAL_PREF)
            && !flags.has(AttrFlags::ORIGINATOR_ID)
            && !flags.has(AttrFlags::CONFEDERATION)
            && !flags.has(AttrFlags::NON_TRANSITIVE)
            && set.meta.cluster_len == 0
    };
    local_pref
        && encoding.as4
        && rewrite.prepend.is_none()
        && rewrite.reflect.is_none()
        && (rewrite.med || !flags.has(AttrFlags::MED))
        && (rewrite.otc.is_none() || flags.has(AttrFlags::OTC))
        && flags.has(AttrFlags::AS_PATH)
}

fn write_next_hop(out: &mut Vec<u8>, hop: Ipv4Addr) {
    let [a, b, c, d] = hop.octets();
    out.extend_from_slice(&[TRANSITIVE, code::NEXT_HOP, 4, a, b, c, d]);
}

struct Derive<'s, 'o> {
    out: &'o mut Vec<u8>,
    set: AttrSetRef<'s>,
    rewrite: &'o Rewrite,
    as4: bool,
    internal: bool,
    hop: Option<Ipv4Addr>,
    /// Every attribute fitted its two octets of length.
    whole: bool,
}

impl Derive<'_, '_> {
    fn run(&mut self) {
        /// What may come in where the set has nothing.
        const ADDED: [u8; 8] = [
            code::AS_PATH,
            code::NEXT_HOP,
            code::LOCAL_PREF,
            code::ORIGINATOR_ID,
            code::CLUSTER_LIST,
            code::AS4_PATH,
            code::AS4_AGGREGATOR,
            code::OTC,
        ];
        let mut added = ADDED.into_iter().peekable();
        for attr in self.set.attrs() {
            while let Some(code) = added.next_if(|code| *code < attr.code) {
                self.add(code);
            }
            added.next_if_eq(&attr.code);
            self.copy(&attr);
        }
        added.for_each(|code| self.add(code));
    }

    /// One attribute of the set.
    fn copy(&mut self, attr: &RawAttr<'_>) {
        match attr.code {
            code::AS_PATH => self.path(),
            code::MED if !self.rewrite.med => {}
            code::LOCAL_PREF | code::ORIGINATOR_ID | code::CLUSTER_LIST if !self.internal => {}
            code::CLUSTER_LIST => {
                let cluster = self
                    .rewrite
                    .reflect
                    .map(|reflect| reflect.cluster.0.to_be_bytes());
                self.put(
                    attr.flags,
                    attr.code,
                    cluster.as_ref().map_or(&[], |own| own),
                    attr.value,
                );
            }
            code::AGGREGATOR if !self.as4 => self.narrow_aggregator(attr),
            code::EXTENDED_COMMUNITIES if !self.internal => self.transitive::<8>(attr),
            code::IPV6_EXTENDED_COMMUNITIES if !self.internal => self.transitive::<20>(attr),
            _ => self.put(attr.flags, attr.code, &[], attr.value),
        }
    }

    /// One attribute that the set does not have.
    fn add(&mut self, code: u8) {
        let reflect = self.rewrite.reflect.filter(|_| self.internal);
        let number = match code {
            code::AS_PATH => return self.path(),
            code::NEXT_HOP => {
                if let Some(hop) = self.hop {
                    write_next_hop(self.out, hop);
                }
                return;
            }
            code::AS4_PATH => return self.as4_path(),
            code::AS4_AGGREGATOR => return self.as4_aggregator(),
            code::LOCAL_PREF => self.internal.then_some((TRANSITIVE, DEFAULT_LOCAL_PREF)),
            code::ORIGINATOR_ID => reflect.map(|reflect| (OPTIONAL, reflect.originator.0)),
            code::CLUSTER_LIST => reflect.map(|reflect| (OPTIONAL, reflect.cluster.0)),
            code::OTC => self.rewrite.otc.map(|asn| (OPTIONAL | TRANSITIVE, asn.0)),
            _ => None,
        };
        if let Some((flags, value)) = number {
            self.put(flags, code, &[], &value.to_be_bytes());
        }
    }

    fn put(&mut self, flags: u8, code: u8, front: &[u8], value: &[u8]) {
        let start = self.out.len();
        begin_attr(self.out, flags, code);
        self.out.extend_from_slice(front);
        self.out.extend_from_slice(value);
        self.whole &= end_attr(self.out, start);
    }

    /// The extended communities that may leave the AS (RFC 4360 §6); without one, no attribute.
    fn transitive<const WIDTH: usize>(&mut self, attr: &RawAttr<'_>) {
        let start = self.out.len();
        begin_attr(self.out, attr.flags, attr.code);
        let first = self.out.len();
        let (values, _) = attr.value.as_chunks::<WIDTH>();
        for value in values.iter().filter(|value| !stays_inside(*value)) {
            self.out.extend_from_slice(value);
        }
        if self.out.len() == first {
            self.out.truncate(start);
        } else {
            self.whole &= end_attr(self.out, start);
        }
    }

    /// AS_PATH as the peer gets it.
    fn path(&mut self) {
        let start = self.out.len();
        begin_attr(self.out, TRANSITIVE, code::AS_PATH);
        let value = self.out.len();
        self.write_path();
        if !self.as4 {
            narrow(self.out, value);
        }
        self.whole &= end_attr(self.out, start);
    }

    /// The outgoing path in four-octet numbers.
    fn write_path(&mut self) {
        let path = self.set.as_path();
        if !self.internal && self.set.meta.flags.has(AttrFlags::CONFEDERATION) {
            // They have no meaning outside (RFC 5065 §4.1 c).
            let mut plain = path.as_bytes().to_vec();
            drop_confederation(&mut plain, 0);
            self.write_path_of(AsPath::new(&plain));
        } else {
            self.write_path_of(path);
        }
    }

    fn write_path_of(&mut self, path: AsPath<'_>) {
        match self.rewrite.prepend {
            Some(asn) => write_prepended(self.out, path, asn, 1),
            None => self.out.extend_from_slice(path.as_bytes()),
        }
    }

    /// AS4_PATH, where AS_PATH cannot say it all (RFC 6793 §4.2.2).
    fn as4_path(&mut self) {
        let mut segments = self.set.as_path().segments();
        let large = |asn: Asn| !asn.fits_as2();
        let wanted = self.rewrite.prepend.is_some_and(large)
            || segments.any(|(kind, mut asns)| !kind.is_confederation() && asns.any(large));
        if self.as4 || !wanted {
            return;
        }
        let start = self.out.len();
        begin_attr(self.out, OPTIONAL | TRANSITIVE, code::AS4_PATH);
        let value = self.out.len();
        self.write_path();
        drop_confederation(self.out, value);
        self.whole &= end_attr(self.out, start);
    }

    fn narrow_aggregator(&mut self, attr: &RawAttr<'_>) {
        if let Some((asn, id)) = self.set.aggregator() {
            let ([high, low], [a, b, c, d]) = (asn.to_as2().to_be_bytes(), id.0.to_be_bytes());
            self.put(attr.flags, attr.code, &[], &[high, low, a, b, c, d]);
        }
    }

    /// AS4_AGGREGATOR, where AGGREGATOR cannot say it (RFC 6793 §4.2.2).
    fn as4_aggregator(&mut self) {
        let Some(aggregator) = self.set.find(code::AGGREGATOR) else {
            return;
        };
        let large = self
            .set
            .aggregator()
            .is_some_and(|(asn, _)| !asn.fits_as2());
        if !self.as4 && large {
            self.put(
                OPTIONAL | TRANSITIVE,
                code::AS4_AGGREGATOR,
                &[],
                aggregator.value,
            );
        }
    }
}
