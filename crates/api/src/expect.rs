//! Expectations: what must stay true of the network, and whether it is.

use serde::{Deserialize, Serialize};

/// How an expectation stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ExpectationState {
    /// It is true.
    Holds,
    /// It is not.
    Broken,
    /// Nobody whom it is about is there.
    #[default]
    Unjudged,
}

impl ExpectationState {
    /// Its name in texts.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            ExpectationState::Holds => "holds",
            ExpectationState::Broken => "broken",
            ExpectationState::Unjudged => "unjudged",
        }
    }
}

/// One expectation of the configuration in force.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expectation {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub state: ExpectationState,
    /// Why, with an example.
    pub detail: String,
    /// Since when.
    pub since_seconds: f64,
}

/// All of them.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Expectations {
    /// In the file's order.
    pub expectations: Vec<Expectation>,
    /// Looks at them since the start.
    pub looks: u64,
    /// Seconds since the last look; `None` before the first.
    #[serde(default)]
    pub looked_seconds: Option<f64>,
    /// How often one that held was broken.
    pub broken_total: u64,
}

/// What a change would do to one.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PlannedExpectation {
    /// Its name.
    pub name: String,
    /// How it stands.
    pub now: ExpectationState,
    /// How it would.
    pub then: ExpectationState,
    /// The change breaks it: a reload is refused.
    pub breaks: bool,
    /// Why, with an example.
    pub detail: String,
}
