//! How connections begin and end.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{End, PATIENCE, V4, V6, drive, idle, pair, pattern};
use socket2::{Domain, SockRef, Socket, Type};
use thruway_net::{
    AcceptOptions, Accepted, Close, ConnId, ConnectOptions, ListenOptions, TransportChoice,
};

on_both!(
    both_see_the_end_of_a_graceful_close,
    a_graceful_close_sends_all_and_no_rst_even_with_unread_input,
    a_graceful_close_ends_at_its_deadline,
    a_graceful_close_behind_a_stuck_send_ends_at_its_deadline,
    the_last_message_comes_behind_the_send_under_way,
    close_now_after_a_graceful_close,
    close_now_with_a_send_under_way,
    closing_while_connecting,
    nothing_but_closed_after_close,
    a_reset_is_an_error,
    the_last_words_before_a_reset_are_heard,
    a_half_closed_neighbour_still_gets_the_rest,
    refused_connections_fail,
    unreachable_and_impossible_connections_fail,
    connections_time_out,
    an_id_is_free_after_its_last_event,
    an_ended_listener_takes_nobody,
    a_port_in_use_is_named,
    drop_closes_everything,
);

/// A connection between a transport and a plain socket.
fn with_plain_peer(choice: TransportChoice) -> (End, ConnId, TcpStream) {
    let mut end = End::new(choice);
    let (_, addr) = end.listen(V4);
    let plain = TcpStream::connect(addr).unwrap();
    plain.set_read_timeout(Some(PATIENCE)).unwrap();
    drive([&mut end], |[end]| !end.accepted.is_empty());
    let (_, socket) = end.accepted.pop_front().unwrap();
    let conn = end.adopt(1, socket);
    (end, conn, plain)
}

fn both_see_the_end_of_a_graceful_close(choice: TransportChoice) {
    for addr in [V4, V6] {
        let (mut client, near, mut server, far) = pair(choice, addr);
        client.send(near, "some");
        client.close(near, b" words");
        drive([&mut client, &mut server], |[client, server]| {
            client.conn(near).is_over() && server.conn(far).is_over()
        });
        assert_eq!(server.conn(far).received, b"some words");
        assert!(matches!(server.conn(far).closed, Some(None)));
        assert!(matches!(client.conn(near).closed, Some(None)));
        assert_eq!(
            client.transport.connections() + server.transport.connections(),
            0
        );
    }
}

fn a_graceful_close_sends_all_and_no_rst_even_with_unread_input(choice: TransportChoice) {
    let (mut end, conn, mut plain) = with_plain_peer(choice);
    // Input that the transport never delivers: a close(2) would answer it with RST, and the RST
    // would throw away what the neighbour has not read yet.
    end.transport.set_reading(conn, false);
    plain.write_all(&pattern(0, 50_000)).unwrap();
    idle([&mut end], Duration::from_millis(20));
    let big = pattern(0, 3 << 20);
    end.send(conn, big.clone());
    end.close(conn, b"notification");
    let reader = std::thread::spawn(move || {
        // Goes on writing, as a neighbour does that has not seen the end yet.
        plain.write_all(&pattern(0, 50_000)).unwrap();
        std::thread::sleep(Duration::from_millis(50));
        let mut all = Vec::new();
        plain.read_to_end(&mut all).map(|_| all)
    });
    drive([&mut end], |[end]| end.conn(conn).is_over());
    let mut expected = big;
    expected.extend_from_slice(b"notification");
    assert!(reader.join().unwrap().expect("FIN, not RST") == expected);
    assert!(matches!(end.conn(conn).closed, Some(None)));
    assert_eq!(end.conn(conn).reads, 0);
}

fn a_graceful_close_ends_at_its_deadline(choice: TransportChoice) {
    let (mut end, conn, mut plain) = with_plain_peer(choice);
    let deadline = Duration::from_millis(60);
    let start = Instant::now();
    end.transport.close(
        conn,
        Close::Graceful {
            last: Bytes::from_static(b"bye"),
            deadline,
        },
    );
    drive([&mut end], |[end]| end.conn(conn).is_over());
    assert!(start.elapsed() >= deadline);
    let error = end
        .conn(conn)
        .closed
        .as_ref()
        .unwrap()
        .as_ref()
        .expect("no FIN came");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    let mut all = Vec::new();
    plain.read_to_end(&mut all).unwrap();
    assert_eq!(all, b"bye");
}

fn a_graceful_close_behind_a_stuck_send_ends_at_its_deadline(choice: TransportChoice) {
    let (mut end, conn, plain) = with_plain_peer(choice);
    end.send(conn, vec![0; 64 << 20]);
    idle([&mut end], Duration::from_millis(10));
    let deadline = Duration::from_millis(50);
    end.transport.close(
        conn,
        Close::Graceful {
            last: Bytes::from_static(b"bye"),
            deadline,
        },
    );
    drive([&mut end], |[end]| end.conn(conn).is_over());
    let error = end
        .conn(conn)
        .closed
        .as_ref()
        .unwrap()
        .as_ref()
        .expect("nobody reads");
    assert_eq!(error.kind(), ErrorKind::TimedOut);
    assert_eq!(end.conn(conn).sent_events, 0);
    drop(plain);
}

fn the_last_message_comes_behind_the_send_under_way(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    let big = pattern(0, 8 << 20);
    client.send(near, big.clone());
    client.poll(Duration::ZERO);
    client.close(near, b"last");
    drive([&mut client, &mut server], |[client, server]| {
        client.conn(near).is_over() && server.conn(far).is_over()
    });
    let (rest, last) = server.conn(far).received.split_at(big.len());
    assert!(rest == big && last == b"last");
    assert_eq!(client.conn(near).sent_events, 0, "no Sent after close");
}

fn close_now_after_a_graceful_close(choice: TransportChoice) {
    let (mut end, conn, _plain) = with_plain_peer(choice);
    end.close(conn, b"bye");
    idle([&mut end], Duration::from_millis(10));
    assert!(!end.conn(conn).is_over());
    end.transport.close(conn, Close::Now);
    drive([&mut end], |[end]| end.conn(conn).is_over());
    assert!(matches!(end.conn(conn).closed, Some(None)));
}

fn close_now_with_a_send_under_way(choice: TransportChoice) {
    let (mut end, conn, mut plain) = with_plain_peer(choice);
    end.send(conn, vec![7; 64 << 20]);
    idle([&mut end], Duration::from_millis(10));
    end.transport.close(conn, Close::Now);
    drive([&mut end], |[end]| end.conn(conn).is_over());
    let mut all = Vec::new();
    // The neighbour sees an end, and only what was sent before it.
    let _ = plain.read_to_end(&mut all);
    assert!(!all.is_empty() && all.len() < 64 << 20);
}

fn closing_while_connecting(choice: TransportChoice) {
    for how in [
        Close::Now,
        Close::Graceful {
            last: Bytes::from_static(b"x"),
            deadline: Duration::from_secs(1),
        },
    ] {
        let (listener, _fillers) = full_listener();
        let mut end = End::new(choice);
        let conn = end.connect(1, listener.local_addr().unwrap().as_socket().unwrap());
        idle([&mut end], Duration::from_millis(10));
        assert!(!end.conn(conn).is_over());
        end.transport.close(conn, how);
        drive([&mut end], |[end]| end.conn(conn).is_over());
        assert!(matches!(end.conn(conn).closed, Some(None)));
        assert_eq!(end.transport.connections(), 0);
    }
    // Before the transport has begun at all.
    let mut end = End::new(choice);
    let (_, addr) = end.listen(V4);
    let conn = end.connect(1, addr);
    end.transport.close(conn, Close::Now);
    drive([&mut end], |[end]| end.conn(conn).is_over());
    assert!(end.conn(conn).closed.is_some() && end.conn(conn).connected.is_none());
}

fn nothing_but_closed_after_close(choice: TransportChoice) {
    for how in [
        Close::Now,
        Close::Graceful {
            last: Bytes::new(),
            deadline: PATIENCE,
        },
    ] {
        let (mut client, near, mut server, far) = pair(choice, V4);
        client.send(near, "input");
        server.send(far, "output");
        drive([&mut client], |[client]| client.conn(near).sent == 5);
        server.transport.close(far, how); // both events are on their way by now
        client.transport.close(near, Close::Now);
        drive([&mut client, &mut server], |[client, server]| {
            client.conn(near).is_over() && server.conn(far).is_over()
        });
        assert_eq!(
            (server.conn(far).sent_events, server.conn(far).reads),
            (0, 0)
        );
        assert_eq!(
            server.transport.send(far, &mut [Bytes::from("x")].into()),
            0
        );
        server.transport.set_reading(far, false);
        server.transport.set_reading(far, true);
        server.transport.close(far, Close::Now);
        idle([&mut server], Duration::from_millis(5));
    }
}

fn a_reset_is_an_error(choice: TransportChoice) {
    let (mut end, conn, plain) = with_plain_peer(choice);
    SockRef::from(&plain)
        .set_linger(Some(Duration::ZERO))
        .unwrap();
    drop(plain);
    drive([&mut end], |[end]| end.conn(conn).is_over());
    let error = end
        .conn(conn)
        .closed
        .as_ref()
        .unwrap()
        .as_ref()
        .expect("a reset");
    assert_eq!(error.kind(), ErrorKind::ConnectionReset);
}

fn the_last_words_before_a_reset_are_heard(choice: TransportChoice) {
    let (mut end, conn, mut plain) = with_plain_peer(choice);
    // The neighbour says why and goes; its kernel answers what we send with RST.
    plain.write_all(b"notification").unwrap();
    drop(plain);
    std::thread::sleep(Duration::from_millis(5));
    for _ in 0..2 {
        // The second one meets the RST, where the transport writes at once.
        end.transport
            .send(conn, &mut [Bytes::from("update")].into());
        std::thread::sleep(Duration::from_millis(5));
    }
    drive([&mut end], |[end]| end.conn(conn).is_over());
    assert_eq!(end.conn(conn).received, b"notification");
}

fn a_half_closed_neighbour_still_gets_the_rest(choice: TransportChoice) {
    let (mut end, conn, mut plain) = with_plain_peer(choice);
    let big = pattern(0, 4 << 20);
    end.send(conn, big.clone());
    end.close(conn, b"last");
    end.poll(Duration::ZERO);
    plain.shutdown(Shutdown::Write).unwrap();
    idle([&mut end], Duration::from_millis(20));
    let reader = std::thread::spawn(move || {
        let mut all = Vec::new();
        plain.read_to_end(&mut all).map(|_| all)
    });
    drive([&mut end], |[end]| end.conn(conn).is_over());
    let all = reader.join().unwrap().unwrap();
    assert!(all.len() == big.len() + 4 && all.ends_with(b"last"));
    assert!(matches!(end.conn(conn).closed, Some(None)));
}

fn refused_connections_fail(choice: TransportChoice) {
    for addr in [V4, V6] {
        let free = TcpListener::bind(addr).unwrap().local_addr().unwrap(); // closed again
        let mut end = End::new(choice);
        let conn = end.connect(1, free);
        drive([&mut end], |[end]| end.conn(conn).is_over());
        let error = end.conn(conn).failed.as_ref().expect("not `Closed`");
        assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
        assert_eq!(end.transport.connections(), 0);
    }
}

fn unreachable_and_impossible_connections_fail(choice: TransportChoice) {
    let mut end = End::new(choice);
    let remote = "127.0.0.1:9".parse().unwrap();
    let not_ours = ConnectOptions {
        local: Some("198.51.100.7".parse().unwrap()),
        ..ConnectOptions::new(remote)
    };
    let no_hops = ConnectOptions {
        gtsm_hops: Some(0),
        ..ConnectOptions::new(remote)
    };
    let long_key = ConnectOptions {
        md5: Some(vec![1; 81]),
        ..ConnectOptions::new(remote)
    };
    let broadcast = ConnectOptions::new("255.255.255.255:9".parse().unwrap());
    for (id, options) in (1..).zip([not_ours, no_hops, long_key, broadcast]) {
        let conn = end.connect_with(id, &options);
        drive([&mut end], |[end]| end.conn(conn).is_over());
        assert!(end.conn(conn).failed.is_some());
    }
    let text = end.conn(ConnId(1)).failed.as_ref().unwrap().to_string();
    assert!(text.contains("198.51.100.7"), "{text}");
}

/// A listener whose queue is full: further SYNs get no answer.
fn full_listener() -> (Socket, Vec<Socket>) {
    let listener = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    listener
        .bind(
            &"127.0.0.1:0"
                .parse::<std::net::SocketAddr>()
                .unwrap()
                .into(),
        )
        .unwrap();
    listener.listen(0).unwrap();
    let addr = listener.local_addr().unwrap();
    let fillers = (0..4).map(|_| {
        let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
        socket.set_nonblocking(true).unwrap();
        let _ = socket.connect(&addr);
        socket
    });
    let fillers = fillers.collect();
    std::thread::sleep(Duration::from_millis(10));
    (listener, fillers)
}

fn connections_time_out(choice: TransportChoice) {
    let (listener, _fillers) = full_listener();
    let addr = listener.local_addr().unwrap().as_socket().unwrap();
    let mut end = End::new(choice);
    let timeout = Duration::from_millis(80);
    let start = Instant::now();
    let conn = end.connect_with(
        1,
        &ConnectOptions {
            timeout,
            ..ConnectOptions::new(addr)
        },
    );
    drive([&mut end], |[end]| end.conn(conn).is_over());
    assert!(start.elapsed() >= timeout);
    assert_eq!(
        end.conn(conn).failed.as_ref().unwrap().kind(),
        ErrorKind::TimedOut
    );
}

fn an_id_is_free_after_its_last_event(choice: TransportChoice) {
    let mut end = End::new(choice);
    let (_, addr) = end.listen(V4);
    for round in 0..50 {
        let conn = end.connect(1, addr);
        drive([&mut end], |[end]| {
            end.conn(conn).connected.is_some() && !end.accepted.is_empty()
        });
        let (_, socket) = end.accepted.pop_front().unwrap();
        let far = end.adopt(2, socket);
        end.send(conn, format!("round {round}"));
        drive([&mut end], |[end]| !end.conn(far).received.is_empty());
        let text = String::from_utf8(end.conn(far).received.clone()).unwrap();
        assert_eq!(text, format!("round {round}"));
        end.close(if round % 2 == 0 { conn } else { far }, b"");
        drive([&mut end], |[end]| {
            end.conn(conn).is_over() && end.conn(far).is_over()
        });
    }
    let conn = end.connect(1, addr);
    drive([&mut end], |[end]| {
        end.conn(conn).connected.is_some() && !end.accepted.is_empty()
    });
    let (_, socket) = end.accepted.pop_front().unwrap();
    let error = end
        .transport
        .adopt(conn, socket, &AcceptOptions::default())
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AlreadyExists);
}

fn an_ended_listener_takes_nobody(choice: TransportChoice) {
    let mut end = End::new(choice);
    let (first, addr) = end.listen(V4);
    end.poll(Duration::ZERO);
    end.transport.unlisten(first);
    assert!(TcpStream::connect(addr).is_err());
    assert_eq!(
        end.transport.local_addr(first).unwrap_err().kind(),
        ErrorKind::NotFound
    );
    end.poll(Duration::from_millis(5));
    // The port is free again, and a new listener is not taken for the old one.
    let (second, _) = end.listen_with(&ListenOptions::new(addr));
    assert_ne!(first, second);
    let _plain = TcpStream::connect(addr).unwrap();
    drive([&mut end], |[end]| !end.accepted.is_empty());
    assert_eq!(end.accepted[0].0, second);
    // Listened to and ended before any poll.
    let (third, addr) = end.listen(V4);
    end.transport.unlisten(third);
    idle([&mut end], Duration::from_millis(5));
    assert!(TcpStream::connect(addr).is_err());
}

fn a_port_in_use_is_named(choice: TransportChoice) {
    let mut end = End::new(choice);
    let (_, addr) = end.listen(V4);
    let mut other = End::new(choice);
    let error = other
        .transport
        .listen(&ListenOptions::new(addr))
        .unwrap_err();
    assert_eq!(error.kind(), ErrorKind::AddrInUse);
    assert!(error.to_string().contains(&addr.to_string()), "{error}");
}

fn drop_closes_everything(choice: TransportChoice) {
    let (mut end, conn, mut plain) = with_plain_peer(choice);
    let (_, addr) = end.listen(V4);
    let waiting = TcpStream::connect(addr).unwrap();
    end.send(conn, vec![7; 32 << 20]);
    end.transport.set_reading(conn, false);
    idle([&mut end], Duration::from_millis(5));
    let start = Instant::now();
    drop(end);
    assert!(
        start.elapsed() < Duration::from_millis(500),
        "requests were cancelled"
    );
    let mut all = Vec::new();
    let _ = plain.read_to_end(&mut all);
    assert!(all.iter().all(|&octet| octet == 7) && all.len() < 32 << 20);
    assert!(TcpStream::connect(addr).is_err());
    drop(waiting);
    // A socket that nobody adopted closes by itself.
    let listener = TcpListener::bind(V4).unwrap();
    let mut peer = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (stream, from) = listener.accept().unwrap();
    let local = stream.local_addr().unwrap();
    drop(Accepted {
        fd: OwnedFd::from(stream),
        peer: from,
        local,
    });
    assert_eq!(peer.read(&mut [0; 1]).unwrap(), 0);
}
