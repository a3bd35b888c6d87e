//! Changes of the configuration: made, remembered, confirmed, taken back.
//!
//! A change is written down before it is in force, so that whoever ends the server in the middle leaves one that
//! starts with what ran before, or with the file. One change waits for its confirmation at a time.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, anyhow, bail};
use thruway_api::{ConfirmReport, HistoryEntry, HistoryView, PendingView, ReloadReport, Revision};
use thruway_config::{Config, Diff, self_contained};
use thruway_control::{ChangeRequest, Refused};
use thruway_history::{Boot, Entry, Kind, NewEntry, Pending, Running, Store, digest};
use tokio::sync::Notify;

use super::daemon::Daemon;
use super::plan::{self, Named};
use thruway_api::time_text;

/// After a change could not be taken back, until that is tried again.
const AGAIN: Duration = Duration::from_secs(5);
/// Names that a line of the history holds; of more it says how many.
const NAMES_MAX: usize = 4;

/// What is known of the configurations that were in force.
pub(super) struct Changes {
    /// `None`: the folder cannot be written, and nothing is remembered.
    store: Option<Arc<Store>>,
    inner: std::sync::Mutex<Inner>,
    /// Something waits, or waits no more.
    moved: Notify,
}

struct Inner {
    /// The number of what runs; 0: it has none.
    number: u64,
    /// Its text, and the digest of that.
    text: Arc<str>,
    sha256: String,
    /// The digest of the file that was passed over.
    taken_back: Option<String>,
    waits: Option<Waiting>,
    /// What the server started with is in the history.
    noted: bool,
}

/// A change that goes back unless somebody confirms it.
#[derive(Clone)]
struct Waiting {
    pending: Pending,
    until: Instant,
    /// What it goes back to: whatever becomes of the folder.
    before: Arc<str>,
}

/// Where a new configuration comes from.
struct Source {
    config: Config,
    diff: Diff,
    /// It names no files.
    text: String,
    kind: Kind,
    /// The file says something else: its digest.
    passed_over: Option<String>,
    comment: String,
}

/// What a server starts with.
pub(super) struct Start {
    pub(super) config: Config,
    pub(super) changes: Changes,
    /// To be said when there is a log.
    pub(super) warnings: Vec<String>,
}

/// The folder of a configuration file's history: beside the switch's state.
fn folder(path: &Path) -> PathBuf {
    let text = std::fs::read_to_string(path).unwrap_or_default();
    let mut folder = match state_key(&text) {
        Some(state) => {
            let path = path.parent().unwrap_or(Path::new("")).join(state);
            let ending = path.extension().is_some_and(|it| it == "state");
            if ending {
                path.with_extension("")
            } else {
                path
            }
            .into_os_string()
        }
        None => path.as_os_str().to_owned(),
    };
    folder.push(".history");
    folder.into()
}

/// What a configuration says of `state`, also where the rest of it makes no sense: a file with faults still has
/// a history.
fn state_key(text: &str) -> Option<String> {
    if let Ok(table) = toml::from_str::<toml::Table>(text) {
        let state = table.get("server")?.get("state")?.as_str()?;
        return Some(state.to_owned());
    }
    let mut lines = text.lines().map(str::trim);
    let line = lines.find(|line| {
        let rest = line.strip_prefix("state").map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with('='))
    })?;
    let table: toml::Table = toml::from_str(line).ok()?;
    Some(table.get("state")?.as_str()?.to_owned())
}

/// Reads what to start with: the file, unless what it says was taken back.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn start(path: &Path) -> Result<Start> {
    let path = path.to_owned();
    let (answer, waits) = std::sync::mpsc::sync_channel(1);
    reader(move || drop(answer.send(read_first(&path))))?;
    waits.recv().context("reading the configuration")?
}

fn read_first(path: &Path) -> Result<Start> {
    let mut warnings = Vec::new();
    let none = "no history is kept, and no change can wait for its confirmation";
    let store = match Store::open(&folder(path), |why| warnings.push(format!("{none}: {why}"))) {
        Ok(store) => Some(store),
        Err(error) => {
            warnings.push(format!("{none}: {error}"));
            None
        }
    };
    let file = self_contained(path).ok().map(|whole| digest(&whole.text));
    let at = time_text(SystemTime::now());
    let boot = match &store {
        Some(store) => store.boot(file.as_deref(), &at, |text| warnings.push(text)),
        None => Boot::File,
    };
    let (config, text, kept) = match boot {
        Boot::Kept {
            entry,
            text,
            unconfirmed,
        } => match Config::propose(path, &text) {
            Ok(config) => {
                let why = unconfirmed.map_or_else(
                    || "was taken back".to_owned(),
                    |number| format!("(change {number}) was not confirmed before the server ended"),
                );
                warnings.push(format!(
                    "what {} says {why}: configuration {} runs; `thruway reload` takes the file",
                    path.display(),
                    entry.number
                ));
                (config, text, true)
            }
            Err(errors) => {
                warnings.push(format!(
                    "configuration {} of the history: {errors}: the file is taken instead",
                    entry.number
                ));
                load(path)?
            }
        },
        Boot::File => load(path)?,
    };
    let store = store.filter(Store::is_writable).map(Arc::new);
    if let Some(store) = &store {
        let damaged = store.list().map(|(_, damaged)| damaged);
        let damaged = damaged.unwrap_or_default().into_iter();
        warnings.extend(damaged.map(|it| format!("the history: {}", it.why)));
    }
    let inner = first(store.as_deref(), &text, kept);
    Ok(Start {
        config,
        changes: Changes {
            store,
            inner: std::sync::Mutex::new(inner),
            moved: Notify::new(),
        },
        warnings,
    })
}

fn load(path: &Path) -> Result<(Config, String, bool)> {
    let (config, whole) = Config::load_whole(path).map_err(|errors| anyhow!("{errors}"))?;
    Ok((config, whole.text, false))
}

/// What a server starts with, and its number where it is what is known to run.
fn first(store: Option<&Store>, text: &str, kept: bool) -> Inner {
    let sha256 = digest(text);
    let mut inner = Inner {
        number: 0,
        text: text.into(),
        sha256: sha256.clone(),
        taken_back: None,
        waits: None,
        noted: store.is_none(),
    };
    let Some(store) = store else { return inner };
    let known = store.running().ok().flatten();
    if let Some(running) = &known
        && let Ok((entry, _)) = store.read(running.number)
        && entry.sha256 == sha256
    {
        inner.number = running.number;
        inner.taken_back = running.taken_back.clone().filter(|_| kept);
        inner.noted = kept || running.taken_back.is_none();
    }
    inner
}

impl Changes {
    /// Writes down what the server has started with, once it has: one that never ran has no place in the history.
    pub(super) fn started(&self, path: &Path) {
        if let Err(error) = self.note_start(path) {
            tracing::warn!("the history: {error:#}");
        }
    }

    fn note_start(&self, path: &Path) -> Result<()> {
        let (number, text) = {
            let inner = self.lock();
            if inner.noted {
                return Ok(());
            }
            (inner.number, Arc::clone(&inner.text))
        };
        let Some(store) = &self.store else {
            return Ok(());
        };
        let new = NewEntry {
            at: time_text(SystemTime::now()),
            author: "thruway".to_owned(),
            comment: String::new(),
            kind: Kind::Start,
            what: format!("started with {}", path.display()),
            undone: None,
        };
        let number = match number {
            0 => store.append(new, &text)?.number,
            number => number,
        };
        let mut inner = self.lock();
        inner.number = number;
        inner.noted = true;
        store.set_running(&Running {
            number,
            taken_back: None,
        })?;
        Ok(())
    }
}

/// Does something long on a thread of its own. It ends with it, so that what the allocator keeps for a thread does
/// not stay: a configuration may be large, and is read once.
pub(super) async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T> {
    let (answer, waits) = tokio::sync::oneshot::channel();
    reader(move || answer.send(work()))?;
    waits.await.context("reading the configuration")
}

/// The thread for it.
fn reader<T>(work: impl FnOnce() -> T + Send + 'static) -> Result<()> {
    let thread = std::thread::Builder::new().name("reader".to_owned());
    let started = thread.spawn(move || {
        drop(work());
        thruway_net::give_back_all_memory();
    });
    started.map(drop).context("cannot start a thread")
}

impl Changes {
    fn lock(&self) -> std::sync::MutexGuard<'_, Inner> {
        self.inner
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    fn waiting(&self) -> Option<Waiting> {
        self.lock().waits.clone()
    }

    fn store(&self) -> Result<&Arc<Store>> {
        self.store.as_ref().context(
            "no history is kept: the folder beside the switch's state cannot be written (the log of the start says why)",
        )
    }

    /// Refuses a change that was asked for with another one in mind.
    fn refuse_other(&self, change: &ChangeRequest) -> Result<()> {
        let number = self.lock().number;
        match change.running {
            Some(running) if running != number => bail!(
                "configuration {number} runs now, not {running}: look again what the change would do"
            ),
            _ => Ok(()),
        }
    }

    /// Refuses a change beside one that waits.
    fn refuse_beside(&self) -> Result<()> {
        let Some(waiting) = self.waiting() else {
            return Ok(());
        };
        bail!(
            "change {} by {} waits for its confirmation for {} s more: `thruway confirm` keeps it, \
             `thruway rollback` takes it back",
            waiting.pending.number,
            waiting.pending.author,
            waiting.seconds()
        )
    }

    /// What runs, and what waits.
    pub(super) fn revision(&self) -> Revision {
        let inner = self.lock();
        Revision {
            number: inner.number,
            pending: inner.waits.as_ref().map(|waiting| PendingView {
                number: waiting.pending.number,
                back_to: waiting.pending.back_to,
                author: waiting.pending.author.clone(),
                seconds: waiting.seconds(),
            }),
            file_differs: false,
        }
    }
}

impl Changes {
    /// The number of what runs.
    pub(super) fn number(&self) -> u64 {
        self.lock().number
    }
}

impl Waiting {
    fn left(&self) -> Duration {
        self.until.saturating_duration_since(Instant::now())
    }

    /// Whole seconds that are left, rounded up.
    fn seconds(&self) -> u64 {
        self.left().as_secs_f64().ceil() as u64
    }
}

impl Daemon {
    /// Reads the file again and puts the difference in force.
    ///
    /// # Errors
    /// What is wrong with the file, what takes a restart, or that another change waits.
    pub(crate) async fn reload(&self, change: &ChangeRequest) -> Result<ReloadReport> {
        let _alone = self.changing.lock().await;
        self.changes.refuse_beside()?;
        self.changes.refuse_other(change)?;
        let running = self.config();
        let read = move || running.reload_whole();
        let (config, diff, whole) = aside(read).await?.map_err(|errors| anyhow!("{errors}"))?;
        let text = whole.text;
        let source = Source {
            config,
            diff,
            text,
            kind: Kind::Reload,
            passed_over: None,
            comment: change.comment.clone(),
        };
        self.make(source, change).await
    }

    /// Goes back to a configuration of the history; without a number to the one before.
    ///
    /// # Errors
    /// It is not there, makes no sense any more, takes a restart, or another change waits.
    pub(crate) async fn rollback(
        &self,
        number: Option<u64>,
        change: &ChangeRequest,
    ) -> Result<ReloadReport> {
        let _alone = self.changing.lock().await;
        self.changes.refuse_other(change)?;
        if let Some(waiting) = self.changes.waiting()
            && number.is_none_or(|number| number == waiting.pending.back_to)
        {
            let why = format!("taken back by {}", change.author);
            return self.go_back(&why, &change.author).await;
        }
        self.changes.refuse_beside()?;
        let source = self.older(number, change).await?;
        self.make(source, change).await
    }

    /// A configuration of the history, against the one in force.
    async fn older(&self, number: Option<u64>, change: &ChangeRequest) -> Result<Source> {
        let store = self.changes.store()?;
        let number = match number {
            Some(number) => number,
            None => self.before(store)?,
        };
        let (entry, text) = store.read(number)?;
        let running = self.config();
        let path = running.path.clone();
        let read = move || {
            let read = running.reload_from(&text);
            read.map(|(config, diff)| (config, diff, text))
        };
        let (config, diff, text) = aside(read)
            .await?
            .map_err(|errors| anyhow!("configuration {number} is no good any more: {errors}"))?;
        let file = self_contained(&path).ok();
        let file = file.map(|whole| digest(&whole.text));
        Ok(Source {
            config,
            diff,
            text,
            kind: Kind::Rollback,
            passed_over: file.filter(|file| *file != entry.sha256),
            comment: match change.comment.as_str() {
                "" => format!("back to {number}"),
                comment => format!("back to {number}: {comment}"),
            },
        })
    }

    /// The last configuration that is another one than what runs, and was not taken back.
    fn before(&self, store: &Store) -> Result<u64> {
        let (number, sha256) = {
            let inner = self.changes.lock();
            (inner.number, inner.sha256.clone())
        };
        let (entries, _) = store.list()?;
        let undone: Vec<u64> = entries.iter().filter_map(|entry| entry.undone).collect();
        let older = |entry: &&Entry| {
            entry.number < number && entry.sha256 != sha256 && !undone.contains(&entry.number)
        };
        let found = entries.iter().rev().find(older);
        found
            .map(|entry| entry.number)
            .context("there is no other configuration in the history")
    }

    /// Remembers a change and puts it in force.
    async fn make(&self, source: Source, change: &ChangeRequest) -> Result<ReloadReport> {
        let access = Daemon::prepare(&source.config, &source.diff)?;
        // At the start its disk may have been full.
        self.changes.started(&source.config.path);
        let sha256 = digest(&source.text);
        let same = sha256 == self.changes.lock().sha256;
        if source.diff.is_empty() && same {
            let mut report = self.put(source.config, &source.diff, access).await?;
            report.number = Some(self.changes.lock().number);
            tracing::info!(
                author = change.author,
                "configuration read again: nothing changes"
            );
            return Ok(report);
        }
        let broken = self.broken_by(&source, change).await?;
        let mut what = what(&source.diff);
        if !broken.is_empty() {
            what += &format!("; by force, against {}", broken.join(", "));
        }
        let number = self.remember(&source, &what, change)?;
        let Source {
            config,
            diff,
            text,
            kind,
            passed_over,
            ..
        } = source;
        let put = self.put(config, &diff, access).await;
        self.give_back_memory().await;
        let mut report = match put {
            Ok(report) => report,
            Err(error) => {
                self.forget(number);
                return Err(error);
            }
        };
        let waits = self.in_force(number, (text, sha256), passed_over);
        report.number = number;
        report.broken = broken;
        report.confirm_seconds = waits.map(|waiting| waiting.seconds());
        tracing::info!(
            author = change.author,
            comment = change.comment,
            number,
            what,
            kind = kind.as_str(),
            confirm_seconds = report.confirm_seconds,
            "configuration changed"
        );
        Ok(report)
    }

    /// What a change breaks of what is expected: by force, or not at all.
    async fn broken_by(&self, source: &Source, change: &ChangeRequest) -> Result<Vec<String>> {
        if source.config.expect.is_empty() {
            return Ok(Vec::new());
        }
        let old = self.config();
        let plan = plan::of_change(
            self,
            &old,
            (&source.config, Named::Read),
            &source.diff,
            None,
        );
        let plan = plan.await.map_err(|refused| match refused {
            Refused::Bad(why) | Refused::Unknown(why) => anyhow!(why),
            Refused::Failed(error) => error,
        });
        let plan = plan.context("whether it breaks what is expected cannot be said")?;
        let broken = || plan.expectations.iter().filter(|it| it.breaks);
        if change.force || broken().next().is_none() {
            return Ok(broken().map(|it| it.name.clone()).collect());
        }
        let texts: Vec<String> = broken()
            .map(|it| format!("{}: {}", it.name, it.detail))
            .collect();
        bail!(
            "it would break what is expected, so nothing of it is in force (`--force` does it all the same): {}",
            texts.join("; ")
        )
    }

    /// What ran before is gone once no worker holds it, and most of what was read with it.
    async fn give_back_memory(&self) {
        // A worker that answers has done what it was told before.
        let _ = self.snapshot().await;
        thruway_net::give_back_all_memory();
    }

    /// Nothing of a change is in force, so nothing waits, and nobody goes back to it.
    fn forget(&self, number: Option<u64>) {
        self.changes.lock().waits = None;
        self.changes.moved.notify_waiters();
        if let Some(store) = &self.changes.store {
            let _ = store.clear_pending();
            number.into_iter().for_each(|number| store.forget(number));
        }
    }

    /// Writes a change down. Its number, where a history is kept.
    fn remember(&self, source: &Source, what: &str, change: &ChangeRequest) -> Result<Option<u64>> {
        let nothing = "nothing of the new configuration is in force";
        let Some(store) = &self.changes.store else {
            if change.confirm.is_some() {
                self.changes.store()?;
            }
            return Ok(None);
        };
        if let Some(confirm) = change.confirm {
            let waiting = self.wait_for(store, source, change, confirm)?;
            store.set_pending(&waiting.pending).context(nothing)?;
            self.changes.lock().waits = Some(waiting);
            self.changes.moved.notify_waiters();
        }
        let new = NewEntry {
            at: time_text(SystemTime::now()),
            author: change.author.clone(),
            comment: source.comment.clone(),
            kind: source.kind,
            what: what.to_owned(),
            undone: None,
        };
        match store.append(new, &source.text) {
            Ok(entry) => Ok(Some(entry.number)),
            Err(error) => {
                self.forget(None);
                Err(anyhow!(error).context(nothing))
            }
        }
    }

    fn wait_for(
        &self,
        store: &Store,
        source: &Source,
        change: &ChangeRequest,
        confirm: Duration,
    ) -> Result<Waiting> {
        let (back_to, before, text) = {
            let inner = self.changes.lock();
            let text = Arc::clone(&inner.text);
            (inner.number, inner.taken_back.clone(), text)
        };
        // A restart must find what it goes back to.
        store
            .read(back_to)
            .context("there is nothing to go back to")?;
        let from_file = source.kind == Kind::Reload;
        let since_1970 = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Waiting {
            pending: Pending {
                number: store.next()?,
                back_to,
                confirmed: source.passed_over.clone(),
                taken_back: if from_file {
                    Some(digest(&source.text))
                } else {
                    before
                },
                until: (since_1970 + confirm).as_secs(),
                author: change.author.clone(),
            },
            until: Instant::now() + confirm,
            before: text,
        })
    }

    /// Notes what runs now.
    fn in_force(
        &self,
        number: Option<u64>,
        (text, sha256): (String, String),
        taken_back: Option<String>,
    ) -> Option<Waiting> {
        let waits = {
            let mut inner = self.changes.lock();
            inner.number = number.unwrap_or(0);
            inner.noted = true;
            inner.text = text.into();
            inner.sha256 = sha256;
            inner.taken_back.clone_from(&taken_back);
            inner.waits.clone()
        };
        if waits.is_none()
            && let (Some(store), Some(number)) = (&self.changes.store, number)
        {
            // One that was left behind by a disk that was full would take this one back.
            let written = store.set_running(&Running { number, taken_back });
            if let Err(error) = written.and_then(|()| store.clear_pending()) {
                tracing::error!("the history: {error}; a restart takes the file");
            }
        }
        waits
    }

    /// Keeps the change that waits.
    ///
    /// # Errors
    /// None waits, or its file cannot be removed.
    pub(crate) async fn confirm(&self, author: &str) -> Result<ConfirmReport> {
        let _alone = self.changing.lock().await;
        let waiting = self.changes.waiting();
        let waiting = waiting.context("no change waits for its confirmation")?;
        let store = self.changes.store()?;
        let Pending {
            number, confirmed, ..
        } = waiting.pending;
        // In this order: a crash in between starts with the file, which says the same.
        let running = Running {
            number,
            taken_back: confirmed.clone(),
        };
        store.set_running(&running)?;
        store.clear_pending()?;
        {
            let mut inner = self.changes.lock();
            inner.waits = None;
            inner.taken_back = confirmed;
        }
        self.changes.moved.notify_waiters();
        tracing::info!(author, number, "configuration confirmed");
        Ok(ConfirmReport { number })
    }

    /// Returns when the time of the change that waits is over.
    pub(super) async fn overdue(&self) {
        loop {
            let moved = self.changes.moved.notified();
            match self.changes.waiting() {
                None => moved.await,
                Some(waiting) => {
                    let until = tokio::time::Instant::from_std(waiting.until);
                    tokio::select! {
                        () = tokio::time::sleep_until(until) => return,
                        () = moved => {}
                    }
                }
            }
        }
    }

    /// Takes back the change whose time is over.
    pub(super) async fn take_back_overdue(&self) {
        let _alone = self.changing.lock().await;
        let over = self.changes.waiting().is_some_and(|it| it.left().is_zero());
        if !over {
            return;
        }
        if let Err(error) = self.go_back("nobody confirmed it in time", "thruway").await {
            tracing::error!("the change that nobody confirmed cannot be taken back yet: {error:#}");
            if let Some(waits) = &mut self.changes.lock().waits {
                waits.until = Instant::now() + AGAIN;
            }
            self.changes.moved.notify_waiters();
        }
    }

    /// Takes back the change that waits. Nothing but a worker that is gone may stand in the way.
    async fn go_back(&self, why: &str, author: &str) -> Result<ReloadReport> {
        let waiting = self.changes.waiting().context("no change waits")?;
        let Waiting {
            pending, before, ..
        } = waiting;
        let (running, text) = (self.config(), Arc::clone(&before));
        let read = move || running.reload_from(&text);
        let (config, diff) = aside(read)
            .await?
            .map_err(|errors| anyhow!("configuration {}: {errors}", pending.back_to))?;
        let access = super::entry::access(&config.server).unwrap_or_else(|error| {
            tracing::error!("who may use the API stays as it is: {error:#}");
            self.state().access.clone()
        });
        let mut report = self.put(config, &diff, access).await?;
        self.give_back_memory().await;
        let number = self.remember_back(&pending, &before, why, author);
        {
            let mut inner = self.changes.lock();
            inner.waits = None;
            inner.number = number;
            inner.sha256 = digest(&before);
            inner.text = before;
            inner.taken_back.clone_from(&pending.taken_back);
        }
        self.changes.moved.notify_waiters();
        tracing::warn!(
            change = pending.number,
            back_to = pending.back_to,
            why,
            "configuration taken back"
        );
        report.number = Some(number);
        Ok(report)
    }

    /// Writes down that a change was taken back; the number of what runs.
    fn remember_back(&self, pending: &Pending, before: &str, why: &str, author: &str) -> u64 {
        let Some(store) = &self.changes.store else {
            return pending.back_to;
        };
        let new = NewEntry {
            at: time_text(SystemTime::now()),
            author: author.to_owned(),
            comment: String::new(),
            kind: Kind::TakenBack,
            what: format!(
                "back to {}, change {}: {why}",
                pending.back_to, pending.number
            ),
            undone: Some(pending.number),
        };
        let number = match store.append(new, before) {
            Ok(entry) => entry.number,
            Err(error) => {
                tracing::error!("the history: {error}");
                pending.back_to
            }
        };
        let running = Running {
            number,
            taken_back: pending.taken_back.clone(),
        };
        let written = store.set_running(&running);
        if let Err(error) = written.and_then(|()| store.clear_pending()) {
            tracing::error!("the history: {error}; a restart takes the change back once more");
        }
        number
    }

    /// What runs; and whether the file says something else.
    pub(crate) async fn revision(&self) -> Revision {
        let mut revision = self.changes.revision();
        let path = self.config().path.clone();
        let file = tokio::task::spawn_blocking(move || self_contained(&path).ok());
        let file = file.await.ok().flatten().map(|whole| digest(&whole.text));
        revision.file_differs = file.as_deref() != Some(&*self.changes.lock().sha256);
        revision
    }

    /// The configurations that were in force.
    ///
    /// # Errors
    /// None are kept, or the folder cannot be read.
    pub(crate) async fn history(&self) -> Result<HistoryView> {
        let store = Arc::clone(self.changes.store()?);
        let (entries, damaged) = aside(move || store.list()).await??;
        let running = self.changes.lock().number;
        let entries = entries.into_iter().map(|entry| HistoryEntry {
            running: entry.number == running,
            number: entry.number,
            at: entry.at,
            author: entry.author,
            comment: entry.comment,
            kind: entry.kind.as_str().to_owned(),
            what: entry.what,
        });
        Ok(HistoryView {
            entries: entries.collect(),
            damaged: damaged.into_iter().map(|it| it.why).collect(),
        })
    }

    /// The text of one configuration: of the history, or of the file.
    ///
    /// # Errors
    /// It is not there.
    pub(crate) fn configuration(&self, number: Option<u64>) -> Result<String, Refused> {
        match number {
            None => {
                let whole = self_contained(&self.config().path).map_err(Refused::bad)?;
                Ok(whole.text)
            }
            Some(0) => Ok(self.changes.lock().text.to_string()),
            Some(number) => match self.changes.store()?.read(number) {
                Ok((_, text)) => Ok(text),
                Err(error) => Err(Refused::Unknown(error.to_string())),
            },
        }
    }

    /// What a rollback goes to, and its text.
    fn rollback_text(&self, number: Option<u64>) -> Result<(u64, String), Refused> {
        if let Some(waiting) = self.changes.waiting()
            && number.is_none_or(|number| number == waiting.pending.back_to)
        {
            return Ok((waiting.pending.back_to, waiting.before.to_string()));
        }
        let number = match number {
            Some(number) => number,
            None => self.before(self.changes.store()?)?,
        };
        Ok((number, self.configuration(Some(number))?))
    }
}

/// A difference in a line.
fn what(diff: &Diff) -> String {
    let names = |names: Vec<&str>| {
        let first: Vec<&str> = names.iter().take(NAMES_MAX).copied().collect();
        let more = names.len() - first.len();
        match more {
            0 => first.join(", "),
            more => format!("{} and {more} more", first.join(", ")),
        }
    };
    let strings = |list: &[String]| names(list.iter().map(String::as_str).collect());
    let mut parts = Vec::new();
    let mut part = |what: &str, count: usize, names: String| {
        if count > 0 {
            parts.push(format!("{what} {names}"));
        }
    };
    part("added", diff.added.len(), strings(&diff.added));
    part("removed", diff.removed.len(), strings(&diff.removed));
    let changed: Vec<&str> = diff
        .reset
        .iter()
        .chain(&diff.in_place)
        .map(|change| change.name.as_str())
        .collect();
    part("changed", changed.len(), names(changed));
    part("policies", diff.policies.len(), strings(&diff.policies));
    part(
        "expectations",
        diff.expect.len(),
        strings(&diff.expectations()),
    );
    part("server", diff.server.len(), names(diff.server.clone()));
    part(
        "exchange",
        diff.exchange.len(),
        names(diff.exchange.clone()),
    );
    if parts.is_empty() {
        return "nothing that counts".to_owned();
    }
    parts.join("; ")
}

impl Daemon {
    /// What a rollback would do.
    ///
    /// # Errors
    /// As [`Daemon::rollback`].
    pub(crate) async fn rollback_plan(
        &self,
        number: Option<u64>,
    ) -> Result<thruway_api::Plan, Refused> {
        let (number, text) = self.rollback_text(number)?;
        let (old, running) = (self.config(), self.config());
        let read = move || running.reload_from(&text);
        let (new, diff) = aside(read).await?.map_err(Refused::bad)?;
        let mut plan = plan::of_change(self, &old, (&new, Named::Read), &diff, None).await?;
        plan.back_to = Some(number);
        Ok(plan)
    }
}
