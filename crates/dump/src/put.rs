//! Writing numbers, addresses and times into a buffer of bytes, without the formatter's cost.

use std::io::Write as _;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use thruway_wire::Prefix;

/// Appends a number.
pub(super) fn number(out: &mut Vec<u8>, value: u32) {
    let mut digits = [0; 10];
    let mut at = digits.len();
    let mut value = value;
    loop {
        at -= 1;
        // One digit.
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    out.extend_from_slice(&digits[at..]);
}

/// Appends an address.
pub(super) fn addr(out: &mut Vec<u8>, addr: IpAddr) {
    match addr {
        IpAddr::V4(addr) => addr4(out, addr),
        IpAddr::V6(addr) => addr6(out, addr),
    }
}

fn addr4(out: &mut Vec<u8>, addr: Ipv4Addr) {
    for (index, octet) in addr.octets().into_iter().enumerate() {
        if index > 0 {
            out.push(b'.');
        }
        number(out, octet.into());
    }
}

/// As bgpdump prints it: the first of the longest runs of zero groups is `::`, even a run of one
/// (against RFC 5952 §4.2.2), and addresses that embed an IPv4 one end in dots.
fn addr6(out: &mut Vec<u8>, addr: Ipv6Addr) {
    let groups = addr.segments();
    let [head @ .., high, low] = &groups;
    let embedded = Ipv4Addr::from_bits(u32::from(*high) << 16 | u32::from(*low));
    match head {
        [0, 0, 0, 0, 0, 0] if embedded.to_bits() > 1 => {
            out.extend_from_slice(b"::");
            return addr4(out, embedded);
        }
        [0, 0, 0, 0, 0, 0xffff] => {
            out.extend_from_slice(b"::ffff:");
            return addr4(out, embedded);
        }
        _ => {}
    }
    let (start, end) = longest_zeros(groups);
    for (index, group) in groups.into_iter().enumerate() {
        if index >= start && index < end {
            if index == start {
                out.extend_from_slice(b"::");
            }
            continue;
        }
        if index > 0 && index != end {
            out.push(b':');
        }
        // Writing to a Vec cannot fail.
        let _ = write!(out, "{group:x}");
    }
}

/// The first of the longest runs of zero groups; empty, at the end, where there is none.
fn longest_zeros(groups: [u16; 8]) -> (usize, usize) {
    let (mut best, mut at) = ((groups.len(), groups.len()), 0);
    while at < groups.len() {
        let len = groups[at..].iter().take_while(|group| **group == 0).count();
        if len > best.1 - best.0 {
            best = (at, at + len);
        }
        at += len + 1;
    }
    best
}

/// Appends a prefix.
pub(super) fn prefix(out: &mut Vec<u8>, prefix: Prefix) {
    addr(out, prefix.addr());
    out.push(b'/');
    number(out, prefix.prefix_len().into());
}

/// Seconds since 1970 as year, month, day, hour, minute, second in UTC.
pub(super) fn civil(secs: u32) -> (u32, u32, u32, u32, u32, u32) {
    let (days, second) = (secs / 86_400, secs % 86_400);
    // Days are counted from 1 March of the year 0, so that the leap day is a year's last.
    let days = days + 719_468;
    let (era, day) = (days / 146_097, days % 146_097);
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let day = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + u32::from(month <= 2);
    (
        year,
        month,
        day,
        second / 3_600,
        second / 60 % 60,
        second % 60,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(put: impl Fn(&mut Vec<u8>)) -> String {
        let mut out = Vec::new();
        put(&mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn numbers_have_all_their_digits() {
        for value in [0, 9, 10, 65_536, u32::MAX] {
            assert_eq!(shown(|out| number(out, value)), value.to_string());
        }
    }

    #[test]
    fn addresses_look_as_bgpdump_prints_them() {
        for text in [
            "::",
            "::1",
            "::1.2.3.4",
            "::0.0.0.2",
            "::ffff:1.2.3.4",
            "::1:2:3",
            "2001:db8::1",
            "2001:0:1::1:0:0",
            "2001::1:2:0:3:4:5",
            "::1:2:3:4:5:6:7",
            "1:2:3:4:5:6:7::",
            "1:2:3:4:5:6::",
            "1:2:3:4:5:6:7:8",
            "10.0.0.1",
        ] {
            assert_eq!(shown(|out| addr(out, text.parse().unwrap())), text);
        }
    }

    #[test]
    fn dates_cross_leap_days() {
        assert_eq!(civil(0), (1970, 1, 1, 0, 0, 0));
        assert_eq!(civil(951_782_399), (2000, 2, 28, 23, 59, 59));
        assert_eq!(civil(951_782_400), (2000, 2, 29, 0, 0, 0));
        assert_eq!(civil(951_868_800), (2000, 3, 1, 0, 0, 0));
        assert_eq!(civil(u32::MAX), (2106, 2, 7, 6, 28, 15));
    }
}
