//! Plots of how figures grow with one quantity.

use std::path::Path;

use anyhow::{Result, anyhow};
use plotters::prelude::*;

use super::plot::{Drawn, colour};
use super::results::{Median, Results, Row};
use super::table::CURVES;

const SIZE: (u32, u32) = (640, 320);

type Figure = fn(Median) -> f64;

/// A daemon's line: name, title, points.
struct Line<'a> {
    daemon: &'a str,
    title: &'a str,
    points: Vec<(f64, f64)>,
}

/// Draws CPU and memory over each curve that has points; names and titles.
pub(super) fn draw(results: &Results, folder: &Path) -> Result<Vec<(String, String)>> {
    let figures: [(&str, &str, Figure); 2] = [
        ("cpu", "CPU seconds", |median| median.cpu),
        ("memory", "memory, MiB", |median| median.growth),
    ];
    let mut drawn = Vec::new();
    for (curve, _) in CURVES {
        for (short, unit, figure) in figures {
            let lines = lines(results, curve, figure);
            if lines.iter().all(|line| line.points.len() < 2) {
                continue;
            }
            let name = format!("curve-{curve}-{short}.svg");
            let title = format!("{unit} by {curve}");
            draw_one(&lines, &title, curve, &folder.join(&name))
                .map_err(|error| anyhow!("cannot draw {name}: {error}"))?;
            drawn.push((name, title));
        }
    }
    Ok(drawn)
}

fn lines<'a>(results: &'a Results, curve: &str, figure: Figure) -> Vec<Line<'a>> {
    let mut lines: Vec<Line<'a>> = Vec::new();
    for (at, case) in results.curve(curve) {
        for row in case.rows.iter().filter(|row| row.daemon != "ceiling") {
            let Some(value) = row.median().map(figure) else {
                continue;
            };
            let point = (f64::from(at), value);
            let known = lines.iter_mut().find(|line| line.daemon == row.daemon);
            match known {
                Some(line) => line.points.push(point),
                None => lines.push(line_of(row, point)),
            }
        }
    }
    lines.sort_by_key(|line| super::order(line.daemon));
    lines
}

fn line_of(row: &Row, point: (f64, f64)) -> Line<'_> {
    Line {
        daemon: &row.daemon,
        title: &row.title,
        points: vec![point],
    }
}

/// Both scales begin at nought and are linear: a straight line is linear growth.
fn draw_one(lines: &[Line<'_>], title: &str, by: &str, path: &Path) -> Drawn {
    let points = || lines.iter().flat_map(|line| &line.points);
    let right = points().map(|(x, _)| *x).fold(0.0, f64::max) * 1.05;
    let top = points().map(|(_, y)| *y).fold(0.0, f64::max) * 1.05;
    let area = SVGBackend::new(path, SIZE).into_drawing_area();
    area.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&area)
        .caption(title, ("sans-serif", 18))
        .margin(10)
        .x_label_area_size(40)
        .y_label_area_size(60)
        .build_cartesian_2d(0.0..right, 0.0..top)?;
    chart
        .configure_mesh()
        .x_desc(by)
        .light_line_style(WHITE)
        .label_style(("sans-serif", 13))
        .draw()?;
    for line in lines {
        let colour = colour(line.daemon);
        let series = LineSeries::new(line.points.iter().copied(), colour.stroke_width(2));
        chart
            .draw_series(series.point_size(3))?
            .label(line.title)
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 12, y + 5)], colour.filled()));
    }
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE)
        .label_font(("sans-serif", 13))
        .draw()?;
    area.present()?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::super::measure::Run;
    use super::super::results::CaseResult;
    use super::*;

    #[test]
    fn a_curve_is_drawn_from_its_points() {
        let mut results = Results::default();
        for (at, wall) in [(4, 3.0), (1, 1.0), (2, 2.0)] {
            let case = CaseResult {
                key: format!("peers {at}"),
                curve: Some(("peers".to_owned(), at)),
                ..CaseResult::default()
            };
            let run = Run {
                wall: Some(wall),
                growth: 1024 * u64::from(at),
                ..Run::default()
            };
            let row = Row {
                daemon: "bird".to_owned(),
                title: "BIRD".to_owned(),
                runs: vec![run],
                ..Row::default()
            };
            results.put(&case, row);
        }
        let lines = lines(&results, "peers", |median| median.growth);
        assert_eq!(lines[0].points, [(1.0, 1.0), (2.0, 2.0), (4.0, 4.0)]);
        let folder = tempfile::tempdir().unwrap();
        let drawn = draw(&results, folder.path()).unwrap();
        let names: Vec<_> = drawn.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&"curve-peers-memory.svg"), "{names:?}");
        let text = std::fs::read_to_string(folder.path().join("curve-peers-memory.svg")).unwrap();
        assert!(text.contains("BIRD") && text.contains("#1F77B4"), "{text}");
    }
}
