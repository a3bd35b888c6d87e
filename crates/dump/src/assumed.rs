//! What messages do not say of themselves: how wide AS numbers are, and whether NLRI carry path
//! identifiers. The user may say it, a record may; else it is a guess, and told as one.

use std::fmt;

use super::args::{AddPath, DecodeArgs};

/// What the user says of messages.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Said {
    /// AS numbers have four octets.
    pub(super) as4: Option<bool>,
    /// NLRI carry path identifiers.
    pub(super) add_path: Option<bool>,
}

impl From<&DecodeArgs> for Said {
    fn from(args: &DecodeArgs) -> Self {
        Said {
            as4: (args.as4 || args.as2).then_some(args.as4),
            add_path: match args.add_path {
                AddPath::Yes => Some(true),
                AddPath::No => Some(false),
                AddPath::Auto => None,
            },
        }
    }
}

/// What was assumed to read an UPDATE; `None` where it was known, or did not matter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Assumed {
    /// AS numbers have four octets.
    pub(super) as4: Option<bool>,
    /// NLRI carry path identifiers.
    pub(super) add_path: Option<bool>,
}

/// How often what was assumed.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Assumptions {
    as4: [u64; 2],
    add_path: [u64; 2],
}

impl Assumptions {
    pub(super) fn count(&mut self, assumed: Assumed) {
        for (counts, value) in [
            (&mut self.as4, assumed.as4),
            (&mut self.add_path, assumed.add_path),
        ] {
            let [no, yes] = counts;
            match value {
                Some(false) => *no += 1,
                Some(true) => *yes += 1,
                None => {}
            }
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.as4 == [0; 2] && self.add_path == [0; 2]
    }
}

/// Writes what was assumed and the options that say it.
impl fmt::Display for Assumptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ([as2, as4], [without, with]) = (self.as4, self.add_path);
        let mut between = "assumed ";
        for (count, what) in [
            (as4, "four-octet AS numbers (--as4)"),
            (as2, "two-octet AS numbers (--as2)"),
            (with, "path identifiers (--add-path=yes)"),
            (without, "no path identifiers (--add-path=no)"),
        ] {
            if count > 0 {
                let s = if count == 1 { "" } else { "s" };
                write!(f, "{between}{what} in {count} UPDATE{s}")?;
                between = ", ";
            }
        }
        Ok(())
    }
}
