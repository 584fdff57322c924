//! Where the stories of requests go.

use crate::observe::live::Live;
use crate::observe::span_queue::SpanQueue;
use crate::observe::spans::spans;
use crate::observe::story::Story;

/// Where the stories of requests go: to a collector, and to whoever waits for one.
#[derive(Debug, Clone)]
pub struct Tracer {
    spans: SpanQueue,
    live: Live,
}

impl Tracer {
    /// One that has spans sent from this queue, and tells those who wait.
    #[must_use]
    pub fn new(spans: SpanQueue, live: Live) -> Self {
        Self { spans, live }
    }

    /// One that nobody listens to.
    #[must_use]
    pub fn off() -> Self {
        Self::new(SpanQueue::new(0), Live::default())
    }

    pub(crate) fn live(&self) -> &Live {
        &self.live
    }

    /// Passes on what has happened.
    pub(crate) fn tell(&self, mut story: Box<Story>) {
        if let Some(spans) = spans(&story) {
            self.spans.push(spans);
        }
        if let Some(watcher) = story.watcher.take() {
            // Whoever waited may have left.
            let _left = watcher.send(story);
        }
    }
}
