//! Tensors of a safetensors file, read one after the other, so that the file is never in memory as a whole.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use safetensors::tensor::{Dtype, Metadata};

/// The length that stands before the header.
const PREFIX_BYTES: u64 = 8;
/// Encoders have headers of some kilobytes.
const HEADER_BYTES_MAX: u64 = 16 << 20;
/// Read at once.
const PORTION_BYTES: usize = 256 << 10;

/// Appends the numbers that some bytes stand for.
type Convert = fn(&[u8], &mut Vec<f32>);

/// Weights could not be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum WeightsError {
    #[error("the file could not be read: {0}")]
    Read(#[from] io::Error),
    #[error("it is not a safetensors file: {0}")]
    Header(String),
    #[error("it has {found} bytes of numbers, its header names {wanted}")]
    Length { found: u64, wanted: u64 },
    #[error("it has no tensor `{0}`")]
    Missing(String),
    #[error("tensor `{name}` has the shape {found:?}, not {wanted:?}")]
    Shape { name: String, found: Vec<usize>, wanted: Vec<usize> },
    #[error("tensor `{name}` is of type {found:?}, which is not read")]
    Type { name: String, found: Dtype },
}

/// An open safetensors file.
#[derive(Debug)]
pub(super) struct Weights {
    file: File,
    metadata: Metadata,
    /// Where the numbers begin.
    start: u64,
    /// Before every name: checkpoints of the bare encoder have no prefix, those with a head name it.
    prefix: &'static str,
}

impl Weights {
    /// Opens the file at `path`; names are looked for with `prefix` when the file has none called `probe`.
    pub(super) fn open(path: &Path, probe: &str, prefix: &'static str) -> Result<Self, WeightsError> {
        let mut file = File::open(path)?;
        let mut length = [0; 8];
        file.read_exact(&mut length)?;
        let length = u64::from_le_bytes(length);
        if length > HEADER_BYTES_MAX {
            return Err(WeightsError::Header(format!("a header of {length} bytes")));
        }
        let mut header = Vec::new();
        file.by_ref().take(length).read_to_end(&mut header)?;
        let metadata: Metadata =
            serde_json::from_slice(&header).map_err(|error| WeightsError::Header(error.to_string()))?;
        let start = PREFIX_BYTES + length;
        let (found, wanted) = (file.metadata()?.len().saturating_sub(start), metadata.data_len() as u64);
        if found != wanted {
            return Err(WeightsError::Length { found, wanted });
        }
        let prefix = if metadata.info(probe).is_some() { "" } else { prefix };
        Ok(Self { file, metadata, start, prefix })
    }

    /// The numbers of the tensor `name`, which must have `shape`, in the order of its last dimension.
    pub(super) fn read(&mut self, name: &str, shape: &[usize]) -> Result<Vec<f32>, WeightsError> {
        let name = format!("{}{name}", self.prefix);
        let Some(info) = self.metadata.info(&name) else { return Err(WeightsError::Missing(name)) };
        if info.shape != shape {
            return Err(WeightsError::Shape { name, found: info.shape.clone(), wanted: shape.to_vec() });
        }
        let (start, end) = info.data_offsets;
        let (convert, bytes): (Convert, _) = match info.dtype {
            Dtype::F32 => (from_f32, 4),
            Dtype::F16 => (from_f16, 2),
            Dtype::BF16 => (from_bf16, 2),
            found => return Err(WeightsError::Type { name, found }),
        };
        self.file.seek(SeekFrom::Start(self.start + start as u64))?;
        let mut numbers = Vec::with_capacity((end - start) / bytes);
        let mut portion = vec![0; PORTION_BYTES.min(end - start)];
        let mut left = end - start;
        while left > 0 {
            portion.truncate(left);
            self.file.read_exact(&mut portion)?;
            convert(&portion, &mut numbers);
            left -= portion.len();
        }
        Ok(numbers)
    }
}

fn from_f32(bytes: &[u8], into: &mut Vec<f32>) {
    into.extend(bytes.as_chunks().0.iter().map(|bytes| f32::from_le_bytes(*bytes)));
}

/// A bfloat16 is the upper half of an f32.
fn from_bf16(bytes: &[u8], into: &mut Vec<f32>) {
    into.extend(bytes.as_chunks().0.iter().map(|&[low, high]| f32::from_le_bytes([0, 0, low, high])));
}

/// Exponent and mantissa at their places in an f32, then the difference of the biases (15 and 127) as a factor, which
/// is right for subnormal numbers too. Infinity and NaN, which no weights have, become large numbers.
fn from_f16(bytes: &[u8], into: &mut Vec<f32>) {
    let factor = f32::from_bits((127 + 112) << 23);
    into.extend(bytes.as_chunks().0.iter().map(|bytes| {
        let bits = u32::from(u16::from_le_bytes(*bytes));
        let magnitude = f32::from_bits((bits & 0x7fff) << 13) * factor;
        if bits & 0x8000 == 0 { magnitude } else { -magnitude }
    }));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn half_precision_numbers_keep_their_value() {
        // IEEE 754 binary16, and its upper-half cousin.
        for (half, brain, want) in [
            (0x3c00_u16, 0x3f80_u16, 1.0_f32),
            (0xc000, 0xc000, -2.0),
            (0x3800, 0x3f00, 0.5),
            (0x0001, 0x3380, 5.960_464_5e-8),
            (0x7bff, 0x4780, 65_504.0),
            (0x0000, 0x0000, 0.0),
        ] {
            let (mut from_half, mut from_brain) = (Vec::new(), Vec::new());
            from_f16(&half.to_le_bytes(), &mut from_half);
            from_bf16(&brain.to_le_bytes(), &mut from_brain);
            assert_eq!(from_half, [want], "{half:#x}");
            assert!((from_brain[0] - want).abs() <= want.abs() / 256.0, "{brain:#x}: {from_brain:?}");
        }
    }
}
