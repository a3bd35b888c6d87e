//! What the demo found, for people and for programs.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::network::{PREMISES, SOURCES};

/// What was measured.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Outcome {
    /// So many times the usual tables.
    pub(crate) scale: u32,
    /// What the numbers of `routes` stand for.
    pub(crate) sources: Vec<&'static str>,
    /// Until all sessions were up.
    pub(crate) sessions_up_ms: u128,
    /// From then until the server had all tables.
    pub(crate) loaded_ms: u128,
    /// Before the switch.
    pub(crate) apart: Phase,
    /// With it on.
    pub(crate) on: Phase,
    /// With it off again.
    pub(crate) off: Phase,
}

/// Who knows what after something was done.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Phase {
    /// What was done.
    #[serde(skip)]
    pub(crate) title: &'static str,
    /// How long it took by the server's own count.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) server_ms: Option<f64>,
    /// Routes announced to all.
    pub(crate) announced: u64,
    /// Routes withdrawn from all.
    pub(crate) withdrawn: u64,
    /// Who knows what.
    pub(crate) known: Vec<Known>,
}

/// What one of them knows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Known {
    /// Who.
    pub(crate) who: &'static str,
    /// The source that is its own.
    #[serde(skip)]
    pub(crate) own: Option<usize>,
    /// Routes by source: the VNet, then the premises.
    pub(crate) routes: [usize; SOURCES],
    /// From the switch until the last of them was there, or gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) arrived_ms: Option<f64>,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.server_ms {
            None => writeln!(f, "apart: nobody's routes go to another site\n")?,
            Some(ms) => writeln!(
                f,
                "thruway {}: {} routes announced, {} withdrawn; the server took {ms:.0} ms\n",
                self.title,
                thousands(self.announced),
                thousands(self.withdrawn)
            )?,
        }
        write!(f, "  {:<21}{:>8}", "who knows how many of", "VNet")?;
        for premises in &PREMISES {
            write!(f, "{:>15}", premises.name)?;
        }
        let timed = self.known.iter().any(|known| known.arrived_ms.is_some());
        writeln!(f, "{}", if timed { "      after" } else { "" })?;
        for known in &self.known {
            known.fmt(f)?;
        }
        Ok(())
    }
}

impl fmt::Display for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "  {:<21}", self.who)?;
        for (source, count) in self.routes.iter().enumerate() {
            let text = match count {
                0 if self.own == Some(source) => "its own".to_owned(),
                0 => "-".to_owned(),
                count => thousands(*count as u64),
            };
            let width = if source == 0 { 8 } else { 15 };
            write!(f, "{text:>width$}")?;
        }
        match self.arrived_ms {
            Some(ms) => writeln!(f, "{ms:>8.1} ms"),
            None => writeln!(f),
        }
    }
}

/// Where routes come from, in the order of their numbers.
pub(crate) fn sources() -> Vec<&'static str> {
    let premises = PREMISES.iter().map(|premises| premises.name);
    std::iter::once("VNet").chain(premises).collect()
}

/// A number with commas.
pub(crate) fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// What to type next.
pub(crate) fn next_steps(socket: &Path) -> String {
    let mut text = String::from("look further, in another terminal:\n\n");
    for command in [
        "show exchange",
        "exchange on",
        "show peer sdwan advertised",
        "show peer vpn learned --json",
        "show peer network advertised",
        "explain 10.128.0.0/24 --to sdwan-127.0.2.4",
        "show peers",
    ] {
        text += &format!("  thruway {command} --socket {}\n", socket.display());
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_commas() {
        let texts = [0, 999, 1_000, 18_002, 1_234_567].map(thousands);
        assert_eq!(texts, ["0", "999", "1,000", "18,002", "1,234,567"]);
    }
}
