//! What members tell each other of silences and the notification log, and the queue of what is yet to be told.

use std::collections::VecDeque;

use model::protobuf::{Fields, WireError, Writer};

use super::member::{Codec, Known};
use crate::dispatch::{IntegrationKey, LogEntry};
use crate::mesh::{self, MeshError};
use crate::silence::Silence;

/// A silence or an entry of the notification log, as a member has it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Update {
    Silence(Box<Silence>),
    Entry(IntegrationKey, LogEntry),
}

/// What an update is about: a newer one takes its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum UpdateKey {
    Silence(String),
    Entry(IntegrationKey),
}

const SILENCE: u32 = 1;
const ENTRY: u32 = 2;
const MEMBER: u32 = 3;

impl Update {
    pub(crate) fn key(&self) -> UpdateKey {
        match self {
            Update::Silence(silence) => UpdateKey::Silence(silence.id.clone()),
            Update::Entry(key, _) => UpdateKey::Entry(key.clone()),
        }
    }

    /// Returns the update as bytes; updates one after the other are a message.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut part = Writer::default();
        match self {
            Update::Silence(silence) => part.bytes(SILENCE, &mesh::encode_silence(silence)),
            Update::Entry(key, entry) => part.bytes(ENTRY, &mesh::encode_entry(key, entry)),
        };
        part.into_bytes()
    }
}

/// Returns a member as bytes that may stand among updates.
pub(crate) fn encode_member(member: &Known) -> Vec<u8> {
    let (mut part, mut bytes) = (Writer::default(), Vec::new());
    // A `Vec` has room for everything.
    if foca::Codec::encode_member(&mut Codec, member, &mut bytes).is_ok() {
        part.bytes(MEMBER, &bytes);
    }
    part.into_bytes()
}

/// A part of a message.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Part {
    Update(Update),
    Member(Known),
    /// It cannot be read; what follows can.
    Unreadable,
}

/// The parts of a message, one by one; it ends where bytes are no parts.
pub(crate) struct Parts<'a> {
    fields: Fields<'a>,
    /// A message may hold several silences in one.
    waiting: VecDeque<Part>,
    is_broken: bool,
}

impl<'a> Parts<'a> {
    pub(crate) fn of(message: &'a [u8]) -> Self {
        Parts {
            fields: Fields::of(message),
            waiting: VecDeque::new(),
            is_broken: false,
        }
    }

    fn read(&mut self) -> Result<bool, WireError> {
        let Some((number, value)) = self.fields.read()? else {
            return Ok(false);
        };
        match number {
            SILENCE => match mesh::decode_silences(value.bytes("silence")?) {
                Ok(silences) => {
                    let parts = silences.into_iter();
                    let parts = parts.map(|silence| Part::Update(Update::Silence(silence.into())));
                    self.waiting.extend(parts);
                }
                Err(_) => self.waiting.push_back(Part::Unreadable),
            },
            ENTRY => {
                let entry = mesh::decode_entry(value.bytes("entry")?);
                let part = |(key, entry)| Part::Update(Update::Entry(key, entry));
                let part = entry.map_or_else(|_: MeshError| Part::Unreadable, part);
                self.waiting.push_back(part);
            }
            MEMBER => {
                let member = foca::Codec::decode_member(&mut Codec, value.bytes("member")?);
                let part = member.map_or(Part::Unreadable, Part::Member);
                self.waiting.push_back(part);
            }
            // A newer version may tell more.
            _ => {}
        }
        Ok(true)
    }
}

impl Iterator for Parts<'_> {
    type Item = Part;

    fn next(&mut self) -> Option<Part> {
        loop {
            if let Some(part) = self.waiting.pop_front() {
                return Some(part);
            }
            if self.is_broken {
                return None;
            }
            match self.read() {
                Ok(true) => {}
                Ok(false) => return None,
                Err(_) => {
                    self.is_broken = true;
                    return Some(Part::Unreadable);
                }
            }
        }
    }
}

/// Updates that are yet to be told, each a few times, because packets get lost.
#[derive(Debug)]
pub(crate) struct UpdateQueue {
    waiting: Vec<Waiting>,
    count_max: usize,
}

#[derive(Debug)]
struct Waiting {
    key: UpdateKey,
    part: Vec<u8>,
    /// How often it is still to be sent.
    left: u8,
}

impl UpdateQueue {
    pub(crate) fn new(count_max: usize) -> Self {
        UpdateQueue {
            waiting: Vec::new(),
            count_max,
        }
    }

    /// Takes in an update, to be sent `times` times; an older one of the same key goes. Returns whether another one had to go
    /// because there are too many: the one that was sent most often.
    pub(crate) fn push(&mut self, key: UpdateKey, part: Vec<u8>, times: u8) -> bool {
        match self.waiting.iter_mut().find(|waiting| waiting.key == key) {
            Some(known) => {
                (known.part, known.left) = (part, times);
                return false;
            }
            None => self.waiting.push(Waiting {
                key,
                part,
                left: times,
            }),
        }
        if self.waiting.len() <= self.count_max {
            return false;
        }
        let all = self.waiting.iter().enumerate();
        if let Some((index, _)) = all.min_by_key(|(_, waiting)| waiting.left) {
            self.waiting.remove(index);
        }
        true
    }

    /// Returns as many updates as there is room for, those first that were sent least.
    pub(crate) fn take(&mut self, bytes_max: usize) -> Vec<u8> {
        self.waiting
            .sort_by_key(|waiting| std::cmp::Reverse(waiting.left));
        let mut message = Vec::new();
        for waiting in &mut self.waiting {
            if message.len() + waiting.part.len() <= bytes_max {
                message.extend_from_slice(&waiting.part);
                waiting.left = waiting.left.saturating_sub(1);
            }
        }
        self.waiting.retain(|waiting| 0 < waiting.left);
        message
    }

    pub(crate) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(crate) fn clear(&mut self) {
        self.waiting.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::{MatchOp, Matcher};

    fn silence(id: &str) -> Update {
        let matcher = Matcher::new("a".to_owned(), MatchOp::Regex, "b|c".to_owned()).unwrap();
        Update::Silence(Box::new(Silence {
            id: id.to_owned(),
            matchers: vec![matcher],
            updated_at_ms: 5,
            ..Silence::default()
        }))
    }

    #[test]
    fn parts_come_back_and_what_is_broken_spares_the_others() {
        let address = "10.0.0.1:1".parse().unwrap();
        let member = super::super::member::Member::new("n".to_owned(), address, 1).unwrap();
        let member = Known::alive(member);
        let key = IntegrationKey::default();
        let entry = Update::Entry(key, LogEntry::default());
        let mut message = silence("x").encode();
        // Field 1 with a silence that is none, and a field of the future.
        message.extend_from_slice(&[0x0a, 1, 0xff, 0x7a, 1, 0]);
        message.extend(encode_member(&member));
        message.extend(entry.encode());
        message.extend_from_slice(&[0x0a, 200]);
        let parts: Vec<Part> = Parts::of(&message).collect();
        let expected = vec![
            Part::Update(silence("x")),
            Part::Unreadable,
            Part::Member(member),
            Part::Update(entry),
            Part::Unreadable,
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn the_queue_sends_each_a_few_times_and_is_bounded() {
        let mut queue = UpdateQueue::new(2);
        let push = |queue: &mut UpdateQueue, id: &str, part: u8, times| {
            queue.push(UpdateKey::Silence(id.to_owned()), vec![part; 4], times)
        };
        assert!(!push(&mut queue, "a", 1, 2));
        assert!(!push(&mut queue, "a", 2, 2));
        assert!(!push(&mut queue, "b", 3, 1));
        // There is room for one: the one that was sent least.
        assert_eq!(queue.take(7), [2, 2, 2, 2]);
        assert_eq!(queue.take(100), [2, 2, 2, 2, 3, 3, 3, 3]);
        assert_eq!((queue.len(), queue.take(100).len()), (0, 0));
        push(&mut queue, "a", 1, 3);
        push(&mut queue, "b", 2, 1);
        assert!(push(&mut queue, "c", 3, 3), "b goes");
        assert_eq!(queue.take(100), [1, 1, 1, 1, 3, 3, 3, 3]);
    }
}
