//! Which kind of source wins for equal prefixes.

use serde::{Deserialize, Serialize};

use crate::Kind;

/// The operator's preference among sources of the same prefix. It is asked before LOCAL_PREF and AS
/// path length; longer prefixes win by themselves, when packets are forwarded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Preference {
    /// ExpressRoute before VPN and NVAs.
    #[default]
    #[serde(rename = "expressroute")]
    ExpressRoute,
    /// VPN and NVAs before ExpressRoute.
    Vpn,
    /// No kind before another: the shorter AS path.
    AsPath,
}

/// What the network itself says of its own prefixes is true.
const NETWORK_RANK: u8 = 7;

impl Preference {
    /// All of them.
    pub const ALL: [Preference; 3] = [
        Preference::ExpressRoute,
        Preference::Vpn,
        Preference::AsPath,
    ];

    /// The rank of a kind: the highest among a prefix's sources wins, equal ranks go on to LOCAL_PREF.
    #[must_use]
    pub const fn rank(self, kind: Kind) -> u8 {
        match (self, kind) {
            (_, Kind::Network) => NETWORK_RANK,
            (Preference::ExpressRoute, Kind::ExpressRoute) => 1,
            (Preference::Vpn, Kind::Vpn | Kind::Nva) => 1,
            _ => 0,
        }
    }

    /// Its name in the configuration.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Preference::ExpressRoute => "expressroute",
            Preference::Vpn => "vpn",
            Preference::AsPath => "as-path",
        }
    }
}
