//! The two fits behind abstention: logistic regression and kernel ridge regression with its exact
//! leave-one-out predictions. Small, deterministic, in double precision.

/// Steps of Newton's method; it converges in under ten on regularised problems.
const NEWTON_STEPS: usize = 25;

/// A logistic model over standardised features.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Logistic {
    /// Per feature: mean, spread, weight.
    pub(crate) features: Vec<(f64, f64, f64)>,
    pub(crate) bias: f64,
}

impl Logistic {
    /// Fits by penalised maximum likelihood (iteratively reweighted least squares); `penalty` is the
    /// L2 weight on standardised features, the bias is free.
    pub(crate) fn fit(rows: &[Vec<f64>], labels: &[bool], penalty: f64) -> Self {
        let width = rows.first().map_or(0, Vec::len);
        let spreads: Vec<(f64, f64)> = (0..width).map(|at| mean_and_spread(rows, at)).collect();
        let scaled: Vec<Vec<f64>> = rows
            .iter()
            .map(|row| {
                let scaled = row.iter().zip(&spreads).map(|(value, (mean, spread))| (value - mean) / spread);
                scaled.chain([1.0]).collect()
            })
            .collect();
        let mut weights = vec![0.0; width + 1];
        for _ in 0..NEWTON_STEPS {
            let step = newton_step(&scaled, labels, &weights, penalty);
            for (weight, change) in weights.iter_mut().zip(&step) {
                *weight += change;
            }
            if step.iter().all(|change| change.abs() < 1e-9) {
                break;
            }
        }
        let bias = weights.pop().unwrap_or_default();
        let features =
            spreads.into_iter().zip(weights).map(|((mean, spread), weight)| (mean, spread, weight)).collect();
        Self { features, bias }
    }

    /// The probability of `true`.
    pub(crate) fn probability(&self, row: &[f64]) -> f64 {
        let sum: f64 = row
            .iter()
            .zip(&self.features)
            .map(|(value, (mean, spread, weight))| weight * (value - mean) / spread)
            .sum();
        sigmoid(sum + self.bias)
    }
}

/// Solution of a kernel ridge regression.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Ridge {
    /// The prediction for a new point is the sum of its kernel values times these.
    pub(crate) weights: Vec<f64>,
    /// What each example would be predicted as, had it not been seen.
    pub(crate) unseen: Vec<f64>,
}

impl Ridge {
    /// Solves `(K + diagonal) w = y` for the symmetric positive `kernel` (row-major, one row an example), of which what stands
    /// on and below the diagonal is read.
    ///
    /// Leaving out is exact: `y_i - w_i / (A^-1)_ii` (Rifkin and Lippert, MIT-CSAIL-TR-2007-025).
    pub(crate) fn solve(mut kernel: Vec<f64>, diagonal: &[f64], targets: &[f64]) -> Self {
        let n = targets.len();
        for (at, value) in diagonal.iter().enumerate() {
            kernel[at * n + at] += value;
        }
        cholesky(&mut kernel, n);
        let inverse = inverse_of_lower(&kernel, n);
        // A^-1 = L^-T L^-1: applied to the targets, and its diagonal.
        let half: Vec<f64> =
            (0..n).map(|row| (0..=row).map(|at| inverse[row * n + at] * targets[at]).sum()).collect();
        let mut weights = vec![0.0; n];
        let mut inverse_diagonal = vec![0.0; n];
        for row in 0..n {
            for at in 0..=row {
                let entry = inverse[row * n + at];
                weights[at] += entry * half[row];
                inverse_diagonal[at] += entry * entry;
            }
        }
        let unseen = (0..n).map(|at| targets[at] - weights[at] / inverse_diagonal[at]).collect();
        Self { weights, unseen }
    }
}

fn newton_step(rows: &[Vec<f64>], labels: &[bool], weights: &[f64], penalty: f64) -> Vec<f64> {
    let width = weights.len();
    let mut gradient: Vec<f64> = weights.iter().map(|weight| -penalty * weight).collect();
    let mut curvature = vec![0.0; width * width];
    for at in 0..width {
        curvature[at * width + at] = penalty;
    }
    // The bias is not pulled to zero; a trace of penalty keeps the system solvable.
    gradient[width - 1] = 0.0;
    curvature[width * width - 1] = 1e-9;
    for (row, label) in rows.iter().zip(labels) {
        let probability = sigmoid(row.iter().zip(weights).map(|(value, weight)| value * weight).sum());
        let error = f64::from(u8::from(*label)) - probability;
        let steepness = (probability * (1.0 - probability)).max(1e-9);
        for left in 0..width {
            gradient[left] += row[left] * error;
            for right in 0..=left {
                curvature[left * width + right] += steepness * row[left] * row[right];
            }
        }
    }
    cholesky(&mut curvature, width);
    for row in 0..width {
        let known: f64 = (0..row).map(|at| curvature[row * width + at] * gradient[at]).sum();
        gradient[row] = (gradient[row] - known) / curvature[row * width + row];
    }
    for row in (0..width).rev() {
        let known: f64 = (row + 1..width).map(|at| curvature[at * width + row] * gradient[at]).sum();
        gradient[row] = (gradient[row] - known) / curvature[row * width + row];
    }
    gradient
}

/// Columns of the factor that are found together.
const TOGETHER: usize = 8;

/// Replaces the lower triangle of a symmetric positive matrix by its Cholesky factor; what stands above it is not read.
fn cholesky(matrix: &mut [f64], n: usize) {
    for row in 0..n {
        let (above, this) = matrix.split_at_mut(row * n);
        let this = &mut this[..=row];
        for first in (0..row).step_by(TOGETHER) {
            let block = first..row.min(first + TOGETHER);
            // The last few columns are found one by one.
            let (done, known) = match block.len() == TOGETHER {
                true => (first, products(&this[..first], (above, n), first)),
                false => (0, [0.0; TOGETHER]),
            };
            for (column, known) in block.zip(known) {
                let other = &above[column * n..=column * n + column];
                let rest = this[done..column].iter().zip(&other[done..]);
                let known = rest.fold(known, |sum, (left, right)| sum + left * right);
                this[column] = (this[column] - known) / other[column];
            }
        }
        let known: f64 = this[..row].iter().map(|value| value * value).sum();
        this[row] = (this[row] - known).max(1e-12).sqrt();
    }
}

/// The products of `row` with as much of each of the rows of `matrix` from `first` on. One sum alone would wait for each of
/// its additions; they are added in their order, so that the result is the same to the last bit.
fn products(row: &[f64], (matrix, n): (&[f64], usize), first: usize) -> [f64; TOGETHER] {
    let others: [&[f64]; TOGETHER] = std::array::from_fn(|at| {
        let start = (first + at) * n;
        &matrix[start..start + row.len()]
    });
    let mut sums = [0.0; TOGETHER];
    for (at, left) in row.iter().enumerate() {
        for (sum, other) in sums.iter_mut().zip(&others) {
            *sum += left * other[at];
        }
    }
    sums
}

/// The inverse of a lower triangular matrix, lower triangular itself.
fn inverse_of_lower(lower: &[f64], n: usize) -> Vec<f64> {
    let mut inverse = vec![0.0; n * n];
    for row in 0..n {
        let scale = 1.0 / lower[row * n + row];
        let (done, this) = inverse.split_at_mut(row * n);
        for at in 0..row {
            let factor = -lower[row * n + at] * scale;
            for (value, above) in this[..=at].iter_mut().zip(&done[at * n..]) {
                *value += factor * above;
            }
        }
        this[row] = scale;
    }
    inverse
}

fn mean_and_spread(rows: &[Vec<f64>], at: usize) -> (f64, f64) {
    let n = rows.len().max(1) as f64;
    let mean = rows.iter().map(|row| row[at]).sum::<f64>() / n;
    let variance = rows.iter().map(|row| (row[at] - mean).powi(2)).sum::<f64>() / n;
    // A feature that never varies says nothing.
    (mean, if variance > 1e-12 { variance.sqrt() } else { 1.0 })
}

fn sigmoid(sum: f64) -> f64 {
    1.0 / (1.0 + (-sum).exp())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(values: &[f64]) -> Vec<Vec<f64>> {
        values.iter().map(|value| vec![*value, 7.0]).collect()
    }

    #[test]
    fn logistic_regression_finds_the_odds_of_a_two_valued_feature() {
        // 3 of 4 true at 1, 1 of 4 true at 0: unpenalised odds are 3 and 1/3.
        let values = rows(&[1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0, 0.0]);
        let labels = [true, true, true, false, true, false, false, false];
        let model = Logistic::fit(&values, &labels, 1e-6);
        assert!((model.probability(&[1.0, 7.0]) - 0.75).abs() < 1e-3);
        assert!((model.probability(&[0.0, 7.0]) - 0.25).abs() < 1e-3);
    }

    #[test]
    fn a_penalty_keeps_separable_data_finite() {
        let model = Logistic::fit(&rows(&[0.0, 1.0]), &[false, true], 0.1);
        let probability = model.probability(&[1.0, 7.0]);
        assert!(probability > 0.6 && probability < 1.0, "{probability}");
    }

    #[test]
    fn columns_found_together_are_those_found_one_by_one_to_the_last_bit() {
        for n in [1, TOGETHER - 1, TOGETHER, TOGETHER + 1, 3 * TOGETHER + 5] {
            let entry = |row: usize, column: usize| match row == column {
                true => 2.0,
                false => (-((row - column) as f64) / 7.0).exp() / 3.0 * ((row * 31 + column) as f64).sin(),
            };
            let matrix: Vec<f64> = (0..n * n)
                .map(|at| if at % n <= at / n { entry(at / n, at % n) } else { f64::NAN })
                .collect();
            let mut one_by_one = matrix.clone();
            for row in 0..n {
                for column in 0..=row {
                    let known: f64 =
                        (0..column).map(|at| one_by_one[row * n + at] * one_by_one[column * n + at]).sum();
                    let value = one_by_one[row * n + column] - known;
                    one_by_one[row * n + column] = match row == column {
                        true => value.sqrt(),
                        false => value / one_by_one[column * n + column],
                    };
                }
            }
            let mut together = matrix;
            cholesky(&mut together, n);
            let bits = |matrix: &[f64]| matrix.iter().map(|value| value.to_bits()).collect::<Vec<_>>();
            assert_eq!(bits(&together), bits(&one_by_one), "{n}");
            let is_factor = (0..n * n).filter(|at| at % n <= at / n).all(|at| together[at].is_finite());
            assert!(is_factor, "{n}");
        }
    }

    #[test]
    fn unseen_predictions_equal_those_of_fits_without_the_example() {
        let points: [f64; 6] = [0.1, 0.4, 0.5, 1.2, 2.0, 2.1];
        let targets = [1.0, 0.5, -1.0, 1.0, -1.0, -0.5];
        let kernel = |left: f64, right: f64| (-(left - right).powi(2)).exp();
        let solve = |chosen: &[usize]| {
            let matrix = chosen.iter().flat_map(|a| chosen.iter().map(|b| kernel(points[*a], points[*b])));
            let targets: Vec<f64> = chosen.iter().map(|at| targets[*at]).collect();
            Ridge::solve(matrix.collect(), &vec![0.3; chosen.len()], &targets)
        };
        let all: Vec<usize> = (0..points.len()).collect();
        let whole = solve(&all);
        for out in 0..points.len() {
            let others: Vec<usize> = all.iter().copied().filter(|at| *at != out).collect();
            let without = solve(&others);
            let predicted: f64 =
                others.iter().zip(&without.weights).map(|(at, w)| w * kernel(points[*at], points[out])).sum();
            assert!((predicted - whole.unseen[out]).abs() < 1e-9, "{out}");
        }
    }
}
