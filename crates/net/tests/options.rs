//! TCP MD5, GTSM and TTLs, as the neighbour and the kernel see them.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::io::ErrorKind;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use common::{End, V4, V6, drive, idle};
use rustix::net::sockopt;
use thruway_net::{
    AcceptOptions, ConnId, ConnectOptions, ListenOptions, Md5Key, TransportChoice, md5_key_limit,
};
use thruway_wire::Prefix;

on_both!(
    the_right_key_connects,
    a_wrong_or_missing_key_does_not,
    a_prefix_key_serves_its_range_and_the_longest_wins,
    keys_come_and_go,
    seven_hundred_keys_and_the_limit_in_words,
    keys_of_the_other_family_are_skipped,
    gtsm_neighbours_meet,
    listeners_answer_with_ttl_255,
    gtsm_drops_what_comes_from_afar,
    ttl_is_set_as_asked,
    sockets_are_tuned,
);

const SHORT: Duration = Duration::from_millis(300);

fn key(prefix: &str, key: &str) -> Md5Key {
    Md5Key {
        prefix: prefix.parse().unwrap(),
        key: key.into(),
    }
}

fn keyed_listener(end: &mut End, addr: &str, md5: Vec<Md5Key>) -> SocketAddr {
    end.listen_with(&ListenOptions {
        md5,
        ..ListenOptions::new(addr.parse().unwrap())
    })
    .1
}

/// Tries to connect; true where it worked and an octet came through.
fn connects(server: &mut End, id: u64, client: &mut End, options: &ConnectOptions) -> bool {
    let options = ConnectOptions {
        timeout: SHORT,
        ..options.clone()
    };
    let conn = client.connect_with(id, &options);
    drive([server, client], |[_, client]| {
        client.conn(conn).connected.is_some() || client.conn(conn).is_over()
    });
    if let Some(error) = &client.conn(conn).failed {
        assert_eq!(error.kind(), ErrorKind::TimedOut, "{error}");
        return false;
    }
    drive([server, client], |[server, _]| !server.accepted.is_empty());
    let (_, socket) = server.accepted.pop_front().unwrap();
    let far = server.adopt(id, socket);
    client.send(conn, "x");
    drive([server, client], |[server, _]| {
        server.conn(far).received == b"x"
    });
    true
}

fn with_key(remote: SocketAddr, local: Option<&str>, key: Option<&str>) -> ConnectOptions {
    ConnectOptions {
        local: local.map(|local| local.parse().unwrap()),
        md5: key.map(Into::into),
        ..ConnectOptions::new(remote)
    }
}

fn the_right_key_connects(choice: TransportChoice) {
    for (addr, prefix) in [(V4, "127.0.0.1"), (V6, "::1")] {
        let (mut server, mut client) = (End::new(choice), End::new(choice));
        let listen = keyed_listener(&mut server, addr, vec![key(prefix, "secret")]);
        assert!(connects(
            &mut server,
            1,
            &mut client,
            &with_key(listen, None, Some("secret"))
        ));
    }
}

fn a_wrong_or_missing_key_does_not(choice: TransportChoice) {
    let (mut server, mut client) = (End::new(choice), End::new(choice));
    let listen = keyed_listener(&mut server, V4, vec![key("127.0.0.1", "secret")]);
    assert!(!connects(
        &mut server,
        1,
        &mut client,
        &with_key(listen, None, Some("guess"))
    ));
    assert!(!connects(
        &mut server,
        2,
        &mut client,
        &with_key(listen, None, None)
    ));
    assert!(server.accepted.is_empty());
    let open = keyed_listener(&mut server, V4, vec![]);
    assert!(!connects(
        &mut server,
        3,
        &mut client,
        &with_key(open, None, Some("secret"))
    ));
    assert!(connects(
        &mut server,
        4,
        &mut client,
        &with_key(open, None, None)
    ));
}

fn a_prefix_key_serves_its_range_and_the_longest_wins(choice: TransportChoice) {
    let (mut server, mut client) = (End::new(choice), End::new(choice));
    let keys = vec![key("127.7.0.0/16", "wide"), key("127.7.7.0/24", "long")];
    let listen = keyed_listener(&mut server, V4, keys);
    let tries = [
        ("127.7.1.1", Some("wide"), true),
        ("127.7.255.9", Some("wide"), true),
        ("127.7.7.1", Some("wide"), false),
        ("127.7.7.1", Some("long"), true),
        ("127.8.0.1", Some("wide"), false),
        ("127.8.0.1", None, true),
    ];
    for (id, (local, key, works)) in (1..).zip(tries) {
        let options = with_key(listen, Some(local), key);
        let result = connects(&mut server, id, &mut client, &options);
        assert_eq!(result, works, "{local} {key:?}");
        if let Some((near, _)) = client.conn(ConnId(id)).connected {
            assert_eq!(near.ip(), local.parse::<IpAddr>().unwrap());
        }
    }
}

fn keys_come_and_go(choice: TransportChoice) {
    let (mut server, mut client) = (End::new(choice), End::new(choice));
    let (id, listen) = server.listen(V4);
    let options = with_key(listen, None, Some("one"));
    let prefix: Prefix = "127.0.0.1".parse().unwrap();
    assert!(!connects(&mut server, 1, &mut client, &options));
    server
        .transport
        .set_md5(id, &[], &[key("127.0.0.1", "one")])
        .unwrap();
    assert!(connects(&mut server, 2, &mut client, &options));
    server
        .transport
        .set_md5(id, &[], &[key("127.0.0.1", "two")])
        .unwrap(); // replaced
    assert!(!connects(&mut server, 3, &mut client, &options));
    server.transport.set_md5(id, &[prefix], &[]).unwrap();
    server.transport.set_md5(id, &[prefix], &[]).unwrap(); // not there: no error
    assert!(connects(
        &mut server,
        4,
        &mut client,
        &with_key(listen, None, None)
    ));
    // The connection with the first key lives on.
    client.send(ConnId(2), "more");
    drive([&mut server, &mut client], |[server, _]| {
        server.conn(ConnId(2)).received == b"xmore"
    });
    let unknown = thruway_net::ListenerId(999);
    let error = server.transport.set_md5(unknown, &[], &[]).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let error = server
        .transport
        .set_md5(id, &[], &[key("127.0.0.1", "")])
        .unwrap_err();
    assert!(error.to_string().contains("1 to 80"), "{error}");
}

fn many_keys(count: usize) -> Vec<Md5Key> {
    (0..count)
        .map(|n| key(&format!("10.{}.{}.0/24", n / 256, n % 256), "secret"))
        .collect()
}

fn seven_hundred_keys_and_the_limit_in_words(choice: TransportChoice) {
    let limit = md5_key_limit().expect("Linux says");
    let mut end = End::new(choice);
    let addr = V4.parse().unwrap();
    if limit >= 700 {
        let options = ListenOptions {
            md5: many_keys(700),
            ..ListenOptions::new(addr)
        };
        end.transport.listen(&options).unwrap();
    }
    let options = ListenOptions {
        md5: many_keys(limit),
        ..ListenOptions::new(addr)
    };
    end.transport
        .listen(&options)
        .expect("what md5_key_limit promises");
    let options = ListenOptions {
        md5: many_keys(2 * limit),
        ..ListenOptions::new(addr)
    };
    let error = end.transport.listen(&options).unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains("net.core.optmem_max") && text.contains("keys"),
        "{text}"
    );
}

fn keys_of_the_other_family_are_skipped(choice: TransportChoice) {
    let (mut server, mut client) = (End::new(choice), End::new(choice));
    let keys = vec![key("::1", "six"), key("127.0.0.1", "four")];
    for (id, (addr, secret)) in (1..).zip([(V4, "four"), (V6, "six")]) {
        let listen = keyed_listener(&mut server, addr, keys.clone());
        assert!(connects(
            &mut server,
            id,
            &mut client,
            &with_key(listen, None, Some(secret))
        ));
    }
}

fn gtsm_neighbours_meet(choice: TransportChoice) {
    for addr in [V4, V6] {
        let (mut server, mut client) = (End::new(choice), End::new(choice));
        let (_, listen) = server.listen(addr);
        let options = ConnectOptions {
            gtsm_hops: Some(1),
            ttl: Some(1),
            ..ConnectOptions::new(listen)
        };
        let conn = client.connect_with(1, &options);
        drive([&mut server, &mut client], |[server, client]| {
            client.conn(conn).connected.is_some() && !server.accepted.is_empty()
        });
        let (_, socket) = server.accepted.pop_front().unwrap();
        server.conns.insert(ConnId(1), common::Conn::default());
        let options = AcceptOptions {
            gtsm_hops: Some(1),
            ttl: None,
        };
        server.transport.adopt(ConnId(1), socket, &options).unwrap();
        client.send(conn, "ping");
        server.send(ConnId(1), "pong");
        drive([&mut server, &mut client], |[server, client]| {
            server.conn(ConnId(1)).received == b"ping" && client.conn(conn).received == b"pong"
        });
    }
}

/// A neighbour that wants TTL 255 from the first packet on.
fn connects_at_min_ttl_255(addr: SocketAddr) -> bool {
    let domain = socket2::Domain::for_address(addr);
    let socket = socket2::Socket::new(domain, socket2::Type::STREAM, None).unwrap();
    let (level, name) = if addr.is_ipv6() {
        (libc::IPPROTO_IPV6, libc::IPV6_MINHOPCOUNT)
    } else {
        (libc::IPPROTO_IP, libc::IP_MINTTL)
    };
    let ttl: libc::c_int = 255;
    let (value, len) = (
        std::ptr::from_ref(&ttl).cast(),
        size_of::<libc::c_int>() as u32,
    );
    // SAFETY: the pointer and length are those of `ttl`, which the kernel only reads.
    let result = unsafe { libc::setsockopt(socket.as_raw_fd(), level, name, value, len) };
    assert_eq!(result, 0);
    socket.connect_timeout(&addr.into(), SHORT).is_ok()
}

fn listeners_answer_with_ttl_255(choice: TransportChoice) {
    for addr in [V4, V6] {
        let mut server = End::new(choice);
        let (_, listen) = server.listen(addr);
        assert!(connects_at_min_ttl_255(listen));
    }
}

fn gtsm_drops_what_comes_from_afar(choice: TransportChoice) {
    for addr in [V4, V6] {
        let (mut server, mut client) = (End::new(choice), End::new(choice));
        let (_, listen) = server.listen(addr);
        // TTL 254: one hop too many for a direct neighbour, right for one two hops away.
        let options = ConnectOptions {
            ttl: Some(254),
            ..ConnectOptions::new(listen)
        };
        for (id, hops, works) in [(1, 1, false), (2, 2, true)] {
            let conn = client.connect_with(id, &options);
            drive([&mut server, &mut client], |[server, client]| {
                client.conn(conn).connected.is_some() && !server.accepted.is_empty()
            });
            let (_, socket) = server.accepted.pop_front().unwrap();
            let options = AcceptOptions {
                gtsm_hops: Some(hops),
                ttl: None,
            };
            server.conns.insert(conn, common::Conn::default());
            server.transport.adopt(conn, socket, &options).unwrap();
            client.send(conn, "ping");
            idle([&mut server, &mut client], Duration::from_millis(50));
            assert_eq!(server.conn(conn).received == b"ping", works);
        }
        let plain = TcpStream::connect(listen).unwrap();
        drive([&mut server], |[server]| !server.accepted.is_empty());
        let (_, socket) = server.accepted.pop_front().unwrap();
        let options = AcceptOptions {
            gtsm_hops: Some(0),
            ttl: None,
        };
        let error = server
            .transport
            .adopt(ConnId(9), socket, &options)
            .unwrap_err();
        assert_eq!(error.kind(), ErrorKind::InvalidInput);
        drop(plain);
    }
}

/// The descriptor of a transport's socket, by its local address.
fn find_socket(local: SocketAddr) -> std::os::fd::OwnedFd {
    for entry in std::fs::read_dir("/proc/self/fd").unwrap() {
        let Ok(fd) = entry
            .unwrap()
            .file_name()
            .into_string()
            .unwrap()
            .parse::<i32>()
        else {
            continue;
        };
        // SAFETY: only looked at and duplicated; a descriptor that is closed meanwhile gives EBADF.
        let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
        let Ok(addr) = rustix::net::getsockname(fd) else {
            continue;
        };
        if SocketAddr::try_from(addr).is_ok_and(|addr| addr == local)
            && rustix::net::getpeername(fd).is_ok()
        {
            return fd.try_clone_to_owned().unwrap();
        }
    }
    panic!("no socket with {local}");
}

fn ttl_is_set_as_asked(choice: TransportChoice) {
    for addr in [V4, V6] {
        let (mut server, mut client) = (End::new(choice), End::new(choice));
        let (_, listen) = server.listen(addr);
        let options = ConnectOptions {
            ttl: Some(1),
            ..ConnectOptions::new(listen)
        };
        assert!(connects(&mut server, 1, &mut client, &options));
        let (local, _) = client.conn(ConnId(1)).connected.unwrap();
        let fd = find_socket(local);
        let ttl = if local.is_ipv6() {
            u32::from(sockopt::ipv6_unicast_hops(fd.as_fd()).unwrap())
        } else {
            sockopt::ip_ttl(fd.as_fd()).unwrap()
        };
        assert_eq!(ttl, 1);
    }
}

fn sockets_are_tuned(choice: TransportChoice) {
    let (mut server, mut client) = (End::new(choice), End::new(choice));
    let (_, listen) = server.listen(V4);
    assert!(connects(
        &mut server,
        1,
        &mut client,
        &ConnectOptions::new(listen)
    ));
    let (local, _) = client.conn(ConnId(1)).connected.unwrap();
    let fd = find_socket(local);
    assert!(sockopt::tcp_nodelay(fd.as_fd()).unwrap());
    let lowat = socket2::SockRef::from(&fd).tcp_notsent_lowat().unwrap();
    assert_eq!(lowat, thruway_net::limits::NOTSENT_LOWAT);
    let flags = rustix::fs::fcntl_getfl(&fd).unwrap();
    assert!(flags.contains(rustix::fs::OFlags::NONBLOCK));
}
