//! Which publication is under way, and what the next one is for.

use std::path::Path;
use std::sync::Arc;

use control::Writes;
use resource::ClusterView;

use super::compiler::Compiler;
use crate::config::Config;

/// What a publication is compiled from. The world may be ahead of it.
#[derive(Clone)]
pub(super) struct Compiled {
    pub(super) config: Arc<Config>,
    pub(super) view: ClusterView,
}

/// The compilation as the supervisor sees it.
pub(super) struct Publications {
    pub(super) compiler: Compiler,
    /// Something has changed since the publication under way began.
    pub(super) is_outdated: bool,
    /// The next one compiles everything.
    pub(super) everything: bool,
    /// How often the configuration has changed, and at which of these the publication under way began.
    pub(super) changes: u64,
    pub(super) under_way: u64,
    /// The last change of the configuration is not live yet.
    pub(super) is_new_config: bool,
    /// What the publication under way is compiled from, and what the last one was that went live.
    pub(super) compiled: Option<Compiled>,
    pub(super) live: Option<Compiled>,
    /// The file of a configuration that no publication knows yet.
    pub(super) configuration: Option<String>,
    /// Who wrote what has changed since the last publication began.
    pub(super) writes: Writes,
}

impl Publications {
    pub(super) fn new(compiler: Compiler) -> Self {
        Self {
            compiler,
            is_outdated: false,
            everything: false,
            changes: 0,
            under_way: 0,
            is_new_config: false,
            compiled: None,
            live: None,
            configuration: None,
            writes: Writes::default(),
        }
    }

    /// Has the next publication compile everything: time has changed what no object says.
    pub(super) fn forget(&mut self) {
        self.everything = true;
    }

    /// The configuration has changed. Doors and sockets that it adds listen once it is live.
    pub(super) fn configured(&mut self, file: Option<&Path>) {
        let file = file.map(|file| file.display().to_string());
        self.configuration = Some(file.unwrap_or_else(|| "listeners.toml".to_owned()));
        self.changes += 1;
        self.is_new_config = true;
    }
}
