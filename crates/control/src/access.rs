//! Whose requests are answered. There is no password, so a browser must not become a stranger's hand: a
//! page of somewhere else may neither change anything nor, with a name that it lets point here, read.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};

use axum::http::{HeaderMap, HeaderName, Method, StatusCode, Uri, Version, header};

const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// Why a request is not answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Denied {
    /// It does not say which server it means, or says it twice or wrongly.
    NoHost,
    /// It means a server of another name.
    OtherHost(String),
    /// A page of somewhere else wants to change something.
    OtherOrigin(String),
}

impl Denied {
    pub(super) fn status(&self) -> StatusCode {
        match self {
            // RFC 9112 §3.2.
            Denied::NoHost => StatusCode::BAD_REQUEST,
            Denied::OtherHost(_) => StatusCode::MISDIRECTED_REQUEST,
            Denied::OtherOrigin(_) => StatusCode::FORBIDDEN,
        }
    }
}

impl fmt::Display for Denied {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Denied::NoHost => {
                f.write_str("the request needs one header Host: an address or a name")
            }
            Denied::OtherHost(host) => write!(
                f,
                "`{host}` is no name of this server: ask by an address, or put the name into api-hosts"
            ),
            Denied::OtherOrigin(from) => write!(
                f,
                "{from}: only the server's own pages and clients that are no browsers change anything"
            ),
        }
    }
}

/// Host and port of an authority; IPv6 without its brackets, names in lower case.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Place {
    host: Host,
    port: Option<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Host {
    Addr(IpAddr),
    Name(String),
}

impl Place {
    fn parse(text: &str) -> Option<Self> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (addr, rest) = rest.split_once(']')?;
                // A zone is the asker's own affair.
                let addr = addr.split_once('%').map_or(addr, |(addr, _)| addr);
                let addr: Ipv6Addr = addr.parse().ok()?;
                (Host::Addr(addr.into()), rest)
            }
            None => {
                let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
                (Host::name(host)?, port)
            }
        };
        let port = match port.strip_prefix(':') {
            None if port.is_empty() => None,
            None => return None,
            Some("") => None,
            Some(port) if port.bytes().all(|octet| octet.is_ascii_digit()) => {
                Some(port.parse().ok()?)
            }
            Some(_) => return None,
        };
        Some(Place { host, port })
    }

    /// True where a name cannot have been made to point here by somebody else.
    fn is_ours(&self, names: &[String]) -> bool {
        match &self.host {
            Host::Addr(_) => true,
            Host::Name(name) => name == "localhost" || names.contains(name),
        }
    }
}

impl Host {
    fn name(text: &str) -> Option<Self> {
        if let Ok(addr) = text.parse::<std::net::Ipv4Addr>() {
            return Some(Host::Addr(addr.into()));
        }
        let name = text.strip_suffix('.').unwrap_or(text).to_ascii_lowercase();
        let fits = |octet: u8| octet.is_ascii_alphanumeric() || b"-_.".contains(&octet);
        (!name.is_empty() && name.bytes().all(fits)).then_some(Host::Name(name))
    }
}

/// Whether a request is answered. `names`: those of `api-hosts`; `None` where nobody comes by a name, over the
/// Unix socket.
pub(super) fn check(
    method: &Method,
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    names: Option<&[String]>,
) -> Result<(), Denied> {
    let place = host(uri, version, headers, names)?;
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return Ok(());
    }
    for site in headers.get_all(SEC_FETCH_SITE) {
        if site != "same-origin" && site != "none" {
            let site = String::from_utf8_lossy(site.as_bytes()).into_owned();
            return Err(Denied::OtherOrigin(format!("Sec-Fetch-Site is {site}")));
        }
    }
    for origin in headers.get_all(header::ORIGIN) {
        if !is_own(origin.to_str().unwrap_or_default(), place.as_ref()) {
            let origin = String::from_utf8_lossy(origin.as_bytes()).into_owned();
            return Err(Denied::OtherOrigin(format!("Origin is {origin}")));
        }
    }
    Ok(())
}

/// The server that the request means.
fn host(
    uri: &Uri,
    version: Version,
    headers: &HeaderMap,
    names: Option<&[String]>,
) -> Result<Option<Place>, Denied> {
    let mut hosts = headers.get_all(header::HOST).iter();
    let (host, more) = (hosts.next(), hosts.next());
    let text = match (uri.authority(), host) {
        (Some(authority), _) => Some(authority.as_str()),
        (None, Some(host)) => Some(host.to_str().map_err(|_| Denied::NoHost)?),
        (None, None) => None,
    };
    let place = text.and_then(Place::parse);
    let Some(names) = names else {
        return Ok(place);
    };
    // HTTP/1.0 knows no Host, and no browser speaks it.
    if more.is_some() || (host.is_none() && version != Version::HTTP_10) {
        return Err(Denied::NoHost);
    }
    match (place, text) {
        (Some(place), _) if place.is_ours(names) => Ok(Some(place)),
        (_, Some(text)) => Err(Denied::OtherHost(text.to_owned())),
        (_, None) => Ok(None),
    }
}

/// True where a page comes from the server that the request means.
fn is_own(origin: &str, place: Option<&Place>) -> bool {
    let (rest, usual) = match origin.split_once("://") {
        Some(("http", rest)) => (rest, 80),
        Some(("https", rest)) => (rest, 443),
        _ => return false,
    };
    match (Place::parse(rest), place) {
        (Some(from), Some(place)) => {
            from.host == place.host && from.port.unwrap_or(usual) == place.port.unwrap_or(usual)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    const HERE: &str = "127.0.0.1:8179";

    fn ask(method: &Method, headers: &[(&'static str, &str)], tcp: bool) -> Result<(), Denied> {
        let mut map = HeaderMap::new();
        for (name, value) in headers {
            map.append(*name, HeaderValue::from_str(value).unwrap());
        }
        let names = ["rs1.example".to_owned()];
        let names = tcp.then_some(&names[..]);
        check(
            method,
            &Uri::from_static("/v1/reload"),
            Version::HTTP_11,
            &map,
            names,
        )
    }

    fn get(host: &str) -> Result<(), Denied> {
        ask(&Method::GET, &[("host", host)], true)
    }

    fn post(host: &str, origin: &str) -> Result<(), Denied> {
        ask(&Method::POST, &[("host", host), ("origin", origin)], true)
    }

    #[test]
    fn addresses_and_known_names_are_answered() {
        for host in [
            HERE,
            "127.0.0.1",
            "192.0.2.7:80",
            "[::1]",
            "[::1]:8179",
            "[fe80::1%eth0]:1",
            "localhost",
            "LocalHost:8179",
            "localhost.",
            "rs1.example",
            "RS1.example:99",
            "127.0.0.1:",
        ] {
            assert_eq!(get(host), Ok(()), "{host}");
        }
    }

    #[test]
    fn other_names_are_refused() {
        for host in [
            "evil.example",
            "evil.example:8179",
            "rs1.example.evil",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "2130706433",
            "0x7f.1",
            "127.1",
            "::1",
            "[::1",
            "[::1]x",
            "user@127.0.0.1",
            "127.0.0.1:x",
            "127.0.0.1:1:2",
            "",
            "127.0.0.1 ",
            "a/b",
            ".",
        ] {
            assert_eq!(get(host), Err(Denied::OtherHost(host.to_owned())), "{host}");
        }
    }

    #[test]
    fn a_request_says_once_which_server_it_means() {
        assert_eq!(ask(&Method::GET, &[], true), Err(Denied::NoHost));
        let twice = [("host", HERE), ("host", HERE)];
        assert_eq!(ask(&Method::GET, &twice, true), Err(Denied::NoHost));
        let old = |uri: &'static str, map: &HeaderMap| {
            check(
                &Method::GET,
                &Uri::from_static(uri),
                Version::HTTP_10,
                map,
                Some(&[]),
            )
        };
        assert_eq!(old("/metrics", &HeaderMap::new()), Ok(()));
        let mut map = HeaderMap::new();
        map.insert("host", HeaderValue::from_static(HERE));
        let whole = old("http://evil.example/metrics", &map);
        assert_eq!(whole, Err(Denied::OtherHost("evil.example".into())));
    }

    #[test]
    fn the_unix_socket_takes_any_host() {
        assert_eq!(ask(&Method::GET, &[("host", "thruway")], false), Ok(()));
        assert_eq!(ask(&Method::POST, &[], false), Ok(()));
        let page = [("host", "a.example"), ("origin", "https://b.example")];
        assert!(ask(&Method::POST, &page, false).is_err());
    }

    #[test]
    fn pages_of_somewhere_else_change_nothing() {
        for origin in [
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:8180",
            "http://127.0.0.2:8179",
            "http://localhost:8179",
            "https://127.0.0.1",
            "null",
            "",
            "127.0.0.1:8179",
            "file://127.0.0.1:8179",
            "http://127.0.0.1:8179.evil.example",
            "http://x@127.0.0.1:8179",
        ] {
            assert!(post(HERE, origin).is_err(), "{origin}");
            let read = [("host", HERE), ("origin", origin)];
            assert_eq!(ask(&Method::GET, &read, true), Ok(()), "{origin}");
        }
        for site in ["cross-site", "same-site", "other"] {
            let page = [("host", HERE), ("sec-fetch-site", site)];
            for method in [Method::POST, Method::PUT, Method::DELETE, Method::PATCH] {
                assert!(ask(&method, &page, true).is_err(), "{site}");
            }
            assert_eq!(ask(&Method::GET, &page, true), Ok(()));
        }
    }

    #[test]
    fn its_own_pages_and_the_command_line_do() {
        assert_eq!(post(HERE, "http://127.0.0.1:8179"), Ok(()));
        assert_eq!(post("127.0.0.1", "http://127.0.0.1"), Ok(()));
        assert_eq!(post("127.0.0.1:80", "http://127.0.0.1"), Ok(()));
        assert_eq!(post("rs1.example", "https://RS1.example"), Ok(()));
        assert_eq!(post("[::1]:8179", "http://[0::1]:8179"), Ok(()));
        assert_eq!(ask(&Method::POST, &[("host", HERE)], true), Ok(()));
        for site in ["same-origin", "none"] {
            let page = [("host", HERE), ("sec-fetch-site", site)];
            assert_eq!(ask(&Method::POST, &page, true), Ok(()), "{site}");
        }
    }
}
