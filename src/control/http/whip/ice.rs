//! ICE servers as `Link` headers (RFC 9725 4.6): one for each URL.

use axum::http::{HeaderMap, HeaderValue, header};

use super::super::super::Control;
use super::super::super::access::Right;
use super::super::super::access::apps::unix_now;

/// How long credentials live that come with a stream, seconds.
const TTL: u64 = 86_400;

/// Adds the configured servers, and a TURN server with credentials of its own. A stream that everybody may play gives
/// its viewers what strangers get.
pub(super) fn push_links(
    control: &Control,
    (app, stream): (&str, &str),
    access: Right,
    headers: &mut HeaderMap,
) {
    let is_open = access == Right::Whep
        && control.rules().apps.is_public(app, stream, control.parse_id(stream).is_some());
    let ttl = if is_open { control.rules().ice.public_ttl().min(TTL) } else { TTL };
    let servers = control.rules().ice.all(None, ttl, unix_now()).unwrap_or_else(|error| {
        tracing::warn!(%error, "ICE servers cannot be told");
        Vec::new()
    });
    for server in &servers {
        for url in &server.urls {
            let mut link = format!("<{url}>; rel=\"ice-server\"");
            if let (Some(username), Some(credential)) = (&server.username, &server.credential) {
                link.push_str(&format!(
                    "; username=\"{}\"; credential=\"{}\"; credential-type=\"password\"",
                    quoted(username),
                    quoted(credential),
                ));
            }
            match HeaderValue::try_from(link) {
                Ok(value) => {
                    headers.append(header::LINK, value);
                }
                Err(_) => tracing::warn!(url, "an ICE server cannot be written as a header"),
            }
        }
    }
}

/// The inside of a quoted string (RFC 9110 5.6.4).
fn quoted(text: &str) -> String {
    text.replace('\\', "\\\\").replace('"', "\\\"")
}

#[cfg(test)]
mod tests {
    #[test]
    fn quotes_inside_are_escaped() {
        assert_eq!(super::quoted(r#"a"b\c"#), r#"a\"b\\c"#);
    }
}
