//! `thruway decode -m` against other people's text: bgpdump's own expected files, and an installed
//! bgpdump for the dumps that have none.
#![allow(
    clippy::unwrap_used,
    reason = "a test ends where something is not as it must be"
)]

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::Command;

use thruway_dump::{DecodeArgs, run_to};
use thruway_replay::mrt_file::Input;
use thruway_tests::data::data_dir;

/// A dump, and how our lines differ from bgpdump's.
struct Row {
    file: &'static str,
    /// How many lines we print.
    lines: usize,
    /// Lines of ours that bgpdump does not print, and lines of its that we do not print.
    differ: (usize, usize),
}

const fn same(file: &'static str, lines: usize) -> Row {
    Row {
        file,
        lines,
        differ: (0, 0),
    }
}

/// Dumps with a text in `mrt/bgpdump/expect`: not one line differs.
const EXPECTED: [Row; 6] = [
    same("bview.ipv4_unicast_add_path.gz", 62),
    same("updates.20020722.2238.gz", 3_337),
    same("updates.20070211.0141.gz", 53_657),
    same("updates.20100722.2015.gz", 5_654),
    same("updates.20160811.1600.gz", 41_234),
    same("updates.et-header.2015.gz", 577_744),
];

/// Dumps that bgpdump itself judges, where it is installed.
///
/// `bird_bgp` and `bird6_bgp` hold ADD-PATH messages under a subtype without ADD-PATH, as BIRD once
/// wrote them. bgpdump takes the path identifiers for prefixes (`0.0.0.0/0` three times, then
/// `24.0.0.0/2`); we see that they cannot be meant so, and print the prefixes.
const JUDGED: [Row; 13] = [
    same("bgp-rs/rrc00.updates.20190101.0000.gz", 162_617),
    same("bgpkit-parser/examples_updates.bz2", 268),
    same("bgpkit-parser/rrc15.updates.20100227.1610.gz", 7_485),
    same("derived/rrc00.bview.20000111.0032.tdv2.mrt.gz", 452_018),
    same("mrtparse/bird-mrtdump_bgp", 24),
    same("mrtparse/bird-mrtdump_rib", 18),
    same("mrtparse/bird6-mrtdump_bgp", 24),
    same("mrtparse/bird6-mrtdump_rib", 10),
    same("mrtparse/quagga_bgp", 38),
    same("mrtparse/quagga_rib", 9),
    same("pyasn/route-views2.rib.20140523.0600_firstMB.bz2", 270_005),
    Row {
        file: "mrtparse/bird_bgp",
        lines: 26,
        differ: (14, 24),
    },
    Row {
        file: "mrtparse/bird6_bgp",
        lines: 26,
        differ: (14, 32),
    },
];

/// What `decode -m` prints, the error output, and how many places were damaged.
fn decoded(file: &Path) -> (Vec<u8>, String, u64) {
    let args = DecodeArgs {
        file: file.to_owned(),
        json: false,
        lines: true,
        ..DecodeArgs::default()
    };
    let (mut out, mut errors) = (Vec::new(), Vec::new());
    let damaged = run_to(&args, &mut out, &mut errors).unwrap();
    (out, String::from_utf8(errors).unwrap(), damaged)
}

/// Compares octet by octet where nothing is to differ, else as bags of lines.
fn compare(row: &Row, ours: &[u8], theirs: &[u8]) {
    let lines = |text: &[u8]| text.split(|octet| *octet == b'\n').count() - 1;
    assert_eq!(lines(ours), row.lines, "{}: lines", row.file);
    if row.differ == (0, 0) {
        if let Some((line, (ours, theirs))) = ours
            .split(|octet| *octet == b'\n')
            .zip(theirs.split(|octet| *octet == b'\n'))
            .enumerate()
            .find(|(_, (ours, theirs))| ours != theirs)
        {
            let (ours, theirs) = (
                String::from_utf8_lossy(ours),
                String::from_utf8_lossy(theirs),
            );
            panic!(
                "{} line {}:\nours   {ours}\ntheirs {theirs}",
                row.file,
                line + 1
            );
        }
        assert!(ours == theirs, "{}: one text is longer", row.file);
        return;
    }
    let mut bag: HashMap<&[u8], i64> = HashMap::new();
    for line in ours.split(|octet| *octet == b'\n') {
        *bag.entry(line).or_default() += 1;
    }
    for line in theirs.split(|octet| *octet == b'\n') {
        *bag.entry(line).or_default() -= 1;
    }
    let only = |sign: i64| bag.values().map(|count| (count * sign).max(0)).sum::<i64>();
    let differ = (
        usize::try_from(only(1)).unwrap(),
        usize::try_from(only(-1)).unwrap(),
    );
    assert_eq!(differ, row.differ, "{}: lines that differ", row.file);
}

#[test]
fn lines_equal_bgpdumps_expected_files() {
    let Some(data) = data_dir() else { return };
    for row in &EXPECTED {
        let (ours, errors, damaged) = decoded(&data.join("mrt/bgpdump").join(row.file));
        assert_eq!((errors.as_str(), damaged), ("", 0), "{}", row.file);
        let expected = data.join(format!("mrt/bgpdump/expect/{}.bgp.gz", row.file));
        let mut theirs = Vec::new();
        Input::open(&expected)
            .unwrap()
            .read_to_end(&mut theirs)
            .unwrap();
        compare(row, &ours, &theirs);
    }
}

#[test]
fn lines_equal_those_of_an_installed_bgpdump() {
    let Some(data) = data_dir() else { return };
    for row in &JUDGED {
        let file = data.join("mrt").join(row.file);
        let (ours, _, damaged) = decoded(&file);
        assert_eq!(
            damaged,
            u64::from(row.file.contains("firstMB")),
            "{}",
            row.file
        );
        let judge = Command::new("bgpdump")
            .args(["-q", "-m"])
            .arg(&file)
            .output();
        let Ok(judge) = judge else {
            println!(
                "bgpdump is not installed; {} and the rest are not compared",
                row.file
            );
            return;
        };
        compare(row, &ours, &judge.stdout);
    }
}

/// bgpdump stops after the first record of the dump of 2000, whose records batch entries behind a
/// length four octets short. The same entries are at hand as TABLE_DUMP_V2.
#[test]
fn every_entry_of_the_batched_table_dump_is_read() {
    let Some(data) = data_dir() else { return };
    // Type and time differ: the copy has one time for all.
    fn tails(text: &[u8]) -> Vec<&[u8]> {
        let lines = text
            .split(|octet| *octet == b'\n')
            .filter(|line| !line.is_empty());
        let tail = |line: &'_ [u8]| {
            let bars = line.iter().enumerate().filter(|(_, octet)| **octet == b'|');
            bars.map(|(at, _)| at).nth(1).unwrap_or_default()
        };
        let mut tails: Vec<_> = lines.map(|line| &line[tail(line)..]).collect();
        tails.sort_unstable();
        tails
    }
    let (old, errors, _) = decoded(&data.join("mrt/bgpkit-parser/rrc00.bview.20000111.0032.gz"));
    assert_eq!(errors, "");
    let (new, ..) = decoded(&data.join("mrt/derived/rrc00.bview.20000111.0032.tdv2.mrt.gz"));
    let (old, new) = (tails(&old), tails(&new));
    assert_eq!(old.len(), 452_018);
    assert!(old == new, "the entries are the same");
}

/// A file cut in mid-stream gives what decompresses, then one error with the offset.
#[test]
fn a_cut_file_ends_in_one_error() {
    let Some(data) = data_dir() else { return };
    let (_, errors, damaged) =
        decoded(&data.join("mrt/pyasn/route-views2.rib.20140523.0600_firstMB.bz2"));
    assert_eq!((errors.lines().count(), damaged), (1, 1), "{errors}");
    assert!(errors.contains("breaks off at offset 15273283"), "{errors}");

    let cut = tempfile::NamedTempFile::new().unwrap();
    let mut whole = Vec::new();
    let file = data.join("mrt/bgpdump/updates.20020722.2238.gz");
    File::open(file).unwrap().read_to_end(&mut whole).unwrap();
    std::fs::write(cut.path(), &whole[..whole.len() / 2]).unwrap();
    let (out, errors, damaged) = decoded(cut.path());
    assert!(out.len() > 10_000, "what decompresses is decoded");
    assert_eq!((errors.lines().count(), damaged), (1, 1), "{errors}");
    assert!(errors.contains("breaks off at offset"), "{errors}");
}
