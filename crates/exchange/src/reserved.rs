//! AS numbers that an NVA cannot have.

use thruway_wire::Asn;

/// First and last number, and why they are taken.
const RESERVED: [(u32, u32, &str); 9] = [
    (8074, 8075, "it is the cloud's own network"),
    (12076, 12076, "it is the far end of ExpressRoute circuits"),
    (
        23456,
        23456,
        "it stands for a four-octet AS that does not fit (RFC 6793)",
    ),
    (64496, 64511, "it is for documentation (RFC 5398)"),
    (
        65515,
        65515,
        "it is that of route servers and gateways of virtual networks",
    ),
    (
        65517,
        65520,
        "gateways of virtual networks use it among themselves",
    ),
    (65535, 65535, "it is reserved (RFC 7300)"),
    (65536, 65551, "it is for documentation (RFC 5398)"),
    (u32::MAX, u32::MAX, "it is reserved (RFC 7300)"),
];

/// Why an NVA cannot have this AS, to follow "AS 65515 cannot be an NVA's: "; `None` where it can.
#[must_use]
pub fn reserved_as(asn: Asn) -> Option<&'static str> {
    RESERVED
        .iter()
        .find(|(first, last, _)| (*first..=*last).contains(&asn.0))
        .map(|(.., why)| *why)
}
