//! What hosts of the virtual network get: the routes of the local session, in the kernel's table.
//!
//! The network itself is one more BGP peer inside the process. Its end of the session is a small
//! speaker ([`speaker`]) that announces the network's prefixes and hears, by ADD-PATH, every path
//! that hosts should use. [`table`] turns paths into the set of next hops of each prefix, [`kernel`]
//! writes the difference to a table of the Linux kernel, [`routing`] hears what others change there, and
//! [`task`] runs them.
//!
//! The kernel adds a route within the call that asks for it, and may wait there for its own locks.
//! So the task has a thread: no control plane stands still for a route.

#![forbid(unsafe_code)]

mod handle;
mod kernel;
mod limits;
mod routing;
mod shared;
mod speaker;
mod table;
mod task;

pub use handle::{HostsHandle, start};
pub use shared::Settings;
pub use speaker::attributes;
