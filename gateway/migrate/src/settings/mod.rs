//! Settings of ingress-nginx and Traefik as a whole: the ConfigMap of the one, the arguments of both.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use crate::difference::Effect;
use crate::evidence::evidence;
use crate::kind::DifferenceKind;
use crate::raw::RawObject;
use crate::report::Setting;

use rows::{NGINX, NGINX_ARGUMENTS, Row, TRAEFIK_ARGUMENTS};

/// What is written of whole controllers.
pub(crate) struct Settings<'a> {
    config_maps: Vec<&'a RawObject>,
    programs: Vec<Program<'a>>,
}

struct Program<'a> {
    workload: &'a RawObject,
    rows: &'static [Row],
    arguments: BTreeMap<String, String>,
}

/// Kinds that have pods.
const WORKLOADS: &[&str] = &["Deployment", "DaemonSet", "StatefulSet"];

impl<'a> Settings<'a> {
    pub(crate) fn of(raw: &'a [RawObject]) -> Self {
        Self {
            config_maps: raw.iter().filter(|raw| is_of_nginx(raw)).collect(),
            programs: raw.iter().filter_map(program).collect(),
        }
    }

    /// A key of the ConfigMap of ingress-nginx.
    pub(crate) fn nginx(&self, key: &str) -> Option<&'a str> {
        let maps = self.config_maps.iter();
        maps.filter_map(|map| map.value.get("data")?.get(key)?.as_str())
            .next()
    }

    /// What becomes of each.
    pub(crate) fn report(&self, accepted: &BTreeSet<DifferenceKind>) -> Vec<Setting> {
        let mut all = Vec::new();
        for map in &self.config_maps {
            let data = map.value.get("data").and_then(serde_json::Value::as_object);
            for key in data.into_iter().flatten().map(|(key, _)| key) {
                all.push(setting(
                    format!("ConfigMap {}", map.key()),
                    key,
                    row_of(NGINX, key),
                ));
            }
        }
        for program in &self.programs {
            let object = format!("{} {}", program.workload.kind, program.workload.key());
            for key in program.arguments.keys() {
                all.push(setting(
                    object.clone(),
                    &format!("--{key}"),
                    row_of(program.rows, &general(key)),
                ));
            }
        }
        if accepted.contains(&DifferenceKind::ControllerSetting) {
            for setting in all.iter_mut().filter(|setting| setting.effect.counts()) {
                setting.effect = Effect::Note;
            }
        }
        all
    }
}

fn setting(object: String, key: &str, row: Option<&Row>) -> Setting {
    Setting {
        object,
        key: key.to_owned(),
        effect: row.map_or(Effect::Lost, |row| row.effect),
        message: row.map_or("not known; see what it does there".to_owned(), |row| {
            row.message.to_owned()
        }),
        checked: evidence(DifferenceKind::ControllerSetting, ""),
    }
}

fn row_of(rows: &'static [Row], key: &str) -> Option<&'static Row> {
    rows.iter()
        .filter(|row| matches(row.key, key))
        .max_by_key(|row| row.key.len())
}

/// `*` stands for any run of characters, at the beginning or at the end; in arguments of Traefik for a name in between.
fn matches(pattern: &str, key: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => key.ends_with(end),
        (None, Some(start)) => key.starts_with(start),
        (None, None) => pattern == key,
    }
}

/// An argument with names of its own left out: `entrypoints.web.address` is `entrypoints.*.address`.
fn general(key: &str) -> String {
    let mut parts: Vec<&str> = key.split('.').collect();
    if parts.first() == Some(&"entrypoints")
        && let Some(name) = parts.get_mut(1)
    {
        *name = "*";
    }
    parts.join(".")
}

/// The ConfigMap that the controller of ingress-nginx reads, by the names that its charts and manifests give it.
fn is_of_nginx(raw: &RawObject) -> bool {
    if raw.kind != "ConfigMap" {
        return false;
    }
    let is_labelled = raw.label("app.kubernetes.io/name") == Some("ingress-nginx")
        && raw.label("app.kubernetes.io/component") == Some("controller");
    let is_named = raw.name.ends_with("ingress-nginx-controller")
        || matches!(&*raw.name, "nginx-configuration" | "nginx-ingress-controller");
    let is_other = [
        "-tcp",
        "-udp",
        "-custom-add-headers",
        "-custom-proxy-headers",
        "-leader",
    ]
    .iter()
    .any(|suffix| raw.name.ends_with(suffix));
    (is_labelled || is_named) && !is_other
}

/// The program of a workload, if it is one of the two, and its arguments without leading dashes.
fn program(raw: &RawObject) -> Option<Program<'_>> {
    if !WORKLOADS.contains(&&*raw.kind) {
        return None;
    }
    let containers = raw.value.pointer("/spec/template/spec/containers")?.as_array()?;
    containers.iter().find_map(|container| {
        let image = container.get("image")?.as_str()?;
        let rows = if image.contains("ingress-nginx/controller") || image.contains("nginx-ingress-controller")
        {
            NGINX_ARGUMENTS
        } else if image.rsplit('/').next()?.starts_with("traefik") {
            TRAEFIK_ARGUMENTS
        } else {
            return None;
        };
        let texts = container.get("args").and_then(serde_json::Value::as_array);
        let arguments = texts.into_iter().flatten().filter_map(|text| {
            let text = text.as_str()?.strip_prefix("--")?;
            let (key, value) = text.split_once('=').unwrap_or((text, "true"));
            Some((key.to_ascii_lowercase(), value.to_owned()))
        });
        Some(Program {
            workload: raw,
            rows,
            arguments: arguments.collect(),
        })
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::raw::objects_of;

    #[test]
    fn keys_are_found_in_the_right_objects_and_unknown_ones_are_lost() {
        let map = |name: &str, data: serde_json::Value| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": "edge"}, "data": data});
        let workload = json!({
            "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "traefik", "namespace": "edge"},
            "spec": {"template": {"spec": {"containers": [{
                "image": "docker.io/library/traefik:v3.7.9",
                "args": ["--entryPoints.web.address=:8000", "--entrypoints.websecure.http.middlewares=edge-a@kubernetescrd"],
            }]}}}
        });
        let raw: Vec<RawObject> = [
            map(
                "ingress-nginx-controller",
                json!({"hsts": "false", "whitelist-source-range": "10.0.0.0/8", "nonsense": "1"}),
            ),
            map("ingress-nginx-tcp", json!({"9000": "a/b:80"})),
            map("other", json!({"hsts": "true"})),
            workload,
        ]
        .into_iter()
        .flat_map(|document| objects_of(document, None))
        .collect();
        let settings = Settings::of(&raw);
        assert_eq!(settings.nginx("hsts"), Some("false"));
        let told: Vec<(String, Effect)> = settings
            .report(&BTreeSet::new())
            .into_iter()
            .map(|it| (it.key, it.effect))
            .collect();
        let expected = [
            ("hsts", Effect::Differs),
            ("nonsense", Effect::Lost),
            ("whitelist-source-range", Effect::Lost),
            ("--entrypoints.web.address", Effect::Note),
            ("--entrypoints.websecure.http.middlewares", Effect::Lost),
        ];
        assert_eq!(told, expected.map(|(key, effect)| (key.to_owned(), effect)));
    }
}
