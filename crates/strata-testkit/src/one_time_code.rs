//! One-time codes as an app computes them (RFC 6238: HMAC-SHA-1, 30 seconds, six digits).

use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

/// The step of time that it is now.
pub fn present_step() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).expect("a time after 1970");
    now.as_secs() as i64 / 30
}

/// The code of a key in base 32 at a step of time.
pub fn at(key: &str, step: i64) -> String {
    let letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    let value = |letter| letters.find(letter).expect("a letter of base 32");
    let bits: String = key.chars().map(|letter| format!("{:05b}", value(letter))).collect();
    let bytes: Vec<u8> =
        (0..bits.len() / 8).map(|at| u8::from_str_radix(&bits[8 * at..8 * at + 8], 2).expect("eight bits")).collect();
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, &bytes);
    let tag = hmac::sign(&key, &step.to_be_bytes());
    let tag = tag.as_ref();
    let at = usize::from(tag[19] & 0xf);
    let number = tag[at..at + 4].iter().fold(0, |number, byte| number << 8 | u32::from(*byte)) & 0x7fff_ffff;
    format!("{:06}", number % 1_000_000)
}
