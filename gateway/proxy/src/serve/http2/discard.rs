//! What a client still sends on a stream that has been answered.

use std::future::poll_fn;
use std::task::{Poll, ready};

use tokio::io::ReadBuf;

use crate::stream::Stream;
use crate::stream::linger::LingerLimits;
use crate::worker::deadlines::Deadline;

/// Reads on for a moment after an answer that came before the end of the request: ending the stream at once would be an
/// error to many a client, and it may have sent all of it already.
pub(super) async fn discard(stream: &mut Stream, deadline: &Deadline) {
    if stream.has_ended() {
        return;
    }
    deadline.set(LingerLimits::SHORT.silence);
    let mut bytes = vec![0; 4 * 1024];
    let mut left = LingerLimits::SHORT.bytes;
    poll_fn(|context| {
        while !deadline.has_passed(context) {
            let mut room = ReadBuf::new(&mut bytes);
            match ready!(stream.poll_read(context, &mut room)) {
                Ok(()) if !room.filled().is_empty() && left > 0 => {
                    left = left.saturating_sub(room.filled().len());
                }
                _ => break,
            }
        }
        Poll::Ready(())
    })
    .await;
}
