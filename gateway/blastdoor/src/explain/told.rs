//! What an explanation says: the same for people, for programs, and from a running gateway.

use serde::{Deserialize, Serialize};

/// What every door would do with a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Explanation {
    /// As it was asked.
    pub(crate) url: String,
    pub(crate) method: String,
    /// By name.
    pub(crate) listeners: Vec<AtDoor>,
}

/// What one door would do with a request, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct AtDoor {
    pub(crate) listener: String,
    /// Whether the scheme and the port of the URL lead to this door.
    pub(crate) addressed: bool,
    /// `None`: the backend decides, or something that is not known here.
    pub(crate) status: Option<u16>,
    /// The Ingress of the rule that answers, `namespace/name`.
    pub(crate) ingress: Option<String>,
    /// The path of that rule, as it is written.
    pub(crate) path: Option<String>,
    /// Where that rule is written in the Ingress.
    pub(crate) field: Option<String>,
    /// Why the answer is what it is, in one sentence.
    pub(crate) reason: String,
    /// Where a redirect leads.
    pub(crate) location: Option<String>,
    /// What is wrong with the rule that answers, or with its backend.
    pub(crate) problems: Vec<String>,
    /// In the order in which a request passes them.
    pub(crate) filters: Vec<FilterTold>,
    /// Where the request goes, or would go.
    pub(crate) backend: Option<BackendTold>,
    /// What requests failed of lately that this Ingress answered, those for the host first; or that were for this host and found
    /// no rule. The last first. Only a running gateway knows.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) lately: Vec<FailureTold>,
    /// Why the other rules that one might think of do not answer.
    pub(crate) candidates: Vec<Candidate>,
    /// So many more are left out.
    pub(crate) more_candidates: usize,
    /// So many rules for the host are left out because they are of other namespaces than the one that was asked for.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub(crate) of_other_namespaces: usize,
}

#[expect(
    clippy::trivially_copy_pass_by_ref,
    reason = "serde calls it with a reference to the field"
)]
fn is_zero(number: &usize) -> bool {
    *number == 0
}

/// One filter of the rule that answers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FilterTold {
    /// One word.
    pub(crate) kind: String,
    /// What it is.
    pub(crate) does: String,
    /// `passes`, `answers`, `unknown` where it would have to ask, or `not-reached`.
    pub(crate) verdict: String,
    /// The status with which it answers.
    pub(crate) status: Option<u16>,
}

/// Where a request goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct BackendTold {
    /// `namespace/name`
    pub(crate) service: String,
    pub(crate) port: u16,
    /// How it is called, with the name that its certificate must have.
    pub(crate) protocol: String,
    pub(crate) endpoints: Vec<EndpointTold>,
    /// So many more are left out.
    pub(crate) more_endpoints: usize,
    /// Who takes a part of the requests.
    pub(crate) canary: Option<String>,
}

/// An address behind the Service.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct EndpointTold {
    pub(crate) address: String,
    /// Its Pod, as far as the EndpointSlice says it.
    pub(crate) pod: Option<String>,
    /// Whether requests may go there, and if not, why.
    pub(crate) state: String,
}

/// What requests failed of, as the log says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FailureTold {
    /// What the client was answered; 0 if nothing.
    pub(crate) status: u16,
    pub(crate) refusal: String,
    pub(crate) detail: String,
    /// As the client wrote it; empty where it is not known.
    #[serde(default)]
    pub(crate) host: String,
    /// The endpoint that was called last, and its Pod.
    pub(crate) endpoint: Option<String>,
    pub(crate) pod: Option<String>,
    /// When it was last so.
    pub(crate) seconds_ago: u64,
}

/// A rule that does not answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Candidate {
    /// `namespace/name`
    pub(crate) ingress: String,
    /// `*` without a host.
    pub(crate) host: String,
    /// As it is written.
    pub(crate) path: String,
    /// As it is written; `Default` for what answers where no path matches.
    pub(crate) path_type: String,
    /// Why it does not.
    pub(crate) why: String,
}
