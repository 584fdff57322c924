//! `blastdoor health`: an exec probe that needs no other program in the image.

use std::process::ExitCode;
use std::time::Duration;

use route::ListenerName;

use super::admin_client::ask;
use super::{USAGE, fail, print_error};
use crate::config::{self, AdminBind, Options};

const TIMEOUT: Duration = Duration::from_secs(3);

/// Asks the admin port.
pub(crate) fn run(
    options: &Options,
    admin: Option<AdminBind>,
    ready: bool,
    door: Option<&ListenerName>,
) -> ExitCode {
    let admin = match admin.map_or_else(|| config::admin(options), Ok) {
        Ok(admin) => admin,
        Err(errors) => return fail(USAGE, errors),
    };
    let path = match (ready, door) {
        (_, Some(door)) => format!("/lb/{door}"),
        (true, None) => "/readyz".to_owned(),
        (false, None) => "/livez".to_owned(),
    };
    match ask(&admin, &path, TIMEOUT).map(|answer| answer.status) {
        Ok(200) => ExitCode::SUCCESS,
        Ok(404) => fail(USAGE, format!("{path}: no such door")),
        Ok(status) => fail(1, format!("{path}: status {status}")),
        Err(error) => {
            print_error(format!("admin port: {error}"));
            ExitCode::from(1)
        }
    }
}
