//! ZooKeeper's messages, as far as they are used: big-endian numbers, and texts after their lengths.
//!
//! Source: Apache ZooKeeper, `zookeeper.jute` and "ZooKeeper Programmer's Guide".

/// The numbers of messages that answer no request.
pub(super) const OF_EVENTS: i32 = -1;
pub(super) const OF_PINGS: i32 = -2;

/// What is asked.
const GET_DATA: i32 = 4;
const GET_CHILDREN: i32 = 8;
const PING: i32 = 11;

/// The code of an answer about a node that is not there.
const NO_NODE: i32 = -101;
/// What other codes mean.
const CODES: &[(i32, &str)] = &[
    (-4, "the connection is lost"),
    (
        -8,
        "bad arguments (a path starts with / and does not end with it)",
    ),
    (-102, "not authorized"),
    (-112, "the session has ended"),
    (-115, "authentication failed"),
];
/// The state of a session that is over, in an event.
const EXPIRED: i32 = -112;

/// A message that breaks off or has another shape.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What is asked about one node; a watch is left there.
#[derive(Clone, Copy, Debug)]
pub(super) enum Question<'a> {
    Data(&'a str),
    Children(&'a str),
}

/// What is said of a node.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// The node is not there.
    Missing,
    /// It is refused, with what the code means.
    Refused(String),
    Data(Vec<u8>),
    /// The names of the nodes below.
    Children(Vec<String>),
}

/// What the server says.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Frame<'b> {
    /// Something happened to this node.
    Changed(String),
    /// Something happened to the session that needs no answer.
    Noted,
    /// The session is over.
    Expired,
    /// The answer to the request of that number: a code, and what follows it.
    Reply(i32, i32, &'b [u8]),
}

/// Returns the first message of a connection, which asks for a new session; `timeout_ms` is how long it may be silent.
pub(super) fn hello(timeout_ms: i32) -> Vec<u8> {
    let mut out = Vec::new();
    out.extend(0_i32.to_be_bytes());
    out.extend(0_i64.to_be_bytes());
    out.extend(timeout_ms.to_be_bytes());
    out.extend(0_i64.to_be_bytes());
    append_bytes(&mut out, &[0; 16]);
    // No server that has lost the others, and can only be read.
    out.push(0);
    framed(out)
}

/// Returns how long the session may be silent, in milliseconds; 0 if there is none.
pub(super) fn decode_hello(frame: &[u8]) -> Result<i32, Malformed> {
    let mut reader = Reader(frame);
    reader.int()?;
    reader.int()
}

/// Returns a request.
pub(super) fn request(number: i32, question: Question<'_>) -> Vec<u8> {
    let (kind, path) = match question {
        Question::Data(path) => (GET_DATA, path),
        Question::Children(path) => (GET_CHILDREN, path),
    };
    let mut out = Vec::new();
    out.extend(number.to_be_bytes());
    out.extend(kind.to_be_bytes());
    append_bytes(&mut out, path.as_bytes());
    out.push(1);
    framed(out)
}

/// Returns what keeps a session alive.
pub(super) fn ping() -> Vec<u8> {
    let mut out = Vec::from(OF_PINGS.to_be_bytes());
    out.extend(PING.to_be_bytes());
    framed(out)
}

/// Reads what a server sends after the session has begun.
pub(super) fn decode(frame: &[u8]) -> Result<Frame<'_>, Malformed> {
    let mut reader = Reader(frame);
    let number = reader.int()?;
    // The time of the server's last change.
    reader.take(8)?;
    let code = reader.int()?;
    match number {
        OF_PINGS => Ok(Frame::Noted),
        OF_EVENTS => {
            reader.int()?;
            let (state, path) = (reader.int()?, reader.text()?);
            Ok(match (state, path.is_empty()) {
                (EXPIRED, _) => Frame::Expired,
                (_, true) => Frame::Noted,
                (_, false) => Frame::Changed(path),
            })
        }
        number => Ok(Frame::Reply(number, code, reader.0)),
    }
}

/// Reads the answer to a question, from its code and what follows it.
pub(super) fn decode_answer(
    question: Question<'_>,
    code: i32,
    body: &[u8],
) -> Result<Answer, Malformed> {
    let mut reader = Reader(body);
    match (code, question) {
        (0, Question::Data(_)) => Ok(Answer::Data(reader.bytes()?.to_vec())),
        (0, Question::Children(_)) => {
            let count = reader.int()?;
            let names = (0..count).map(|_| reader.text());
            Ok(Answer::Children(names.collect::<Result<_, _>>()?))
        }
        (NO_NODE, _) => Ok(Answer::Missing),
        (code, _) => {
            let meaning = CODES.iter().find(|(known, _)| *known == code);
            let meaning = meaning.map(|(_, meaning)| (*meaning).to_owned());
            Ok(Answer::Refused(
                meaning.unwrap_or_else(|| format!("error {code}")),
            ))
        }
    }
}

/// Returns a message after its length.
pub(super) fn framed(message: Vec<u8>) -> Vec<u8> {
    let mut out = Vec::with_capacity(message.len() + 4);
    append_bytes(&mut out, &message);
    out
}

fn append_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    // What is sent are paths of a configuration.
    let length = i32::try_from(bytes.len()).unwrap_or(i32::MAX);
    out.extend(length.to_be_bytes());
    out.extend(bytes);
}

/// What is still to be read of a message.
pub(super) struct Reader<'b>(pub(super) &'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, count: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    pub(super) fn int(&mut self) -> Result<i32, Malformed> {
        let (bytes, rest) = self.0.split_first_chunk().ok_or(Malformed)?;
        self.0 = rest;
        Ok(i32::from_be_bytes(*bytes))
    }

    /// Reads bytes after their length; a length of -1 means that there are none.
    pub(super) fn bytes(&mut self) -> Result<&'b [u8], Malformed> {
        match self.int()? {
            -1 => Ok(&[]),
            length => self.take(usize::try_from(length).map_err(|_| Malformed)?),
        }
    }

    pub(super) fn text(&mut self) -> Result<String, Malformed> {
        let text = std::str::from_utf8(self.bytes()?).map_err(|_| Malformed)?;
        Ok(text.to_owned())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_breaks_off_is_malformed() {
        assert_eq!(decode(&[0; 15]), Err(Malformed));
        assert_eq!(decode(&[0; 16]), Ok(Frame::Reply(0, 0, &[])));
        let children = Question::Children("/");
        // More names than there are, and fewer than none.
        assert_eq!(
            decode_answer(children, 0, &i32::MAX.to_be_bytes()),
            Err(Malformed)
        );
        let none = decode_answer(children, 0, &(-1_i32).to_be_bytes());
        assert_eq!(none, Ok(Answer::Children(Vec::new())));
        let data = Question::Data("/");
        let none = decode_answer(data, 0, &(-1_i32).to_be_bytes());
        assert_eq!(none, Ok(Answer::Data(Vec::new())));
        assert_eq!(
            decode_answer(data, 0, &(-2_i32).to_be_bytes()),
            Err(Malformed)
        );
        assert_eq!(decode_answer(data, -101, &[]), Ok(Answer::Missing));
        let refused = |code| decode_answer(data, code, &[]).unwrap();
        assert_eq!(refused(-102), Answer::Refused("not authorized".to_owned()));
        assert_eq!(refused(-7), Answer::Refused("error -7".to_owned()));
    }

    proptest! {
        /// Whatever a server sends, nothing panics.
        #[test]
        fn any_bytes(bytes in prop::collection::vec(any::<u8>(), 0..80), code in -1i32..1) {
            let _ = decode_hello(&bytes);
            if let Ok(Frame::Reply(_, _, body)) = decode(&bytes) {
                let _ = decode_answer(Question::Data("/"), code, body);
                let _ = decode_answer(Question::Children("/"), code, body);
            }
        }
    }
}
