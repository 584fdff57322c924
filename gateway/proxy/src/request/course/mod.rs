//! The course of one request through the filters of its route: how far it is, and what they have decided so far.

mod chosen;
mod kept;

use std::cell::RefCell;
use std::sync::Arc;

use ::filter::cors::Verdict;
use door::{Filters, Upstream};
use http::HeaderValue;
use smallvec::SmallVec;

pub(super) use self::chosen::{Chosen, Session};
pub(super) use self::kept::Kept;
use crate::head::draft::RequestEdits;

/// One request on its way through the filters of its route: how far it is, and what they have decided so far.
#[derive(Debug)]
pub(crate) struct Course {
    /// Those of its route; `None` once it has ended.
    pub(in crate::request) filters: Option<Arc<Filters>>,
    /// How many of them it has reached.
    pub(in crate::request) reached: usize,
    /// What changes in its head on the way to the backend.
    pub(crate) edits: RequestEdits,
    /// The user that a filter has found.
    pub(crate) user: Option<Box<[u8]>>,
    /// Who may read its response, as filters of CORS have decided: their places among the filters, and the verdicts.
    pub(in crate::request) readers: SmallVec<[(usize, Verdict); 1]>,
    /// Cookies that services have granted its client: the places of their filters, and the cookies.
    pub(in crate::request) granted: SmallVec<[(usize, Vec<HeaderValue>); 1]>,
    /// What decides which endpoint it gets.
    pub(in crate::request) chosen: Chosen,
    /// What requests for error pages need, on routes that have some.
    pub(in crate::request) kept: RefCell<Option<Box<Kept>>>,
    /// What has answered with a page in place of an error.
    pub(in crate::request) page_of: RefCell<Option<Arc<Upstream>>>,
}

/// Courses that have ended, for others to begin in: a course is too large for what the allocator keeps at hand.
#[derive(Debug, Default)]
#[expect(
    clippy::vec_box,
    reason = "courses stay where they are: it is their memory that is kept"
)]
pub(crate) struct EndedCourses(RefCell<Vec<Box<Course>>>);

impl EndedCourses {
    /// More than this are not kept.
    const MOST: usize = 64;

    /// A course that has reached no filter yet.
    pub(crate) fn begin(&self, filters: Arc<Filters>) -> Box<Course> {
        let ended = self.0.borrow_mut().pop();
        let mut course = ended.unwrap_or_else(|| Box::new(Course::new()));
        course.filters = Some(filters);
        course
    }

    /// Forgets what a course knows, and keeps its memory.
    pub(crate) fn end(&self, mut course: Box<Course>) {
        *course = Course::new();
        let mut ended = self.0.borrow_mut();
        if ended.len() < Self::MOST {
            ended.push(course);
        }
    }
}

impl Course {
    /// That of a request that is only rehearsed.
    pub(in crate::request) fn rehearsal(filters: Arc<Filters>) -> Self {
        Self {
            filters: Some(filters),
            ..Self::new()
        }
    }

    fn new() -> Self {
        Self {
            filters: None,
            reached: 0,
            edits: RequestEdits::default(),
            user: None,
            readers: SmallVec::new(),
            granted: SmallVec::new(),
            chosen: Chosen::default(),
            kept: RefCell::default(),
            page_of: RefCell::default(),
        }
    }

    /// The Service that has answered with a page in place of an error.
    pub(crate) fn page_service(&self) -> Option<Arc<Upstream>> {
        self.page_of.borrow().clone()
    }
}
