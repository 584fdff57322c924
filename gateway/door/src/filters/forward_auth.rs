//! Forward auth, resolved.

use std::sync::Arc;

use filter::fields::{self, Message};
use filter::forward_auth::ForwardAuth;
use filter::template::Template;
use filter::verdicts::Verdicts;
use resource::{ClusterView, ForwardAuthSpec, Problem};
use route::ObjectKey;

use super::calls::Call;
use super::memory::FilterMemory;
use super::place::FilteredPlace;
use crate::backend::{Upstream, Upstreams};

/// A service that is asked about each request.
#[derive(Debug)]
pub struct AuthService {
    /// What is asked, and what follows.
    pub rule: ForwardAuth,
    /// Whom.
    pub upstream: Arc<Upstream>,
    /// The answers of the door that are kept; `None` if none of this filter are.
    pub verdicts: Option<Arc<Verdicts>>,
    /// What tells its answers from those of other filters and rules: the Ingress, where it is written there, what it says, and
    /// the path of the rule.
    pub scope: Box<str>,
}

impl PartialEq for AuthService {
    fn eq(&self, other: &Self) -> bool {
        let pointers = [&self.verdicts, &other.verdicts].map(|kept| kept.as_ref().map(Arc::as_ptr));
        let [left, right] = pointers;
        self.rule == other.rule
            && self.upstream == other.upstream
            && self.scope == other.scope
            && left == right
    }
}

/// `place`: the Ingress, and where the filter is written there.
pub(super) fn compile(
    call: &Call<'_>,
    upstreams: &mut Upstreams<'_>,
    memory: &FilterMemory,
    place: &str,
    spec: &ForwardAuthSpec,
    problems: &mut Vec<Problem>,
) -> Result<Arc<AuthService>, String> {
    let mut rule = spec.rule.clone();
    if let Some(map) = &spec.adds {
        rule.adds = of_config_map(call.view, map)?;
    }
    let upstream = call.upstream(upstreams, problems)?;
    let verdicts = rule.cache.as_ref().map(|_| memory.verdicts()).transpose()?;
    // Another question has another answer.
    let scope = match verdicts {
        Some(_) => format!("{place}\n{rule:?}\n{:?}", spec.connection),
        None => String::new(),
    };
    Ok(Arc::new(AuthService {
        rule,
        upstream,
        verdicts,
        scope: scope.into(),
    }))
}

/// The same service, whose answers are kept for this place alone.
pub(super) fn of_rule(service: &Arc<AuthService>, place: FilteredPlace<'_>) -> Arc<AuthService> {
    if service.verdicts.is_none() {
        return Arc::clone(service);
    }
    Arc::new(AuthService {
        rule: service.rule.clone(),
        upstream: Arc::clone(&service.upstream),
        verdicts: service.verdicts.clone(),
        scope: format!("{}\n{place:?}", service.scope).into(),
    })
}

/// The entries of a ConfigMap, as fields of the question.
fn of_config_map(
    view: &ClusterView,
    key: &ObjectKey,
) -> Result<Vec<(filter::forward_auth::HeaderName, Template)>, String> {
    let map = view
        .config_map(key)
        .ok_or_else(|| format!("ConfigMap `{key}` does not exist"))?;
    let fields = map.data.iter().map(|(name, value)| {
        let name = fields::name(name, Message::Request).map_err(|error| error.to_string())?;
        Ok((name, Template::parse(value.trim())?))
    });
    let fields: Result<_, String> = fields.collect();
    fields.map_err(|error| format!("ConfigMap `{key}`: {error}"))
}
