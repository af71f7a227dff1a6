//! A header at the beginning of some bytes. The crate proxy-header reads it; here is what that leaves to its user:
//! bounds, the addresses of Unix sockets, the checksum.

use proxy_header::{ParseConfig, ProxyHeader};

use super::checksum::crc32c;
use super::{Fault, LONGEST_HEADER, ProxyInfo};
use crate::address::{Address, UnixAddress};

const V1: &[u8] = b"PROXY ";
const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

/// How long a line of version 1 may be, with CRLF (section 2.1 of the specification).
const LONGEST_LINE: usize = 107;

/// How long the part of version 2 is that each header has: signature, command, family, length (section 2.2).
const FIXED: usize = 16;

/// The command of a proxy that has connected for itself.
const LOCAL: u8 = 0x20;

/// How long the address of a Unix socket is.
const SUN_PATH: usize = 108;

/// The type of the field with the checksum.
const CRC32C: u8 = 0x03;

/// Reads the header of a connection that came from this proxy. Returns it with its length, or `None` if it is
/// not whole yet.
///
/// # Errors
///
/// As soon as the bytes can be the beginning of no header that is valid.
pub(crate) fn read(bytes: &[u8], proxy: &Address) -> Result<Option<(ProxyInfo, usize)>, Fault> {
    let read = match () {
        () if begins(bytes, V1) => read_line(bytes)?,
        () if begins(bytes, V2) => read_binary(bytes)?,
        () => return Err(Fault::Missing),
    };
    let whole = |(header, client, len)| (ProxyInfo { proxy: proxy.clone(), client, header }, len);
    Ok(read.map(whole))
}

/// A header, the addresses in it, and its length.
type Read = Option<(ProxyHeader<'static>, Option<(Address, Address)>, usize)>;

fn begins(bytes: &[u8], signature: &[u8]) -> bool {
    let common = bytes.len().min(signature.len());
    bytes[..common] == signature[..common]
}

fn read_line(bytes: &[u8]) -> Result<Read, Fault> {
    let begin = &bytes[..bytes.len().min(LONGEST_LINE)];
    let Some(end) = begin.iter().position(|&byte| byte == b'\n') else {
        return if begin.len() < LONGEST_LINE { Ok(None) } else { Err(Fault::TooLong) };
    };
    let line = &begin[..=end];
    match ProxyHeader::parse(line, ParseConfig::default()) {
        Ok((header, len)) if len == line.len() => {
            let client = addresses(&header);
            Ok(Some((header.into_owned(), client, len)))
        }
        _ => Err(Fault::Malformed),
    }
}

fn read_binary(bytes: &[u8]) -> Result<Read, Fault> {
    let Some(&[command, family, high, low]) = bytes.get(V2.len()..FIXED) else { return Ok(None) };
    let len = FIXED + usize::from(u16::from_be_bytes([high, low]));
    if len > LONGEST_HEADER {
        return Err(Fault::TooLong);
    }
    let Some(bytes) = bytes.get(..len) else { return Ok(None) };
    let fields = addresses_len(family).and_then(|count| bytes.get(FIXED + count..));
    let checked = fields.map_or(Err(Fault::Malformed), |fields| check_fields(bytes, fields.len()));
    if command == LOCAL && checked != Err(Fault::Checksum) {
        // Whatever it says is to be ignored, and need not make sense.
        let header = ProxyHeader::parse(bytes, ParseConfig::default());
        let header =
            header.map_or_else(|_| ProxyHeader::with_local(), |(header, _)| header.into_owned());
        return Ok(Some((header, None, len)));
    }
    checked?;
    let header = ProxyHeader::parse(bytes, ParseConfig::default());
    let (header, _) = header.map_err(|_| Fault::Malformed)?;
    let client = match family >> 4 {
        3 => Some((unix_at(bytes, FIXED), unix_at(bytes, FIXED + SUN_PATH))),
        _ => addresses(&header),
    };
    Ok(Some((header.into_owned(), client, len)))
}

fn addresses(header: &ProxyHeader<'_>) -> Option<(Address, Address)> {
    let addresses = header.proxied_address()?;
    Some((Address::Tcp(addresses.source), Address::Tcp(addresses.destination)))
}

/// How long the addresses of a family are, both with their ports.
fn addresses_len(family: u8) -> Option<usize> {
    match family >> 4 {
        0 => Some(0),
        1 => Some(2 * (4 + 2)),
        2 => Some(2 * (16 + 2)),
        3 => Some(2 * SUN_PATH),
        _ => None,
    }
}

fn unix_at(bytes: &[u8], at: usize) -> Address {
    Address::Unix(UnixAddress::from_padded(&bytes[at..at + SUN_PATH]))
}

/// Checks the last `left` bytes of a header, its fields: that each has its length, and the checksum if there is
/// one, which is that of the whole header with zeros in its place.
fn check_fields(header: &[u8], left: usize) -> Result<(), Fault> {
    let mut at = header.len() - left;
    while at < header.len() {
        let Some(&[kind, high, low]) = header.get(at..at + 3) else { return Err(Fault::Malformed) };
        let value = at + 3..at + 3 + usize::from(u16::from_be_bytes([high, low]));
        let Some(bytes) = header.get(value.clone()) else { return Err(Fault::Malformed) };
        if kind == CRC32C {
            let told = <[u8; 4]>::try_from(bytes).map_err(|_| Fault::Malformed)?;
            let mut blank = header.to_vec();
            blank[value.clone()].fill(0);
            if crc32c(&blank) != u32::from_be_bytes(told) {
                return Err(Fault::Checksum);
            }
        }
        at = value.end;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::parts::random::Random;
    use crate::proxy::Version;

    const SIGNATURE: &[u8] = V2;
    const INET: [u8; 12] = [203, 0, 113, 7, 198, 51, 100, 1, 0x12, 0x67, 0, 80];

    fn proxy() -> Address {
        Address::Tcp(([10, 0, 0, 1], 443).into())
    }

    fn tcp(text: &str) -> Address {
        Address::Tcp(text.parse().unwrap())
    }

    /// A header of version 2.
    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let len = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family], &len, rest].concat()
    }

    fn field(kind: u8, value: &[u8]) -> Vec<u8> {
        let len = u16::try_from(value.len()).unwrap().to_be_bytes();
        [&[kind], &len[..], value].concat()
    }

    /// The same with its checksum in a last field.
    fn with_checksum(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let mut header = binary(command, family, &[rest, &field(CRC32C, &[0; 4])].concat());
        let sum = crc32c(&header).to_be_bytes();
        let at = header.len() - 4;
        header[at..].copy_from_slice(&sum);
        header
    }

    /// Whose connection a header says it is, and where that went.
    #[track_caller]
    fn client(header: &[u8]) -> Option<(String, String)> {
        let (info, len) = read(header, &proxy()).unwrap().expect("it is whole");
        assert_eq!((len, info.proxy()), (header.len(), &proxy()));
        assert_eq!(info.is_local(), info.destination().is_none());
        let peer = info.peer().to_string();
        info.destination().map(|destination| (peer, destination.to_string()))
    }

    fn fault(bytes: &[u8]) -> Fault {
        read(bytes, &proxy()).unwrap_err()
    }

    #[test]
    fn each_kind_of_header_is_whole_at_its_last_byte_and_not_before() {
        let v6 = [[0x20; 16], [1; 16]].concat();
        let fields = [field(1, b"h2"), field(2, b"example.org"), field(4, b"")].concat();
        for header in [
            b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n".to_vec(),
            b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(),
            b"PROXY UNKNOWN\r\n".to_vec(),
            b"PROXY UNKNOWN whatever this may be\r\n".to_vec(),
            binary(0x21, 0x11, &INET),
            binary(0x21, 0x21, &[v6, vec![1, 2, 3, 4]].concat()),
            binary(0x21, 0x11, &[&INET[..], &fields].concat()),
            binary(0x20, 0, &[]),
            binary(0x21, 0x31, &[b'a'; 216]),
            with_checksum(0x21, 0x11, &INET),
            with_checksum(0x20, 0, &[]),
        ] {
            for cut in 0..header.len() {
                assert_eq!(read(&header[..cut], &proxy()), Ok(None), "{cut} of {header:?}");
            }
            let (info, len) = read(&header, &proxy()).unwrap().unwrap();
            assert_eq!(len, header.len());
            for behind in [&b"GET /"[..], b"\r\n", b"PROXY UNKNOWN\r\n", &[0; 5000]] {
                let both = [&header, behind].concat();
                assert_eq!(read(&both, &proxy()).unwrap().unwrap(), (info.clone(), len));
            }
        }
    }

    #[test]
    fn a_header_names_the_client_and_its_destination() {
        let both = Some(("203.0.113.7:4711".to_owned(), "198.51.100.1:80".to_owned()));
        assert_eq!(client(b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n"), both);
        assert_eq!(client(&binary(0x21, 0x11, &INET)), both);
        assert_eq!(client(&binary(0x21, 0x12, &INET)), both, "it came as a datagram to the proxy");
        let v6 = client(b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n").unwrap();
        assert_eq!(v6, ("[2001:db8::1]:4711".to_owned(), "[::1]:80".to_owned()));
    }

    #[test]
    fn a_header_that_names_nobody_is_of_the_proxy() {
        assert_eq!(client(b"PROXY UNKNOWN\r\n"), None);
        assert_eq!(client(b"PROXY UNKNOWN 1 2 3 4\r\n"), None);
        assert_eq!(client(&binary(0x20, 0, &[])), None);
        assert_eq!(client(&binary(0x20, 0x11, &INET)), None);
        assert_eq!(client(&binary(0x20, 0x77, b"it is to be ignored")), None);
        assert_eq!(client(&binary(0x20, 0, &[4, 0xff])), None, "so need not be well-formed");
        assert_eq!(client(&binary(0x21, 0, &[])), None, "the family is unspecified");
    }

    #[test]
    fn a_header_may_name_unix_sockets() {
        let padded = |name: &[u8]| [name, &vec![0; SUN_PATH - name.len()]].concat();
        let named = |from: &[u8], to: &[u8]| {
            client(&binary(0x21, 0x31, &[padded(from), padded(to)].concat())).unwrap()
        };
        let expected = ("unix:@client".to_owned(), "unix:/run/web.sock".to_owned());
        assert_eq!(named(b"\0client", b"/run/web.sock"), expected);
        let (unnamed, long) = named(b"", &[b'x'; SUN_PATH]);
        assert_eq!((&*unnamed, long.len()), ("unix:(unnamed)", "unix:".len() + SUN_PATH));
        assert_eq!(fault(&binary(0x21, 0x31, &[0; 215])), Fault::Malformed);
    }

    #[test]
    fn fields_of_version_2_can_be_asked_for() {
        let fields = [
            field(1, b"h2"),
            field(2, b"example.org"),
            field(5, b"id-17"),
            field(0xea, b"\x01vpce-1"),
            field(0x20, &[&[1, 0, 0, 0, 0][..], &field(0x21, b"TLSv1.3")].concat()),
        ];
        let header = with_checksum(0x21, 0x11, &[&INET[..], &fields.concat()].concat());
        let (info, _) = read(&header, &proxy()).unwrap().unwrap();
        let fields = info.header();
        assert_eq!((fields.alpn(), fields.authority()), (Some(&b"h2"[..]), Some("example.org")));
        assert_eq!(fields.unique_id(), Some(&b"id-17"[..]));
        assert_eq!(fields.ssl().unwrap().version(), Some("TLSv1.3"));
        let own = proxy_header::Tlv::Custom(0xea, b"\x01vpce-1".into());
        assert!(fields.tlvs().any(|field| field == Ok(own.clone())));
    }

    #[test]
    fn a_checksum_that_is_there_must_be_right() {
        for header in [with_checksum(0x21, 0x11, &INET), with_checksum(0x20, 0, &[])] {
            assert!(read(&header, &proxy()).unwrap().is_some());
            for at in FIXED..header.len() - 7 {
                let mut wrong = header.clone();
                wrong[at] ^= 1;
                assert_eq!(fault(&wrong), Fault::Checksum, "{at}");
            }
            for at in header.len() - 4..header.len() {
                let mut wrong = header.clone();
                wrong[at] ^= 0x80;
                assert_eq!(fault(&wrong), Fault::Checksum, "{at}");
            }
        }
        let short = [&INET[..], &field(CRC32C, &[0; 3])].concat();
        assert_eq!(fault(&binary(0x21, 0x11, &short)), Fault::Malformed);
    }

    #[test]
    fn other_bytes_are_refused_as_soon_as_it_shows() {
        for bytes in [&b"G"[..], b"PROXX", b"PROXYT", b"\r\n\r\n\0\r\nQUIX", b"\x16", b"\0"] {
            assert_eq!(fault(bytes), Fault::Missing, "{bytes:?}");
            assert_eq!(read(&bytes[..bytes.len() - 1], &proxy()), Ok(None), "{bytes:?}");
        }
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        for line in [
            "PROXY \n",
            "PROXY UNKNOWN\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 4711\r\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 4711 80 \r\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 4711 65536\r\n",
            "PROXY TCP4 203.0.113.7  198.51.100.1 4711 80\r\n",
            "PROXY TCP4 ::1 ::1 4711 80\r\n",
            "PROXY TCP6 203.0.113.7 198.51.100.1 4711 80\r\n",
            "PROXY TCP4 example.org 198.51.100.1 4711 80\r\n",
            "PROXY TCP5 203.0.113.7 198.51.100.1 4711 80\r\n",
            "PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\rx\n",
        ] {
            assert_eq!(fault(line.as_bytes()), Fault::Malformed, "{line:?}");
        }
        for header in [
            binary(0x11, 0x11, &INET),
            binary(0x22, 0x11, &INET),
            binary(0x21, 0x13, &INET),
            binary(0x21, 0x41, &INET),
            binary(0x21, 0x11, &INET[..11]),
            binary(0x21, 0x21, &INET),
            binary(0x21, 0x11, &[&INET[..], &[4]].concat()),
            binary(0x21, 0x11, &[&INET[..], &[4, 0, 2, 0]].concat()),
        ] {
            assert_eq!(fault(&header), Fault::Malformed, "{header:?}");
        }
    }

    #[test]
    fn a_header_has_a_longest_length() {
        let line = |len: usize| {
            let filled = "x".repeat(len - "PROXY UNKNOWN \r\n".len());
            format!("PROXY UNKNOWN {filled}\r\n").into_bytes()
        };
        assert!(read(&line(LONGEST_LINE), &proxy()).unwrap().is_some());
        assert_eq!(fault(&line(LONGEST_LINE + 1)), Fault::TooLong);
        assert_eq!(fault(&line(LONGEST_LINE + 1)[..LONGEST_LINE]), Fault::TooLong);
        let padded = |len: usize| binary(0x20, 0, &field(4, &vec![0; len - FIXED - 3]));
        assert!(read(&padded(LONGEST_HEADER), &proxy()).unwrap().is_some());
        assert_eq!(fault(&padded(LONGEST_HEADER + 1)[..FIXED]), Fault::TooLong);
    }

    #[test]
    fn what_is_sent_can_be_read() {
        let unix = |text: &str| Address::Unix(UnixAddress::read(text));
        let (v4, v6) = (tcp("203.0.113.7:4711"), tcp("[2001:db8::1]:80"));
        let mapped = tcp("[::ffff:203.0.113.7]:4711");
        for version in [Version::V1, Version::V2] {
            let told = |from: &Address, to: &Address| client(&version.header(from, to));
            let text = |from: &Address, to: &Address| Some((from.to_string(), to.to_string()));
            for (from, to) in [(&v4, &v4), (&v6, &v6), (&v6, &tcp("[::1]:1"))] {
                assert_eq!(told(from, to), text(from, to), "{version:?}");
            }
            assert_eq!(told(&v4, &v6), text(&mapped, &v6));
            assert_eq!(told(&v6, &v4), text(&v6, &mapped));
            assert_eq!(told(&unix("(unnamed)"), &v4), None);
            for from in [unix("(unnamed)"), unix("/tmp/x"), unix("@abstract")] {
                let to = unix("/run/web.sock");
                let expected = text(&from, &to).filter(|_| version == Version::V2);
                assert_eq!(told(&from, &to), expected, "{version:?} {from}");
            }
        }
        assert_eq!("v2".parse::<Version>().unwrap(), Version::V2);
        assert!("v3".parse::<Version>().unwrap_err().to_string().contains("\"v3\""));
    }

    /// The crate that reads most of it is not ours.
    #[test]
    fn damaged_headers_are_read_or_refused_and_cause_no_panic() {
        let fields = [field(2, b"example.org"), field(4, &[0; 9])].concat();
        let good = [
            b"PROXY TCP4 203.0.113.7 198.51.100.1 4711 80\r\n".to_vec(),
            b"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n".to_vec(),
            with_checksum(0x21, 0x11, &[&INET[..], &fields].concat()),
            binary(0x21, 0x31, &[&[b'a'; 216][..], &fields].concat()),
        ];
        let mut random = Random::new(17);
        let mut outcomes = [0; 3];
        for _ in 0..30_000 {
            let mut bytes = good[random.below(good.len())].clone();
            for _ in 0..1 + random.below(4) {
                let at = random.below(bytes.len());
                match random.below(3) {
                    0 => bytes[at] = random.below(256) as u8,
                    1 => drop(bytes.remove(at)),
                    _ => bytes.insert(at, random.below(256) as u8),
                }
            }
            match read(&bytes, &proxy()) {
                Ok(Some((info, len))) => {
                    assert!(len <= bytes.len() && len <= LONGEST_HEADER);
                    let fields = info.header();
                    let _ = (fields.authority(), fields.ssl().map(|ssl| ssl.cn().map(str::len)));
                    outcomes[0] += 1;
                }
                Ok(None) => outcomes[1] += 1,
                Err(_) => outcomes[2] += 1,
            }
        }
        assert!(outcomes.iter().all(|&count| count > 100), "{outcomes:?}");
    }
}
