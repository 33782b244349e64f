//! Cuts a stream of JSON-RPC messages, which stand one behind the other without a mark between them, into messages.
//! Must not parse more than it needs to find where one ends.

use std::io;

use bytes::{Bytes, BytesMut};
use tokio_util::codec::Decoder;

/// Longest message in bytes; the whole content of a database with 100,000 ports has about 100 MB.
const MESSAGE_MAX: usize = 512 << 20;

/// Finds the end of each JSON object by counting braces outside strings.
#[derive(Debug, Default)]
pub(crate) struct JsonFrames {
    scanned: usize,
    depth: usize,
    in_string: bool,
    escaped: bool,
}

impl JsonFrames {
    /// Looks at one byte; true where it ends an object.
    fn ends_object(&mut self, byte: u8) -> bool {
        if self.in_string {
            match byte {
                _ if self.escaped => self.escaped = false,
                b'\\' => self.escaped = true,
                b'"' => self.in_string = false,
                _ => {}
            }
            return false;
        }
        match byte {
            b'"' => self.in_string = true,
            b'{' => self.depth += 1,
            b'}' => {
                self.depth = self.depth.saturating_sub(1);
                return self.depth == 0;
            }
            _ => {}
        }
        false
    }
}

impl Decoder for JsonFrames {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        while let Some(byte) = buffer.get(self.scanned).copied() {
            self.scanned += 1;
            if self.ends_object(byte) {
                let end = std::mem::take(self).scanned;
                let message = buffer.split_to(end).freeze();
                if buffer.is_empty() {
                    // The room that a long message needed goes with it.
                    *buffer = BytesMut::new();
                }
                return Ok(Some(message));
            }
        }
        match buffer.len() > MESSAGE_MAX {
            true => Err(io::Error::new(io::ErrorKind::InvalidData, "a message of the database does not end")),
            false => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        /// However the stream is cut, the same messages come out.
        #[test]
        fn messages_survive_any_cut(texts in prop::collection::vec(".{0,20}", 1..8), cut in 1usize..9) {
            let messages: Vec<String> =
                texts.iter().map(|text| serde_json::json!({"id": null, "params": [{"a": text}]}).to_string()).collect();
            let stream = messages.join("\n");
            let (mut frames, mut buffer, mut out) = (JsonFrames::default(), BytesMut::new(), Vec::new());
            for piece in stream.as_bytes().chunks(cut) {
                buffer.extend_from_slice(piece);
                while let Some(message) = frames.decode(&mut buffer).unwrap() {
                    out.push(String::from_utf8(message.to_vec()).unwrap().trim().to_owned());
                }
            }
            prop_assert_eq!(out, messages);
        }
    }
}
