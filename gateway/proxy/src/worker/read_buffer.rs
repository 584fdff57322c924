//! Bytes that were read and wait to be consumed.

use std::rc::Rc;

use crate::worker::memory::Memory;

/// The size of the first reads: room for a head and a small body, and for one page-sized body copy.
pub(crate) const READ: usize = 16 * 1024;

/// The size of the first read after a rest: most messages of long conversations are short, and an end has no bytes.
const AFTER_REST: usize = 2 * 1024;

/// Bytes read and not yet consumed.
pub(crate) struct ReadBuffer {
    /// Always initialised to its whole length, so that reading needs no unsafe code. Shorter than [`READ`] while it rests.
    bytes: Vec<u8>,
    start: usize,
    end: usize,
    /// It has no memory because it has not read yet, or has lent it: it reads as much as usual next.
    is_fresh: bool,
    /// Where its length is counted.
    memory: Rc<Memory>,
}

impl ReadBuffer {
    pub(crate) fn new(memory: &Rc<Memory>) -> Self {
        Self {
            bytes: Vec::new(),
            start: 0,
            end: 0,
            is_fresh: true,
            memory: Rc::clone(memory),
        }
    }

    /// The bytes not yet consumed.
    pub(crate) fn filled(&self) -> &[u8] {
        self.bytes.get(self.start..self.end).unwrap_or_default()
    }

    pub(crate) fn len(&self) -> usize {
        self.end - self.start
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.start == self.end
    }

    /// Bytes of memory, used or not.
    pub(crate) fn held(&self) -> usize {
        self.bytes.len()
    }

    /// Whether it has given memory back, and takes some again to read.
    pub(crate) fn rests(&self) -> bool {
        self.bytes.len() < READ
    }

    /// Whether [`ReadBuffer::room`] without a limit has none.
    pub(crate) fn is_full(&self) -> bool {
        self.len() >= READ && self.len() == self.bytes.len()
    }

    /// Drops the first `count` bytes.
    pub(crate) fn consume(&mut self, count: usize) {
        self.start = (self.start + count).min(self.end);
        if self.start == self.end {
            (self.start, self.end) = (0, 0);
        }
    }

    /// Room for more bytes, at least one if `limit` allows: the buffer holds at most `limit` unconsumed bytes.
    pub(crate) fn room(&mut self, limit: usize) -> &mut [u8] {
        // Almost always it has its memory.
        if self.bytes.len() < AFTER_REST {
            self.take_memory();
        }
        if self.end == self.bytes.len() {
            if self.start > 0 {
                self.bytes.copy_within(self.start..self.end, 0);
                (self.start, self.end) = (0, self.end - self.start);
            } else if self.bytes.len() < limit.max(READ) {
                self.resize((self.bytes.len() * 2).min(limit).max(READ));
            }
        }
        self.bytes.get_mut(self.end..).unwrap_or_default()
    }

    /// The same, and no more than `most` bytes.
    pub(crate) fn room_for(&mut self, limit: usize, most: usize) -> &mut [u8] {
        let room = self.room(limit);
        let most = most.min(room.len());
        room.get_mut(..most).unwrap_or_default()
    }

    /// Records that `count` bytes were read into [`ReadBuffer::room`].
    pub(crate) fn filled_by(&mut self, count: usize) {
        self.end = (self.end + count).min(self.bytes.len());
        if self.end == self.bytes.len() && self.rests() {
            // There is more than it thought.
            self.resize(READ);
        }
    }

    /// Drops everything.
    pub(crate) fn clear(&mut self) {
        (self.start, self.end) = (0, 0);
    }

    /// Appends bytes.
    pub(crate) fn load(&mut self, bytes: &[u8]) {
        let end = self.end + bytes.len();
        if self.bytes.is_empty() {
            self.wake();
        }
        if end > self.bytes.len() {
            // Many short pieces may follow: growing by each would copy all of it each time.
            self.resize(end.max(2 * self.bytes.len()).max(READ));
        }
        if let Some(place) = self.bytes.get_mut(self.end..end) {
            place.copy_from_slice(bytes);
            self.end = end;
        }
    }

    /// Reads this many bytes at once from now on, if it is empty and does not rest, and fewer while memory is short.
    pub(crate) fn suit(&mut self, size: usize) {
        if self.rests() {
            return;
        }
        let size = if self.memory.is_short() { READ } else { size };
        // A buffer of another size is another allocation, so one that is only half as large again stays.
        if self.is_empty() && (self.bytes.len() < size || self.bytes.len() / 2 >= size) {
            self.resize(size);
        }
    }

    /// Gives back all memory that holds nothing: nothing has moved for a while, and may not for long.
    pub(crate) fn rest(&mut self) {
        self.is_fresh = false;
        let length = self.len();
        if length < self.bytes.len() {
            self.bytes.copy_within(self.start..self.end, 0);
            (self.start, self.end) = (0, length);
            self.resize(length);
        }
    }

    /// Lends its memory to others if it is empty: there may be a hundred streams on a connection, of which few read at the
    /// same time.
    pub(crate) fn lend(&mut self) {
        if self.is_empty() && self.bytes.len() == READ {
            self.memory.lend(std::mem::take(&mut self.bytes));
            self.is_fresh = true;
        }
    }

    /// Drops everything, and the memory of a long body. What rests goes on resting.
    pub(crate) fn reset(&mut self) {
        (self.start, self.end) = (0, 0);
        if self.bytes.len() > READ {
            self.resize(READ);
        }
    }

    /// Takes memory for the next read: as much as usual at first, and little after a rest.
    #[cold]
    fn take_memory(&mut self) {
        if self.bytes.is_empty() && self.is_fresh {
            self.wake();
        } else {
            self.resize(AFTER_REST);
        }
    }

    /// Takes the memory of a usual buffer.
    fn wake(&mut self) {
        self.is_fresh = false;
        let lent = self.bytes.is_empty().then(|| self.memory.borrow()).flatten();
        match lent {
            Some(block) => self.bytes = block,
            None => self.resize(READ),
        }
    }

    #[cold]
    fn resize(&mut self, length: usize) {
        let before = self.bytes.len();
        if self.is_empty() {
            // Nothing needs to be copied, and fresh memory may be zero already.
            self.bytes = Vec::new();
            self.bytes = vec![0; length];
        } else {
            self.bytes.resize(length, 0);
            self.bytes.shrink_to_fit();
        }
        self.memory.exchange(before, length);
    }
}

impl Drop for ReadBuffer {
    fn drop(&mut self) {
        self.memory.exchange(self.bytes.len(), 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffer() -> (ReadBuffer, Rc<Memory>) {
        let memory = Memory::of_tests();
        let mut buffer = ReadBuffer::new(&memory);
        buffer.wake();
        (buffer, memory)
    }

    #[test]
    fn memory_is_counted_as_the_buffer_grows_and_shrinks() {
        let (mut buffer, memory) = buffer();
        assert_eq!(memory.held(), READ);
        buffer.suit(4 * READ);
        assert_eq!((memory.held(), buffer.room(0).len()), (4 * READ, 4 * READ));
        buffer.suit(3 * READ);
        assert_eq!(memory.held(), 4 * READ, "nearly as large");
        buffer.suit(READ);
        assert_eq!(memory.held(), READ);
        buffer.load(&vec![7; READ + 1]);
        assert_eq!(memory.held(), 2 * READ);
        buffer.suit(4 * READ);
        assert_eq!(memory.held(), 2 * READ, "it holds something");
        buffer.reset();
        assert_eq!(memory.held(), READ);
        drop(buffer);
        assert_eq!(memory.held(), 0);
    }

    #[test]
    fn a_buffer_that_is_loaded_piece_by_piece_grows_seldom() {
        let (mut buffer, memory) = buffer();
        let mut sizes = vec![memory.held()];
        for _ in 0..100_000 {
            buffer.load(b": x\r\n");
            sizes.push(memory.held());
        }
        sizes.dedup();
        assert_eq!(buffer.len(), 500_000);
        assert_eq!((sizes.len(), sizes.last()), (6, Some(&(32 * READ))));
    }

    #[test]
    fn a_buffer_at_rest_holds_what_it_must() {
        let (mut buffer, memory) = buffer();
        buffer.rest();
        assert_eq!((memory.held(), buffer.rests()), (0, true));
        buffer.load(b"abcdef");
        buffer.consume(2);
        buffer.rest();
        assert_eq!(
            (memory.held(), buffer.filled(), buffer.rests()),
            (4, &b"cdef"[..], true)
        );
        // It reads on with little.
        buffer.suit(READ);
        assert_eq!(buffer.room(0).len(), AFTER_REST - 4);
        buffer.filled_by(1);
        assert_eq!(buffer.filled(), b"cdef\0");
        buffer.rest();
        buffer.consume(5);
        assert_eq!(buffer.room(0).len(), AFTER_REST);
        buffer.filled_by(AFTER_REST);
        assert_eq!(
            (buffer.len(), memory.held(), buffer.room(0).len()),
            (AFTER_REST, READ, READ - AFTER_REST)
        );
        buffer.clear();
        buffer.rest();
        buffer.reset();
        assert_eq!((memory.held(), buffer.room(0).len()), (0, AFTER_REST));
    }

    #[test]
    fn a_buffer_holds_no_more_than_its_limit() {
        let (mut buffer, _memory) = buffer();
        let limit = 3 * READ;
        loop {
            let room = buffer.room(limit).len();
            if room == 0 {
                break;
            }
            buffer.filled_by(room);
        }
        assert_eq!(buffer.len(), limit);
        buffer.consume(1);
        assert_eq!(buffer.room(limit).len(), 1);
    }

    #[test]
    fn lent_memory_counts_until_it_is_trimmed() {
        let (mut buffer, memory) = buffer();
        buffer.lend();
        assert_eq!((buffer.held(), memory.held()), (0, READ));
        let mut other = ReadBuffer::new(&memory);
        other.load(b"a");
        assert_eq!((other.held(), memory.held()), (READ, READ), "the same memory");
        other.consume(1);
        other.lend();
        memory.trim();
        assert_eq!(memory.held(), READ, "it has been needed");
        memory.trim();
        assert_eq!(memory.held(), 0);
    }
}
