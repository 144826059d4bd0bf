//! The orthonormal factor of a QR decomposition, with the signs that LAPACK's `geqrf` gives it, by Householder reflections in f64.

/// Q of `matrix` = Q@R, both matrices (rows, cols), row by row; rows ≥ cols.
pub(crate) fn orthonormal(matrix: &[f64], cols: usize) -> Vec<f64> {
    let rows = matrix.len() / cols;
    let mut held = matrix.to_vec();
    let mut factors = Vec::with_capacity(cols);
    for k in 0..cols {
        let below: f64 = (k + 1..rows).map(|row| held[row * cols + k] * held[row * cols + k]).sum();
        let alpha = held[k * cols + k];
        if below == 0.0 {
            factors.push(0.0);
            continue;
        }
        // The diagonal of R gets the opposite sign, so that nothing cancels.
        let beta = -(alpha * alpha + below).sqrt().copysign(alpha);
        for row in k + 1..rows {
            held[row * cols + k] /= alpha - beta;
        }
        factors.push((beta - alpha) / beta);
        for col in k + 1..cols {
            reflect(&held.clone(), k, factors[k], &mut held, col, cols);
        }
    }
    let mut q = vec![0.0; rows * cols];
    (0..cols).for_each(|k| q[k * cols + k] = 1.0);
    for k in (0..cols).rev() {
        for col in k..cols {
            reflect(&held, k, factors[k], &mut q, col, cols);
        }
    }
    q
}

/// Subtract factor · v · (vᵀ · column) from column `col` of `matrix`. v is 1 at `k`, and below that the values of column `k` of `vectors`.
fn reflect(vectors: &[f64], k: usize, factor: f64, matrix: &mut [f64], col: usize, cols: usize) {
    let rows = vectors.len() / cols;
    let below = k + 1..rows;
    let dot: f64 = below.clone().map(|row| vectors[row * cols + k] * matrix[row * cols + col]).sum();
    let step = factor * (matrix[k * cols + col] + dot);
    matrix[k * cols + col] -= step;
    below.for_each(|row| matrix[row * cols + col] -= step * vectors[row * cols + k]);
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What `torch.linalg.qr` gives, signs included.
    #[test]
    fn the_columns_are_those_of_lapack() {
        let known: [(&[f64], usize, &[f64]); 3] = [
            (
                &[3.0, 1.0, 4.0, -2.0, 0.0, 5.0],
                2,
                &[-0.6, 0.297112541083283, -0.8, -0.222834405812462, -0.0, 0.928476690885259],
            ),
            (&[-2.0, 1.0, 0.0, 3.0], 2, &[1.0, 0.0, 0.0, 1.0]),
            (
                &[-1.0, 2.0, 2.0, 0.5, 1.0, -1.0, 3.0, 0.25, 4.0],
                3,
                &[
                    -0.312347523777212,
                    -0.861048208162525,
                    0.40129167398583,
                    0.156173761888606,
                    -0.463222137302624,
                    -0.872373204317023,
                    0.937042571331637,
                    -0.20981237983707,
                    0.279159425381447,
                ],
            ),
        ];
        for (matrix, cols, expected) in known {
            for (found, expected) in orthonormal(matrix, cols).iter().zip(expected) {
                assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
            }
        }
    }
}
