//! What a session asks for, noted while it runs and done right after.

use bytes::Bytes;
use thruway_session::{Actions, ConnId, Damped, DownReason, Negotiated, Refresh, Stale, State};
use thruway_wire::FamilySet;

/// One call of [`Actions`].
#[derive(Debug)]
pub(crate) enum Effect {
    Connect,
    CancelConnect,
    Send(ConnId, Bytes),
    SendInOrder(ConnId, Bytes),
    Close(ConnId, bool),
    Established(ConnId, Box<Negotiated>),
    Down(DownReason, FamilySet),
    Failed(DownReason),
    Stale(Stale),
    Refresh(Refresh),
    Damped(Damped),
    State(State, State),
}

/// Notes a session's calls in order. A session makes a handful at a time, and none for an UPDATE.
pub(crate) struct Collect<'a>(pub(crate) &'a mut Vec<Effect>);

impl Actions for Collect<'_> {
    fn connect(&mut self) {
        self.0.push(Effect::Connect);
    }

    fn cancel_connect(&mut self) {
        self.0.push(Effect::CancelConnect);
    }

    fn send(&mut self, conn: ConnId, bytes: &[u8]) {
        self.0
            .push(Effect::Send(conn, Bytes::copy_from_slice(bytes)));
    }

    fn send_in_order(&mut self, conn: ConnId, bytes: &[u8]) {
        self.0
            .push(Effect::SendInOrder(conn, Bytes::copy_from_slice(bytes)));
    }

    fn close(&mut self, conn: ConnId, graceful: bool) {
        self.0.push(Effect::Close(conn, graceful));
    }

    fn established(&mut self, conn: ConnId, negotiated: &Negotiated) {
        self.0
            .push(Effect::Established(conn, Box::new(negotiated.clone())));
    }

    fn down(&mut self, reason: &DownReason, retain: FamilySet) {
        self.0.push(Effect::Down(reason.clone(), retain));
    }

    fn failed(&mut self, _conn: Option<ConnId>, reason: &DownReason) {
        self.0.push(Effect::Failed(reason.clone()));
    }

    fn stale(&mut self, what: Stale) {
        self.0.push(Effect::Stale(what));
    }

    fn refresh(&mut self, refresh: Refresh) {
        self.0.push(Effect::Refresh(refresh));
    }

    fn damped(&mut self, damped: &Damped) {
        self.0.push(Effect::Damped(*damped));
    }

    fn state(&mut self, from: State, to: State) {
        self.0.push(Effect::State(from, to));
    }
}
