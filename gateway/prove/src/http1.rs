//! One shot over HTTP/1: bytes as they are, and everything that comes back.

use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout_at};

use crate::answer::{End, MOST_BYTES, Outcome, parse};
use crate::connect::{Connection, Way};

/// Which part of the time for an answer is for what may still come behind one, where the door does not close.
const REST: u32 = 8;

/// Sends each part after an answer to the one before, and reads to the end. The first `to_head` requests are HEAD.
pub(crate) async fn shoot(way: &Way<'_>, parts: &[Vec<u8>], to_head: usize) -> Outcome {
    let mut connection = match Connection::open(way).await {
        Ok(connection) => connection,
        Err(end) => return Outcome::failed(end),
    };
    let mut received = Received {
        bytes: Vec::new(),
        end: None,
        patience: way.patience,
    };
    for (index, part) in parts.iter().enumerate() {
        // A door that has heard enough may close before it has read everything; what it said is still there.
        let _broken = connection.write_all(part).await;
        let _broken = connection.flush().await;
        let is_last = index + 1 == parts.len();
        let wanted = if is_last { usize::MAX } else { index + 1 };
        received.read(&mut connection, to_head, wanted).await;
        if received.end.is_some() {
            break;
        }
    }
    let (answers, _) = received.parse(to_head);
    let certificate = connection.certificate();
    let resumed = connection.is_resumed();
    // In order, so that the door has nothing to wait for.
    let _closed = tokio::time::timeout(way.patience / REST, connection.shutdown()).await;
    Outcome {
        answers,
        end: received.end.unwrap_or(End::Closed),
        certificate,
        resumed,
    }
}

struct Received {
    bytes: Vec<u8>,
    end: Option<End>,
    patience: Duration,
}

impl Received {
    fn parse(&self, to_head: usize) -> (Vec<crate::answer::Answer>, bool) {
        parse(&self.bytes, to_head, self.end == Some(End::Closed))
    }

    /// Reads until there are `wanted` answers, or nothing comes any more. However often something comes, all of it has one
    /// deadline: an application may stream for ever.
    async fn read(&mut self, connection: &mut (impl AsyncRead + Unpin), to_head: usize, wanted: usize) {
        let last = Instant::now() + self.patience;
        let mut deadline = last;
        let mut buffer = vec![0; 16 * 1024];
        while self.end.is_none() {
            let (answers, complete) = self.parse(to_head);
            if complete && answers.len() >= wanted {
                return;
            }
            match timeout_at(deadline, connection.read(&mut buffer)).await {
                Ok(Ok(0) | Err(_)) => self.end = Some(End::Closed),
                Ok(Ok(count)) => {
                    self.bytes
                        .extend_from_slice(buffer.get(..count).unwrap_or_default());
                    let (answers, complete) = self.parse(to_head);
                    deadline = if complete && !answers.is_empty() {
                        last.min(Instant::now() + self.patience / REST)
                    } else {
                        last
                    };
                    if self.bytes.len() > MOST_BYTES {
                        self.end = Some(End::Quiet);
                    }
                }
                Err(_) if self.bytes.is_empty() => self.end = Some(End::Timeout),
                Err(_) => self.end = Some(End::Quiet),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(8);

    /// Has one piece after the other come, `pause` apart, and returns how long it was read.
    async fn read_for(head: &'static str, piece: &'static str, pause: Duration) -> (Duration, Option<End>) {
        let (mut ours, mut theirs) = tokio::io::duplex(4096);
        let application = async move {
            theirs.write_all(head.as_bytes()).await.unwrap();
            while theirs.write_all(piece.as_bytes()).await.is_ok() {
                tokio::time::sleep(pause).await;
            }
        };
        let mut received = Received {
            bytes: Vec::new(),
            end: None,
            patience: PATIENCE,
        };
        let start = Instant::now();
        let reading = received.read(&mut ours, 0, usize::MAX);
        tokio::select! {
            () = reading => {}
            () = application => panic!("nobody reads"),
        }
        (start.elapsed(), received.end)
    }

    #[tokio::test(start_paused = true)]
    async fn an_application_that_streams_has_one_deadline() {
        let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        let streamed = read_for(head, "1\r\nx\r\n", Duration::from_secs(1)).await;
        assert_eq!(streamed, (PATIENCE, Some(End::Quiet)));
        // One answer after the other, before the end of what may follow each.
        let answer = "HTTP/1.1 204 No Content\r\n\r\n";
        let answered = read_for("", answer, Duration::from_millis(500)).await;
        assert_eq!(answered, (PATIENCE, Some(End::Quiet)));
    }
}
