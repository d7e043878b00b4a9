//! Vectors as bytes: 32-bit floats, little endian.

use super::Unreadable;

/// The bytes of `vector`.
pub(crate) fn to_bytes(vector: &[f32]) -> Vec<u8> {
    vector.iter().flat_map(|value| value.to_le_bytes()).collect()
}

/// The vector in `bytes`.
///
/// # Errors
/// [`Unreadable`] when they are not whole floats.
pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Vec<f32>, Unreadable> {
    let (floats, rest) = bytes.as_chunks::<4>();
    if !rest.is_empty() {
        return Err(Unreadable(format!("a vector of {} bytes", bytes.len())));
    }
    Ok(floats.iter().map(|float| f32::from_le_bytes(*float)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_are_kept_bit_for_bit() {
        for vector in [vec![], vec![0.0, -0.0, 1.0, f32::MIN_POSITIVE, f32::MAX, f32::NEG_INFINITY]] {
            assert_eq!(from_bytes(&to_bytes(&vector)), Ok(vector));
        }
        assert_eq!(to_bytes(&[1.0]), [0, 0, 0x80, 0x3f]);
        assert!(from_bytes(&[0, 0, 0]).is_err());
    }
}
