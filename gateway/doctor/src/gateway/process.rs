//! What a container runs: its command line, its environment and its files, as far as the API server knows them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::{
    ConfigMap, Container, EnvVar, KeyToPath, ObjectFieldSelector, Pod, PodSpec, VolumeMount,
};

use crate::inventory::Inventory;

/// What a process of the gateway is started with.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Process {
    /// Its configuration file: `--config`, or `BLASTDOOR_CONFIG`.
    pub config: Option<PathBuf>,
    /// `--doors`
    pub doors: Option<Vec<String>>,
    /// `--manifests`
    pub manifests: Option<PathBuf>,
    /// The command; `None`: `run`.
    pub command: Option<String>,
    /// Its environment, as far as it is known.
    pub environment: Vec<(String, String)>,
    /// Its files, as far as they are known: those that come from ConfigMaps.
    pub files: BTreeMap<PathBuf, Vec<u8>>,
    /// ConfigMaps (`namespace/name`) that it uses and that are not known.
    pub unknown: Vec<String>,
}

/// Options of the program that take a value.
const VALUED: [&str; 4] = ["--config", "--manifests", "--kubeconfig", "--doors"];

impl Process {
    /// What this container of this pod runs. `pod` is an example of what the template makes; `None` where there is none yet.
    pub(crate) fn of(
        inventory: &Inventory,
        namespace: &str,
        spec: &PodSpec,
        container: &Container,
        pod: Option<&Pod>,
    ) -> Self {
        let mut process = Self::default();
        process.read_environment(inventory, namespace, container, pod);
        process.read_arguments(container);
        process.read_files(inventory, namespace, spec, container);
        let usual = Path::new(working_dir(container)).join("listeners.toml");
        if process.config.is_none() && process.files.contains_key(&usual) {
            process.config = Some(usual);
        }
        process
    }

    /// Whether it opens doors, unlike a Job that checks or asks.
    pub(crate) fn serves(&self) -> bool {
        self.command.as_deref().is_none_or(|command| command == "run")
    }

    fn variable(&self, name: &str) -> Option<&str> {
        let found = self.environment.iter().rev().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    fn read_environment(
        &mut self,
        inventory: &Inventory,
        namespace: &str,
        container: &Container,
        pod: Option<&Pod>,
    ) {
        for source in container.env_from.iter().flatten() {
            let Some(reference) = &source.config_map_ref else {
                continue;
            };
            let prefix = source.prefix.as_deref().unwrap_or_default();
            match config_map(inventory, namespace, &reference.name) {
                Some(map) => {
                    let data = map.data.iter().flatten();
                    self.environment
                        .extend(data.map(|(key, value)| (format!("{prefix}{key}"), value.clone())));
                }
                None => self.unknown.push(format!("{namespace}/{}", reference.name)),
            }
        }
        for variable in container.env.iter().flatten() {
            let value = match (&variable.value, &variable.value_from) {
                (Some(value), _) => Some(self.expand(value)),
                (None, Some(_)) => self.value_from(inventory, namespace, variable, pod),
                (None, None) => Some(String::new()),
            };
            self.environment
                .extend(value.map(|value| (variable.name.clone(), value)));
        }
    }

    fn value_from(
        &mut self,
        inventory: &Inventory,
        namespace: &str,
        variable: &EnvVar,
        pod: Option<&Pod>,
    ) -> Option<String> {
        let source = variable.value_from.as_ref()?;
        if let Some(field) = &source.field_ref {
            return Some(downward(field, namespace, pod));
        }
        let reference = source.config_map_key_ref.as_ref()?;
        let Some(map) = config_map(inventory, namespace, &reference.name) else {
            self.unknown.push(format!("{namespace}/{}", reference.name));
            return None;
        };
        map.data.as_ref()?.get(&reference.key).cloned()
    }

    /// `$(NAME)` stands for a variable that is defined before; `$$` for `$`; an unknown name stays as it is written
    /// (Kubernetes, `Container.args`).
    fn expand(&self, text: &str) -> String {
        let mut expanded = String::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('$') {
            expanded.push_str(before);
            if let Some(after) = after.strip_prefix('$') {
                expanded.push('$');
                rest = after;
                continue;
            }
            let reference = after.strip_prefix('(').and_then(|inner| inner.split_once(')'));
            match reference.and_then(|(name, after)| Some((self.variable(name)?, after))) {
                Some((value, after)) => {
                    expanded.push_str(value);
                    rest = after;
                }
                None => {
                    expanded.push('$');
                    rest = after;
                }
            }
        }
        expanded.push_str(rest);
        expanded
    }

    fn read_arguments(&mut self, container: &Container) {
        let command = container.command.iter().flatten().skip(1);
        let words = command.chain(container.args.iter().flatten());
        let mut words: Vec<String> = words.map(|word| self.expand(word)).collect();
        words.reverse();
        let mut config = None;
        while let Some(word) = words.pop() {
            let (name, value) = match word.split_once('=') {
                Some((name, value)) if name.starts_with("--") => (name.to_owned(), Some(value.to_owned())),
                _ if VALUED.contains(&word.as_str()) => {
                    let value = words.pop();
                    (word, value)
                }
                _ => (word, None),
            };
            match (name.as_str(), value) {
                ("--config", value) => config = value.map(PathBuf::from),
                ("--manifests", value) => self.manifests = value.map(PathBuf::from),
                ("--doors", Some(value)) => {
                    self.doors = Some(value.split(',').map(str::to_owned).collect());
                }
                (name, _) if !name.starts_with('-') && self.command.is_none() => {
                    self.command = Some(name.to_owned());
                }
                _ => {}
            }
        }
        let named = config.or_else(|| self.variable("BLASTDOOR_CONFIG").map(PathBuf::from));
        self.config = named
            .filter(|path| !path.as_os_str().is_empty())
            .map(|path| Path::new(working_dir(container)).join(path));
    }

    fn read_files(&mut self, inventory: &Inventory, namespace: &str, spec: &PodSpec, container: &Container) {
        for mount in container.volume_mounts.iter().flatten() {
            let volume = spec
                .volumes
                .iter()
                .flatten()
                .find(|volume| volume.name == mount.name);
            let Some(volume) = volume else { continue };
            let mut maps: Vec<(&str, Option<&[KeyToPath]>)> = Vec::new();
            if let Some(source) = &volume.config_map {
                maps.push((&source.name, source.items.as_deref()));
            }
            let projected = volume
                .projected
                .iter()
                .flat_map(|source| source.sources.iter().flatten());
            for source in projected.filter_map(|projection| projection.config_map.as_ref()) {
                maps.push((&source.name, source.items.as_deref()));
            }
            for (name, items) in maps {
                match config_map(inventory, namespace, name) {
                    Some(map) => self.mount(map, items, mount),
                    None => self.unknown.push(format!("{namespace}/{name}")),
                }
            }
        }
    }

    /// Puts the files of a ConfigMap where the container sees them.
    fn mount(&mut self, map: &ConfigMap, items: Option<&[KeyToPath]>, mount: &VolumeMount) {
        let text = map.data.iter().flatten();
        let text = text.map(|(key, value)| (key.as_str(), value.as_bytes()));
        let binary = map.binary_data.iter().flatten();
        let binary = binary.map(|(key, value)| (key.as_str(), value.0.as_slice()));
        for (key, content) in text.chain(binary) {
            let path = match items {
                None => key,
                Some(items) => match items.iter().find(|item| item.key == key) {
                    Some(item) => item.path.as_str(),
                    None => continue,
                },
            };
            let folder = Path::new(&mount.mount_path);
            let place = match mount.sub_path.as_deref().filter(|sub| !sub.is_empty()) {
                None => Some(folder.join(path)),
                Some(sub) if sub == path => Some(folder.to_owned()),
                Some(sub) => Path::new(path)
                    .strip_prefix(sub)
                    .ok()
                    .map(|rest| folder.join(rest)),
            };
            if let Some(place) = place {
                self.files.insert(place, content.to_vec());
            }
        }
    }
}

fn working_dir(container: &Container) -> &str {
    container.working_dir.as_deref().unwrap_or("/")
}

fn config_map<'i>(inventory: &'i Inventory, namespace: &str, name: &str) -> Option<&'i ConfigMap> {
    inventory.config_maps.iter().find(|map| {
        map.metadata.name.as_deref() == Some(name)
            && map.metadata.namespace.as_deref().unwrap_or("default") == namespace
    })
}

/// A field of the pod. Of a pod that does not exist yet, addresses are not known: any will do, because it is the ports that
/// are compared.
fn downward(field: &ObjectFieldSelector, namespace: &str, pod: Option<&Pod>) -> String {
    let status = pod.and_then(|pod| pod.status.as_ref());
    let address = |known: Option<&String>| known.cloned().unwrap_or_else(|| "0.0.0.0".to_owned());
    match field.field_path.as_str() {
        "metadata.namespace" => namespace.to_owned(),
        "metadata.name" => pod.and_then(|pod| pod.metadata.name.clone()).unwrap_or_default(),
        "spec.nodeName" => pod
            .and_then(|pod| pod.spec.as_ref()?.node_name.clone())
            .unwrap_or_default(),
        "status.hostIP" => address(status.and_then(|status| status.host_ip.as_ref())),
        "status.podIP" => address(status.and_then(|status| status.pod_ip.as_ref())),
        _ => String::new(),
    }
}

/// ConfigMaps that the containers of these pods name.
pub(crate) fn config_maps(namespace: &str, spec: &PodSpec) -> Vec<(String, String)> {
    let mut names: Vec<&str> = Vec::new();
    for volume in spec.volumes.iter().flatten() {
        names.extend(volume.config_map.iter().map(|source| source.name.as_str()));
        let projected = volume
            .projected
            .iter()
            .flat_map(|source| source.sources.iter().flatten());
        names.extend(projected.filter_map(|source| Some(source.config_map.as_ref()?.name.as_str())));
    }
    for container in &spec.containers {
        let from = container.env_from.iter().flatten();
        names.extend(from.filter_map(|source| Some(source.config_map_ref.as_ref()?.name.as_str())));
        let variables = container.env.iter().flatten();
        names.extend(variables.filter_map(|variable| {
            let reference = variable.value_from.as_ref()?.config_map_key_ref.as_ref()?;
            Some(reference.name.as_str())
        }));
    }
    names.sort_unstable();
    names.dedup();
    names
        .into_iter()
        .filter(|name| !name.is_empty())
        .map(|name| (namespace.to_owned(), name.to_owned()))
        .collect()
}
