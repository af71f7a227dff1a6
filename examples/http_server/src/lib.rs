//! The part of HTTP/1.1 that every server needs, without I/O: where a request ends, and what it asks for.
//!
//! | module | holds |
//! |---|---|
//! | [`head`] | the end of a head in bytes that come in portions, and what it says |
//! | [`target`] | what a request asks for: `/path?query`, `http://host/path?query`, `host:port` |
//! | [`body`] | the end of a body, which is the start of the next request |
//! | [`status`] | the status codes of the answers |
//!
//! A server keeps the bytes that it cannot use yet, and asks again when more have come:
//!
//! ```
//! use http_server::body::Body;
//! use http_server::head::{self, Length, Method, Scan};
//! use http_server::target::{Scheme, Target};
//!
//! let bytes = b"GET /?a=b HTTP/1.1\r\nHost: localhost\r\nContent-Length: 5\r\n\r\nhelloGET /next";
//! let mut scan = Scan::default();
//! assert_eq!(scan.end_of_head(&bytes[..20]), Ok(None), "more is needed");
//! let len = scan.end_of_head(bytes)?.unwrap();
//!
//! let request = head::parse(&bytes[..len])?;
//! assert_eq!((request.method, request.length), (Method::Get, Length::Bytes(5)));
//! let target = Target::of(Scheme::Http, request.method_name, request.target)?;
//! assert_eq!(target, Target::Path { path: "/", query: "?a=b" });
//!
//! let mut body = Body::of(request.length);
//! let used = body.skip(&bytes[len..])?;
//! assert!(body.is_over() && bytes[len + used..].starts_with(b"GET /next"));
//! # Ok::<(), http_server::status::Status>(())
//! ```
//!
//! Reading is strict, so that no proxy in front of a server reads a request differently. An error is the
//! [`Status`](status::Status) to answer with. After one, unless it is the target's, the start of the next
//! request is unknown, so the answer has to be the last one of its connection.

pub mod body;
pub mod head;
pub mod status;
pub mod target;
