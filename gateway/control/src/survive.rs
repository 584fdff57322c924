//! Tasks of the control plane that must not end because one of them panics. A panic is a fault of the program; the hook of
//! the process has logged and counted it. What is served stays as it is meanwhile.

use std::future::poll_fn;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::{Instant, sleep};

/// Before a task begins anew after a panic; twice as long after each further one, up to
const PAUSE: Duration = Duration::from_secs(1);
/// this.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// A task that has run for this long begins anew as after its first panic.
const CALM: Duration = Duration::from_secs(600);

/// A future has panicked. It must not be polled again, and whatever it held has been dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Panicked;

/// The outcome of a future, or that it has panicked.
///
/// # Errors
/// When it has panicked.
pub async fn caught<T>(future: impl Future<Output = T>) -> Result<T, Panicked> {
    let mut future = pin!(future);
    poll_fn(|context| {
        // What the future shares with others must stand a panic halfway; its callers see to that.
        match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(context))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(outcome)) => Poll::Ready(Ok(outcome)),
            Err(_logged) => Poll::Ready(Err(Panicked)),
        }
    })
    .await
}

/// Runs a task to its end, anew after each panic.
pub(crate) async fn survive<F: Future<Output = ()>>(task: &str, mut run: impl FnMut() -> F) {
    let mut pause = PAUSE;
    loop {
        let began = Instant::now();
        if caught(run()).await.is_ok() {
            return;
        }
        if began.elapsed() >= CALM {
            pause = PAUSE;
        }
        tracing::error!("{task} has panicked and begins anew in {pause:?}; what is served stays as it is");
        sleep(pause).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_task_that_panics_begins_anew_less_and_less_often() {
        let (start, begun) = (Instant::now(), RefCell::new(Vec::new()));
        survive("a task", || async {
            begun.borrow_mut().push(start.elapsed().as_secs());
            let count = begun.borrow().len();
            // Not at once, as after an await.
            sleep(Duration::ZERO).await;
            if count == 9 {
                sleep(CALM).await;
            }
            assert!(count >= 11, "a fault");
        })
        .await;
        assert_eq!(*begun.borrow(), [0, 1, 3, 7, 15, 31, 63, 123, 183, 784, 786]);
    }

    #[tokio::test]
    async fn a_panic_is_an_outcome() {
        assert_eq!(caught(async { 5 }).await, Ok(5));
        let panics = async {
            tokio::task::yield_now().await;
            panic!("a fault")
        };
        assert_eq!(caught::<()>(panics).await, Err(Panicked));
    }
}
