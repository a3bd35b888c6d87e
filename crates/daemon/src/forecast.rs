//! What a changed configuration would do to sessions, routes and limits, before it is in force.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use anyhow::Result;
use thruway_api::{Effect, Forecast, LimitForecast, Move, Proposal, RouteCounts, SessionChange};
use thruway_config::{Config, Diff, MaxPrefixes, Peer as PeerFile, PeerChange};
use thruway_control::Refused;
use thruway_engine::status::PeerStatus;
use thruway_exchange::{HOST_POLICY, Kind, Preference, cell, eligibility};
use thruway_rib::{Eligibility, Filter, LimitAction, PeerId, Query};
use thruway_wire::{Family, Prefix};

use super::bus::Bus;
use super::daemon::Daemon;
use super::describe::action_name;
use super::members::matrix;
use super::switch::{file_of, kind_of};
use super::view::Snapshot;

/// What a file would do if it were put in force.
///
/// # Errors
/// What is wrong with it, or that a worker does not answer.
pub(super) async fn check(daemon: &Daemon, proposal: Proposal) -> Result<Forecast, Refused> {
    let old = daemon.config();
    let path = old.path.clone();
    // Read as if the running file held the text: what depends on its place does not change.
    let new = tokio::task::spawn_blocking(move || Config::propose(&path, &proposal.text))
        .await
        .map_err(anyhow::Error::from)?
        .map_err(Refused::bad)?;
    Ok(forecast(daemon, &old, &new).await?)
}

async fn forecast(daemon: &Daemon, old: &Config, new: &Config) -> Result<Forecast> {
    let diff = Diff::new(old, new);
    let snapshot = daemon.snapshot().await?;
    let mut forecast = Forecast {
        restart: texts(&diff.restart),
        server: texts(&diff.server),
        exchange: texts(&diff.exchange),
        policies: policies(&diff),
        added: diff.added.clone(),
        removed: diff
            .removed
            .iter()
            .map(|name| session_change(&snapshot, name, &[]))
            .collect(),
        reset: changes(&snapshot, &diff.reset),
        in_place: changes(&snapshot, &diff.in_place),
        ..Forecast::default()
    };
    let survey = Survey::take(daemon.bus(), old, &snapshot).await?;
    let on = network(daemon, old, new, &survey, &mut forecast).await?;
    forecast.limits = limits(daemon, old, new, &snapshot, &survey, on);
    if !forecast.restart.is_empty() {
        let note = "the running server refuses this file; it takes a restart".to_owned();
        forecast.notes.push(note);
    }
    Ok(forecast)
}

/// The operator's own that change.
fn policies(diff: &Diff) -> Vec<String> {
    let own = diff.policies.iter().filter(|name| *name != HOST_POLICY);
    own.cloned().collect()
}

fn texts(keys: &[&'static str]) -> Vec<String> {
    keys.iter().map(|key| (*key).to_owned()).collect()
}

fn changes(snapshot: &Snapshot, changes: &[PeerChange]) -> Vec<SessionChange> {
    let one = |change: &PeerChange| session_change(snapshot, &change.name, &change.keys);
    changes.iter().map(one).collect()
}

/// A changed peer or range with its Established sessions.
fn session_change(snapshot: &Snapshot, name: &str, keys: &[&'static str]) -> SessionChange {
    let mine = snapshot.peers().filter(|peer| is_of(peer, name));
    let up = mine.filter(|peer| peer.since.is_some());
    SessionChange {
        name: name.to_owned(),
        keys: texts(keys),
        sessions: up.map(|peer| peer.name.to_string()).collect(),
    }
}

/// True for the peer of this name, and for those of the range of this name.
fn is_of(peer: &PeerStatus, name: &str) -> bool {
    peer.range.as_deref().unwrap_or(&peer.name) == name
}

/// The switch, the preference and the network's prefixes. The switch's position then, and now.
async fn network(
    daemon: &Daemon,
    old: &Config,
    new: &Config,
    survey: &Survey,
    forecast: &mut Forecast,
) -> Result<Option<(bool, bool)>> {
    let (Some(running), Some(before), Some(after)) =
        (daemon.network(), &old.exchange, &new.exchange)
    else {
        return Ok(None);
    };
    let now = running.position().switch.enabled;
    // The file's word counts where it is a new one.
    let then = if before.enabled == after.enabled {
        now
    } else {
        after.enabled
    };
    let name = |on: bool| if on { "on" } else { "off" }.to_owned();
    if now != then {
        forecast.switch = Some(Move {
            from: name(now),
            to: name(then),
        });
    }
    if after.enabled != then {
        forecast.notes.push(format!(
            "route exchange stays {}: a command said so, and `enabled` does not change in the file",
            name(then)
        ));
    }
    if before.preference != after.preference {
        forecast.preference = Some(Move {
            from: before.preference.as_str().to_owned(),
            to: after.preference.as_str().to_owned(),
        });
        forecast.contested = survey.contested(before.preference, after.preference);
    }
    let prefixes = |vnet: &thruway_exchange::Vnet| -> BTreeSet<String> {
        vnet.all_prefixes().map(|it| it.to_string()).collect()
    };
    let (had, has) = (prefixes(&before.vnet), prefixes(&after.vnet));
    forecast.vnet_added = has.difference(&had).cloned().collect();
    forecast.vnet_removed = had.difference(&has).cloned().collect();
    if now != then {
        let today = matrix(&daemon.bus().tally(None).await?, now);
        let matrix_then = Eligibility(eligibility(then));
        let tomorrow = matrix(&daemon.bus().tally(Some(matrix_then)).await?, then);
        for (now, then) in today.iter().zip(&tomorrow) {
            if now.prefixes != then.prefixes {
                forecast.effects.push(Effect {
                    from: now.from,
                    to: now.to,
                    now: now.prefixes,
                    then: then.prefixes,
                });
            }
        }
    }
    Ok(Some((now, then)))
}

/// Which kinds know each prefix.
#[derive(Default)]
struct Survey {
    prefixes: HashMap<Prefix, Known>,
}

#[derive(Default)]
struct Known {
    /// Bit n: the n-th kind.
    kinds: u8,
    /// By kind: whose path it is, if it is one peer's.
    only: [Option<Owner>; 4],
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Owner {
    One(PeerId),
    Many,
}

impl Survey {
    /// Asks for all routes; nothing outside of exchange mode.
    async fn take(bus: &Arc<Bus>, config: &Config, snapshot: &Snapshot) -> Result<Self> {
        let mut survey = Survey::default();
        if config.exchange.is_none() {
            return Ok(survey);
        }
        let kinds: HashMap<PeerId, Kind> = snapshot
            .peers()
            .filter_map(|peer| Some((peer.peer, kind_of(config, peer)?)))
            .collect();
        let mut rows = bus.query(Query::Routes(Filter::All(None)))?;
        while let Some(piece) = rows.next().await {
            for row in piece? {
                let Some(kind) = kinds.get(&row.peer).filter(|_| row.rejection.is_none()) else {
                    continue;
                };
                survey.add(row.prefix, row.peer, *kind);
            }
        }
        Ok(survey)
    }

    /// One accepted path.
    fn add(&mut self, prefix: Prefix, peer: PeerId, kind: Kind) {
        let known = self.prefixes.entry(prefix).or_default();
        known.kinds |= 1 << (kind as usize);
        if let Some(owner) = known.only.get_mut(kind as usize) {
            *owner = Some(match owner {
                Some(Owner::One(first)) if *first != peer => Owner::Many,
                Some(Owner::Many) => Owner::Many,
                _ => Owner::One(peer),
            });
        }
    }

    /// Prefixes for which another kind of source would win.
    fn contested(&self, before: Preference, after: Preference) -> u64 {
        let winners = |preference: Preference, known: &Known| {
            let mine = |kind: &Kind| known.kinds >> (*kind as usize) & 1 == 1;
            let present: Vec<Kind> = Kind::ALL.into_iter().filter(mine).collect();
            let top = present.iter().map(|kind| preference.rank(*kind)).max();
            let is_top = |kind: &Kind| Some(preference.rank(*kind)) == top;
            present
                .into_iter()
                .filter(is_top)
                .fold(0u8, |mask, kind| mask | 1 << (kind as usize))
        };
        let known = self.prefixes.values();
        known
            .filter(|known| winners(before, known) != winners(after, known))
            .count() as u64
    }

    /// Prefixes of a family that a peer of a kind would be told, before limits and policies.
    fn told(&self, peer: PeerId, kind: Kind, family: Family, on: bool) -> u64 {
        let allowed = Kind::ALL.map(|from| cell(from, kind).allows(on));
        let is_told = |known: &Known| {
            let sources = allowed.iter().zip(&known.only);
            sources
                .filter(|(allowed, _)| **allowed)
                .any(|(_, owner)| owner.is_some_and(|owner| owner != Owner::One(peer)))
        };
        let mine = self.prefixes.iter();
        mine.filter(|(prefix, known)| prefix.family() == family && is_told(known))
            .count() as u64
    }
}

/// Every limit of the new file against what counts, for sessions that are there.
fn limits(
    daemon: &Daemon,
    old: &Config,
    new: &Config,
    snapshot: &Snapshot,
    survey: &Survey,
    on: Option<(bool, bool)>,
) -> Vec<LimitForecast> {
    let mut list = Vec::new();
    for status in snapshot.peers().filter(|peer| peer.since.is_some()) {
        let after = file_of(new, &status.name, status.range.as_deref());
        let Some(after) = after else { continue };
        let mut peers = [snapshot.peer(status)];
        daemon.fill_in_configured(&mut peers);
        let [peer] = peers;
        let kind = kind_of(old, status);
        let agreed = status.negotiated.as_ref().map(|it| it.families);
        let agreed = agreed.unwrap_or_default();
        for (family, counts) in [(Family::Ipv4, &peer.ipv4), (Family::Ipv6, &peer.ipv6)] {
            if !agreed.contains(family) {
                continue;
            }
            list.extend(received(after, &peer.name, family, counts));
            let told = match (kind, on) {
                (Some(kind), Some((now, then))) if now != then => {
                    survey.told(status.peer, kind, family, then)
                }
                _ => counts.advertised + counts.held_back,
            };
            list.extend(advertised(after, &peer.name, family, told));
        }
    }
    list.sort_by(|a, b| (&a.peer, &a.key, &a.family).cmp(&(&b.peer, &b.key, &b.family)));
    list
}

fn received(
    file: &PeerFile,
    peer: &str,
    family: Family,
    counts: &RouteCounts,
) -> Option<LimitForecast> {
    let limit = file.import.max_prefixes.get(family.index()).copied()??;
    let count = if limit.accepted_only {
        counts.accepted
    } else {
        counts.received
    };
    let over = count.saturating_sub(limit.limit.into());
    let effect = match (over, limit.action) {
        (0, _) => return Some(within(peer, "max-prefixes", family, limit, count)),
        (_, LimitAction::Warn) => format!("warns: {over} over the limit"),
        (_, LimitAction::Block) => {
            format!(
                "no further prefix is taken until {} are withdrawn",
                over + 1
            )
        }
        (_, LimitAction::Restart) => format!("the session ends: {over} over the limit"),
    };
    Some(exceeded(peer, "max-prefixes", family, limit, count, effect))
}

fn advertised(file: &PeerFile, peer: &str, family: Family, count: u64) -> Option<LimitForecast> {
    let limit = file.export.max_advertised.get(family.index()).copied()??;
    let over = count.saturating_sub(limit.limit.into());
    let effect = match (over, limit.action) {
        (0, _) => return Some(within(peer, "max-advertised", family, limit, count)),
        (_, LimitAction::Warn) => format!("warns: {over} over the limit, all are advertised"),
        (_, LimitAction::Block) => format!("{over} are held back"),
        (_, LimitAction::Restart) => format!("the session ends: {over} over the limit"),
    };
    let key = "max-advertised";
    Some(exceeded(peer, key, family, limit, count, effect))
}

/// Not over the limit.
fn within(peer: &str, key: &str, family: Family, limit: MaxPrefixes, count: u64) -> LimitForecast {
    let near = count >= u64::from(limit.warn_at);
    let effect = if near { "warns" } else { "fits" };
    let mut forecast = exceeded(peer, key, family, limit, count, effect.to_owned());
    forecast.fits = !near;
    forecast
}

fn exceeded(
    peer: &str,
    key: &str,
    family: Family,
    limit: MaxPrefixes,
    count: u64,
    effect: String,
) -> LimitForecast {
    LimitForecast {
        peer: peer.to_owned(),
        key: key.to_owned(),
        family: family.to_string(),
        limit: limit.limit,
        warn_at: limit.warn_at,
        action: action_name(limit.action).to_owned(),
        count,
        fits: false,
        effect,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NVA: PeerId = PeerId(1);
    const EXPRESS_ROUTE: PeerId = PeerId(2);
    const VPN: PeerId = PeerId(3);

    fn survey(paths: &[(&str, PeerId, Kind)]) -> Survey {
        let mut survey = Survey::default();
        for (prefix, peer, kind) in paths {
            survey.add(prefix.parse().expect("a prefix"), *peer, *kind);
        }
        survey
    }

    #[test]
    fn a_peer_is_told_what_its_cell_allows_and_not_its_own() {
        let survey = survey(&[
            ("10.1.0.0/16", NVA, Kind::Nva),
            ("10.2.0.0/16", EXPRESS_ROUTE, Kind::ExpressRoute),
            ("10.3.0.0/16", NVA, Kind::Nva),
            ("10.3.0.0/16", PeerId(9), Kind::Nva),
            ("fd00::/16", EXPRESS_ROUTE, Kind::ExpressRoute),
        ]);
        let told = |peer, kind, family, on| survey.told(peer, kind, family, on);
        assert_eq!(told(NVA, Kind::Nva, Family::Ipv4, false), 1);
        assert_eq!(told(NVA, Kind::Nva, Family::Ipv4, true), 2);
        assert_eq!(told(NVA, Kind::Nva, Family::Ipv6, true), 1);
        assert_eq!(told(VPN, Kind::Vpn, Family::Ipv4, false), 0);
        assert_eq!(told(VPN, Kind::Vpn, Family::Ipv4, true), 3);
        let express_route = told(EXPRESS_ROUTE, Kind::ExpressRoute, Family::Ipv4, true);
        assert_eq!(express_route, 2);
    }

    #[test]
    fn a_preference_matters_where_kinds_meet() {
        let survey = survey(&[
            ("10.1.0.0/16", NVA, Kind::Nva),
            ("10.1.0.0/16", EXPRESS_ROUTE, Kind::ExpressRoute),
            ("10.2.0.0/16", VPN, Kind::Vpn),
            ("10.2.0.0/16", NVA, Kind::Nva),
            ("10.3.0.0/16", VPN, Kind::Vpn),
        ]);
        let contested = |before, after| survey.contested(before, after);
        assert_eq!(contested(Preference::ExpressRoute, Preference::Vpn), 1);
        assert_eq!(contested(Preference::Vpn, Preference::AsPath), 1);
        assert_eq!(contested(Preference::Vpn, Preference::Vpn), 0);
    }
}
