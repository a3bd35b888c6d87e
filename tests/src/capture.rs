//! BGP messages out of packet captures: pcap and pcapng, Ethernet and kin, IPv4 and IPv6, TCP.
//!
//! Small on purpose: what the captures at hand hold, and an error for anything else.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Sender's and receiver's address and port.
pub type Flow = (IpAddr, u16, IpAddr, u16);

/// The BGP messages of a capture, in the order in which they became whole. `apart` reads each
/// packet for itself: captures put together by hand repeat sequence numbers.
///
/// # Errors
/// What about the capture is not understood.
pub fn bgp_messages(capture: &[u8], apart: bool) -> Result<Vec<(Flow, Vec<u8>)>, String> {
    let mut streams: HashMap<Flow, Stream> = HashMap::new();
    let mut messages = Vec::new();
    for (link, packet) in packets(capture)? {
        let Some(segment) = ip_packet(link, packet)?.and_then(tcp_segment) else {
            continue;
        };
        if apart {
            streams.clear();
        }
        let stream = streams.entry(segment.flow).or_default();
        stream.take(&segment);
        while let Some(message) = stream.message() {
            messages.push((segment.flow, message));
        }
    }
    Ok(messages)
}

/// (link type, octets) of each packet.
fn packets(capture: &[u8]) -> Result<Vec<(u32, &[u8])>, String> {
    match capture.first_chunk::<4>() {
        Some([0x0a, 0x0d, 0x0d, 0x0a]) => pcapng(capture),
        Some([0xd4, 0xc3, 0xb2, 0xa1] | [0x4d, 0x3c, 0xb2, 0xa1]) => pcap(capture, true),
        Some([0xa1, 0xb2, 0xc3, 0xd4] | [0xa1, 0xb2, 0x3c, 0x4d]) => pcap(capture, false),
        _ => Err("neither pcap nor pcapng".to_owned()),
    }
}

fn word(octets: &[u8], at: usize, little: bool) -> Option<u32> {
    let octets = *octets.get(at..)?.first_chunk()?;
    Some(if little {
        u32::from_le_bytes(octets)
    } else {
        u32::from_be_bytes(octets)
    })
}

fn pcap(capture: &[u8], little: bool) -> Result<Vec<(u32, &[u8])>, String> {
    let link = word(capture, 20, little).ok_or("no pcap header")?;
    let mut rest = &capture[24..];
    let mut found = Vec::new();
    while !rest.is_empty() {
        let len = word(rest, 8, little).ok_or("a torn packet header")? as usize;
        found.push((link, rest.get(16..16 + len).ok_or("a torn packet")?));
        rest = &rest[16 + len..];
    }
    Ok(found)
}

fn pcapng(capture: &[u8]) -> Result<Vec<(u32, &[u8])>, String> {
    let little = capture.get(8..12) == Some(&[0x4d, 0x3c, 0x2b, 0x1a]);
    let mut rest = capture;
    let mut links = Vec::new();
    let mut found = Vec::new();
    while !rest.is_empty() {
        let kind = word(rest, 0, little).ok_or("a torn block")?;
        let len = word(rest, 4, little).ok_or("a torn block")? as usize;
        let block = rest
            .get(..len)
            .filter(|_| len >= 12)
            .ok_or("a torn block")?;
        match kind {
            // Interface description: the link type in its first two octets.
            1 => {
                let both = word(block, 8, little).ok_or("a short block")?;
                links.push(if little { both & 0xffff } else { both >> 16 });
            }
            // Enhanced packet.
            6 => {
                let interface = word(block, 8, little).ok_or("a short block")? as usize;
                let len = word(block, 20, little).ok_or("a short block")? as usize;
                let link = *links.get(interface).ok_or("an unknown interface")?;
                found.push((link, block.get(28..28 + len).ok_or("a torn packet")?));
            }
            3 => return Err("simple packet blocks are not read".to_owned()),
            _ => {}
        }
        rest = &rest[len..];
    }
    Ok(found)
}

/// The IP packet in a frame, if there is one.
fn ip_packet(link: u32, frame: &[u8]) -> Result<Option<&[u8]>, String> {
    let (mut kind_at, offset) = match link {
        1 => (12, 14),
        // Raw IP.
        101 => return Ok(Some(frame)),
        // Linux "cooked".
        113 => (14, 16),
        // Juniper Ethernet: magic, flags, length of the extensions, extensions, Ethernet.
        178 => {
            let extensions = frame.get(4..6).ok_or("a short Juniper header")?;
            let skip = 6 + usize::from(u16::from_be_bytes([extensions[0], extensions[1]]));
            return ip_packet(1, frame.get(skip..).ok_or("a short Juniper header")?);
        }
        _ => return Err(format!("link type {link}")),
    };
    let mut start = offset;
    loop {
        match frame.get(kind_at..kind_at + 2) {
            Some([0x08, 0x00] | [0x86, 0xdd]) => return Ok(frame.get(start..)),
            Some([0x81, 0x00] | [0x88, 0xa8]) => (kind_at, start) = (kind_at + 4, start + 4),
            _ => return Ok(None),
        }
    }
}

struct Segment<'a> {
    flow: Flow,
    sequence: u32,
    syn: bool,
    payload: &'a [u8],
}

fn tcp_segment(packet: &[u8]) -> Option<Segment<'_>> {
    const TCP: u8 = 6;
    let half = |at: usize| Some(u16::from_be_bytes(*packet.get(at..)?.first_chunk()?));
    let (from, to, tcp): (IpAddr, IpAddr, &[u8]) = match packet.first()? >> 4 {
        4 if packet.get(9) == Some(&TCP) => {
            let from: [u8; 4] = *packet.get(12..)?.first_chunk()?;
            let to: [u8; 4] = *packet.get(16..)?.first_chunk()?;
            let header = usize::from(packet[0] & 15) * 4;
            let end = usize::from(half(2)?).min(packet.len());
            (
                Ipv4Addr::from(from).into(),
                Ipv4Addr::from(to).into(),
                packet.get(header..end)?,
            )
        }
        6 if packet.get(6) == Some(&TCP) => {
            let from: [u8; 16] = *packet.get(8..)?.first_chunk()?;
            let to: [u8; 16] = *packet.get(24..)?.first_chunk()?;
            let end = (40 + usize::from(half(4)?)).min(packet.len());
            (
                Ipv6Addr::from(from).into(),
                Ipv6Addr::from(to).into(),
                packet.get(40..end)?,
            )
        }
        _ => return None,
    };
    let half = |at: usize| Some(u16::from_be_bytes(*tcp.get(at..)?.first_chunk()?));
    let sequence = word(tcp, 4, false)?;
    let payload = tcp.get(usize::from(tcp.get(12)? >> 4) * 4..)?;
    let syn = tcp.get(13)? & 2 != 0;
    Some(Segment {
        flow: (from, half(0)?, to, half(2)?),
        sequence,
        syn,
        payload,
    })
}

/// One direction of a connection.
#[derive(Default)]
struct Stream {
    next: Option<u32>,
    early: BTreeMap<u32, Vec<u8>>,
    octets: Vec<u8>,
}

impl Stream {
    /// Takes a segment: in order, early (kept), or again (dropped).
    fn take(&mut self, segment: &Segment<'_>) {
        if segment.syn {
            // Captures made by a program have data on the SYN, and do not count the SYN itself.
            let counted = u32::from(segment.payload.is_empty());
            let next = segment.sequence.wrapping_add(counted);
            *self = Stream {
                next: Some(next),
                ..Stream::default()
            };
        }
        if segment.payload.is_empty() {
            return;
        }
        self.next.get_or_insert(segment.sequence);
        self.early
            .insert(segment.sequence, segment.payload.to_vec());
        while let Some(next) = self.next {
            let due = |sequence: &&u32| next.wrapping_sub(**sequence) < u32::MAX / 2;
            let Some(sequence) = self.early.keys().find(due).copied() else {
                break;
            };
            let payload = self.early.remove(&sequence).unwrap_or_default();
            let known = next.wrapping_sub(sequence) as usize;
            if let Some(fresh) = payload.get(known..) {
                self.octets.extend_from_slice(fresh);
                self.next = Some(next.wrapping_add(u32::try_from(fresh.len()).unwrap_or(0)));
            }
        }
    }

    /// The next whole message. A capture may begin inside one: the first marker starts the first.
    fn message(&mut self) -> Option<Vec<u8>> {
        let start = self
            .octets
            .windows(16)
            .position(|window| window == [0xff; 16])?;
        let rest = &self.octets[start..];
        let len = usize::from(u16::from_be_bytes([*rest.get(16)?, *rest.get(17)?]));
        let message = rest.get(..len.max(19))?.to_vec();
        self.octets.drain(..start + message.len());
        Some(message)
    }
}
