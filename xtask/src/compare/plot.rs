//! Plots of the results, as SVG.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::results::{CaseResult, Results, Row};

const SIZE: (u32, u32) = (960, 400);
/// Cases that have a wall time, a CPU time and a memory to compare.
const TABLES: [&str; 9] = ["A", "B", "C", "D", "E", "F", "clients", "table", "feeds"];

/// One plot.
struct Plot<'a> {
    title: &'static str,
    unit: &'static str,
    cases: Vec<&'a CaseResult>,
    figure: &'a dyn Fn(&Row) -> Option<f64>,
}

/// Draws all of them into `folder`; their names and what they show.
pub(super) fn draw(results: &Results, folder: &Path) -> Result<Vec<(&'static str, &'static str)>> {
    let tables = || {
        let cases = results.rows();
        cases
            .filter(|case| TABLES.contains(&case.key.as_str()))
            .collect::<Vec<_>>()
    };
    let churn = results.rows().filter(|case| case.key.starts_with('G'));
    let churn: Vec<_> = churn.collect();
    let cpu = |row: &Row| Some(row.median()?.cpu);
    let wall = |row: &Row| Some(row.median()?.wall);
    let memory = |row: &Row| Some(row.median()?.growth);
    let rate = |row: &Row| row.middle(|run| Some(run.churn.as_ref()?.updates_per_second));
    let slowest = |row: &Row| row.middle(|run| Some(run.churn.as_ref()?.calm_p999_ms));
    let plots: [(&str, Plot<'_>); 5] = [
        (
            "cpu.svg",
            plot(
                "CPU of the daemon until every table is complete",
                "seconds",
                tables(),
                &cpu,
            ),
        ),
        (
            "wall.svg",
            plot(
                "Time until every table is complete",
                "seconds",
                tables(),
                &wall,
            ),
        ),
        (
            "memory.svg",
            plot(
                "Growth of the daemon's memory, at peak",
                "MiB",
                tables(),
                &memory,
            ),
        ),
        (
            "churn-rate.svg",
            plot("Churn: updates a second", "updates/s", churn.clone(), &rate),
        ),
        (
            "churn-latency.svg",
            plot(
                "Churn: p99.9 of a calm neighbour's updates",
                "ms",
                churn,
                &slowest,
            ),
        ),
    ];
    let mut drawn = Vec::new();
    for (name, plot) in &plots {
        if bars(plot).next().is_some() {
            draw_one(plot, &folder.join(name))
                .map_err(|error| anyhow!("cannot draw {name}: {error}"))?;
            drawn.push((*name, plot.title));
        }
    }
    Ok(drawn)
}

fn plot<'a>(
    title: &'static str,
    unit: &'static str,
    cases: Vec<&'a CaseResult>,
    figure: &'a dyn Fn(&Row) -> Option<f64>,
) -> Plot<'a> {
    Plot {
        title,
        unit,
        cases,
        figure,
    }
}

/// A bar: case, daemon, its title, figure.
struct Bar<'a> {
    case: usize,
    daemon: &'a str,
    title: &'a str,
    value: f64,
}

fn bars<'a>(plot: &'a Plot<'a>) -> impl Iterator<Item = Bar<'a>> + 'a {
    plot.cases
        .iter()
        .enumerate()
        .flat_map(move |(case, result)| {
            result.rows.iter().filter_map(move |row| {
                let value = (plot.figure)(row).filter(|value| *value > 0.0)?;
                // The load tool has neither CPU nor memory of a daemon.
                let shown = row.daemon != "ceiling" || plot.title.starts_with("Time");
                shown.then_some(Bar {
                    case,
                    daemon: &row.daemon,
                    title: &row.title,
                    value,
                })
            })
        })
}

pub(super) fn colour(daemon: &str) -> RGBColor {
    match daemon {
        "thruway" => RGBColor(214, 39, 40),
        "thruway-epoll" => RGBColor(255, 152, 150),
        "thruway-wide" => RGBColor(196, 78, 82),
        "bird" => RGBColor(31, 119, 180),
        "bird3" => RGBColor(174, 199, 232),
        "frr" => RGBColor(44, 160, 44),
        "openbgpd" => RGBColor(255, 187, 40),
        "gobgp" => RGBColor(23, 190, 207),
        "rustybgp" => RGBColor(148, 103, 189),
        "rustbgpd" => RGBColor(140, 86, 75),
        _ => RGBColor(190, 190, 190),
    }
}

pub(super) type Drawn = std::result::Result<(), Box<dyn std::error::Error>>;

fn draw_one(plot: &Plot<'_>, path: &Path) -> Drawn {
    let all: Vec<Bar<'_>> = bars(plot).collect();
    let mut daemons: Vec<(&str, &str)> = Vec::new();
    for bar in &all {
        if !daemons.iter().any(|(daemon, _)| *daemon == bar.daemon) {
            daemons.push((bar.daemon, bar.title));
        }
    }
    daemons.sort_by_key(|(daemon, _)| super::order(daemon));
    let low = all
        .iter()
        .map(|bar| bar.value)
        .fold(f64::INFINITY, f64::min)
        / 2.0;
    let high = all.iter().map(|bar| bar.value).fold(0.0, f64::max) * 2.0;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let right = plot.cases.len() as f64 - 0.5;
    let mut chart = ChartBuilder::on(&area)
        .caption(format!("{} (log scale)", plot.title), ("sans-serif", 18))
        .margin(10)
        .margin_right(170)
        .x_label_area_size(30)
        .y_label_area_size(70)
        .build_cartesian_2d(-0.5..right, (low..high).log_scale())?;
    let name = |x: &f64| {
        let near = (x - x.round()).abs() < 0.01;
        let case = near.then(|| plot.cases.get(x.round() as usize)).flatten();
        case.map_or(String::new(), |case| case.key.clone())
    };
    chart
        .configure_mesh()
        .disable_x_mesh()
        .x_labels(2 * plot.cases.len())
        .x_label_formatter(&name)
        .y_desc(plot.unit)
        .light_line_style(RGBColor(240, 240, 240))
        .label_style(("sans-serif", 14))
        .draw()?;
    let width = 0.8 / daemons.len().max(1) as f64;
    for (place, (daemon, title)) in daemons.iter().enumerate() {
        let fill = colour(daemon).filled();
        let own = all.iter().filter(|bar| bar.daemon == *daemon);
        let series = own.map(|bar| {
            let x = bar.case as f64 - 0.4 + place as f64 * width;
            Rectangle::new([(x, low), (x + width * 0.92, bar.value)], fill)
        });
        chart.draw_series(series)?;
        let y = 50 + 22 * place as i32;
        let x = SIZE.0 as i32 - 160;
        area.draw(&Rectangle::new([(x, y), (x + 14, y + 14)], fill))?;
        area.draw(&Text::new(
            (*title).to_owned(),
            (x + 20, y),
            ("sans-serif", 14),
        ))?;
    }
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Run;
    use super::*;

    #[test]
    fn a_plot_has_a_bar_for_each_figure() {
        let row = |daemon: &str, wall| Row {
            daemon: daemon.to_owned(),
            title: daemon.to_owned(),
            runs: vec![Run {
                wall: Some(wall),
                ..Run::default()
            }],
            ..Row::default()
        };
        let case = |key: &str| CaseResult {
            key: key.to_owned(),
            title: String::new(),
            curve: None,
            rows: vec![row("thruway", 0.1), row("bird", 0.8), row("ceiling", 0.05)],
        };
        let results = Results {
            cases: vec![case("A"), case("B")],
        };
        let folder = tempfile::tempdir().unwrap();
        let drawn = draw(&results, folder.path()).unwrap();
        assert_eq!(drawn.len(), 1, "only the wall time is there");
        let text = std::fs::read_to_string(folder.path().join("wall.svg")).unwrap();
        for wanted in ["bird", "ceiling", ">A<", ">B<", "#D62728"] {
            assert!(text.replace('\n', "").contains(wanted), "{wanted}: {text}");
        }
    }
}
