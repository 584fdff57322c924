//! What is told of a request that was waited for.

use std::collections::BTreeMap;
use std::time::{Duration, UNIX_EPOCH};

use proxy::{AttemptStep, FilterStep, SentHead, Story, StoryRule, Watched};
use serde::{Deserialize, Serialize};

/// What is told to whoever has waited.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Told {
    /// A request has come, and has ended.
    Story(Box<StoryTold>),
    /// A request has come, and what became of it is not known.
    Unfinished {
        matched: bool,
        under_way: bool,
        note: String,
    },
    /// No request has come in time.
    Nothing { matched: bool, waited_s: u64 },
}

/// One request. All times are milliseconds since its first byte.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct StoryTold {
    pub(crate) matched: bool,
    /// The door.
    pub(crate) listener: String,
    pub(crate) request: RequestTold,
    /// The rule that decided; `None` if none did.
    pub(crate) rule: Option<RuleTold>,
    pub(crate) phases: PhasesTold,
    /// In their order.
    pub(crate) filters: Vec<FilterTold>,
    /// In their order.
    pub(crate) attempts: Vec<AttemptTold>,
    /// The head that the last backend got; `None` if there was a connection to none.
    pub(crate) sent: Option<SentTold>,
    pub(crate) answer: AnswerTold,
}

/// What the client has sent. Never its query, nor values of its fields.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RequestTold {
    pub(crate) time_unix_ms: u64,
    pub(crate) id: String,
    pub(crate) client: String,
    pub(crate) peer: String,
    pub(crate) scheme: String,
    pub(crate) http_version: String,
    pub(crate) tls_version: Option<String>,
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) path: String,
    pub(crate) bytes: u64,
    pub(crate) trace_id: Option<String>,
    /// Whether its spans go to a collector.
    pub(crate) sampled: bool,
    pub(crate) amzn_trace_id: Option<String>,
}

/// The rule that decided.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct RuleTold {
    pub(crate) ingress: String,
    /// Empty: all hosts.
    pub(crate) host: String,
    /// `None`: what other rules leave.
    pub(crate) path: Option<String>,
    pub(crate) service: Option<String>,
}

/// When what had happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct PhasesTold {
    pub(crate) head_read_ms: f64,
    pub(crate) decided_ms: Option<f64>,
    pub(crate) ended_ms: f64,
}

/// One filter.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct FilterTold {
    pub(crate) filter: String,
    pub(crate) verdict: String,
    pub(crate) at_ms: f64,
    pub(crate) took_ms: f64,
}

/// One attempt at a backend.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AttemptTold {
    pub(crate) endpoint: String,
    /// `new` or `kept`.
    pub(crate) connection: String,
    pub(crate) at_ms: f64,
    pub(crate) connected_ms: Option<f64>,
    pub(crate) first_byte_ms: Option<f64>,
    pub(crate) ended_ms: f64,
    pub(crate) status: Option<u16>,
    pub(crate) fault: Option<String>,
    pub(crate) detail: Option<String>,
}

/// The head that the backend got: names of all fields, and values of those that are the gateway's own.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct SentTold {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) fields: Vec<String>,
    pub(crate) own_fields: BTreeMap<String, String>,
}

/// What the client got.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct AnswerTold {
    /// 0: none.
    pub(crate) status: u16,
    pub(crate) bytes: u64,
    pub(crate) refusal: Option<String>,
    pub(crate) detail: Option<String>,
}

impl Told {
    /// What has come of waiting for so long.
    pub(crate) fn of(watched: &Watched, waited: Duration) -> Self {
        match watched {
            Watched::Story(story) => Self::story(story),
            Watched::Lost => Self::lost(),
            Watched::UnderWay => Self::under_way(),
            Watched::Nothing => Self::nothing(waited),
        }
    }

    /// A request has come that has not ended in time.
    pub(crate) fn under_way() -> Self {
        Self::Unfinished {
            matched: true,
            under_way: true,
            note: "a request has come and has not ended in time: wait for longer".to_owned(),
        }
    }

    /// A request has come whose worker has ended.
    pub(crate) fn lost() -> Self {
        Self::Unfinished {
            matched: true,
            under_way: false,
            note: "a request has come, and has ended without a word: the log may say why".to_owned(),
        }
    }

    /// Nothing has come.
    pub(crate) fn nothing(waited: Duration) -> Self {
        Self::Nothing {
            matched: false,
            waited_s: waited.as_secs(),
        }
    }

    /// What has happened.
    fn story(story: &Story) -> Self {
        let time = story.time.duration_since(UNIX_EPOCH).unwrap_or_default();
        // Without a connection nobody has got it.
        let is_sent = story.attempts.iter().any(|attempt| attempt.connected.is_some());
        let sent = story.sent.as_ref().filter(|_| is_sent);
        Self::Story(Box::new(StoryTold {
            matched: true,
            listener: story.listener.as_str().to_owned(),
            request: RequestTold {
                time_unix_ms: u64::try_from(time.as_millis()).unwrap_or(u64::MAX),
                id: story.request_id.clone(),
                client: story.client.to_string(),
                peer: story.peer.to_string(),
                scheme: story.scheme.to_owned(),
                http_version: story.version.to_owned(),
                tls_version: story.tls.map(str::to_owned),
                method: story.method.clone(),
                host: story.host.clone(),
                path: story.path.clone(),
                bytes: story.bytes_in,
                trace_id: story.trace_id().map(|trace| trace.to_string()),
                sampled: story.is_sampled(),
                amzn_trace_id: story.amazon_trace.clone(),
            },
            rule: story.rule.as_ref().map(RuleTold::of),
            phases: PhasesTold {
                head_read_ms: ms(story.head),
                decided_ms: story.decided.map(ms),
                ended_ms: ms(story.ended),
            },
            filters: story.filters.iter().map(FilterTold::of).collect(),
            attempts: story.attempts.iter().map(AttemptTold::of).collect(),
            sent: sent.map(SentTold::of),
            answer: AnswerTold {
                status: story.status,
                bytes: story.bytes_out,
                refusal: story.refusal.map(str::to_owned),
                detail: story.detail.clone(),
            },
        }))
    }
}

impl RuleTold {
    fn of(rule: &StoryRule) -> Self {
        Self {
            ingress: rule.ingress.clone(),
            host: rule.host.clone(),
            path: rule.path.clone(),
            service: rule.service.clone(),
        }
    }
}

impl FilterTold {
    fn of(step: &FilterStep) -> Self {
        Self {
            filter: step.kind.to_owned(),
            verdict: step.verdict.as_str().to_owned(),
            at_ms: ms(step.at),
            took_ms: ms(step.took),
        }
    }
}

impl AttemptTold {
    fn of(step: &AttemptStep) -> Self {
        Self {
            endpoint: step.endpoint.to_string(),
            connection: if step.kept { "kept" } else { "new" }.to_owned(),
            at_ms: ms(step.at),
            connected_ms: step.connected.map(ms),
            first_byte_ms: step.first_byte.map(ms),
            ended_ms: ms(step.ended),
            status: step.status,
            fault: step.fault.map(str::to_owned),
            detail: step.detail.clone(),
        }
    }
}

impl SentTold {
    fn of(head: &SentHead) -> Self {
        Self {
            method: head.method.clone(),
            path: head.path.clone(),
            fields: head.fields.clone(),
            own_fields: head.own.iter().cloned().collect(),
        }
    }
}

/// Milliseconds, with three digits behind the point.
fn ms(duration: Duration) -> f64 {
    let micros = u32::try_from(duration.as_micros()).unwrap_or(u32::MAX);
    f64::from(micros) / 1000.0
}
