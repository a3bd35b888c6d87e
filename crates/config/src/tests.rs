//! Bad files against the errors that they must give, good ones against what they mean, and the
//! reference against the keys.

mod diff;
mod errors;
mod exchange;
mod reference;
mod values;

use std::path::Path;

use super::{Config, Peer};

const SERVER: &str = "\
[server]
asn = 64500
router-id = \"198.18.0.1\"
listen = [\"198.18.0.1:179\", \"[2001:db8::1]:179\"]
";

/// A file with a server and `rest`, which starts in line 5.
fn parse(rest: &str) -> Result<Config, Vec<String>> {
    raw(&format!("{SERVER}{rest}"))
}

fn raw(text: &str) -> Result<Config, Vec<String>> {
    Config::parse(Path::new("t.toml"), text)
        .map_err(|errors| errors.to_string().lines().map(str::to_owned).collect())
}

/// The one peer of a good file.
fn peer(rest: &str) -> Peer {
    let mut config = parse(rest).unwrap();
    assert_eq!(config.peers.len(), 1);
    config.peers.remove(0)
}

/// A peer with some lines of keys; they start in line 8.
fn peer_with(keys: &str) -> String {
    format!("[[peer]]\naddress = \"198.18.1.1\"\nasn = 64601\n{keys}\n")
}
