//! "Did you mean": the nearest of some names.

/// A tail for an error message: the nearest name, or all names where they are few.
pub(super) fn hint<'n>(wrong: &str, names: impl Iterator<Item = &'n str> + Clone) -> String {
    let near = names
        .clone()
        .map(|name| (distance(wrong, name), name))
        .filter(|(distance, name)| *distance <= wrong.len().max(name.len()).div_ceil(3).min(3))
        .min();
    if let Some((_, name)) = near {
        return format!("; did you mean `{name}`?");
    }
    let names: Vec<&str> = names.collect();
    match names.len() {
        1..=8 => format!("; known: {}", names.join(", ")),
        _ => String::new(),
    }
}

/// Edits between two texts: insert, delete, replace, swap neighbours. `-` and `_` are equal.
fn distance(a: &str, b: &str) -> usize {
    let normal = |text: &str| text.to_ascii_lowercase().replace('_', "-").into_bytes();
    let (a, b) = (normal(a), normal(b));
    let mut rows: [Vec<usize>; 3] = [Vec::new(), (0..=b.len()).collect(), (0..=b.len()).collect()];
    for (i, x) in a.iter().enumerate() {
        rows.rotate_left(1);
        let [before, above, row] = &mut rows;
        row.clear();
        row.push(i + 1);
        for (j, y) in b.iter().enumerate() {
            let mut best = (above[j + 1] + 1)
                .min(row[j] + 1)
                .min(above[j] + usize::from(x != y));
            if i > 0 && j > 0 && a[i - 1] == *y && b[j - 1] == *x {
                best = best.min(before[j - 1] + 1);
            }
            row.push(best);
        }
    }
    rows[2][b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_are_counted() {
        for (a, b, expected) in [
            ("", "", 0),
            ("abc", "acb", 1),
            ("abc", "", 3),
            ("a_b", "A-b", 0),
            ("kitten", "sitting", 3),
        ] {
            assert_eq!(distance(a, b), expected, "{a} {b}");
            assert_eq!(distance(b, a), expected, "{b} {a}");
        }
    }

    #[test]
    fn only_near_names_are_suggested() {
        let names = ["hold-time", "import", "export"];
        assert_eq!(
            hint("holdtime", names.into_iter()),
            "; did you mean `hold-time`?"
        );
        assert_eq!(
            hint("exprot", names.into_iter()),
            "; did you mean `export`?"
        );
        assert_eq!(
            hint("zebra", names.into_iter()),
            "; known: hold-time, import, export"
        );
        assert_eq!(hint("zebra", (0..9).map(|_| "quagga")), "");
    }
}
