//! What another configuration would mean for this worker's peers: asked before it is in force, and by the
//! same rule that puts it in force.

use std::collections::BTreeMap;
use std::sync::Arc;

use ahash::RandomState;
use hashbrown::HashMap;
use serde::{Deserialize, Serialize};
use thruway_rib::{
    Eligibility, Fate, GroupId, GroupProfile, PeerId, PeerProfile, Proposal, ProposedGroup,
};
use thruway_session::{Negotiated, State};
use thruway_wire::FamilySet;

use crate::session::peers::{Peer, Up};
use crate::session::profile::{group_key, group_profile, peer_profile};
use crate::shared::registry::GroupKey;
use crate::{PeerConfig, Worker};

/// What a new configuration does to a peer's session.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Comes {
    /// It goes on.
    InPlace,
    /// It ends, and comes back under what is new.
    Reset,
    /// It ends, and stays down.
    Stopped,
    /// It was held down, and starts.
    Started,
    /// A limit holds it down, and goes on to.
    Limited,
}

/// A peer that would change.
#[derive(Clone, Debug)]
pub struct ConfigChange {
    /// Which.
    pub peer: PeerId,
    /// Its configuration then; `None`: it is removed.
    pub then: Option<Box<PeerConfig>>,
    /// Its session ends in any case, and comes back under that configuration.
    pub anew: bool,
}

/// What would become of one peer.
#[derive(Clone, Debug)]
pub struct Outlook {
    /// Which.
    pub peer: PeerId,
    /// Its name.
    pub name: Arc<str>,
    /// What its configuration does; `None`: it is removed.
    pub comes: Option<Comes>,
    /// Its session is Established now.
    pub established: bool,
    /// Why its session would not come back, as far as its last OPEN says.
    pub refused: Option<String>,
    /// It is one of those that change.
    changed: bool,
    group: Option<GroupId>,
    now: Option<Arc<PeerProfile>>,
    then: Option<Then>,
}

/// A session as it would be.
#[derive(Clone, Debug)]
struct Then {
    profile: Arc<PeerProfile>,
    families: FamilySet,
    key: GroupKey,
    group: Arc<GroupProfile>,
}

impl Peer {
    /// What another configuration would do to the session.
    pub(crate) fn under(&self, config: &PeerConfig) -> Comes {
        let old = &self.config;
        if !self.shutdown && config.shutdown {
            return Comes::Stopped;
        }
        if self.shutdown && !config.shutdown {
            return Comes::Started;
        }
        if self.limited && self.session.state() == State::Idle {
            // It is down for a limit: with another one it may come up at once.
            let limits = |config: &PeerConfig| (config.limits, config.max_advertised);
            let same = limits(old) == limits(config);
            return if same { Comes::Limited } else { Comes::Started };
        }
        // What a connection is made with, and what the peer is to us, are of the whole session.
        let whole = |config: &PeerConfig| (config.addr, config.transport.clone(), config.role);
        if self.session.needs_reset(&config.session)
            || whole(old) != whole(config)
            || self.other_identifiers(config)
        {
            return Comes::Reset;
        }
        Comes::InPlace
    }

    /// True where the peer would move to another group with ADD-PATH: identifiers differ between groups, so
    /// the old group's paths cannot be withdrawn by walking the new one's.
    fn other_identifiers(&self, config: &PeerConfig) -> bool {
        let (Some(negotiated), Some(up)) = (self.session.negotiated(), &self.up) else {
            return false;
        };
        let key = || group_key(config, negotiated, up.local.ip(), up.link);
        !negotiated.add_path_tx.is_empty()
            && up.group.as_ref().is_some_and(|(held, _)| *held != key())
    }
}

impl Worker {
    /// What would become of each peer.
    pub(crate) fn outlook(&self, changes: &[ConfigChange]) -> Vec<Outlook> {
        let by_peer: BTreeMap<PeerId, &ConfigChange> =
            changes.iter().map(|change| (change.peer, change)).collect();
        let eligibility = self.groups.eligibility();
        let peers = self.peers.iter().filter(|peer| peer.leaving.is_none());
        peers
            .map(|peer| {
                let change = by_peer.get(&peer.config.id).copied();
                self.outlook_of(peer, change, eligibility)
            })
            .collect()
    }

    fn outlook_of(
        &self,
        peer: &Peer,
        change: Option<&ConfigChange>,
        eligibility: Eligibility,
    ) -> Outlook {
        let config = match change {
            None => Some(&peer.config),
            Some(change) => change.then.as_deref(),
        };
        let comes = config.map(|config| match change {
            None => Comes::InPlace,
            Some(change) if change.anew && peer.up.is_some() => Comes::Reset,
            Some(_) => peer.under(config),
        });
        let up = peer.up.as_ref();
        let mut outlook = Outlook {
            peer: peer.config.id,
            name: peer.config.name.clone(),
            comes,
            established: up.is_some(),
            refused: None,
            changed: change.is_some(),
            group: up.and_then(|up| Some(up.group.as_ref()?.1.id)),
            now: up.map(|up| up.profile.clone()),
            then: None,
        };
        let stays = matches!(comes, Some(Comes::InPlace | Comes::Reset));
        if let (Some(config), Some(up), Some(negotiated), true) =
            (config, up, peer.session.negotiated(), stays)
        {
            let negotiated = match comes {
                Some(Comes::Reset) => negotiated.again(&config.session),
                _ => Ok(negotiated.clone()),
            };
            match negotiated {
                Ok(negotiated) => {
                    outlook.then = Some(self.then(config, up, &negotiated, eligibility));
                }
                Err(notification) => outlook.refused = Some(notification.to_string()),
            }
        }
        outlook
    }

    fn then(
        &self,
        config: &PeerConfig,
        up: &Up,
        negotiated: &Negotiated,
        eligibility: Eligibility,
    ) -> Then {
        let local = config.transport.local.unwrap_or_else(|| up.local.ip());
        let (home, link) = (self.config.id, up.link);
        let profile = peer_profile(config, negotiated, home, local, link, [None, None]);
        let profile = Arc::new(profile);
        let key = group_key(config, negotiated, local, link);
        let group = group_profile(GroupId(0), &key, eligibility, config, &profile);
        Then {
            profile,
            families: negotiated.families,
            group: Arc::new(group),
            key,
        }
    }
}

/// What all workers' peers come to, as shards are asked about it.
///
/// `down` are peers that would lose their session to a limit; `eligibility` is the matrix then.
#[must_use]
pub fn propose(
    outlooks: &[Outlook],
    down: &[PeerId],
    eligibility: Option<Eligibility>,
) -> Proposal {
    let mut proposal = Proposal::default();
    let mut groups: HashMap<&GroupKey, ProposedGroup, RandomState> =
        HashMap::with_hasher(RandomState::with_seeds(1, 2, 3, 4));
    for outlook in outlooks {
        let then = outlook
            .then
            .as_ref()
            .filter(|_| !down.contains(&outlook.peer));
        let fate = fate(outlook, then, down);
        proposal.peers.extend(fate.map(|fate| (outlook.peer, fate)));
        let Some(today) = outlook.group else { continue };
        let Some(then) = then else {
            proposal.leaving.push((outlook.peer, today));
            continue;
        };
        let group = groups.entry(&then.key).or_insert_with(|| ProposedGroup {
            profile: under_matrix(&then.group, eligibility),
            members: Vec::new(),
        });
        if newer(&then.group, &group.profile) {
            group.profile = under_matrix(&then.group, eligibility);
        }
        group.members.push((outlook.peer, today));
    }
    proposal.groups = groups.into_values().collect();
    proposal
}

fn fate(outlook: &Outlook, then: Option<&Then>, down: &[PeerId]) -> Option<Fate> {
    let Some(then) = then else {
        let goes = outlook.comes.is_none()
            || outlook.comes == Some(Comes::Stopped)
            || outlook.refused.is_some()
            || down.contains(&outlook.peer);
        return goes.then_some(Fate::Gone);
    };
    if !outlook.changed {
        return None;
    }
    let alike = outlook.comes == Some(Comes::InPlace)
        && outlook
            .now
            .as_ref()
            .is_some_and(|now| then.profile.judges_like(now));
    (!alike).then(|| Fate::Becomes {
        profile: then.profile.clone(),
        families: then.families,
    })
}

/// True where a member's policy is the later one of a name.
fn newer(made: &GroupProfile, held: &GroupProfile) -> bool {
    let version = |profile: &GroupProfile| profile.export.as_ref().map(|it| it.version());
    version(made) > version(held)
}

fn under_matrix(
    profile: &Arc<GroupProfile>,
    eligibility: Option<Eligibility>,
) -> Arc<GroupProfile> {
    match eligibility {
        None => profile.clone(),
        Some(eligibility) => Arc::new(GroupProfile {
            eligibility,
            ..(**profile).clone()
        }),
    }
}
