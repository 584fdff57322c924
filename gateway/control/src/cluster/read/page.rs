//! One page of a list, of a bounded length. Whoever may write objects decides how long they are, and all of a page is in
//! memory until it has been parsed.

use futures_util::AsyncReadExt as _;
use kube::Api;
use kube::api::{ListParams, ObjectList};
use kube::core::Request;

use super::kinds::WatchedKind;
use super::received::ReceivedObject;
use crate::cluster::connection::Fault;

/// Bytes of a page of several objects.
const PAGE: u64 = 8 << 20;
/// Bytes of a single one: an API server takes 3 MiB unless it is told otherwise.
const ONE_OBJECT: u64 = 64 << 20;

/// The objects of a page and what comes behind it. `None` if they are too long together: then fewer are to be asked for.
pub(super) async fn read<K: WatchedKind>(
    api: &Api<ReceivedObject<K>>,
    params: &ListParams,
) -> Result<Option<ObjectList<ReceivedObject<K>>>, Fault> {
    let request = Request::new(api.resource_url()).list(params);
    let request = request.map_err(|error| Fault::Nonsense(error.to_string()))?;
    let body = api.clone().into_client().request_stream(request).await?;
    let is_single = params.limit == Some(1);
    let most = if is_single { ONE_OBJECT } else { PAGE };
    let mut text = Vec::new();
    let read = body.take(most + 1).read_to_end(&mut text).await;
    let read = read.map_err(|error| Fault::Unreachable(error.to_string()))?;
    if u64::try_from(read).is_ok_and(|read| read <= most) {
        let page = serde_json::from_slice(&text);
        return page.map(Some).map_err(|error| Fault::Nonsense(error.to_string()));
    }
    if is_single {
        return Err(Fault::Nonsense(format!("an object has more than {most} bytes")));
    }
    Ok(None)
}
