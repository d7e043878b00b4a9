//! What happens to numbers between the matrix products, each in one pass over them: GELU, softmax, layer norm.

use pulp::{Simd, WithSimd};

/// What this machine's vectors ask of the matrices' layout.
#[derive(Debug, Clone, Copy)]
pub(super) struct Vectors;

/// Widths in numbers.
#[derive(Debug, Clone, Copy)]
pub(super) struct Widths {
    /// Of a panel of weights.
    pub(super) wide: usize,
    /// Of a panel in attention, whose matrices are narrow.
    pub(super) narrow: usize,
}

impl WithSimd for Vectors {
    type Output = Widths;

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) -> Widths {
        let lanes = S::F32_LANES;
        let vectors = if S::REGISTER_COUNT >= 32 { 4 } else { 2 };
        Widths { wide: lanes * vectors, narrow: lanes * 2 }
    }
}

/// `x · Φ(x)` of each number, with Φ the normal distribution (Hendrycks and Gimpel 2016), exact form.
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, numbers: &mut [f32]) {
    let (vectors, rest) = S::as_mut_simd_f32s(numbers);
    for x in vectors {
        *x = gelu_of(simd, *x);
    }
    if !rest.is_empty() {
        let x = gelu_of(simd, simd.partial_load_f32s(rest));
        simd.partial_store_f32s(rest, x);
    }
}

#[inline(always)]
fn gelu_of<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let half = simd.mul_f32s(x, simd.splat_f32s(0.5));
    let erf = erf(simd, simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2)));
    simd.mul_add_e_f32s(half, erf, half)
}

/// The error function, within 2e-7 (Abramowitz and Stegun 1964, formula 7.1.26: 1.5e-7 before rounding).
#[inline(always)]
fn erf<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    let size = simd.abs_f32s(x);
    let t = simd.div_f32s(one, simd.mul_add_e_f32s(simd.splat_f32s(0.327_591_1), size, one));
    let series = polynomial(simd, t, [1.061_405_4, -1.453_152, 1.421_413_8, -0.284_496_74, 0.254_829_6, 0.0]);
    let bell = exp_of_negative(simd, simd.neg_f32s(simd.mul_f32s(x, x)));
    let magnitude = simd.negate_mul_add_e_f32s(series, bell, one);
    let sign = simd.and_f32s(x, simd.splat_f32s(-0.0));
    simd.or_f32s(magnitude, sign)
}

/// e^x for x ≤ 0: 2^n by exponent bits, 2^f for the fraction |f| ≤ 0.5 by a Taylor polynomial of degree 6
/// (relative error under 2e-7).
#[inline(always)]
fn exp_of_negative<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Added to a small number, this leaves the nearest integer in the lowest bits.
    let shift = simd.splat_f32s(12_582_912.0);
    let x = simd.max_f32s(x, simd.splat_f32s(-87.0));
    let y = simd.mul_f32s(x, simd.splat_f32s(std::f32::consts::LOG2_E));
    let shifted = simd.add_f32s(y, shift);
    let n = simd.sub_f32s(shifted, shift);
    let f = simd.mul_f32s(simd.sub_f32s(y, n), simd.splat_f32s(std::f32::consts::LN_2));
    let taylor = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];
    let fraction = polynomial(simd, f, taylor);
    let exponent = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    simd.transmute_f32s_u32s(simd.add_u32s(simd.transmute_u32s_f32s(fraction), exponent))
}

/// Horner's scheme, the highest power's factor first.
#[inline(always)]
fn polynomial<S: Simd, const N: usize>(simd: S, x: S::f32s, factors: [f32; N]) -> S::f32s {
    let mut factors = factors.into_iter();
    let mut sum = simd.splat_f32s(factors.next().unwrap_or(0.0));
    for factor in factors {
        sum = simd.mul_add_e_f32s(sum, x, simd.splat_f32s(factor));
    }
    sum
}

/// Softmax of the first `len` numbers of each row of `stride` numbers, whole vectors; the others become 0.
#[derive(Debug)]
pub(super) struct Softmax<'a> {
    pub(super) numbers: &'a mut [f32],
    pub(super) stride: usize,
    pub(super) len: usize,
}

impl WithSimd for Softmax<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        for row in self.numbers.chunks_exact_mut(self.stride) {
            if let Some(padding) = row.get_mut(self.len..) {
                padding.fill(f32::MIN);
            }
            let (vectors, _) = S::as_mut_simd_f32s(row);
            let mut most = simd.splat_f32s(f32::MIN);
            for x in vectors.iter() {
                most = simd.max_f32s(most, *x);
            }
            let most = simd.splat_f32s(simd.reduce_max_f32s(most));
            let mut sum = simd.splat_f32s(0.0);
            for x in vectors.iter_mut() {
                *x = exp_of_negative(simd, simd.sub_f32s(*x, most));
                sum = simd.add_f32s(sum, *x);
            }
            let part = simd.splat_f32s(1.0 / simd.reduce_sum_f32s(sum));
            for x in vectors.iter_mut() {
                *x = simd.mul_f32s(*x, part);
            }
        }
    }
}

/// A layer norm's parameters (Ba, Kiros and Hinton 2016).
#[derive(Debug)]
pub(super) struct Norm {
    pub(super) weight: Vec<f32>,
    pub(super) bias: Vec<f32>,
    /// Added to the variance.
    pub(super) epsilon: f32,
}

/// Each row of `numbers` becomes the norm of itself plus the row of `added`.
#[derive(Debug)]
pub(super) struct AddAndNorm<'a> {
    pub(super) norm: &'a Norm,
    pub(super) numbers: &'a mut [f32],
    pub(super) added: &'a [f32],
}

impl WithSimd for AddAndNorm<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let width = self.norm.weight.len();
        for (row, added) in self.numbers.chunks_exact_mut(width).zip(self.added.chunks_exact(width)) {
            normalize(simd, self.norm, row, added);
        }
    }
}

#[inline(always)]
fn normalize<S: Simd>(simd: S, norm: &Norm, row: &mut [f32], added: &[f32]) {
    let part = 1.0 / norm.weight.len() as f32;
    let ((row, row_rest), (added, added_rest)) = (S::as_mut_simd_f32s(row), S::as_simd_f32s(added));
    let mut sums = simd.splat_f32s(0.0);
    let mut sum = 0.0;
    for (x, more) in row.iter_mut().zip(added) {
        *x = simd.add_f32s(*x, *more);
        sums = simd.add_f32s(sums, *x);
    }
    for (x, more) in row_rest.iter_mut().zip(added_rest) {
        *x += more;
        sum += *x;
    }
    let mean = (sum + simd.reduce_sum_f32s(sums)) * part;
    let means = simd.splat_f32s(mean);
    let mut squares = simd.splat_f32s(0.0);
    let mut square = 0.0;
    for x in row.iter_mut() {
        *x = simd.sub_f32s(*x, means);
        squares = simd.mul_add_e_f32s(*x, *x, squares);
    }
    for x in row_rest.iter_mut() {
        *x -= mean;
        square += *x * *x;
    }
    let variance = (square + simd.reduce_sum_f32s(squares)) * part;
    let scale = 1.0 / (variance + norm.epsilon).sqrt();
    let scales = simd.splat_f32s(scale);
    let ((weight, weight_rest), (bias, bias_rest)) =
        (S::as_simd_f32s(&norm.weight), S::as_simd_f32s(&norm.bias));
    for (x, (weight, bias)) in row.iter_mut().zip(weight.iter().zip(bias)) {
        *x = simd.mul_add_e_f32s(simd.mul_f32s(*x, scales), *weight, *bias);
    }
    for (x, (weight, bias)) in row_rest.iter_mut().zip(weight_rest.iter().zip(bias_rest)) {
        *x = *x * scale * weight + bias;
    }
}

#[cfg(test)]
mod tests {
    use pulp::Arch;

    use super::*;

    #[derive(Clone, Copy)]
    enum Function {
        Erf,
        Exp,
        Gelu,
    }

    /// Applies a function to each number.
    #[derive(Clone, Copy)]
    struct Each<'a>(&'a [f32], Function);

    impl WithSimd for Each<'_> {
        type Output = Vec<f32>;

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) -> Vec<f32> {
            let mut out = self.0.to_vec();
            for part in out.chunks_mut(S::F32_LANES) {
                let x = simd.partial_load_f32s(part);
                let y = match self.1 {
                    Function::Erf => erf(simd, x),
                    Function::Exp => exp_of_negative(simd, x),
                    Function::Gelu => gelu_of(simd, x),
                };
                simd.partial_store_f32s(part, y);
            }
            out
        }
    }

    /// On this machine's vectors, and on one number at a time as on a machine that has none.
    fn on_both(numbers: &[f32], function: Function) -> [Vec<f32>; 2] {
        let each = Each(numbers, function);
        [Arch::new().dispatch(each), each.with_simd(pulp::Scalar)]
    }

    #[test]
    fn erf_has_the_published_values() {
        // Abramowitz and Stegun 1964, table 7.1.
        let table =
            [(0.0, 0.0), (0.1, 0.112_462_9), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3)];
        for (x, want) in table {
            for found in on_both(&[x, -x], Function::Erf) {
                assert!((found[0] - want).abs() < 1e-6 && (found[1] + want).abs() < 1e-6, "±{x}: {found:?}");
            }
        }
    }

    #[test]
    fn exp_is_right_over_its_range() {
        let numbers: Vec<f32> = (0..=8_700_u16).map(|step| -f32::from(step) / 100.0).collect();
        for found in on_both(&numbers, Function::Exp) {
            for (x, found) in numbers.iter().zip(found) {
                let want = f64::from(*x).exp();
                assert!((f64::from(found) - want).abs() <= want * 1e-5, "exp({x}) = {found}, not {want}");
            }
        }
    }

    #[test]
    fn far_values_are_kept_or_vanish() {
        for found in on_both(&[40.0, -40.0, 0.0], Function::Gelu) {
            assert_eq!(found, [40.0, 0.0, 0.0]);
        }
    }

    #[test]
    fn softmax_counts_only_what_is_there() {
        let stride = Arch::new().dispatch(Vectors).narrow;
        let mut numbers = vec![9.0; 2 * stride];
        for row in numbers.chunks_mut(stride) {
            row[0] = 2.0_f32.ln();
            row[1] = 0.0;
        }
        Arch::new().dispatch(Softmax { numbers: &mut numbers, stride, len: 2 });
        for row in numbers.chunks(stride) {
            assert!((row[0] - 2.0 / 3.0).abs() < 1e-6 && (row[1] - 1.0 / 3.0).abs() < 1e-6, "{row:?}");
            assert!(row[2..].iter().all(|x| *x < 1e-30), "{row:?}");
        }
    }

    #[test]
    fn a_norm_has_the_mean_and_the_deviation_of_its_parameters() {
        for width in [3_u8, 16, 50] {
            let numbers: Vec<f32> = (0..u16::from(width)).map(|x| f32::from(x * x % 11)).collect();
            let added: Vec<f32> = (0..width).map(f32::from).collect();
            let n = usize::from(width);
            let norm = Norm { weight: vec![2.0; n], bias: vec![5.0; n], epsilon: 1e-12 };
            let mut found = numbers.clone();
            Arch::new().dispatch(AddAndNorm { norm: &norm, numbers: &mut found, added: &added });
            let sums: Vec<f64> = numbers.iter().zip(&added).map(|(a, b)| f64::from(a + b)).collect();
            let mean = sums.iter().sum::<f64>() / f64::from(width);
            let variance = sums.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / f64::from(width);
            for (x, found) in sums.iter().zip(found) {
                let want = 5.0 + 2.0 * (x - mean) / variance.sqrt();
                assert!((f64::from(found) - want).abs() < 1e-5, "{width}: {found}, not {want}");
            }
        }
    }
}
