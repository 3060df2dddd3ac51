//! Mutations of seeds, for where libFuzzer is not: the same for the same number.

/// Numbers that look random; the same for the same seed.
pub struct Numbers(u64);

impl Numbers {
    /// Starts at a seed.
    pub fn new(seed: u64) -> Self {
        Numbers(seed)
    }

    /// Returns the next number below `end`; 0 when that is 0.
    pub fn below(&mut self, end: usize) -> usize {
        // SplitMix64.
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        usize::try_from((x ^ (x >> 31)) >> 1).unwrap_or(0) % end.max(1)
    }

    fn byte(&mut self) -> u8 {
        const EXTREMES: [u8; 8] = [0, 1, 0x7f, 0x80, 0xff, 0xfe, 0x81, 0x40];
        match self.below(2) {
            0 => EXTREMES[self.below(EXTREMES.len())],
            _ => self.below(256).to_le_bytes()[0],
        }
    }
}

/// Changes bytes here and there, cuts, repeats, or joins with another of `seeds`.
pub fn mutate(seeds: &[Vec<u8>], numbers: &mut Numbers) -> Vec<u8> {
    let mut bytes = seeds[numbers.below(seeds.len())].clone();
    for _ in 0..=numbers.below(6) {
        let at = numbers.below(bytes.len() + 1);
        match numbers.below(8) {
            0 => bytes.truncate(at),
            1 => bytes.insert(at, numbers.byte()),
            2 => {
                let other = &seeds[numbers.below(seeds.len())];
                bytes.truncate(at);
                bytes.extend_from_slice(&other[numbers.below(other.len() + 1)..]);
            }
            3 => {
                let to = at + numbers.below((bytes.len() - at + 1).min(40));
                let part = bytes[at..to].to_vec();
                bytes.splice(at..at, part);
            }
            4 => {
                let to = at + numbers.below((bytes.len() - at + 1).min(40));
                bytes.drain(at..to);
            }
            5 => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << numbers.below(8);
                }
            }
            _ => {
                let value = numbers.byte();
                for byte in bytes.iter_mut().skip(at).take(1 + numbers.below(4)) {
                    *byte = value;
                }
            }
        }
    }
    bytes
}
