//! From the bytes that were read to those that will be written: the body, re-framed.

use wire::{CHUNK_END, ChunkStep, LAST_CHUNK_BEFORE_TRAILERS, chunk_head};

use super::trailers::header_map;
use super::{COPIED, GATHERED, Relay, RelayError, Source};
use crate::stream::body::Sink;
use crate::worker::read_buffer::ReadBuffer;

impl Relay {
    /// Turns buffered input into output. Returns whether nothing more can be done before more input arrives.
    pub(super) fn take(&mut self, input: &mut ReadBuffer, out: &mut Vec<u8>) -> Result<bool, RelayError> {
        match &mut self.source {
            Source::Ended | Source::Malformed(_) => Ok(false),
            Source::Length(left) => {
                let at_hand = input.len().min(usize::try_from(*left).unwrap_or(usize::MAX));
                *left -= at_hand as u64;
                if *left == 0 {
                    self.source = Source::Ended;
                }
                self.pass(at_hand, input, out)
            }
            Source::UntilClose => {
                let at_hand = input.len();
                self.pass(at_hand, input, out)
            }
            Source::Chunked(_) => self.take_chunks(input, out),
        }
    }

    /// Forwards `count` bytes of the input in the sink's framing.
    fn pass(&mut self, count: usize, input: &mut ReadBuffer, out: &mut Vec<u8>) -> Result<bool, RelayError> {
        if count == 0 {
            return Ok(true);
        }
        self.account(count)?;
        match self.sink {
            Sink::Plain | Sink::Frames if count > COPIED => {
                self.direct = count;
                self.replayable = false;
            }
            Sink::Plain | Sink::Frames | Sink::Chunked { .. } => {
                write_data(self.sink, input.filled().get(..count).unwrap_or_default(), out);
                input.consume(count);
            }
        }
        Ok(self.direct == 0)
    }

    fn take_chunks(&mut self, input: &mut ReadBuffer, out: &mut Vec<u8>) -> Result<bool, RelayError> {
        while !input.is_empty() {
            if out.len() - self.written >= GATHERED {
                return Ok(false);
            }
            let Source::Chunked(decoder) = &mut self.source else {
                return Ok(false);
            };
            match decoder.decode(input.filled()).map_err(RelayError::Chunk)? {
                ChunkStep::NeedMore { consumed } => {
                    input.consume(consumed);
                    return Ok(true);
                }
                ChunkStep::Data { skip, len } => {
                    let data = input.filled().get(skip..skip + len).unwrap_or_default();
                    write_data(self.sink, data, out);
                    input.consume(skip + len);
                    self.account(len)?;
                }
                ChunkStep::Done { consumed } => {
                    if decoder.trailers().nth(self.trailer_limits.fields).is_some() {
                        return Err(RelayError::Trailers);
                    }
                    let never = &self.never_trails;
                    let may_pass = |(name, _): &(&[u8], &[u8])| !never.has(name);
                    match self.sink {
                        Sink::Plain => {}
                        Sink::Frames => {
                            self.trailers = header_map(decoder.trailers().filter(may_pass)).map(Box::new);
                        }
                        Sink::Chunked { trailers } => {
                            out.extend_from_slice(LAST_CHUNK_BEFORE_TRAILERS);
                            for (name, value) in decoder.trailers().filter(|_| trailers).filter(may_pass) {
                                out.extend_from_slice(name);
                                out.extend_from_slice(b": ");
                                out.extend_from_slice(value);
                                out.extend_from_slice(CHUNK_END);
                            }
                            out.extend_from_slice(CHUNK_END);
                        }
                    }
                    self.source = Source::Ended;
                    input.consume(consumed);
                    return Ok(false);
                }
            }
        }
        Ok(true)
    }

    fn account(&mut self, count: usize) -> Result<(), RelayError> {
        self.moved += count as u64;
        if self.moved > self.limit {
            Err(RelayError::TooLarge)
        } else {
            Ok(())
        }
    }
}

/// Appends body bytes in the sink's framing. A chunk's size is that of the bytes at hand, never an announced one.
fn write_data(sink: Sink, data: &[u8], out: &mut Vec<u8>) {
    match sink {
        Sink::Plain | Sink::Frames => out.extend_from_slice(data),
        Sink::Chunked { .. } => {
            out.extend_from_slice(chunk_head(data.len(), &mut [0; 18]));
            out.extend_from_slice(data);
            out.extend_from_slice(CHUNK_END);
        }
    }
}
