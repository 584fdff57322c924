//! What the process does on signals.

use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks the process to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SignalAction {
    /// To drain and end.
    End,
    /// To read the configuration, whether it has changed or not.
    Reload,
}

/// The signals that would otherwise end the process, caught from the moment of [`Signals::catch`].
pub(crate) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    on_hangup: SignalAction,
    quit: Signal,
    user_1: Signal,
    user_2: Signal,
}

impl Signals {
    /// Catches them. `on_hangup` is what SIGHUP does: a service reloads, and a program in a terminal ends with it.
    pub(crate) fn catch(on_hangup: SignalAction) -> io::Result<Self> {
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

    /// Waits for the next signal that asks for something. It logs and ignores those that other servers use to reopen
    /// logs or to upgrade the program.
    pub(crate) async fn next(&mut self) -> SignalAction {
        loop {
            let ignored = tokio::select! {
                _ = self.terminate.recv() => return SignalAction::End,
                _ = self.interrupt.recv() => return SignalAction::End,
                _ = self.hangup.recv() => return self.on_hangup,
                _ = self.quit.recv() => "SIGQUIT",
                _ = self.user_1.recv() => "SIGUSR1",
                _ = self.user_2.recv() => "SIGUSR2",
            };
            tracing::info!("{ignored} is ignored; SIGTERM ends the process in order, SIGHUP reloads");
        }
    }
}
