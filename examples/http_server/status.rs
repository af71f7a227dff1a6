//! The status codes this server answers with.

/// A code and its phrase, as they stand in the first line of an answer (RFC 9110, section 15).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Status(pub(crate) &'static str);

impl Status {
    pub(crate) const OK: Self = Self("200 OK");
    pub(crate) const MOVED_PERMANENTLY: Self = Self("301 Moved Permanently");
    pub(crate) const BAD_REQUEST: Self = Self("400 Bad Request");
    pub(crate) const NOT_FOUND: Self = Self("404 Not Found");
    pub(crate) const METHOD_NOT_ALLOWED: Self = Self("405 Method Not Allowed");
    pub(crate) const REQUEST_TIMEOUT: Self = Self("408 Request Timeout");
    pub(crate) const CONTENT_TOO_LARGE: Self = Self("413 Content Too Large");
    pub(crate) const URI_TOO_LONG: Self = Self("414 URI Too Long");
    pub(crate) const FIELDS_TOO_LARGE: Self = Self("431 Request Header Fields Too Large");
    pub(crate) const INTERNAL_ERROR: Self = Self("500 Internal Server Error");
    pub(crate) const NOT_IMPLEMENTED: Self = Self("501 Not Implemented");
    pub(crate) const VERSION_NOT_SUPPORTED: Self = Self("505 HTTP Version Not Supported");
}
