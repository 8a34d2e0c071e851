//! Docker's multiplexed log stream: each piece is a header of eight bytes, which says how many bytes follow.

#[cfg(any(test, fuzzing))]
pub mod laws;

/// A longer piece is passed on in parts, so that no header can make the reader buffer more.
const MAX_PART: usize = 64 * 1024;

const HEADER: usize = 8;

/// Splits a stream into pieces, wherever its chunks end. A header may contain any byte, including a newline.
#[derive(Default)]
pub(super) struct Frames {
    header: [u8; HEADER],
    /// How much of the header has been read.
    headed: usize,
    /// How many bytes of the piece are still to come.
    missing: usize,
    part: Vec<u8>,
}

impl Frames {
    /// Passes on each piece when it is complete, or a part of it once it has the maximum length.
    pub(super) fn push(&mut self, mut bytes: &[u8], mut each: impl FnMut(&[u8])) {
        while !bytes.is_empty() {
            if self.headed < HEADER {
                let count = bytes.len().min(HEADER - self.headed);
                let (begin, rest) = bytes.split_at(count);
                self.header[self.headed..self.headed + count].copy_from_slice(begin);
                self.headed += count;
                bytes = rest;
                if self.headed == HEADER {
                    let [_, _, _, _, length @ ..] = self.header;
                    self.missing = usize::try_from(u32::from_be_bytes(length)).unwrap_or(usize::MAX);
                    self.finish_if_whole(&mut each);
                }
                continue;
            }
            let count = bytes.len().min(self.missing).min(MAX_PART - self.part.len());
            let (begin, rest) = bytes.split_at(count);
            self.part.extend_from_slice(begin);
            self.missing -= count;
            bytes = rest;
            if self.part.len() == MAX_PART && self.missing > 0 {
                each(&self.part);
                self.part.clear();
            }
            self.finish_if_whole(&mut each);
        }
    }

    fn finish_if_whole(&mut self, each: &mut impl FnMut(&[u8])) {
        if self.missing == 0 {
            each(&self.part);
            self.part.clear();
            self.headed = 0;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::{laws::pieces_of, *};

    fn stream_of(pieces: &[Vec<u8>]) -> Vec<u8> {
        let mut stream = Vec::new();
        for (number, piece) in pieces.iter().enumerate() {
            stream.extend_from_slice(&[u8::try_from(number % 3).unwrap(), 0, 0, 0]);
            stream.extend_from_slice(&u32::try_from(piece.len()).unwrap().to_be_bytes());
            stream.extend_from_slice(piece);
        }
        stream
    }

    #[test]
    fn a_length_with_a_newline_in_it_is_a_length() {
        let piece = vec![b'x'; 0x0A0A];
        assert_eq!(pieces_of([stream_of(&[piece.clone(), b"y".to_vec()]).as_slice()]), [piece, b"y".to_vec()]);
    }

    #[test]
    fn a_long_piece_comes_in_parts_and_a_huge_length_keeps_nothing() {
        let long = vec![b'x'; MAX_PART * 2 + 1];
        let lengths: Vec<usize> = pieces_of([stream_of(&[long]).as_slice()]).iter().map(Vec::len).collect();
        assert_eq!(lengths, [MAX_PART, MAX_PART, 1]);
        let mut frames = Frames::default();
        frames.push(&[1, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, b'x'], |_| panic!("nothing is whole"));
        assert!(frames.part.capacity() < MAX_PART);
    }

    proptest! {
        #[test]
        fn any_cut_of_the_stream_gives_the_same_pieces(
            pieces in vec(vec(any::<u8>(), 0..3000), 0..8),
            cuts in vec(0_usize..20_000, 0..40),
        ) {
            let stream = stream_of(&pieces);
            let mut at: Vec<usize> = cuts.into_iter().map(|cut| cut % (stream.len() + 1)).collect();
            at.extend([0, stream.len()]);
            at.sort_unstable();
            let parts = at.windows(2).map(|ends| &stream[ends[0]..ends[1]]);
            prop_assert_eq!(pieces_of(parts), pieces);
        }

        #[test]
        fn bytes_that_are_no_such_stream_are_survived(bytes in vec(any::<u8>(), 0..5000), cut in 0_usize..5000) {
            laws::hold(&bytes, cut);
        }
    }
}
