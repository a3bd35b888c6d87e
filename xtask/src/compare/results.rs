//! Results as they stand in the JSON file, and the medians of their runs.

use std::fs;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result};
use serde::{Deserialize, Serialize};

use super::cases::Case;
use super::measure::Run;

/// All results that stand in a file.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Results {
    pub(super) cases: Vec<CaseResult>,
}

#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct CaseResult {
    pub(super) key: String,
    pub(super) title: String,
    /// The curve that the case is a point of, and where on it.
    #[serde(default)]
    pub(super) curve: Option<(String, u32)>,
    pub(super) rows: Vec<Row>,
}

/// One daemon in one case.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Row {
    /// The daemon's name in options.
    pub(super) daemon: String,
    /// Its name and version for people.
    pub(super) title: String,
    /// When, where, and of which size.
    pub(super) date: String,
    pub(super) machine: String,
    pub(super) revision: String,
    pub(super) scale: f64,
    pub(super) limit: u64,
    pub(super) runs: Vec<Run>,
}

/// The middle of the good runs, each figure by itself.
#[derive(Clone, Debug, Default)]
pub(super) struct Median {
    pub(super) wall: f64,
    pub(super) cpu: f64,
    pub(super) user: f64,
    pub(super) system: f64,
    /// MiB.
    pub(super) growth: f64,
    pub(super) tool: f64,
    pub(super) sessions: f64,
}

impl Row {
    pub(super) fn good(&self) -> impl Iterator<Item = &Run> {
        self.runs
            .iter()
            .filter(|run| run.trouble.is_none() && run.wall.is_some())
    }

    pub(super) fn median(&self) -> Option<Median> {
        let of = |figure: fn(&Run) -> f64| self.middle(|run| Some(figure(run)));
        Some(Median {
            wall: of(|run| run.wall.unwrap_or_default())?,
            cpu: of(|run| run.cpu.seconds)?,
            user: of(|run| run.cpu.user)?,
            system: of(|run| run.cpu.system)?,
            growth: of(|run| run.growth as f64 / 1024.0)?,
            tool: of(|run| run.tool)?,
            sessions: of(|run| run.sessions)?,
        })
    }

    /// The median of a figure that not every run has.
    pub(super) fn middle(&self, figure: impl Fn(&Run) -> Option<f64>) -> Option<f64> {
        median(self.good().filter_map(figure).collect())
    }

    pub(super) fn is_ours(&self) -> bool {
        self.daemon.starts_with("thruway")
    }

    pub(super) fn is_rival(&self) -> bool {
        !self.is_ours() && self.daemon != "ceiling"
    }

    /// Why there is no figure, in few words.
    pub(super) fn why_not(&self) -> String {
        match self.runs.last() {
            Some(run) if run.too_slow => format!("over {} s", self.limit),
            Some(_) => "void".to_owned(),
            None => "not run".to_owned(),
        }
    }
}

impl CaseResult {
    /// A case without rows.
    pub(super) fn of(case: &Case) -> Self {
        CaseResult {
            key: case.key.clone(),
            title: case.title.clone(),
            curve: case.curve.map(|(curve, at)| (curve.to_owned(), at)),
            rows: Vec::new(),
        }
    }

    /// Its place among the others; points of curves come last.
    fn place(&self) -> (usize, String, u32) {
        let order = [
            "A", "B", "C", "D", "E", "F", "G", "G5k", "clients", "feeds", "table",
        ];
        let place = order.iter().position(|key| *key == self.key);
        let (curve, at) = self.curve.clone().unwrap_or_default();
        (place.unwrap_or(order.len()), curve, at)
    }

    pub(super) fn row(&self, daemon: &str) -> Option<&Row> {
        self.rows.iter().find(|row| row.daemon == daemon)
    }

    /// What matters in it is what comes after the table.
    pub(super) fn has_churn(&self) -> bool {
        let mut runs = self.rows.iter().flat_map(Row::good);
        runs.any(|run| run.churn.is_some())
    }

    /// The rival with the smallest figure.
    pub(super) fn best_rival(&self, figure: impl Fn(&Row) -> Option<f64>) -> Option<(&Row, f64)> {
        let rivals = self.rows.iter().filter(|row| row.is_rival());
        let figures = rivals.filter_map(|row| Some((row, figure(row)?)));
        figures.min_by(|(_, a), (_, b)| a.total_cmp(b))
    }
}

impl Results {
    pub(super) fn read(path: &Path) -> Result<Self> {
        if !path.exists() {
            return Ok(Results::default());
        }
        let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
        serde_json::from_str(&text).with_context(|| path.display().to_string())
    }

    pub(super) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(self)? + "\n";
        fs::write(path, text).with_context(|| path.display().to_string())
    }

    /// Puts a row in the place of the older one, keeping the order of cases and daemons.
    pub(super) fn put(&mut self, like: &CaseResult, row: Row) {
        let at = match self.cases.iter().position(|case| case.key == like.key) {
            Some(at) => at,
            None => {
                self.cases.push(CaseResult::default());
                self.cases.len() - 1
            }
        };
        if let Some(case) = self.cases.get_mut(at) {
            let mut rows = std::mem::take(&mut case.rows);
            rows.retain(|old| old.daemon != row.daemon);
            rows.push(row);
            rows.sort_by_key(|row| super::order(&row.daemon));
            *case = CaseResult {
                rows,
                ..like.clone()
            };
        }
        self.cases.sort_by_key(CaseResult::place);
    }

    /// The cases that stand for themselves.
    pub(super) fn rows(&self) -> impl Iterator<Item = &CaseResult> {
        self.cases.iter().filter(|case| case.curve.is_none())
    }

    /// The points of one curve, in order.
    pub(super) fn curve(&self, name: &str) -> Vec<(u32, &CaseResult)> {
        let points = self.cases.iter().filter_map(|case| match &case.curve {
            Some((curve, at)) if curve == name => Some((*at, case)),
            _ => None,
        });
        points.collect()
    }
}

fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (low, high) = (
        values.get(values.len().checked_sub(1)? / 2)?,
        values.get(values.len() / 2)?,
    );
    Some(f64::midpoint(*low, *high))
}

/// What a line of a program says, trimmed.
fn said(program: &str, args: &[&str]) -> String {
    let out = Command::new(program).args(args).output();
    let text = out.map(|out| String::from_utf8_lossy(&out.stdout).trim().to_owned());
    text.unwrap_or_default()
}

/// Today, as a date.
pub(super) fn today() -> String {
    said("date", &["-u", "+%F"])
}

/// The commit that is measured, and whether there was more than the commit: what an earlier call of this
/// command wrote does not count.
pub(super) fn revision() -> String {
    let root = crate::shell::root().display().to_string();
    let git = |args: &[&str]| said("git", &[&["-C", root.as_str()], args].concat());
    let commit = git(&["describe", "--always"]);
    let measured = [":/", ":!/docs/performance.md", ":!/docs/performance"];
    let more = git(&[&["status", "--porcelain", "--"], &measured[..]].concat());
    if more.is_empty() {
        commit
    } else {
        format!("{commit}-dirty")
    }
}

/// Processor, cores, memory, kernel.
pub(super) fn machine() -> String {
    let field = |file: &str, key: &str| {
        let text = fs::read_to_string(file).unwrap_or_default();
        let line = text
            .lines()
            .find(|line| line.starts_with(key))
            .unwrap_or_default()
            .to_owned();
        line.split_once(':')
            .map(|(_, value)| value.trim().to_owned())
            .unwrap_or_default()
    };
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory = field("/proc/meminfo", "MemTotal");
    let kib: u64 = memory
        .split(' ')
        .next()
        .and_then(|kib| kib.parse().ok())
        .unwrap_or(0);
    let processor = field("/proc/cpuinfo", "model name");
    let kernel = said("uname", &["-r"]);
    let kernel = kernel.split('-').next().unwrap_or_default();
    format!(
        "{cores} cores of {processor}, {} GiB, Linux {kernel}",
        kib >> 20
    )
}

#[cfg(test)]
mod tests {
    use super::super::process::Cpu;
    use super::*;

    fn run(wall: Option<f64>, trouble: Option<&str>) -> Run {
        Run {
            wall,
            cpu: Cpu {
                seconds: wall.unwrap_or(9.0),
                ..Cpu::default()
            },
            trouble: trouble.map(str::to_owned),
            ..Run::default()
        }
    }

    #[test]
    fn void_runs_do_not_count() {
        let runs = vec![
            run(Some(1.0), None),
            run(Some(5.0), Some("wrong table")),
            run(Some(3.0), None),
        ];
        let mut row = Row {
            runs,
            ..Row::default()
        };
        let median = row.median().unwrap();
        assert_eq!((median.wall, row.good().count()), (2.0, 2));
        row.runs = vec![run(None, Some("gone"))];
        assert!(row.median().is_none());
        assert_eq!(row.why_not(), "void");
    }

    #[test]
    fn a_new_row_takes_the_old_ones_place() {
        let mut results = Results::default();
        let case = CaseResult {
            key: "A".to_owned(),
            ..CaseResult::default()
        };
        for (daemon, wall) in [("bird", 2.0), ("thruway", 1.0), ("bird", 3.0)] {
            let row = Row {
                daemon: daemon.to_owned(),
                runs: vec![run(Some(wall), None)],
                ..Row::default()
            };
            results.put(&case, row);
        }
        let case = &results.cases[0];
        let daemons: Vec<_> = case.rows.iter().map(|row| row.daemon.as_str()).collect();
        assert_eq!(daemons, ["thruway", "bird"]);
        let (best, wall) = case.best_rival(|row| Some(row.median()?.wall)).unwrap();
        assert_eq!((best.daemon.as_str(), wall), ("bird", 3.0));
    }
}
