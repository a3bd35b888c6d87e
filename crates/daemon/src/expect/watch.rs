//! The running server's eye on its expectations.
//!
//! Once a second at most shards are asked whether anything has stirred; only then they count. A count that
//! takes long rests long: it has a fiftieth of the time.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use thruway_api::{Expectation, ExpectationState, Expectations};
use thruway_rib::{Proposal, ShardId, Watch, WatchCount};
use tokio::sync::Notify;

use super::{Sessions, asked, judge, watches};
use crate::daemon::Daemon;

/// Between two looks, at least.
const LOOK: Duration = Duration::from_secs(1);
/// A look rests so many times as long as it took.
const REST: u32 = 50;
/// Whatever shards say of themselves, they count after so long.
const RECOUNT: Duration = Duration::from_secs(60);

/// What is known of the expectations.
#[derive(Debug, Default)]
pub(crate) struct Watcher {
    known: Mutex<Vec<Known>>,
    /// A configuration came into force.
    moved: Notify,
    /// Looks since the start, and how often one that held was broken.
    numbers: Mutex<(u64, u64)>,
    /// The last look.
    looked: Mutex<Option<Instant>>,
}

#[derive(Clone, Debug)]
struct Known {
    name: String,
    state: ExpectationState,
    detail: String,
    since: Instant,
    /// It has held before.
    held: bool,
}

/// What a count was made of, and what came of it, by shard.
#[derive(Default)]
struct Last {
    watches: Vec<Watch>,
    stirred: Vec<Option<u64>>,
    counts: Vec<Vec<WatchCount>>,
    at: Option<Instant>,
}

impl Last {
    /// What all shards have.
    fn sum(&self) -> Vec<WatchCount> {
        let mut sum = WatchCount::none(&self.watches);
        for shard in &self.counts {
            WatchCount::add_all(&mut sum, shard);
        }
        sum
    }
}

impl Watcher {
    fn lock(&self) -> MutexGuard<'_, Vec<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn numbers(&self) -> MutexGuard<'_, (u64, u64)> {
        self.numbers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn looked(&self) -> MutexGuard<'_, Option<Instant>> {
        self.looked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Looks at once: there is another configuration.
    pub(crate) fn look(&self) {
        self.moved.notify_one();
    }

    /// All of them, in the file's order.
    pub(crate) fn view(&self) -> Expectations {
        let known = self.lock();
        let (looks, broken) = *self.numbers();
        let expectations = known.iter().map(|known| Expectation {
            name: known.name.clone(),
            state: known.state,
            detail: known.detail.clone(),
            since_seconds: known.since.elapsed().as_secs_f64(),
        });
        Expectations {
            expectations: expectations.collect(),
            looks,
            broken_total: broken,
            looked_seconds: self.looked().map(|at| at.elapsed().as_secs_f64()),
        }
    }

    /// Takes new judgements, and says what changed.
    fn take(&self, names: Vec<String>, judged: Vec<super::Judgement>) {
        let mut known = self.lock();
        let mut numbers = self.numbers();
        numbers.0 += 1;
        let now = Instant::now();
        *self.looked() = Some(now);
        let mut all = Vec::with_capacity(judged.len());
        for (name, (state, detail)) in names.into_iter().zip(judged) {
            let before = known.iter().find(|known| known.name == name);
            let was = before.map(|known| known.state);
            let held = before.is_some_and(|known| known.held);
            if was != Some(state) {
                numbers.1 += u64::from(tell(&name, was, state, held, &detail));
            }
            let since = before.filter(|_| was == Some(state)).map(|it| it.since);
            all.push(Known {
                name,
                state,
                detail,
                since: since.unwrap_or(now),
                held: held || state == ExpectationState::Holds,
            });
        }
        *known = all;
    }
}

/// Logs a change. True where one that held is broken.
fn tell(
    name: &str,
    was: Option<ExpectationState>,
    is: ExpectationState,
    held: bool,
    detail: &str,
) -> bool {
    use ExpectationState::{Broken, Holds, Unjudged};
    match (was, is) {
        (Some(_), Broken) if held => {
            tracing::warn!(expectation = name, "expectation broken: {detail}");
            return true;
        }
        (_, Broken) => tracing::info!(expectation = name, "does not hold yet: {detail}"),
        (Some(_), Holds) if held => {
            tracing::info!(expectation = name, "expectation holds again: {detail}");
        }
        (_, Holds) => tracing::info!(expectation = name, "holds: {detail}"),
        (_, Unjudged) => tracing::info!(expectation = name, "cannot be judged: {detail}"),
    }
    false
}

/// Watches until the server ends.
pub(crate) async fn run(daemon: Arc<Daemon>) {
    let mut last = Last::default();
    loop {
        if daemon.config().expect.is_empty() {
            daemon.watcher.lock().clear();
            last = Last::default();
            daemon.watcher.moved.notified().await;
            continue;
        }
        let began = Instant::now();
        if let Err(error) = look(&daemon, &mut last).await {
            tracing::debug!("expectations: {error:#}");
        }
        let rest = LOOK.max(began.elapsed() * REST);
        // A new configuration is looked at at once; what it does to routes is seen with the next look.
        let _ = tokio::time::timeout(rest, daemon.watcher.moved.notified()).await;
    }
}

async fn look(daemon: &Daemon, last: &mut Last) -> Result<()> {
    let config = daemon.config();
    let snapshot = daemon.snapshot().await?;
    let asked = asked(&config, &snapshot);
    let watches = watches(&asked);
    if last.watches != watches || last.at.is_none_or(|at| at.elapsed() >= RECOUNT) {
        *last = Last {
            watches: watches.clone(),
            at: Some(Instant::now()),
            ..Last::default()
        };
    }
    if !watches.is_empty() {
        let proposal = Proposal {
            watches,
            stirred: last.stirred.clone(),
            ..Proposal::default()
        };
        let parts = daemon.bus().plan(Arc::new(proposal), |_| Ok(())).await?;
        for part in parts.into_iter().filter_map(|part| part.watched) {
            put(&mut last.counts, part.shard, part.now);
            put(&mut last.stirred, part.shard, part.stirred);
        }
    }
    let names = config.expect.iter().map(|expect| expect.name.clone());
    let judged = judge(
        &asked,
        &last.sum(),
        &config,
        &snapshot,
        &Sessions::default(),
    );
    daemon.watcher.take(names.collect(), judged);
    Ok(())
}

fn put<T: Clone + Default>(list: &mut Vec<T>, shard: ShardId, value: T) {
    if list.len() <= shard.index() {
        list.resize(shard.index() + 1, T::default());
    }
    if let Some(place) = list.get_mut(shard.index()) {
        *place = value;
    }
}
