//! What every source of objects sends.

use resource::{ClusterView, Problem, ProblemLists};

use crate::writes::Writes;

/// What a source reports.
#[derive(Debug)]
pub enum SourceEvent {
    /// Everything it now holds.
    Loaded(SourceContent),
    /// It cannot be read; what it last held stays in force until it can.
    Unavailable(Problem),
}

/// What a source holds at one moment.
#[derive(Debug, Clone, Default)]
pub struct SourceContent {
    /// Every object.
    pub view: ClusterView,
    /// What is wrong with them. Lists that have not changed are the same ones as before.
    pub problems: ProblemLists,
    /// Who wrote what has changed since the source last sent something, as far as it knows; of files nothing is known.
    pub writes: Writes,
}
