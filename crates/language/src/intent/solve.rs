//! The optimiser: dual coordinate descent for the squared hinge loss, one class against the rest at a time.

use super::feature::Vector;

/// A class is solved when no coordinate's projected gradient spreads wider than this.
const TOLERANCE: f32 = 0.1;

pub(super) struct Problem<'a> {
    pub(super) rows: &'a [Vector],
    pub(super) labels: &'a [usize],
    pub(super) n_classes: usize,
    pub(super) n_features: usize,
    pub(super) penalty: f32,
    pub(super) passes_max: u32,
}

impl Problem<'_> {
    /// Weights, one row of `n_classes` a feature and the bias row last.
    pub(super) fn solve(&self) -> Vec<f32> {
        let norms: Vec<f32> = self
            .rows
            .iter()
            .map(|row| 1.0 + row.iter().map(|(_, value)| value * value).sum::<f32>())
            .collect();
        let mut weights = vec![0.0; (self.n_features + 1) * self.n_classes];
        let mut one = vec![0.0; self.n_features + 1];
        for class in 0..self.n_classes {
            one.fill(0.0);
            self.solve_class(class, &norms, &mut one);
            for (row, weight) in one.iter().enumerate() {
                weights[row * self.n_classes + class] = *weight;
            }
        }
        weights
    }

    fn solve_class(&self, class: usize, norms: &[f32], weights: &mut [f32]) {
        let diagonal = 0.5 / self.penalty.max(f32::MIN_POSITIVE);
        let bias = self.n_features;
        let mut duals = vec![0.0_f32; self.rows.len()];
        let mut active: Vec<u32> = (0..).take(self.rows.len()).collect();
        let mut shuffle = Shuffle(0x9e37_79b9_7f4a_7c15);
        for pass in 0..self.passes_max {
            shuffle.apply(&mut active);
            let mut widest = 0.0_f32;
            let mut kept = 0;
            for at in 0..active.len() {
                let index = active[at] as usize;
                let row = &self.rows[index];
                let sign = if self.labels[index] == class { 1.0 } else { -1.0 };
                let dot = row.iter().map(|&(feature, value)| weights[feature as usize] * value).sum::<f32>();
                let gradient = sign * (dot + weights[bias]) - 1.0 + diagonal * duals[index];
                let is_at_bound = duals[index] == 0.0;
                // Shrinking: an example far behind the margin is left out of the following passes.
                if !(is_at_bound && gradient > 0.5 && pass > 0) {
                    active[kept] = active[at];
                    kept += 1;
                }
                if is_at_bound && gradient >= 0.0 {
                    continue;
                }
                widest = widest.max(gradient.abs());
                let old = duals[index];
                duals[index] = (old - gradient / (norms[index] + diagonal)).max(0.0);
                let step = (duals[index] - old) * sign;
                row.iter().for_each(|&(feature, value)| weights[feature as usize] += step * value);
                weights[bias] += step;
            }
            active.truncate(kept);
            if widest < TOLERANCE {
                break;
            }
        }
    }
}

/// A fixed sequence of orders (xorshift64), so that training is the same everywhere.
struct Shuffle(u64);

impl Shuffle {
    fn apply(&mut self, items: &mut [u32]) {
        for at in (1..items.len()).rev() {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            let other = (self.0 % (at as u64 + 1)) as usize;
            items.swap(at, other);
        }
    }
}
