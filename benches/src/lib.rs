//! What the benches share. Criterion's are in `benches/`; what `cargo xtask count` counts is in
//! `src/bin/count`.

pub mod numbers;
pub mod stage;
