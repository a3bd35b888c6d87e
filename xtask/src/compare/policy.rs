//! `--case policy`: members with a prefix list each, and a reload that changes every list.
//!
//! Members send their routes and stay. A prober and a watcher stand beside them: a reload is over when the
//! watcher has what only the new lists let through, and all the while a calm prefix goes from the one to
//! the other, twenty times a second: what a member's updates wait.

use std::net::Ipv4Addr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{SyncSender, sync_channel};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use thruway_replay::load;
use thruway_replay::progress::{Phase, Progress, Snapshot};
use thruway_replay::speaker::{ReceivedTable, Speaker, SpeakerOptions};
use thruway_wire::attrs::AttrSetBuf;
use thruway_wire::{Asn, Community, NextHop, Prefix};

use super::CompareArgs;
use super::cases::{Case, asn, session};
use super::config::Lists;
use super::daemon::{Daemon, Kind};
use super::lab::{Lab, Side, peer};

/// Members, and what each of them announces and has in its list.
const MEMBERS: f64 = 700.0;
const ROUTES: u32 = 500;
const ENTRIES: usize = 1000;
/// How often a calm prefix changes: as fast as it goes would be a load of its own, of so many receivers.
const CALM_EVERY: Duration = Duration::from_millis(50);
/// How long nothing is reloaded.
const UNDISTURBED: Duration = Duration::from_secs(5);
/// Reloads of a daemon.
const RELOADS: u32 = 10;
/// Daemons that a reload is known of.
const KNOWN: [Kind; 5] = [
    Kind::Thruway,
    Kind::ThruwayEpoll,
    Kind::Bird,
    Kind::Bird3,
    Kind::OpenBgpd,
];

/// What a reload took.
struct Reload {
    /// Until the watcher had what the new lists let through.
    seconds: f64,
    cpu: f64,
    /// Milliseconds that calm updates waited meanwhile.
    waits: Vec<f64>,
    resident: u64,
}

pub(super) fn run(args: &CompareArgs, daemons: &[Kind]) -> Result<()> {
    let members = ((MEMBERS * args.scale) as usize).clamp(2, MEMBERS as usize);
    let case = Case::members(members, members as u32 * ROUTES);
    let lab = Lab::new(members + 2)?;
    println!("{members} members, {ENTRIES} entries and {ROUTES} routes each, every list changed");
    println!(
        "\n| daemon | reload s | CPU s | calm p50 ms | p99 ms | max ms | MiB before | after {RELOADS} |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|");
    for kind in daemons.iter().filter(|kind| KNOWN.contains(kind)) {
        match measure(*kind, &case, args, &lab) {
            Ok((before, reloads)) => println!("{}", row(*kind, before, &reloads)),
            Err(error) => println!("| {} | {error:#} | | | | | | |", kind.title()),
        }
    }
    Ok(())
}

fn row(kind: Kind, before: u64, reloads: &[Reload]) -> String {
    let median = |list: Vec<f64>| at(&sorted(list), 0.5);
    let waits: Vec<f64> = reloads.iter().flat_map(|it| it.waits.clone()).collect();
    let waits = sorted(waits);
    let last = reloads.last().map_or(0, |it| it.resident);
    format!(
        "| {} | {:.3} | {:.3} | {:.2} | {:.2} | {:.2} | {} | {} |",
        kind.title(),
        median(reloads.iter().map(|it| it.seconds).collect()),
        median(reloads.iter().map(|it| it.cpu).collect()),
        at(&waits, 0.5),
        at(&waits, 0.99),
        at(&waits, 1.0),
        before >> 10,
        last >> 10,
    )
}

fn sorted(mut waits: Vec<f64>) -> Vec<f64> {
    waits.sort_by(f64::total_cmp);
    waits
}

/// A quantile.
fn at(waits: &[f64], part: f64) -> f64 {
    let place = (waits.len() as f64 * part) as usize;
    let place = place.min(waits.len().saturating_sub(1));
    waits.get(place).copied().unwrap_or(f64::NAN)
}

/// What calm updates wait without a reload, over [`UNDISTURBED`].
fn undisturbed(ends: Calm<'_>, limit: Duration) -> Vec<f64> {
    let done = AtomicBool::new(false);
    let (first, _first) = sync_channel(1);
    std::thread::scope(|scope| {
        let waits = scope.spawn(|| calm(ends, &done, &first, limit));
        std::thread::sleep(UNDISTURBED);
        done.store(true, Ordering::Relaxed);
        sorted(waits.join().unwrap_or_default())
    })
}

/// Says when the members have all that there is.
struct Settled(SyncSender<()>);

impl Progress for Settled {
    fn update(&mut self, _: &Snapshot) {}

    fn begins(&mut self, phase: Phase) {
        if phase == Phase::Staying {
            let _ = self.0.send(());
        }
    }
}

fn measure(kind: Kind, case: &Case, args: &CompareArgs, lab: &Lab) -> Result<(u64, Vec<Reload>)> {
    let mut options = case.load(args)?;
    options.verify = false;
    options.best = false;
    options.stay = Duration::from_secs(3600);
    let own = options.senders.iter().map(|sender| {
        let routes = sender.table.routes();
        routes.map(|(nlri, _)| nlri.prefix.to_string()).collect()
    });
    let own: Vec<Vec<String>> = own.collect();
    let lists = |reload: u32| lists(&own, reload);
    let mut site = case.site();
    let members = own.len();
    for number in [members, members + 1] {
        site.peers.push((peer(number), asn(number).0));
    }
    site.lists = Some(lists(0));
    let mut daemon = Daemon::start(kind, &site, lab)?;
    lab.inside(Side::Load, || {
        std::thread::scope(|scope| {
            let (settled, is_settled) = sync_channel(1);
            let load = scope.spawn(move || load::run(&options, &mut Settled(settled)));
            let speakers = [members, members + 1].map(|number| {
                let speaker = Speaker::spawn(SpeakerOptions::new(session(number, case.families())));
                speaker.context("a speaker")
            });
            let [prober, watcher] = speakers;
            let (prober, watcher) = (prober?, watcher?);
            let limit = Duration::from_secs(args.limit);
            prober.established(limit)?;
            watcher.established(limit)?;
            let all = is_settled.recv_timeout(3 * limit);
            if all.is_err() {
                drop(daemon);
                let _ = load.join();
                bail!("over {} s until all members have all", 3 * args.limit);
            }
            let calm = (&prober, &watcher, (peer(members), asn(members)));
            let mut rewrite = |number: u32| {
                site.lists = Some(lists(number));
                kind.rewrite(&site, lab)
            };
            let measured = reloads(kind, &mut daemon, lab, calm, &mut rewrite, limit);
            // The members stay as long as there is a server.
            drop(daemon);
            let _ = load.join();
            measured
        })
    })
}

/// Who changes the calm prefix and with which next hop and AS, and who waits for it.
type Calm<'s> = (&'s Speaker, &'s Speaker, (Ipv4Addr, Asn));

/// All reloads, and the memory before the first.
fn reloads(
    kind: Kind,
    daemon: &mut Daemon,
    lab: &Lab,
    ends: Calm<'_>,
    rewrite: &mut dyn FnMut(u32) -> Result<()>,
    limit: Duration,
) -> Result<(u64, Vec<Reload>)> {
    settle(daemon);
    let before = daemon.tree.memory().resident;
    let idle = undisturbed(ends, limit);
    println!(
        "{}: calm updates wait {:.2} ms at p50 and {:.2} at p99 while nothing is reloaded",
        kind.title(),
        at(&idle, 0.5),
        at(&idle, 0.99),
    );
    let mut reloads = Vec::new();
    for number in 1..=RELOADS {
        rewrite(number)?;
        reloads.push(one(kind, daemon, lab, ends, number, limit)?);
    }
    Ok((before, reloads))
}

/// One reload, from the command to the watcher, with the calm prefix going all the while.
fn one(
    kind: Kind,
    daemon: &mut Daemon,
    lab: &Lab,
    (prober, watcher, hop): Calm<'_>,
    number: u32,
    limit: Duration,
) -> Result<Reload> {
    let probe: Prefix = format!("10.98.{number}.0/24")
        .parse()
        .map_err(|_| anyhow::anyhow!("a prefix"))?;
    prober.announce_prefixes(&[probe], set(hop, 0).as_ref());
    prober.wait_until_sent(limit)?;
    settle(daemon);
    let cpu = daemon.tree.cpu().seconds;
    let done = AtomicBool::new(false);
    let (first, is_first) = sync_channel(1);
    let (seconds, waits) = std::thread::scope(|scope| {
        let calm = scope.spawn(|| calm((prober, watcher, hop), &done, &first, limit));
        let _ = is_first.recv();
        let start = Instant::now();
        let command = kind
            .reload(lab)?
            .output()
            .context("cannot ask for a reload")?;
        if !command.status.success() {
            done.store(true, Ordering::Relaxed);
            bail!("{}", String::from_utf8_lossy(&command.stderr).trim());
        }
        let came = watcher.wait_for(|table| table.get(probe).is_some(), limit);
        let seconds = start.elapsed().as_secs_f64();
        done.store(true, Ordering::Relaxed);
        let waits = calm.join().unwrap_or_default();
        came.context("what the new lists let through does not come")?;
        anyhow::Ok((seconds, waits))
    })?;
    settle(daemon);
    Ok(Reload {
        seconds,
        cpu: daemon.tree.cpu().seconds - cpu,
        waits,
        resident: daemon.tree.memory().resident,
    })
}

/// One prefix, changed every [`CALM_EVERY`], and no sooner than the last change has arrived.
fn calm(
    (prober, watcher, hop): Calm<'_>,
    done: &AtomicBool,
    first: &SyncSender<()>,
    limit: Duration,
) -> Vec<f64> {
    let Ok(prefix) = "10.99.0.0/24".parse::<Prefix>() else {
        return Vec::new();
    };
    let mut waits = Vec::new();
    for number in 1.. {
        let start = Instant::now();
        prober.announce_prefixes(&[prefix], set(hop, number).as_ref());
        let mark = Community(number);
        let has = |table: &ReceivedTable| {
            let set = table.get(prefix);
            set.is_some_and(|set| set.as_ref().communities().any(|it| it == mark))
        };
        if watcher.wait_for(has, limit).is_err() {
            break;
        }
        waits.push(start.elapsed().as_secs_f64() * 1e3);
        let _ = first.try_send(());
        if done.load(Ordering::Relaxed) {
            break;
        }
        std::thread::sleep(CALM_EVERY.saturating_sub(start.elapsed()));
    }
    waits
}

/// Waits until the daemon does nothing for a while.
fn settle(daemon: &mut Daemon) {
    let mut still = 0;
    let mut last = daemon.tree.cpu().seconds;
    while still < 5 {
        std::thread::sleep(Duration::from_millis(100));
        let now = daemon.tree.cpu().seconds;
        still = if now - last < 0.002 { still + 1 } else { 0 };
        last = now;
    }
}

/// The calm prefix's attributes, told apart by a community.
fn set((hop, asn): (Ipv4Addr, Asn), number: u32) -> AttrSetBuf {
    let mut set = AttrSetBuf::new();
    set.set_origin(0);
    set.prepend(asn, 1);
    set.set_next_hop(Some(NextHop::V4(hop)));
    set.add_community(Community(number));
    set
}

/// Each member's list: what it announces, and others that change with every reload. The prober's lets through
/// the calm prefix and the probes so far.
fn lists(own: &[Vec<String>], reload: u32) -> Lists {
    let mut lists: Vec<Vec<String>> = Vec::with_capacity(own.len() + 2);
    let mut other = reload.wrapping_mul(40_503);
    for routes in own {
        let mut list = routes.clone();
        while list.len() < ENTRIES {
            other = other.wrapping_add(1) & 0x3f_ffff;
            let [_, a, b, c] = other.to_be_bytes();
            list.push(format!("{}.{b}.{c}.0/24", 64 + a));
        }
        lists.push(list);
    }
    let probes = (1..=reload).map(|number| format!("10.98.{number}.0/24"));
    let calm = (0..ENTRIES).map(|number| format!("10.{}.{}.0/24", 99 + number / 256, number % 256));
    lists.push(probes.chain(calm).collect());
    lists.push(vec!["10.97.0.0/24".to_owned()]);
    Lists(lists)
}
