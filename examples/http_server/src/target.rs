//! Request targets: what a request asks for (RFC 9112, section 3.2), and what may stand there.

use std::net::Ipv6Addr;

use crate::status::Status;

/// The scheme of what a connection serves.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Scheme {
    /// `http`, in clear.
    Http,
    /// `https`, over TLS.
    Https,
}

impl Scheme {
    /// A target in absolute form begins with one of these. `https` must be refused in clear (RFC 9110, section 7.4);
    /// `http` asks for nothing that TLS would not give.
    const fn starts(self) -> &'static [&'static str] {
        match self {
            Self::Http => &["http://"],
            Self::Https => &["http://", "https://"],
        }
    }
}

/// The target of a request.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Target<'a> {
    /// `/path?query`, or `http://host/path?query` as in requests to a proxy; over TLS `https://host/path?query` too.
    Path {
        /// From its first slash on, still encoded; `/` if it is empty. Each `%` has its two digits.
        path: &'a str,
        /// With the question mark; empty if there is none. It may hold anything.
        query: &'a str,
    },
    /// `host:port`, for the method CONNECT.
    Authority(&'a str),
    /// `*`, the server as a whole, for the method OPTIONS.
    Asterisk,
}

impl<'a> Target<'a> {
    /// Reads the target of a request with this method, from a connection of this scheme.
    ///
    /// # Errors
    ///
    /// `BAD_REQUEST` if it is none that the method may have, or asks for `https` in clear. The end of the request is
    /// known all the same.
    pub fn of(scheme: Scheme, method: &str, text: &'a str) -> Result<Self, Status> {
        match (method, text) {
            ("CONNECT", _) if is_authority(text) => return Ok(Self::Authority(text)),
            ("CONNECT", _) => return Err(Status::BAD_REQUEST),
            ("OPTIONS", "*") => return Ok(Self::Asterisk),
            _ => {}
        }
        let behind = |start: &&str| {
            let (begins, rest) = text.split_at_checked(start.len())?;
            begins.eq_ignore_ascii_case(start).then_some(rest)
        };
        let origin = match scheme.starts().iter().find_map(behind) {
            Some(rest) => {
                let (authority, origin) =
                    rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
                let host = authority.rsplit_once('@').map_or(authority, |(_user, host)| host);
                if !is_authority(host) {
                    return Err(Status::BAD_REQUEST);
                }
                origin
            }
            None if text.starts_with('/') => text,
            None => return Err(Status::BAD_REQUEST),
        };
        let (path, query) = origin.split_at(origin.find('?').unwrap_or(origin.len()));
        if !is_encoded(path) {
            return Err(Status::BAD_REQUEST);
        }
        Ok(Self::Path { path: if path.is_empty() { "/" } else { path }, query })
    }
}

/// Whether a text is `host` or `host:port` (RFC 3986, section 3.2): a name, an IPv4 address, or in brackets an
/// IPv6 address or one of a later version.
pub fn is_authority(text: &str) -> bool {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !port.ends_with(']') => (host, port),
        _ => (text, ""),
    };
    let host_fits = match host.strip_prefix('[') {
        Some(ip) => ip.strip_suffix(']').is_some_and(is_ip_literal),
        None => !host.is_empty() && host.bytes().all(may_stand_in_name) && is_encoded(host),
    };
    host_fits && port.bytes().all(|byte| byte.is_ascii_digit())
}

/// Whether a text may stand in brackets: an IPv6 address, or one of a later version, as in `v7.a:b`.
fn is_ip_literal(text: &str) -> bool {
    let Some(later) = text.strip_prefix(['v', 'V']) else {
        return text.parse::<Ipv6Addr>().is_ok();
    };
    later.split_once('.').is_some_and(|(version, address)| {
        !version.is_empty()
            && version.bytes().all(|byte| byte.is_ascii_hexdigit())
            && !address.is_empty()
            && address.bytes().all(|byte| byte == b':' || byte != b'%' && may_stand_in_name(byte))
    })
}

fn may_stand_in_name(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'!' | b'$'..=b'.' | b';' | b'=' | b'_' | b'~')
}

/// Whether each `%` has two hexadecimal digits after it.
fn is_encoded(text: &str) -> bool {
    let mut parts = text.as_bytes().split(|&byte| byte == b'%');
    parts.next(); // before the first
    parts.all(|part| matches!(part, [a, b, ..] if a.is_ascii_hexdigit() && b.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_is_a_host_and_perhaps_a_port() {
        for text in [
            "h",
            "h:80",
            "h:",
            "127.0.0.1:5000",
            "[::1]",
            "[::1]:80",
            "[::ffff:1.2.3.4]",
            "[v7.a]",
            "[VfF.fe80::a+b]:80",
            "a%2Fb",
            "a_b~c",
        ] {
            assert!(is_authority(text), "{text}");
        }
        for text in [
            "",
            ":",
            ":80",
            "a:b",
            "a:80b",
            "a:b:80",
            "::1",
            "[::1",
            "::1]",
            "[::1]x",
            "[::1]80",
            "[h]",
            "[]",
            "[::1]]",
            "[[::1]",
            "[::1%25eth0]",
            "[v]",
            "[v7]",
            "[v7.]",
            "[v.a]",
            "[vg.a]",
            "[v7.a%41]",
            "[v7.a/b]",
            "a%zz",
            "a%2",
            "a%",
            "u@h",
            "a/b",
            "a b",
            "h:+1",
            "ü",
        ] {
            assert!(!is_authority(text), "{text}");
        }
    }

    #[test]
    fn targets_are_what_the_method_may_have() {
        let path = |path, query| Ok(Target::Path { path, query });
        for (method, text, expected) in [
            ("GET", "/", path("/", "")),
            ("GET", "/a%20b?c=%zz?", path("/a%20b", "?c=%zz?")),
            ("GET", "http://h", path("/", "")),
            ("POST", "HTTP://h:80?q", path("/", "?q")),
            ("GET", "http://a@h/b", path("/b", "")),
            ("CONNECT", "h:80", Ok(Target::Authority("h:80"))),
            ("OPTIONS", "*", Ok(Target::Asterisk)),
        ] {
            assert_eq!(Target::of(Scheme::Http, method, text), expected, "{method} {text}");
        }
        for (method, text) in [
            ("GET", "*"),
            ("GET", ""),
            ("GET", "a:b"),
            ("GET", "[::1"),
            ("GET", "a%zz"),
            ("GET", ":80"),
            ("GET", "/a%zz"),
            ("GET", "/%"),
            ("GET", "/%2"),
            ("GET", "http://"),
            ("GET", "http:///a"),
            ("GET", "http://a:b/"),
            ("GET", "http://[::1/"),
            ("GET", "http://a%zz/"),
            ("GET", "http://:80/"),
            ("GET", "https://h/"),
            ("CONNECT", "/"),
            ("CONNECT", "a:b"),
            ("CONNECT", ":80"),
        ] {
            let target = Target::of(Scheme::Http, method, text);
            assert_eq!(target, Err(Status::BAD_REQUEST), "{method} {text}");
        }
    }

    #[test]
    fn the_absolute_form_may_ask_for_https_over_tls_only() {
        let path = |path| Ok(Target::Path { path, query: "" });
        let refused = Err(Status::BAD_REQUEST);
        for (text, in_clear, over_tls) in [
            ("http://h/a", path("/a"), path("/a")),
            ("https://h/a", refused, path("/a")),
            ("HTTPS://h", refused, path("/")),
            ("https://", refused, refused),
            ("https://a:b/", refused, refused),
            ("httpss://h/", refused, refused),
        ] {
            assert_eq!(Target::of(Scheme::Http, "GET", text), in_clear, "{text}");
            assert_eq!(Target::of(Scheme::Https, "GET", text), over_tls, "{text}");
        }
    }
}
