//! What has arrived for a stream before it is read, stored together.

use std::collections::VecDeque;

use bytes::{BufMut, Bytes, BytesMut};
use http::Response;

use crate::worker::memory::Charge;

/// How much is allocated at once, at least.
const BLOCK: usize = 4 * 1024;

/// Heads that may wait: the interim ones that a request may have, and the final one.
const HEADS: usize = 17;

/// What they may hold together.
const HEAD_BYTES: usize = 256 * 1024;

/// More heads have come than may wait.
#[derive(Debug)]
pub(crate) struct TooManyHeads;

/// The rest of a message, as far as it has arrived.
pub(super) struct Ahead {
    heads: VecDeque<Response<()>>,
    head_bytes: usize,
    /// Full blocks, and the one that is being filled. Frames are copied: a piece of a frame would keep everything in
    /// memory that was read together with it.
    blocks: VecDeque<Bytes>,
    last: BytesMut,
    charge: Charge,
}

impl Ahead {
    pub(super) fn new(charge: Charge) -> Self {
        Self {
            heads: VecDeque::new(),
            head_bytes: 0,
            blocks: VecDeque::new(),
            last: BytesMut::new(),
            charge,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.heads.is_empty() && self.blocks.is_empty() && self.last.is_empty()
    }

    /// Adds bytes of the body. Their number is bounded by the window of the stream.
    pub(super) fn push(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            if self.last.len() == self.last.capacity() {
                let full = std::mem::replace(&mut self.last, BytesMut::with_capacity(bytes.len().max(BLOCK)));
                if !full.is_empty() {
                    self.blocks.push_back(full.freeze());
                }
                self.charge.resize(self.charge.bytes() + self.last.capacity());
            }
            let room = self.last.capacity() - self.last.len();
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.last.put_slice(now);
            bytes = later;
        }
    }

    /// Adds bytes before all others.
    pub(super) fn push_front(&mut self, bytes: &[u8]) {
        self.charge.resize(self.charge.bytes() + bytes.len());
        self.blocks.push_front(Bytes::copy_from_slice(bytes));
    }

    /// Bytes of memory that it holds.
    pub(super) fn held(&self) -> usize {
        self.charge.bytes()
    }

    /// Adds a head whose fields have this many bytes.
    pub(super) fn push_head(&mut self, head: Response<()>, bytes: usize) -> Result<(), TooManyHeads> {
        self.head_bytes += bytes;
        if self.heads.len() == HEADS || self.head_bytes > HEAD_BYTES {
            return Err(TooManyHeads);
        }
        self.charge.resize(self.charge.bytes() + bytes);
        self.heads.push_back(head);
        Ok(())
    }

    /// The next head.
    pub(super) fn next_head(&mut self) -> Option<Response<()>> {
        self.heads.pop_front()
    }

    /// The next bytes of the body.
    pub(super) fn next_bytes(&mut self) -> Option<Bytes> {
        let next = self.blocks.pop_front();
        let next = next.or_else(|| (!self.last.is_empty()).then(|| self.last.split().freeze()))?;
        self.charge.resize(self.charge.bytes().saturating_sub(next.len()));
        Some(next)
    }
}
