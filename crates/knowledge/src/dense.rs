//! Exact search over unit vectors: one contiguous block of numbers, one dot product a row.

/// Vectors of one length, known by their position.
#[derive(Debug, Clone, Default, PartialEq)]
pub(crate) struct VectorIndex {
    length: usize,
    numbers: Vec<f32>,
}

/// Vectors of different lengths were given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("vectors of {0} and {1} numbers cannot be compared")]
pub(crate) struct LengthError(usize, usize);

impl VectorIndex {
    pub(crate) fn build<'a>(rows: impl Iterator<Item = &'a [f32]>) -> Result<Self, LengthError> {
        let mut index = Self { length: 0, numbers: Vec::new() };
        for row in rows {
            if index.numbers.is_empty() {
                index.length = row.len();
            }
            if row.len() != index.length {
                return Err(LengthError(index.length, row.len()));
            }
            index.numbers.extend_from_slice(row);
        }
        Ok(index)
    }

    /// The cosine of `query` with every row, in their order; empty when its length is another.
    pub(crate) fn cosines(&self, query: &[f32]) -> Vec<f32> {
        if query.len() != self.length || self.length == 0 {
            return Vec::new();
        }
        self.numbers.chunks_exact(self.length).map(|row| dot(row, query)).collect()
    }

    /// The cosine of `query` with the row at `index`; 0 when its length is another.
    pub(crate) fn cosine(&self, index: usize, query: &[f32]) -> f32 {
        let row = self.numbers.get(index * self.length..(index + 1) * self.length).unwrap_or_default();
        if row.len() == query.len() { dot(row, query) } else { 0.0 }
    }
}

/// Sum of products, in eight lanes so that the compiler can use the machine's vector unit.
pub(crate) fn dot(left: &[f32], right: &[f32]) -> f32 {
    let mut lanes = [0.0_f32; 8];
    let (left, right) = (left.chunks_exact(8), right.chunks_exact(8));
    let rest: f32 = left.remainder().iter().zip(right.remainder()).map(|(a, b)| a * b).sum();
    for (a, b) in left.zip(right) {
        for (lane, (a, b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += a * b;
        }
    }
    lanes.iter().sum::<f32>() + rest
}

/// The positions of the greatest `limit` values with them, greatest first, ties in their order.
pub(crate) fn best(values: &[f32], limit: usize) -> Vec<(usize, f32)> {
    let mut ranked: Vec<(usize, f32)> = values.iter().copied().enumerate().collect();
    ranked.sort_by(|(_, left), (_, right)| right.total_cmp(left));
    ranked.truncate(limit);
    ranked
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearest_row_comes_first() {
        let rows: [&[f32]; 3] = [&[1.0, 0.0, 0.0], &[0.0, 1.0, 0.0], &[0.6, 0.8, 0.0]];
        let index = VectorIndex::build(rows.into_iter()).unwrap();
        let cosines = index.cosines(&[0.0, 1.0, 0.0]);
        assert_eq!(best(&cosines, 2).iter().map(|(at, _)| *at).collect::<Vec<_>>(), [1, 2]);
    }

    #[test]
    fn lengths_must_agree() {
        let rows: [&[f32]; 2] = [&[1.0], &[1.0, 0.0]];
        assert_eq!(VectorIndex::build(rows.into_iter()), Err(LengthError(1, 2)));
        let rows: [&[f32]; 1] = [&[1.0]];
        assert!(VectorIndex::build(rows.into_iter()).unwrap().cosines(&[1.0, 0.0]).is_empty());
    }

    #[test]
    fn lanes_and_rest_add_up_to_the_plain_sum() {
        for length in [0, 1, 7, 8, 9, 384] {
            let left: Vec<f32> = (0..length).map(|n| (n as f32).sin()).collect();
            let right: Vec<f32> = (0..length).map(|n| (n as f32).cos()).collect();
            let plain: f32 = left.iter().zip(&right).map(|(a, b)| a * b).sum();
            assert!((dot(&left, &right) - plain).abs() < 1e-4, "{length}");
        }
    }
}
