//! Matrices in f64: QR, a small singular value decomposition, the eigenvectors of a symmetric matrix, and the leading singular vectors of a large
//! one. Sums are in one order, and only square roots are asked of the machine, so that the same bits come out everywhere.

pub(crate) mod gram;
pub(crate) mod leading;
pub(crate) mod matrix;
pub(crate) mod qr;
pub(crate) mod svd;
pub(crate) mod symmetric;
