//! What a changed configuration would do to keys, sessions, routes and limits, before it is in force.
//!
//! Workers say what becomes of each session, by the rule that a reload follows; shards say what becomes of
//! routes, by the code that a reload runs. What a limit then ends is asked once more.

mod list;
mod taken;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use anyhow::Result;
use thruway_api::{
    Effect, LimitForecast, Move, Peer, Plan, PlannedExpectation, PlannedKey, PlannedRoutes,
    Proposal, RouteCounts, SessionChange,
};
use thruway_config::{Config, Diff, MaxPrefixes, Peer as PeerFile, PeerChange};
use thruway_control::Refused;
use thruway_engine::status::PeerStatus;
use thruway_engine::{Comes, Outlook, propose};
use thruway_exchange::{HOST_POLICY, eligibility};
use thruway_rib::{
    Eligibility, ExportCount, Foreseen, ImportCount, LimitAction, PeerId, ProposedRoute,
    WatchCount, Watched,
};
use thruway_wire::attrs::AttrSet;
use thruway_wire::{Family, NextHop, Prefix};

use super::change::aside;
use super::daemon::Daemon;
use super::describe::action_name;
use super::expect::{self, Sessions};
use super::local::LOCAL_NAME;
use super::members::matrix;
use super::reload::Dynamic;
use super::switch::file_of;
use super::view::Snapshot;
use list::Listed;
use taken::Taking;

/// What the network's own session is called where it stands for its hosts.
pub(super) const HOSTS: &str = "hosts";
/// How often limits that end sessions are followed up: each may make room for another.
const ROUNDS_MAX: usize = 4;

/// What a file would do if it were put in force.
///
/// # Errors
/// What is wrong with it, or that a worker does not answer.
pub(super) async fn plan(daemon: &Daemon, proposal: Proposal) -> Result<Plan, Refused> {
    let old = daemon.config();
    let running = Arc::clone(&old);
    let files = match proposal.text {
        Some(_) => Named::Unread,
        None => Named::Read,
    };
    // Read as if the running file held the text: what depends on its place does not change.
    let read = move || match proposal.text {
        Some(text) => running.reload_from(&text),
        None => running.reload(),
    };
    let (new, diff) = aside(read).await?.map_err(Refused::bad)?;
    let plan = of_change(daemon, &old, (&new, files), &diff, proposal.peer.as_deref()).await;
    drop(new);
    thruway_net::give_back_all_memory();
    plan
}

/// Whether files that a configuration names are looked into: tokens, certificates and keys of the API.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Named {
    /// It is this machine's operator's.
    Read,
    /// It came over the API, and whoever sent it must not see with the server's eyes.
    Unread,
}

/// What a change from one configuration to another would do; with the routes of one peer.
pub(super) async fn of_change(
    daemon: &Daemon,
    old: &Config,
    (new, files): (&Config, Named),
    diff: &Diff,
    peer: Option<&str>,
) -> Result<Plan, Refused> {
    let snapshot = daemon.snapshot().await?;
    let listed = peer
        .map(|name| listed(daemon, &snapshot, name))
        .transpose()?;
    let mut plan = described(&snapshot, diff);
    let on = network(daemon, old, new, &mut plan).await?;
    plan.running = daemon.changes.number();
    let unread = files == Named::Unread && other_files(old, new);
    if unread {
        let note = "the API's tokens, certificate or key are in other files: whether they are good shows when \
                    the change is made";
        plan.notes.push(note.to_owned());
    } else if let Err(error) = Daemon::prepare(new, diff)
        && plan.restart.is_empty()
    {
        plan.refused = Some(format!("{error:#}"));
    }
    if !plan.restart.is_empty() {
        let note = "the running server refuses this file; it takes a restart".to_owned();
        plan.notes.push(note);
    } else {
        let question = Question {
            daemon,
            old,
            new,
            diff,
            snapshot: &snapshot,
            on,
            asked: expect::asked(new, &snapshot),
        };
        let answer = question.ask(listed).await?;
        answer.into_plan(&question, &mut plan);
    }
    for name in plan.added.clone() {
        let text =
            format!("{name} is new: what it announces and is told is known when its session is up");
        plan.notes.push(text);
    }
    plan.changes = !diff.is_empty() || plan.switch.is_some();
    Ok(plan)
}

/// True where the API's files are others than those that the server has read.
fn other_files(old: &Config, new: &Config) -> bool {
    let of = |config: &Config| {
        let server = &config.server;
        (server.api_tokens.clone(), server.api_tls.clone())
    };
    of(old) != of(new)
}

/// The peer whose routes are listed.
fn listed(daemon: &Daemon, snapshot: &Snapshot, name: &str) -> Result<PeerId, Refused> {
    let wanted = if name == HOSTS { LOCAL_NAME } else { name };
    match daemon.find_peers(snapshot, wanted).as_slice() {
        [] => Err(Refused::Unknown(format!(
            "no peer has the name or address `{name}`"
        ))),
        [one] => Ok(one.peer),
        all => {
            let names: Vec<&str> = all.iter().map(|peer| &*peer.name).collect();
            let names = names.join(", ");
            Err(Refused::bad(format!(
                "{name} has several sessions: {names}"
            )))
        }
    }
}

/// What the difference says without a look at any route.
fn described(snapshot: &Snapshot, diff: &Diff) -> Plan {
    Plan {
        restart: texts(&diff.restart),
        server: texts(&diff.server),
        exchange: texts(&diff.exchange),
        policies: policies(diff),
        expect: diff.expectations(),
        added: diff.added.clone(),
        removed: diff
            .removed
            .iter()
            .map(|name| session_change(snapshot, name, &[]))
            .collect(),
        reset: changes(snapshot, &diff.reset),
        in_place: changes(snapshot, &diff.in_place),
        // Some keys stand for tables whose short form may be the same.
        keys: diff
            .keys
            .iter()
            .filter(|change| change.from != change.to)
            .map(planned_key)
            .collect(),
        ..Plan::default()
    }
}

fn planned_key(change: &thruway_config::KeyChange) -> PlannedKey {
    PlannedKey {
        place: change.place.clone(),
        key: change.key.to_owned(),
        effect: change.effect.as_str().to_owned(),
        from: change.from.clone(),
        to: change.to.clone(),
    }
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

/// The switch, the preference and the network's prefixes. The switch's position then, where there is one.
async fn network(
    daemon: &Daemon,
    old: &Config,
    new: &Config,
    plan: &mut Plan,
) -> Result<Option<bool>> {
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
    let moved = |from: String, to: String| (from != to).then_some(Move { from, to });
    plan.switch = moved(name(now), name(then));
    if after.enabled != then {
        plan.notes.push(format!(
            "route exchange stays {}: a command said so, and `enabled` does not change in the file",
            name(then)
        ));
    }
    let preference = |of: &thruway_config::Exchange| of.preference.as_str().to_owned();
    plan.preference = moved(preference(before), preference(after));
    let prefixes = |vnet: &thruway_exchange::Vnet| -> BTreeSet<String> {
        vnet.all_prefixes().map(|it| it.to_string()).collect()
    };
    let (had, has) = (prefixes(&before.vnet), prefixes(&after.vnet));
    plan.vnet_added = has.difference(&had).cloned().collect();
    plan.vnet_removed = had.difference(&has).cloned().collect();
    if now != then {
        let today = matrix(&daemon.bus().tally(None).await?, now);
        let matrix_then = Eligibility(eligibility(then));
        let tomorrow = matrix(&daemon.bus().tally(Some(matrix_then)).await?, then);
        for (now, then) in today.iter().zip(&tomorrow) {
            if now.prefixes != then.prefixes {
                plan.effects.push(Effect {
                    from: now.from,
                    to: now.to,
                    now: now.prefixes,
                    then: then.prefixes,
                });
            }
        }
    }
    Ok(Some(then))
}

/// A change, and the server that it would be made on.
struct Question<'a> {
    daemon: &'a Daemon,
    old: &'a Config,
    new: &'a Config,
    diff: &'a Diff,
    snapshot: &'a Snapshot,
    /// The switch's position then.
    on: Option<bool>,
    /// What is expected then.
    asked: Vec<expect::Asked<'a>>,
}

/// What workers and shards say to it.
struct Answer {
    outlooks: Vec<Outlook>,
    counts: Counts,
    /// Sessions that a limit ends, and which.
    down: BTreeMap<PeerId, String>,
    limits: Vec<LimitForecast>,
    listed: Option<Listed>,
    /// What is watched, as it is and as it would be.
    watched: [Vec<WatchCount>; 2],
}

/// All shards' counts.
#[derive(Default)]
struct Counts {
    imports: BTreeMap<PeerId, [ImportCount; 2]>,
    exports: BTreeMap<PeerId, [ExportCount; 2]>,
}

impl Counts {
    fn add(&mut self, foreseen: &Foreseen) {
        for (peer, families) in &foreseen.imports {
            let sums = self.imports.entry(*peer).or_default();
            for (sum, part) in sums.iter_mut().zip(families) {
                sum.accepted += part.accepted;
                sum.rejected += part.rejected;
                sum.changed += part.changed;
                sum.gone += part.gone;
                sum.gone_accepted += part.gone_accepted;
                sum.new += part.new;
            }
        }
        for (peer, families) in &foreseen.exports {
            let sums = self.exports.entry(*peer).or_default();
            for (sum, part) in sums.iter_mut().zip(families) {
                sum.announced += part.announced;
                sum.changed += part.changed;
                sum.withdrawn += part.withdrawn;
                sum.prefixes_new += part.prefixes_new;
                sum.prefixes_gone += part.prefixes_gone;
            }
        }
    }

    fn import(&self, peer: PeerId, family: Family) -> ImportCount {
        let of = self.imports.get(&peer);
        of.and_then(|it| it.get(family.index()))
            .copied()
            .unwrap_or_default()
    }

    fn export(&self, peer: PeerId, family: Family) -> ExportCount {
        let of = self.exports.get(&peer);
        of.and_then(|it| it.get(family.index()))
            .copied()
            .unwrap_or_default()
    }
}

impl Question<'_> {
    async fn ask(&self, list: Option<PeerId>) -> Result<Answer> {
        let dynamic = Dynamic::all(self.snapshot);
        let policies = &self.diff.policies;
        let changes = self
            .daemon
            .proposed(self.old, self.new, policies, &dynamic)?;
        let outlooks = self.daemon.bus().outlook(changes).await?;
        let mut answer = Answer {
            outlooks,
            counts: Counts::default(),
            down: BTreeMap::new(),
            limits: Vec::new(),
            listed: None,
            watched: Default::default(),
        };
        for _ in 0..ROUNDS_MAX {
            self.round(&mut answer, list).await?;
            let before = answer.down.len();
            let ended = self.limits(&mut answer);
            answer.down.extend(ended);
            if answer.down.len() == before {
                break;
            }
        }
        Ok(answer)
    }

    /// Asks all shards.
    async fn round(&self, answer: &mut Answer, list: Option<PeerId>) -> Result<()> {
        let down: Vec<PeerId> = answer.down.keys().copied().collect();
        let eligibility = self.on.map(|on| Eligibility(eligibility(on)));
        let mut proposal = propose(&answer.outlooks, &down, eligibility);
        proposal.routes = self.network_routes();
        proposal.list = list;
        proposal.watches = expect::watches(&self.asked);
        let none = WatchCount::none(&proposal.watches);
        let mut listed = list.map(|_| Listed::new(self.snapshot.names()));
        let foreseen = self
            .daemon
            .bus()
            .plan(Arc::new(proposal), |row| {
                if let Some(listed) = &mut listed {
                    listed.push(&row);
                }
                Ok(())
            })
            .await?;
        answer.counts = Counts::default();
        foreseen.iter().for_each(|part| answer.counts.add(part));
        answer.listed = listed;
        answer.watched = [none.clone(), none];
        for part in foreseen.iter().filter_map(|part| part.watched.as_ref()) {
            let [now, then] = &mut answer.watched;
            WatchCount::add_all(now, &part.now);
            WatchCount::add_all(then, &part.then);
            WatchCount::add_all(then, &part.now);
        }
        Ok(())
    }

    /// What the network itself would announce otherwise.
    fn network_routes(&self) -> Vec<ProposedRoute> {
        let (Some(before), Some(after)) = (&self.old.exchange, &self.new.exchange) else {
            return Vec::new();
        };
        let local = self.snapshot.peers().find(|peer| *peer.name == *LOCAL_NAME);
        let Some(peer) = local.map(|peer| peer.peer) else {
            return Vec::new();
        };
        let routes = |vnet: &thruway_exchange::Vnet| -> BTreeMap<Prefix, NextHop> {
            vnet.routes().collect()
        };
        let (had, has) = (routes(&before.vnet), routes(&after.vnet));
        let prefixes: BTreeSet<&Prefix> = had.keys().chain(has.keys()).collect();
        let differ = prefixes.into_iter().filter(|it| had.get(it) != has.get(it));
        let routes = differ.map(|prefix| ProposedRoute {
            peer,
            prefix: *prefix,
            set: has
                .get(prefix)
                .map(|hop| AttrSet::new(thruway_hosts::attributes(*hop).as_ref())),
        });
        routes.collect()
    }

    /// Every limit of the new file against what would count; the sessions that one of them ends.
    fn limits(&self, answer: &mut Answer) -> BTreeMap<PeerId, String> {
        let mut ended = BTreeMap::new();
        let mut list = Vec::new();
        for status in self.snapshot.peers().filter(|peer| peer.since.is_some()) {
            let file = file_of(self.new, &status.name, status.range.as_deref());
            let Some(file) = file else { continue };
            let peer = self.snapshot.peer(status);
            let agreed = status.negotiated.as_ref().map(|it| it.families);
            let agreed = agreed.unwrap_or_default();
            for family in Family::ALL {
                let now = routes_of(&peer, family);
                if !agreed.contains(family) {
                    continue;
                }
                let import = answer.counts.import(status.peer, family);
                let then = (received_then(now, &import), accepted_then(now, &import));
                let export = answer.counts.export(status.peer, family);
                let told = wanted(now, &export);
                let own = [
                    received(file, &peer.name, family, then),
                    advertised(file, &peer.name, family, told),
                ];
                for limit in own.into_iter().flatten() {
                    if limit.action == "restart" && limit.count > u64::from(limit.limit) {
                        ended.insert(status.peer, limit.key.clone());
                    }
                    // What a session that goes would have had counts for nothing.
                    if !answer.down.contains_key(&status.peer) {
                        list.push(limit);
                    }
                }
            }
        }
        let kept = answer.limits.drain(..);
        let of_ended = kept.filter(|limit| {
            let is = |id: &PeerId| {
                self.snapshot
                    .get(*id)
                    .is_some_and(|it| *it.name == *limit.peer)
            };
            answer.down.keys().any(is)
        });
        list.extend(of_ended.collect::<Vec<_>>());
        list.sort_by(|a, b| (&a.peer, &a.key, &a.family).cmp(&(&b.peer, &b.key, &b.family)));
        answer.limits = list;
        ended
    }
}

fn routes_of(peer: &Peer, family: Family) -> &RouteCounts {
    match family {
        Family::Ipv4 => &peer.ipv4,
        Family::Ipv6 => &peer.ipv6,
    }
}

fn received_then(now: &RouteCounts, import: &ImportCount) -> u64 {
    (now.received + import.new).saturating_sub(import.gone)
}

fn accepted_then(now: &RouteCounts, import: &ImportCount) -> u64 {
    (now.accepted + import.accepted).saturating_sub(import.rejected + import.gone_accepted)
}

/// Prefixes that would be advertised, were there no limit.
fn wanted(now: &RouteCounts, export: &ExportCount) -> u64 {
    (now.advertised + export.prefixes_new).saturating_sub(export.prefixes_gone)
}

impl Answer {
    fn into_plan(self, question: &Question<'_>, plan: &mut Plan) {
        for outlook in &self.outlooks {
            let Some(status) = question.snapshot.get(outlook.peer) else {
                continue;
            };
            let file = file_of(question.new, &status.name, status.range.as_deref());
            let peer = question.snapshot.peer(status);
            let session = self.session(outlook);
            for family in Family::ALL {
                let now = routes_of(&peer, family);
                let mut routes = self.routes(outlook.peer, family, now);
                let limit =
                    file.and_then(|file| *file.export.max_advertised.get(family.index())?);
                within_limit(
                    &mut routes,
                    limit,
                    now,
                    &self.counts.export(outlook.peer, family),
                );
                if let Some(file) = file {
                    let before = file_of(question.old, &status.name, status.range.as_deref());
                    let limit =
                        |file: &PeerFile| file.import.max_prefixes.get(family.index()).copied()?;
                    let taking = Taking {
                        limits: [before.and_then(limit), limit(file)],
                        now,
                        import: &self.counts.import(outlook.peer, family),
                        anew: outlook.comes == Some(Comes::Reset),
                    };
                    plan.notes.extend(taking.apply(&outlook.name, &mut routes));
                }
                let counts = [
                    routes.announced,
                    routes.changed,
                    routes.withdrawn,
                    routes.newly_accepted,
                    routes.newly_rejected,
                    routes.accepted_changed,
                    routes.gone,
                ];
                if counts.iter().all(|count| *count == 0) {
                    continue;
                }
                routes.peer = match *outlook.name == *LOCAL_NAME && question.on.is_some() {
                    true => HOSTS.to_owned(),
                    false => outlook.name.to_string(),
                };
                routes.session.clone_from(&session);
                plan.routes.push(routes);
            }
            let accepted = peer.ipv4.accepted + peer.ipv6.accepted;
            plan.notes.extend(away(outlook, accepted));
            plan.notes.extend(notes(outlook, status));
        }
        plan.routes
            .sort_by(|a, b| (&a.peer, &a.family).cmp(&(&b.peer, &b.family)));
        plan.expectations = self.expectations(question);
        plan.limits = self.limits;
        if let Some(listed) = self.listed {
            (plan.listed, plan.not_listed) = listed.into_rows();
            list_under_limit(plan);
        }
    }

    /// What becomes of what is expected.
    fn expectations(&self, question: &Question<'_>) -> Vec<PlannedExpectation> {
        let Question {
            old,
            new,
            diff,
            snapshot,
            asked,
            ..
        } = question;
        let ends = |outlook: &&Outlook| {
            let gone = matches!(outlook.comes, None | Some(Comes::Stopped));
            gone || outlook.refused.is_some() || self.down.contains_key(&outlook.peer)
        };
        let ended = self.outlooks.iter().filter(ends);
        let refused = ended.clone().filter(|outlook| outlook.refused.is_some());
        let mut fresh: BTreeSet<String> = diff.added.iter().cloned().collect();
        fresh.extend(diff.reset.iter().map(|change| change.name.clone()));
        for outlook in refused {
            fresh.remove(&*outlook.name);
        }
        let sessions = Sessions {
            down: ended.map(|outlook| outlook.peer).collect(),
            fresh,
        };
        let [now, then] = &self.watched;
        let now = expect::judge(asked, now, old, snapshot, &Sessions::default());
        let mut limited = then.clone();
        let counted = asked.iter().filter(|one| one.watch().is_some());
        for (one, count) in counted.zip(&mut limited) {
            one.limit(count, |watched, peer, families| match watched {
                Watched::Advertised => self.capped(question, peer, families),
                Watched::Accepted => self.taken(question, peer, families),
                Watched::Best => None,
            });
        }
        let then = expect::judge(asked, &limited, new, snapshot, &sessions);
        expect::planned(asked, now, then)
    }

    /// How many prefixes of these families a receiver would be advertised, where a limit holds some back.
    fn capped(&self, question: &Question<'_>, of: &PeerStatus, families: &[Family]) -> Option<u64> {
        let file = file_of(question.new, &of.name, of.range.as_deref())?;
        let peer = question.snapshot.peer(of);
        let limit = |family: Family| {
            let limit = file.export.max_advertised.get(family.index()).copied()?;
            limit.filter(|limit| limit.action == LimitAction::Block)
        };
        families.iter().copied().find_map(limit)?;
        let then = families.iter().map(|family| {
            let now = routes_of(&peer, *family);
            let mut routes = self.routes(of.peer, *family, now);
            let export = self.counts.export(of.peer, *family);
            within_limit(&mut routes, limit(*family), now, &export);
            routes.advertised_then
        });
        Some(then.sum())
    }

    /// How many prefixes of these families a limit lets be accepted from a peer, where one bounds them.
    fn taken(&self, question: &Question<'_>, of: &PeerStatus, families: &[Family]) -> Option<u64> {
        let file = file_of(question.new, &of.name, of.range.as_deref())?;
        let peer = question.snapshot.peer(of);
        let outlook = self.outlooks.iter().find(|it| it.peer == of.peer);
        let anew = outlook.is_some_and(|it| it.comes == Some(Comes::Reset));
        let then = families.iter().map(|family| {
            let now = routes_of(&peer, *family);
            let import = self.counts.import(of.peer, *family);
            let limit = file.import.max_prefixes.get(family.index()).copied()?;
            let limits = [None, limit];
            let taking = Taking {
                limits,
                now,
                import: &import,
                anew,
            };
            let all = accepted_then(now, &import);
            Some((taking.accepted(all), all))
        });
        let then = then
            .flatten()
            .fold((0, 0), |sum, it| (sum.0 + it.0, sum.1 + it.1));
        (then.0 < then.1).then_some(then.0)
    }

    fn session(&self, outlook: &Outlook) -> Option<String> {
        if let Some(limit) = self.down.get(&outlook.peer) {
            return Some(format!("ends: over {limit}"));
        }
        if let Some(why) = &outlook.refused {
            return Some(format!("ends, and would be refused: {why}"));
        }
        Some(
            match outlook.comes {
                None => "ends: removed",
                Some(Comes::Stopped) => "ends: shut down",
                Some(Comes::Reset) => "ends and comes back",
                _ => return None,
            }
            .to_owned(),
        )
    }

    fn routes(&self, peer: PeerId, family: Family, now: &RouteCounts) -> PlannedRoutes {
        let import = self.counts.import(peer, family);
        let export = self.counts.export(peer, family);
        PlannedRoutes {
            family: family.to_string(),
            advertised_now: now.advertised,
            advertised_then: (now.advertised + export.announced).saturating_sub(export.withdrawn),
            announced: export.announced,
            changed: export.changed,
            withdrawn: export.withdrawn,
            accepted_now: now.accepted,
            accepted_then: accepted_then(now, &import),
            newly_accepted: import.accepted,
            newly_rejected: import.rejected,
            accepted_changed: import.changed,
            gone: import.gone,
            ..PlannedRoutes::default()
        }
    }
}

/// Under a limit the numbers are known, and not which routes they are: the list holds what may come.
fn list_under_limit(plan: &mut Plan) {
    for family in ["ipv4", "ipv6"] {
        let is = |route: &thruway_api::PlannedRoute, mark: char| {
            let of = route.network.family().to_string() == family;
            of && route.direction == "advertised" && route.mark == mark
        };
        let listed =
            |plan: &Plan, mark| plan.listed.iter().filter(|it| is(it, mark)).count() as u64;
        let (candidates, going) = (listed(plan, '+'), listed(plan, '-'));
        let Some(limited) = plan.limits.iter().find(|limit| {
            limit.key == "max-advertised" && limit.action == "block" && limit.family == family
        }) else {
            continue;
        };
        let peer = limited.peer.clone();
        let row = plan
            .routes
            .iter()
            .find(|row| row.peer == peer && row.family == family);
        let Some((announced, withdrawn)) = row.map(|row| (row.announced, row.withdrawn)) else {
            continue;
        };
        if announced == 0 && candidates > 0 {
            plan.listed.retain(|route| !is(route, '+'));
        } else if announced < candidates {
            plan.notes.push(format!(
                "{peer}: max-advertised lets {announced} of the {candidates} {family} routes marked + through: the first"
            ));
        }
        if withdrawn > going {
            plan.notes.push(format!(
                "{peer}: max-advertised takes back {} more {family} routes: the latest",
                withdrawn - going
            ));
        }
    }
}

/// What a limit holds back is not announced, and what is over it is withdrawn.
fn within_limit(
    routes: &mut PlannedRoutes,
    limit: Option<MaxPrefixes>,
    now: &RouteCounts,
    export: &ExportCount,
) {
    let Some(limit) = limit.filter(|limit| limit.action == LimitAction::Block) else {
        return;
    };
    let max = u64::from(limit.limit);
    let kept = now.advertised.saturating_sub(export.prefixes_gone);
    let room = max.saturating_sub(kept);
    routes.announced = routes.announced.min(room);
    routes.withdrawn += kept.saturating_sub(max);
    routes.advertised_then = (now.advertised + routes.announced).saturating_sub(routes.withdrawn);
}

/// What a session that starts anew means besides.
fn away(outlook: &Outlook, accepted: u64) -> Option<String> {
    let anew = outlook.comes == Some(Comes::Reset) && outlook.refused.is_none();
    (anew && outlook.established && accepted > 0).then(|| {
        format!(
            "{}: its {accepted} routes are away until its session is back, unless a graceful restart keeps them",
            outlook.name
        )
    })
}

/// What cannot be known of a session that starts anew.
fn notes(outlook: &Outlook, status: &PeerStatus) -> Option<String> {
    let comes_back = outlook.comes == Some(Comes::Reset) && outlook.refused.is_none();
    let several = status
        .negotiated
        .as_ref()
        .is_some_and(|it| !it.add_path_rx.is_empty());
    (outlook.established && comes_back && several).then(|| {
        format!(
            "{}: its session starts anew; it is taken to send the same routes, under other path identifiers",
            outlook.name
        )
    })
}

fn received(
    file: &PeerFile,
    peer: &str,
    family: Family,
    count_of: (u64, u64),
) -> Option<LimitForecast> {
    let limit = file.import.max_prefixes.get(family.index()).copied()??;
    let (received, accepted) = count_of;
    let count = if limit.accepted_only {
        accepted
    } else {
        received
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

    #[test]
    fn a_limit_holds_back_what_is_new_and_takes_back_what_is_over() {
        let limit = |limit: u32| MaxPrefixes {
            limit,
            warn_at: limit,
            action: LimitAction::Block,
            accepted_only: false,
            restart_after: None,
        };
        let now = RouteCounts {
            advertised: 10,
            ..RouteCounts::default()
        };
        let export = ExportCount {
            announced: 5,
            withdrawn: 2,
            prefixes_new: 5,
            prefixes_gone: 2,
            ..ExportCount::default()
        };
        for (max, announced, withdrawn, then) in [(20, 5, 2, 13), (11, 3, 2, 11), (6, 0, 4, 6)] {
            let mut routes = PlannedRoutes {
                announced: 5,
                withdrawn: 2,
                ..PlannedRoutes::default()
            };
            within_limit(&mut routes, Some(limit(max)), &now, &export);
            let found = (routes.announced, routes.withdrawn, routes.advertised_then);
            assert_eq!(found, (announced, withdrawn, then), "{max}");
        }
    }
}
