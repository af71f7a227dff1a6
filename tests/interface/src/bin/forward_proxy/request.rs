//! A request's head: what it asks for, and how it goes on to the server.

use httparse::{Header, Status};

/// Headers between the client and this proxy, and `host`, which is written anew.
const HOP_BY_HOP: &str = "connection host keep-alive proxy-authenticate proxy-authorization \
                          proxy-connection te upgrade";

#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    pub(crate) host: String,
    pub(crate) port: u16,
    /// The head that the server gets; none for a `CONNECT`.
    pub(crate) head: Vec<u8>,
}

impl Request {
    /// Reads a head that came without the empty line at its end.
    pub(crate) fn parse(head: &[u8]) -> Result<Self, String> {
        let bytes = [head, b"\r\n\r\n"].concat();
        let mut headers = [httparse::EMPTY_HEADER; 100];
        let mut parsed = httparse::Request::new(&mut headers);
        let status = parsed.parse(&bytes).map_err(|error| error.to_string())?;
        let is_whole = status == Status::Complete(bytes.len());
        let (true, Some(method), Some(target)) = (is_whole, parsed.method, parsed.path) else {
            return Err("the head is empty, or has an empty line in it".into());
        };
        let method = method.to_owned();
        if method == "CONNECT" {
            let (host, port) = host_and_port(target, None).ok_or("the target is not HOST:PORT")?;
            return Ok(Self { method, host, port, head: Vec::new() });
        }
        let (authority, path) = split(target).ok_or("the target is not http://HOST/PATH")?;
        let (host, port) = host_and_port(authority, Some(80)).ok_or("the target has no host")?;
        let path = match path {
            "" if method == "OPTIONS" => "*",
            path => &format!("/{}", path.strip_prefix('/').unwrap_or(path)),
        };
        let version = format!("1.{}", parsed.version.unwrap_or(1));
        let mut head =
            Vec::from(format!("{method} {path} HTTP/{version}\r\nHost: {authority}\r\n"));
        for header in parsed.headers.iter().filter(|one| is_passed_on(one.name, parsed.headers)) {
            head.extend([header.name.as_bytes(), b": ", header.value, b"\r\n"].concat());
        }
        head.extend(format!("Via: {version} forward_proxy\r\nConnection: close\r\n\r\n").bytes());
        Ok(Self { method, host, port, head })
    }
}

/// Splits `http://authority/path?query`.
fn split(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    scheme.eq_ignore_ascii_case("http").then(|| rest.split_at(end))
}

/// Splits `host:port`. Whether a host is a name or an address shows when it is connected to.
fn host_and_port(authority: &str, default: Option<u16>) -> Option<(String, u16)> {
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => {
            (host, port.parse().ok())
        }
        _ => (authority, default),
    };
    Some((host.to_owned(), port?))
}

/// Whether the server gets a header. Those that say where the body ends it always gets.
fn is_passed_on(name: &str, all: &[Header]) -> bool {
    let is = |other: &str| name.eq_ignore_ascii_case(other.trim());
    let lists = all.iter().filter(|header| header.name.eq_ignore_ascii_case("connection"));
    let is_named = |list: &Header| String::from_utf8_lossy(list.value).split(',').any(is);
    let is_ours = HOP_BY_HOP.split(' ').any(is) || lists.into_iter().any(is_named);
    !is_ours || is("content-length") || is("transfer-encoding")
}
