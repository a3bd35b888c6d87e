//! The arguments of `thruway decode`.

use std::path::PathBuf;

/// What `thruway decode` takes.
#[derive(Clone, Debug, Default, clap::Args)]
pub struct DecodeArgs {
    /// An MRT file (plain, gzip or bzip2) or a text with BGP messages in hex; - for standard input.
    pub file: PathBuf,
    /// One JSON object a line.
    #[arg(long, conflicts_with = "lines")]
    pub json: bool,
    /// One line a prefix, in the format of `bgpdump -m`.
    #[arg(short = 'm', long = "lines")]
    pub lines: bool,
    /// Messages have two-octet AS numbers; the default is to look. MRT files tell it themselves.
    #[arg(long, conflicts_with = "as4")]
    pub as2: bool,
    /// Messages have four-octet AS numbers, those of MRT subtypes without AS4 too.
    #[arg(long)]
    pub as4: bool,
    /// Whether NLRI in messages carry path identifiers (RFC 7911); without a value, yes. MRT
    /// subtypes with ADDPATH tell it themselves.
    #[arg(
        long,
        value_enum,
        num_args = 0..=1,
        require_equals = true,
        default_value = "auto",
        default_missing_value = "yes"
    )]
    pub add_path: AddPath,
}

/// Whether NLRI in messages carry path identifiers (RFC 7911).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum AddPath {
    /// They do.
    Yes,
    /// They do not.
    No,
    /// As the record says; they do where they cannot be read without.
    #[default]
    Auto,
}
