//! Results as text: a line while they come, tables in Markdown at the end.

use std::fmt::Write;

use super::cases::Case;
use super::daemon::Kind;
use super::measure::Run;
use super::results::{CaseResult, Median, Results, Row};

/// One run, on one line.
pub(super) fn line(case: &Case, kind: Kind, number: usize, run: &Run) -> String {
    let mut text = format!("{:8} {:14} run {}: ", case.key, kind.key(), number + 1);
    match (run.wall, run.too_slow) {
        (Some(wall), _) => {
            let _ = write!(
                text,
                "{wall:.3} s, CPU {:.3} s, +{:.1} MiB, tool {:.3} s",
                run.cpu.seconds,
                run.growth as f64 / 1024.0,
                run.tool
            );
        }
        (None, true) => text.push_str("took too long"),
        (None, false) => text.push_str("no figure"),
    }
    if let Some(churn) = &run.churn {
        let _ = write!(
            text,
            "; {:.0} updates/s, {:.2} us CPU each, p50 {:.2} p99 {:.2} p99.9 {:.2} ms, calm \
             neighbour {:.2} / {:.2} / {:.2} ms, {} lost",
            churn.updates_per_second,
            churn.cpu_us,
            churn.p50_ms,
            churn.p99_ms,
            churn.p999_ms,
            churn.calm_p50_ms,
            churn.calm_p99_ms,
            churn.calm_p999_ms,
            churn.lost
        );
    }
    if let Some(flap) = &run.flap {
        let time = |seconds: Option<f64>| seconds.map_or("never".into(), |s| format!("{s:.3} s"));
        let (gone, back) = (time(flap.withdraw), time(flap.announce));
        let _ = write!(text, "; withdrawn after {gone}, back after {back}");
    }
    if let Some(trouble) = &run.trouble {
        let _ = write!(text, "; VOID: {trouble}");
    }
    text
}

/// All figures of one case.
pub(super) fn of_case(case: &CaseResult) -> String {
    let mut text = format!("\n### {}: {}\n\n", case.key, case.title);
    text.push_str(
        "| daemon | wall s | CPU s | user + system | memory MiB | load tool's CPU s | sessions up s \
         | CPU, Thruway = 1 |\n|---|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    let ours = case.row("thruway").and_then(Row::median);
    for row in &case.rows {
        let Some(median) = row.median() else {
            let _ = writeln!(text, "| {} | {} | | | | | | |", row.title, row.why_not());
            continue;
        };
        let alone = row.daemon == "ceiling";
        let own = |value: f64, digits: usize| match alone {
            true => String::new(),
            false => format!("{value:.digits$}"),
        };
        let split = match alone {
            true => String::new(),
            false => format!("{:.2} + {:.2}", median.user, median.system),
        };
        let ratio = ours
            .as_ref()
            .filter(|_| !alone)
            .map(|ours| median.cpu / ours.cpu.max(1e-9));
        let _ = writeln!(
            text,
            "| {} | {:.3} | {} | {split} | {} | {:.3} ({:.0} %) | {:.2} | {} |",
            row.title,
            median.wall,
            own(median.cpu, 3),
            own(median.growth, 1),
            median.tool,
            100.0 * median.tool / median.wall.max(1e-9),
            median.sessions,
            ratio.map_or(String::new(), |ratio| format!("{ratio:.1}"))
        );
    }
    text.push_str(&churn(case));
    text.push_str(&flap(case));
    text.push_str(&troubles(case));
    text
}

fn churn(case: &CaseResult) -> String {
    let rows = case
        .rows
        .iter()
        .filter(|row| row.good().any(|run| run.churn.is_some()));
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| daemon | updates a second | CPU us an update | p50 ms | p99 ms | p99.9 ms | max ms \
         | a calm neighbour's p50 / p99 / p99.9 ms | lost | octets of growth an update |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let of = |figure: fn(&super::measure::ChurnRun) -> f64| {
            row.middle(|run| run.churn.as_ref().map(figure))
                .unwrap_or_default()
        };
        let _ = writeln!(
            text,
            "| {} | {:.0} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} | {:.2} / {:.2} / {:.2} | {:.0} \
             | {:.0} |",
            row.title,
            of(|churn| churn.updates_per_second),
            of(|churn| churn.cpu_us),
            of(|churn| churn.p50_ms),
            of(|churn| churn.p99_ms),
            of(|churn| churn.p999_ms),
            of(|churn| churn.max_ms),
            of(|churn| churn.calm_p50_ms),
            of(|churn| churn.calm_p99_ms),
            of(|churn| churn.calm_p999_ms),
            of(|churn| churn.lost as f64),
            of(|churn| churn.growth)
        );
    }
    text
}

fn flap(case: &CaseResult) -> String {
    let rows = case
        .rows
        .iter()
        .filter(|row| row.good().any(|run| run.flap.is_some()));
    let rows: Vec<_> = rows.collect();
    if rows.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n| daemon | withdrawn everywhere s | CPU s | told again everywhere s | CPU s |\n\
         |---|---:|---:|---:|---:|\n",
    );
    for row in rows {
        let of = |figure: fn(&super::measure::FlapRun) -> Option<f64>| {
            let middle = row.middle(|run| run.flap.as_ref().and_then(figure));
            middle.map_or("never".to_owned(), |seconds| format!("{seconds:.3}"))
        };
        let _ = writeln!(
            text,
            "| {} | {} | {} | {} | {} |",
            row.title,
            of(|flap| flap.withdraw),
            of(|flap| Some(flap.withdraw_cpu)),
            of(|flap| flap.announce),
            of(|flap| Some(flap.announce_cpu))
        );
    }
    text
}

fn troubles(case: &CaseResult) -> String {
    let mut text = String::new();
    for row in &case.rows {
        let void = row.runs.iter().filter_map(|run| run.trouble.as_ref());
        let void: Vec<_> = void.collect();
        if let (Some(first), false) = (void.first(), row.runs.iter().any(|run| run.too_slow)) {
            let (void, all) = (void.len(), row.runs.len());
            let _ = write!(
                text,
                "\n{}: {void} of {all} runs void: {first}\n",
                row.title
            );
        }
    }
    text
}

/// One row a case: time, CPU, memory of everyone, and how far Thruway is from the best rival.
pub(super) fn summary(results: &Results) -> String {
    let mut daemons: Vec<(&str, &str)> = Vec::new();
    for row in results.rows().flat_map(|case| &case.rows) {
        if !daemons.iter().any(|(key, _)| *key == row.daemon) {
            daemons.push((&row.daemon, &row.title));
        }
    }
    daemons.sort_by_key(|(key, _)| super::order(key));
    let mut text = String::from(
        "Wall seconds / CPU seconds of the daemon / growth of its memory in MiB; the last three \
         columns: the best rival's figure as a multiple of Thruway's.\n\n| case |",
    );
    daemons.iter().for_each(|(_, title)| {
        let _ = write!(text, " {title} |");
    });
    text.push_str(" wall | CPU | memory |\n|---|");
    text.push_str(&"---:|".repeat(daemons.len() + 3));
    text.push('\n');
    for case in results.rows().filter(|case| !case.has_churn()) {
        let _ = write!(text, "| {} |", case.key);
        for (key, _) in &daemons {
            let _ = write!(text, " {} |", case.row(key).map_or(String::new(), cell));
        }
        for figure in [|m: Median| m.wall, |m: Median| m.cpu, |m: Median| m.growth] {
            let _ = write!(text, " {} |", multiple(case, figure));
        }
        text.push('\n');
    }
    for case in results.rows().filter(|case| case.has_churn()) {
        let _ = write!(text, "\n{}: {}\n{}", case.key, case.title, churn(case));
    }
    text
}

/// How figures grow with one quantity.
pub(super) fn curves(results: &Results) -> String {
    let mut text = String::new();
    for (name, what) in CURVES {
        let points = results.curve(name);
        let mut daemons: Vec<(&str, &str)> = Vec::new();
        for row in points.iter().flat_map(|(_, case)| &case.rows) {
            if !daemons.iter().any(|(key, _)| *key == row.daemon) {
                daemons.push((&row.daemon, &row.title));
            }
        }
        if daemons.is_empty() {
            continue;
        }
        if text.is_empty() {
            text.push_str("## Growth\n\nWall seconds / CPU seconds / growth of memory in MiB.\n");
        }
        let _ = write!(text, "\n{what}\n\n| {name} |");
        daemons.iter().for_each(|(_, title)| {
            let _ = write!(text, " {title} |");
        });
        let _ = writeln!(text, "\n|---:|{}", "---:|".repeat(daemons.len()));
        for (at, case) in points {
            let _ = write!(text, "| {at} |");
            for (key, _) in &daemons {
                let _ = write!(text, " {} |", case.row(key).map_or(String::new(), cell));
            }
            text.push('\n');
        }
    }
    text.push('\n');
    text
}

/// Curves and what they hold.
pub(super) const CURVES: [(&str, &str); 3] = [
    ("prefixes", "1 sender, 1 receiver:"),
    ("receivers", "1 sender of 200k prefixes:"),
    (
        "peers",
        "So many senders of the same 200k prefixes, contested, 1 receiver:",
    ),
];

fn cell(row: &Row) -> String {
    let Some(median) = row.median() else {
        return row.why_not();
    };
    let Median {
        wall, cpu, growth, ..
    } = median;
    match row.daemon.as_str() {
        "ceiling" => short(wall),
        _ => format!("{} / {} / {growth:.0}", short(wall), short(cpu)),
    }
}

/// Two digits that mean something.
fn short(seconds: f64) -> String {
    match seconds {
        s if s < 1.0 => format!("{s:.3}"),
        s if s < 10.0 => format!("{s:.2}"),
        s => format!("{s:.1}"),
    }
}

fn multiple(case: &CaseResult, figure: fn(Median) -> f64) -> String {
    let of = |row: &Row| row.median().map(figure);
    let ours = case.row("thruway").and_then(of);
    match (ours, case.best_rival(of)) {
        (Some(ours), Some((_, best))) => format!("{:.1}x", best / ours.max(1e-9)),
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(daemon: &str, wall: f64) -> Row {
        let run = Run {
            wall: Some(wall),
            growth: 2048,
            ..Run::default()
        };
        Row {
            daemon: daemon.to_owned(),
            title: daemon.to_owned(),
            runs: vec![run],
            ..Row::default()
        }
    }

    #[test]
    fn the_summary_compares_with_the_best_rival() {
        let rows = vec![
            row("thruway", 0.1),
            row("bird", 0.8),
            row("frr", 2.0),
            row("ceiling", 0.05),
        ];
        let case = CaseResult {
            key: "A".into(),
            rows,
            ..CaseResult::default()
        };
        let text = summary(&Results { cases: vec![case] });
        assert!(text.contains("| A | 0.100 / 0.000 / 2 | 0.800"), "{text}");
        assert!(text.contains("| 8.0x |"), "{text}");
    }
}
