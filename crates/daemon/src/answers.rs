//! Routes on their way to whoever asked: the shards' rows, one question after the other.

use std::collections::VecDeque;
use std::sync::Arc;

use anyhow::Result;
use thruway_api::Route;
use thruway_control::{Answer, Routes};
use thruway_rib::{Query, RouteRow};

use super::bus::{Bus, Rows};
use super::describe::Receiver;
use super::view::Names;

/// A question, and who was advertised its routes.
pub(super) type Question = (Query, Option<Receiver>);

/// Questions that are answered one after the other. What it holds for its reader is a few rows.
pub(super) struct Answers {
    bus: Arc<Bus>,
    waiting: VecDeque<Question>,
    current: Option<(Rows, Option<Receiver>)>,
    /// Found and not taken yet.
    rows: std::vec::IntoIter<RouteRow>,
    names: Arc<Names>,
}

impl Answers {
    pub(super) fn new(bus: &Arc<Bus>, waiting: VecDeque<Question>, names: Arc<Names>) -> Self {
        Answers {
            bus: Arc::clone(bus),
            waiting,
            current: None,
            rows: Vec::new().into_iter(),
            names,
        }
    }

    /// Waits for the next rows. False at the end.
    async fn more(&mut self) -> Result<bool> {
        while self.rows.as_slice().is_empty() {
            let Some((rows, _)) = &mut self.current else {
                let Some((query, receiver)) = self.waiting.pop_front() else {
                    return Ok(false);
                };
                self.current = Some((self.bus.query_in_turn(query)?, receiver));
                continue;
            };
            match rows.next().await {
                None => self.current = None,
                Some(piece) => self.rows = piece?.into_iter(),
            }
        }
        Ok(true)
    }
}

impl Routes for Answers {
    fn wait(&mut self) -> Answer<'_, bool> {
        Box::pin(async { Ok(self.more().await?) })
    }

    fn take(&mut self) -> Option<Route> {
        let row = self.rows.next()?;
        let current = self.current.as_ref();
        Some(match current.and_then(|(_, receiver)| receiver.as_ref()) {
            Some(receiver) => receiver.route(&self.names, &row),
            None => self.names.route(&row),
        })
    }
}

/// Few routes, all found.
pub(super) struct Ready(pub(super) std::vec::IntoIter<Route>);

impl Routes for Ready {
    fn wait(&mut self) -> Answer<'_, bool> {
        let left = !self.0.as_slice().is_empty();
        Box::pin(async move { Ok(left) })
    }

    fn take(&mut self) -> Option<Route> {
        self.0.next()
    }
}
