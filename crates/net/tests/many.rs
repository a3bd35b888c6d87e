//! Many connections, several transports, other threads.
#![allow(
    clippy::unwrap_used,
    reason = "a test stops at the first thing that is wrong"
)]

mod common;

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use bytes::Bytes;
use common::{Conn, End, Stream, V4, V6, drive, pattern};
use thruway_net::limits::{POLL_BYTES, READ_BYTES_PER_SOCKET, RING_BUFFERS};
use thruway_net::{
    AcceptOptions, Accepted, Close, ConnId, Event, ListenOptions, TransportChoice, TransportKind,
};

on_both!(
    two_thousand_connections_in_one_transport,
    many_senders_and_few_buffers,
    nobody_starves_while_the_transport_waits,
    a_flood_does_not_starve_the_others,
    a_turn_is_bounded,
    accepted_here_served_there,
    workers_may_share_a_port,
    a_waker_ends_the_wait_from_another_thread,
    wakes_are_merged_and_none_is_lost,
    a_wait_ends_in_time,
    connections_come_and_go_under_load,
);

/// Connects `count` pairs within one end: ids `0..count` connected, `count..` accepted.
fn pairs(end: &mut End, count: u64) {
    let (_, addr) = end.listen(V4);
    for id in 0..count {
        end.connect(id, addr);
    }
    let mut next = count;
    let give_up = Instant::now() + common::PATIENCE;
    while next < 2 * count || (0..count).any(|id| end.conn(ConnId(id)).connected.is_none()) {
        assert!(Instant::now() < give_up);
        end.poll(Duration::from_millis(1));
        while let Some((_, socket)) = end.accepted.pop_front() {
            end.adopt(next, socket);
            next += 1;
        }
    }
}

fn two_thousand_connections_in_one_transport(choice: TransportChoice) {
    let count = 2000;
    let mut end = End::new(choice);
    pairs(&mut end, count);
    assert_eq!(end.transport.connections(), 2 * count as usize);
    for id in 0..count {
        end.send(ConnId(id), format!("hello from {id}"));
    }
    drive([&mut end], |[end]| {
        (count..2 * count).all(|id| !end.conn(ConnId(id)).received.is_empty())
    });
    let mut heard: Vec<&[u8]> = (count..2 * count)
        .map(|id| end.conn(ConnId(id)).received.as_slice())
        .collect();
    heard.sort_unstable();
    heard.dedup();
    assert_eq!(heard.len(), count as usize);
    for id in 0..count {
        end.close(ConnId(id), b"bye");
    }
    drive([&mut end], |[end]| end.conns.values().all(Conn::is_over));
    assert_eq!(end.transport.connections(), 0);
    assert!(
        end.conns
            .values()
            .all(|conn| matches!(conn.closed, Some(None)))
    );
}

fn many_senders_and_few_buffers(choice: TransportChoice) {
    let senders = u64::from(RING_BUFFERS) * 5;
    let total = 200_000;
    let mut end = End::new(choice);
    pairs(&mut end, senders);
    let mut streams: Vec<Stream> = (0..senders)
        .map(|id| Stream::new(ConnId(id), total, 50_000))
        .collect();
    let give_up = Instant::now() + common::PATIENCE;
    while (senders..2 * senders).any(|id| end.conn(ConnId(id)).received.len() < total) {
        assert!(Instant::now() < give_up);
        streams.iter_mut().for_each(|stream| stream.pump(&mut end));
        end.poll(Duration::from_millis(1));
    }
    let expected = pattern(0, total);
    assert!((senders..2 * senders).all(|id| end.conn(ConnId(id)).received == expected));
    if end.transport.kind() == TransportKind::IoUring {
        assert!(
            end.transport.counters().starved > 0,
            "the test is to exhaust the buffers"
        );
    }
}

fn nobody_starves_while_the_transport_waits(choice: TransportChoice) {
    let count = u64::from(RING_BUFFERS) * 5;
    let mut end = End::new(choice);
    pairs(&mut end, count);
    let message = "a message";
    for round in 1..=3 {
        for id in 0..count {
            end.send(ConnId(id), message);
        }
        let whole = message.len() * round;
        // What comes ends a wait, and nothing else does.
        while (count..2 * count).any(|id| end.conn(ConnId(id)).received.len() < whole) {
            let start = Instant::now();
            end.poll(common::PATIENCE);
            assert!(
                start.elapsed() < common::PATIENCE,
                "unheard in round {round}"
            );
        }
    }
}

/// Keeps a sender's socket full.
fn flood(end: &mut End, floods: u64, chunk: &Bytes) {
    for id in 0..floods {
        end.transport.send(ConnId(id), &mut [chunk.clone()].into());
    }
    end.poll(Duration::ZERO);
}

fn a_flood_does_not_starve_the_others(choice: TransportChoice) {
    let (mut server, mut client) = (End::new(choice), End::new(choice));
    let (_, addr) = server.listen(V6);
    let floods = 100;
    for id in 0..=floods {
        client.connect(id, addr);
    }
    let quiet = ConnId(floods);
    drive([&mut server, &mut client], |[server, client]| {
        server.accepted.len() > floods as usize && client.conn(quiet).connected.is_some()
    });
    let quiet_addr = client.conn(quiet).connected.unwrap().0;
    let mut quiet_far = None;
    for id in 0..=floods {
        let (_, socket) = server.accepted.pop_front().unwrap();
        quiet_far = quiet_far.or((socket.peer == quiet_addr).then_some(ConnId(id)));
        server.adopt(id, socket);
    }
    let quiet_far = quiet_far.unwrap();
    let chunk = Bytes::from(vec![0; 60_000]);
    for _ in 0..20 {
        flood(&mut client, floods, &chunk);
    }
    client.send(quiet, "a keepalive");
    client.poll(Duration::ZERO);
    // All other sockets are full now and stay so. The quiet one is heard before most of them have given
    // their share for the second time.
    let share = READ_BYTES_PER_SOCKET * floods as usize;
    for turn in 0.. {
        let heard: usize = server.conns.values().map(|conn| conn.received.len()).sum();
        assert!(
            heard < 2 * share,
            "starved for {turn} turns, {heard} octets"
        );
        server.poll(Duration::from_millis(1));
        if !server.conn(quiet_far).received.is_empty() {
            break;
        }
        flood(&mut client, floods, &chunk);
    }
    // And everyone gets much the same.
    for _ in 0..10 * floods {
        flood(&mut client, floods, &chunk);
        server.poll(Duration::ZERO);
    }
    let heard = server.conns.iter().filter(|(id, _)| **id != quiet_far);
    let (least, most) = heard.fold((usize::MAX, 0), |(least, most), (_, conn)| {
        (
            least.min(conn.received.len()),
            most.max(conn.received.len()),
        )
    });
    assert!(least > 0 && most / least < 10, "least {least}, most {most}");
}

fn a_turn_is_bounded(choice: TransportChoice) {
    let mut end = End::new(choice);
    pairs(&mut end, 64);
    for id in 64..128 {
        end.transport.set_reading(ConnId(id), false);
    }
    let mut streams: Vec<Stream> = (0..64)
        .map(|id| Stream::new(ConnId(id), 8 << 20, 60_000))
        .collect();
    for _ in 0..200 {
        streams.iter_mut().for_each(|stream| stream.pump(&mut end));
        end.poll(Duration::ZERO);
    }
    for id in 64..128 {
        end.transport.set_reading(ConnId(id), true);
    }
    for _ in 0..50 {
        let before = end.transport.counters().received;
        end.poll(Duration::ZERO);
        let octets = (end.transport.counters().received - before) as usize;
        // "About": what is in hand when the budget is reached is still handed out.
        assert!(octets <= POLL_BYTES + READ_BYTES_PER_SOCKET, "{octets}");
        streams.iter_mut().for_each(|stream| stream.pump(&mut end));
    }
}

fn accepted_here_served_there(choice: TransportChoice) {
    let mut front = End::new(choice);
    let (_, addr) = front.listen(V4);
    // A worker of either kind may serve what another kind accepted.
    let workers = [TransportChoice::Auto, TransportChoice::Epoll].map(|other| {
        let (ready, woken) = std::sync::mpsc::sync_channel(1);
        let (to_this, sockets) = std::sync::mpsc::sync_channel::<Accepted>(10);
        let thread = std::thread::spawn(move || {
            let (transport, _) = thruway_net::open(other).unwrap();
            let mut end = End::over(transport);
            ready.send(end.transport.waker()).unwrap();
            let mut served = 0;
            while served < 10 || !end.conns.values().all(Conn::is_over) {
                end.poll(common::PATIENCE);
                while let Ok(socket) = sockets.try_recv() {
                    let id = end.adopt(served, socket);
                    end.send(id, "served");
                    served += 1;
                }
            }
        });
        (woken.recv().unwrap(), to_this, thread)
    });
    let mut client = End::new(choice);
    for id in 0..20 {
        client.connect(id, addr);
    }
    let mut given = 0;
    while given < 20 {
        client.poll(Duration::from_millis(1));
        front.poll(Duration::from_millis(1));
        while let Some((_, socket)) = front.accepted.pop_front() {
            let (waker, to_this, _) = &workers[given % 2];
            to_this.send(socket).unwrap();
            waker.wake();
            given += 1;
        }
    }
    drive([&mut client], |[client]| {
        client.conns.values().all(|conn| conn.received == b"served")
    });
    for id in 0..20 {
        client.close(ConnId(id), b"");
    }
    drive([&mut client], |[client]| {
        client.conns.values().all(Conn::is_over)
    });
    for (_, _, thread) in workers {
        thread.join().unwrap();
    }
}

fn workers_may_share_a_port(choice: TransportChoice) {
    let (mut one, mut two, mut client) = (End::new(choice), End::new(choice), End::new(choice));
    let any = ListenOptions {
        reuse_port: true,
        ..ListenOptions::new(V4.parse().unwrap())
    };
    let (_, addr) = one.listen_with(&any);
    two.listen_with(&ListenOptions { addr, ..any });
    for id in 0..64 {
        client.connect(id, addr);
    }
    drive([&mut one, &mut two, &mut client], |[one, two, _]| {
        one.accepted.len() + two.accepted.len() == 64
    });
    assert!(!one.accepted.is_empty() && !two.accepted.is_empty());
}

fn a_waker_ends_the_wait_from_another_thread(choice: TransportChoice) {
    let mut end = End::new(choice);
    let waker = end.transport.waker();
    for round in 1..=3 {
        let waker = waker.clone();
        let thread = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(20));
            waker.wake();
        });
        let start = Instant::now();
        while end.woken < round {
            let mut seen = 0;
            end.transport
                .poll(None, &mut |event| {
                    assert!(matches!(event, Event::Woken));
                    seen += 1;
                })
                .unwrap();
            end.woken += seen;
        }
        assert!(start.elapsed() < Duration::from_secs(5));
        thread.join().unwrap();
    }
}

fn wakes_are_merged_and_none_is_lost(choice: TransportChoice) {
    let mut end = End::new(choice);
    let waker = end.transport.waker();
    for _ in 0..1000 {
        waker.wake();
    }
    drive([&mut end], |[end]| end.woken > 0);
    common::idle([&mut end], Duration::from_millis(5));
    assert_eq!(end.woken, 1);
    // Many threads count up and wake; whoever looks after the last wake sees the whole count.
    let count = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let threads: Vec<_> = (0..4)
        .map(|_| {
            let (waker, count) = (waker.clone(), count.clone());
            std::thread::spawn(move || {
                for _ in 0..5000 {
                    count.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    waker.wake();
                }
            })
        })
        .collect();
    let mut seen = 0;
    let give_up = Instant::now() + common::PATIENCE;
    while seen < 20_000 {
        let before = end.woken;
        end.transport
            .poll(Some(common::PATIENCE), &mut |event| {
                assert!(matches!(event, Event::Woken));
                seen = count.load(std::sync::atomic::Ordering::Relaxed);
            })
            .unwrap();
        assert!(
            Instant::now() < give_up,
            "a wake was lost after {before}, at {seen}"
        );
    }
    threads
        .into_iter()
        .for_each(|thread| thread.join().unwrap());
}

fn a_wait_ends_in_time(choice: TransportChoice) {
    let mut end = End::new(choice);
    end.poll(Duration::ZERO);
    for time in [Duration::ZERO, Duration::from_millis(30)] {
        let start = Instant::now();
        end.poll(time);
        let took = start.elapsed();
        assert!(
            took >= time && took < time + Duration::from_millis(500),
            "{time:?}: {took:?}"
        );
    }
    // More than the kernel's types hold.
    end.transport.waker().wake();
    end.poll(Duration::MAX);
    drive([&mut end], |[end]| end.woken == 1);
}

fn connections_come_and_go_under_load(choice: TransportChoice) {
    let mut end = End::new(choice);
    pairs(&mut end, 50);
    let mut streams: Vec<Stream> = (0..25)
        .map(|id| Stream::new(ConnId(id), 4 << 20, 10_000))
        .collect();
    let mut seed = 7u64;
    for id in 25..50 {
        let mut queue: VecDeque<Bytes> = [Bytes::from(vec![0; 1 << 20])].into();
        end.transport.send(ConnId(id), &mut queue);
    }
    for id in 25..50 {
        streams.iter_mut().for_each(|stream| stream.pump(&mut end));
        end.poll(Duration::ZERO);
        seed = seed
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        let deadline = Duration::from_millis(50);
        match seed >> 62 {
            0 => end.transport.close(ConnId(id), Close::Now),
            1 => end.transport.close(
                ConnId(id),
                Close::Graceful {
                    last: "x".into(),
                    deadline,
                },
            ),
            2 => {
                end.transport.set_reading(ConnId(id), false);
                end.transport.close(
                    ConnId(id),
                    Close::Graceful {
                        last: Bytes::new(),
                        deadline,
                    },
                );
            }
            _ => {
                end.transport.set_reading(ConnId(id), false);
                end.transport.close(ConnId(id), Close::Now);
            }
        }
    }
    let give_up = Instant::now() + common::PATIENCE;
    let all: usize = 25 * (4 << 20);
    let arrived = |end: &End| -> usize {
        let whole = end
            .conns
            .iter()
            .filter(|(id, conn)| id.0 >= 50 && !conn.is_over());
        whole.map(|(_, conn)| conn.received.len()).sum()
    };
    while arrived(&end) < all || (25..50).any(|id| !end.conn(ConnId(id)).is_over()) {
        assert!(Instant::now() < give_up, "{} of {all}", arrived(&end));
        streams.iter_mut().for_each(|stream| stream.pump(&mut end));
        end.poll(Duration::from_millis(1));
    }
    assert_eq!(end.transport.connections(), 50);
    let options = AcceptOptions::default();
    assert_eq!(
        options,
        AcceptOptions {
            gtsm_hops: None,
            ttl: None
        }
    );
}
