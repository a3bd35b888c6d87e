//! Entry points for fuzzing: ordinary functions over bytes that assert properties. The `fuzz`
//! workspace calls them, and so do tests with generated input.

use crate::attrs::{AttrFlags, AttrSet, AttrSetBuf, AttrSetRef, Attrs, code};
use crate::encode::{self, Encoding, NextHopRewrite, Reflect, Rewrite, Unsendable};
use crate::limits::{AS_PATH_LEN_MAX, EXTENDED_MESSAGE_LEN_MAX, HEADER_LEN, MESSAGE_LEN_MAX};
use crate::message::{MessageType, frame};
use crate::notification::Notification;
use crate::open::Open;
use crate::refresh::RouteRefresh;
use crate::update::{Part, UpdateContext, UpdateView, Verdict};
use crate::{
    Asn, Community, ExtendedCommunity, Family, FamilySet, Ipv4Prefix, Ipv6Prefix, LargeCommunity,
    NextHop, Nlri, PrefixKey, RouterId,
};

/// Every combination of what a session may have negotiated, by number.
#[must_use]
pub fn context(bits: u8) -> UpdateContext {
    let pick = |shift: u8| {
        Family::ALL
            .into_iter()
            .filter(move |family| bits >> shift >> family.index() & 1 != 0)
    };
    UpdateContext {
        as4: bits & 1 == 0,
        external: bits & 2 == 0,
        // All of them in most cases: the others are soon exhausted.
        families: if bits & 0xc0 == 0xc0 {
            pick(2).collect()
        } else {
            FamilySet::ALL
        },
        add_path: pick(4).collect(),
    }
}

/// OPEN: what is read is written and read again alike.
pub fn fuzz_open(body: &[u8]) {
    match Open::parse(body) {
        Ok(open) => {
            let mut out = Vec::new();
            open.encode(&mut out);
            let again = Open::parse(&out[HEADER_LEN..]).expect("our own OPEN is sound");
            assert_eq!(open, again);
        }
        Err(note) => assert_eq!(note.code, 2),
    }
}

/// NOTIFICATION: the bytes come back, up to the largest message.
pub fn fuzz_notification(body: &[u8]) {
    let note = Notification::parse(body);
    assert!(!note.to_string().is_empty());
    let mut out = Vec::new();
    note.encode(&mut out);
    if body.len() >= 2 {
        let fits = body.len().min(MESSAGE_LEN_MAX - HEADER_LEN);
        assert_eq!(&out[HEADER_LEN..], &body[..fits]);
    }
}

/// A stream of messages: framing conserves bytes, every kind of body is read.
pub fn fuzz_message_stream(stream: &[u8]) {
    let (bits, mut rest) = stream
        .split_first()
        .map_or((0, stream), |(bits, rest)| (*bits, rest));
    let extended = bits & 1 != 0;
    let max_len = if extended {
        EXTENDED_MESSAGE_LEN_MAX
    } else {
        MESSAGE_LEN_MAX
    };
    loop {
        let message = match frame(rest, max_len) {
            Ok(Some(message)) => message,
            Ok(None) => return,
            Err(note) => return assert_eq!(note.code, 1),
        };
        assert!(message.bytes.len() >= HEADER_LEN && message.bytes.len() <= max_len);
        assert_eq!(message.bytes, &rest[..message.bytes.len()]);
        rest = &rest[message.bytes.len()..];
        match message.kind {
            MessageType::Open => fuzz_open(message.body()),
            MessageType::Update => view(message.body(), context(bits)),
            MessageType::Notification => fuzz_notification(message.body()),
            MessageType::Keepalive => assert!(message.body().is_empty()),
            MessageType::RouteRefresh => fuzz_route_refresh(message.body()),
        }
    }
}

/// ROUTE-REFRESH: what is read is written alike.
pub fn fuzz_route_refresh(body: &[u8]) {
    match RouteRefresh::parse(body) {
        Ok(Some(refresh)) => {
            let mut out = Vec::new();
            refresh.encode(&mut out);
            assert_eq!(&out[HEADER_LEN..], body);
        }
        Ok(None) => assert_ne!(body.len(), 4),
        Err(note) => assert_eq!((note.code, note.subcode), (7, 1)),
    }
}

/// UPDATE: the first octet picks what was negotiated. Nothing panics, the view is consistent, and
/// every set that it gives is canonical.
pub fn fuzz_update(input: &[u8]) {
    if let Some((bits, body)) = input.split_first() {
        view(body, context(*bits));
    }
}

fn view(body: &[u8], ctx: UpdateContext) {
    let view = UpdateView::parse(body, &ctx);
    assert_eq!(view.verdict() == Verdict::Ok, view.error().is_none());
    assert_eq!(
        view.verdict() == Verdict::Reset,
        view.notification().is_some()
    );
    if let Some(error) = view.error() {
        assert!(error.offset as usize <= body.len(), "{error}");
    }
    let octets = view.withdrawn4().count() + view.withdrawn6().count();
    assert!(octets <= body.len());
    let mut buf = AttrSetBuf::new();
    for (part, family) in view.announced() {
        assert!(view.verdict() < Verdict::Withdraw && ctx.families.contains(family));
        let count = match family {
            Family::Ipv4 => view.announced4(part).count(),
            Family::Ipv6 => view.announced6().count(),
        };
        assert!(count > 0, "an announced part has NLRI");
        let set = view.canonical(part, &mut buf);
        assert!(set.meta.next_hop_len > 0, "routes have a next hop");
        assert_canonical(set);
        if ctx.external {
            assert!(set.local_pref().is_none() && set.originator_id().is_none());
        }
    }
    if view.end_of_rib().is_some() {
        assert_eq!(view.announced().count() + octets, 0);
    }
}

/// Asserts what holds for every canonical set.
pub fn assert_canonical(set: AttrSetRef<'_>) {
    let mut last = None;
    for attr in set.attrs() {
        assert!(Some(attr.code) > last, "ascending, each once");
        assert_eq!(attr.flags & 0x0f, 0);
        assert_eq!(
            attr.flags & 0x10 != 0,
            attr.value.len() > 255,
            "extended length"
        );
        last = Some(attr.code);
    }
    let mut whole = Attrs::new(set.attr_bytes());
    whole.by_ref().for_each(drop);
    assert!(whole.rest().is_empty(), "no octet is left over");
    let gap = usize::from(set.meta.next_hop_gap);
    let (front, back) = set.bytes.split_at(gap);
    let front = Attrs::new(&front[usize::from(set.meta.next_hop_len)..]);
    assert!(front.into_iter().all(|attr| attr.code <= 2));
    assert!(Attrs::new(back).next().is_none_or(|attr| attr.code > 3));
    // Built again from its own parts it is the same, summary included.
    let again = AttrSetBuf::from_parts(set.next_hop(), set.attrs());
    assert_eq!(again.as_ref(), set);
    assert_eq!(again.as_ref().meta, set.meta);
}

/// decode(encode(x)) = x: the announced sets and NLRI of any UPDATE, written for each kind of
/// encoding and read back, are what they were.
pub fn fuzz_canonical_roundtrip(input: &[u8]) {
    let Some((bits, body)) = input.split_first() else {
        return;
    };
    let view = UpdateView::parse(body, &context(*bits));
    let mut buf = AttrSetBuf::new();
    for (part, family) in view.announced() {
        let set = view.canonical(part, &mut buf);
        for choice in 0..8 {
            match family {
                Family::Ipv4 => round_trip(set, &view.announced4(part).collect::<Vec<_>>(), choice),
                Family::Ipv6 => round_trip(set, &view.announced6().collect::<Vec<_>>(), choice),
            }
        }
    }
    withdrawn_round_trip(&view.withdrawn4().collect::<Vec<_>>());
    withdrawn_round_trip(&view.withdrawn6().collect::<Vec<_>>());
}

fn encoding(choice: u8) -> Encoding {
    Encoding {
        as4: choice & 1 == 0,
        add_path: choice & 2 != 0,
        max_len: if choice & 4 == 0 { 4096 } else { 65_535 },
        extended_next_hop: true,
        link: Ipv6Prefix::from_octets(&[0; 16], 0), // all of them: nothing is cut off
    }
}

fn round_trip<P: PrefixKey>(set: AttrSetRef<'_>, nlri: &[Nlri<P>], choice: u8) {
    let encoding = encoding(choice);
    // LOCAL_PREF is there from every internal peer, and never from an external one.
    let internal = set.local_pref().is_some();
    let rewrite = Rewrite {
        local_pref: internal,
        ..Rewrite::TRANSPARENT
    };
    let mut out = vec![0xaa; 3];
    let messages = match encode::announce(&mut out, set, &rewrite, &encoding, nlri.iter().copied())
    {
        Ok(messages) => messages,
        Err(why) => {
            assert_eq!(out.len(), 3, "an error leaves no trace");
            assert!(
                why == Unsendable::TooLarge,
                "every next hop of a view can be sent"
            );
            return;
        }
    };
    let mut read = Vec::new();
    let mut again = AttrSetBuf::new();
    each_update(&out[3..], messages, &encoding, !internal, |view| {
        let (part, family) = view.announced().next().expect("NLRI");
        assert_eq!(family, P::FAMILY);
        match family {
            Family::Ipv4 => push_all(&mut read, view.announced4(part)),
            Family::Ipv6 => push_all(&mut read, view.announced6()),
        }
        assert_survived(view.canonical(part, &mut again), set, &encoding, internal);
    });
    let sent: Vec<Nlri<P>> = nlri.iter().map(|nlri| sent(*nlri, &encoding)).collect();
    assert_eq!(read, sent);
}

fn each_update(
    mut stream: &[u8],
    messages: usize,
    encoding: &Encoding,
    external: bool,
    mut each: impl FnMut(&UpdateView<'_>),
) {
    let add_path = if encoding.add_path {
        FamilySet::ALL
    } else {
        FamilySet::EMPTY
    };
    let ctx = UpdateContext {
        as4: encoding.as4,
        external,
        families: FamilySet::ALL,
        add_path,
    };
    for _ in 0..messages {
        let max_len = usize::from(encoding.max_len);
        let message = frame(stream, max_len).expect("sound").expect("whole");
        stream = &stream[message.bytes.len()..];
        let view = UpdateView::parse(message.body(), &ctx);
        assert_eq!(view.verdict(), Verdict::Ok, "{:?}", view.error());
        each(&view);
    }
    assert!(stream.is_empty());
}

/// A set survives every encoding, but for confederation segments, which AS4_PATH does not carry, and
/// for extended communities that stay within the AS.
fn assert_survived(
    again: AttrSetRef<'_>,
    set: AttrSetRef<'_>,
    encoding: &Encoding,
    internal: bool,
) {
    let flags = set.meta.flags;
    let path_lost = !encoding.as4 && flags.has(AttrFlags::CONFEDERATION);
    let some_lost = !internal && flags.has(AttrFlags::NON_TRANSITIVE);
    if !path_lost && !some_lost {
        assert_eq!(again, set);
        assert_eq!(again.meta, set.meta);
        return;
    }
    assert!(internal || !again.meta.flags.has(AttrFlags::NON_TRANSITIVE));
    let others = |set: AttrSetRef<'_>| -> Vec<(u8, Vec<u8>)> {
        let attrs = set.attrs().filter(|attr| match attr.code {
            code::AS_PATH => !path_lost,
            code::EXTENDED_COMMUNITIES | code::IPV6_EXTENDED_COMMUNITIES => !some_lost,
            _ => true,
        });
        attrs.map(|attr| (attr.code, attr.value.to_vec())).collect()
    };
    assert_eq!(others(again), others(set));
    assert_eq!(again.meta.path_len, set.meta.path_len);
}

fn sent<P: PrefixKey>(nlri: Nlri<P>, encoding: &Encoding) -> Nlri<P> {
    Nlri {
        path_id: if encoding.add_path { nlri.path_id } else { 0 },
        ..nlri
    }
}

/// The prefixes of one family as those of `P`, which is that family's.
fn push_all<P: PrefixKey, Q: PrefixKey>(
    to: &mut Vec<Nlri<P>>,
    from: impl Iterator<Item = Nlri<Q>>,
) {
    to.extend(from.filter_map(|nlri| {
        let prefix = P::from_prefix(nlri.prefix.into())?;
        Some(Nlri {
            path_id: nlri.path_id,
            prefix,
        })
    }));
}

fn withdrawn_round_trip<P: PrefixKey>(gone: &[Nlri<P>]) {
    for choice in 0..8 {
        let encoding = encoding(choice);
        let mut out = Vec::new();
        let messages = encode::withdraw(&mut out, &encoding, gone.iter().copied());
        let mut read = Vec::new();
        each_update(&out, messages, &encoding, true, |view| match P::FAMILY {
            Family::Ipv4 => push_all(&mut read, view.withdrawn4()),
            Family::Ipv6 => push_all(&mut read, view.withdrawn6()),
        });
        let sent: Vec<Nlri<P>> = gone.iter().map(|nlri| sent(*nlri, &encoding)).collect();
        assert_eq!(read, sent);
    }
}

/// Editing: a set from any attribute block, then operations picked by the remaining octets. After
/// each the set is canonical, says what was put in, and can be written for every kind of peer.
pub fn fuzz_attr_edit(input: &[u8]) {
    let Some((&[bits, cut], rest)) = input.split_first_chunk() else {
        return;
    };
    let (block, mut script) = rest.split_at(usize::from(cut).min(rest.len()));
    let mut set = AttrSetBuf::new();
    let hop = NextHop::from_octets(&[bits, 1, 1, 1]);
    set.set_block(hop.filter(|_| bits & 2 != 0), block, bits & 1 == 0);
    // A dump's set may hold an AS 0, which no session lets through (RFC 7607 §2) and no peer takes.
    if (set.as_ref().aggregator()).is_some_and(|(asn, _)| asn == Asn(0)) {
        set.remove(code::AGGREGATOR);
    }
    if set.as_ref().as_path().contains(Asn(0)) {
        set.remove(code::AS_PATH);
    }
    assert_canonical(set.as_ref());
    while let Some((&[operation, small, a, b, c, d], behind)) = script.split_first_chunk() {
        script = behind;
        edit(&mut set, operation, small, u32::from_be_bytes([a, b, c, d]));
        assert_canonical(set.as_ref());
    }
    for bits in 0..64 {
        every_peer(set.as_ref(), bits);
    }
}

fn edit(set: &mut AttrSetBuf, operation: u8, small: u8, value: u32) {
    let some = Some(value).filter(|_| small & 1 == 0);
    match operation % 12 {
        0 => {
            set.set_local_pref(some);
            assert_eq!(set.as_ref().local_pref(), some);
        }
        1 => {
            set.set_med(some);
            assert_eq!(set.as_ref().med(), some);
        }
        2 => set.set_origin(small),
        3 => {
            let hops = [
                None,
                Some(NextHop::V4(value.into())),
                Some(NextHop::V6(u128::from(value).into())),
                Some(NextHop::V6LinkLocal {
                    global: u128::from(value).into(),
                    link_local: u128::from(small).into(),
                }),
            ];
            let hop = hops[usize::from(small) % 4];
            set.set_next_hop(hop);
            assert_eq!(set.as_ref().next_hop(), hop);
        }
        4 => {
            let before = set.as_ref().as_path().path_len();
            let room = AS_PATH_LEN_MAX - set.as_ref().as_path().as_bytes().len();
            // AS 0 would make a path that no session lets through (RFC 7607 §2).
            let asn = Asn(value.max(1));
            set.prepend(asn, small);
            let path = set.as_ref().as_path();
            if room < 4 * usize::from(small) + 4 {
                assert_eq!(path.path_len(), before, "the limit holds");
                return;
            }
            assert_eq!(path.path_len(), before + usize::from(small));
            assert!(small == 0 || path.asns().next() == Some(asn));
        }
        5 => set.set_raw(small, value.to_be_bytes()[0], &value.to_be_bytes()),
        6 => {
            set.remove(small);
            assert!(set.as_ref().find(small).is_none());
        }
        7..=10 => edit_communities(set, operation % 12, small, value),
        _ => {
            let copy = AttrSet::new(set.as_ref());
            set.copy_from(copy.as_ref());
            assert_eq!(set.as_ref(), copy.as_ref());
        }
    }
}

fn edit_communities(set: &mut AttrSetBuf, operation: u8, small: u8, value: u32) {
    match operation {
        7 => {
            set.add_community(Community(value));
            assert!(
                set.as_ref()
                    .communities()
                    .any(|other| other == Community(value))
            );
        }
        8 => {
            set.retain_communities(|community: Community| community.0 & 1 == 0);
            assert!(
                set.as_ref()
                    .communities()
                    .all(|community| community.0 & 1 == 0)
            );
        }
        9 => {
            let large = |local1| LargeCommunity {
                global: value,
                local1,
                local2: 0,
            };
            set.set_communities((0..u32::from(small)).map(|number| large(number / 2)));
            let count = usize::from(small.div_ceil(2));
            assert_eq!(set.as_ref().large_communities().count(), count);
        }
        _ => {
            let extended = ExtendedCommunity((u64::from(value) << 16).to_be_bytes());
            set.add_community(extended);
            assert!(
                set.as_ref()
                    .extended_communities()
                    .any(|other| other == extended)
            );
        }
    }
}

/// What goes out to a peer of any kind parses there without a complaint but for what the set lacks.
fn every_peer(set: AttrSetRef<'_>, bits: u8) {
    let on = |bit: u8| bits & bit != 0;
    let internal = on(1);
    let reflect = Reflect {
        originator: RouterId(7),
        cluster: RouterId(9),
    };
    let rewrite = Rewrite {
        prepend: on(2).then_some(Asn(70_000)),
        next_hop: NextHopRewrite::Own(Some([192, 0, 2, 1].into()), None),
        local_pref: internal,
        med: on(4),
        reflect: (on(8) && internal).then_some(reflect),
        otc: on(16).then_some(Asn(1)),
    };
    let encoding = Encoding {
        as4: on(32),
        add_path: false,
        max_len: 4096,
        extended_next_hop: false,
        link: None,
    };
    let prefix = Ipv4Prefix::from_octets(&[10], 8).expect("8 bits");
    let nlri = Nlri { path_id: 0, prefix };
    let mut out = Vec::new();
    let sent = encode::announce(&mut out, set, &rewrite, &encoding, std::iter::once(nlri));
    if sent == Err(Unsendable::TooLarge) {
        return;
    }
    assert_eq!(sent, Ok(1));
    let body = &out[HEADER_LEN..];
    let ctx = UpdateContext {
        as4: encoding.as4,
        external: !internal,
        families: FamilySet::ALL,
        add_path: FamilySet::EMPTY,
    };
    let view = UpdateView::parse(body, &ctx);
    let bare = set.find(code::ORIGIN).is_none();
    if bare {
        return;
    }
    assert_eq!(view.verdict(), Verdict::Ok, "{:?} {set:?}", view.error());
    let mut again = AttrSetBuf::new();
    let again = view.canonical(Part::Classic, &mut again);
    assert_eq!(
        again.local_pref(),
        internal.then(|| set.local_pref().unwrap_or(100))
    );
    assert_eq!(again.med(), set.med().filter(|_| rewrite.med));
    assert_eq!(again.otc(), set.otc().or(rewrite.otc));
    let longer = u16::from(rewrite.prepend.is_some());
    assert_eq!(again.meta.path_len, set.meta.path_len + longer);
    if rewrite.reflect.is_some() {
        assert_eq!(
            again.originator_id(),
            set.originator_id().or(Some(RouterId(7)))
        );
        let clusters = std::iter::once(RouterId(9)).chain(set.cluster_list());
        assert!(again.cluster_list().eq(clusters));
    }
}

#[cfg(test)]
mod tests;
