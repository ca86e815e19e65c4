//! The framing of a handshake: DTLS records and the messages in them, as far as they are in the clear.

/// Content type of handshake messages (RFC 5246 6.2.1).
const HANDSHAKE: u8 = 22;
/// Type, version, epoch, number, length (RFC 6347 4.1).
const RECORD_HEADER: usize = 13;
/// Type, length of the message, its number, offset and length of the fragment (RFC 6347 4.2.2).
pub(super) const MESSAGE_HEADER: usize = 12;

/// Types of handshake messages (RFC 5246 7.4, RFC 8446 4).
pub(super) mod kind {
    pub(in crate::session::dtls) const CLIENT_HELLO: u8 = 1;
    pub(in crate::session::dtls) const SERVER_HELLO: u8 = 2;
    pub(in crate::session::dtls) const CERTIFICATE: u8 = 11;
    pub(in crate::session::dtls) const SERVER_KEY_EXCHANGE: u8 = 12;
    pub(in crate::session::dtls) const CERTIFICATE_REQUEST: u8 = 13;
    pub(in crate::session::dtls) const CERTIFICATE_VERIFY: u8 = 15;
}

/// Whether a DTLS datagram belongs to a handshake: it begins with a message of it in the clear or with the change of ciphers
/// (RFC 6347 4.1), or with a record of 1.3 under the keys of the handshake, which are those of epoch 2 (RFC 9147 4, 6.1).
pub(in crate::session) fn is_handshake(contents: &[u8]) -> bool {
    contents.first().is_some_and(|first| [20, 22].contains(first) || first & 0b1110_0011 == 0b0010_0010)
}

/// A handshake message, or a part of one.
#[derive(Debug, Clone, Copy)]
pub(super) struct Fragment<'a> {
    pub(super) kind: u8,
    /// Length of the whole message.
    length: usize,
    /// Where this part begins.
    pub(super) offset: usize,
    pub(super) body: &'a [u8],
}

impl Fragment<'_> {
    /// Whether it is the whole message.
    pub(super) fn is_whole(&self) -> bool {
        self.offset == 0 && self.length == self.body.len()
    }
}

/// Reads a fragment from the start of a record. Returns its header as well, and what follows.
pub(super) fn fragment(bytes: &[u8]) -> Option<(&[u8; MESSAGE_HEADER], Fragment<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<MESSAGE_HEADER>()?;
    let [kind, length @ .., _, _, a, b, c, d, e, f] = header;
    let [x, y, z] = *length;
    let (body, rest) = rest.split_at_checked(number(&[*d, *e, *f]))?;
    let (length, offset) = (number(&[x, y, z]), number(&[*a, *b, *c]));
    Some((header, Fragment { kind: *kind, length, offset, body }, rest))
}

/// Writes a datagram anew with some of its handshake messages changed.
///
/// `edit` gives the new body of a fragment, or nothing. Another length is taken for whole messages alone. Returns
/// whether anything was changed; what is no plain handshake record is copied as it is.
pub(super) fn rewrite(
    datagram: &[u8],
    out: &mut Vec<u8>,
    mut edit: impl FnMut(&Fragment<'_>) -> Option<Vec<u8>>,
) -> bool {
    out.clear();
    let (mut rest, mut changed) = (datagram, false);
    while let Some((header, body, after)) = record(rest) {
        // Epoch 0 is in the clear.
        let [content, _, _, 0, 0, ..] = header else { break };
        let at = out.len();
        out.extend_from_slice(header);
        if *content != HANDSHAKE || !rewrite_messages(body, out, &mut edit) {
            out.truncate(at + RECORD_HEADER);
            out.extend_from_slice(body);
        } else if let Some(length) = out.get_mut(at + RECORD_HEADER - 2..) {
            let written = length.len() - 2;
            set(length, u16::try_from(written).unwrap_or(u16::MAX).to_be_bytes());
            changed = true;
        }
        rest = after;
    }
    out.extend_from_slice(rest);
    changed
}

fn rewrite_messages(
    mut body: &[u8],
    out: &mut Vec<u8>,
    edit: &mut impl FnMut(&Fragment<'_>) -> Option<Vec<u8>>,
) -> bool {
    let mut changed = false;
    while let Some((header, part, rest)) = fragment(body) {
        let new = edit(&part).filter(|new| part.is_whole() || new.len() == part.body.len());
        out.extend_from_slice(header);
        if let Some(new) = &new {
            let at = out.len() - MESSAGE_HEADER;
            if part.is_whole()
                && let Some(header) = out.get_mut(at..)
            {
                let [_, high, middle, low] = u32::try_from(new.len()).unwrap_or_default().to_be_bytes();
                set(header.get_mut(1..).unwrap_or_default(), [high, middle, low]);
                set(header.get_mut(9..).unwrap_or_default(), [high, middle, low]);
            }
        }
        changed |= new.is_some();
        out.extend_from_slice(new.as_deref().unwrap_or(part.body));
        body = rest;
    }
    out.extend_from_slice(body);
    changed
}

fn record(bytes: &[u8]) -> Option<(&[u8; RECORD_HEADER], &[u8], &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER>()?;
    let [.., high, low] = header;
    let (body, rest) = rest.split_at_checked(number(&[*high, *low]))?;
    Some((header, body, rest))
}

/// Overwrites the first bytes, if there are so many.
pub(super) fn set<const N: usize>(bytes: &mut [u8], new: [u8; N]) {
    if let Some(first) = bytes.first_chunk_mut::<N>() {
        *first = new;
    }
}

/// Reads a number in network order.
pub(super) fn number(bytes: &[u8]) -> usize {
    bytes.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte))
}

/// A vector whose length stands before it in `N` bytes, and what follows.
pub(super) fn counted<const N: usize>(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (length, rest) = bytes.split_at_checked(N)?;
    rest.split_at_checked(number(length))
}

/// Writes such a vector.
pub(super) fn count<const N: usize>(out: &mut Vec<u8>, bytes: &[u8]) {
    let length = bytes.len().to_be_bytes();
    out.extend(length.iter().skip(length.len() - N));
    out.extend_from_slice(bytes);
}
