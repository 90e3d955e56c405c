//! Frames: the codec, as a value that takes bytes as they come.

use std::io;

/// The bytes before a frame's content.
const HEADER: usize = 5;

/// The most bytes of one frame; a peer that announces more is cut off.
pub const LARGEST: usize = 64 << 10;

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// A request or a response, in JSON.
    Message = 0,
    /// Input for the program.
    Stdin = 1,
    /// Output of the program, or of its terminal.
    Stdout = 2,
    /// Errors of the program.
    Stderr = 3,
    /// There is no more input.
    StdinEnd = 4,
    /// The client was too slow: that many bytes of output are missing here (64 bits, little endian).
    Lost = 5,
}

impl Kind {
    fn of(byte: u8) -> Option<Kind> {
        let all = [Kind::Message, Kind::Stdin, Kind::Stdout, Kind::Stderr, Kind::StdinEnd, Kind::Lost];
        all.into_iter().find(|kind| *kind as u8 == byte)
    }
}

/// A frame.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Frame {
    /// What it is.
    pub kind: Kind,
    /// Its content, at most [`LARGEST`].
    pub bytes: Vec<u8>,
}

/// A peer does not speak this protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A kind that does not exist.
    #[error("a frame of the unknown kind {0}")]
    Unknown(u8),
    /// More than [`LARGEST`] bytes.
    #[error("a frame of {0} bytes")]
    TooLarge(u32),
}

impl From<FrameError> for io::Error {
    fn from(error: FrameError) -> io::Error {
        io::Error::new(io::ErrorKind::InvalidData, error)
    }
}

/// Appends frames for `bytes`, as many as they need, and one for none.
pub fn encode(buffer: &mut Vec<u8>, kind: Kind, bytes: &[u8]) {
    let mut rest = bytes;
    loop {
        let (part, after) = rest.split_at(rest.len().min(LARGEST));
        buffer.push(kind as u8);
        // At most LARGEST.
        buffer.extend_from_slice(&u32::try_from(part.len()).unwrap_or(0).to_le_bytes());
        buffer.extend_from_slice(part);
        rest = after;
        if rest.is_empty() {
            return;
        }
    }
}

/// Makes frames of bytes. Holds what was fed and not yet taken, which is up to the caller to bound.
#[derive(Debug, Default)]
pub struct Decoder {
    buffer: Vec<u8>,
    begin: usize,
}

impl Decoder {
    /// Takes bytes as they came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.drain(..self.begin);
        self.begin = 0;
        self.buffer.extend_from_slice(bytes);
    }

    /// The next whole frame. After an error there is no way to go on.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let rest = &self.buffer[self.begin..];
        let Some((&[byte, a, b, c, d], content)) = rest.split_first_chunk::<HEADER>() else { return Ok(None) };
        let kind = Kind::of(byte).ok_or(FrameError::Unknown(byte))?;
        let announced = u32::from_le_bytes([a, b, c, d]);
        let length = usize::try_from(announced).unwrap_or(usize::MAX);
        if length > LARGEST {
            return Err(FrameError::TooLarge(announced));
        }
        let Some(content) = content.get(..length) else { return Ok(None) };
        let frame = Frame { kind, bytes: content.to_vec() };
        self.begin += HEADER + length;
        if self.begin == self.buffer.len() {
            // An idle connection holds nothing.
            *self = Decoder::default();
        }
        Ok(Some(frame))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn kind() -> impl Strategy<Value = Kind> {
        (0_u8..6).prop_map(|byte| Kind::of(byte).expect("a kind"))
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn frames_come_out_as_they_went_in(
            frames in prop::collection::vec((kind(), prop::collection::vec(any::<u8>(), 0..50)), 0..10),
            step in 1_usize..40,
        ) {
            let mut bytes = Vec::new();
            frames.iter().for_each(|(kind, content)| encode(&mut bytes, *kind, content));
            let mut decoder = Decoder::default();
            let mut found = Vec::new();
            for part in bytes.chunks(step) {
                decoder.feed(part);
                while let Some(frame) = decoder.next_frame().expect("a frame") {
                    found.push((frame.kind, frame.bytes));
                }
            }
            prop_assert_eq!(found, frames);
        }

        #[test]
        fn any_bytes_are_frames_or_an_error(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let mut decoder = Decoder::default();
            decoder.feed(&bytes);
            while let Ok(Some(frame)) = decoder.next_frame() {
                prop_assert!(frame.bytes.len() <= bytes.len());
            }
        }
    }

    #[test]
    fn what_is_too_large_is_refused_at_its_header() {
        let mut decoder = Decoder::default();
        decoder.feed(&[0, 1, 0, 1, 0]);
        assert_eq!(decoder.next_frame(), Err(FrameError::TooLarge(65537)));
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Stdout, &vec![7; LARGEST + 1]);
        assert_eq!(bytes.len(), LARGEST + 1 + 2 * HEADER);
    }
}
