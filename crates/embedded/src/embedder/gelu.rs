//! GELU by erf as one pass over the values, fast enough not to cost as much as the matrix products.

use candle_core::{CpuStorage, CustomOp1, Error, Layout, Result, Shape};

/// `x · Φ(x)` with Φ the normal distribution (Hendrycks and Gimpel 2016), exact form.
#[derive(Debug)]
pub(super) struct Gelu;

impl CustomOp1 for Gelu {
    fn name(&self) -> &'static str {
        "gelu-erf"
    }

    fn cpu_fwd(&self, storage: &CpuStorage, layout: &Layout) -> Result<(CpuStorage, Shape)> {
        let values: &[f32] = storage.as_slice()?;
        let (start, end) = layout
            .contiguous_offsets()
            .ok_or_else(|| Error::Msg("GELU needs contiguous values".to_owned()))?;
        let values =
            values.get(start..end).ok_or_else(|| Error::Msg("GELU reads past its values".to_owned()))?;
        let out = values.iter().map(|&x| gelu(x)).collect();
        Ok((CpuStorage::F32(out), layout.shape().clone()))
    }
}

fn gelu(x: f32) -> f32 {
    0.5 * x * (1.0 + erf(x * std::f32::consts::FRAC_1_SQRT_2))
}

/// The error function, within 2e-7 (Abramowitz and Stegun 1964, formula 7.1.26: 1.5e-7 before rounding).
fn erf(x: f32) -> f32 {
    let t = 1.0 / (1.0 + 0.327_591_1 * x.abs());
    let series =
        t * (0.254_829_6 + t * (-0.284_496_74 + t * (1.421_413_8 + t * (-1.453_152 + t * 1.061_405_4))));
    let magnitude = 1.0 - series * exp_of_negative(-x * x);
    magnitude.copysign(x)
}

/// e^x for x ≤ 0 without branches, so that the compiler can use vectors: 2^n by exponent bits, 2^f for the
/// fraction |f| ≤ 0.5 by a Taylor polynomial of degree 6 (relative error under 2e-7).
fn exp_of_negative(x: f32) -> f32 {
    let y = x.max(-87.0) * std::f32::consts::LOG2_E;
    let n = (y - 0.5) as i32; // truncation towards zero of a non-positive number: rounds to the nearest
    let f = (y - n as f32) * std::f32::consts::LN_2;
    let fraction = 1.0
        + f * (1.0 + f * (0.5 + f * (1.0 / 6.0 + f * (1.0 / 24.0 + f * (1.0 / 120.0 + f * (1.0 / 720.0))))));
    f32::from_bits(((n + 127) << 23).cast_unsigned()) * fraction
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn erf_has_the_published_values() {
        // Abramowitz and Stegun 1964, table 7.1.
        for (x, want) in
            [(0.0, 0.0), (0.1, 0.112_462_9), (0.5, 0.520_499_9), (1.0, 0.842_700_8), (2.0, 0.995_322_3)]
        {
            assert!((erf(x) - want).abs() < 1e-6, "erf({x}) = {}", erf(x));
            assert!((erf(-x) + want).abs() < 1e-6, "erf(-{x})");
        }
    }

    #[test]
    fn exp_is_right_over_its_range() {
        for step in 0..=8_700_u16 {
            let x = -f32::from(step) / 100.0;
            let want = f64::from(x).exp();
            let got = f64::from(exp_of_negative(x));
            assert!((got - want).abs() <= want * 1e-5, "exp({x}) = {got}, not {want}");
        }
    }

    #[test]
    fn far_values_are_kept_or_vanish() {
        assert_eq!(gelu(40.0), 40.0);
        assert_eq!(gelu(-40.0), 0.0);
        assert_eq!(gelu(0.0), 0.0);
    }
}
