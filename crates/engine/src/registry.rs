//! Update groups of the whole process.

/// Gives update groups their numbers: members with equal keys share one, on whatever worker they
/// are. Touched when a session comes up or goes, never per message.
#[derive(Debug, Default)]
pub struct GroupRegistry {}

impl GroupRegistry {
    /// Without groups.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}
