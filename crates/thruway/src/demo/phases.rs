//! The phases of the demo: what is done, and when it has arrived.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use thruway_api::{Client, ExchangeView, SwitchReport};
use thruway_exchange::Kind;
use thruway_replay::speaker::Speaker;

use super::PATIENCE;
use super::child::Server;
use super::network::{self, MEMBERS, SOURCES};
use super::report::{Known, Phase};
use super::view::LiveView;

/// A frame of the live view.
const FRAME: Duration = Duration::from_millis(40);
/// Between two questions to the server.
const ASK_AGAIN: Duration = Duration::from_millis(10);

/// Everything that a phase is played with.
pub(crate) struct Scene<'a> {
    server: &'a Server,
    pub(crate) speakers: &'a [Speaker],
    runtime: tokio::runtime::Runtime,
    client: Client,
    scale: u32,
    quiet: bool,
}

impl<'a> Scene<'a> {
    pub(crate) fn new(
        server: &'a Server,
        speakers: &'a [Speaker],
        scale: u32,
        quiet: bool,
    ) -> Result<Self> {
        Ok(Scene {
            server,
            speakers,
            runtime: crate::show::runtime()?,
            client: Client::at(server.socket()),
            scale,
            quiet,
        })
    }

    fn view(&self) -> Result<ExchangeView> {
        self.runtime.block_on(self.client.get("/v1/exchange"))
    }

    /// Waits until the server holds so many routes of its members, and hosts have them.
    pub(crate) fn wait_until_learned(&self, routes: u64) -> Result<()> {
        let end = Instant::now() + PATIENCE;
        loop {
            let view = self.view()?;
            let sessions = view.members.iter().flat_map(|member| &member.sessions);
            let learned: u64 = sessions.map(|session| session.learned).sum();
            // The VPN gateway's two instances say the same.
            let hosts = view.hosts.totals.routes == self.hosts_due();
            if learned == routes && hosts {
                return Ok(());
            }
            ensure!(
                Instant::now() < end,
                "the server has {learned} of {routes} routes, hosts {} of {}\n{}",
                view.hosts.totals.routes,
                self.hosts_due(),
                self.server.log()
            );
            std::thread::sleep(ASK_AGAIN);
        }
    }

    fn hosts_due(&self) -> u64 {
        let premises = network::PREMISES.iter();
        let prefixes: u64 = premises.map(|it| u64::from(it.prefixes)).sum();
        prefixes * u64::from(self.scale)
    }

    /// The switch is off, and each knows its own side and the network.
    pub(crate) fn apart(&self) -> Result<Phase> {
        let arrived = self.arrivals(false, Instant::now(), false)?;
        self.phase("apart", None, arrived)
    }

    /// Throws the switch and waits until everybody has what it gives or takes.
    pub(crate) fn switch(&self, on: bool) -> Result<Phase> {
        let path = format!("/v1/exchange?enabled={on}");
        let started = Instant::now();
        let (answer, arrived) = std::thread::scope(|scope| {
            let waiting = scope.spawn(|| self.arrivals(on, started, !self.quiet));
            let answer = self.runtime.block_on(self.client.post(&path));
            (answer, waiting.join())
        });
        let report: SwitchReport = serde_json::from_value(answer?)
            .context("the server's answer is not what was expected")?;
        let arrived = arrived.map_err(|_| anyhow!("a thread that waits for routes panicked"))??;
        let title = if on { "exchange on" } else { "exchange off" };
        self.phase(title, Some(&report), arrived)
    }

    /// When each member had all that the switch's position gives it, and no more.
    fn arrivals(&self, on: bool, started: Instant, live: bool) -> Result<Vec<Duration>> {
        let goals: Vec<usize> = MEMBERS
            .iter()
            .map(|member| network::due(member, self.scale, on).iter().sum())
            .collect();
        let held = || {
            self.speakers
                .iter()
                .map(|it| it.with_table(|table| table.len()))
        };
        let most = held().zip(&goals).map(|(held, goal)| held.max(*goal));
        let labels = MEMBERS.iter().map(|member| member.label);
        let live = live.then(|| LiveView::new(labels.zip(most)));
        let arrived = std::thread::scope(|scope| {
            let mut waiting = Vec::new();
            for (speaker, goal) in self.speakers.iter().zip(&goals) {
                waiting.push(scope.spawn(move || {
                    let wait = speaker.wait_for(|table| table.len() == *goal, PATIENCE);
                    wait.map(|()| started.elapsed())
                }));
            }
            while let Some(live) = &live {
                live.update(held());
                if waiting
                    .iter()
                    .all(std::thread::ScopedJoinHandle::is_finished)
                {
                    break;
                }
                std::thread::sleep(FRAME);
            }
            let joined = waiting.into_iter().map(|thread| thread.join());
            joined.collect::<Vec<_>>()
        });
        if let Some(live) = live {
            live.finish();
        }
        let mut times = Vec::new();
        for (member, arrived) in MEMBERS.iter().zip(arrived) {
            let arrived = arrived.map_err(|_| anyhow!("a thread that waits panicked"))?;
            let arrived = arrived
                .map_err(|error| anyhow!("{}: {error}\n{}", member.label, self.server.log()))?;
            times.push(arrived);
        }
        Ok(times)
    }

    /// What everybody knows now, checked against what he should.
    fn phase(
        &self,
        title: &'static str,
        report: Option<&SwitchReport>,
        arrived: Vec<Duration>,
    ) -> Result<Phase> {
        let on = report.is_some_and(|report| report.enabled);
        let mut known = vec![self.hosts()?];
        for ((member, speaker), arrived) in MEMBERS.iter().zip(self.speakers).zip(arrived) {
            let routes = speaker
                .with_table(|table| network::by_source(table.iter().map(|(nlri, _)| nlri.prefix)));
            let due = network::due(member, self.scale, on);
            ensure!(
                routes == due,
                "{} has {routes:?} and should have {due:?}",
                member.label
            );
            known.push(Known {
                who: member.label,
                own: Some(member.behind + 1),
                routes,
                arrived_ms: report.map(|_| millis(arrived)),
            });
        }
        Ok(Phase {
            title,
            server_ms: report.map(|report| report.took_ms),
            announced: report.map_or(0, |report| report.announced),
            withdrawn: report.map_or(0, |report| report.withdrawn),
            known,
        })
    }

    /// What hosts have, by the server's own matrix of now.
    fn hosts(&self) -> Result<Known> {
        let view = self.view()?;
        let mut routes = [0; SOURCES];
        for cell in view.matrix.iter().filter(|cell| cell.to == Kind::Network) {
            let site = MEMBERS.iter().find(|member| member.kind == cell.from);
            let source = site.map_or(0, |member| member.behind + 1);
            if let Some(count) = routes.get_mut(source) {
                *count = usize::try_from(cell.prefixes).unwrap_or(usize::MAX);
            }
        }
        Ok(Known {
            who: "hosts of the VNet",
            own: Some(0),
            routes,
            arrived_ms: None,
        })
    }
}

fn millis(span: Duration) -> f64 {
    (span.as_secs_f64() * 100_000.0).round() / 100.0
}
