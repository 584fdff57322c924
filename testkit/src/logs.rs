//! Lines of access logs that are sent again.

use migrate::replay::{Recorded, Unusable, recorded};

/// Whatever a line is, what comes of it can be sent as the head of a request: nothing in it ends a line, and nothing of it is
/// read as another request.
pub fn access_log_properties(bytes: &[u8]) {
    let line = String::from_utf8_lossy(bytes);
    match recorded(&line) {
        Ok(Recorded { method, host, target }) => {
            assert!(["GET", "HEAD", "OPTIONS"].contains(&method), "{line:?}");
            assert!(target.starts_with('/'), "{line:?}");
            assert!(target.bytes().all(|byte| byte.is_ascii_graphic()), "{line:?}");
            let fits = |byte: u8| byte.is_ascii_alphanumeric() || b"-._[]:".contains(&byte);
            assert!(
                host.iter().all(|host| !host.is_empty() && host.bytes().all(fits)),
                "{line:?}"
            );
            // As nginx would write it again, unless it has what nginx escapes.
            if !target.contains(['"', '\\']) {
                let again = recorded(&format!("- - - [t] \"{method} {target} HTTP/1.1\" 200 0"));
                assert_eq!(again.map(|again| again.target), Ok(target), "{line:?}");
            }
        }
        Err(Unusable::Unsafe) => {}
        Err(Unusable::Malformed(why)) => assert!(!why.is_empty()),
    }
}
