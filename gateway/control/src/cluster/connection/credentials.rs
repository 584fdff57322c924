//! Which API server, as whom, and who we are there.

use std::path::{Path, PathBuf};

use kube::config::{Kubeconfig, KubeconfigError};

use super::error::{ClusterError, innermost};
use super::token::TokenFile;

/// Where credentials may come from, and who we are. The program fills it from the command line and the environment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Credentials {
    /// `--kubeconfig`
    pub file: Option<PathBuf>,
    /// `--context`: which context of these files; `None`: the current one.
    pub context: Option<String>,
    /// `KUBECONFIG`: files separated by colons.
    pub kubeconfig: Option<String>,
    /// `HOME`
    pub home: Option<PathBuf>,
    /// `KUBERNETES_SERVICE_HOST` is set: this is a pod.
    pub in_cluster: bool,
    /// `POD_NAMESPACE`
    pub pod_namespace: Option<String>,
    /// `POD_NAME`, or host name and process id.
    pub identity: String,
}

impl Credentials {
    /// Looks for them in this order: the named file, `KUBECONFIG`, the pod's service account, `~/.kube/config`.
    pub(crate) fn find(&self) -> Result<kube::Config, ClusterError> {
        if let Some(path) = &self.file {
            return self.read(std::slice::from_ref(path));
        }
        let listed: Vec<PathBuf> = self
            .kubeconfig
            .iter()
            .flat_map(|list| list.split(':'))
            .filter(|path| !path.is_empty())
            .map(PathBuf::from)
            .collect();
        if !listed.is_empty() {
            return self.read(&listed);
        }
        // A context is one of a file: whoever names one does not mean the service account.
        if self.in_cluster && self.context.is_none() {
            return kube::Config::incluster_env()
                .map_err(|error| ClusterError::ServiceAccount(innermost(&error)));
        }
        let usual = self.home.as_ref().map(|home| home.join(".kube/config"));
        match usual.filter(|path| may_exist(path)) {
            Some(path) => self.read(&[path]),
            None => Err(ClusterError::NoCredentials),
        }
    }

    fn read(&self, paths: &[PathBuf]) -> Result<kube::Config, ClusterError> {
        let (mut kubeconfig, last) = merged(paths)?;
        if let Some(asked) = &self.context {
            let names: Vec<&str> = kubeconfig
                .contexts
                .iter()
                .map(|context| context.name.as_str())
                .collect();
            if !names.contains(&asked.as_str()) {
                return Err(ClusterError::Kubeconfig {
                    path: last.to_owned(),
                    reason: format!("there is no context `{asked}`; allowed: {}", names.join(", ")),
                });
            }
            kubeconfig.current_context = Some(asked.clone());
        }
        kube::Config::try_from(kubeconfig).map_err(|error| unusable(last, &error))
    }
}

/// Takes the file with the bearer token out of `config`, if it uses one.
pub(crate) fn token_file(config: &mut kube::Config) -> Result<Option<TokenFile>, ClusterError> {
    let auth = &mut config.auth_info;
    // The order of `kube`'s client: these come before a file, and an `exec` plugin after it.
    if auth.auth_provider.is_some() || auth.username.is_some() || auth.token.is_some() {
        return Ok(None);
    }
    let Some(path) = auth.token_file.take() else {
        return Ok(None);
    };
    auth.exec = None;
    TokenFile::open(Path::new(&path)).map(Some)
}

/// What these files say together, and the last of them.
fn merged(paths: &[PathBuf]) -> Result<(Kubeconfig, &Path), ClusterError> {
    let mut merged: Option<Kubeconfig> = None;
    let mut last = Path::new("");
    for path in paths {
        last = path;
        // As in kubectl, some of several files may be missing.
        if paths.len() > 1 && !may_exist(path) {
            continue;
        }
        let next = Kubeconfig::read_from(path).map_err(|error| unusable(path, &error))?;
        merged = Some(match merged {
            Some(merged) => merged.merge(next).map_err(|error| unusable(path, &error))?,
            None => next,
        });
    }
    let merged = merged.ok_or_else(|| ClusterError::Kubeconfig {
        path: last.to_owned(),
        reason: "there is no such file".to_owned(),
    })?;
    Ok((merged, last))
}

/// A file that may not be inspected is read anyway. That fails; skipping it would select other credentials.
fn may_exist(path: &Path) -> bool {
    path.try_exists().unwrap_or(true)
}

fn unusable(path: &Path, error: &KubeconfigError) -> ClusterError {
    ClusterError::Kubeconfig {
        path: path.to_owned(),
        reason: error.to_string(),
    }
}
