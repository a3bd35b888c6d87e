//! A panic ends the whole process, from whatever thread: a server that lost a worker, or the hosts'
//! thread, would look alive and serve nobody.

use std::panic::PanicHookInfo;
use std::time::Duration;

/// How long the last words may take: what panicked may have held what the log waits for.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// From now on a panic is logged, and the process ends with status 1.
pub(super) fn end_the_process() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        print(info);
        let late = std::thread::Builder::new().spawn(|| {
            std::thread::sleep(LAST_WORDS);
            thruway_net::exit_now(1)
        });
        log(info);
        drop(late);
        thruway_net::exit_now(1)
    }));
}

fn log(info: &PanicHookInfo<'_>) {
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let place = info.location().map(ToString::to_string).unwrap_or_default();
    let text = info.payload_as_str().unwrap_or("a panic without a text");
    tracing::error!(thread, place, "panic: {text}; the server ends");
}

/// The place where a test may have a thread panic: `THRUWAY_PANIC` names the thread. Builds for use have
/// no such place.
pub(crate) fn here(thread: &str) {
    #[cfg(debug_assertions)]
    if std::env::var("THRUWAY_PANIC").is_ok_and(|named| named == thread) {
        panic!("asked for in {thread}");
    }
    let _ = thread;
}
