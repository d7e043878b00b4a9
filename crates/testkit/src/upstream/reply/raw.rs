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
                let clutter = ": a comment\n\nid: 7\nretry: 10\nevent: ping\ndata:\n\n";
                let empty = text("");
                let pair = |frame: &String| self.frames(&[empty.clone(), frame.clone()]);
                return Some(usual.iter().flat_map(|frame| [clutter.into(), pair(frame)].concat()).collect());
            }
            Behaviour::InvalidUtf8 => return Some(with_bad_byte(&self.frames(&usual))),
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
            Behaviour::InvalidUtf8 => with_bad_byte(usual.as_bytes()),
            _ => return None,
        })
    }
}

/// `json` with [`SEED`] grown to so many bytes.
fn grown(json: &str, bytes: usize) -> String {
    json.replace(SEED, &"x".repeat(bytes))
}

/// `bytes` with one in a word of the answer that no UTF-8 has.
fn with_bad_byte(bytes: &[u8]) -> Vec<u8> {
    const WORD: &[u8] = b"mock ";
    let at = bytes.windows(WORD.len()).position(|found| found == WORD).unwrap_or(bytes.len());
    let (before, after) = bytes.split_at(at);
    [before, b"mo\xffck ", after.strip_prefix(WORD).unwrap_or(after)].concat()
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
    packed.extend_from_slice(&crc32(body).to_le_bytes());
    packed.extend_from_slice(&u32::try_from(body.len()).unwrap_or(u32::MAX).to_le_bytes());
    packed
}

/// The checksum of RFC 1952 §8.
fn crc32(bytes: &[u8]) -> u32 {
    let step = |rest: u32| if rest & 1 == 1 { (rest >> 1) ^ 0xedb8_8320 } else { rest >> 1 };
    let add = |sum: u32, byte: &u8| (0..8).fold(sum ^ u32::from(*byte), |rest, _| step(rest));
    !bytes.iter().fold(u32::MAX, add)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_checksum_is_that_of_gzip() {
        // The check value of CRC-32/ISO-HDLC.
        assert_eq!(crc32(b"123456789"), 0xcbf4_3926);
    }
}
