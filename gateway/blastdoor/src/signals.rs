//! What the process makes of signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Asked {
    /// To end, in order.
    End,
    /// To read the configuration, whether it has changed or not.
    Reload,
}

/// The signals that would end the process otherwise, from the moment of [`Signals::catch`].
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    on_hangup: Asked,
    quit: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// Catches them. `on_hangup` is what SIGHUP asks for: of a service to reload, and of what somebody runs in a
    /// terminal to end with it.
    pub(crate) fn catch(on_hangup: Asked) -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            on_hangup,
            quit: signal(SignalKind::quit())?,
            user_1: signal(SignalKind::user_defined1())?,
            user_2: signal(SignalKind::user_defined2())?,
        })
    }

    /// The next one that asks for something. Those that mean something to other servers (reopen logs, upgrade the
    /// program) are told of and ignored.
    pub(crate) async fn next(&mut self) -> Asked {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return Asked::End,
                _ = self.interrupt.recv() => return Asked::End,
                _ = self.hangup.recv() => return self.on_hangup,
                _ = self.quit.recv() => "SIGQUIT",
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::info!("{ignored} is ignored; SIGTERM ends the process in order, SIGHUP reloads");
        }
    }
}
