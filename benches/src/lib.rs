//! Criterion benches are in `benches/`; what `cargo xtask count` counts is in `src/bin/count`.
