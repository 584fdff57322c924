//! Watches one target: a complete list first, then every change.
//!
//! `kube_runtime::watcher` does nearly this. It does not control how often it retries when watches end at once, nor how
//! long it waits for an answer that does not come.

use std::pin::pin;
use std::time::Duration;

use futures_util::{Stream, StreamExt as _};
use kube::api::{ListParams, WatchEvent, WatchParams};
use kube::{Api, Resource as _};
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::kinds::{WatchedKind, reference};
use super::observed::Observed;
use super::page;
use super::received::ReceivedObject;
use super::target::WatchTarget;
use super::update::{Closed, TargetEvent, Update};
use crate::cluster::connection::{Contact, Fault, Pace};

/// Objects in one page, unless they are long. A whole page is in memory until it has been parsed, and the connection keeps as
/// much room.
const PAGE: u32 = 100;
/// Room is made at once for so many objects of a list.
const MOST_EXPECTED: usize = 100_000;
/// Seconds after which the API server ends a watch. If it does not, the watch has stalled.
const WATCH: u32 = 50;
/// A watch that has sent nothing for this long has stalled.
const SILENCE: Duration = Duration::from_secs(55);
/// For the answer to a request.
const ANSWER: Duration = Duration::from_secs(55);

pub(crate) struct Reflector<K> {
    api: Api<ReceivedObject<K>>,
    target: WatchTarget,
    fields: Option<String>,
    updates: mpsc::Sender<Update>,
    contact: Contact,
}

/// Why a watch has ended.
enum Ended {
    /// As intended, or because the connection broke: it can be continued.
    Over,
    /// With a fault.
    Failed(Fault),
}

impl<K: WatchedKind> Reflector<K> {
    pub(crate) fn new(
        api: Api<ReceivedObject<K>>,
        target: WatchTarget,
        fields: Option<String>,
        updates: mpsc::Sender<Update>,
        contact: Contact,
    ) -> Self {
        Self {
            api,
            target,
            fields,
            updates,
            contact,
        }
    }

    /// Watches the target until nobody listens any more.
    pub(crate) async fn run(&self) {
        let mut pace = Pace::new(self.contact.clone());
        while self.list_and_follow(&mut pace).await.is_ok() {}
    }

    async fn list_and_follow(&self, pace: &mut Pace) -> Result<(), Closed> {
        pace.ready().await;
        match self.list().await {
            Ok((objects, version)) => {
                self.send(TargetEvent::Listed(objects)).await?;
                self.follow(version, pace).await
            }
            Err(fault) => self.fail(fault, pace).await,
        }
    }

    /// Lists all objects, page by page. Also returns the version from which to watch.
    async fn list(&self) -> Result<(Vec<Observed>, String), Fault> {
        let mut params = ListParams {
            field_selector: self.fields.clone(),
            ..ListParams::default()
        };
        let mut objects = Vec::new();
        let mut most = PAGE;
        loop {
            params.limit = Some(most);
            let page = timeout(ANSWER, page::read(&self.api, &params))
                .await
                .map_err(|_elapsed| Fault::Stalled(ANSWER))??;
            let Some(page) = page else {
                most = (most / 4).max(1);
                continue;
            };
            most = (most * 2).min(PAGE);
            let remaining = page.metadata.remaining_item_count.unwrap_or_default();
            let remaining = usize::try_from(remaining).unwrap_or_default().min(MOST_EXPECTED);
            objects.reserve_exact(page.items.len() + remaining);
            objects.extend(page.items.into_iter().map(ReceivedObject::into_observed));
            match page.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => params.continue_token = Some(token),
                None => {
                    let version = page
                        .metadata
                        .resource_version
                        .filter(|version| !version.is_empty());
                    let version =
                        version.ok_or_else(|| Fault::Nonsense("a list without a version".into()))?;
                    return Ok((objects, version));
                }
            }
        }
    }

    /// Passes on every change after `version`, over as many watches as that takes. Returns when everything has to be
    /// listed again.
    async fn follow(&self, mut version: String, pace: &mut Pace) -> Result<(), Closed> {
        let params = WatchParams {
            field_selector: self.fields.clone(),
            timeout: Some(WATCH),
            ..WatchParams::default()
        };
        let (mut following, mut first) = (false, true);
        loop {
            // The first watch belongs to the list before it; waiting would only delay the first changes.
            if !std::mem::take(&mut first) {
                pace.ready().await;
            }
            let started = match timeout(ANSWER, self.api.watch(&params, &version)).await {
                Ok(started) => started.map_err(Fault::from),
                Err(_elapsed) => Err(Fault::Stalled(ANSWER)),
            };
            let ended = match started {
                Ok(stream) => {
                    if !following {
                        following = true;
                        self.send(TargetEvent::Following).await?;
                    }
                    let before = version.clone();
                    let ended = self.pass_on(stream, &mut version).await?;
                    if version != before {
                        pace.succeeded();
                    }
                    ended
                }
                Err(fault) => Ended::Failed(fault),
            };
            match ended {
                Ended::Over => pace.succeeded(),
                Ended::Failed(fault @ Fault::Expired) => {
                    pace.back_off(&fault).await;
                    return Ok(());
                }
                Ended::Failed(fault) => {
                    following = false;
                    // A permission was revoked: find out whether the list is still allowed.
                    let again = matches!(fault, Fault::Forbidden(_) | Fault::Absent | Fault::Nonsense(_));
                    self.fail(fault, pace).await?;
                    if again {
                        return Ok(());
                    }
                }
            }
        }
    }

    async fn pass_on(
        &self,
        stream: impl Stream<Item = kube::Result<WatchEvent<ReceivedObject<K>>>>,
        version: &mut String,
    ) -> Result<Ended, Closed> {
        let mut stream = pin!(stream);
        loop {
            let event = match timeout(SILENCE, stream.next()).await {
                Ok(Some(Ok(event))) => event,
                Ok(Some(Err(error))) => {
                    let fault = Fault::from(error);
                    // A broken connection is no loss as long as the watch can be continued.
                    let broke = matches!(fault, Fault::Unreachable(_));
                    return Ok(if broke { Ended::Over } else { Ended::Failed(fault) });
                }
                Ok(None) => return Ok(Ended::Over),
                Err(_elapsed) => return Ok(Ended::Failed(Fault::Stalled(SILENCE))),
            };
            self.contact.note_answer();
            match event {
                WatchEvent::Added(object) | WatchEvent::Modified(object) => {
                    advance(version, object.meta().resource_version.as_deref());
                    self.send(TargetEvent::Applied(Box::new(object.into_observed())))
                        .await?;
                }
                WatchEvent::Deleted(object) => {
                    advance(version, object.meta().resource_version.as_deref());
                    self.send(TargetEvent::Removed(reference::<K>(object.meta())))
                        .await?;
                }
                WatchEvent::Bookmark(bookmark) => {
                    advance(version, Some(&bookmark.metadata.resource_version));
                }
                WatchEvent::Error(status) => return Ok(Ended::Failed(kube::Error::Api(status).into())),
            }
        }
    }

    async fn fail(&self, fault: Fault, pace: &mut Pace) -> Result<(), Closed> {
        tracing::debug!(slot = ?self.target, %fault, "watch failed");
        self.send(TargetEvent::Failed(fault.clone())).await?;
        tokio::select! {
            () = pace.back_off(&fault) => Ok(()),
            () = self.updates.closed() => Err(Closed),
        }
    }

    async fn send(&self, event: TargetEvent) -> Result<(), Closed> {
        let update = Update {
            target: self.target.clone(),
            event,
        };
        self.updates.send(update).await.map_err(|_closed| Closed)
    }
}

fn advance(version: &mut String, to: Option<&str>) {
    if let Some(to) = to.filter(|to| !to.is_empty()) {
        to.clone_into(version);
    }
}
