//! Panics, which are faults of the program: each is counted, and logged at a limited rate through the queue of
//! diagnostics. What panicked is started anew, or the process ends in order; both are decided elsewhere.

use std::any::Any;
use std::backtrace::{Backtrace, BacktraceStatus};
use std::panic::PanicHookInfo;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use proxy::Warnings;

static COUNT: AtomicU64 = AtomicU64::new(0);

static WARNINGS: LazyLock<Warnings> = LazyLock::new(Warnings::default);

/// From now on panics of all threads are counted and logged. The standard library would write them to standard error, and
/// wait for its reader.
pub(crate) fn log_them() {
    std::panic::set_hook(Box::new(|panic| {
        COUNT.fetch_add(1, Ordering::Relaxed);
        log(panic);
    }));
}

/// How many there have been.
pub(crate) fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn log(panic: &PanicHookInfo<'_>) {
    let place = panic
        .location()
        .map_or_else(|| "an unknown place".to_owned(), ToString::to_string);
    // A loop that panics each time must not fill the log.
    let Some(kept_back) = WARNINGS.admit(&place, Instant::now()) else {
        return;
    };
    let thread = std::thread::current();
    let thread = thread.name().unwrap_or("unnamed");
    let message = words(panic.payload());
    let backtrace = Backtrace::capture();
    if backtrace.status() == BacktraceStatus::Captured {
        tracing::error!(thread, place, %backtrace, "panic, which is a fault of the program: {message}{kept_back}");
    } else {
        tracing::error!(
            thread,
            place,
            "panic, which is a fault of the program: {message}{kept_back}"
        );
    }
}

/// What a panic says.
pub(crate) fn words(payload: &(dyn Any + Send)) -> &str {
    let owned = payload.downcast_ref::<String>().map(String::as_str);
    let text = owned.or_else(|| payload.downcast_ref::<&str>().copied());
    text.unwrap_or("(no message)")
}
