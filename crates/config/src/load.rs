//! Reading a file into a [`Config`].

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use thruway_engine::PeerRole;
use thruway_exchange::{HOST_POLICY, Kind, host_policy};
use thruway_policy::{CompileOptions, Compiled, PolicyDef, SetDefs, compile};
use toml::Spanned;
use toml::de::DeTable;

use super::files::Files;
use super::inline::{SelfContained, self_contained};
use super::limits::{CONFIG_LEN_MAX, SYNTAX_ERRORS_MAX, SYNTAX_ERRORS_TEXT_MAX};
use super::long::LongLists;
use super::peer::{Group, read_groups, read_peers};
use super::policy::{self, RawPolicy};
use super::reader::{Reader, Section, Spot};
use super::resolve::{self, Place};
use super::suggest::hint;
use super::{
    Config, ConfigErrors, Diff, Exchange, Mode, Peer, Problem, Server, Target, exchange, expect,
    server, sets, trial,
};

/// Tables of the whole file.
pub(super) const TOP_KEYS: &[&str] = &[
    "server",
    "vnet",
    "route-exchange",
    "nva",
    "gateway",
    "hosts",
    "peer-group",
    "peer",
    "policy",
    "prefix-set",
    "community-set",
    "as-set",
    "as-path-set",
    "expect",
];

impl Config {
    /// Reads and checks a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, each with file, line and key.
    pub fn load(path: &Path) -> Result<Config, ConfigErrors> {
        load(path, 1)
    }

    /// Reads and checks a configuration that is already in memory. Files that it names are looked
    /// for beside `path`.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn parse(path: &Path, text: &str) -> Result<Config, ConfigErrors> {
        parse(path, text, 1, Files::Beside)
    }

    /// The same for a configuration that came over the API: it may name no files.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn propose(path: &Path, text: &str) -> Result<Config, ConfigErrors> {
        parse(path, text, 1, Files::Nowhere)
    }

    /// Reads the file anew, and tells what changed. Policies that did not change keep their
    /// compiled values; the others get a new version.
    ///
    /// # Errors
    /// As [`Config::load`]; the running configuration stays as it is then.
    pub fn reload(&self) -> Result<(Config, Diff), ConfigErrors> {
        let new = load(&self.path, self.version.wrapping_add(1))?;
        Ok(self.becomes(new))
    }

    /// The same for a text that takes the file's place, which may name files beside it or none.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn reload_from(&self, text: &str) -> Result<(Config, Diff), ConfigErrors> {
        let version = self.version.wrapping_add(1);
        let new = parse(&self.path, text, version, Files::Nowhere)?;
        Ok(self.becomes(new))
    }

    /// Reads the file anew with all that it names, once: what is checked and what is remembered is one text.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn reload_whole(&self) -> Result<(Config, Diff, SelfContained), ConfigErrors> {
        let (new, whole) = whole(&self.path, self.version.wrapping_add(1))?;
        let (new, diff) = self.becomes(new);
        Ok((new, diff, whole))
    }

    /// The same at the start.
    ///
    /// # Errors
    /// As [`Config::load`].
    pub fn load_whole(path: &Path) -> Result<(Config, SelfContained), ConfigErrors> {
        whole(path, 1)
    }

    fn becomes(&self, mut new: Config) -> (Config, Diff) {
        let diff = Diff::new(self, &new);
        new.policies.keep(&self.policies, |name| {
            !diff.policies.iter().any(|other| other == name)
        });
        (new, diff)
    }
}

fn whole(path: &Path, version: u32) -> Result<(Config, SelfContained), ConfigErrors> {
    match self_contained(path) {
        Ok(whole) if !whole.inlined => {
            let config = parse(path, &whole.text, version, Files::Beside)?;
            Ok((config, whole))
        }
        Ok(whole) => {
            // The files' own lines are named where something is wrong with them.
            let config = load(path, version)?;
            match parse(path, &whole.text, version, Files::Nowhere) {
                Ok(same) => Ok((
                    Config {
                        warnings: config.warnings,
                        ..same
                    },
                    whole,
                )),
                Err(errors) => Err(errors),
            }
        }
        Err(error) => {
            load(path, version)?;
            Err(ConfigErrors(vec![Problem {
                file: Arc::new(path.into()),
                line: 0,
                key: String::new(),
                message: error.to_string(),
            }]))
        }
    }
}

fn load(path: &Path, version: u32) -> Result<Config, ConfigErrors> {
    match read_bounded(path) {
        Ok(text) => parse(path, &text, version, Files::Beside),
        Err(error) => Err(ConfigErrors(vec![Problem {
            file: Arc::new(path.into()),
            line: 0,
            key: String::new(),
            message: error.to_string(),
        }])),
    }
}

pub(super) fn read_bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    // A pipe would keep its reader for ever.
    if !std::fs::metadata(path)?.is_file() {
        let message = "it is no regular file";
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    File::open(path)?
        .take(CONFIG_LEN_MAX + 1)
        .read_to_string(&mut text)?;
    if text.len() as u64 > CONFIG_LEN_MAX {
        let message = format!("the file has over {CONFIG_LEN_MAX} octets");
        return Err(io::Error::new(io::ErrorKind::InvalidData, message));
    }
    Ok(text)
}

fn parse(path: &Path, text: &str, version: u32, files: Files) -> Result<Config, ConfigErrors> {
    let mut reader = Reader::new(path, text, files);
    let (rest, lists) = LongLists::cut(text).unzip();
    // Faults are told of the whole text, where their places are right.
    let parsed = rest.as_deref().and_then(|rest| table(rest).ok());
    if parsed.is_some() {
        reader.long = lists.map(Arc::new);
    }
    let table = match parsed.map_or_else(|| table(text), Ok) {
        Ok(table) => table,
        // What a broken file seems to say is not worth checking.
        Err(faults) => {
            for fault in faults.iter().take(SYNTAX_ERRORS_MAX) {
                let line = reader.line(fault.span().unwrap_or_default());
                reader.error(line, "", fault.message().replace('\n', ", "));
            }
            return Err(errors(reader));
        }
    };
    let top = Section {
        table: table.get_ref(),
        line: 1,
        path: String::new(),
    };
    top.check_keys(&[TOP_KEYS], &mut reader);
    let read = read(&top, version, &mut reader);
    match read {
        Some(mut config) if reader.errors.is_empty() => {
            config.path = path.into();
            warn_readable_keys(path, &config, &mut reader);
            reader.warnings.sort();
            reader.warnings.dedup();
            config.warnings = reader.warnings;
            Ok(config)
        }
        _ => Err(errors(reader)),
    }
}

fn errors(mut reader: Reader) -> ConfigErrors {
    reader.errors.sort();
    // Peers of one group have its faults in common.
    reader.errors.dedup();
    ConfigErrors(reader.errors)
}

/// The file as TOML, or what is wrong with it: of a large file only the first fault, for each of them takes
/// more memory than what it is about.
fn table(text: &str) -> Result<Spanned<DeTable<'_>>, Vec<toml::de::Error>> {
    if text.len() > SYNTAX_ERRORS_TEXT_MAX {
        return DeTable::parse(text).map_err(|fault| vec![fault]);
    }
    match DeTable::parse_recoverable(text) {
        (table, faults) if faults.is_empty() => Ok(table),
        (_, faults) => Err(faults),
    }
}

fn read(top: &Section<'_>, version: u32, reader: &mut Reader) -> Option<Config> {
    let section = |key: &str, reader: &mut Reader| {
        top.value(key)
            .and_then(|value| Section::new(value, key.into(), reader))
    };
    let server_section = section("server", reader);
    let server = match top.value("server") {
        Some(_) if server_section.is_none() => None,
        _ => server::read(server_section.as_ref(), reader),
    };
    let groups = read_groups(section("peer-group", reader).as_ref(), reader);
    let raw = read_peers(top.value("peer"), reader);
    let sets = sets::read(top, reader);
    let policies = policy::read(top, &sets, reader);
    // Peers cannot be judged without the server; its faults are told first.
    let server = server?;
    exchange::check_mode(top, server.mode, reader);
    let (exchange, peers) = if server.mode == Mode::Exchange {
        let (exchange, peers) = exchange::read(top, &server, reader)?;
        (Some(exchange), peers)
    } else {
        (None, resolve::peers(raw, &groups, &server, reader))
    };
    check_unique(&peers, reader);
    let expect = expect::read(top, &peers, server.mode, reader);
    check_policies(&peers, &policies, reader);
    warn_unused(top, &peers, &groups, &policies, &sets, reader);
    let defs = policy_defs(&policies, exchange.as_ref(), &peers, reader);
    let compiled = compiled(top, &server, (&policies, &defs), &sets, version, reader)?;
    let known: Vec<&Peer> = peers.iter().map(|(peer, _)| peer).collect();
    trial::run(&policies, &compiled, &known, reader);
    Some(Config {
        path: PathBuf::new(),
        version,
        server,
        peers: peers.into_iter().map(|(peer, _)| peer).collect(),
        exchange,
        policies: compiled,
        policy_defs: defs,
        sets,
        expect,
        warnings: Vec::new(),
    })
}

/// The file's policies, and those that the mode adds.
fn policy_defs(
    policies: &[RawPolicy],
    exchange: Option<&Exchange>,
    peers: &[(Peer, Place)],
    reader: &mut Reader,
) -> Vec<PolicyDef> {
    let mut defs: Vec<PolicyDef> = policies.iter().map(|policy| policy.def.clone()).collect();
    let Some(exchange) = exchange else {
        return defs;
    };
    if let Some(taken) = policies
        .iter()
        .find(|policy| policy.def.name == HOST_POLICY)
    {
        let message = "the name is that of the policy toward hosts, which the server makes itself";
        reader.error(taken.line, &format!("policy.{HOST_POLICY}"), message);
    }
    let nvas = peers.iter().map(|(peer, _)| peer);
    let nvas = nvas.filter(|peer| peer.kind == Some(Kind::Nva));
    let nvas: Vec<String> = nvas.map(|peer| peer.name.clone()).collect();
    defs.push(host_policy(&exchange.vnet, &nvas));
    defs
}

/// `policies`: as they were written, and all that there are.
fn compiled(
    top: &Section<'_>,
    server: &Server,
    (policies, defs): (&[RawPolicy], &[PolicyDef]),
    sets: &SetDefs,
    version: u32,
    reader: &mut Reader,
) -> Option<Compiled> {
    if !reader.errors.is_empty() {
        return None;
    }
    policies
        .iter()
        .for_each(|policy| policy.warn_unreachable(reader));
    match compile(
        defs,
        sets,
        CompileOptions {
            version,
            own_as: server.asn,
        },
    ) {
        Ok(compiled) => Some(compiled),
        Err(errors) => {
            policy::note_errors(&errors, policies, top, reader);
            None
        }
    }
}

/// Names, addresses and prefixes of peers are unique.
fn check_unique(peers: &[(Peer, Place)], reader: &mut Reader) {
    let mut names = BTreeMap::new();
    let mut targets = BTreeMap::new();
    for (peer, place) in peers {
        if let Some(first) = names.insert(&peer.name, place.line) {
            let message = format!("the peer in line {first} has the same name");
            reader.error(place.line, &format!("peer.{}.name", peer.name), message);
        }
        // Of a virtual network `exchange` has said it, by the keys that are there.
        if peer.kind.is_some() {
            continue;
        }
        let (key, target) = match peer.target {
            Target::Address(addr) => ("address", addr.ip().to_string()),
            Target::Range { prefix, .. } => ("prefix", prefix.to_string()),
        };
        if let Some(first) = targets.insert(target, place.line) {
            let message = format!("the peer in line {first} has the same {key}");
            reader.error(place.line, &format!("{}.{key}", place.path), message);
        }
    }
}

/// Peers' policies exist, and external peers have them.
fn check_policies(peers: &[(Peer, Place)], policies: &[RawPolicy], reader: &mut Reader) {
    let built_in = ["accept", "reject"];
    let names = || {
        built_in
            .into_iter()
            .chain(policies.iter().map(|p| p.def.name.as_str()))
    };
    for (peer, place) in peers {
        for spot in [&place.keys.import, &place.keys.export]
            .into_iter()
            .flatten()
        {
            if !names().any(|name| name == spot.value) {
                let hint = hint(&spot.value, names());
                let message = format!("no policy has the name `{}`{hint}", spot.value);
                reader.error_at(spot, message);
            }
        }
        if let Some(spot) = &place.keys.import {
            warn_to_on_import(spot, policies, reader);
        }
        warn_no_policy(peer, place, reader);
    }
}

/// RFC 8212: what has no policy carries no routes.
fn warn_no_policy(peer: &Peer, place: &Place, reader: &mut Reader) {
    if !matches!(peer.role, PeerRole::External | PeerRole::RouteServerClient) {
        return;
    }
    if peer.import.policy.is_none() {
        let message = "no import policy: nothing is taken from this peer (RFC 8212)";
        reader.warn(place.line, &format!("{}.import", place.path), message);
    }
    if peer.export.policy.is_none() {
        let message = "no export policy: nothing is advertised to this peer (RFC 8212)";
        reader.warn(place.line, &format!("{}.export", place.path), message);
    }
}

fn warn_to_on_import(spot: &Spot<String>, policies: &[RawPolicy], reader: &mut Reader) {
    let policy = policies.iter().find(|policy| policy.def.name == spot.value);
    let asks = |policy: &&RawPolicy| {
        policy
            .def
            .statements
            .iter()
            .any(|s| !s.matches.to.is_empty())
    };
    if policy.as_ref().is_some_and(asks) {
        let message = format!(
            "`{}` matches on `to`, which never holds on import",
            spot.value
        );
        reader.warn(spot.line, &spot.key, message);
    }
}

/// What nothing refers to may be a typo's victim.
fn warn_unused(
    top: &Section<'_>,
    peers: &[(Peer, Place)],
    groups: &[Group],
    policies: &[RawPolicy],
    sets: &SetDefs,
    reader: &mut Reader,
) {
    for group in groups {
        if !peers
            .iter()
            .any(|(peer, _)| peer.group.as_ref() == Some(&group.name))
        {
            reader.warn(
                group.line,
                &format!("peer-group.{}", group.name),
                "no peer is in it",
            );
        }
    }
    let used: BTreeSet<&str> = peers
        .iter()
        .flat_map(|(peer, _)| [&peer.import.policy, &peer.export.policy])
        .flatten()
        .map(String::as_str)
        .collect();
    for policy in policies {
        if !used.contains(policy.def.name.as_str()) {
            let key = format!("policy.{}", policy.def.name);
            reader.warn(policy.line, &key, "no peer uses it");
        }
    }
    let used = used_sets(policies.iter().map(|policy| &policy.def));
    for (table, name) in set_names(sets) {
        if !used.contains(&(table, name)) {
            let set = top.value(table).and_then(|sets| sets.get_ref().get(name));
            let line = set.map_or(0, |set| reader.line(set.span()));
            reader.warn(line, &format!("{table}.{name}"), "no policy uses it");
        }
    }
}

/// All sets by table and name.
fn set_names(sets: &SetDefs) -> Vec<(&'static str, &str)> {
    fn names<'s, T>(
        table: &'static str,
        sets: &'s BTreeMap<String, T>,
    ) -> impl Iterator<Item = (&'static str, &'s str)> {
        sets.keys().map(move |name| (table, name.as_str()))
    }
    names("prefix-set", &sets.prefix_sets)
        .chain(names("community-set", &sets.community_sets))
        .chain(names("as-set", &sets.as_sets))
        .chain(names("as-path-set", &sets.as_path_sets))
        .collect()
}

/// The sets that policies refer to, by table and name.
pub(super) fn used_sets<'d>(
    policies: impl Iterator<Item = &'d PolicyDef>,
) -> BTreeSet<(&'static str, &'d str)> {
    let mut used = BTreeSet::new();
    for statement in policies.flat_map(|policy| &policy.statements) {
        let matches = &statement.matches;
        for (table, names) in [
            ("prefix-set", &matches.prefix.sets),
            ("prefix-set", &matches.next_hop.sets),
            ("as-path-set", &matches.as_path.sets),
            ("as-set", &matches.origin_as.sets),
            ("as-set", &matches.neighbor_as.sets),
            ("as-set", &matches.as_path_contains.sets),
            ("community-set", &matches.community.sets),
            ("community-set", &statement.set.community.remove_sets),
        ] {
            used.extend(names.iter().map(|name| (table, name.as_str())));
        }
    }
    used
}

/// Keys that everybody on the machine can read are no secrets.
fn warn_readable_keys(path: &Path, config: &Config, reader: &mut Reader) {
    use std::os::unix::fs::PermissionsExt;
    let with_key = config
        .peers
        .iter()
        .any(|peer| peer.connection.md5.is_some());
    let mode = std::fs::metadata(path).map_or(0, |file| file.permissions().mode());
    if with_key && mode & 0o004 != 0 {
        reader.warn(
            0,
            "",
            "everybody can read this file, and peers have MD5 keys (chmod o-r)",
        );
    }
}
