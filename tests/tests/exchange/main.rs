//! Route exchange as an operator sees it: the matrix, the switch, the limits, and real packets.

mod api;
mod choice;
mod expect;
mod instances;
mod limits;
mod matrix;
mod restart;
mod scale;
mod stage;
mod switch;
mod topology;
