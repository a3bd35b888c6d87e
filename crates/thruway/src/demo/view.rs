//! The live view: a bar for each peer.

use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Bars of what peers have learned. Nothing is drawn where standard error is no terminal.
pub(crate) struct LiveView {
    _all: MultiProgress,
    bars: Vec<ProgressBar>,
}

impl LiveView {
    /// A bar for each peer and the number of routes that it will or did have.
    pub(crate) fn new(peers: impl Iterator<Item = (&'static str, usize)>) -> Self {
        let all = MultiProgress::new();
        let style = ProgressStyle::with_template(
            "  {prefix:<20} {bar:40} {human_pos:>9} / {human_len} routes, {per_sec}",
        );
        let style = style.unwrap_or_else(|_| ProgressStyle::default_bar());
        let bars = peers.map(|(name, most)| {
            let bar = all
                .add(ProgressBar::new(most as u64))
                .with_style(style.clone());
            bar.with_prefix(name)
        });
        let bars = bars.collect();
        LiveView { _all: all, bars }
    }

    /// How many routes each peer has now.
    pub(crate) fn update(&self, learned: impl Iterator<Item = usize>) {
        for (bar, count) in self.bars.iter().zip(learned) {
            bar.set_position(count as u64);
        }
    }

    /// Leaves the bars as they are.
    pub(crate) fn finish(self) {
        for bar in &self.bars {
            bar.finish();
        }
    }
}
