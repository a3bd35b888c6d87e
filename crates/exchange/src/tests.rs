//! The rules against tables written out by hand.

mod hosts;
mod matrix;
mod rules;
