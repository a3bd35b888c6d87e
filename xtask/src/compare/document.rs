//! docs/performance.md: what stands between its markers is made from the published results.

use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};

use super::results::{Results, Row};
use super::{curve, folder, plot, table};
use crate::shell;

const BEGIN: &str = "<!-- compare: begin -->";
const END: &str = "<!-- compare: end -->";

fn document() -> PathBuf {
    shell::root().join("docs/performance.md")
}

fn results_file() -> PathBuf {
    folder().join("results.json")
}

/// What was published before.
pub(super) fn published() -> Result<Results> {
    Results::read(&results_file())
}

/// Adds new results to the published ones.
pub(super) fn publish(new: &Results) -> Result<()> {
    let mut all = published()?;
    for case in &new.cases {
        for row in &case.rows {
            all.put(case, row.clone());
        }
    }
    fs::create_dir_all(folder())?;
    all.write(&results_file())?;
    write(&all)
}

/// Writes the document's part and the plots.
pub(super) fn write(results: &Results) -> Result<()> {
    fs::create_dir_all(folder())?;
    let path = document();
    let old = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let new = between(&old, &body(results)?)
        .with_context(|| format!("{} lacks {BEGIN} or {END}", path.display()))?;
    fs::write(&path, new)?;
    Ok(())
}

fn between(text: &str, body: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}\n{body}\n{END}{after}"))
}

fn body(results: &Results) -> Result<String> {
    let mut text = String::from("\n## Summary\n\n");
    text.push_str(&table::summary(results));
    text.push('\n');
    for (name, title) in plot::draw(results, &folder())? {
        let _ = writeln!(text, "![{title}](performance/{name})\n");
    }
    text.push_str(&table::curves(results));
    for (name, title) in curve::draw(results, &folder())? {
        let _ = writeln!(text, "![{title}](performance/{name})\n");
    }
    text.push_str("## Case by case\n");
    for case in results.rows() {
        text.push_str(&table::of_case(case));
        text.push_str(&origin(&case.rows));
    }
    Ok(text)
}

/// When and where a case's rows were measured, said once where it is the same for all.
fn origin(rows: &[Row]) -> String {
    let mut said: Vec<(String, Vec<&str>)> = Vec::new();
    for row in rows {
        let runs = row.runs.len();
        let revision = match row.revision.as_str() {
            "" => String::new(),
            revision => format!(", revision {revision}"),
        };
        let runs = format!("{} on {}, {runs} runs{revision}", row.date, row.machine);
        match said.iter_mut().find(|(text, _)| *text == runs) {
            Some((_, titles)) => titles.push(&row.title),
            None => said.push((runs, vec![&row.title])),
        }
    }
    let mut text = String::from("\n");
    let busy = rows.iter().filter_map(|row| row.middle(|run| run.foreign));
    if let Some(busy) = busy.max_by(f64::total_cmp).filter(|cores| *cores > 0.1) {
        let _ = writeln!(
            text,
            "Other programs kept up to {busy:.1} cores busy meanwhile (the median of the daemon \
             that had most of it): wall times and latencies suffer from that.\n"
        );
    }
    for (what, titles) in said {
        let _ = writeln!(text, "<sub>{}: {what}.</sub>  ", titles.join(", "));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_stands_between_the_markers_changes() {
        let old = format!("intro\n{BEGIN}\nold\n{END}\nrest\n");
        let new = between(&old, "new").unwrap();
        assert_eq!(new, format!("intro\n{BEGIN}\nnew\n{END}\nrest\n"));
        assert!(between("no markers", "new").is_none());
    }
}
