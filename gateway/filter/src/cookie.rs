//! Cookies (RFC 6265): one of a request, and those that the gateway sets.

use std::time::Duration;

use aws_lc_rs::digest;

/// A cookie that the gateway sets: everything but its value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetCookie {
    /// Its name.
    pub name: CookieName,
    /// `Path`; without it browsers use the directory of the request.
    pub path: Option<AttributeValue>,
    /// `Domain`; without it the cookie is for the request's host alone.
    pub domain: Option<AttributeValue>,
    /// `Max-Age`; zero and less removes the cookie. Without it and `expires` it lasts as long as the browser's session.
    pub max_age: Option<i64>,
    /// `Expires`, counted from the moment at which it is set.
    pub expires: Option<Duration>,
    /// `SameSite`
    pub same_site: Option<SameSite>,
    /// `Secure`
    pub secure: bool,
    /// `HttpOnly`
    pub http_only: bool,
}

/// The name of a cookie: a token (RFC 6265 4.1.1).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct CookieName(Box<str>);

/// The value of an attribute: printable, and without `;` (RFC 6265 4.1.1, `path-value`).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttributeValue(Box<str>);

/// `SameSite` of a cookie (draft-ietf-httpbis-rfc6265bis 4.1.2.7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SameSite {
    /// Sent with requests that the same site causes.
    Strict,
    /// And when the user navigates to it.
    Lax,
    /// With all requests.
    None,
}

impl CookieName {
    /// Reads a name.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        if !text.is_empty() && text.bytes().all(is_token) {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "`{text}` is not the name of a cookie: one or more letters, digits and characters of `!#$%&'*+-.^_`|~`"
            ))
        }
    }

    /// A name for the cookie of a Service that has none: `_` and five hexadecimal digits, in Traefik's way.
    #[must_use]
    pub fn of_service(service: &str) -> Self {
        let hash = digest::digest(&digest::SHA256, service.as_bytes());
        let digits: String = hash
            .as_ref()
            .iter()
            .take(3)
            .map(|byte| format!("{byte:02x}"))
            .collect();
        Self(format!("_{}", digits.get(..5).unwrap_or_default()).into())
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl AttributeValue {
    /// Reads a value of `Path`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn path(text: &str) -> Result<Self, String> {
        if text.starts_with('/') && text.bytes().all(is_attribute) {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "`{text}` is not the path of a cookie: it begins with `/` and has neither `;` nor characters that must be \
                 escaped"
            ))
        }
    }

    /// The path of a rule as a `Path`; what a cookie cannot say is cut off, up to whole path elements: the cookie is then
    /// sent with more requests than those of the rule.
    #[must_use]
    pub fn of_rule(path: &str) -> Self {
        let end = path.bytes().position(|byte| !is_attribute(byte));
        let sayable = match end.and_then(|end| path.get(..end)) {
            Some(cut) => cut.rfind('/').and_then(|slash| path.get(..=slash)).unwrap_or("/"),
            None => path,
        };
        Self(if sayable.starts_with('/') {
            sayable.into()
        } else {
            "/".into()
        })
    }

    /// Reads a value of `Domain`.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn domain(text: &str) -> Result<Self, String> {
        let name = text.strip_prefix('.').unwrap_or(text);
        let is_label = |label: &str| {
            !label.is_empty()
                && label
                    .bytes()
                    .all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte))
        };
        if name.split('.').all(is_label) {
            Ok(Self(text.into()))
        } else {
            Err(format!(
                "`{text}` is not the domain of a cookie, such as `example.com`"
            ))
        }
    }

    /// As it is written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl SameSite {
    /// Reads it, in any case.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub fn parse(text: &str) -> Result<Self, String> {
        match text.to_ascii_lowercase().as_str() {
            "strict" => Ok(Self::Strict),
            "lax" => Ok(Self::Lax),
            "none" => Ok(Self::None),
            _ => Err(format!("`{text}` is not `Strict`, `Lax` or `None`")),
        }
    }

    /// As it is written in `Set-Cookie`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Strict => "Strict",
            Self::Lax => "Lax",
            Self::None => "None",
        }
    }

    /// Whether a browser takes a cookie with `SameSite=None` for one with `Strict`, or ignores it: Chrome 51 to 66, all
    /// browsers of iOS 12, Safari of macOS 10.14. Decided by its `User-Agent`, as ingress-nginx does.
    #[must_use]
    pub fn is_misread_by(user_agent: &[u8]) -> bool {
        let has = |text: &str| find(user_agent, text.as_bytes()).is_some();
        let chrome = find(user_agent, b"Chrome/").or_else(|| find(user_agent, b"Chromium/"));
        let major = chrome.and_then(|rest| {
            let digits = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
            std::str::from_utf8(rest.get(..digits)?).ok()?.parse::<u16>().ok()
        });
        matches!(major, Some(51..=66))
            || has("CPU iPhone OS 12")
            || has("iPad; CPU OS 12")
            || (has("Intel Mac OS X 10_14") && has("Safari") && chrome.is_none())
    }
}

/// What follows the first `needle`.
fn find<'h>(haystack: &'h [u8], needle: &[u8]) -> Option<&'h [u8]> {
    let place = haystack
        .windows(needle.len())
        .position(|window| window == needle)?;
    haystack.get(place + needle.len()..)
}

/// The value of the first cookie with this name, in the values of `Cookie` fields. Nothing is decoded, and quotation marks
/// belong to the value, as browsers treat them.
pub fn read<'h>(fields: impl IntoIterator<Item = &'h [u8]>, name: &str) -> Option<&'h [u8]> {
    let pairs = fields
        .into_iter()
        .flat_map(|field| field.split(|byte| *byte == b';'));
    pairs.into_iter().find_map(|pair| {
        let equals = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = pair.split_at_checked(equals)?;
        (key.trim_ascii() == name.as_bytes()).then(|| value.get(1..).unwrap_or_default().trim_ascii())
    })
}

impl SetCookie {
    /// Writes the value of a `Set-Cookie` field. `value` has to be of characters that a cookie may have; `now` is the time
    /// since 1970. With `keeps_same_site_none` false, `SameSite=None` is left out.
    pub fn write(&self, value: &[u8], now: Duration, keeps_same_site_none: bool, out: &mut Vec<u8>) {
        out.extend_from_slice(self.name.0.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value);
        if let Some(path) = &self.path {
            attribute(out, "Path", &path.0);
        }
        if let Some(domain) = &self.domain {
            attribute(out, "Domain", &domain.0);
        }
        if let Some(lifetime) = self.expires {
            attribute(out, "Expires", &date(now.saturating_add(lifetime)));
        }
        if let Some(seconds) = self.max_age {
            attribute(out, "Max-Age", &seconds.to_string());
        }
        if self.http_only {
            out.extend_from_slice(b"; HttpOnly");
        }
        if self.secure {
            out.extend_from_slice(b"; Secure");
        }
        if let Some(same_site) = self.same_site
            && (same_site != SameSite::None || keeps_same_site_none)
        {
            attribute(out, "SameSite", same_site.as_str());
        }
    }
}

fn attribute(out: &mut Vec<u8>, name: &str, value: &str) {
    out.extend_from_slice(b"; ");
    out.extend_from_slice(name.as_bytes());
    out.push(b'=');
    out.extend_from_slice(value.as_bytes());
}

/// A token of HTTP (RFC 9110 5.6.2).
fn is_token(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn is_attribute(byte: u8) -> bool {
    matches!(byte, 0x21..=0x7e) && byte != b';'
}

/// A time as HTTP writes it (RFC 9110 5.6.7), up to the end of the year 9999.
fn date(since_1970: Duration) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    /// The end of the year 9999.
    const LAST: u64 = 253_402_300_799;
    let seconds = since_1970.as_secs().min(LAST);
    let (days, of_day) = (seconds / 86_400, seconds % 86_400);
    // In years that begin in March a leap day is the last day (Howard Hinnant, "chrono-Compatible Low-Level Date
    // Algorithms", civil_from_days).
    let shifted = days + 719_468;
    let (era, of_era) = (shifted / 146_097, shifted % 146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = era * 400 + year_of_era + u64::from(month < 2);
    let name = |names: &[&'static str], index: u64| {
        let index = usize::try_from(index).unwrap_or_default();
        names.get(index).copied().unwrap_or_default()
    };
    format!(
        "{}, {day:02} {} {year} {:02}:{:02}:{:02} GMT",
        name(&DAYS, days % 7),
        name(&MONTHS, month),
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_cookie_of_a_name_counts() {
        let table: &[(&[&str], &str, Option<&str>)] = &[
            (&["a=1; b=2"], "a", Some("1")),
            (&["a=1; b=2"], "b", Some("2")),
            (&["a=1;b=2;  a=3"], "a", Some("1")),
            (&["a=1", "b=2"], "b", Some("2")),
            (&["ab=1"], "a", None),
            (&["b=a=1"], "a", None),
            (&["b=a=1"], "b", Some("a=1")),
            (&["a"], "a", None),
            (&["a="], "a", Some("")),
            (&["a; a = x y ;"], "a", Some("x y")),
            (&["A=1"], "a", None),
            (&["a=\"q\""], "a", Some("\"q\"")),
            (&["", ";;=;=x"], "a", None),
            (&[], "a", None),
        ];
        for (fields, name, expected) in table {
            let fields = fields.iter().map(|field| field.as_bytes());
            assert_eq!(read(fields, name), expected.map(str::as_bytes), "{name}");
        }
    }

    fn plain() -> SetCookie {
        SetCookie {
            name: CookieName::parse("c").unwrap(),
            path: None,
            domain: None,
            max_age: None,
            expires: None,
            same_site: None,
            secure: false,
            http_only: false,
        }
    }

    #[test]
    fn every_attribute_is_written() {
        let written = |cookie: &SetCookie, keeps| {
            let mut out = Vec::new();
            cookie.write(b"v", Duration::from_secs(784_111_777), keeps, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(written(&plain(), true), "c=v");
        let mut full = SetCookie {
            path: Some(AttributeValue::path("/x").unwrap()),
            domain: Some(AttributeValue::domain("a.test").unwrap()),
            max_age: Some(-1),
            expires: Some(Duration::from_secs(60)),
            same_site: Some(SameSite::None),
            secure: true,
            http_only: true,
            ..plain()
        };
        let most = "c=v; Path=/x; Domain=a.test; Expires=Sun, 06 Nov 1994 08:50:37 GMT; Max-Age=-1; HttpOnly; Secure";
        assert_eq!(written(&full, true), format!("{most}; SameSite=None"));
        assert_eq!(written(&full, false), most);
        full.same_site = Some(SameSite::Lax);
        assert_eq!(written(&full, false), format!("{most}; SameSite=Lax"));
    }

    #[test]
    fn dates() {
        let table = [
            (0, "Thu, 01 Jan 1970 00:00:00 GMT"),
            (784_111_777, "Sun, 06 Nov 1994 08:49:37 GMT"),
            (951_782_400, "Tue, 29 Feb 2000 00:00:00 GMT"),
            (951_868_800, "Wed, 01 Mar 2000 00:00:00 GMT"),
            (1_709_164_799, "Wed, 28 Feb 2024 23:59:59 GMT"),
            (4_107_542_400, "Mon, 01 Mar 2100 00:00:00 GMT"),
            (u64::MAX, "Fri, 31 Dec 9999 23:59:59 GMT"),
        ];
        for (seconds, expected) in table {
            assert_eq!(date(Duration::from_secs(seconds)), expected);
        }
    }

    #[test]
    fn nothing_that_would_split_a_field_is_a_name_or_an_attribute() {
        for text in ["", "a b", "a=b", "a;b", "a\r\nb", "ä", "a\"b"] {
            assert!(CookieName::parse(text).is_err(), "{text:?}");
        }
        for text in ["", "x", "/a;b", "/a b", "/a\r\nb", "/ä"] {
            assert!(AttributeValue::path(text).is_err(), "{text:?}");
        }
        for text in ["", ".", "a..b", "a b", "a;b", "a\n"] {
            assert!(AttributeValue::domain(text).is_err(), "{text:?}");
        }
        for (path, cookie) in [
            ("/a/b", "/a/b"),
            ("/a/ä", "/a/"),
            ("/ä", "/"),
            ("", "/"),
            ("/a b", "/"),
        ] {
            assert_eq!(AttributeValue::of_rule(path).as_str(), cookie);
        }
    }

    #[test]
    fn browsers_that_misread_same_site_none() {
        let chrome =
            |major: u16| format!("Mozilla/5.0 (X11) AppleWebKit/537.36 Chrome/{major}.0.1 Safari/537.36");
        let mac = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_14_6) AppleWebKit/605.1.15 (KHTML, like Gecko)";
        let table = [
            (chrome(50), false),
            (chrome(51), true),
            (chrome(66), true),
            (chrome(67), false),
            (chrome(120), false),
            (
                "Mozilla/5.0 (iPhone; CPU iPhone OS 12_1 like Mac OS X)".to_owned(),
                true,
            ),
            ("Mozilla/5.0 (iPad; CPU OS 12_1 like Mac OS X)".to_owned(), true),
            (format!("{mac} Version/12.1 Safari/605.1.15"), true),
            (format!("{mac} Chrome/80.0 Safari/537.36"), false),
            ("curl/8".to_owned(), false),
            (String::new(), false),
        ];
        for (agent, expected) in table {
            assert_eq!(SameSite::is_misread_by(agent.as_bytes()), expected, "{agent}");
        }
    }
}
