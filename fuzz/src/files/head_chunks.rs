//! Head chunk files.

use std::path::Path;
use std::sync::Arc;

use super::{DIR, file};
use tsdb::chunk::Encoding;
use tsdb::head_chunks::{ChunkKind, ChunkRef, FILE_HEADER_BYTES, HeadChunks, read_chunks};

/// The chunks that are found can be read, and are the same after they were written; as the bytes are, and as one chunk
/// after a header with the right checksum.
pub fn check(data: &[u8]) {
    read_and_write(data);
    let header = [0x01, 0x30, 0xBC, 0x91, 1, 0, 0, 0];
    let crc = crc32c::crc32c(data).to_be_bytes();
    read_and_write(&[&header[..], data, &crc].concat());
}

/// All files are read from their beginning.
const START: ChunkRef = ChunkRef::from_number(0);

type Found = Vec<(u64, i64, Encoding, bool, Vec<u8>)>;

fn read_and_write(bytes: &[u8]) {
    let mut found = Found::new();
    let prefix = read_chunks(bytes, 1, FILE_HEADER_BYTES, |chunk, data| {
        let meta = chunk.meta;
        let is_late = chunk.is_out_of_order;
        found.push((
            chunk.series_id,
            meta.mint,
            meta.encoding,
            is_late,
            data.to_vec(),
        ));
    });
    let content: usize = found.iter().map(|chunk| chunk.4.len()).sum();
    assert!(content <= bytes.len());
    assert!(prefix.is_some() || found.is_empty());
    // What a start makes of it.
    let files = file("chunks_head/000001", bytes);
    let dir = Path::new(DIR).join("chunks_head");
    let mut refs = Vec::new();
    let opened = HeadChunks::open(Arc::clone(&files), &dir, START, None, |chunk| {
        refs.push(chunk.meta.chunk)
    });
    let (chunks, _) = opened.expect("memory takes it");
    // What comes after damage is set aside.
    assert!(refs.len() <= found.len());
    for (chunk, found) in refs.iter().zip(&found) {
        assert_eq!(*chunks.read(*chunk).expect("it was found"), *found.4);
        let kind = ChunkKind {
            encoding: found.2,
            is_out_of_order: found.3,
        };
        let copy = chunks.append(found.0, found.1, found.1, kind, &found.4);
        assert_eq!(*chunks.read(copy).expect("it was just written"), *found.4);
    }
}

/// A file with a chunk and zeros behind, and the bytes of a chunk before its checksum.
pub fn seeds() -> Vec<Vec<u8>> {
    let files = file("unused", b"");
    let dir = Path::new(DIR).join("chunks_head");
    let (chunks, _) =
        HeadChunks::open(Arc::clone(&files), &dir, START, None, |_| ()).expect("memory takes it");
    for id in 1..4 {
        let kind = ChunkKind::in_order(Encoding::Xor);
        chunks.append(id, 5, 10, kind, &[0, 2, 1, 2, 3, 4, 5]);
    }
    chunks.write_out(true).expect("memory takes it");
    let mut whole = files
        .map(&dir.join("000001"))
        .expect("it was just written")
        .to_vec();
    let one = whole[FILE_HEADER_BYTES..FILE_HEADER_BYTES + 33].to_vec();
    whole.extend([0; 64]);
    vec![whole, one]
}
