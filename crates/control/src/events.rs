//! The log as a stream: what is logged goes to whoever listens at `/v1/events`, one JSON object a line.

use std::io::{self, Write};
use std::sync::LazyLock;

use axum::body::Bytes;
use tokio::sync::broadcast::{self, Receiver, Sender};
use tracing_subscriber::fmt::MakeWriter;

/// Lines that a listener may be behind before it misses some, and is told how many.
const BEHIND_MAX: usize = 1024;

static STREAM: LazyLock<Sender<Bytes>> = LazyLock::new(|| broadcast::channel(BEHIND_MAX).0);

/// Listens from now on.
pub(super) fn listen() -> Receiver<Bytes> {
    STREAM.subscribe()
}

/// Makes a writer for each log line.
#[derive(Clone, Copy, Debug)]
pub struct Broadcast;

/// One line; sent when it is complete.
#[derive(Debug, Default)]
pub struct Line(Vec<u8>);

impl<'w> MakeWriter<'w> for Broadcast {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line::default()
    }
}

impl Write for Line {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if STREAM.receiver_count() > 0 {
            self.0.extend_from_slice(octets);
        }
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.0.is_empty() {
            // Nobody listens any more: then nobody misses it.
            let _ = STREAM.send(std::mem::take(&mut self.0).into());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_goes_out_whole() {
        let mut heard = listen();
        let mut line = Broadcast.make_writer();
        line.write_all(b"{\"a\":").unwrap();
        line.write_all(b"1}\n").unwrap();
        assert!(heard.try_recv().is_err(), "not before it is complete");
        drop(line);
        assert_eq!(heard.try_recv().unwrap().as_ref(), b"{\"a\":1}\n");
    }
}
