//! The instruction sets, and the choice among them.

use std::ops::Range;

use super::converting;
use super::element::{Bf16, Element, F16, F32};
use super::statistics::Statistics;
use super::vector::Vector;
use crate::tensor::Float;

/// Rows of a tile, and of a panel of the left factor.
pub(super) const ROWS: usize = 4;

/// Columns of a panel of the right factor: a multiple of every instruction set's tile.
pub(super) const PANEL: usize = 16;

/// Whole tiles side by side: `ROWS` rows of the base, `tiles` times `Isa::COLUMNS` columns from `column` on.
pub(super) struct Strip {
    /// The panel of the left factor: `rank` groups of `ROWS` values.
    pub left: *const f32,
    /// The first panel of the right factor: `rank` groups of `PANEL` values; the others follow.
    pub right: *const f32,
    pub rank: usize,
    /// First column, a multiple of `Isa::COLUMNS`.
    pub column: usize,
    /// At least one.
    pub tiles: usize,
    /// The rows whose elements the statistics count.
    pub counted: Range<usize>,
    /// First element of the first row, and bytes from row to row.
    pub base: *const u8,
    pub base_stride: usize,
    /// The same for the output.
    pub out: *mut u8,
    pub out_stride: usize,
}

/// Work on vectors of whichever instruction set, other than the tile's.
pub(super) trait Body {
    type Out;

    /// Does it.
    ///
    /// # Safety
    /// The CPU has the instruction set, and whatever the work asks for.
    unsafe fn run<V: Vector>(self) -> Self::Out;
}

/// Does work with the fastest vectors of this CPU.
///
/// # Safety
/// Whatever the work asks for.
pub(super) unsafe fn run<B: Body>(body: B) -> B::Out {
    struct Fastest<B>(B);
    impl<B: Body> Work for Fastest<B> {
        type Out = B::Out;

        #[inline(always)]
        fn by<I: Isa>(self) -> B::Out {
            // SAFETY: `on_this_cpu` calls this for an instruction set that the CPU has; the rest is the caller's promise.
            unsafe { I::run(self.0) }
        }
    }
    on_this_cpu(Fastest(body))
}

/// An instruction set: the compiled forms of [`tile`](super::tile).
pub(super) trait Isa {
    /// Columns of a tile.
    const COLUMNS: usize;

    /// Folds the tiles of a strip up to, not including, the first that holds a value too large for the output type, an
    /// infinity or a NaN. Returns how many it folded.
    ///
    /// # Safety
    /// - The CPU has the instruction set.
    /// - The strip's pointers cover its rows, columns and rank; base and output are the same memory or do not overlap.
    unsafe fn strip<F: Element, T: Element, const STATISTICS: bool>(
        strip: &Strip,
        statistics: &mut Statistics,
    ) -> usize;

    /// Writes the tile `left * right`, `ROWS` rows of `COLUMNS` values, to `delta`.
    ///
    /// # Safety
    /// - The CPU has the instruction set.
    /// - `left` points into a panel, `right` to the tile's first column in its panel, both `rank` long.
    unsafe fn product(left: *const f32, right: *const f32, rank: usize, delta: *mut f32);

    /// Does other work with its vectors.
    ///
    /// # Safety
    /// The CPU has the instruction set, and whatever the work asks for.
    unsafe fn run<B: Body>(body: B) -> B::Out;

    /// Multiplies and adds, for the benchmark.
    ///
    /// # Safety
    /// The CPU has the instruction set.
    #[cfg(feature = "bench")]
    unsafe fn peak(turns: usize) -> f32;
}

/// Something that each instruction set does.
pub(super) trait Work {
    type Out;

    /// Do it by this one, which the CPU has.
    fn by<I: Isa>(self) -> Self::Out;
}

/// Do something by the fastest instruction set of this CPU.
#[inline(always)]
pub(super) fn on_this_cpu<W: Work>(work: W) -> W::Out {
    #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
    return work.by::<super::wasm32::Simd128>();
    #[cfg(target_arch = "aarch64")]
    return work.by::<super::aarch64::Neon>();
    #[cfg(target_arch = "x86_64")]
    return if std::arch::is_x86_feature_detected!("avx2") {
        work.by::<super::avx2::Avx2>()
    } else {
        work.by::<super::sse2::Sse2>()
    };
    #[allow(unreachable_code, reason = "only where there is no SIMD")]
    work.by::<super::scalar::Scalar>()
}

pub(super) type StripFn = unsafe fn(&Strip, &mut Statistics) -> usize;
pub(super) type ProductFn = unsafe fn(*const f32, *const f32, usize, *mut f32);

/// One instruction set's functions for one pair of types.
#[derive(Clone, Copy)]
pub(super) struct Kernel {
    pub columns: usize,
    /// `None` if a type is f64: then elements are folded one by one.
    pub strip: Option<StripFn>,
    pub product: ProductFn,
}

impl Kernel {
    /// The fastest on this CPU.
    pub(super) fn detect(from: Float, to: Float, statistics: bool) -> Kernel {
        struct Detect(Float, Float, bool);
        impl Work for Detect {
            type Out = Kernel;

            fn by<I: Isa>(self) -> Kernel {
                Kernel::of::<I>(self.0, self.1, self.2)
            }
        }
        on_this_cpu(Detect(from, to, statistics))
    }

    pub(super) fn of<I: Isa>(from: Float, to: Float, statistics: bool) -> Kernel {
        let strip = match from {
            Float::F16 => strip_from::<I, F16>(to, statistics),
            Float::Bf16 => strip_from::<I, Bf16>(to, statistics),
            Float::F32 => strip_from::<I, F32>(to, statistics),
            Float::F64 => None,
        };
        Kernel { columns: I::COLUMNS, strip, product: I::product }
    }
}

fn strip_from<I: Isa, F: Element>(to: Float, statistics: bool) -> Option<StripFn> {
    match to {
        Float::F16 => Some(strip_from_to::<I, F, F16>(statistics)),
        Float::Bf16 => Some(strip_from_to::<I, F, Bf16>(statistics)),
        Float::F32 => Some(strip_from_to::<I, F, F32>(statistics)),
        Float::F64 => None,
    }
}

fn strip_from_to<I: Isa, F: Element, T: Element>(statistics: bool) -> StripFn {
    match (F::FLOAT == T::FLOAT, statistics) {
        (true, true) => I::strip::<F, T, true>,
        (true, false) => I::strip::<F, T, false>,
        (false, true) => converting::strip::<I, F, T, true>,
        (false, false) => converting::strip::<I, F, T, false>,
    }
}

/// Runs what is given by every instruction set that this CPU has, the fastest last.
#[cfg(test)]
macro_rules! by_each {
    ($work:expr, $then:expr) => {
        let by_scalar = $work.by::<crate::kernel::scalar::Scalar>();
        $then(by_scalar);
        #[cfg(target_arch = "x86_64")]
        {
            let by_sse2 = $work.by::<crate::kernel::sse2::Sse2>();
            $then(by_sse2);
        }
        let by_fastest = crate::kernel::isa::on_this_cpu($work);
        $then(by_fastest);
    };
}
#[cfg(test)]
pub(super) use by_each;

/// The tests that run a generic function for every instruction set that this CPU has.
#[cfg(test)]
macro_rules! batteries {
    ($battery:ident) => {
        #[test]
        fn scalar_battery() {
            $battery::<crate::kernel::scalar::Scalar>();
        }

        #[test]
        fn simd_battery() {
            #[cfg(all(target_arch = "wasm32", target_feature = "simd128"))]
            $battery::<crate::kernel::wasm32::Simd128>();
            #[cfg(target_arch = "aarch64")]
            $battery::<crate::kernel::aarch64::Neon>();
            #[cfg(target_arch = "x86_64")]
            {
                $battery::<crate::kernel::sse2::Sse2>();
                if std::arch::is_x86_feature_detected!("avx2") {
                    $battery::<crate::kernel::avx2::Avx2>();
                }
            }
        }
    };
}
#[cfg(test)]
pub(super) use batteries;
