//! An input as a list of pieces: a byte that says what it is, a length of two, and so many bytes.
//!
//! ```text
//! | kind 1 | length 2 | bytes | kind 1 | ...        what is cut off at the end counts as far as it goes
//! ```

/// Pieces of an input that are looked at.
pub const PIECES_MAX: usize = 64;

/// The longest piece: more than any datagram that is taken.
pub const PIECE_BYTES_MAX: usize = 4_000;

/// One piece.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// What it is, by the target.
    pub kind: u8,
    /// Its bytes.
    pub bytes: Vec<u8>,
}

/// Reads an input: any bytes are one.
pub fn read(mut input: &[u8]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    while let Some(([kind, high, low], rest)) = input.split_first_chunk()
        && pieces.len() < PIECES_MAX
    {
        let len = usize::from(u16::from_be_bytes([*high, *low])) % (PIECE_BYTES_MAX + 1);
        let (bytes, behind) = rest.split_at(len.min(rest.len()));
        pieces.push(Piece { kind: *kind, bytes: bytes.to_vec() });
        input = behind;
    }
    pieces
}

/// Writes pieces as an input.
pub fn write(pieces: &[Piece]) -> Vec<u8> {
    let mut input = Vec::new();
    for Piece { kind, bytes } in pieces {
        let bytes = &bytes[..bytes.len().min(PIECE_BYTES_MAX)];
        input.push(*kind);
        input.extend((bytes.len() as u16).to_be_bytes());
        input.extend(bytes);
    }
    input
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read_and_any_bytes_are_an_input() {
        let pieces: Vec<Piece> = (0..5).map(|kind| Piece { kind, bytes: vec![kind; 7] }).collect();
        let input = write(&pieces);
        assert_eq!(read(&input), pieces);
        for cut in 0..input.len() {
            assert!(read(&input[..cut]).len() <= pieces.len());
        }
        // 0xffff bytes are 1,519 of what a piece may have; with its head it takes 1,522.
        assert_eq!(read(&[0xff; 40_000]).len(), 40_000_usize.div_ceil(1_522));
    }
}
