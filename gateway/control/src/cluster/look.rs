//! Objects as an API server has them at one moment, of whatever kind. Nothing is watched and nothing is written.

use std::time::Duration;

use http::Request;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, PercentEncode, utf8_percent_encode};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use super::connection::{ClusterError, Connection, Credentials, Fault};
use super::shallow::Shallow;

/// A kind of object, as the API names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ApiResource<'a> {
    /// Empty for the core group.
    pub group: &'a str,
    /// Its version.
    pub version: &'a str,
    /// Its name in paths.
    pub plural: &'a str,
}

/// What is known of a kind, or of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listing {
    /// These there are. One that is nested deeper than 100 levels has nothing but its name.
    Objects(Vec<Value>),
    /// The kind, or the object, does not exist.
    Absent,
    /// They may not be read, and what the API server says of it.
    Forbidden(String),
}

/// Reads objects from an API server.
pub struct ClusterReader {
    connection: Connection,
}

/// Objects of one page.
const PAGE: usize = 500;

/// A part of a list.
#[derive(Deserialize)]
struct Page {
    #[serde(default)]
    metadata: PageMetadata,
    /// Go writes an empty list as `null`.
    items: Option<Vec<Shallow>>,
}

#[derive(Default, Deserialize)]
struct PageMetadata {
    /// Where the next part begins.
    #[serde(rename = "continue")]
    next: Option<String>,
}

/// How often a request is sent when the API server is too busy.
const ATTEMPTS: u32 = 4;
/// Between two attempts.
const PAUSE: Duration = Duration::from_secs(1);

impl ClusterReader {
    /// Finds credentials. Sends no request. Needs a runtime.
    ///
    /// # Errors
    /// When there are none, or none that can be used.
    pub fn open(credentials: &Credentials) -> Result<Self, ClusterError> {
        Ok(Self {
            connection: Connection::open(credentials)?,
        })
    }

    /// All objects of a kind, of one namespace or of all.
    ///
    /// # Errors
    /// When the API server does not answer, or not as an API server does.
    pub async fn list(
        &self,
        resource: ApiResource<'_>,
        namespace: Option<&str>,
    ) -> Result<Listing, ClusterError> {
        let path = resource.path(namespace, None);
        let mut objects = Vec::new();
        let mut next = String::new();
        loop {
            let page = match next.as_str() {
                // The rest of a list is gone when it has taken minutes: then all of it at once.
                "*" => String::new(),
                next => format!("?limit={PAGE}{next}"),
            };
            let answer: Page = match self.get_path(&format!("{path}{page}")).await {
                Ok(answer) => answer,
                Err(Fault::Expired) if !next.is_empty() && next != "*" => {
                    objects.clear();
                    next = "*".to_owned();
                    continue;
                }
                Err(fault) => return self.listing(fault),
            };
            objects.extend(answer.items.into_iter().flatten().map(|object| object.json));
            match answer.metadata.next.filter(|token| !token.is_empty()) {
                Some(token) => next = format!("&continue={}", escaped(&token)),
                None => return Ok(Listing::Objects(objects)),
            }
        }
    }

    /// One object.
    ///
    /// # Errors
    /// As for [`list`](Self::list).
    pub async fn get(
        &self,
        resource: ApiResource<'_>,
        namespace: &str,
        name: &str,
    ) -> Result<Listing, ClusterError> {
        match self.get_path(&resource.path(Some(namespace), Some(name))).await {
            Ok(Shallow { json, .. }) => Ok(Listing::Objects(vec![json])),
            Err(fault) => self.listing(fault),
        }
    }

    fn listing(&self, fault: Fault) -> Result<Listing, ClusterError> {
        match fault {
            Fault::Absent => Ok(Listing::Absent),
            Fault::Forbidden(message) => Ok(Listing::Forbidden(message)),
            fault @ (Fault::Refused(_)
            | Fault::Unauthorized
            | Fault::Conflict
            | Fault::Expired
            | Fault::Busy(_)
            | Fault::Unreachable(_)
            | Fault::Stalled(_)
            | Fault::Nonsense(_)) => {
                let server = &self.connection.server;
                Err(ClusterError::NoAnswer(format!("{server}: {fault}")))
            }
        }
    }

    async fn get_path<T: DeserializeOwned>(&self, path: &str) -> Result<T, Fault> {
        let mut attempt = 1;
        loop {
            let request = Request::get(path).body(Vec::new());
            let request = request.map_err(|error| Fault::Nonsense(error.to_string()))?;
            match self.connection.client.request::<T>(request).await {
                Ok(answer) => return Ok(answer),
                Err(error) => {
                    let fault = Fault::from(error);
                    if !matches!(fault, Fault::Busy(_)) || attempt == ATTEMPTS {
                        return Err(fault);
                    }
                    attempt += 1;
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl ApiResource<'_> {
    fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let Self {
            group,
            version,
            plural,
        } = self;
        let api = if group.is_empty() {
            format!("/api/{version}")
        } else {
            format!("/apis/{group}/{version}")
        };
        let namespace = namespace.map_or(String::new(), |name| format!("/namespaces/{}", escaped(name)));
        let name = name.map_or(String::new(), |name| format!("/{}", escaped(name)));
        format!("{api}{namespace}/{plural}{name}")
    }
}

/// What is not unreserved (RFC 3986, section 2.3).
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

fn escaped(text: &str) -> PercentEncode<'_> {
    utf8_percent_encode(text, RESERVED)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::connection::Contact;
    use super::super::scripted::{answer, client, failure};
    use super::*;

    const PODS: ApiResource<'_> = ApiResource {
        group: "",
        version: "v1",
        plural: "pods",
    };

    fn reader(script: Vec<http::Response<String>>) -> (ClusterReader, super::super::scripted::Requests) {
        let contact = Contact::new();
        let (client, requests) = client(script, &contact);
        let connection = Connection {
            client,
            contact,
            server: "https://api".into(),
            namespace: "default".into(),
            identity: "test".into(),
        };
        (ClusterReader { connection }, requests)
    }

    fn page(items: &[&str], token: &str) -> http::Response<String> {
        answer(200, &json!({"metadata": {"continue": token}, "items": items}))
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_is_read_to_its_end() {
        let (reader, requests) = reader(vec![page(&["a"], "x/y="), failure(503), page(&["b"], "")]);
        let listing = reader.list(PODS, None).await.unwrap();
        assert_eq!(listing, Listing::Objects(vec![json!("a"), json!("b")]));
        let sent: Vec<String> = requests.all().into_iter().map(|(_, line)| line).collect();
        let second = "GET /api/v1/pods?limit=500&continue=x%2Fy%3D";
        assert_eq!(sent, ["GET /api/v1/pods?limit=500", second, second]);
    }

    #[tokio::test(start_paused = true)]
    async fn of_an_object_that_is_nested_too_deep_the_name_is_read() {
        let deep = r#"{"metadata":{"namespace":"shop","name":"deep"},"spec":DEEP}"#;
        let deep = deep.replace("DEEP", &("[".repeat(5000) + &"]".repeat(5000)));
        let listed = format!(r#"{{"metadata":{{}},"items":[{deep},{{"metadata":{{"name":"sound"}}}}]}}"#);
        let (reader, _) = reader(vec![answer(200, &listed), answer(200, &deep)]);
        let name = json!({"metadata": {"namespace": "shop", "name": "deep", "resourceVersion": null}});
        let listing = reader.list(PODS, None).await.unwrap();
        let sound = json!({"metadata": {"name": "sound"}});
        assert_eq!(listing, Listing::Objects(vec![name.clone(), sound]));
        let one = reader.get(PODS, "shop", "deep").await.unwrap();
        assert_eq!(one, Listing::Objects(vec![name]));
    }

    #[tokio::test(start_paused = true)]
    async fn a_list_whose_rest_is_gone_is_read_anew() {
        let (reader, _) = reader(vec![page(&["a"], "x"), failure(410), page(&["a", "b"], "")]);
        let listing = reader.list(PODS, Some("shop")).await.unwrap();
        assert_eq!(listing, Listing::Objects(vec![json!("a"), json!("b")]));
    }

    #[tokio::test(start_paused = true)]
    async fn what_may_not_be_read_or_does_not_exist_is_no_error() {
        let (reader, _) = reader(vec![
            failure(403),
            failure(404),
            failure(500),
            failure(500),
            failure(500),
            failure(500),
        ]);
        assert_eq!(
            reader.list(PODS, None).await.unwrap(),
            Listing::Forbidden("no".to_owned())
        );
        assert_eq!(reader.get(PODS, "shop", "cart").await.unwrap(), Listing::Absent);
        let error = reader.list(PODS, None).await.unwrap_err();
        assert_eq!(error.to_string(), "https://api: the API server answers 500");
    }
}
