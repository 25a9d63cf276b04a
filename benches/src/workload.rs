//! The one place that says what is written: payloads of one size, and the mix that users report.

use bytes::Bytes;

/// The size of most records that are measured.
pub(crate) const RECORD_BYTES: usize = 1024;
/// The events of the store that the mix was counted in.
const EVENTS: usize = 27_706;
/// So many of them were below 64 KB.
const SMALL: usize = 27_193;
/// 1.3 % of them held 80 % of the bytes.
const FAT: usize = 360;
const LIMIT_OF_SMALL: usize = 64 << 10;
/// One record of this size, and several of a megabyte, are among the fat ones.
const HUGE_BYTES: usize = 11 << 20;
const LARGE_BYTES: usize = 1 << 20;

/// Text that looks like the lines of a session and does not compress to nothing.
fn text(bytes: usize, seed: u64) -> Vec<u8> {
    const WORDS: [&str; 16] = [
        "\"type\":\"message\",",
        "\"role\":\"assistant\",",
        "\"text\":",
        "lorem ipsum ",
        "dolor sit amet, ",
        "{\"id\":",
        "},",
        "[true,null,",
        "\\n",
        "consectetur ",
        "adipiscing ",
        "elit",
        "\"usage\":{",
        "\"path\":\"/src/main.rs\"",
        "let x = ",
        "fn main() ",
    ];
    let mut random = fastrand::Rng::with_seed(seed);
    let mut text = Vec::with_capacity(bytes + 32);
    while text.len() < bytes {
        text.extend_from_slice(WORDS[random.usize(..WORDS.len())].as_bytes());
        text.extend_from_slice(random.u32(..).to_string().as_bytes());
    }
    text.truncate(bytes);
    text
}

/// A payload of so many bytes, the same at every call.
pub fn payload(bytes: usize) -> Bytes {
    Bytes::from(text(bytes, 1))
}

/// The mix that users report: payloads in an order that the seed decides.
#[derive(Clone, Debug)]
pub struct Mix {
    payloads: Vec<Bytes>,
}

impl Mix {
    /// All of its events, or every so many-th of them; the one of 11 MB is always there.
    pub fn new(seed: u64, one_in: usize) -> Self {
        let mut random = fastrand::Rng::with_seed(seed);
        let source = payload(HUGE_BYTES);
        let mut sizes = sizes(&mut random, one_in.max(1));
        random.shuffle(&mut sizes);
        // Slices of one text: no candidate pays for making them.
        let mut slice = |bytes: usize| {
            let begin = random.usize(..=source.len() - bytes);
            source.slice(begin..begin + bytes)
        };
        Self { payloads: sizes.into_iter().map(&mut slice).collect() }
    }

    /// The payloads, in order.
    pub fn payloads(&self) -> &[Bytes] {
        &self.payloads
    }

    /// How many bytes they have in all.
    pub fn bytes(&self) -> u64 {
        self.payloads.iter().map(|payload| payload.len() as u64).sum()
    }
}

fn sizes(random: &mut fastrand::Rng, one_in: usize) -> Vec<usize> {
    let fat = FAT / one_in;
    let medium = (EVENTS - SMALL - FAT) / one_in;
    let small = SMALL / one_in;
    let mut sizes = Vec::with_capacity(fat + medium + small + 1);
    // Between 192 and 416 KB, some of a megabyte, and one of eleven.
    sizes.push(HUGE_BYTES);
    for n in 1..fat.max(2) {
        sizes.push(if n % 16 == 1 { LARGE_BYTES } else { random.usize(192 << 10..416 << 10) });
    }
    sizes.extend((0..medium).map(|_| random.usize(LIMIT_OF_SMALL..96 << 10)));
    // Log-uniform up to 2 KiB, and one in 256 anything below 64 KB.
    sizes.extend((0..small).map(|n| {
        if n % 256 == 0 {
            random.usize(2048..LIMIT_OF_SMALL)
        } else {
            log_uniform(random, 128, 2048)
        }
    }));
    sizes
}

#[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a size")]
fn log_uniform(random: &mut fastrand::Rng, from: usize, to: usize) -> usize {
    (from as f64 * (to as f64 / from as f64).powf(random.f64())) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sorted(mix: &Mix) -> Vec<usize> {
        let mut sizes: Vec<usize> = mix.payloads().iter().map(Bytes::len).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        sizes
    }

    #[test]
    fn the_mix_is_the_one_that_users_report() {
        for seed in 0..8 {
            let mix = Mix::new(seed, 1);
            let sizes = sorted(&mix);
            assert_eq!(sizes.len(), EVENTS, "seed {seed}");
            assert_eq!(sizes.iter().filter(|size| **size < LIMIT_OF_SMALL).count(), SMALL);
            let fat: usize = sizes[..FAT].iter().sum();
            let share = fat as f64 / mix.bytes() as f64;
            assert!((0.78..0.82).contains(&share), "seed {seed}: 1.3 % hold {share:.3}");
            assert_eq!(sizes[0], HUGE_BYTES);
            assert!(sizes.contains(&LARGE_BYTES));
        }
    }

    #[test]
    fn a_seed_gives_the_same_mix_again_and_a_part_of_it_has_a_huge_record_too() {
        assert_eq!(Mix::new(7, 100).payloads(), Mix::new(7, 100).payloads());
        assert_ne!(Mix::new(7, 100).payloads(), Mix::new(8, 100).payloads());
        let part = sorted(&Mix::new(7, 100));
        assert_eq!(part[0], HUGE_BYTES);
        assert!((200..300).contains(&part.len()), "{}", part.len());
    }

    #[test]
    fn payloads_have_the_size_that_was_asked_for() {
        for bytes in [0, 1, RECORD_BYTES, LARGE_BYTES] {
            assert_eq!(payload(bytes).len(), bytes);
        }
        assert_eq!(payload(RECORD_BYTES), payload(RECORD_BYTES));
    }
}
