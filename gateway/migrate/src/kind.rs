//! The kinds of differences, by names that stay the same.

use serde::{Serialize, Serializer};

macro_rules! kinds {
    ($($(#[doc = $doc:literal])+ $kind:ident = $name:literal,)+) => {
        /// What a difference is about. The names of kinds are stable: `--accept` takes them, and JSON has them.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum DifferenceKind {
            $($(#[doc = $doc])+ $kind,)+
        }

        impl DifferenceKind {
            /// Every kind.
            pub const ALL: &'static [Self] = &[$(Self::$kind),+];

            /// Its name.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$kind => $name,)+
                }
            }

            /// What it is about, in a sentence.
            #[must_use]
            pub fn meaning(self) -> String {
                let text = match self {
                    $(Self::$kind => concat!($($doc),+),)+
                };
                text.trim().to_owned()
            }
        }
    };
}

kinds! {
    /// No door admits the Ingress: add a label.
    NoDoor = "no-door",
    /// An annotation does not do quite the same here.
    AnnotationDiffers = "annotation-differs",
    /// An annotation cannot be honoured: its value cannot be read, or it asks for what this gateway does not do.
    AnnotationRefused = "annotation-refused",
    /// An annotation has no effect here.
    AnnotationIgnored = "annotation-ignored",
    /// An annotation that is not known.
    AnnotationUnknown = "annotation-unknown",
    /// An annotation of a controller whose annotations are not read.
    AnnotationOfAnother = "annotation-of-another-controller",
    /// A field of a Middleware does not do quite the same here.
    MiddlewareDiffers = "middleware-differs",
    /// A Middleware cannot be honoured: it closes the Ingresses that name it.
    MiddlewareRefused = "middleware-refused",
    /// A part of a Middleware has no effect here.
    MiddlewareIgnored = "middleware-ignored",
    /// A Secret, ConfigMap or Middleware that a filter names is missing.
    ReferenceMissing = "reference-missing",
    /// The Service of a path, or its port, is missing.
    BackendMissing = "backend-missing",
    /// The Service of a path is not called from here, such as one of type ExternalName.
    BackendRefused = "backend-refused",
    /// The Service of a path has no endpoint.
    NoEndpoints = "no-endpoints",
    /// A certificate of `spec.tls` is missing or cannot be used.
    CertificateMissing = "certificate-missing",
    /// cert-manager makes a certificate of the Ingress.
    CertificateByCertManager = "certificate-by-cert-manager",
    /// external-dns makes records of the status of the Ingress.
    RecordsByExternalDns = "records-by-external-dns",
    /// A rule cannot be served as it is written, or another Ingress has its place.
    Rule = "rule",
    /// There, plain HTTP is redirected to https wherever the Ingress has a certificate.
    HttpsRedirectDefault = "https-redirect-default",
    /// There, `Strict-Transport-Security` is sent wherever the Ingress has a certificate.
    HstsDefault = "hsts-default",
    /// There, the Ingress is served over a scheme that its door does not speak.
    SchemeNotServed = "scheme-not-served",
    /// There, a path covers others that begin with the same characters; here whole elements count.
    PathCharacters = "path-characters",
    /// There, a path that ends in `/` does not answer for itself without that slash.
    PathTrailingSlash = "path-trailing-slash",
    /// There, a regular expression of another Ingress turns all paths of the host into regular expressions.
    PathRegexHostWide = "path-regex-host-wide",
    /// There, the longer rule wins, and not the exact path.
    RulePriority = "rule-priority",
    /// There, a request that no path of its host matches may be answered by a rule for a wildcard, or for every host.
    HostFallthrough = "host-fallthrough",
    /// There, `defaultBackend` beside rules is ignored.
    DefaultBackendBesideRules = "default-backend-beside-rules",
    /// Several files have the Ingress: the report is about the first one.
    WrittenTwice = "written-twice",
    /// The Ingress belongs to another controller than ingress-nginx and Traefik.
    OtherController = "other-controller",
    /// There, bodies of requests may have 1 MiB.
    BodySizeDefault = "body-size-default",
    /// There, backends may take longer, or less long.
    TimeoutsDefault = "timeouts-default",
    /// There, bodies are gathered before they are passed on.
    BufferingDefault = "buffering-default",
    /// There, `//` and `.` in paths are resolved before they are matched.
    PathNormalisation = "path-normalisation",
    /// There, the backend sees other fields about the client.
    ForwardedFields = "forwarded-fields",
    /// There, a request that fails is sent to another endpoint also when this is not safe.
    Retries = "retries",
    /// There, an Ingress that names no entry point is served at all of them.
    AllEntrypoints = "all-entrypoints",
    /// A setting of the whole controller.
    ControllerSetting = "controller-setting",
    /// An object that has no counterpart here.
    ObjectWithoutCounterpart = "object-without-counterpart",
}

impl DifferenceKind {
    /// The kind of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|kind| kind.as_str() == name)
    }
}

impl Serialize for DifferenceKind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}
