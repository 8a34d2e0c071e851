//! What holds for every log stream, whatever its bytes: for the property tests and the fuzzer.

use super::{Frames, MAX_PART};

/// Panics if the pieces depend on how the stream is cut, or if more comes out than went in.
pub fn hold(stream: &[u8], cut: usize) {
    let pieces = pieces_of([stream]);
    assert!(pieces.iter().map(Vec::len).sum::<usize>() <= stream.len());
    assert!(pieces.iter().all(|piece| piece.len() <= MAX_PART));
    let (first, rest) = stream.split_at(cut.min(stream.len()));
    assert_eq!(pieces_of([first, rest]), pieces);
    assert_eq!(pieces_of(stream.chunks(1)), pieces);
}

pub(super) fn pieces_of<'stream>(cuts: impl IntoIterator<Item = &'stream [u8]>) -> Vec<Vec<u8>> {
    let (mut frames, mut pieces) = (Frames::default(), Vec::new());
    for cut in cuts {
        frames.push(cut, |piece| pieces.push(piece.to_vec()));
    }
    pieces
}
