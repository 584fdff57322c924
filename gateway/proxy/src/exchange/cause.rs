//! Why an exchange failed: words, and what a backend's connection ended with.

use std::borrow::Cow;
use std::io;

/// Why an exchange failed.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Cause {
    pub(crate) words: Cow<'static, str>,
    /// What says how long was waited.
    pub(crate) setting: Option<Setting>,
}

/// A timeout, by what it is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Setting {
    ResponseHead,
    ResponseIdle,
    BodyIdle,
    WriteStall,
}

/// How a backend's connection ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ending {
    /// In order.
    Closed,
    /// By a reset.
    Reset,
    /// TLS ended without saying so.
    Unannounced,
    /// In some other way.
    Broken,
}

impl Ending {
    pub(super) fn of(error: &io::Error) -> Self {
        if error.kind() == io::ErrorKind::ConnectionReset {
            Self::Reset
        } else if error.kind() == io::ErrorKind::UnexpectedEof {
            Self::Unannounced
        } else {
            Self::Broken
        }
    }

    pub(super) fn words(self) -> &'static str {
        match self {
            Self::Closed => "the backend closed the connection",
            Self::Reset => "the backend reset the connection",
            Self::Unannounced => "the backend closed the connection without an end of TLS",
            Self::Broken => "the connection to the backend broke",
        }
    }
}

impl From<String> for Cause {
    fn from(words: String) -> Self {
        Self {
            words: words.into(),
            setting: None,
        }
    }
}
