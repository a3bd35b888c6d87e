//! The table alone: what it would have the kernel do.

use std::net::IpAddr;

use thruway_api::HostState;
use thruway_wire::{Family, Prefix};

use super::*;

const KERNEL: KernelTable = KernelTable {
    table: 254,
    protocol: 179,
    metric: 50,
    max_paths: 2,
    keep_on_exit: false,
};

const STRAY: Owner = Owner::Stray { metric: 77, tos: 0 };

fn prefix(text: &str) -> Prefix {
    text.parse().unwrap()
}

fn addr(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn hop(via: &str) -> Hop {
    Hop {
        via: addr(via),
        link: 7,
    }
}

/// Everything that is pending resolves to itself on link 7, except what ends in `.99`.
fn resolve(table: &mut Table) {
    let found = table.unresolved().into_iter().map(|addr| {
        let lookup = if addr.to_string().ends_with(".99") {
            Err(format!("no route to {addr}"))
        } else {
            Ok(gateways(&[&addr.to_string()]))
        };
        (addr, lookup)
    });
    let found = found.collect();
    table.resolved(found);
}

fn gateways(addrs: &[&str]) -> Vec<Gateway> {
    let gateway = |addr: &&str| Gateway {
        hop: hop(addr),
        interface: "eth0".into(),
    };
    addrs.iter().map(gateway).collect()
}

/// Resolves, takes all changes and answers each with `outcome`; shows them.
fn work(table: &mut Table, outcome: impl Fn(&Change) -> Result<(), Refusal>) -> Vec<String> {
    resolve(table);
    let mut shown = Vec::new();
    while table.has_work() {
        for change in table.changes(3) {
            shown.push(show(&change));
            table.done(&change, outcome(&change));
        }
    }
    shown
}

fn show(change: &Change) -> String {
    let set = |hops: &[Hop]| {
        let hops: Vec<String> = hops.iter().map(|hop| hop.via.to_string()).collect();
        hops.join(" ")
    };
    match &change.kind {
        ChangeKind::Add(hops) => format!("add {} {}", change.prefix, set(hops)),
        ChangeKind::Replace(hops) => format!("replace {} {}", change.prefix, set(hops)),
        ChangeKind::Remove => format!("remove {}", change.prefix),
        ChangeKind::Clear { metric, .. } => format!("clear {} metric {metric}", change.prefix),
    }
}

fn done(_: &Change) -> Result<(), Refusal> {
    Ok(())
}

fn error_of(table: &Table, network: &str) -> (HostState, Option<String>) {
    let view = table.view(String::new());
    let route = view.routes.iter().find(|r| r.network == prefix(network));
    let route = route.expect("the route is there");
    (route.state, route.error.clone())
}

fn table() -> Table {
    Table::new(Some(KERNEL))
}

#[test]
fn paths_become_one_set_in_order_within_the_bound() {
    let mut table = table();
    let net = prefix("10.9.0.0/16");
    table.announce(net, 2, addr("10.0.0.3"));
    table.announce(net, 1, addr("10.0.0.2"));
    table.announce(net, 3, addr("10.0.0.2"));
    assert_eq!(
        work(&mut table, done),
        ["add 10.9.0.0/16 10.0.0.2 10.0.0.3"]
    );
    // A third neighbour is over the bound; one that goes makes room for it.
    table.announce(net, 4, addr("10.0.0.4"));
    assert_eq!(work(&mut table, done), Vec::<String>::new());
    table.withdraw(net, 2);
    assert_eq!(
        work(&mut table, done),
        ["replace 10.9.0.0/16 10.0.0.2 10.0.0.4"]
    );
    let view = table.view("established".into());
    let hops = view.routes[0].next_hops.iter();
    let hops: Vec<String> = hops.map(|hop| hop.address.to_string()).collect();
    assert_eq!(hops, ["10.0.0.2", "10.0.0.4"]);
    for id in [1, 3, 4] {
        table.withdraw(net, id);
    }
    assert_eq!(work(&mut table, done), ["remove 10.9.0.0/16"]);
    let left = HostsTotals {
        installed: 2,
        removed: 1,
        ..HostsTotals::default()
    };
    assert_eq!(table.totals(), left);
    assert!(table.entries.is_empty() && table.next_hops().is_empty());
}

#[test]
fn what_changes_and_changes_back_is_not_written() {
    let mut table = table();
    let net = prefix("fd00:9::/48");
    table.announce(net, 1, addr("fd00::2"));
    work(&mut table, done);
    table.withdraw(net, 1);
    table.announce(net, 5, addr("fd00::2"));
    assert_eq!(work(&mut table, done), Vec::<String>::new());
    // A path that moves to another next hop is one change, and the old next hop is forgotten.
    table.announce(net, 5, addr("fd00::3"));
    table.announce(net, 5, addr("fd00::4"));
    assert_eq!(work(&mut table, done), ["replace fd00:9::/48 fd00::4"]);
    assert_eq!(table.next_hops(), [addr("fd00::4")]);
}

#[test]
fn without_a_kernel_nothing_is_queued() {
    let mut table = Table::new(None);
    table.announce(prefix("10.9.0.0/16"), 1, addr("10.0.0.2"));
    assert!(!table.has_work());
    let view = table.view("established".into());
    assert_eq!((view.totals.routes, view.totals.in_kernel), (1, 0));
    assert_eq!(view.routes[0].error, None);
    // The table is named later: what is known goes in.
    table.move_to(Some(KERNEL));
    assert_eq!(work(&mut table, done), ["add 10.9.0.0/16 10.0.0.2"]);
}

#[test]
fn unreachable_next_hops_are_left_out_and_shown() {
    let mut table = table();
    let (both, one) = ("10.9.0.0/16", "10.8.0.0/16");
    table.announce(prefix(both), 1, addr("10.0.0.2"));
    table.announce(prefix(both), 2, addr("10.0.0.99"));
    table.announce(prefix(one), 3, addr("10.0.0.99"));
    assert_eq!(work(&mut table, done), ["add 10.9.0.0/16 10.0.0.2"]);
    assert_eq!(error_of(&table, both), (HostState::InKernel, None));
    let why = Some("no route to 10.0.0.99".to_owned());
    assert_eq!(error_of(&table, one), (HostState::InRib, why));
    assert_eq!(table.totals().errors, 1);
    // It becomes reachable through a router, then not at all.
    let news = table.resolved(vec![(addr("10.0.0.99"), Ok(gateways(&["10.0.0.1"])))]);
    assert_eq!(news, [(addr("10.0.0.99"), Ok(()))]);
    assert_eq!(
        work(&mut table, done).sorted(),
        [
            "add 10.8.0.0/16 10.0.0.1",
            "replace 10.9.0.0/16 10.0.0.1 10.0.0.2"
        ]
    );
    assert_eq!(table.totals().errors, 0);
    let news = table.resolved(vec![(addr("10.0.0.99"), Err("gone".into()))]);
    assert_eq!(news, [(addr("10.0.0.99"), Err("gone".into()))]);
    assert_eq!(
        work(&mut table, done).sorted(),
        ["remove 10.8.0.0/16", "replace 10.9.0.0/16 10.0.0.2"]
    );
    assert_eq!(error_of(&table, one).1.as_deref(), Some("gone"));
}

/// Prefixes that share a cause are changed in no order.
trait Sorted {
    fn sorted(self) -> Vec<String>;
}

impl<S: Into<String>> Sorted for Vec<S> {
    fn sorted(self) -> Vec<String> {
        let mut all: Vec<String> = self.into_iter().map(Into::into).collect();
        all.sort();
        all
    }
}

#[test]
fn a_refused_route_is_tried_again_when_something_changes() {
    let mut table = table();
    let net = "10.9.0.0/16";
    let refuse = |_: &Change| Err(Refusal::Other("no such thing".into()));
    table.announce(prefix(net), 1, addr("10.0.0.2"));
    assert_eq!(work(&mut table, refuse), ["add 10.9.0.0/16 10.0.0.2"]);
    let why = Some("no such thing".to_owned());
    assert_eq!(error_of(&table, net), (HostState::InRib, why.clone()));
    assert!(!table.has_work());
    table.retry_refused();
    assert_eq!(work(&mut table, done), ["add 10.9.0.0/16 10.0.0.2"]);
    assert_eq!(error_of(&table, net), (HostState::InKernel, None));
    // A change that is refused must not leave the old next hops behind.
    table.announce(prefix(net), 1, addr("10.0.0.3"));
    let some = |change: &Change| match change.kind {
        ChangeKind::Remove => Ok(()),
        _ => refuse(change),
    };
    assert_eq!(
        work(&mut table, some),
        ["replace 10.9.0.0/16 10.0.0.3", "remove 10.9.0.0/16"]
    );
    assert_eq!(error_of(&table, net), (HostState::InRib, why));
}

#[test]
fn what_others_take_out_is_put_back() {
    let mut table = table();
    let net = prefix("10.9.0.0/16");
    table.announce(net, 1, addr("10.0.0.2"));
    work(&mut table, done);
    table.lost(prefix("10.7.0.0/16"));
    table.lost(net);
    assert_eq!(work(&mut table, done), ["add 10.9.0.0/16 10.0.0.2"]);
    assert_eq!(table.totals().repaired, 1);
    // It went just before it was to change.
    table.announce(net, 1, addr("10.0.0.3"));
    let missing = |change: &Change| match change.kind {
        ChangeKind::Replace(_) => Err(Refusal::Missing),
        _ => Ok(()),
    };
    assert_eq!(
        work(&mut table, missing),
        ["replace 10.9.0.0/16 10.0.0.3", "add 10.9.0.0/16 10.0.0.3"]
    );
}

/// What the kernel has: owner, prefix, next hop. Gives strays.
fn adopt(table: &mut Table, all: &[(Owner, &str, &str)], keep: bool) -> Vec<Change> {
    table.begin_check();
    for (owner, network, via) in all {
        table.see(Found {
            prefix: prefix(network),
            owner: *owner,
            hops: &[hop(via)],
        });
    }
    table.end_check(keep).0
}

#[test]
fn an_earlier_runs_routes_are_kept_until_they_are_asked_for_or_swept() {
    let mut table = table();
    let all = [
        (Owner::Ours, "10.9.0.0/16", "10.0.0.2"),
        (Owner::Ours, "10.8.0.0/16", "10.0.0.9"),
        (Owner::Ours, "10.7.0.0/16", "10.0.0.2"),
        // Of a run with another metric.
        (STRAY, "10.9.0.0/16", "10.0.0.2"),
    ];
    assert_eq!(adopt(&mut table, &all, true), []);
    assert_eq!(work(&mut table, done), Vec::<String>::new());
    assert_eq!(table.totals().leftovers, 3);
    table.announce(prefix("10.9.0.0/16"), 1, addr("10.0.0.2"));
    table.announce(prefix("10.8.0.0/16"), 2, addr("10.0.0.2"));
    assert_eq!(work(&mut table, done), ["replace 10.8.0.0/16 10.0.0.2"]);
    table.sweep_leftovers();
    assert_eq!(work(&mut table, done), ["remove 10.7.0.0/16"]);
    assert_eq!((table.totals().leftovers, table.totals().routes), (0, 2));
    let strays = adopt(&mut table, &all[3..], false);
    let strays: Vec<String> = strays.iter().map(show).collect();
    assert_eq!(strays, ["clear 10.9.0.0/16 metric 77"]);
}

#[test]
fn the_kernels_table_is_the_truth() {
    let mut table = table();
    for (id, net) in ["10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16"]
        .iter()
        .enumerate()
    {
        table.announce(prefix(net), id as u32, addr("10.0.0.2"));
    }
    let exists = |change: &Change| match change.prefix == prefix("10.9.0.0/16") {
        true => Err(Refusal::Exists),
        false => Ok(()),
    };
    assert_eq!(work(&mut table, exists).len(), 3);
    assert_eq!(
        error_of(&table, "10.9.0.0/16").1.as_deref(),
        Some("another program's route has this prefix and metric")
    );
    // One is there, one has gone, one is another's, and one is ours and of no use.
    let all = [
        (Owner::Foreign, "10.9.0.0/16", "10.0.0.1"),
        (Owner::Foreign, "10.5.0.0/16", "10.0.0.1"),
        (Owner::Ours, "10.8.0.0/16", "10.0.0.2"),
        (Owner::Ours, "10.6.0.0/16", "10.0.0.2"),
    ];
    adopt(&mut table, &all, false);
    assert_eq!(
        work(&mut table, done).sorted(),
        ["add 10.7.0.0/16 10.0.0.2", "remove 10.6.0.0/16"]
    );
    assert_eq!(error_of(&table, "10.9.0.0/16").0, HostState::InRib);
    table.cleared(prefix("10.9.0.0/16"));
    assert_eq!(work(&mut table, done), ["add 10.9.0.0/16 10.0.0.2"]);
    assert_eq!((table.totals().errors, table.totals().in_kernel), (0, 3));
}

#[test]
fn only_differences_are_work() {
    let mut table = table();
    let nets = ["10.7.0.0/16", "10.8.0.0/16", "10.9.0.0/16"];
    for net in nets {
        table.announce(prefix(net), 1, addr("10.0.0.2"));
    }
    work(&mut table, done);
    let all = nets.map(|net| (Owner::Ours, net, "10.0.0.2"));
    // In any order, and told twice.
    let twice: Vec<_> = all.iter().rev().chain(&all).copied().collect();
    adopt(&mut table, &twice, false);
    assert!(!table.has_work());
    // One that is not there is put back; one has other next hops.
    let odd = [all[0], (Owner::Ours, nets[1], "10.0.0.7")];
    adopt(&mut table, &odd, false);
    assert_eq!(
        work(&mut table, done).sorted(),
        ["add 10.9.0.0/16 10.0.0.2", "replace 10.8.0.0/16 10.0.0.2"]
    );
    assert_eq!(table.totals().repaired, 1);
    // A second route of ours in one place goes: the kernel takes the first one out, and says that
    // another is in the way.
    let mut double = all.to_vec();
    double.insert(1, (Owner::Ours, nets[0], "10.0.0.7"));
    adopt(&mut table, &double, false);
    let exists = |change: &Change| match change.kind {
        ChangeKind::Add(_) => Err(Refusal::Exists),
        _ => Ok(()),
    };
    assert_eq!(
        work(&mut table, exists),
        ["remove 10.7.0.0/16", "add 10.7.0.0/16 10.0.0.2"]
    );
    adopt(&mut table, &all, false);
    assert_eq!(work(&mut table, done), Vec::<String>::new());
    assert_eq!((table.totals().errors, table.totals().in_kernel), (0, 3));
    // What stood in the way has gone without a word.
    adopt(&mut table, &all[1..], false);
    assert_eq!(work(&mut table, exists), ["add 10.7.0.0/16 10.0.0.2"]);
    assert_eq!(table.totals().errors, 1);
    adopt(&mut table, &all[1..], false);
    assert_eq!(work(&mut table, done), ["add 10.7.0.0/16 10.0.0.2"]);
    assert_eq!(table.totals().errors, 0);
}

#[test]
fn what_the_kernel_cannot_do_now_leaves_what_is_there() {
    let mut table = table();
    let net = prefix("10.9.0.0/16");
    table.announce(net, 1, addr("10.0.0.2"));
    work(&mut table, done);
    table.announce(net, 1, addr("10.0.0.3"));
    let busy = |_: &Change| Err(Refusal::Busy("no memory".into()));
    assert_eq!(work(&mut table, busy), ["replace 10.9.0.0/16 10.0.0.3"]);
    let (state, error) = error_of(&table, "10.9.0.0/16");
    assert_eq!(
        (state, error.as_deref()),
        (HostState::InKernel, Some("no memory"))
    );
    table.retry_refused();
    assert_eq!(work(&mut table, done), ["replace 10.9.0.0/16 10.0.0.3"]);
    assert_eq!(error_of(&table, "10.9.0.0/16"), (HostState::InKernel, None));
}

#[test]
fn martians_stay_out() {
    let mut table = table();
    let martians = [
        "0.0.0.0/8",
        "127.0.0.1/32",
        "169.254.0.0/16",
        "224.0.0.0/4",
        "255.255.255.255/32",
    ];
    for net in martians.iter().chain(&["0.0.0.0/0", "128.0.0.0/1"]) {
        table.announce(prefix(net), 1, addr("10.0.0.2"));
    }
    for net in ["::/8", "::1/128", "fe80::/64", "ff02::/16", "::/0"] {
        table.announce(prefix(net), 1, addr("fd00::2"));
    }
    assert_eq!(
        work(&mut table, done).sorted(),
        [
            "add 0.0.0.0/0 10.0.0.2",
            "add 128.0.0.0/1 10.0.0.2",
            "add ::/0 fd00::2"
        ]
    );
    let why = Some("martian: no network may route this prefix".to_owned());
    assert_eq!(
        error_of(&table, "127.0.0.1/32"),
        (HostState::InRib, why.clone())
    );
    assert_eq!((table.totals().errors, table.totals().in_kernel), (9, 3));
    // One that is in the kernel is taken out, somebody else's is left.
    let all = [
        (Owner::Ours, "0.0.0.0/0", "10.0.0.2"),
        (Owner::Ours, "128.0.0.0/1", "10.0.0.2"),
        (Owner::Ours, "::/0", "fd00::2"),
        (Owner::Ours, "169.254.0.0/16", "10.0.0.2"),
        (Owner::Foreign, "127.0.0.1/32", "10.0.0.9"),
    ];
    adopt(&mut table, &all, false);
    assert_eq!(work(&mut table, done), ["remove 169.254.0.0/16"]);
    table.retry_refused();
    assert_eq!(work(&mut table, done), Vec::<String>::new());
    assert_eq!(error_of(&table, "127.0.0.1/32"), (HostState::InRib, why));
    table.withdraw(prefix("127.0.0.1/32"), 1);
    assert_eq!(table.totals().errors, 8);
}

#[test]
fn a_new_session_replaces_what_the_old_one_told() {
    let mut table = table();
    table.announce(prefix("10.8.0.0/16"), 1, addr("10.0.0.2"));
    table.announce(prefix("10.9.0.0/16"), 1, addr("10.0.0.2"));
    table.announce(prefix("fd00:9::/48"), 1, addr("fd00::2"));
    work(&mut table, done);
    table.begin_session();
    table.announce(prefix("10.9.0.0/16"), 1, addr("10.0.0.2"));
    assert_eq!(work(&mut table, done), Vec::<String>::new());
    table.end_of_rib(Family::Ipv4);
    assert_eq!(work(&mut table, done), ["remove 10.8.0.0/16"]);
    table.end_of_rib(Family::Ipv6);
    assert_eq!(work(&mut table, done), ["remove fd00:9::/48"]);
}

#[test]
fn all_routes_leave_at_the_end_and_go_to_another_table() {
    let mut table = table();
    adopt(
        &mut table,
        &[(Owner::Ours, "10.6.0.0/16", "10.0.0.2")],
        true,
    );
    table.announce(prefix("10.9.0.0/16"), 1, addr("10.0.0.2"));
    work(&mut table, done);
    table.retire();
    assert_eq!(
        work(&mut table, done).sorted(),
        ["remove 10.6.0.0/16", "remove 10.9.0.0/16"]
    );
    assert_eq!((table.totals().routes, table.totals().in_kernel), (1, 0));
    table.move_to(Some(KernelTable {
        table: 100,
        ..KERNEL
    }));
    assert_eq!(work(&mut table, done), ["add 10.9.0.0/16 10.0.0.2"]);
}
