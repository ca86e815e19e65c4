//! Where clients reach us, and from where: what a proxy in front changes.
//!
//! `http.public_url` says it once and for all. Without it the word of a trusted proxy is taken: `X-Forwarded-Prefix` for
//! the path, `Forwarded` (RFC 7239) or `X-Forwarded-For`, `-Proto` and `-Host` for the rest. Anybody else may write these
//! headers, too, so from others they are not read.

use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::extract::FromRequestParts;
use axum::http::request::Parts;
use axum::http::{Extensions, HeaderMap};

use super::super::Control;
use super::super::serve::Peer;
use crate::config::{Http, Network};

/// Longest prefix and longest host that are taken from a header.
const TEXT_BYTES_MAX: usize = 256;
/// Hops of a chain of proxies that are looked at.
const HOPS_MAX: usize = 16;

/// How a client has come to us.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Base {
    /// What stands before our paths in the addresses that we send: the public URL, or a path.
    front: String,
    /// Scheme and host under which the client sees us, if that is known.
    origin: Option<String>,
    /// Where the client is.
    pub(super) client: Option<IpAddr>,
    /// What counts as this client where it has to be told from others; absent for a proxy that names none.
    pub(super) stranger: Option<Network>,
}

impl Base {
    pub(super) fn of(http: &Http, extensions: &Extensions, headers: &HeaderMap) -> Self {
        let peer = extensions.get::<Peer>().map(|peer| peer.0.ip().to_canonical());
        let trusts = |address: IpAddr| http.trusted_proxies.iter().any(|network| network.contains(address));
        let told = match peer {
            Some(peer) if trusts(peer) => Told::read(headers, &http.trusted_proxies),
            _ => Told::default(),
        };
        let (front, origin) = match http.public_url.get() {
            Some(url) => (url.to_owned(), None),
            None => (told.prefix, told.origin),
        };
        let client = told.client.or(peer);
        let stranger = client.filter(|client| !trusts(*client)).map(Network::of_client);
        Self { front, origin, client, stranger }
    }

    /// The address of a path of ours as a client can use it: rooted, since that needs no proxy to tell the host right,
    /// or absolute where the configuration says what it is.
    pub(super) fn address(&self, path: &str) -> String {
        format!("{}{path}", self.front)
    }

    /// The address of everything, for those who look at it from elsewhere.
    pub(super) fn root(&self) -> String {
        let address = format!("{}{}", self.origin.as_deref().unwrap_or_default(), self.front);
        if address.is_empty() { "/".to_owned() } else { address }
    }
}

impl FromRequestParts<Arc<Control>> for Base {
    type Rejection = Infallible;

    async fn from_request_parts(parts: &mut Parts, control: &Arc<Control>) -> Result<Self, Infallible> {
        Ok(Self::of(&control.http, &parts.extensions, &parts.headers))
    }
}

/// What the headers of a trusted proxy say.
#[derive(Default)]
struct Told {
    prefix: String,
    origin: Option<String>,
    client: Option<IpAddr>,
}

impl Told {
    fn read(headers: &HeaderMap, trusted: &[Network]) -> Self {
        // A proxy behind another adds its own prefix at the end.
        let prefix = values(headers, "x-forwarded-prefix").filter_map(as_prefix).collect();
        let elements: Vec<&str> = values(headers, "forwarded").collect();
        let parameter = |element: &str, name: &str| {
            let pairs = element.split(';').filter_map(|pair| pair.trim().split_once('='));
            let found = pairs.filter(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
            found.map(|value| value.trim_matches('"').to_owned()).next()
        };
        let (hops, proto, host): (Vec<String>, _, _) = if let Some(nearest) = elements.last() {
            let hops = elements.iter().filter_map(|element| parameter(element, "for")).collect();
            (hops, parameter(nearest, "proto"), parameter(nearest, "host"))
        } else {
            let nearest = |name| values(headers, name).last().map(str::to_owned);
            let hops = values(headers, "x-forwarded-for").map(str::to_owned).collect();
            (hops, nearest("x-forwarded-proto"), nearest("x-forwarded-host"))
        };
        let origin = proto.zip(host).and_then(|(proto, host)| as_origin(&proto, &host));
        Self { prefix, origin, client: client_of(&hops, trusted) }
    }
}

/// The values of a header that is a list, in their order; quoted ones of `Forwarded` hold no comma in practice.
fn values<'a>(headers: &'a HeaderMap, name: &'a str) -> impl DoubleEndedIterator<Item = &'a str> {
    let lines = headers.get_all(name).iter().filter_map(|value| value.to_str().ok());
    let all: Vec<&str> = lines.flat_map(|line| line.split(',')).map(str::trim).collect();
    all.into_iter().filter(|value| !value.is_empty())
}

/// A path that can stand before ours. Two slashes at its begin would be another host.
fn as_prefix(text: &str) -> Option<&str> {
    let path = text.trim_end_matches('/');
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+:@=".contains(&byte);
    let usable = path.starts_with('/') && !path.starts_with("//") && path.len() <= TEXT_BYTES_MAX;
    (usable && path.bytes().all(allowed)).then_some(path)
}

fn as_origin(proto: &str, host: &str) -> Option<String> {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"-._:[]".contains(&byte);
    let usable = (1..=TEXT_BYTES_MAX).contains(&host.len()) && host.bytes().all(allowed);
    let proto = proto.to_ascii_lowercase();
    (usable && ["http", "https"].contains(&proto.as_str())).then(|| format!("{proto}://{host}"))
}

/// The nearest hop that is no proxy of ours: what stands before it, anybody can have written.
fn client_of(hops: &[String], trusted: &[Network]) -> Option<IpAddr> {
    let mut client = None;
    for hop in hops.iter().rev().take(HOPS_MAX) {
        let address = as_address(hop)?;
        client = Some(address);
        if !trusted.iter().any(|network| network.contains(address)) {
            break;
        }
    }
    client
}

/// An address, with or without a port (RFC 7239 6); `None` for names and for `unknown`.
fn as_address(text: &str) -> Option<IpAddr> {
    let bare = text.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(text);
    let address = bare.parse().ok().or_else(|| text.parse::<SocketAddr>().ok().map(|address| address.ip()));
    address.map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;
    use crate::config::PublicUrl;

    fn base(peer: Option<&str>, http: &Http, pairs: &[(&'static str, &str)]) -> Base {
        let (mut extensions, mut headers) = (Extensions::new(), HeaderMap::new());
        if let Some(peer) = peer {
            extensions.insert(Peer(peer.parse().unwrap()));
        }
        for (name, value) in pairs {
            headers.append(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap());
        }
        Base::of(http, &extensions, &headers)
    }

    const ALL: [(&str, &str); 4] = [
        ("x-forwarded-prefix", "/live/"),
        ("x-forwarded-proto", "https"),
        ("x-forwarded-host", "sfu.example:8443"),
        ("x-forwarded-for", "192.0.2.9, 203.0.113.7"),
    ];

    #[test]
    fn only_a_trusted_proxy_is_believed() {
        let http = Http::default();
        let believed = base(Some("127.0.0.1:5000"), &http, &ALL);
        assert_eq!(believed.address("/whip/a/b"), "/live/whip/a/b");
        assert_eq!(believed.root(), "https://sfu.example:8443/live");
        assert_eq!(believed.client, Some([203, 0, 113, 7].into()));
        for peer in [Some("192.0.2.1:5000"), Some("[2001:db8::1]:5000"), None] {
            let stranger = base(peer, &http, &ALL);
            assert_eq!((stranger.address("/whip"), stranger.root()), ("/whip".into(), "/".into()));
            let own = peer.map(|peer| peer.parse::<SocketAddr>().unwrap().ip());
            assert_eq!(stranger.client, own);
        }
        let none = Http { trusted_proxies: Vec::new(), ..Http::default() };
        assert_eq!(base(Some("127.0.0.1:5000"), &none, &ALL).root(), "/");
    }

    #[test]
    fn the_standard_header_goes_before_the_others() {
        let standard =
            ("forwarded", "for=192.0.2.9, for=\"[2001:db8::7]:4711\";proto=https;host=\"a.example\"");
        let seen = base(Some("[::1]:5000"), &Http::default(), &[&ALL[..], &[standard]].concat());
        assert_eq!(seen.root(), "https://a.example/live");
        assert_eq!(seen.client, Some("2001:db8::7".parse().unwrap()));
        let hidden = base(Some("[::1]:5000"), &Http::default(), &[("forwarded", "for=_hidden;proto=https")]);
        assert_eq!((hidden.root(), hidden.client), ("/".into(), Some("::1".parse().unwrap())));
    }

    #[test]
    fn a_chain_of_proxies_is_followed_as_far_as_it_is_trusted() {
        let networks = ["127.0.0.1", "10.0.0.0/8"].map(|text| Network::try_from(text.to_owned()).unwrap());
        let http = Http { trusted_proxies: networks.to_vec(), ..Http::default() };
        let client =
            |hops: &str| base(Some("127.0.0.1:1"), &http, &[("x-forwarded-for", hops)]).client.unwrap();
        assert_eq!(client("1.1.1.1, 203.0.113.7, 10.0.0.3"), IpAddr::from([203, 0, 113, 7]));
        assert_eq!(client("10.0.0.4, 10.0.0.3:80"), IpAddr::from([10, 0, 0, 4]));
        let prefixes = [("x-forwarded-prefix", "/outer"), ("x-forwarded-prefix", "/inner/")];
        assert_eq!(base(Some("127.0.0.1:1"), &http, &prefixes).address("/x"), "/outer/inner/x");
    }

    #[test]
    fn what_is_no_path_and_no_host_is_passed_over() {
        for bad in
            ["//evil.example", "evil.example", "/a b", "/a\"b", "/a>;rel=", &format!("/{}", "x".repeat(300))]
        {
            let seen = base(Some("127.0.0.1:1"), &Http::default(), &[("x-forwarded-prefix", bad)]);
            assert_eq!(seen.address("/x"), "/x", "{bad}");
        }
        for (proto, host) in [("ftp", "a"), ("https", "a/b"), ("https", ""), ("https", "a@b")] {
            let pairs = [("x-forwarded-proto", proto), ("x-forwarded-host", host)];
            assert_eq!(base(Some("127.0.0.1:1"), &Http::default(), &pairs).root(), "/", "{proto} {host}");
        }
    }

    #[test]
    fn the_public_url_of_the_configuration_goes_before_all() {
        let public_url = PublicUrl::try_from("https://sfu.example/media/".to_owned()).unwrap();
        let http = Http { public_url, ..Http::default() };
        for peer in [Some("127.0.0.1:1"), Some("192.0.2.1:1"), None] {
            let seen = base(peer, &http, &ALL);
            assert_eq!(seen.address("/whip/a/b"), "https://sfu.example/media/whip/a/b");
            assert_eq!(seen.root(), "https://sfu.example/media");
        }
    }
}
