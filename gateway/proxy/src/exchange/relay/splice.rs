//! Long bodies inside the kernel, by `splice(2)`.

use std::io;
use std::task::{Context, Poll, ready};

use tokio::io::Interest;

use super::{Relay, RelayError, Source, WaitsFor};
use crate::stream::Stream;
use crate::worker::pipes::Pipes;

impl Relay {
    /// One round through the pipe: empty it into the sink, then fill it from the source.
    pub(super) fn poll_splice(
        &mut self,
        context: &mut Context<'_>,
        from: &mut Stream,
        to: &mut Stream,
        pipes: &Pipes,
    ) -> Poll<Result<(), RelayError>> {
        let (Some(pipe), Some(source), Some(sink)) = (&mut self.pipe, from.as_plain(), to.as_plain()) else {
            return Poll::Ready(Ok(()));
        };
        while pipe.holds() > 0 {
            self.waits_for = WaitsFor::Sink;
            match sink.try_io(Interest::WRITABLE, || pipe.drain(sink)) {
                Ok(count) => {
                    to.note_full(false);
                    self.delivered += count as u64;
                    self.pace.took(count);
                    self.given += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let ready = sink.poll_write_ready(context);
                    if ready.is_pending() {
                        to.note_full(true);
                        self.pace.waits();
                    }
                    ready!(ready).map_err(RelayError::Write)?;
                }
                Err(error) => return Poll::Ready(Err(RelayError::Write(error))),
            }
        }
        self.waits_for = WaitsFor::Source;
        let Source::Length(left) = &mut self.source else {
            if let Some(pipe) = self.pipe.take() {
                pipes.give_back(pipe);
            }
            return Poll::Ready(Ok(()));
        };
        let most = (*left).min(pipes.most(self.pace.piped()) as u64);
        loop {
            match source.try_io(Interest::READABLE, || pipe.fill(source, most)) {
                Ok(0) => return Poll::Ready(Err(RelayError::Truncated)),
                Ok(count) => {
                    self.moved += count as u64;
                    *left -= count as u64;
                    if *left == 0 {
                        self.source = Source::Ended;
                    }
                    return Poll::Ready(Ok(()));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(source.poll_read_ready(context)).map_err(RelayError::Read)?;
                }
                Err(error) => return Poll::Ready(Err(RelayError::Read(error))),
            }
        }
    }
}
