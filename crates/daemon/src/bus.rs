//! Questions and orders to the workers. The control plane never touches their memory: it asks by
//! message and is answered in slices between their turns.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, anyhow, bail};
use thruway_engine::status::WorkerStatus;
use thruway_engine::{Command, ConfigChange, Outlook, QueryId, Reply, Settled};
use thruway_rib::{Eligibility, Foreseen, PlanRow, Proposal, Query, RouteRow, TallyRow};
use tokio::sync::{Semaphore, mpsc};

use crate::limits::{ANSWER_PIECES_MAX, QUESTIONS_MAX};
use crate::worker::{Order, WorkerHandle};

/// How long a worker may keep the control plane waiting for one piece of an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// And for a plan, which walks through all of its table before it has anything to say.
const PLAN_PATIENCE: Duration = Duration::from_secs(120);

/// The way to the workers.
pub(crate) struct Bus {
    workers: Vec<WorkerHandle>,
    shards: usize,
    next: AtomicU64,
    questions: Arc<Semaphore>,
}

/// An answer that arrives in pieces from all shards.
pub(crate) struct Rows {
    bus: Arc<Bus>,
    query: Query,
    id: QueryId,
    replies: mpsc::Receiver<Reply>,
    /// Shards that were asked.
    asked: Range<usize>,
    /// Of them, those that have not said Done.
    open: usize,
    _permit: tokio::sync::OwnedSemaphorePermit,
}

impl Bus {
    pub(crate) fn new(workers: Vec<WorkerHandle>, shards: usize) -> Arc<Self> {
        let questions = Arc::new(Semaphore::new(QUESTIONS_MAX));
        Arc::new(Bus {
            workers,
            shards,
            next: AtomicU64::new(1),
            questions,
        })
    }

    pub(crate) fn workers(&self) -> &[WorkerHandle] {
        &self.workers
    }

    /// Gives one worker an order.
    pub(crate) fn order(&self, worker: usize, order: Order) -> Result<()> {
        match self.workers.get(worker).map(|handle| handle.order(order)) {
            Some(Ok(())) => Ok(()),
            _ => bail!("worker {worker} takes no orders"),
        }
    }

    /// Gives one worker a command.
    pub(crate) fn command(&self, worker: usize, command: Command) -> Result<()> {
        self.order(worker, Order::Command(Box::new(command)))
    }

    fn id(&self) -> QueryId {
        QueryId(self.next.fetch_add(1, Ordering::Relaxed))
    }

    /// How all workers are.
    pub(crate) async fn status(&self) -> Result<Vec<WorkerStatus>> {
        let id = self.id();
        let (answers, mut replies) = mpsc::channel(self.workers.len().max(1) * 2);
        for worker in 0..self.workers.len() {
            let command = Box::new(Command::Status(id));
            self.order(worker, Order::Ask(id, command, answers.clone()))?;
        }
        drop(answers);
        let mut all = Vec::new();
        while all.len() < self.workers.len() {
            match tokio::time::timeout(PATIENCE, replies.recv()).await {
                Ok(Some(Reply::Status(status))) => all.push(*status),
                Ok(Some(Reply::Busy)) => bail!("a worker has too many questions waiting"),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => bail!("a worker does not answer"),
            }
        }
        all.sort_by_key(|status| status.worker);
        Ok(all)
    }

    /// Has all workers answer when what they were told before has gone through them.
    pub(crate) async fn settle(&self) -> Result<Vec<Settled>> {
        let id = self.id();
        let (answers, mut replies) = mpsc::channel(self.workers.len().max(1) * 2);
        for worker in 0..self.workers.len() {
            let command = Box::new(Command::Settle(id));
            self.order(worker, Order::Ask(id, command, answers.clone()))?;
        }
        drop(answers);
        let mut all = Vec::new();
        while all.len() < self.workers.len() {
            match tokio::time::timeout(PATIENCE, replies.recv()).await {
                Ok(Some(Reply::Settled(settled))) => all.push(settled),
                Ok(Some(Reply::Busy)) => bail!("a worker has too many questions waiting"),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => bail!("a worker does not answer"),
            }
        }
        Ok(all)
    }

    /// What would become of every peer under other configurations.
    pub(crate) async fn outlook(&self, changes: Vec<ConfigChange>) -> Result<Vec<Outlook>> {
        let id = self.id();
        let changes = Arc::new(changes);
        let (answers, mut replies) = mpsc::channel(self.workers.len().max(1) * 2);
        for worker in 0..self.workers.len() {
            let changes = Arc::clone(&changes);
            let command = Box::new(Command::Outlook { id, changes });
            self.order(worker, Order::Ask(id, command, answers.clone()))?;
        }
        drop(answers);
        let (mut all, mut answered) = (Vec::new(), 0);
        while answered < self.workers.len() {
            match tokio::time::timeout(PATIENCE, replies.recv()).await {
                Ok(Some(Reply::Outlook(outlooks))) => {
                    all.extend(outlooks);
                    answered += 1;
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => bail!("a worker does not answer"),
            }
        }
        Ok(all)
    }

    /// Asks all shards what a proposal would do; `row` is given each route that it lists.
    pub(crate) async fn plan(
        &self,
        proposal: Arc<Proposal>,
        mut row: impl FnMut(PlanRow) -> Result<()>,
    ) -> Result<Vec<Foreseen>> {
        let Ok(_permit) = Arc::clone(&self.questions).try_acquire_owned() else {
            bail!("{QUESTIONS_MAX} questions are being answered; try again");
        };
        let id = self.id();
        let (answers, mut replies) = mpsc::channel(ANSWER_PIECES_MAX * self.shards.max(1));
        for shard in 0..self.shards {
            let proposal = Arc::clone(&proposal);
            let command = Box::new(Command::Plan { id, proposal });
            self.order(shard, Order::Ask(id, command, answers.clone()))?;
        }
        drop(answers);
        let mut asked = Asked {
            bus: self,
            id,
            open: true,
        };
        let mut all = Vec::new();
        while all.len() < self.shards {
            match tokio::time::timeout(PLAN_PATIENCE, replies.recv()).await {
                Ok(Some(Reply::PlanRows(rows))) => {
                    self.workers.iter().for_each(WorkerHandle::wake);
                    rows.into_iter().try_for_each(&mut row)?;
                }
                Ok(Some(Reply::Planned(counts))) => all.push(counts),
                Ok(Some(Reply::Busy)) => bail!("a worker has too many questions waiting"),
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => bail!("a worker does not answer"),
            }
        }
        asked.open = false;
        Ok(all)
    }

    /// How many prefixes each kind of receiver has of each kind of source, under the matrix in force
    /// or another one.
    pub(crate) async fn tally(
        self: &Arc<Self>,
        eligibility: Option<Eligibility>,
    ) -> Result<Vec<TallyRow>> {
        let mut answer = self.query(Query::Tally { eligibility })?;
        let mut sum: Vec<TallyRow> = Vec::new();
        while let Some(rows) = answer.next_tally().await {
            for row in rows? {
                let same = |other: &&mut TallyRow| (other.from, other.to) == (row.from, row.to);
                match sum.iter_mut().find(same) {
                    Some(sum) => {
                        sum.prefixes += row.prefixes;
                        sum.kept_back += row.kept_back;
                        sum.beaten += row.beaten;
                    }
                    None => sum.push(row),
                }
            }
        }
        Ok(sum)
    }

    /// Asks all shards at once.
    pub(crate) fn query(self: &Arc<Self>, query: Query) -> Result<Rows> {
        self.query_shards(query, 0..self.shards)
    }

    /// Asks one shard after the other: what waits for the asker is one shard's.
    pub(crate) fn query_in_turn(self: &Arc<Self>, query: Query) -> Result<Rows> {
        self.query_shards(query, 0..self.shards.min(1))
    }

    fn query_shards(self: &Arc<Self>, query: Query, shards: Range<usize>) -> Result<Rows> {
        let Ok(permit) = Arc::clone(&self.questions).try_acquire_owned() else {
            bail!("{QUESTIONS_MAX} questions are being answered; try again");
        };
        let id = self.id();
        let replies = self.ask(id, query, shards.clone())?;
        Ok(Rows {
            bus: Arc::clone(self),
            query,
            id,
            replies,
            open: shards.len(),
            asked: shards,
            _permit: permit,
        })
    }

    fn ask(
        &self,
        id: QueryId,
        query: Query,
        shards: Range<usize>,
    ) -> Result<mpsc::Receiver<Reply>> {
        let (answers, replies) = mpsc::channel(ANSWER_PIECES_MAX * shards.len().max(1));
        for shard in shards {
            let command = Box::new(Command::Query { id, query });
            self.order(shard, Order::Ask(id, command, answers.clone()))?;
        }
        Ok(replies)
    }
}

impl Rows {
    /// The count of the next shard; `None` when all have answered.
    async fn next_tally(&mut self) -> Option<Result<Vec<TallyRow>>> {
        while self.open > 0 {
            let reply = tokio::time::timeout(PATIENCE, self.replies.recv()).await;
            match reply {
                Ok(Some(Reply::Tally(rows))) => {
                    self.open -= 1;
                    return Some(Ok(rows));
                }
                Ok(Some(Reply::Done)) => self.open -= 1,
                Ok(Some(Reply::Busy)) => {
                    self.open = 0;
                    return Some(Err(anyhow!("a worker has too many questions waiting")));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    self.open = 0;
                    return Some(Err(anyhow!("a worker does not answer")));
                }
            }
        }
        None
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Option<Result<Vec<RouteRow>>> {
        while self.open > 0 {
            match tokio::time::timeout(PATIENCE, self.replies.recv()).await {
                Ok(Some(Reply::Rows(rows))) => {
                    let workers = self.bus.workers.get(self.asked.clone());
                    let workers = workers.unwrap_or_default().iter();
                    workers.for_each(WorkerHandle::wake);
                    return Some(Ok(rows));
                }
                Ok(Some(Reply::Done)) => {
                    self.open -= 1;
                    if let Err(error) = self.ask_next() {
                        return Some(Err(error));
                    }
                }
                Ok(Some(Reply::Busy)) => {
                    self.open = 0;
                    return Some(Err(anyhow!("a worker has too many questions waiting")));
                }
                Ok(Some(_)) => {}
                Ok(None) | Err(_) => {
                    self.open = 0;
                    return Some(Err(anyhow!("a worker does not answer")));
                }
            }
        }
        None
    }
}

impl Rows {
    /// Where all that were asked have answered, the next shard's turn comes.
    fn ask_next(&mut self) -> Result<()> {
        let next = self.asked.end;
        if self.open > 0 || next >= self.bus.shards {
            return Ok(());
        }
        self.asked = next..next + 1;
        self.replies = self.bus.ask(self.id, self.query, self.asked.clone())?;
        self.open = 1;
        Ok(())
    }
}

/// A question to all shards that ends with whoever asked.
struct Asked<'a> {
    bus: &'a Bus,
    id: QueryId,
    open: bool,
}

impl Drop for Asked<'_> {
    fn drop(&mut self) {
        for shard in 0..self.bus.shards {
            if self.open {
                let _ = self.bus.command(shard, Command::Cancel(self.id));
            }
        }
    }
}

impl Drop for Rows {
    fn drop(&mut self) {
        if self.open == 0 {
            return;
        }
        for shard in self.asked.clone() {
            let _ = self.bus.command(shard, Command::Cancel(self.id));
        }
    }
}
