//! The house rules as a test. Each rule says what is wrong, where, and what to do instead.

mod manifests;
mod rules;
mod source;
mod tiers;

use anyhow::{Result, bail};

use crate::shell;

/// Checks every rule and prints the medians that the budgets are about.
pub(crate) fn run() -> Result<()> {
    let mut findings = tiers::check()?;
    findings.extend(manifests::check()?);
    let files = source::read_all(&shell::root())?;
    for file in &files {
        rules::check_file(file, &mut findings);
    }
    rules::check_documents(&shell::root(), &mut findings)?;
    let product: Vec<_> = files.iter().filter(|file| file.is_product()).collect();
    let mut functions: Vec<usize> = product
        .iter()
        .flat_map(|file| file.functions.iter().map(|f| f.lines))
        .collect();
    let mut lengths: Vec<usize> = product.iter().map(|file| file.lines).collect();
    println!(
        "    {} files, median {} lines; {} functions, median {} lines",
        product.len(),
        median(&mut lengths),
        functions.len(),
        median(&mut functions),
    );
    if findings.is_empty() {
        return Ok(());
    }
    findings.sort();
    for finding in &findings {
        eprintln!("tidy: {finding}");
    }
    bail!("{} findings", findings.len());
}

fn median(values: &mut [usize]) -> usize {
    values.sort_unstable();
    values.get(values.len() / 2).copied().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    /// `cargo test` holds the rules too, not only `cargo xtask tidy`.
    #[test]
    fn the_house_is_tidy() {
        super::run().expect("cargo xtask tidy passes");
    }
}
