//! Hosts' routes in a real kernel: the hosts' side of the server in a network namespace, driven line
//! by line, and what `ip route` then shows.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;
use thruway_tests::daemon::{Thruway, binary};
use thruway_tests::lab::{Host, Lab, Process, output, wait_until};

const PATIENCE: Duration = Duration::from_secs(20);
/// Leftovers of an earlier run go ten seconds after the table came.
const SWEPT: Duration = Duration::from_secs(30);
/// On a machine that does other things besides, tables of any size.
const AT_LENGTH: Duration = Duration::from_secs(180);
const PROTOCOL: &str = "179";

/// The hosts' side in a namespace.
struct Driver {
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
}

impl Driver {
    fn start(host: &Host, args: &[&str]) -> Self {
        Driver::spawn(host.command(env!("CARGO_BIN_EXE_hosts")), args)
    }

    fn spawn(mut command: Command, args: &[&str]) -> Self {
        command
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        let mut child = command.spawn().expect("the driver starts");
        let orders = child.stdin.take().expect("a pipe");
        let answers = BufReader::new(child.stdout.take().expect("a pipe"));
        Driver {
            child,
            orders,
            answers,
        }
    }

    #[track_caller]
    fn ask(&mut self, order: &str) -> String {
        writeln!(self.orders, "{order}").expect("the driver listens");
        let mut answer = String::new();
        self.answers.read_line(&mut answer).expect("text");
        assert!(!answer.is_empty(), "the driver ended at `{order}`");
        answer.trim_end().to_owned()
    }

    #[track_caller]
    fn tell(&mut self, orders: &[&str]) {
        for order in orders {
            assert_eq!(self.ask(order), "ok", "{order}");
        }
    }

    #[track_caller]
    fn json(&mut self, order: &str) -> Value {
        serde_json::from_str(&self.ask(order)).expect("JSON")
    }

    /// (state, error) of a prefix.
    #[track_caller]
    fn state(&mut self, network: &str) -> (String, Option<String>) {
        let view = self.json("view");
        let routes = view["routes"].as_array().expect("a list");
        let Some(route) = routes.iter().find(|route| route["network"] == network) else {
            return ("absent".to_owned(), None);
        };
        let error = route["error"].as_str().map(str::to_owned);
        (route["state"].as_str().expect("a state").to_owned(), error)
    }

    fn total(&mut self, counter: &str) -> u64 {
        self.json("totals")[counter].as_u64().expect("a counter")
    }

    #[track_caller]
    fn wait_total(&mut self, counter: &str, value: u64) {
        wait_until(&format!("{counter} is {value}"), SWEPT, || {
            self.total(counter) == value
        });
    }

    fn stop(mut self) {
        self.tell(&["stop"]);
        assert!(self.child.wait().expect("it ends").success());
    }

    /// As a crash would.
    fn kill(mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it ends");
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Routes of a protocol in a table, both families: prefix to `gateway@device …` in order, metric.
fn routes(host: &Host, table: &str, protocol: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for family in ["-4", "-6"] {
        let args = [
            "-j", family, "route", "show", "table", table, "proto", protocol,
        ];
        let text = host.ask_ip(&args);
        let list: Vec<Value> = serde_json::from_str(&text).unwrap_or_default();
        for route in list {
            let hops = route["nexthops"].as_array().cloned();
            let mut hops: Vec<String> = hops
                .unwrap_or_else(|| vec![route.clone()])
                .iter()
                .map(hop)
                .collect();
            hops.sort();
            let dst = route["dst"].as_str().expect("a destination").to_owned();
            let text = format!("{} metric {}", hops.join(" "), route["metric"]);
            let twice = found.insert(dst, text);
            assert_eq!(twice, None, "a route twice");
        }
    }
    found
}

fn hop(hop: &Value) -> String {
    let via = hop["gateway"].as_str().or(hop["via"]["host"].as_str());
    let device = hop["dev"].as_str().expect("a device");
    format!("{}@{device}", via.unwrap_or("-"))
}

/// Waits until the table holds exactly this.
#[track_caller]
fn wait_routes(host: &Host, table: &str, wanted: &[(&str, &str)]) {
    let wanted: BTreeMap<String, String> = wanted
        .iter()
        .map(|(dst, hops)| ((*dst).to_owned(), format!("{hops} metric 20")))
        .collect();
    let end = Instant::now() + AT_LENGTH;
    loop {
        let found = routes(host, table, PROTOCOL);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < end, "{found:#?}\ninstead of {wanted:#?}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

/// One host: eth0 with 198.18.0.1/16 and fd00:18::1/64. Neighbours need not exist: the kernel
/// routes to where they would be.
fn host(test: &str) -> Option<(Lab, Host)> {
    let mut lab = Lab::new(test)?;
    let host = lab.host();
    Some((lab, host))
}

#[test]
fn routes_follow_the_session() {
    let Some((_lab, host)) = host("routes_follow_the_session") else {
        return;
    };
    let mut driver = Driver::start(&host, &["254", "20", "4"]);
    driver.tell(&[
        "announce 10.1.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 2 198.18.0.3",
        "announce 0.0.0.0/0 7 198.18.0.9",
        "announce fd00:9::/48 1 fd00:18::2",
        "announce fd00:9::/48 2 fd00:18::3",
        "announce fd00:8::/48 2 fd00:18::3",
        "announce 10.3.0.0/16 3 fd00:18::2",
        "end",
    ]);
    wait_routes(
        &host,
        "254",
        &[
            ("10.1.0.0/16", "198.18.0.2@eth0"),
            ("10.2.0.0/16", "198.18.0.2@eth0 198.18.0.3@eth0"),
            ("10.3.0.0/16", "fd00:18::2@eth0"),
            ("default", "198.18.0.9@eth0"),
            ("fd00:8::/48", "fd00:18::3@eth0"),
            ("fd00:9::/48", "fd00:18::2@eth0 fd00:18::3@eth0"),
        ],
    );
    assert_eq!(driver.state("10.2.0.0/16"), ("in-kernel".into(), None));
    // From one to two, from two to one, to another, and away.
    driver.tell(&[
        "announce 10.1.0.0/16 2 198.18.0.3",
        "withdraw 10.2.0.0/16 1",
        "announce fd00:8::/48 2 fd00:18::4",
        "announce fd00:8::/48 3 fd00:18::5",
        "withdraw fd00:9::/48 2",
        "withdraw 10.3.0.0/16 3",
        "withdraw 0.0.0.0/0 7",
    ]);
    wait_routes(
        &host,
        "254",
        &[
            ("10.1.0.0/16", "198.18.0.2@eth0 198.18.0.3@eth0"),
            ("10.2.0.0/16", "198.18.0.3@eth0"),
            ("fd00:8::/48", "fd00:18::4@eth0 fd00:18::5@eth0"),
            ("fd00:9::/48", "fd00:18::2@eth0"),
        ],
    );
    driver.stop();
    wait_routes(&host, "254", &[]);
}

#[test]
fn what_others_do_to_routes_is_repaired() {
    let Some((_lab, host)) = host("what_others_do_to_routes_is_repaired") else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    driver.tell(&[
        "announce 10.1.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 2 198.18.0.3",
        "announce fd00:9::/48 1 fd00:18::2",
        "announce fd00:9::/48 2 fd00:18::3",
        "end",
    ]);
    let all = [
        ("10.1.0.0/16", "198.18.0.2@eth0"),
        ("10.2.0.0/16", "198.18.0.2@eth0 198.18.0.3@eth0"),
        ("fd00:9::/48", "fd00:18::2@eth0 fd00:18::3@eth0"),
    ];
    wait_routes(&host, "100", &all);
    host.ip(&["route", "del", "10.2.0.0/16", "table", "100"]);
    host.ip(&["-6", "route", "del", "fd00:9::/48", "table", "100"]);
    driver.wait_total("repaired", 2);
    wait_routes(&host, "100", &all);
    // Everything at once, and one IPv6 next hop of two.
    host.ip(&["route", "flush", "table", "100"]);
    let one = "fd00:9::/48 via fd00:18::2 dev eth0 metric 20 table 100";
    let mut args = vec!["-6", "route", "del"];
    args.extend(one.split(' '));
    host.ip(&args);
    wait_routes(&host, "100", &all);
    // With the link down the kernel drops IPv4 routes without a word.
    host.ip(&["link", "set", "eth0", "down"]);
    wait_until("the routes are known to be gone", PATIENCE, || {
        driver.state("10.1.0.0/16").0 == "in-rib"
    });
    host.ip(&["link", "set", "eth0", "up"]);
    host.ip(&["addr", "replace", "fd00:18::1/64", "dev", "eth0", "nodad"]);
    wait_routes(&host, "100", &all);
    // A route of another's in the place of ours is left alone, and shown.
    host.ip(&[
        "route",
        "replace",
        "10.1.0.0/16",
        "via",
        "198.18.0.77",
        "metric",
        "20",
        "table",
        "100",
        "proto",
        "static",
    ]);
    wait_until("the other's route is noticed", PATIENCE, || {
        let (state, error) = driver.state("10.1.0.0/16");
        state == "in-rib" && error.is_some_and(|error| error.contains("another program"))
    });
    wait_routes(&host, "100", &all[1..]);
    host.ip(&["route", "del", "10.1.0.0/16", "table", "100"]);
    wait_routes(&host, "100", &all);
    driver.stop();
    wait_routes(&host, "100", &[]);
}

#[test]
fn a_route_that_was_there_first_stays() {
    let Some((_lab, host)) = host("a_route_that_was_there_first_stays") else {
        return;
    };
    let add = "route add 10.1.0.0/16 via 198.18.0.77 metric 20 proto static";
    host.ip(&add.split(' ').collect::<Vec<_>>());
    let mut driver = Driver::start(&host, &["254", "20", "4"]);
    driver.tell(&["announce 10.1.0.0/16 1 198.18.0.2", "end"]);
    wait_until("the other's route is shown", PATIENCE, || {
        let (state, error) = driver.state("10.1.0.0/16");
        state == "in-rib" && error.is_some_and(|error| error.contains("another program"))
    });
    driver.stop();
    let left = routes(&host, "254", "static");
    let wanted = (
        "10.1.0.0/16".to_owned(),
        "198.18.0.77@eth0 metric 20".to_owned(),
    );
    assert_eq!(left.into_iter().collect::<Vec<_>>(), [wanted]);
}

#[test]
fn next_hops_of_third_parties_are_resolved() {
    let Some((_lab, host)) = host("next_hops_of_third_parties_are_resolved") else {
        return;
    };
    host.ip(&["route", "add", "192.0.2.0/24", "via", "198.18.0.50"]);
    host.ip(&["-6", "route", "add", "2001:db8::/64", "via", "fd00:18::50"]);
    let mut driver = Driver::start(&host, &["254", "20", "4"]);
    driver.tell(&[
        "announce 10.1.0.0/16 1 192.0.2.7",
        "announce 10.2.0.0/16 1 192.0.2.7",
        "announce 10.2.0.0/16 2 198.18.0.3",
        "announce 10.3.0.0/16 1 203.0.113.9",
        "announce 10.4.0.0/16 1 198.18.0.1",
        "announce fd00:9::/48 1 2001:db8::7",
        "end",
    ]);
    let mut all = vec![
        ("10.1.0.0/16", "198.18.0.50@eth0"),
        ("10.2.0.0/16", "198.18.0.3@eth0 198.18.0.50@eth0"),
        ("fd00:9::/48", "fd00:18::50@eth0"),
    ];
    wait_routes(&host, "254", &all);
    let (state, error) = driver.state("10.3.0.0/16");
    assert_eq!(state, "in-rib");
    let error = error.expect("an unreachable next hop has an error");
    assert!(
        error.contains("203.0.113.9") && error.contains("unreachable"),
        "{error}"
    );
    let (_, error) = driver.state("10.4.0.0/16");
    assert!(error.is_some_and(|error| error.contains("this host's own")));
    // A way appears; another moves.
    host.ip(&["route", "add", "203.0.113.0/24", "via", "198.18.0.60"]);
    host.ip(&["route", "replace", "192.0.2.0/24", "via", "198.18.0.51"]);
    all[0].1 = "198.18.0.51@eth0";
    all[1].1 = "198.18.0.3@eth0 198.18.0.51@eth0";
    all.push(("10.3.0.0/16", "198.18.0.60@eth0"));
    wait_routes(&host, "254", &all);
    // And goes.
    host.ip(&["route", "del", "192.0.2.0/24"]);
    all.remove(0);
    all[0].1 = "198.18.0.3@eth0";
    wait_routes(&host, "254", &all);
    driver.stop();
}

#[test]
fn a_next_hop_is_never_reached_by_a_route_of_ours() {
    let Some((_lab, host)) = host("a_next_hop_is_never_reached_by_a_route_of_ours") else {
        return;
    };
    host.ip(&[
        "route",
        "add",
        "default",
        "via",
        "198.18.0.50",
        "metric",
        "500",
    ]);
    let mut driver = Driver::start(&host, &["254", "20", "4"]);
    // Once it is there, the server's own route is the kernel's way to its next hop.
    driver.tell(&["announce 10.0.0.0/8 1 10.0.2.4", "end"]);
    wait_routes(&host, "254", &[("10.0.0.0/8", "198.18.0.50@eth0")]);
    // Whatever changes, it stays.
    driver.tell(&["announce 10.5.0.0/16 1 10.0.2.5"]);
    host.ip(&["addr", "add", "203.0.113.1/24", "dev", "eth0"]);
    let both = [
        ("10.0.0.0/8", "198.18.0.50@eth0"),
        ("10.5.0.0/16", "198.18.0.50@eth0"),
    ];
    wait_routes(&host, "254", &both);
    host.ip(&[
        "route",
        "replace",
        "default",
        "via",
        "198.18.0.51",
        "metric",
        "500",
    ]);
    let both = both.map(|(dst, _)| (dst, "198.18.0.51@eth0"));
    wait_routes(&host, "254", &both);
    host.ip(&["route", "del", "default", "metric", "500"]);
    wait_routes(&host, "254", &[]);
    let (_, error) = driver.state("10.0.0.0/8");
    let error = error.expect("there is no way now");
    assert!(error.contains("10.0.2.4"), "{error}");
    driver.stop();
}

#[test]
fn a_link_without_carrier_is_no_way() {
    let Some((_lab, host)) = host("a_link_without_carrier_is_no_way") else {
        return;
    };
    for args in [
        "link add up1 type veth peer name far1",
        "addr add 203.0.113.1/24 dev up1",
        "addr add fd00:19::1/64 dev up1 nodad",
        "link set up1 up",
        "link set far1 up",
    ] {
        host.ip(&args.split(' ').collect::<Vec<_>>());
    }
    let mut driver = Driver::start(&host, &["254", "20", "4"]);
    driver.tell(&[
        "announce 10.1.0.0/16 1 198.18.0.2",
        "announce 10.1.0.0/16 2 203.0.113.2",
        "announce 10.2.0.0/16 1 203.0.113.2",
        "announce fd00:9::/48 1 fd00:18::2",
        "announce fd00:9::/48 2 fd00:19::2",
        "end",
    ]);
    let all = [
        ("10.1.0.0/16", "198.18.0.2@eth0 203.0.113.2@up1"),
        ("10.2.0.0/16", "203.0.113.2@up1"),
        ("fd00:9::/48", "fd00:18::2@eth0 fd00:19::2@up1"),
    ];
    wait_routes(&host, "254", &all);
    host.ip(&["link", "set", "far1", "down"]);
    let half = [
        ("10.1.0.0/16", "198.18.0.2@eth0"),
        ("fd00:9::/48", "fd00:18::2@eth0"),
    ];
    wait_routes(&host, "254", &half);
    let (_, error) = driver.state("10.2.0.0/16");
    let error = error.expect("its link is down");
    assert!(error.contains("up1"), "{error}");
    host.ip(&["link", "set", "far1", "up"]);
    wait_routes(&host, "254", &all);
    driver.stop();
}

/// `ip` with these words on a host.
fn ip(host: &Host, words: &str) {
    host.ip(&words.split(' ').collect::<Vec<_>>());
}

#[test]
fn links_and_addresses_that_come_and_go_leave_no_route_out() {
    let Some((_lab, host)) = host("links_and_addresses_that_come_and_go_leave_no_route_out") else {
        return;
    };
    let plug = |host: &Host| {
        for words in [
            "link add up1 type veth peer name far1",
            "link set up1 up",
            "link set far1 up",
            "addr add 203.0.113.1/24 dev up1",
        ] {
            ip(host, words);
        }
    };
    plug(&host);
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    driver.tell(&[
        "announce 10.1.0.0/16 1 203.0.113.2",
        "announce 10.2.0.0/16 1 203.0.113.2",
        "announce 10.2.0.0/16 2 198.18.0.3",
        "end",
    ]);
    let all = [
        ("10.1.0.0/16", "203.0.113.2@up1"),
        ("10.2.0.0/16", "198.18.0.3@eth0 203.0.113.2@up1"),
    ];
    let half = [("10.2.0.0/16", "198.18.0.3@eth0")];
    wait_routes(&host, "100", &all);
    // Up again at once, before anybody has looked.
    for _ in 0..5 {
        ip(&host, "link set up1 down");
        ip(&host, "link set up1 up");
    }
    wait_routes(&host, "100", &all);
    for _ in 0..5 {
        ip(&host, "addr del 203.0.113.1/24 dev up1");
        ip(&host, "addr add 203.0.113.1/24 dev up1");
    }
    wait_routes(&host, "100", &all);
    ip(&host, "addr del 203.0.113.1/24 dev up1");
    wait_routes(&host, "100", &half);
    ip(&host, "addr add 203.0.113.1/24 dev up1");
    wait_routes(&host, "100", &all);
    // Another link of the same name.
    ip(&host, "link del up1");
    wait_routes(&host, "100", &half);
    plug(&host);
    wait_routes(&host, "100", &all);
    driver.stop();
    wait_routes(&host, "100", &[]);
}

#[test]
fn what_goes_without_a_word_is_put_back() {
    let Some((_lab, host)) = host("what_goes_without_a_word_is_put_back") else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    driver.tell(&[
        "announce 10.1.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 2 198.18.0.3",
        "announce fd00:9::/48 1 fd00:18::2",
        "end",
    ]);
    let all = [
        ("10.1.0.0/16", "198.18.0.2@eth0"),
        ("10.2.0.0/16", "198.18.0.2@eth0 198.18.0.3@eth0"),
        ("fd00:9::/48", "fd00:18::2@eth0"),
    ];
    wait_routes(&host, "100", &all);
    driver.tell(&["deaf"]);
    let begun = Instant::now();
    ip(&host, "route del 10.2.0.0/16 table 100");
    ip(&host, "-6 route del fd00:9::/48 table 100");
    ip(
        &host,
        "route replace 10.1.0.0/16 via 198.18.0.77 metric 20 table 100 proto 179",
    );
    // Ours, and nobody asked for them: also where the metric is another.
    ip(
        &host,
        "route add 10.3.0.0/16 via 198.18.0.2 metric 20 table 100 proto 179",
    );
    ip(
        &host,
        "route add 10.4.0.0/16 via 198.18.0.2 metric 77 table 100 proto 179",
    );
    ip(
        &host,
        "-6 route add fd00:8::/48 via fd00:18::2 metric 77 table 100 proto 179",
    );
    wait_routes(&host, "100", &all);
    println!("found after {:?}", begun.elapsed());
    // As if that had been nothing, all of IPv4 goes with its link.
    ip(&host, "link set eth0 down");
    ip(&host, "link set eth0 up");
    ip(&host, "addr replace fd00:18::1/64 dev eth0 nodad");
    wait_routes(&host, "100", &all);
    driver.stop();
    wait_routes(&host, "100", &[]);
}

#[test]
fn a_second_route_of_ours_goes() {
    let Some((_lab, host)) = host("a_second_route_of_ours_goes") else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    driver.tell(&["announce 10.1.0.0/16 1 198.18.0.2", "end"]);
    driver.wait_total("inKernel", 1);
    for place in ["append", "prepend"] {
        let add = format!("route {place} 10.1.0.0/16 via 198.18.0.7 metric 20 table 100 proto 179");
        ip(&host, &add);
        assert_eq!(listed(&host, "100"), 2);
        wait_until("one is left", SWEPT, || listed(&host, "100") == 1);
        wait_routes(&host, "100", &[("10.1.0.0/16", "198.18.0.2@eth0")]);
    }
    driver.stop();
    assert_eq!(listed(&host, "100"), 0);
}

#[test]
fn martians_never_get_into_the_kernel() {
    let Some((_lab, host)) = host("martians_never_get_into_the_kernel") else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    let v4 = [
        "0.0.0.0/8",
        "127.0.0.0/8",
        "127.0.0.1/32",
        "169.254.169.254/32",
        "224.0.0.0/4",
    ];
    let v6 = ["::1/128", "::/8", "fe80::/10", "ff02::/16"];
    for prefix in v4 {
        driver.tell(&[&format!("announce {prefix} 1 198.18.0.2")]);
    }
    for prefix in v6 {
        driver.tell(&[&format!("announce {prefix} 1 fd00:18::2")]);
    }
    driver.tell(&[
        "announce 0.0.0.0/0 1 198.18.0.2",
        "announce ::/0 1 fd00:18::2",
        "end",
    ]);
    // `ip` calls both families' the same.
    driver.wait_total("inKernel", 2);
    driver.wait_total("errors", (v4.len() + v6.len()) as u64);
    for prefix in v4.iter().chain(&v6) {
        let (state, error) = driver.state(prefix);
        assert_eq!(state, "in-rib", "{prefix}");
        assert_eq!(
            error.as_deref(),
            Some("martian: no network may route this prefix")
        );
    }
    for family in ["-4", "-6"] {
        let text = host.ask_ip(&[family, "route", "show", "table", "100", "proto", PROTOCOL]);
        assert!(
            text.starts_with("default ") && text.lines().count() == 1,
            "{text}"
        );
    }
    driver.stop();
}

/// Work for every core, until it is dropped or a while has passed.
struct Busy(Vec<Child>);

impl Busy {
    fn start() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        let work = |_| {
            let mut command = Command::new("nice");
            command.args(["timeout", "120", "sh", "-c", "while :; do :; done"]);
            command.spawn().expect("coreutils are installed")
        };
        Busy((0..cores).map(work).collect())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // `timeout` ends its own child with itself.
            let _ = Command::new("kill").arg(child.id().to_string()).status();
            let _ = child.wait();
        }
    }
}

#[test]
fn routes_flushed_again_and_again_on_a_busy_machine_are_back() {
    const COUNT: u64 = 20_000;
    let Some((_lab, host)) = host("routes_flushed_again_and_again_on_a_busy_machine_are_back")
    else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    driver.tell(&[&format!("fill {COUNT} 198.18.0.2"), "end"]);
    driver.wait_total("inKernel", COUNT);
    let _busy = Busy::start();
    // Of what others do, most is not heard, all is, most is not.
    for room in ["20000", "8000000", "5000"] {
        driver.tell(&[&format!("room {room}")]);
        for _ in 0..3 {
            let _ = host.ask_ip(&["-l", "1", "route", "flush", "table", "100"]);
        }
        wait_until("all routes are back", AT_LENGTH, || {
            listed(&host, "100") == COUNT
        });
        wait_until("all routes are known to be back", AT_LENGTH, || {
            let totals = driver.json("totals");
            totals["inKernel"] == COUNT && totals["errors"] == 0 && totals["waiting"] == 0
        });
        assert_eq!(listed(&host, "100"), COUNT);
    }
    driver.stop();
    assert_eq!(listed(&host, "100"), 0);
}

#[test]
fn a_crash_leaves_no_stale_route_behind() {
    let Some((_lab, host)) = host("a_crash_leaves_no_stale_route_behind") else {
        return;
    };
    let mut driver = Driver::start(&host, &["254", "20", "4"]);
    driver.tell(&[
        "announce 10.1.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 1 198.18.0.2",
        "announce 10.3.0.0/16 1 198.18.0.2",
        "announce fd00:8::/48 1 fd00:18::2",
        "announce fd00:9::/48 1 fd00:18::2",
        "end",
    ]);
    driver.wait_total("inKernel", 5);
    driver.kill();
    let mut all = vec![
        ("10.1.0.0/16", "198.18.0.2@eth0"),
        ("10.2.0.0/16", "198.18.0.2@eth0"),
        ("10.3.0.0/16", "198.18.0.2@eth0"),
        ("fd00:8::/48", "fd00:18::2@eth0"),
        ("fd00:9::/48", "fd00:18::2@eth0"),
    ];
    wait_routes(&host, "254", &all);
    // The next run has one unchanged, one changed, and lacks the rest.
    let mut driver = Driver::start(&host, &["254", "20", "4"]);
    driver.wait_total("leftovers", 5);
    driver.tell(&[
        "announce 10.1.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 1 198.18.0.3",
        "announce fd00:9::/48 1 fd00:18::2",
        "end",
    ]);
    all[1].1 = "198.18.0.3@eth0";
    wait_routes(&host, "254", &all);
    all.remove(3);
    all.remove(2);
    wait_routes(&host, "254", &all);
    assert_eq!((driver.total("installed"), driver.total("removed")), (1, 2));
    driver.stop();
    wait_routes(&host, "254", &[]);
}

#[test]
fn routes_stay_at_the_end_where_they_should() {
    let Some((_lab, host)) = host("routes_stay_at_the_end_where_they_should") else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4", "keep"]);
    driver.tell(&["announce 10.1.0.0/16 1 198.18.0.2", "end"]);
    driver.wait_total("inKernel", 1);
    driver.stop();
    wait_routes(&host, "100", &[("10.1.0.0/16", "198.18.0.2@eth0")]);
}

#[test]
fn without_the_capability_each_route_says_so() {
    let Some((_lab, host)) = host("without_the_capability_each_route_says_so") else {
        return;
    };
    let mut command = host.command("setpriv");
    command.args(["--bounding-set", "-net_admin", env!("CARGO_BIN_EXE_hosts")]);
    let mut driver = Driver::spawn(command, &["254", "20", "4"]);
    driver.tell(&["announce 10.1.0.0/16 1 198.18.0.2", "end"]);
    driver.wait_total("errors", 1);
    let (state, error) = driver.state("10.1.0.0/16");
    assert_eq!(state, "in-rib");
    let error = error.expect("the kernel does not let it");
    assert!(error.contains("not permitted"), "{error}");
    driver.stop();
}

#[test]
fn another_table_takes_all_routes_over() {
    let Some((_lab, host)) = host("another_table_takes_all_routes_over") else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    driver.tell(&["announce 10.1.0.0/16 1 198.18.0.2", "end"]);
    wait_routes(&host, "100", &[("10.1.0.0/16", "198.18.0.2@eth0")]);
    driver.tell(&["move 4000"]);
    wait_routes(&host, "4000", &[("10.1.0.0/16", "198.18.0.2@eth0")]);
    wait_routes(&host, "100", &[]);
    driver.stop();
}

#[test]
fn a_broken_session_keeps_what_the_next_one_brings() {
    let Some((_lab, host)) = host("a_broken_session_keeps_what_the_next_one_brings") else {
        return;
    };
    let mut driver = Driver::start(&host, &["100", "20", "4"]);
    driver.tell(&[
        "network 10.0.0.0/16 198.18.0.1 fd00:18::/48 fd00:18::1",
        "announce 10.1.0.0/16 1 198.18.0.2",
        "announce 10.2.0.0/16 1 198.18.0.2",
        "end",
    ]);
    let both = [
        ("10.1.0.0/16", "198.18.0.2@eth0"),
        ("10.2.0.0/16", "198.18.0.2@eth0"),
    ];
    wait_routes(&host, "100", &both);
    driver.tell(&["break", "announce 10.2.0.0/16 1 198.18.0.2"]);
    wait_routes(&host, "100", &both);
    driver.tell(&["end"]);
    wait_routes(&host, "100", &both[1..]);
    assert_eq!((driver.total("installed"), driver.total("removed")), (2, 1));
    let told = driver.json("heard");
    assert_eq!(told["10.0.0.0/16"], "198.18.0.1 local-pref 100 path 0");
    driver.stop();
}

#[test]
fn the_network_announces_its_prefixes() {
    let Some((_lab, host)) = host("the_network_announces_its_prefixes") else {
        return;
    };
    let mut driver = Driver::start(&host, &["-", "20", "4"]);
    driver.tell(&["network 10.0.0.0/16 10.0.0.1 10.1.0.0/16 10.0.0.1 fd00:10::/48 fd00:10::1"]);
    wait_until("three prefixes are announced", PATIENCE, || {
        driver
            .json("heard")
            .as_object()
            .is_some_and(|all| all.len() == 3)
    });
    let told = driver.json("heard");
    assert_eq!(told["10.0.0.0/16"], "10.0.0.1 local-pref 100 path 0");
    assert_eq!(told["fd00:10::/48"], "fd00:10::1 local-pref 100 path 0");
    // One goes, one moves, one comes.
    driver.tell(&["network 10.0.0.0/16 10.0.0.2 10.2.0.0/16 10.0.0.1 fd00:10::/48 fd00:10::1"]);
    wait_until("the difference is told", PATIENCE, || {
        let told = driver.json("heard");
        let moved = told["10.0.0.0/16"] == "10.0.0.2 local-pref 100 path 0";
        moved && told["10.1.0.0/16"].is_null() && told["10.2.0.0/16"].is_string()
    });
    // Without a table routes are shown, and nothing else.
    driver.tell(&["announce 10.9.0.0/16 1 198.18.0.2", "end"]);
    wait_until("the route is shown", PATIENCE, || {
        driver.state("10.9.0.0/16") == ("in-rib".into(), None)
    });
    assert_eq!(routes(&host, "254", PROTOCOL), BTreeMap::new());
    driver.stop();
}

#[test]
fn a_hundred_thousand_routes_take_seconds() {
    let Some((_lab, host)) = host("a_hundred_thousand_routes_take_seconds") else {
        return;
    };
    const COUNT: u64 = 100_000;
    for (kind, hops, paths) in [
        ("IPv4, one next hop", "198.18.0.2", 1),
        ("IPv4, two next hops", "198.18.0.2 198.18.0.3", 2),
        ("IPv6, one next hop", "fd00:18::2", 1),
    ] {
        let mut driver = Driver::start(&host, &["100", "20", "4"]);
        let begun = Instant::now();
        driver.tell(&[&format!("fill {COUNT} {hops}"), "end"]);
        driver.wait_total("inKernel", COUNT);
        let installed = begun.elapsed();
        let family = if hops.contains(':') { "-6" } else { "-4" };
        let args = [
            "-o", family, "route", "show", "table", "100", "proto", PROTOCOL,
        ];
        let listed = || host.ask_ip(&args).lines().count() as u64;
        assert_eq!(listed(), COUNT, "{kind}");
        // Others empty the table, which is put back under their hands.
        let begun = Instant::now();
        // It may give up: routes come and go while it looks at them.
        let _ = host.ask_ip(&["-l", "1", family, "route", "flush", "table", "100"]);
        wait_until("all routes are back", AT_LENGTH, || {
            driver.total("repaired") > 0 && listed() == COUNT
        });
        let (repaired, times) = (begun.elapsed(), driver.total("repaired"));
        let begun = Instant::now();
        driver.stop();
        let removed = begun.elapsed();
        println!(
            "{COUNT} routes ({kind}, {paths} path(s) each): installed in {installed:?}, \
             {times} flushed by another and back in {repaired:?}, removed at the end in {removed:?}"
        );
        assert_eq!(routes(&host, "100", PROTOCOL), BTreeMap::new());
        let limit = Duration::from_secs(30);
        assert!(installed < limit && removed < limit, "seconds, not minutes");
    }
}

/// The server in a network of 198.18.0.0/16, with a table for its hosts.
fn serve(server: &Host, nva: &Host, hosts: &str) -> Thruway {
    let (address, nva) = (server.v4(), nva.v4());
    let config = format!(
        "[server]\nmode = \"exchange\"\nrouter-id = \"{address}\"\n\
         listen = [\"{address}:179\"]\n\
         [vnet]\nprefixes = [\"198.18.0.0/16\"]\n\
         [[nva]]\nname = \"sdwan\"\nasn = 65001\naddresses = [\"{nva}\"]\n\
         [hosts]\nmetric = 20\nprotocol = {PROTOCOL}\n{hosts}\n"
    );
    Thruway::start(server, "auto", &config)
}

/// An NVA with a generated table of so many prefixes.
fn play(nva: &Host, server: &Host, count: u64) -> Process {
    let table = nva.file(&format!("{count}.mrt"));
    let mut generate = nva.command(binary());
    generate.args(["generate", "--ipv4", &count.to_string(), "-o"]);
    output(generate.arg(&table));
    let mut replay = nva.command(binary());
    replay
        .args(["replay", "--to", &server.v4().to_string()])
        .args(["--local-as", "65001", "--next-hop", &nva.v4().to_string()])
        .args(["--stay", "600", "--timeout", "600"])
        .arg(&table);
    nva.spawn("replay", &mut replay)
}

fn listed(host: &Host, table: &str) -> u64 {
    let args = ["-o", "route", "show", "table", table, "proto", PROTOCOL];
    host.ask_ip(&args).lines().count() as u64
}

fn wait_listed(host: &Host, table: &str, count: u64) {
    let what = format!("table {table} has {count} routes");
    wait_until(&what, Duration::from_secs(60), || {
        listed(host, table) == count
    });
}

#[test]
fn the_server_keeps_its_hosts_table() {
    const COUNT: u64 = 20_000;
    let Some(mut lab) = Lab::new("the_server_keeps_its_hosts_table") else {
        return;
    };
    let (server, nva) = (lab.host(), lab.host());
    let thruway = serve(&server, &nva, "table = 100");
    let mut neighbor = play(&nva, &server, COUNT);
    wait_listed(&server, "100", COUNT);
    let via = format!("via {} dev eth0", nva.v4());
    let all = server.ask_ip(&["route", "show", "table", "100"]);
    let other = all.lines().find(|line| !line.contains(&via));
    assert_eq!(other, None, "all {via}");
    let hosts = thruway.show(&["hosts"]);
    assert_eq!(hosts["totals"]["inKernel"], COUNT);

    // A crash: traffic goes on, and half of the routes do not come back.
    let killed = output(
        server
            .command("kill")
            .args(["-KILL", &thruway.id().to_string()]),
    );
    assert_eq!(killed, "");
    neighbor.terminate();
    drop(thruway);
    assert_eq!(listed(&server, "100"), COUNT);
    let mut thruway = serve(&server, &nva, "table = 100");
    let _neighbor = play(&nva, &server, COUNT / 2);
    wait_listed(&server, "100", COUNT / 2);
    let hosts = thruway.show(&["hosts"]);
    let total = |name: &str| hosts["totals"][name].as_u64().expect("a counter");
    assert_eq!(total("routes"), COUNT / 2);
    // What both tables have was not touched.
    assert_eq!(total("removed"), COUNT / 2 + total("installed"));

    // Another table by a reload, and nothing at the end.
    let file = server.file("thruway.toml");
    let text = std::fs::read_to_string(&file).expect("the configuration");
    server.write("thruway.toml", &text.replace("table = 100", "table = 200"));
    let said = thruway.text("reload", &[]);
    wait_until(&format!("reload: {said}"), PATIENCE, || {
        listed(&server, "200") == COUNT / 2 && listed(&server, "100") == 0
    });
    assert_eq!(thruway.terminate(), Some(0));
    assert_eq!(listed(&server, "200"), 0);
}
