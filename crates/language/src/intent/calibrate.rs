//! From margins to probabilities: the temperature that explains held-out examples best, and how far off it is.

use super::Calibration;

const BINS: usize = 10;
const TEMPERATURE_MIN: f32 = 0.02;
const TEMPERATURE_MAX: f32 = 5.0;
/// Halvings of the search interval by the golden section; the result is good to a thousandth.
const SEARCH_STEPS: u32 = 32;

/// Fits the temperature on margins and true classes of unseen examples, and measures.
pub(super) fn calibrate(unseen: &[(Vec<f32>, usize)]) -> Calibration {
    let temperature = best_temperature(unseen);
    let mut right = 0;
    let mut bins = [(0.0_f32, 0.0_f32); BINS];
    for (margins, truth) in unseen {
        let probabilities = softmax(margins, temperature);
        let (best, confidence) = probabilities
            .iter()
            .enumerate()
            .fold((0, f32::MIN), |best, (class, &p)| if p > best.1 { (class, p) } else { best });
        let bin = ((confidence * BINS as f32) as usize).min(BINS - 1);
        bins[bin].0 += confidence;
        if best == *truth {
            right += 1;
            bins[bin].1 += 1.0;
        }
    }
    let n = unseen.len();
    let ece =
        bins.iter().map(|(confidence, right)| (confidence - right).abs()).sum::<f32>() / n.max(1) as f32;
    Calibration { accuracy: right as f32 / n.max(1) as f32, ece, n, temperature }
}

/// Probabilities of `margins` divided by `temperature`.
pub(super) fn softmax(margins: &[f32], temperature: f32) -> Vec<f32> {
    let most = margins.iter().copied().fold(f32::MIN, f32::max);
    let powers: Vec<f32> = margins.iter().map(|margin| ((margin - most) / temperature).exp()).collect();
    let sum: f32 = powers.iter().sum();
    powers.into_iter().map(|power| power / sum).collect()
}

/// Golden-section search over the logarithm of the temperature; the loss has one minimum.
fn best_temperature(unseen: &[(Vec<f32>, usize)]) -> f32 {
    let ratio = (5.0_f32.sqrt() - 1.0) / 2.0;
    let (mut low, mut high) = (TEMPERATURE_MIN.ln(), TEMPERATURE_MAX.ln());
    for _ in 0..SEARCH_STEPS {
        let (left, right) = (high - ratio * (high - low), low + ratio * (high - low));
        if loss(unseen, left.exp()) < loss(unseen, right.exp()) {
            high = right;
        } else {
            low = left;
        }
    }
    f32::midpoint(low, high).exp()
}

/// Mean negative log-likelihood.
fn loss(unseen: &[(Vec<f32>, usize)], temperature: f32) -> f32 {
    let total: f32 =
        unseen.iter().map(|(margins, truth)| -softmax(margins, temperature)[*truth].max(1e-9).ln()).sum();
    total / unseen.len().max(1) as f32
}
