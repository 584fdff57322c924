//! What filters remember from one publication to the next.

/// The state of the filters of one door. Publications share it, doors never do: a filter that needs some of it gets an
/// `Arc` of that part. Parts are made when the first filter needs them.
#[derive(Debug, Default)]
pub(crate) struct FilterMemory {}
