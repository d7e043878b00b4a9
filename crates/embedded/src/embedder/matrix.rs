//! Products of matrices: rows of numbers times weights that were laid out for it when the model was loaded.
//!
//! The right side is cut into panels of columns, each panel stored row after row, so that a product reads it from
//! beginning to end. A product goes panel by panel; within a panel it takes up to [`ROWS_MAX`] rows of the left side
//! at once, whose sums (rows × columns of the panel) stay in registers. With few rows, as in one question, every
//! weight is read from memory once; with many, a panel stays in the cache for all of them.
//! The arrangement is that of Goto and van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.
#![expect(
    clippy::indexing_slicing,
    reason = "offsets into buffers whose sizes follow from the model's shape"
)]

use pulp::{Arch, Simd, WithSimd};

use super::vector::{self, Vectors};

/// Rows of the left side in one step: 6 × 4 vectors of sums, one of the left and four of the right side are what 32
/// registers hold, and 6 × 2 what 16 hold.
const ROWS_MAX: usize = 6;
/// Inner positions worked off together.
const STEPS: usize = 4;
/// Bytes of a cache line: vectors that begin at one are read at full speed.
const LINE_BYTES: usize = 64;

/// Repeats a block for an index below `$n`, which is known at compile time. A loop would do the same, but only as long
/// as the compiler decides to unroll it, and indexed sums that it leaves in memory make a product three times slower.
macro_rules! repeat {
    ($n:expr, $index:ident, $body:block) => { repeat!($n, $index, $body, 0 1 2 3 4 5) };
    ($n:expr, $index:ident, $body:block, $($i:literal)*) => {
        $( if $n > $i { let $index: usize = $i; $body } )*
    };
}

/// Numbers that begin at a cache line.
#[derive(Debug, Default)]
pub(super) struct Aligned {
    numbers: Vec<f32>,
    start: usize,
    len: usize,
}

impl Aligned {
    /// At least `len` numbers, of which those that were there before keep no value.
    pub(super) fn room(&mut self, len: usize) -> &mut [f32] {
        if self.len < len {
            let air = LINE_BYTES / size_of::<f32>();
            self.numbers = vec![0.0; len + air];
            self.start = self.numbers.as_ptr().align_offset(LINE_BYTES).min(air);
            self.len = len;
        }
        &mut self.numbers[self.start..self.start + len]
    }

    pub(super) fn numbers(&self) -> &[f32] {
        &self.numbers[self.start..self.start + self.len]
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        self.numbers.capacity() * size_of::<f32>()
    }
}

/// The right side of a product.
#[derive(Debug, Clone, Copy)]
pub(super) struct Panels<'a> {
    /// Panel after panel, each with `width` columns and as many rows as the left side has columns.
    pub(super) numbers: &'a [f32],
    /// Columns of a panel, one, two or four vectors.
    pub(super) width: usize,
    /// Columns that count; the last panel's others are 0.
    pub(super) columns: usize,
    /// Added to each row; as long as all panels are wide. Empty for none.
    pub(super) bias: &'a [f32],
}

/// The left side of a product: `n` rows of `width` numbers that begin `stride` numbers apart.
#[derive(Debug, Clone, Copy)]
pub(super) struct Rows<'a> {
    pub(super) numbers: &'a [f32],
    pub(super) n: usize,
    pub(super) width: usize,
    pub(super) stride: usize,
}

/// Where a product goes: rows that begin `stride` numbers apart.
#[derive(Debug)]
pub(super) struct Out<'a> {
    pub(super) numbers: &'a mut [f32],
    pub(super) stride: usize,
}

/// What becomes of a product before it is stored for good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    /// Nothing.
    Keep,
    /// GELU of each number.
    Gelu,
}

/// Weights and bias of a linear layer.
#[derive(Debug)]
pub(super) struct Linear {
    arch: Arch,
    panels: Aligned,
    bias: Vec<f32>,
    inner: usize,
    columns: usize,
    width: usize,
}

impl Linear {
    /// From weights with a row of `inner` numbers for each number of the bias, as models' files have them.
    pub(super) fn new(arch: Arch, weights: &[f32], bias: Vec<f32>) -> Self {
        let columns = bias.len();
        let inner = weights.len() / columns;
        let width = arch.dispatch(Vectors).wide;
        let n_panels = columns.div_ceil(width);
        let mut panels = Aligned::default();
        let numbers = panels.room(n_panels * width * inner);
        for (rows, panel) in weights.chunks(width * inner).zip(numbers.chunks_exact_mut(width * inner)) {
            for (column, row) in rows.chunks_exact(inner).enumerate() {
                for (number, place) in row.iter().zip(panel[column..].iter_mut().step_by(width)) {
                    *place = *number;
                }
            }
        }
        let mut bias = bias;
        bias.resize(n_panels * width, 0.0);
        Self { arch, panels, bias, inner, columns, width }
    }

    /// Numbers of a row of the product.
    pub(super) fn columns(&self) -> usize {
        self.columns
    }

    /// Puts the product of `rows` (one after the other) and the weights, with bias, into `out`, `columns` a row.
    pub(super) fn apply(&self, rows: &[f32], out: &mut [f32], then: Then) {
        let right = Panels {
            numbers: self.panels.numbers(),
            width: self.width,
            columns: self.columns,
            bias: &self.bias,
        };
        let left = Rows { numbers: rows, n: rows.len() / self.inner, width: self.inner, stride: self.inner };
        self.arch.dispatch(Product { left, right, out: Out { numbers: out, stride: self.columns }, then });
    }
}

/// `left` × `right` + bias.
#[derive(Debug)]
pub(super) struct Product<'a> {
    pub(super) left: Rows<'a>,
    pub(super) right: Panels<'a>,
    pub(super) out: Out<'a>,
    pub(super) then: Then,
}

impl WithSimd for Product<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        match self.right.width / S::F32_LANES {
            1 => self.multiply::<S, 1>(simd),
            2 => self.multiply::<S, 2>(simd),
            _ => self.multiply::<S, 4>(simd),
        }
    }
}

impl Product<'_> {
    #[inline(always)]
    fn multiply<S: Simd, const VECTORS: usize>(self, simd: S) {
        let Self { left, right, out, then } = self;
        let n_blocks = left.n.div_ceil(ROWS_MAX);
        for (index, panel) in right.numbers.chunks_exact(right.width * left.width).enumerate() {
            let column = index * right.width;
            let mut first = 0;
            for block in 0..n_blocks {
                // Blocks of nearly the same height: 21 rows are 6, 5, 5 and 5.
                let n = (left.n - first).div_ceil(n_blocks - block);
                let step = Step {
                    left: Rows { numbers: &left.numbers[first * left.stride..], n, ..left },
                    panel,
                    bias: right.bias.get(column..column + right.width).unwrap_or_default(),
                    columns: right.width.min(right.columns.saturating_sub(column)),
                    out: &mut out.numbers[first * out.stride + column..],
                    stride: out.stride,
                    then,
                };
                match n {
                    1 => simd.vectorize(Tile::<VECTORS, 1>(step)),
                    2 => simd.vectorize(Tile::<VECTORS, 2>(step)),
                    3 => simd.vectorize(Tile::<VECTORS, 3>(step)),
                    4 => simd.vectorize(Tile::<VECTORS, 4>(step)),
                    5 => simd.vectorize(Tile::<VECTORS, 5>(step)),
                    _ => simd.vectorize(Tile::<VECTORS, ROWS_MAX>(step)),
                }
                first += n;
            }
        }
    }
}

/// Some rows times one panel.
struct Step<'a> {
    left: Rows<'a>,
    panel: &'a [f32],
    bias: &'a [f32],
    /// Columns of the panel that count.
    columns: usize,
    /// From the first row's first column on.
    out: &'a mut [f32],
    stride: usize,
    then: Then,
}

/// A step of `ROWS` rows with a panel of `VECTORS` vectors.
struct Tile<'a, const VECTORS: usize, const ROWS: usize>(Step<'a>);

impl<const VECTORS: usize, const ROWS: usize> WithSimd for Tile<'_, VECTORS, ROWS> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Step { left, panel, bias, columns, out, stride, then } = self.0;
        let sums = sum_up::<S, VECTORS, ROWS>(simd, left, panel, bias);
        repeat!(ROWS, row, {
            let place = &mut out[row * stride..][..columns];
            let (whole, _) = S::as_mut_simd_f32s(place);
            if let Some(whole) = whole.first_chunk_mut::<VECTORS>() {
                repeat!(VECTORS, vector, {
                    whole[vector] = sums[row][vector];
                });
            } else {
                repeat!(VECTORS, vector, {
                    let (start, end) = (vector * S::F32_LANES, (vector + 1) * S::F32_LANES);
                    let place = place.get_mut(start..end.min(columns)).unwrap_or_default();
                    simd.partial_store_f32s(place, sums[row][vector]);
                });
            }
        });
        if then == Then::Gelu {
            for row in 0..ROWS {
                vector::gelu(simd, &mut out[row * stride..][..columns]);
            }
        }
    }
}

#[inline(always)]
fn sum_up<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    left: Rows<'_>,
    panel: &[f32],
    bias: &[f32],
) -> [[S::f32s; VECTORS]; ROWS] {
    let (panel, _) = S::as_simd_f32s(panel);
    let (panel, _) = panel.as_chunks::<VECTORS>();
    let (bias, _) = S::as_simd_f32s(bias);
    let mut sums = [[simd.splat_f32s(0.0); VECTORS]; ROWS];
    if let Some(bias) = bias.first_chunk::<VECTORS>() {
        sums = [*bias; ROWS];
    }
    let mut rows: [&[f32]; ROWS] = [&[]; ROWS];
    repeat!(ROWS, row, {
        rows[row] = &left.numbers[row * left.stride..][..panel.len()];
    });
    let (groups, rest) = panel.as_chunks::<STEPS>();
    for (index, group) in groups.iter().enumerate() {
        let mut numbers: [&[f32]; ROWS] = [&[]; ROWS];
        repeat!(ROWS, row, {
            numbers[row] = &rows[row][index * STEPS..][..STEPS];
        });
        repeat!(STEPS, step, {
            add_step(simd, &mut sums, &numbers, (step, group[step]));
        });
    }
    repeat!(ROWS, row, {
        rows[row] = &rows[row][groups.len() * STEPS..];
    });
    for (step, vectors) in rest.iter().enumerate() {
        add_step(simd, &mut sums, &rows, (step, *vectors));
    }
    sums
}

/// Adds one inner position: a number of each row times the panel's vectors there.
#[inline(always)]
fn add_step<S: Simd, const VECTORS: usize, const ROWS: usize>(
    simd: S,
    sums: &mut [[S::f32s; VECTORS]; ROWS],
    rows: &[&[f32]; ROWS],
    (step, vectors): (usize, [S::f32s; VECTORS]),
) {
    repeat!(ROWS, row, {
        let number = simd.splat_f32s(rows[row][step]);
        repeat!(VECTORS, vector, {
            sums[row][vector] = simd.mul_add_e_f32s(number, vectors[vector], sums[row][vector]);
        });
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in -1..1 without a pattern.
    fn numbers(n: usize, seed: u64) -> Vec<f32> {
        let mut state = seed;
        let step = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1 << 23) as f32 - 1.0
        };
        std::iter::repeat_with(step).take(n).collect()
    }

    fn check(simd: impl Fn(Product<'_>), wide: usize) {
        for (n, inner, columns) in [
            (1, 1, 1),
            (2, 3, 5),
            (5, 8, 16),
            (6, 7, 32),
            (7, 9, 33),
            (12, 16, 64),
            (13, 21, 100),
            (21, 40, 130),
        ] {
            let (left, weights) = (numbers(n * inner, 1), numbers(columns * inner, 2));
            let bias = numbers(columns, 3);
            let n_panels = columns.div_ceil(wide);
            let mut panels = vec![0.0; n_panels * wide * inner];
            for column in 0..columns {
                for step in 0..inner {
                    panels[(column / wide * inner + step) * wide + column % wide] =
                        weights[column * inner + step];
                }
            }
            let mut padded = bias.clone();
            padded.resize(n_panels * wide, 0.0);
            // A margin on the right, which must stay as it was.
            let stride = columns + 3;
            let mut out = vec![7.0; n * stride];
            simd(Product {
                left: Rows { numbers: &left, n, width: inner, stride: inner },
                right: Panels { numbers: &panels, width: wide, columns, bias: &padded },
                out: Out { numbers: &mut out, stride },
                then: Then::Keep,
            });
            for (row, out) in out.chunks(stride).enumerate() {
                for (column, found) in out[..columns].iter().enumerate() {
                    let pairs = left[row * inner..][..inner].iter().zip(&weights[column * inner..][..inner]);
                    let want: f64 = pairs.map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
                    let want = want + f64::from(bias[column]);
                    let difference = (f64::from(*found) - want).abs();
                    assert!(
                        difference < 1e-5,
                        "{n}×{inner}×{columns} at {row}, {column}: {found}, not {want}"
                    );
                }
                assert_eq!(out[columns..], [7.0; 3], "{n}×{inner}×{columns}");
            }
        }
    }

    #[test]
    fn a_product_is_the_sum_of_products_on_every_kind_of_machine() {
        for vectors in [1, 2, 4] {
            let arch = Arch::new();
            check(|product| arch.dispatch(product), arch.dispatch(Vectors).narrow / 2 * vectors);
            check(|product| product.with_simd(pulp::Scalar), vectors);
            check(|product| product.with_simd(pulp::Scalar256b), 8 * vectors);
        }
    }

    #[test]
    fn a_linear_layer_lays_its_weights_out_itself() {
        let arch = Arch::new();
        let (rows, weights) = (numbers(3 * 10, 1), numbers(50 * 10, 2));
        let layer = Linear::new(arch, &weights, vec![0.5; 50]);
        let mut out = vec![0.0; 3 * 50];
        layer.apply(&rows, &mut out, Then::Keep);
        for (index, found) in out.iter().enumerate() {
            let (row, column) = (index / 50, index % 50);
            let pairs = rows[row * 10..][..10].iter().zip(&weights[column * 10..][..10]);
            let want: f32 = pairs.map(|(a, b)| a * b).sum::<f32>() + 0.5;
            assert!((found - want).abs() < 1e-5, "{row}, {column}: {found}, not {want}");
        }
    }
}
