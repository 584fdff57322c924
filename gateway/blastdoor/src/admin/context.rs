//! What pages are made from.

use std::sync::Arc;
use std::time::SystemTime;

use prometheus_client::registry::Registry;

use super::answer::Answer;
use super::board::Board;
use super::query::Query;
use crate::gauges::Gauges;
use crate::shown::ShownWorld;

/// What pages are made from.
pub(super) struct Context {
    pub(super) board: Board,
    pub(super) registry: Arc<Registry>,
    pub(super) gauges: Gauges,
    /// When the process began.
    pub(super) started: SystemTime,
}

/// What a request says about the page that it asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Inquiry {
    pub(super) query: Query,
    /// The field `Accept`; empty if there is none.
    pub(super) accept: String,
}

impl Context {
    /// The world that is live.
    ///
    /// # Errors
    /// The answer to a request that comes before the first table.
    pub(super) fn world(&self) -> Result<Arc<ShownWorld>, Answer> {
        let world = self.board.world().filter(|world| world.view.is_some());
        world.ok_or_else(Answer::not_yet)
    }
}
