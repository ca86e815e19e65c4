//! Frames of RFC 4571 2: a length of two bytes, then so many bytes of one datagram.

/// The largest frame that is taken: as the largest datagram.
pub const FRAME_BYTES_MAX: usize = 2000;

/// Bytes of the length in front of a frame.
pub(super) const PREFIX_BYTES: usize = 2;

/// A frame that is longer than [`FRAME_BYTES_MAX`]; what follows cannot be read either.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Oversize;

/// Hands every whole frame at the beginning of `bytes` to `take`, and returns how many bytes those were.
///
/// An empty frame carries nothing and is passed over.
pub(super) fn split(bytes: &[u8], take: &mut dyn FnMut(&[u8])) -> Result<usize, Oversize> {
    let mut done = 0;
    while let Some((prefix, rest)) = bytes.get(done..).and_then(|rest| rest.split_first_chunk()) {
        let len = length(*prefix)?;
        let Some(frame) = rest.get(..len) else { break };
        if !frame.is_empty() {
            take(frame);
        }
        done += PREFIX_BYTES + len;
    }
    Ok(done)
}

/// Reads a length.
pub(super) fn length(prefix: [u8; PREFIX_BYTES]) -> Result<usize, Oversize> {
    let len = usize::from(u16::from_be_bytes(prefix));
    if len > FRAME_BYTES_MAX { Err(Oversize) } else { Ok(len) }
}

/// Appends one datagram as a frame; one that no length can say is left out.
pub(super) fn append(out: &mut Vec<u8>, datagram: &[u8]) -> bool {
    let Ok(len) = u16::try_from(datagram.len()) else { return false };
    out.extend_from_slice(&len.to_be_bytes());
    out.extend_from_slice(datagram);
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(bytes: &[u8]) -> (Vec<Vec<u8>>, Result<usize, Oversize>) {
        let mut taken = Vec::new();
        let done = split(bytes, &mut |frame| taken.push(frame.to_vec()));
        (taken, done)
    }

    #[test]
    fn what_was_framed_is_split_again_and_a_beginning_is_left() {
        let mut bytes = Vec::new();
        for datagram in [&b"one"[..], b"", b"three"] {
            assert!(append(&mut bytes, datagram));
        }
        let whole = bytes.len();
        for cut in 0..=whole {
            let (taken, done) = frames(&bytes[..cut]);
            let done = done.unwrap();
            assert!(done <= cut);
            assert_eq!(taken.len(), usize::from(cut >= 5) + usize::from(cut >= whole), "{cut}");
        }
        bytes.extend_from_slice(&[0, 9, 1]);
        assert_eq!(frames(&bytes), (vec![b"one".to_vec(), b"three".to_vec()], Ok(whole)));
    }

    #[test]
    fn a_frame_above_the_bound_is_refused_before_its_bytes_come() {
        let largest = u16::try_from(FRAME_BYTES_MAX).unwrap();
        assert_eq!(frames(&largest.to_be_bytes()).1, Ok(0));
        assert_eq!(frames(&(largest + 1).to_be_bytes()).1, Err(Oversize));
        assert!(!append(&mut Vec::new(), &vec![0; 65_536]));
    }
}
