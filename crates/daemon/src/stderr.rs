//! The log's way out. Who reads it may stand still: then lines are lost, and counted, for the server does not
//! wait for its log.

use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use rustix::event::{PollFd, PollFlags, Timespec};
use tracing_subscriber::fmt::MakeWriter;

/// What a pipe that can be written to takes without waiting (POSIX: PIPE_BUF).
const AT_ONCE: usize = 4096;

/// Lines that were lost since the last one that went out.
static LOST: Mutex<u64> = Mutex::new(0);

/// Makes a writer for each line.
#[derive(Clone, Copy, Debug)]
pub(super) struct Stderr;

/// One line; written when it is complete.
#[derive(Debug, Default)]
pub(super) struct Line(Vec<u8>);

impl<'w> MakeWriter<'w> for Stderr {
    type Writer = Line;

    fn make_writer(&'w self) -> Line {
        Line::default()
    }
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        let mut lost = LOST.lock().unwrap_or_else(PoisonError::into_inner);
        if *lost > 0 && !push(&note(*lost, self.0.starts_with(b"{"))) {
            *lost += 1;
            return;
        }
        *lost = u64::from(!push(&self.0));
    }
}

/// What is said of lines that were lost, in the log's form.
fn note(lost: u64, json: bool) -> Vec<u8> {
    let text = format!("{lost} lines of the log were lost: nobody read it");
    let line = if json {
        format!("{{\"level\":\"WARN\",\"fields\":{{\"message\":\"{text}\"}}}}\n")
    } else {
        format!("WARN {text}\n")
    };
    line.into_bytes()
}

/// Writes what can be written without waiting; true where that was all.
fn push(bytes: &[u8]) -> bool {
    let stderr = io::stderr();
    bytes.chunks(AT_ONCE).all(|piece| {
        let mut ready = [PollFd::new(&stderr, PollFlags::OUT)];
        let now = Timespec::default();
        let writable = rustix::event::poll(&mut ready, Some(&now)).is_ok_and(|count| count > 0);
        writable && (&stderr).write_all(piece).is_ok()
    })
}
