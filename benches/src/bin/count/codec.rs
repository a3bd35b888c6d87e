//! UPDATEs to views and verdicts, views to canonical sets, and sets to UPDATEs.

use std::hint::black_box;

use thruway_benches::numbers::{Numbers, body, set};
use thruway_wire::attrs::{AttrSet, AttrSetBuf};
use thruway_wire::encode::{self, Encoding, Rewrite};
use thruway_wire::update::{Part, UpdateContext, UpdateView};
use thruway_wire::{FamilySet, Ipv4Prefix, Ipv6Prefix, NextHop, Nlri, PrefixKey};

use crate::counted_section;

/// Different ones, so that each comes once.
const MESSAGES: usize = 4096;
const MANY: usize = 100;
const CTX: UpdateContext = UpdateContext {
    as4: true,
    external: true,
    families: FamilySet::ALL,
    add_path: FamilySet::EMPTY,
};

struct Message<P> {
    set: AttrSet,
    nlri: Vec<Nlri<P>>,
    body: Vec<u8>,
}

fn messages<P: PrefixKey>(
    hop: NextHop,
    count: usize,
    mut prefix: impl FnMut(&mut Numbers) -> P,
) -> Vec<Message<P>> {
    let mut numbers = Numbers(3);
    let message = |number| {
        let set = AttrSet::new(set(1, number, 0, hop).as_ref());
        let nlri = |_| Nlri {
            path_id: 0,
            prefix: prefix(&mut numbers),
        };
        let nlri: Vec<Nlri<P>> = (0..count).map(nlri).collect();
        let body = body(set.as_ref(), &nlri);
        Message { set, nlri, body }
    };
    (0..MESSAGES).map(message).collect()
}

fn ipv4(count: usize) -> Vec<Message<Ipv4Prefix>> {
    messages(NextHop::V4([192, 0, 2, 1].into()), count, Numbers::ipv4)
}

fn ipv6(count: usize) -> Vec<Message<Ipv6Prefix>> {
    let hop = NextHop::V6([0x20; 16].into());
    messages(hop, count, |numbers| {
        let bits = u128::from(0x2000_0000_0000_0000 | numbers.draw() >> 4) << 64;
        let len = [48, 48, 48, 44, 40, 36, 32, 29][(numbers.draw() % 8) as usize];
        Ipv6Prefix::new(bits.into(), len).expect("a length below 129")
    })
}

fn parse(messages: &[Message<Ipv4Prefix>]) {
    counted_section(|| {
        for message in messages {
            let view = UpdateView::parse(black_box(&message.body), &CTX);
            black_box(view.verdict());
            for nlri in view.announced4(Part::Classic) {
                black_box(nlri);
            }
        }
    });
}

pub(crate) fn parse_message() -> usize {
    parse(&ipv4(1));
    MESSAGES
}

pub(crate) fn parse_nlri() -> usize {
    parse(&ipv4(MANY));
    MESSAGES * MANY
}

pub(crate) fn parse_ipv6() -> usize {
    let messages = ipv6(1);
    counted_section(|| {
        for message in &messages {
            let view = UpdateView::parse(black_box(&message.body), &CTX);
            black_box(view.verdict());
            for nlri in view.announced6() {
                black_box(nlri);
            }
        }
    });
    MESSAGES
}

pub(crate) fn canonical() -> usize {
    let messages = ipv4(1);
    let views = messages.iter();
    let views: Vec<_> = views
        .map(|message| UpdateView::parse(&message.body, &CTX))
        .collect();
    let mut buf = AttrSetBuf::new();
    // The buffer's own growth is no part of it.
    black_box(views[0].canonical(Part::Classic, &mut buf));
    counted_section(|| {
        for view in &views {
            black_box(view.canonical(Part::Classic, &mut buf));
        }
    });
    MESSAGES
}

fn encode(messages: &[Message<Ipv4Prefix>]) {
    let mut out = Vec::with_capacity(1 << 16);
    counted_section(|| {
        for message in messages {
            out.clear();
            let nlri = message.nlri.iter().copied();
            let set = message.set.as_ref();
            let sent =
                encode::announce(&mut out, set, &Rewrite::TRANSPARENT, &Encoding::PLAIN, nlri);
            black_box(sent.is_ok());
        }
    });
}

pub(crate) fn encode_message() -> usize {
    encode(&ipv4(1));
    MESSAGES
}

pub(crate) fn encode_nlri() -> usize {
    encode(&ipv4(MANY));
    MESSAGES * MANY
}
