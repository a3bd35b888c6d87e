//! NOTIFICATION (RFC 4271 §4.5, RFC 9003): codes, data and text.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::header::{self, MessageType};
use crate::limits::{HEADER_LEN, MESSAGE_LEN_MAX, SHUTDOWN_TEXT_LEN_MAX};

/// A NOTIFICATION, received or to be sent.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Notification {
    /// Error code (RFC 4271 §4.5).
    pub code: u8,
    /// Error subcode, 0 where unspecific.
    pub subcode: u8,
    /// Data: depends on the code.
    pub data: Vec<u8>,
}

/// Error codes and their names (IANA "BGP Error (Notification) Codes").
const CODES: [(u8, &str); 8] = [
    (1, "Message Header Error"),
    (2, "OPEN Message Error"),
    (3, "UPDATE Message Error"),
    (4, "Hold Timer Expired"),
    (5, "Finite State Machine Error"),
    (6, "Cease"),
    (7, "ROUTE-REFRESH Message Error"),
    (8, "Send Hold Timer Expired"),
];

/// One row gives the constructor, the code, the subcode, its name and its source.
macro_rules! notifications {
    ($($constructor:ident, $code:literal, $subcode:literal, $name:literal, $source:literal;)*) => {
        impl Notification {
            $(
                #[doc = concat!($name, " (", $source, "), without data.")]
                #[must_use]
                pub const fn $constructor() -> Self {
                    Notification { code: $code, subcode: $subcode, data: Vec::new() }
                }
            )*
        }

        const SUBCODES: &[(u8, u8, &str)] = &[$(($code, $subcode, $name)),*];
    };
}

notifications! {
    connection_not_synchronized, 1, 1, "Connection Not Synchronized", "RFC 4271 §6.1";
    bad_message_length, 1, 2, "Bad Message Length", "RFC 4271 §6.1";
    bad_message_type, 1, 3, "Bad Message Type", "RFC 4271 §6.1";
    open_unspecific, 2, 0, "Unspecific", "RFC 4271 §6.2";
    unsupported_version, 2, 1, "Unsupported Version Number", "RFC 4271 §6.2";
    bad_peer_as, 2, 2, "Bad Peer AS", "RFC 4271 §6.2";
    bad_bgp_identifier, 2, 3, "Bad BGP Identifier", "RFC 4271 §6.2";
    unsupported_optional_parameter, 2, 4, "Unsupported Optional Parameter", "RFC 4271 §6.2";
    unacceptable_hold_time, 2, 6, "Unacceptable Hold Time", "RFC 4271 §6.2";
    unsupported_capability, 2, 7, "Unsupported Capability", "RFC 5492 §5";
    role_mismatch, 2, 11, "Role Mismatch", "RFC 9234 §4.2";
    update_unspecific, 3, 0, "Unspecific", "RFC 4271 §6.3";
    malformed_attribute_list, 3, 1, "Malformed Attribute List", "RFC 4271 §6.3";
    unrecognized_well_known_attribute, 3, 2, "Unrecognized Well-known Attribute", "RFC 4271 §6.3";
    missing_well_known_attribute, 3, 3, "Missing Well-known Attribute", "RFC 4271 §6.3";
    attribute_flags_error, 3, 4, "Attribute Flags Error", "RFC 4271 §6.3";
    attribute_length_error, 3, 5, "Attribute Length Error", "RFC 4271 §6.3";
    invalid_origin, 3, 6, "Invalid ORIGIN Attribute", "RFC 4271 §6.3";
    invalid_next_hop, 3, 8, "Invalid NEXT_HOP Attribute", "RFC 4271 §6.3";
    optional_attribute_error, 3, 9, "Optional Attribute Error", "RFC 4271 §6.3";
    invalid_network_field, 3, 10, "Invalid Network Field", "RFC 4271 §6.3";
    malformed_as_path, 3, 11, "Malformed AS_PATH", "RFC 4271 §6.3";
    hold_timer_expired, 4, 0, "Hold Timer Expired", "RFC 4271 §6.5";
    fsm_error, 5, 0, "Unspecified Error", "RFC 6608 §3";
    fsm_error_in_open_sent, 5, 1, "Receive Unexpected Message in OpenSent State", "RFC 6608 §3";
    fsm_error_in_open_confirm, 5, 2, "Receive Unexpected Message in OpenConfirm State",
        "RFC 6608 §3";
    fsm_error_in_established, 5, 3, "Receive Unexpected Message in Established State",
        "RFC 6608 §3";
    max_prefixes_reached, 6, 1, "Maximum Number of Prefixes Reached", "RFC 4486 §4";
    administrative_shutdown, 6, 2, "Administrative Shutdown", "RFC 4486 §4";
    peer_deconfigured, 6, 3, "Peer De-configured", "RFC 4486 §4";
    administrative_reset, 6, 4, "Administrative Reset", "RFC 4486 §4";
    connection_rejected, 6, 5, "Connection Rejected", "RFC 4486 §4";
    other_configuration_change, 6, 6, "Other Configuration Change", "RFC 4486 §4";
    connection_collision, 6, 7, "Connection Collision Resolution", "RFC 4486 §4";
    out_of_resources, 6, 8, "Out of Resources", "RFC 4486 §4";
    hard_reset, 6, 9, "Hard Reset", "RFC 8538 §3";
    bfd_down, 6, 10, "BFD Down", "RFC 9384 §3";
    bad_refresh_length, 7, 1, "Invalid Message Length", "RFC 7313 §5";
    send_hold_timer_expired, 8, 0, "Send Hold Timer Expired", "RFC 9687 §5";
}

impl Notification {
    /// One without data.
    #[must_use]
    pub const fn new(code: u8, subcode: u8) -> Self {
        Notification {
            code,
            subcode,
            data: Vec::new(),
        }
    }

    /// This one with `data`.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<Vec<u8>>) -> Self {
        self.data = data.into();
        self
    }

    /// This administrative shutdown or reset with a text for the other side's operator (RFC 9003),
    /// cut between characters so that it fits.
    #[must_use]
    pub fn with_text(self, text: &str) -> Self {
        let cut = text.floor_char_boundary(SHUTDOWN_TEXT_LEN_MAX);
        let text = text.get(..cut).unwrap_or_default();
        let mut data = Vec::with_capacity(text.len().saturating_add(1));
        data.push(u8::try_from(text.len()).unwrap_or(u8::MAX));
        data.extend_from_slice(text.as_bytes());
        self.with_data(data)
    }

    /// Reads a body; never fails: a short one becomes code 0.
    #[must_use]
    pub fn parse(body: &[u8]) -> Self {
        match body {
            [code, subcode, data @ ..] => Notification::new(*code, *subcode).with_data(data),
            _ => Notification::new(0, 0).with_data(body),
        }
    }

    /// Appends the whole message, header included. Data is cut so that the message fits 4,096
    /// octets.
    pub fn encode(&self, out: &mut Vec<u8>) {
        const DATA_MAX: usize = MESSAGE_LEN_MAX - HEADER_LEN - 2;
        let data = self.data.get(..DATA_MAX).unwrap_or(&self.data);
        let start = header::begin(out, MessageType::Notification);
        out.extend_from_slice(&[self.code, self.subcode]);
        out.extend_from_slice(data);
        header::finish(out, start);
    }

    /// The operator's text of an administrative shutdown or reset (RFC 9003), if there is one and
    /// it is UTF-8.
    #[must_use]
    pub fn shutdown_text(&self) -> Option<&str> {
        if self.code != 6 || !matches!(self.subcode, 2 | 4) {
            return None;
        }
        let (&len, text) = self.data.split_first()?;
        let text = std::str::from_utf8(text.get(..usize::from(len))?).ok()?;
        (!text.is_empty()).then_some(text)
    }

    /// The code's name, if it has one.
    #[must_use]
    pub fn code_name(&self) -> Option<&'static str> {
        CODES.iter().find(|row| row.0 == self.code).map(|row| row.1)
    }

    /// The subcode's name, if it has one.
    #[must_use]
    pub fn subcode_name(&self) -> Option<&'static str> {
        SUBCODES
            .iter()
            .find(|row| (row.0, row.1) == (self.code, self.subcode))
            .map(|row| row.2)
    }

    /// What a hard reset carries inside (RFC 8538 §3.1): the NOTIFICATION that it stands for.
    #[must_use]
    pub fn encapsulated(&self) -> Option<Notification> {
        let hard = (self.code, self.subcode) == (6, 9) && self.data.len() >= 2;
        hard.then(|| Notification::parse(&self.data))
    }
}

impl fmt::Display for Notification {
    /// `Cease/Administrative Shutdown: "text"`; numbers where there is no name.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.code_name() {
            Some(name) => f.write_str(name)?,
            None => write!(f, "code {}", self.code)?,
        }
        match self.subcode_name() {
            Some(name) if self.subcode != 0 => write!(f, "/{name}")?,
            None if self.subcode != 0 => write!(f, "/subcode {}", self.subcode)?,
            _ => {}
        }
        if let Some(text) = self.shutdown_text() {
            // Escaped: the text is the other side's and ends up in logs and terminals.
            return write!(f, ": {text:?}");
        }
        if let Some(inner) = self.encapsulated() {
            return write!(f, " of {inner}");
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters_and_read_back() {
        let long = "ä".repeat(200);
        let note = Notification::administrative_shutdown().with_text(&long);
        assert_eq!(
            note.data.len(),
            255,
            "254 octets of whole characters and the length"
        );
        assert_eq!(note.shutdown_text(), Some(&*"ä".repeat(127)));
        let note = Notification::administrative_reset().with_text("back at \"noon\"\n");
        let shown = r#"Cease/Administrative Reset: "back at \"noon\"\n""#;
        assert_eq!(note.to_string(), shown);
    }

    #[test]
    fn text_that_lies_about_its_length_or_encoding_is_none() {
        let note = Notification::administrative_shutdown();
        assert_eq!(note.clone().with_data([5, b'a']).shutdown_text(), None);
        assert_eq!(note.clone().with_data([1, 0xff]).shutdown_text(), None);
        assert_eq!(note.with_data([0]).shutdown_text(), None);
        let other = Notification::peer_deconfigured().with_text("x");
        assert_eq!(
            other.shutdown_text(),
            None,
            "only subcodes 2 and 4 carry text"
        );
    }

    #[test]
    fn round_trip_and_the_cut_at_4096() {
        let note = Notification::invalid_origin().with_data([0x40, 1, 1, 9]);
        let mut out = Vec::new();
        note.encode(&mut out);
        assert_eq!(out.len(), 25);
        assert_eq!(Notification::parse(&out[19..]), note);
        out.clear();
        note.with_data(vec![7; 5000]).encode(&mut out);
        assert_eq!(out.len(), 4096);
        assert_eq!(Notification::parse(&[3]).code, 0);
    }

    #[test]
    fn names_come_from_the_tables() {
        let shown = |code, subcode| Notification::new(code, subcode).to_string();
        assert_eq!(shown(4, 0), "Hold Timer Expired");
        assert_eq!(shown(3, 11), "UPDATE Message Error/Malformed AS_PATH");
        assert_eq!(shown(6, 77), "Cease/subcode 77");
        assert_eq!(shown(99, 1), "code 99/subcode 1");
        let hard = Notification::hard_reset().with_data([6, 4]);
        assert_eq!(
            hard.to_string(),
            "Cease/Hard Reset of Cease/Administrative Reset"
        );
    }
}
