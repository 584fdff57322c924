//! Reports on what is live: the audit, and explanations.

use hyper::StatusCode;

use super::answer::Answer;
use super::context::{Context, Inquiry};
use super::query::{Query, QueryError};
use crate::audit;
use crate::explain::{self, Question};

/// `/api/v1/audit`
pub(super) fn audit(context: &Context, inquiry: &Inquiry) -> Answer {
    if let Err(error) = inquiry.query.only(&[]) {
        return Answer::error(StatusCode::BAD_REQUEST, error);
    }
    match context.world() {
        Ok(world) => {
            let make = |world: &_| Answer::json(&audit::audit(world));
            context.audit.page(&world, make)
        }
        Err(not_yet) => not_yet,
    }
}

/// `/api/v1/explain?url=…`
pub(super) fn explain(context: &Context, inquiry: &Inquiry) -> Answer {
    let question = match question(&inquiry.query) {
        Ok(question) => question,
        Err(answer) => return answer,
    };
    match context.world() {
        Ok(world) => match explain::explain(&world, &question) {
            Ok(explained) => Answer::json(&explained),
            Err(unknown) => Answer::error(StatusCode::NOT_FOUND, unknown),
        },
        Err(not_yet) => not_yet,
    }
}

fn question(query: &Query) -> Result<Question, Answer> {
    let parameters = || -> Result<_, QueryError> {
        query.only(&["url", "method", "header", "client", "door", "namespace"])?;
        Ok((
            query.required("url")?,
            query.optional("method")?,
            query.optional("client")?.filter(|client| !client.is_empty()),
            query.optional("door")?.filter(|door| !door.is_empty()),
            query
                .optional("namespace")?
                .filter(|namespace| !namespace.is_empty()),
        ))
    };
    let bad = |error: &dyn std::error::Error| Answer::error(StatusCode::BAD_REQUEST, error);
    let (url, method, client, door, namespace) = parameters().map_err(|error| bad(&error))?;
    let method = method.filter(|method| !method.is_empty());
    let question = Question::parse(url, method, query.all("header"), client, door);
    question
        .map(|question| question.about(namespace))
        .map_err(|error| bad(&error))
}
