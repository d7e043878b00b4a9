//! Bytes as text: two lower-case hexadecimal digits each.

const DIGITS: [u8; 16] = *b"0123456789abcdef";
/// Bytes whose digits are appended at once: those of a SHA-256.
const AT_ONCE: usize = 32;

/// `bytes` as digits.
#[must_use]
pub fn of(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(2 * bytes.len());
    push(&mut text, bytes);
    text
}

/// Appends `bytes` as digits to `text`.
pub fn push(text: &mut String, bytes: &[u8]) {
    for bytes in bytes.chunks(AT_ONCE) {
        let mut digits = [0; 2 * AT_ONCE];
        let mut n_digits = 0;
        for (pair, byte) in digits.chunks_exact_mut(2).zip(bytes) {
            pair.copy_from_slice(&[digit(byte >> 4), digit(byte & 15)]);
            n_digits += 2;
        }
        let digits = digits.get(..n_digits).and_then(|digits| std::str::from_utf8(digits).ok());
        text.push_str(digits.unwrap_or_default());
    }
}

fn digit(nibble: u8) -> u8 {
    DIGITS.get(usize::from(nibble)).copied().unwrap_or(b'0')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_has_two_digits() {
        for n_bytes in [0, 1, 31, 32, 33, 100] {
            let bytes: Vec<u8> = (0..n_bytes).map(|n: u8| n.wrapping_mul(37)).collect();
            let want: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
            assert_eq!(of(&bytes), want);
        }
        let mut text = "int_".to_owned();
        push(&mut text, &1_u16.to_be_bytes());
        assert_eq!(text, "int_0001");
    }
}
