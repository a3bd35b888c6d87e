//! Octets through connections: all of them, in order, under pressure.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::collections::VecDeque;
use std::time::Duration;

use bytes::Bytes;
use common::{End, Stream, V4, V6, drive, idle, pair, pattern};
use thruway_net::limits::{SEND_BYTES, SEND_CHUNKS};
use thruway_net::{Accepted, TransportChoice};

on_both!(
    large_transfers_arrive_whole_both_ways,
    many_small_chunks_arrive_in_order,
    one_send_at_a_time,
    no_input_while_reading_is_off,
    reading_off_and_on_in_mid_stream_loses_nothing,
    the_end_waits_while_reading_is_off,
    a_slow_reader_gets_everything,
    unread_counts_what_was_not_delivered,
    counters_count,
    a_unix_socket_is_served_like_any_other,
);

fn large_transfers_arrive_whole_both_ways(choice: TransportChoice) {
    for addr in [V4, V6] {
        let (mut client, near, mut server, far) = pair(choice, addr);
        let total = 24 << 20;
        let mut up = Stream::new(near, total, 61_000);
        let mut down = Stream::new(far, total, 4096);
        let expected = pattern(0, total);
        while client.conn(near).received.len() < total || server.conn(far).received.len() < total {
            up.pump(&mut client);
            down.pump(&mut server);
            client.poll(Duration::from_millis(1));
            server.poll(Duration::from_millis(1));
        }
        assert!(client.conn(near).received == expected && server.conn(far).received == expected);
        drive([&mut client, &mut server], |[client, server]| {
            client.conn(near).sent == total && server.conn(far).sent == total
        });
    }
}

fn many_small_chunks_arrive_in_order(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    let total = 200_000;
    let mut stream = Stream::new(near, total, 19);
    while server.conn(far).received.len() < total {
        stream.pump(&mut client);
        client.poll(Duration::from_millis(1));
        server.poll(Duration::from_millis(1));
    }
    assert!(server.conn(far).received == pattern(0, total));
}

fn one_send_at_a_time(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    let mut queue: VecDeque<Bytes> = (0..2 * SEND_CHUNKS).map(|_| Bytes::from("ab")).collect();
    assert_eq!(client.transport.send(near, &mut queue), 2 * SEND_CHUNKS);
    assert_eq!(queue.len(), SEND_CHUNKS);
    drive([&mut client, &mut server], |[client, _]| {
        client.conn(near).sent_events == 1
    });
    assert_eq!(client.conn(near).sent, 2 * SEND_CHUNKS);

    // One that cannot be through: the reader sleeps.
    server.transport.set_reading(far, false);
    let big = Bytes::from(vec![0; 64 << 20]);
    let mut queue = VecDeque::from([big.slice(..SEND_BYTES - 1), big.clone(), big.clone()]);
    assert_eq!(
        client.transport.send(near, &mut queue),
        SEND_BYTES - 1 + big.len()
    );
    idle([&mut client, &mut server], Duration::from_millis(20));
    assert_eq!(client.conn(near).sent_events, 1);
    assert_eq!(
        client.transport.send(near, &mut queue),
        0,
        "a send is under way"
    );
    assert_eq!(queue.len(), 1);
    assert_eq!(
        client.transport.send(far, &mut queue),
        0,
        "an unknown connection"
    );
}

fn no_input_while_reading_is_off(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    server.transport.set_reading(far, false);
    client.send(near, pattern(0, 100_000));
    idle([&mut client, &mut server], Duration::from_millis(50));
    assert_eq!(server.conn(far).reads, 0);
    server.transport.set_reading(far, true);
    drive([&mut client, &mut server], |[_, server]| {
        server.conn(far).received.len() == 100_000
    });
    assert!(server.conn(far).received == pattern(0, 100_000));
}

fn reading_off_and_on_in_mid_stream_loses_nothing(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V6);
    let total = 16 << 20;
    let mut stream = Stream::new(near, total, 9_999);
    let mut round = 0;
    while server.conn(far).received.len() < total {
        stream.pump(&mut client);
        client.poll(Duration::ZERO);
        // Each order of the two calls and the poll, with data on its way.
        round += 1;
        let before = server.conn(far).reads;
        match round % 5 {
            0 | 1 => {
                server.transport.set_reading(far, false);
                server.poll(Duration::ZERO);
                assert_eq!(server.conn(far).reads, before, "reading is off");
            }
            2 => {
                server.transport.set_reading(far, false);
                server.transport.set_reading(far, true);
            }
            _ => server.transport.set_reading(far, true),
        }
        server.poll(Duration::from_millis(u64::from(round % 5 > 1)));
    }
    assert!(server.conn(far).received == pattern(0, total));
}

fn the_end_waits_while_reading_is_off(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    server.transport.set_reading(far, false);
    client.send(near, "before the end");
    client.close(near, b" and the end");
    idle([&mut client, &mut server], Duration::from_millis(50));
    assert_eq!(server.conn(far).reads, 0);
    assert!(!server.conn(far).is_over());
    server.transport.set_reading(far, true);
    drive([&mut client, &mut server], |[client, server]| {
        server.conn(far).is_over() && client.conn(near).is_over()
    });
    assert_eq!(server.conn(far).received, b"before the end and the end");
    assert!(matches!(server.conn(far).closed, Some(None)));
}

fn a_slow_reader_gets_everything(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    let total = 12 << 20;
    client.send(near, pattern(0, total)); // one chunk, far larger than the kernel's queues
    while server.conn(far).received.len() < total {
        server.transport.set_reading(far, true);
        server.poll(Duration::from_millis(1));
        server.transport.set_reading(far, false);
        client.poll(Duration::ZERO);
    }
    assert!(server.conn(far).received == pattern(0, total));
    drive([&mut client, &mut server], |[client, _]| {
        client.conn(near).sent == total
    });
    assert_eq!(client.conn(near).sent_events, 1);
}

fn unread_counts_what_was_not_delivered(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    assert_eq!(server.transport.unread(far), 0);
    client.send(near, pattern(0, 5000));
    drive([&mut client], |[client]| client.conn(near).sent == 5000);
    assert_eq!(server.transport.unread(far), 5000, "in the kernel");
    server.transport.set_reading(far, false);
    server.poll(Duration::from_millis(5));
    server.poll(Duration::from_millis(5));
    assert_eq!(server.transport.unread(far), 5000, "wherever it is now");
    server.transport.set_reading(far, true);
    drive([&mut server], |[server]| {
        server.conn(far).received.len() == 5000
    });
    assert_eq!(server.transport.unread(far), 0);
    assert_eq!(server.transport.unread(near), 0, "an unknown connection");
}

fn a_unix_socket_is_served_like_any_other(choice: TransportChoice) {
    let (ours, theirs) = std::os::unix::net::UnixStream::pair().unwrap();
    let [mut one, mut other] = [End::new(choice), End::new(choice)];
    let near = one.adopt(1, Accepted::from_unix(ours));
    let far = other.adopt(2, Accepted::from_unix(theirs));
    let total = 4 << 20;
    let mut up = Stream::new(near, total, 61_000);
    let mut down = Stream::new(far, total, 4096);
    while other.conn(far).received.len() < total || one.conn(near).received.len() < total {
        up.pump(&mut one);
        down.pump(&mut other);
        one.poll(Duration::from_millis(1));
        other.poll(Duration::from_millis(1));
    }
    let expected = pattern(0, total);
    assert!(other.conn(far).received == expected && one.conn(near).received == expected);
    drive([&mut one, &mut other], |[one, other]| {
        one.conn(near).sent == total && other.conn(far).sent == total
    });
    one.send(near, pattern(0, 100));
    drive([&mut one], |[one]| one.conn(near).sent == total + 100);
    assert_eq!(other.transport.unread(far), 100);
    one.close(near, b"goodbye");
    drive([&mut one, &mut other], |[_, other]| {
        other.conn(far).is_over()
    });
    assert!(other.conn(far).received.ends_with(b"goodbye"));
    other.close(far, b"");
    drive([&mut one, &mut other], |[one, _]| one.conn(near).is_over());
    assert!(matches!(one.conn(near).closed, Some(None)));
}

fn counters_count(choice: TransportChoice) {
    let (mut client, near, mut server, far) = pair(choice, V4);
    client.send(near, vec![1; 10_000]);
    drive([&mut client, &mut server], |[_, server]| {
        server.conn(far).received.len() == 10_000
    });
    drive([&mut client], |[client]| client.conn(near).sent == 10_000);
    assert_eq!(client.transport.counters().sent, 10_000);
    assert!(client.transport.counters().writes >= 1);
    let counters = server.transport.counters();
    assert_eq!(
        (counters.received, counters.reads),
        (10_000, server.conn(far).reads as u64)
    );
    let end: End = server;
    assert_eq!(end.transport.connections(), 1);
}
