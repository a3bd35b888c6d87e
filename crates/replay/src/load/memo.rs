//! Messages that came before: many receivers get the same octets, which are understood once.

use std::hash::Hasher;

use super::expect::Place;
use crate::hash::{FastHasher, FastMap};
use crate::limits::MEMO_BYTES;

/// What a message meant. Only plain messages are kept: one run of announcements with one attribute
/// set, or withdrawals alone, all of known prefixes.
#[derive(Clone, Copy)]
pub(crate) struct Lesson {
    body: (u32, u32),
    places: (u32, u32),
    /// The set's fingerprint; `None` where the message withdraws.
    pub(crate) print: Option<u32>,
}

/// Messages by their octets.
#[derive(Default)]
pub(crate) struct Memo {
    enabled: bool,
    lessons: FastMap<u64, Lesson>,
    bodies: Vec<u8>,
    places: Vec<Place>,
    // The message being read.
    began: usize,
    plain: bool,
}

impl Memo {
    /// It pays where there are several receivers.
    pub(crate) fn new(receivers: usize) -> Self {
        Memo {
            enabled: receivers > 1,
            ..Memo::default()
        }
    }

    /// What `body` meant when it came before.
    #[inline]
    pub(crate) fn recall(&self, body: &[u8]) -> Option<(Lesson, &[Place])> {
        if !self.enabled {
            return None;
        }
        let lesson = *self.lessons.get(&key(body))?;
        let known = self.bodies.get(range(lesson.body))?;
        let places = self.places.get(range(lesson.places))?;
        (known == body).then_some((lesson, places))
    }

    /// Begins to listen to a message.
    pub(crate) fn begin(&mut self) {
        self.began = self.places.len();
        self.plain = self.enabled && self.bodies.len() < MEMO_BYTES;
    }

    /// A prefix of the message; `None` is one that nobody sent.
    #[inline]
    pub(crate) fn note(&mut self, place: Option<Place>) {
        match place {
            Some(place) if self.plain => self.places.push(place),
            Some(_) => {}
            None => self.plain = false,
        }
    }

    /// The message is not a plain one.
    pub(crate) fn spoil(&mut self) {
        self.plain = false;
    }

    /// Keeps the message, where it was plain.
    pub(crate) fn learn(&mut self, body: &[u8], print: Option<u32>) {
        let (from, to) = (self.bodies.len(), self.bodies.len() + body.len());
        let ends = (u32::try_from(to), u32::try_from(self.places.len()));
        let (true, (Ok(to), Ok(places))) = (self.plain && self.began < self.places.len(), ends)
        else {
            self.places.truncate(self.began);
            return;
        };
        self.bodies.extend_from_slice(body);
        let lesson = Lesson {
            body: (from as u32, to),
            places: (self.began as u32, places),
            print,
        };
        self.lessons.insert(key(body), lesson);
    }
}

fn range((from, to): (u32, u32)) -> std::ops::Range<usize> {
    from as usize..to as usize
}

fn key(body: &[u8]) -> u64 {
    let mut hasher = FastHasher::default();
    hasher.write(body);
    hasher.finish()
}
