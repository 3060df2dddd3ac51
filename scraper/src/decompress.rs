//! Compressed bodies: gzip and zstd into a reused buffer, with a bound on the result.
//!
//! The states of both decoders are kept between scrapes; that is why gzip's frame is read here and only the deflate
//! stream inside is left to flate2.

use flate2::{Crc, Decompress, FlushDecompress, Status};
use zstd::stream::raw::{DParameter, InBuffer, Operation, OutBuffer};

/// Why a body cannot be decompressed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum DecompressError {
    /// It is longer than allowed.
    #[error("body size limit exceeded")]
    TooLong,
    /// It is not what its header says.
    #[error("invalid {0} body: {1}")]
    Invalid(&'static str, String),
    /// It is compressed in a way that was not asked for.
    #[error("unsupported Content-Encoding {0:?}")]
    Unsupported(String),
}

/// The states of the decoders.
#[derive(Default)]
pub(crate) struct Decompressor {
    deflate: Option<Box<Decompress>>,
    zstd: Option<zstd::stream::raw::Decoder<'static>>,
}

/// The largest zstd window: 8 MiB, what RFC 8878 asks every decoder to support. A frame says how much memory it wants.
const ZSTD_WINDOW_LOG_MAX: u32 = 23;
/// How much room the output gets at least in each step.
const STEP_BYTES: usize = 16 * 1024;

impl Decompressor {
    /// Replaces `out` by the contents of the gzip file `input`.
    pub(crate) fn gzip(
        &mut self,
        input: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        out.clear();
        let mut rest = input;
        loop {
            rest = self.gzip_member(rest, bytes_max, out)?;
            // What follows a member and is not another one is padding.
            if !rest.starts_with(&[0x1f, 0x8b]) {
                return Ok(());
            }
        }
    }

    fn gzip_member<'i>(
        &mut self,
        input: &'i [u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<&'i [u8], DecompressError> {
        let start = out.len();
        let mut rest = gzip_header(input).ok_or_else(|| invalid_gzip("bad header"))?;
        let deflate = self
            .deflate
            .get_or_insert_with(|| Box::new(Decompress::new(false)));
        deflate.reset(false);
        loop {
            reserve(out, bytes_max)?;
            let before = (deflate.total_in(), out.len());
            let status = deflate
                .decompress_vec(rest, out, FlushDecompress::None)
                .map_err(|error| invalid_gzip(&error.to_string()))?;
            let taken = usize::try_from(deflate.total_in() - before.0).unwrap_or(rest.len());
            rest = &rest[taken..];
            match status {
                Status::StreamEnd => break,
                _ if bytes_max < out.len() => return Err(DecompressError::TooLong),
                _ if taken == 0 && out.len() == before.1 => {
                    return Err(invalid_gzip("unexpected end"));
                }
                _ => (),
            }
        }
        if bytes_max < out.len() {
            return Err(DecompressError::TooLong);
        }
        let (trailer, rest) = rest
            .split_at_checked(8)
            .ok_or_else(|| invalid_gzip("unexpected end"))?;
        let mut crc = Crc::new();
        crc.update(&out[start..]);
        if trailer[..4] != crc.sum().to_le_bytes() || trailer[4..] != crc.amount().to_le_bytes() {
            return Err(invalid_gzip("checksum mismatch"));
        }
        Ok(rest)
    }

    /// Replaces `out` by the contents of the zstd frames in `input`.
    pub(crate) fn zstd(
        &mut self,
        input: &[u8],
        bytes_max: usize,
        out: &mut Vec<u8>,
    ) -> Result<(), DecompressError> {
        let invalid = |error: std::io::Error| DecompressError::Invalid("zstd", error.to_string());
        out.clear();
        if self.zstd.is_none() {
            let mut decoder = zstd::stream::raw::Decoder::new().map_err(invalid)?;
            decoder
                .set_parameter(DParameter::WindowLogMax(ZSTD_WINDOW_LOG_MAX))
                .map_err(invalid)?;
            self.zstd = Some(decoder);
        }
        let decoder = self.zstd.as_mut().expect("made just above");
        decoder.reinit().map_err(invalid)?;
        let mut input = InBuffer::around(input);
        loop {
            reserve(out, bytes_max)?;
            let start = out.len();
            let consumed = input.pos();
            let hint = decoder
                .run(&mut input, &mut OutBuffer::around_pos(out, start))
                .map_err(invalid)?;
            let is_full = out.len() == out.capacity();
            if bytes_max < out.len() {
                return Err(DecompressError::TooLong);
            }
            if hint == 0 && input.pos() == input.src.len() {
                return Ok(());
            }
            if !is_full && consumed == input.pos() && out.len() == start {
                return Err(DecompressError::Invalid(
                    "zstd",
                    "unexpected end".to_owned(),
                ));
            }
        }
    }
}

/// Makes room for more; the buffer may get one step longer than allowed before that is noticed.
fn reserve(out: &mut Vec<u8>, bytes_max: usize) -> Result<(), DecompressError> {
    if bytes_max < out.len() {
        return Err(DecompressError::TooLong);
    }
    if out.capacity() - out.len() < STEP_BYTES {
        out.reserve(STEP_BYTES.max(out.len().min(bytes_max - out.len() + STEP_BYTES)));
    }
    Ok(())
}

fn invalid_gzip(reason: &str) -> DecompressError {
    DecompressError::Invalid("gzip", reason.to_owned())
}

/// Returns what comes after the header of a gzip member.
///
/// Source: RFC 1952, section 2.3.
fn gzip_header(input: &[u8]) -> Option<&[u8]> {
    let (fixed, mut rest) = input.split_at_checked(10)?;
    if fixed[..3] != [0x1f, 0x8b, 8] {
        return None;
    }
    let flags = fixed[3];
    if flags & 4 != 0 {
        let (length, after) = rest.split_at_checked(2)?;
        rest = after.get(usize::from(u16::from_le_bytes([length[0], length[1]]))..)?;
    }
    for text_flag in [8, 16] {
        if flags & text_flag != 0 {
            let end = rest.iter().position(|&byte| byte == 0)?;
            rest = &rest[end + 1..];
        }
    }
    if flags & 2 != 0 {
        rest = rest.get(2..)?;
    }
    Some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::io::Write as _;

    fn gzipped(body: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(body).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn both_ways_and_twice() {
        let body = b"up 1\n".repeat(100_000);
        let mut decompressor = Decompressor::default();
        let mut out = Vec::new();
        for _ in 0..2 {
            decompressor
                .gzip(&gzipped(&body), body.len(), &mut out)
                .unwrap();
            assert!(out == body);
            decompressor
                .zstd(
                    &zstd::encode_all(&body[..], 1).unwrap(),
                    body.len(),
                    &mut out,
                )
                .unwrap();
            assert!(out == body);
        }
    }

    #[test]
    fn members_follow_each_other() {
        let two = [gzipped(b"one "), gzipped(b"two")].concat();
        let mut out = Vec::new();
        Decompressor::default().gzip(&two, 100, &mut out).unwrap();
        assert_eq!(out, b"one two");
    }

    #[test]
    fn bombs_are_bounded() {
        let body = vec![0; 10 << 20];
        let mut out = Vec::new();
        let mut decompressor = Decompressor::default();
        assert_eq!(
            decompressor.gzip(&gzipped(&body), 100_000, &mut out),
            Err(DecompressError::TooLong)
        );
        assert!(out.capacity() < 1 << 20);
        let bomb = zstd::encode_all(&body[..], 1).unwrap();
        assert_eq!(
            decompressor.zstd(&bomb, 100_000, &mut out),
            Err(DecompressError::TooLong)
        );
        assert!(out.capacity() < 1 << 20);
    }

    #[test]
    fn windows_are_bounded() {
        let with_window = |log: u32| {
            let mut encoder = zstd::stream::Encoder::new(Vec::new(), 1).unwrap();
            encoder
                .set_parameter(zstd::stream::raw::CParameter::WindowLog(log))
                .unwrap();
            encoder.write_all(b"up ").unwrap();
            // The encoder does not know how little will come, and so the window stays as it is.
            encoder.flush().unwrap();
            encoder.write_all(b"1\n").unwrap();
            encoder.finish().unwrap()
        };
        let mut decompressor = Decompressor::default();
        let mut out = Vec::new();
        // The bound outlives the decoder's reuse.
        for _ in 0..2 {
            assert_eq!(decompressor.zstd(&with_window(23), 100, &mut out), Ok(()));
            assert_eq!(out, b"up 1\n");
            assert!(decompressor.zstd(&with_window(24), 100, &mut out).is_err());
        }
    }

    #[test]
    fn damage_is_noticed() {
        let mut out = Vec::new();
        let whole = gzipped(b"up 1\n");
        let mut wrong_sum = whole.clone();
        let at = wrong_sum.len() - 5;
        wrong_sum[at] ^= 1;
        let mut decompressor = Decompressor::default();
        assert!(decompressor.gzip(&wrong_sum, 100, &mut out).is_err());
        for end in 0..whole.len() {
            assert!(
                decompressor.gzip(&whole[..end], 100, &mut out).is_err(),
                "{end}"
            );
        }
        let whole = zstd::encode_all(&b"up 1\n"[..], 1).unwrap();
        for end in 0..whole.len() {
            assert!(
                decompressor.zstd(&whole[..end], 100, &mut out).is_err(),
                "{end}"
            );
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_do_no_harm(body in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut decompressor = Decompressor::default();
            let mut out = Vec::new();
            let _ = decompressor.gzip(&[&[0x1f, 0x8b, 8, 0][..], &body].concat(), 1_000, &mut out);
            let _ = decompressor.zstd(&[&[0x28, 0xb5, 0x2f, 0xfd][..], &body].concat(), 1_000, &mut out);
        }
    }
}
