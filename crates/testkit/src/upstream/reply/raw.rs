//! Replies that are written as one run of bytes: bodies of odd frames, and heads that do not tell the truth.

use serde_json::json;
use tokio::io::AsyncWrite;

use super::{Ending, JSON, Reply, Sent, words};
use crate::upstream::behaviour::Behaviour;

const PAGE: &str =
    "<!DOCTYPE html><html><head><title>Bad gateway</title></head><body>provider says no</body></html>";
const MARKER: &str = "[DONE]";
/// Stands for a text that is too long to be written by a JSON library in no time.
const SEED: &str = "SEED";

impl<W: AsyncWrite + Unpin> Reply<'_, W> {
    /// The whole response and what follows it; `None` for a behaviour that is not written in one run.
    pub(super) fn raw(&self, behaviour: &Behaviour) -> Option<(Vec<u8>, Sent)> {
        if let Behaviour::NoHttp = behaviour {
            return Some((b"\x16\x03\x01 SSH-2.0 what is this\r\n\r\n".to_vec(), Err(Ending::Close)));
        }
        if let Behaviour::HtmlError(status) = behaviour {
            let head = format!("HTTP/1.1 {status} Mock\r\ncontent-type: text/html\r\n");
            return Some((with_length(&head, PAGE.len(), PAGE.as_bytes()), Ok(())));
        }
        let body = self.odd_body(behaviour)?;
        let content_type = if self.asked.is_streamed { self.form.event_stream() } else { JSON };
        let head = format!("HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n");
        let length = body.len();
        Some(match behaviour {
            Behaviour::Gzip => {
                let packed = gzip(&body);
                (with_length(&format!("{head}content-encoding: gzip\r\n"), packed.len(), &packed), Ok(()))
            }
            Behaviour::LengthTooLong => (with_length(&head, length + 100, &body), Err(Ending::Close)),
            Behaviour::LengthTooShort => (with_length(&head, length / 2, &body), Err(Ending::Close)),
            Behaviour::CutFrames(_) => (with_length(&head, length + 1, &body), Err(Ending::Close)),
            _ => (with_length(&head, length, &body), Ok(())),
        })
    }

    fn odd_body(&self, behaviour: &Behaviour) -> Option<Vec<u8>> {
        if self.asked.is_streamed { self.odd_events(behaviour) } else { self.odd_json(behaviour) }
    }

    fn odd_events(&self, behaviour: &Behaviour) -> Option<Vec<u8>> {
        let text = |text: &str| self.frame(&json!({"content": text}), None);
        let said: Vec<String> = words(Behaviour::TEXT).into_iter().map(text).collect();
        let role = self.frame(&json!({"role": "assistant", "content": ""}), None);
        let last = [self.frame(&json!({}), Some("stop")), MARKER.to_owned()];
        let usual = [vec![role], said, last.to_vec()].concat();
        let frames: Vec<String> = match behaviour {
            Behaviour::Gzip | Behaviour::LengthTooLong | Behaviour::LengthTooShort => usual,
            Behaviour::NoBody => Vec::new(),
            Behaviour::TextAfterEnd => [usual, vec![text("And more."), "what is this".to_owned()]].concat(),
            Behaviour::DuplicateFrames => {
                usual.into_iter().flat_map(|frame| [frame.clone(), frame]).collect()
            }
            Behaviour::NoFinish => {
                usual.into_iter().filter(|frame| !frame.contains("\"finish_reason\":\"stop\"")).collect()
            }
            Behaviour::NoWords => {
                usual.into_iter().filter(|frame| !frame.contains("\"delta\":{\"content\"")).collect()
            }
            Behaviour::CutFrames(n) => usual.into_iter().take(*n).collect(),
            Behaviour::HugeFrame(bytes) => [vec![grown(&text(SEED), *bytes)], usual].concat(),
            Behaviour::Clutter => {
                let empty = text("");
                let pair = |frame: &String| self.frames(&[empty.clone(), frame.clone()]);
                let cluttered = |frame| [self.form.clutter(), pair(frame)].concat();
                return Some(usual.iter().flat_map(cluttered).collect());
            }
            Behaviour::InvalidUtf8 => {
                let usual: Vec<String> = usual.iter().map(|frame| with_stand_in(frame)).collect();
                let frames = self.frames(&usual);
                // What is no text has the byte already, below its checksum.
                return Some(match String::from_utf8(frames) {
                    Ok(frames) => with_bad_byte(&frames),
                    Err(other) => other.into_bytes(),
                });
            }
            _ => return None,
        };
        Some(self.frames(&frames))
    }

    fn odd_json(&self, behaviour: &Behaviour) -> Option<Vec<u8>> {
        let whole = |body: &str| self.form.whole(body, &self.asked);
        let said = self.completion(Behaviour::TEXT, "stop");
        let usual = whole(&said);
        Some(match behaviour {
            Behaviour::Gzip
            | Behaviour::LengthTooLong
            | Behaviour::LengthTooShort
            | Behaviour::DuplicateFrames => usual.into_bytes(),
            Behaviour::NoBody => Vec::new(),
            Behaviour::TextAfterEnd => format!("{usual}\nAnd more.").into_bytes(),
            Behaviour::NoFinish => whole(&said.replace("\"stop\"", "null")).into_bytes(),
            Behaviour::NoWords => whole(&self.completion("", "stop")).into_bytes(),
            Behaviour::CutFrames(_) => usual.into_bytes().into_iter().take(60).collect(),
            Behaviour::HugeFrame(bytes) => grown(&whole(&self.completion(SEED, "stop")), *bytes).into_bytes(),
            Behaviour::Clutter => format!("\r\n\t {usual} \n\n").into_bytes(),
            Behaviour::InvalidUtf8 => with_bad_byte(&with_stand_in(&usual)),
            _ => return None,
        })
    }
}

/// `json` with [`SEED`] grown to so many bytes.
fn grown(json: &str, bytes: usize) -> String {
    json.replace(SEED, &"x".repeat(bytes))
}

/// `text` with a letter in a word of the answer that stands for a byte which no UTF-8 has.
fn with_stand_in(text: &str) -> String {
    text.replace("mock ", "mo\u{f8ff}ck ")
}

/// `text` with that byte.
pub(super) fn with_bad_byte(text: &str) -> Vec<u8> {
    text.split('\u{f8ff}').map(str::as_bytes).collect::<Vec<_>>().join(&0xff)
}

fn with_length(head: &str, length: usize, body: &[u8]) -> Vec<u8> {
    [format!("{head}content-length: {length}\r\n\r\n").as_bytes(), body].concat()
}

/// `body` as a gzip member (RFC 1952) of stored blocks (RFC 1951 §3.2.4): packed without being made smaller.
fn gzip(body: &[u8]) -> Vec<u8> {
    let mut packed = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255];
    let mut blocks = body.chunks(0xffff).peekable();
    while let Some(block) = blocks.next() {
        let length = u16::try_from(block.len()).unwrap_or(u16::MAX);
        packed.push(u8::from(blocks.peek().is_none()));
        packed.extend_from_slice(&length.to_le_bytes());
        packed.extend_from_slice(&(!length).to_le_bytes());
        packed.extend_from_slice(block);
    }
    packed.extend_from_slice(&crc32fast::hash(body).to_le_bytes());
    packed.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    packed
}
