//! Addresses and places: read from any text, made from any value, printed and read again.

use std::net::{Ipv6Addr, SocketAddr, SocketAddrV6};

use crate::address::{Address, Endpoint, Place, UnixAddress};

/// Makes places of the bytes in each way there is. None may be another than was meant, and each must
/// be read from what it prints.
pub fn places(data: &[u8]) {
    check_unix(&UnixAddress::abstract_name(data));
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        let path = std::ffi::OsStr::from_bytes(data);
        let address = UnixAddress::from(path);
        assert_eq!(address.as_pathname(), Some(path.as_ref()));
        check_unix(&address);
    }
    let (numbers, name) = data.split_at(data.len().min(26));
    let [ip, scope, flow] = [0, 16, 20].map(|at| number(numbers.get(at..).unwrap_or(b"")));
    let ip = if numbers.len() < 16 { ip >> 96 } else { ip }; // a short one is not all zeros at its end
    let port = (number(numbers.get(24..).unwrap_or(b"")) >> 112) as u16;
    let [scope, flow] = [scope, flow].map(|number| (number >> 96) as u32);
    check_numbers(Ipv6Addr::from_bits(ip), port, scope, flow);
    if let Ok(name) = str::from_utf8(name) {
        check_interface(Ipv6Addr::from_bits(ip), name, port);
    }
    if let Ok(text) = str::from_utf8(data) {
        check_text(text);
        check_pair(text, port);
    }
}

/// The first bytes as a number; as if zeros followed.
fn number(bytes: &[u8]) -> u128 {
    let mut all = [0; 16];
    all.iter_mut().zip(bytes).for_each(|(to, from)| *to = *from);
    u128::from_be_bytes(all)
}

/// A place prints as one line, and that line is read as the same place.
fn check_printed(endpoint: &Endpoint) {
    let printed = endpoint.to_string();
    assert!(!printed.contains(char::is_control), "{printed:?}");
    let read = Endpoint::from(printed.as_str());
    match (endpoint.place(), read.place()) {
        (Place::Unreadable(_), read) => assert!(matches!(read, Place::Unreadable(_))),
        (Place::Name(host, port), Place::Name(read, again)) => {
            assert!(host.eq_ignore_ascii_case(read) && port == again, "{printed:?}");
        }
        (place, read) => assert_eq!(place, read, "{printed:?}"),
    }
}

fn check_text(text: &str) {
    let endpoint = Endpoint::from(text);
    check_printed(&endpoint);
    let parts = host_and_port(text);
    match endpoint.place() {
        Place::Address(addr) => assert_eq!(text.parse(), Ok(*addr)),
        Place::Port(port) => assert_eq!(parts, Some(("", *port))),
        Place::Unix(address) => {
            let name = text.strip_prefix("unix:").expect("only such a text is a Unix socket");
            assert_eq!(*address, unix(name));
        }
        Place::Scoped(host, port) => {
            assert_eq!(parts, Some((format!("[{host}]").as_str(), *port)));
            assert!(host.contains('%'));
        }
        Place::Name(host, port) => {
            assert_eq!(parts, Some((host.as_str(), *port)));
            assert!(is_name(host), "{host:?}");
        }
        Place::Unreadable(kept) => {
            assert_eq!(kept, text);
            assert!(text.parse::<SocketAddr>().is_err() && !text.starts_with("unix:"));
            assert!(parts.is_none_or(|(host, _)| !host.is_empty() && !is_name(host)));
        }
    }
    match text.parse::<Endpoint>() {
        Ok(read) => assert_eq!(read, endpoint),
        Err(error) => {
            assert!(matches!(endpoint.place(), Place::Unreadable(_)));
            assert!(error.to_string().contains(&format!("{text:?}")));
            let other = endpoint.socket_addr().expect_err("it is no address");
            assert_eq!((error.kind(), error.to_string()), (other.kind(), other.to_string()));
        }
    }
    check_port(endpoint, text);
}

/// Another port, and nothing else.
fn check_port(endpoint: Endpoint, text: &str) {
    let other = endpoint.clone().with_port(7);
    if matches!(endpoint.place(), Place::Unix(_) | Place::Unreadable(_)) {
        assert_eq!(other, endpoint);
    } else {
        let (host, _) = text.rsplit_once(':').expect("it has a port");
        assert_eq!(other, Endpoint::from(format!("{host}:7")));
    }
}

fn host_and_port(text: &str) -> Option<(&str, u16)> {
    let (host, port) = text.rsplit_once(':')?;
    let digits = port.chars().all(|char| char.is_ascii_digit());
    digits.then(|| port.parse().ok()).flatten().map(|port| (host, port))
}

/// Letters, digits, hyphens, underscores and points, and the last word of it is no number.
fn is_name(host: &str) -> bool {
    let allowed = |char: char| char.is_ascii_alphanumeric() || "-._".contains(char);
    let last = host.split('.').rfind(|word| !word.is_empty());
    let last_is_a_word =
        last.is_some_and(|word| word.contains(|char: char| !char.is_ascii_digit()));
    host.len() <= 253 && host.chars().all(allowed) && last_is_a_word
}

/// A pair is what its text is, but for an IPv6 address without brackets, and what `unix:` and `:` begin.
fn check_pair(host: &str, port: u16) {
    let pair = Endpoint::from((host, port));
    check_printed(&pair);
    let text = format!("{host}:{port}");
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    match pair.place() {
        Place::Unreadable(kept) => assert_eq!(*kept, text),
        Place::Name(name, same) => assert!(name == host && *same == port && is_name(host)),
        Place::Address(addr) if addr.is_ipv4() => assert_eq!(text.parse(), Ok(*addr)),
        Place::Address(addr) => assert_eq!(format!("[{inside}]:{port}").parse(), Ok(*addr)),
        Place::Scoped(..) => assert_eq!(Endpoint::from(format!("[{inside}]:{port}")), pair),
        place => panic!("{place:?} has no host"),
    }
    let bare = host.contains(':') && !host.starts_with('[');
    if !host.is_empty() && !text.starts_with("unix:") && !bare {
        assert_eq!(Endpoint::from(text), pair);
    }
}

/// A number can be the scope, or the name of an interface.
fn check_numbers(ip: Ipv6Addr, port: u16, scope: u32, flow: u32) {
    let v6 = SocketAddrV6::new(ip, port, flow, scope);
    let [a, b, c, d, ..] = ip.octets();
    check_socket_addr(
        ([a, b, c, d], port).into(),
        [a, b, c, d].map(|byte| byte.to_string()).join("."),
    );
    // Rust prints no flow label, and where a packet goes does not depend on it.
    let kept = Endpoint::from(v6).socket_addr().expect("it is an address");
    assert_eq!(kept, v6.into());
    let host = if scope == 0 { ip.to_string() } else { format!("{ip}%{scope}") };
    check_socket_addr(SocketAddrV6::new(ip, port, 0, scope).into(), host);
}

fn check_socket_addr(addr: SocketAddr, host: String) {
    let (address, endpoint) = (Address::Tcp(addr), Endpoint::from(addr));
    assert_eq!(endpoint, Endpoint::from(&address));
    assert_eq!(endpoint, Endpoint::from(address.to_string()));
    assert_eq!(endpoint, Endpoint::from((host, addr.port())));
    assert_eq!(endpoint.to_string(), address.to_string());
    assert_eq!(endpoint.socket_addr().expect("it is an address"), addr);
}

fn check_interface(ip: Ipv6Addr, name: &str, port: u16) {
    let endpoint = Endpoint::from(format!("[{ip}%{name}]:{port}"));
    let wrong = name.is_empty() || name.contains(|c: char| "[]%".contains(c) || c.is_control());
    match endpoint.place() {
        Place::Unreadable(_) => return assert!(wrong, "{name:?}"),
        Place::Scoped(host, same) => {
            assert!(!wrong && *host == format!("{ip}%{name}") && *same == port);
        }
        Place::Address(SocketAddr::V6(addr)) => {
            assert_eq!((addr.ip(), addr.port()), (&ip, port));
            assert_eq!(Ok(addr.scope_id()), name.parse());
        }
        place => panic!("{place:?}"),
    }
    assert_eq!(Endpoint::from((format!("{ip}%{name}"), port)).place(), endpoint.place());
    check_printed(&endpoint);
}

fn check_unix(address: &UnixAddress) {
    let endpoint = Endpoint::from(address.clone());
    check_printed(&endpoint);
    assert_eq!(endpoint, Endpoint::from(Address::Unix(address.clone())));
    assert_eq!(endpoint.to_string(), Address::Unix(address.clone()).to_string());
    assert!(endpoint.socket_addr().is_err());
    #[cfg(unix)]
    check_system(address);
}

/// The system gets the same address, or its error says why not.
#[cfg(unix)]
fn check_system(address: &UnixAddress) {
    let path = address.as_pathname().map(|path| path.as_os_str().as_encoded_bytes());
    match address.to_system() {
        Ok(system) => {
            let there = system.as_pathname().map(|path| path.as_os_str().as_encoded_bytes());
            assert_eq!(there, path);
            assert_eq!(system.as_abstract_namespace(), address.as_abstract_name());
        }
        Err(error) if path.is_some() || cfg!(target_os = "linux") => {
            assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
            let name = path.or(address.as_abstract_name()).expect("it has a name");
            let wrong = path.is_some() && (name.is_empty() || name.contains(&0));
            assert!(wrong || name.len() > 100, "{address}: {error}");
        }
        Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::Unsupported),
    }
}

/// The address that the text after `unix:` stands for.
fn unix(text: &str) -> UnixAddress {
    if text == "(unnamed)" {
        return UnixAddress::unnamed();
    }
    if let Some(name) = text.strip_prefix('@') {
        return UnixAddress::abstract_name(unescaped(name));
    }
    let bytes = unescaped(text);
    #[cfg(unix)]
    {
        use std::os::unix::ffi::OsStrExt;
        UnixAddress::from(std::ffi::OsStr::from_bytes(&bytes))
    }
    #[cfg(not(unix))]
    UnixAddress::from(String::from_utf8_lossy(&bytes).as_ref())
}

/// The bytes of a text, by trying each escape at each place.
fn unescaped(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut at = 0;
    while let Some(byte) = text.as_bytes().get(at) {
        let (length, meant) = escape(&text.as_bytes()[at..]).unwrap_or_else(|| (1, vec![*byte]));
        at += length;
        bytes.extend(meant);
    }
    bytes
}

/// The length and the meaning of the escape that begins a text.
fn escape(text: &[u8]) -> Option<(usize, Vec<u8>)> {
    const LETTERS: [(&[u8], u8); 6] =
        [(br"\t", 9), (br"\n", 10), (br"\r", 13), (br"\'", 39), (br#"\""#, 34), (br"\\", 92)];
    if let Some((_, byte)) = LETTERS.iter().find(|(escape, _)| text.starts_with(escape)) {
        return Some((2, vec![*byte]));
    }
    if text.starts_with(br"\x") {
        let digits = text.get(2..4)?.to_ascii_lowercase();
        return (0..=255)
            .find(|b: &u8| format!("{b:02x}").as_bytes() == digits)
            .map(|b| (4, vec![b]));
    }
    let digits = text.strip_prefix(br"\u{")?;
    let digits = &digits[..digits.iter().position(|byte| !byte.is_ascii_hexdigit())?];
    let end = 3 + digits.len();
    let number = digits.iter().try_fold(0_u32, |all, digit| {
        let digit = char::from(*digit).to_digit(16).expect("a digit");
        all.checked_mul(16).map(|all| all + digit)
    });
    let char = char::from_u32(number?).filter(|_| !digits.is_empty() && text[end] == b'}')?;
    Some((end + 1, char.to_string().into_bytes()))
}
