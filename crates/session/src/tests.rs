//! The session from outside: scripts of one session, pairs of two, and dice.

mod commands;
mod opens;
mod pair;
mod properties;
mod refresh;
mod restart;
mod script;
mod states;
mod storms;
mod timers;
