//! What is taken at a server.

use filter::rate::Rate;
use smallvec::SmallVec;

/// What one request takes at a server: tokens of all its limits, or none.
pub(crate) type Takings = SmallVec<[Taking; 2]>;

/// One token of one bucket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Taking {
    /// The bucket's name at the server.
    pub(crate) bucket: String,
    pub(crate) rate: Rate,
}

/// The server has not answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Silent;
