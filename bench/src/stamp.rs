//! The mark at the end of every synthetic payload: who sent it, as which packet, when, and a checksum.
//!
//! The mark stands at the end, so that it is found whatever a payload descriptor in front of it looks like. A
//! forwarder may rewrite the descriptor: the checksum begins behind it.
//!
//! ```text
//! | descriptor | filler … | magic 2 | layer 1 | flags 1 | source 4 | counter 8 | sent 8 | checksum 4 |
//! ```

/// Length of the mark.
pub const STAMP_BYTES: usize = 28;

const MAGIC: [u8; 2] = [0x52, 0xca];
const KEYFRAME: u8 = 1;

/// What a payload says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Stamp {
    /// The source, unique in a run.
    pub source: u32,
    /// Simulcast layer of the source.
    pub layer: u8,
    /// Whether the packet begins a keyframe.
    pub keyframe: bool,
    /// Counts the packets of this layer from 0, without gaps.
    pub counter: u64,
    /// Nanoseconds from the epoch of the run to the sending.
    pub sent: u64,
}

/// Why a payload is not as it was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Corrupt;

impl Stamp {
    /// Writes the mark over the last bytes of `payload`; `descriptor` bytes in front are left out of the checksum.
    pub fn write(&self, payload: &mut [u8], descriptor: usize) {
        let Some(start) = payload.len().checked_sub(STAMP_BYTES) else { return };
        let mut mark = [0; STAMP_BYTES - 4];
        let flags = if self.keyframe { KEYFRAME } else { 0 };
        let fields = MAGIC
            .into_iter()
            .chain([self.layer, flags])
            .chain(self.source.to_be_bytes())
            .chain(self.counter.to_be_bytes())
            .chain(self.sent.to_be_bytes());
        mark.iter_mut().zip(fields).for_each(|(to, from)| *to = from);
        if let Some(space) = payload.get_mut(start..start + mark.len()) {
            space.copy_from_slice(&mark);
        }
        let sum = checksum(payload.get(descriptor..payload.len() - 4).unwrap_or_default());
        if let Some(space) = payload.last_chunk_mut::<4>() {
            *space = sum.to_be_bytes();
        }
    }

    /// Reads the mark of a payload.
    ///
    /// # Errors
    /// When there is none, or a byte behind the descriptor is not as it was sent.
    pub fn read(payload: &[u8], descriptor: usize) -> Result<Self, Corrupt> {
        let mark = payload.last_chunk::<STAMP_BYTES>().ok_or(Corrupt)?;
        let sum = payload.last_chunk::<4>().ok_or(Corrupt)?;
        let covered = payload.get(descriptor..payload.len() - 4).ok_or(Corrupt)?;
        if !mark.starts_with(&MAGIC) || checksum(covered).to_be_bytes() != *sum {
            return Err(Corrupt);
        }
        let [_, _, layer, flags, rest @ ..] = mark;
        let (source, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let (counter, rest) = rest.split_first_chunk().ok_or(Corrupt)?;
        let (sent, _) = rest.split_first_chunk().ok_or(Corrupt)?;
        Ok(Self {
            source: u32::from_be_bytes(*source),
            layer: *layer,
            keyframe: flags & KEYFRAME != 0,
            counter: u64::from_be_bytes(*counter),
            sent: u64::from_be_bytes(*sent),
        })
    }
}

/// Mixes eight bytes a step: finds damage, not malice.
fn checksum(bytes: &[u8]) -> u32 {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let (words, rest) = bytes.as_chunks::<8>();
    let mut sum = bytes.len() as u64;
    for word in words {
        sum = (sum ^ u64::from_le_bytes(*word)).wrapping_mul(FACTOR);
        sum ^= sum >> 29;
    }
    for byte in rest {
        sum = (sum ^ u64::from(*byte)).wrapping_mul(FACTOR);
        sum ^= sum >> 29;
    }
    (sum >> 32) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAMP: Stamp = Stamp { source: 7, layer: 2, keyframe: true, counter: 1 << 40, sent: 123_456_789 };

    #[test]
    fn what_is_written_is_read() {
        let mut payload = vec![3; 100];
        STAMP.write(&mut payload, 6);
        assert_eq!(Stamp::read(&payload, 6), Ok(STAMP));
    }

    #[test]
    fn any_changed_byte_behind_the_descriptor_is_found() {
        let mut payload = vec![3; 64];
        STAMP.write(&mut payload, 6);
        for index in 0..payload.len() {
            payload[index] ^= 0x10;
            assert_eq!(Stamp::read(&payload, 6).is_ok(), index < 6, "{index}");
            payload[index] ^= 0x10;
        }
    }

    #[test]
    fn a_payload_without_room_has_no_mark() {
        let mut payload = vec![0; STAMP_BYTES - 1];
        STAMP.write(&mut payload, 0);
        assert_eq!(Stamp::read(&payload, 0), Err(Corrupt));
        assert_eq!(Stamp::read(&[], 6), Err(Corrupt));
    }
}
