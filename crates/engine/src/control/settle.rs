//! Whether what has come to a worker has gone through it.
//!
//! A switch of the matrix is through when the last queue holds the difference. While routes keep coming no
//! queue is ever seen empty, so what is awaited is what stood in each stage when the stage before
//! was through: batches counted off a ring, a position in the change log.

use thruway_wire::Time;

use crate::limits::{SETTLE_WAIT, SETTLES_MAX};
use crate::shard::stage::ShardStage;
use crate::{QueryId, Reply, Settled, Sink, Worker};

/// One [`crate::Command::Settle`].
#[derive(Debug)]
pub(crate) struct Settling {
    id: QueryId,
    /// Answered then at the latest.
    by: Time,
    stage: Stage,
}

/// What is awaited.
#[derive(Debug)]
enum Stage {
    /// Nothing yet: another question is under way, or this one has just come.
    New,
    /// Batches of ingress go to the shards' rings: up to these counts, by shard.
    Ingress(Vec<u64>),
    /// The shard applies batches: up to these counts, by worker.
    Applied(Vec<u64>),
    /// The shard's walks end.
    Walked,
    /// Its groups follow the log to this position.
    Told(u64),
    /// Batches of shards are packed: up to these counts, by shard.
    Egress(Vec<u64>),
    /// Members that keep up have been advertised all.
    CatchUp,
}

impl Worker {
    pub(crate) fn begin_settle(&mut self, now: Time, id: QueryId, out: &mut dyn Sink) {
        if self.settles.len() >= SETTLES_MAX {
            return out.reply(id, Reply::Busy);
        }
        let (by, stage) = (now + SETTLE_WAIT, Stage::New);
        self.settles.push_back(Settling { id, by, stage });
    }

    /// Looks at the oldest question, at the end of a turn.
    pub(crate) fn go_on_settling(&mut self, now: Time, out: &mut dyn Sink) {
        while let Some(mut settling) = self.settles.pop_front() {
            let through = self.settled(&mut settling.stage);
            if !through && now < settling.by {
                self.settles.push_front(settling);
                return;
            }
            let settled = Settled {
                through,
                queued: self.conns.queued as u64,
                behind: self.egress.behind(),
            };
            out.reply(settling.id, Reply::Settled(settled));
        }
    }

    /// When a question is answered at the latest.
    pub(crate) fn settle_deadline(&self) -> Time {
        let by = self.settles.iter().map(|settling| settling.by);
        by.min().unwrap_or(Time::NEVER)
    }

    /// Goes through the stages as far as they are through.
    fn settled(&self, stage: &mut Stage) -> bool {
        while let Some(next) = self.next_stage(stage) {
            *stage = next;
        }
        matches!(stage, Stage::CatchUp) && !self.egress.is_catching_up(&self.conns)
    }

    /// What is awaited when `stage` is through; `None`: it is not, or it is the last.
    fn next_stage(&self, stage: &Stage) -> Option<Stage> {
        let shard = self.shard.as_ref();
        let egress = || Stage::Egress(self.egress.pending(&self.rings));
        match stage {
            Stage::New => Some(Stage::Ingress(self.ingress.pending())),
            Stage::Ingress(counts) => reached(counts, self.ingress.sent()).then(|| {
                let applied = |shard: &ShardStage| Stage::Applied(shard.pending(&self.rings));
                shard.map_or_else(egress, applied)
            }),
            Stage::Applied(counts) => reached(counts, shard?.applied()).then_some(Stage::Walked),
            Stage::Walked => {
                let shard = &shard?.shard;
                (!shard.is_walking()).then(|| Stage::Told(shard.log_end()))
            }
            Stage::Told(position) => {
                let shard = &shard?.shard;
                // What was withdrawn on the way may have made room for what a limit held back.
                let told = shard.advertised_upto() >= *position;
                told.then(|| match shard.is_walking() {
                    true => Stage::Walked,
                    false => egress(),
                })
            }
            Stage::Egress(counts) => {
                reached(counts, self.egress.absorbed()).then_some(Stage::CatchUp)
            }
            Stage::CatchUp => None,
        }
    }
}

/// Each count has come as far as it should.
fn reached(wanted: &[u64], counts: impl Iterator<Item = u64>) -> bool {
    wanted
        .iter()
        .zip(counts)
        .all(|(wanted, count)| count >= *wanted)
}
