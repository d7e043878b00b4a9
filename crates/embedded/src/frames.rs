//! What server and worker say to each other: a u32 little-endian length (at most 1 MiB), then JSON.
//!
//! Prompts go down as messages, not as rendered text: the chat template is in the model's file, which only the
//! worker opens, and the worker alone decides which tokens are the template's (trusted, special tokens allowed)
//! and which are a message's (never parsed for special tokens, the system message's neither).

use std::io::{self, Read, Write};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// The version of these frames; both sides refuse another.
pub const PROTOCOL: u32 = 2;

/// Most bytes of one frame.
pub const FRAME_BYTES_MAX: usize = 1 << 20;

/// From the server to the worker.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Down {
    /// First frame.
    Hello {
        /// [`PROTOCOL`] of the server.
        protocol: u32,
    },
    /// Second frame: the model to load.
    Load(Load),
    /// An answer is wanted. At most [`Load::parallel`] are made at once; more wait in the order of their frames.
    Generate(Generate),
    /// The answer with this id is no longer wanted; it ends with `Failed` of kind `cancelled`, or has ended.
    Cancel {
        /// As in `Generate`.
        id: u64,
    },
    /// Are you alive? Answered between two pieces of work.
    Ping,
}

/// The model to load and how.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Load {
    /// The GGUF file.
    pub path: String,
    /// Context in tokens, shared by all cached prefixes and the running answers.
    pub n_ctx: u32,
    /// Threads for computing; 0 lets the worker choose while it works (by what others leave, at most 8).
    pub threads: u32,
    /// Answers made at once.
    pub parallel: u32,
}

/// An answer that is wanted.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Generate {
    /// Names the answer in the frames that follow; never used twice in one worker.
    pub id: u64,
    /// The conversation.
    pub messages: Vec<Message>,
    /// Most tokens to generate.
    pub max_tokens: u32,
    /// 0 is greedy.
    pub temperature: f32,
    /// Nucleus sampling.
    pub top_p: Option<f32>,
    /// Seed of the sampling.
    pub seed: Option<u64>,
    /// Texts that end the answer.
    pub stop: Vec<String>,
    /// A JSON schema that the answer keeps to; one cut at `max_tokens` fails then.
    #[serde(default)]
    pub schema: Option<String>,
    /// Milliseconds from now after which the answer is not wanted.
    pub deadline_ms: u64,
}

/// One message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Message {
    /// `system`, `user` or `assistant`.
    pub role: String,
    /// What is said.
    pub text: String,
}

/// From the worker to the server.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Up {
    /// The model is loaded.
    Ready(Ready),
    /// The model cannot be loaded; the worker ends.
    LoadFailed {
        /// Why, without the path's folder.
        reason: String,
    },
    /// Text that follows.
    Delta {
        /// Which answer.
        id: u64,
        /// Complete UTF-8.
        text: String,
        /// Tokens it was made of.
        n_tokens: u32,
    },
    /// The answer is whole.
    Done {
        /// Which answer.
        id: u64,
        /// Why it ended.
        finish: Finish,
        /// What it took.
        usage: Usage,
    },
    /// The answer will not be whole.
    Failed {
        /// Which answer.
        id: u64,
        /// What kind of failure.
        kind: FailureKind,
        /// What happened; never text of the prompt.
        detail: String,
    },
    /// Alive.
    Pong,
}

/// What was loaded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ready {
    /// [`PROTOCOL`] of the worker.
    pub protocol: u32,
    /// Context in tokens.
    pub n_ctx: u32,
    /// Threads used at first.
    pub threads: u32,
    /// SHA-256 of the model's chat template, as hex.
    pub template_hash: String,
}

/// Why an answer ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Finish {
    /// By itself, or at a stop text.
    Stop,
    /// At `max_tokens` or the end of the context.
    Length,
}

/// What an answer took.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// Prompt tokens, cached ones included.
    pub input: u32,
    /// Prompt tokens that did not have to be read again.
    pub cached: u32,
    /// Generated tokens, the one that ends the answer not counted.
    pub output: u32,
    /// Milliseconds of reading the prompt.
    pub prompt_ms: u32,
    /// Milliseconds of generating.
    pub decode_ms: u32,
}

/// The kinds of failure of one answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FailureKind {
    /// The request cannot be answered: prompt too long, roles the template refuses.
    Caller,
    /// Its deadline passed.
    Timeout,
    /// It had to keep to a schema and was cut at `max_tokens`.
    Truncated,
    /// It was cancelled.
    Cancelled,
    /// The engine failed; another call may work.
    Engine,
}

/// The bytes of a frame.
///
/// # Errors
/// `InvalidData` when it would be longer than [`FRAME_BYTES_MAX`].
pub fn encode<T: Serialize>(frame: &T) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    serde_json::to_writer(&mut bytes, frame)?;
    let length = bytes.len() - 4;
    if length > FRAME_BYTES_MAX {
        return Err(too_long(length));
    }
    let prefix = u32::try_from(length).map_err(|_| too_long(length))?.to_le_bytes();
    for (place, byte) in bytes.iter_mut().zip(prefix) {
        *place = byte;
    }
    Ok(bytes)
}

/// Takes the first whole frame out of `buffer`; `None` when there is none yet.
///
/// # Errors
/// `InvalidData` when the frame is too long or not readable as `T`.
pub fn take<T: DeserializeOwned>(buffer: &mut bytes::BytesMut) -> io::Result<Option<T>> {
    let Some(prefix) = buffer.first_chunk::<4>() else { return Ok(None) };
    let length = usize::try_from(u32::from_le_bytes(*prefix)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(too_long(length));
    }
    if buffer.len() < 4 + length {
        return Ok(None);
    }
    let frame = buffer.split_to(4 + length);
    serde_json::from_slice(frame.get(4..).unwrap_or_default()).map(Some).map_err(unreadable)
}

/// Reads one frame, blocking; `None` at the end of the stream.
///
/// # Errors
/// As [`take`], and whatever reading fails with; an end within a frame is `UnexpectedEof`.
pub fn read<T: DeserializeOwned>(from: &mut impl Read) -> io::Result<Option<T>> {
    let mut first = Vec::with_capacity(1);
    from.by_ref().take(1).read_to_end(&mut first)?;
    let Some(first) = first.first() else { return Ok(None) };
    let mut rest = [0; 3];
    from.read_exact(&mut rest)?;
    let [second, third, fourth] = rest;
    let prefix = [*first, second, third, fourth];
    let length = usize::try_from(u32::from_le_bytes(prefix)).unwrap_or(usize::MAX);
    if length > FRAME_BYTES_MAX {
        return Err(too_long(length));
    }
    let mut body = vec![0; length];
    from.read_exact(&mut body)?;
    serde_json::from_slice(&body).map(Some).map_err(unreadable)
}

/// Writes one frame, blocking, and flushes.
///
/// # Errors
/// As [`encode`], and whatever writing fails with.
pub fn write<T: Serialize>(to: &mut impl Write, frame: &T) -> io::Result<()> {
    to.write_all(&encode(frame)?)?;
    to.flush()
}

fn too_long(length: usize) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("a frame of {length} bytes is over the limit of {FRAME_BYTES_MAX}"),
    )
}

/// The parser's own text may repeat parts of a prompt, so only the kind of error is kept.
#[expect(clippy::needless_pass_by_value, reason = "used with map_err")]
fn unreadable(error: serde_json::Error) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("a frame is unreadable ({:?})", error.classify()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames() -> Vec<Down> {
        vec![
            Down::Hello { protocol: PROTOCOL },
            Down::Generate(Generate {
                id: 1,
                messages: vec![Message {
                    role: "user".to_owned(),
                    text: "é\u{0} \"<|im_start|>\"".to_owned(),
                }],
                max_tokens: 9,
                temperature: 0.5,
                top_p: None,
                seed: Some(u64::MAX),
                stop: vec!["\n".to_owned()],
                schema: Some("{\"type\": \"null\"}".to_owned()),
                deadline_ms: 60_000,
            }),
            Down::Ping,
        ]
    }

    #[test]
    fn frames_survive_the_way_in_pieces_of_any_size() {
        let bytes: Vec<u8> = frames().iter().flat_map(|frame| encode(frame).unwrap()).collect();
        for size in [1, 3, 7, bytes.len()] {
            let mut buffer = bytes::BytesMut::new();
            let mut got = Vec::new();
            for piece in bytes.chunks(size) {
                buffer.extend_from_slice(piece);
                while let Some(frame) = take::<Down>(&mut buffer).unwrap() {
                    got.push(frame);
                }
            }
            assert_eq!(got, frames(), "pieces of {size}");
        }
        let mut from = bytes.as_slice();
        let mut got = Vec::new();
        while let Some(frame) = read::<Down>(&mut from).unwrap() {
            got.push(frame);
        }
        assert_eq!(got, frames());
    }

    #[test]
    fn bad_frames_are_errors_and_never_large_allocations() {
        let long = u32::MAX.to_le_bytes();
        assert!(take::<Down>(&mut bytes::BytesMut::from(&long[..])).is_err());
        assert!(read::<Down>(&mut &long[..]).is_err());
        let mut nonsense = 4_u32.to_le_bytes().to_vec();
        nonsense.extend_from_slice(b"nope");
        assert!(take::<Down>(&mut bytes::BytesMut::from(&nonsense[..])).is_err());
        assert!(read::<Down>(&mut &nonsense[..3]).is_err(), "an end within a frame");
        let huge = Down::Load(Load { path: "x".repeat(FRAME_BYTES_MAX), n_ctx: 1, threads: 1, parallel: 1 });
        assert!(encode(&huge).is_err());
    }
}
