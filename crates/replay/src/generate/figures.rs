//! Figures of real tables, counted over public RIS, RouteViews and PCH dumps.
//!
//! Each list is (value, count). Only the ratios matter.

/// IPv4 prefix lengths of the full Internet table of about 2021, without its one stray /1.
pub(super) const IPV4_LENGTHS: [(u32, u32); 25] = [
    (8, 10),
    (9, 13),
    (10, 40),
    (11, 101),
    (12, 295),
    (13, 580),
    (14, 1195),
    (15, 2029),
    (16, 13_739),
    (17, 8546),
    (18, 14_533),
    (19, 26_816),
    (20, 42_978),
    (21, 52_370),
    (22, 107_149),
    (23, 94_167),
    (24, 522_039),
    (25, 1839),
    (26, 1357),
    (27, 990),
    (28, 251),
    (29, 339),
    (30, 201),
    (31, 136),
    (32, 2229),
];

/// IPv6 prefix lengths of RouteViews, 2015-11-01, up to /64: longer ones are 1.5 % there, and
/// leaks.
pub(super) const IPV6_LENGTHS: [(u32, u32); 41] = [
    (20, 9),
    (21, 3),
    (22, 4),
    (23, 4),
    (24, 19),
    (25, 5),
    (26, 14),
    (27, 16),
    (28, 70),
    (29, 859),
    (30, 100),
    (31, 71),
    (32, 7262),
    (33, 313),
    (34, 213),
    (35, 251),
    (36, 1004),
    (37, 95),
    (38, 203),
    (39, 73),
    (40, 1221),
    (41, 188),
    (42, 200),
    (43, 149),
    (44, 1125),
    (45, 119),
    (46, 379),
    (47, 191),
    (48, 12_142),
    (49, 24),
    (50, 5),
    (51, 2),
    (52, 17),
    (54, 1),
    (55, 1),
    (56, 180),
    (58, 1),
    (60, 10),
    (62, 1),
    (63, 1),
    (64, 772),
];

/// Routes that share one attribute set: (largest size of the class, sets in it). A class reaches
/// from one over the class before. Three dumps together, 197,472 sets, 5.1 routes a set.
pub(super) const SET_SIZES: [(u32, u32); 12] = [
    (1, 109_662),
    (2, 29_687),
    (3, 14_204),
    (5, 15_537),
    (10, 13_204),
    (20, 7969),
    (50, 4823),
    (100, 1404),
    (200, 538),
    (500, 325),
    (1000, 94),
    (2773, 25),
];

/// AS path lengths, the peer's own AS included: route-views2, 2014-05-23, mean 4.4.
pub(super) const PATH_LENGTHS: [(u32, u32); 21] = [
    (1, 131),
    (2, 10_679),
    (3, 73_213),
    (4, 93_907),
    (5, 52_216),
    (6, 19_501),
    (7, 8673),
    (8, 4003),
    (9, 2063),
    (10, 1248),
    (11, 661),
    (12, 748),
    (13, 902),
    (14, 911),
    (15, 521),
    (16, 405),
    (17, 112),
    (18, 38),
    (19, 10),
    (20, 21),
    (24, 42),
];

/// Different AS numbers in a path, same dump. What a path is longer is prepending.
pub(super) const PATH_DISTINCT_MAX: u32 = 6;

/// Paths in 10,000 with prepending although they are short: 17.5 % in all, of which the long ones
/// give 6 %.
pub(super) const PREPENDED: u32 = 1150;

/// Communities of a route: route-views2 and rrc00 together, mean 2.1.
pub(super) const COMMUNITIES: [(u32, u32); 33] = [
    (0, 212_165),
    (1, 54_607),
    (2, 46_578),
    (3, 9918),
    (4, 18_478),
    (5, 31_582),
    (6, 21_132),
    (7, 10_257),
    (8, 4224),
    (9, 5039),
    (10, 5951),
    (11, 2212),
    (12, 1766),
    (13, 1503),
    (14, 1189),
    (15, 580),
    (16, 1088),
    (17, 260),
    (18, 408),
    (19, 94),
    (20, 112),
    (21, 136),
    (22, 79),
    (23, 20),
    (24, 29),
    (25, 4),
    (26, 18),
    (27, 22),
    (28, 31),
    (29, 9),
    (30, 13),
    (32, 301),
    (34, 148),
];

/// Large communities of a route: rrc00, 2019-01-01; 7.7 % have some.
pub(super) const LARGE_COMMUNITIES: [(u32, u32); 8] = [
    (0, 147_605),
    (1, 4208),
    (2, 6354),
    (3, 231),
    (4, 1355),
    (5, 179),
    (6, 13),
    (7, 3),
];

/// Extended communities of a route: the three dumps together; 1.1 % have some.
pub(super) const EXTENDED_COMMUNITIES: [(u32, u32); 10] = [
    (0, 996_805),
    (1, 7167),
    (2, 611),
    (3, 463),
    (4, 38),
    (5, 155),
    (6, 64),
    (7, 2325),
    (8, 11),
    (9, 37),
];

/// ORIGIN: IGP, EGP, INCOMPLETE; route-views2 and rrc00 together.
pub(super) const ORIGINS: [(u32, u32); 3] = [(0, 394_060), (1, 532), (2, 35_361)];

/// Routes in 10,000 with a MED above 0: route-views2 and rrc00 together.
pub(super) const WITH_MED: u32 = 1630;
/// Routes in 10,000 with AGGREGATOR, same dumps.
pub(super) const WITH_AGGREGATOR: u32 = 597;
/// Of those, in 10,000, with ATOMIC_AGGREGATE too.
pub(super) const ATOMIC_OF_AGGREGATED: u32 = 4850;

/// Blocks of the registries from which origin AS numbers are drawn: (first, last, weight).
pub(super) const ASN_BLOCKS: [(u32, u32, u32); 6] = [
    (1, 23_455, 24),
    (23_457, 64_495, 46),
    (131_072, 153_913, 8),
    (196_608, 216_475, 10),
    (262_144, 274_844, 9),
    (393_216, 402_332, 3),
];

/// Transit AS numbers: the paths' inner hops come from few networks, the first from fewest.
pub(super) const TRANSIT_ASNS: u32 = 1500;

/// IPv4 blocks that a global table does not hold: (address, length). RFC 6890 and its updates.
pub(super) const IPV4_BOGONS: [(u32, u8); 14] = [
    (0x0000_0000, 8),
    (0x0a00_0000, 8),
    (0x6440_0000, 10),
    (0x7f00_0000, 8),
    (0xa9fe_0000, 16),
    (0xac10_0000, 12),
    (0xc000_0000, 24),
    (0xc000_0200, 24),
    (0xc058_6300, 24),
    (0xc0a8_0000, 16),
    (0xc612_0000, 15),
    (0xc633_6400, 24),
    (0xcb00_7100, 24),
    (0xe000_0000, 3),
];

/// The registries' /12 blocks of IPv6, from which all of it is drawn; no special range is in them.
pub(super) const IPV6_BLOCKS: [(u16, u32); 5] = [
    (0x2400, 28),
    (0x2600, 20),
    (0x2800, 12),
    (0x2a00, 34),
    (0x2c00, 6),
];
