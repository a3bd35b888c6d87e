//! Attribute sets in one line, for reports.

use std::fmt::Write;

use thruway_wire::attrs::{AttrSetRef, code};

/// `set` in words: next hop, path, and whatever else it has.
pub(crate) fn describe(set: AttrSetRef<'_>) -> String {
    let mut text = String::new();
    // Writing to a String cannot fail.
    let mut add = |part: std::fmt::Arguments<'_>| {
        let _ = text.write_fmt(part);
    };
    if let Some(next_hop) = set.next_hop() {
        add(format_args!("next hop {next_hop} "));
    }
    add(format_args!("path [{}]", set.as_path()));
    for attr in set.attrs() {
        match attr.code {
            code::AS_PATH => {}
            code::ORIGIN => add(format_args!(" origin {}", set.meta.origin)),
            code::MED => add(format_args!(" med {}", set.meta.med)),
            code::LOCAL_PREF => add(format_args!(" local-pref {}", set.meta.local_pref)),
            code::COMMUNITIES => {
                add(format_args!(" communities"));
                set.communities()
                    .for_each(|community| add(format_args!(" {community}")));
            }
            code::LARGE_COMMUNITIES => {
                add(format_args!(" large"));
                set.large_communities()
                    .for_each(|community| add(format_args!(" {community}")));
            }
            other => {
                add(format_args!(" attribute {other} {:#04x}:", attr.flags));
                attr.value
                    .iter()
                    .for_each(|octet| add(format_args!("{octet:02x}")));
            }
        }
    }
    text
}
