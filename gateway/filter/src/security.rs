//! Fields of responses by which browsers protect their users.

use http::header::{
    CONTENT_SECURITY_POLICY, CONTENT_SECURITY_POLICY_REPORT_ONLY, HeaderName, HeaderValue, REFERRER_POLICY,
    STRICT_TRANSPORT_SECURITY, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION,
};

use crate::fields::{self, FieldEdits, FieldError};

/// HTTP Strict Transport Security (RFC 6797).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hsts {
    /// How long a browser uses https alone, in seconds.
    pub seconds: u64,
    /// For all hosts below this one, too.
    pub include_subdomains: bool,
    /// Browsers may have the host built in.
    pub preload: bool,
    /// Over plain HTTP too, where browsers ignore it (RFC 6797 8.1).
    pub everywhere: bool,
}

impl Hsts {
    /// One year, for this host alone.
    pub const YEAR: Self = Self {
        seconds: 31_536_000,
        include_subdomains: false,
        preload: false,
        everywhere: false,
    };

    /// Adds the field where it counts. `is_https`: clients speak https to the door.
    pub fn edit(&self, is_https: bool, edits: &mut FieldEdits) {
        if !is_https && !self.everywhere {
            return;
        }
        let mut text = format!("max-age={}", self.seconds);
        if self.include_subdomains {
            text.push_str("; includeSubDomains");
        }
        if self.preload {
            text.push_str("; preload");
        }
        if let Ok(value) = HeaderValue::from_str(&text) {
            edits.set(STRICT_TRANSPORT_SECURITY, value);
        }
    }
}

/// What Traefik's `headers` says of these fields, but for [`Hsts`]. A text wins over the switch beside it, and an empty
/// one says nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct SecurityFields<'a> {
    /// `X-Frame-Options: DENY`
    pub frame_deny: bool,
    /// `X-Frame-Options`
    pub frame_options: &'a str,
    /// `X-Content-Type-Options: nosniff`
    pub nosniff: bool,
    /// `X-XSS-Protection: 1; mode=block`
    pub xss_filter: bool,
    /// `X-XSS-Protection`
    pub xss_protection: &'a str,
    /// `Content-Security-Policy`
    pub content_security_policy: &'a str,
    /// `Content-Security-Policy-Report-Only`
    pub content_security_policy_report_only: &'a str,
    /// `Referrer-Policy`
    pub referrer_policy: &'a str,
    /// `Permissions-Policy`
    pub permissions_policy: &'a str,
    /// `Feature-Policy`
    pub feature_policy: &'a str,
}

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");
const FEATURE_POLICY: HeaderName = HeaderName::from_static("feature-policy");

impl SecurityFields<'_> {
    /// What is wise for every site.
    pub const WISE: SecurityFields<'static> = SecurityFields {
        frame_deny: true,
        frame_options: "",
        nosniff: true,
        xss_filter: false,
        xss_protection: "",
        content_security_policy: "",
        content_security_policy_report_only: "",
        referrer_policy: "strict-origin-when-cross-origin",
        permissions_policy: "",
        feature_policy: "",
    };

    /// The edits that set them.
    ///
    /// # Errors
    /// When a text has control characters.
    pub fn edits(&self) -> Result<FieldEdits, FieldError> {
        let or = |text: &'_ str, switch: bool, value: &'static str| match text {
            "" if switch => value.to_owned(),
            text => text.to_owned(),
        };
        let mut edits = FieldEdits::default();
        for (name, text) in [
            (X_FRAME_OPTIONS, or(self.frame_options, self.frame_deny, "DENY")),
            (X_CONTENT_TYPE_OPTIONS, or("", self.nosniff, "nosniff")),
            (
                X_XSS_PROTECTION,
                or(self.xss_protection, self.xss_filter, "1; mode=block"),
            ),
            (CONTENT_SECURITY_POLICY, self.content_security_policy.to_owned()),
            (
                CONTENT_SECURITY_POLICY_REPORT_ONLY,
                self.content_security_policy_report_only.to_owned(),
            ),
            (REFERRER_POLICY, self.referrer_policy.to_owned()),
            (PERMISSIONS_POLICY, self.permissions_policy.to_owned()),
            (FEATURE_POLICY, self.feature_policy.to_owned()),
        ] {
            if !text.is_empty() {
                let value = fields::value(name.as_str(), &text)?;
                edits.set(name, value);
            }
        }
        Ok(edits)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(edits: &FieldEdits) -> Vec<String> {
        let line = |(name, value): &(HeaderName, HeaderValue)| format!("{name}: {}", value.to_str().unwrap());
        edits.added.iter().map(line).collect()
    }

    #[test]
    fn a_text_wins_over_its_switch() {
        let table: [(SecurityFields<'_>, &[&str]); 6] = [
            (SecurityFields::default(), &[]),
            (
                SecurityFields {
                    frame_deny: true,
                    nosniff: true,
                    xss_filter: true,
                    ..SecurityFields::default()
                },
                &[
                    "x-frame-options: DENY",
                    "x-content-type-options: nosniff",
                    "x-xss-protection: 1; mode=block",
                ],
            ),
            (
                SecurityFields {
                    frame_deny: true,
                    frame_options: "SAMEORIGIN",
                    xss_filter: true,
                    xss_protection: "0",
                    ..SecurityFields::default()
                },
                &["x-frame-options: SAMEORIGIN", "x-xss-protection: 0"],
            ),
            (
                SecurityFields {
                    content_security_policy: "default-src 'self';\n script-src x",
                    content_security_policy_report_only: "a",
                    ..SecurityFields::default()
                },
                &[
                    "content-security-policy: default-src 'self'; script-src x",
                    "content-security-policy-report-only: a",
                ],
            ),
            (
                SecurityFields {
                    referrer_policy: "no-referrer",
                    permissions_policy: "camera=()",
                    feature_policy: "camera 'none'",
                    ..SecurityFields::default()
                },
                &[
                    "referrer-policy: no-referrer",
                    "permissions-policy: camera=()",
                    "feature-policy: camera 'none'",
                ],
            ),
            (
                SecurityFields::WISE,
                &[
                    "x-frame-options: DENY",
                    "x-content-type-options: nosniff",
                    "referrer-policy: strict-origin-when-cross-origin",
                ],
            ),
        ];
        for (fields, expected) in table {
            assert_eq!(lines(&fields.edits().unwrap()), expected);
        }
        let wrong = SecurityFields {
            referrer_policy: "a\u{0}b",
            ..SecurityFields::default()
        };
        assert_eq!(wrong.edits(), Err(FieldError::Value("referrer-policy".into())));
    }

    #[test]
    fn strict_transport_security_is_said_over_https() {
        let said = |hsts: &Hsts, is_https: bool| {
            let mut edits = FieldEdits::default();
            hsts.edit(is_https, &mut edits);
            lines(&edits)
        };
        assert_eq!(
            said(&Hsts::YEAR, true),
            ["strict-transport-security: max-age=31536000"]
        );
        assert!(said(&Hsts::YEAR, false).is_empty());
        let full = Hsts {
            seconds: 1,
            include_subdomains: true,
            preload: true,
            everywhere: true,
        };
        assert_eq!(
            said(&full, false),
            ["strict-transport-security: max-age=1; includeSubDomains; preload"]
        );
    }
}
