use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

#[test]
fn the_table_is_in_the_order_of_the_enum() {
    for (index, (dtype, name, _)) in TABLE.iter().enumerate() {
        assert_eq!(*dtype as usize, index);
        assert_eq!(Dtype::from_name(name), Some(*dtype));
    }
}

#[test]
fn every_16_bit_value_decodes_as_in_half() {
    for bits in 0..=u16::MAX {
        let (ours, theirs) = (f16::decode(bits), half::f16::from_bits(bits));
        assert!(ours.to_bits() == theirs.to_f32().to_bits() || ours.is_nan() && theirs.is_nan(), "f16 {bits:#06x}");
        let (ours, theirs) = (bf16::decode(bits), half::bf16::from_bits(bits));
        assert!(ours.to_bits() == theirs.to_f32().to_bits() || ours.is_nan() && theirs.is_nan(), "bf16 {bits:#06x}");
    }
}

fn encodes_as_in_half(value: f32) {
    let f16 = if value.is_nan() { f16::NAN } else { half::f16::from_f32(value).to_bits() };
    let bf16 = if value.is_nan() { bf16::NAN } else { half::bf16::from_f32(value).to_bits() };
    assert_eq!(f16::encode(value), f16, "f16 of {value:e} = {:#010x}", value.to_bits());
    assert_eq!(bf16::encode(value), bf16, "bf16 of {value:e} = {:#010x}", value.to_bits());
}

/// Every f32 close to a 16-bit value or to the middle of two.
pub(crate) fn critical_f32s() -> impl Iterator<Item = f32> {
    (0..=u16::MAX).flat_map(|bits| [f16::decode(bits).to_bits(), bf16::decode(bits).to_bits()]).flat_map(|exact| {
        [0, 0x0FFF, 0x1000, 0x1001, 0x7FFF, 0x8000, 0x8001, 0xFFFF]
            .into_iter()
            .flat_map(move |offset: u32| [exact.wrapping_add(offset), exact.wrapping_sub(offset)])
            .map(f32::from_bits)
    })
}

/// The middles of neighbouring subnormals of f16, which are not a fixed bit offset away.
fn subnormal_middles() -> impl Iterator<Item = f32> {
    (0..0x0401).flat_map(|unit: u32| {
        let middle = (2 * unit + 1) as f32 * 2.0f32.powi(-25);
        [-1i32, 0, 1].map(|step| f32::from_bits(middle.to_bits().wrapping_add_signed(step)))
    })
}

#[test]
fn neighbours_and_middles_encode_as_in_half() {
    critical_f32s().chain(subnormal_middles()).for_each(encodes_as_in_half);
}

#[test]
fn random_bit_patterns_encode_as_in_half() {
    let mut state = 1u64;
    for _ in 0..500_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        encodes_as_in_half(f32::from_bits((state >> 32) as u32));
    }
}

#[test]
fn f64_is_rounded_once() {
    // Just above the middle of two: rounding through f32 would land on the middle, and then on the even neighbour.
    assert_eq!(f16::encode_f64(1.0 + 2.0f64.powi(-11) + 2.0f64.powi(-40)), 0x3C01);
    assert_eq!(bf16::encode_f64(1.0 + 2.0f64.powi(-8) + 2.0f64.powi(-40)), 0x3F81);
    assert_eq!(f16::encode_f64(2.0f64.powi(-25) + 2.0f64.powi(-70)), 0x0001);
    assert_eq!(f16::encode_f64(65520.0 - 1e-9), 0x7BFF);
    assert_eq!(f16::encode_f64(-65520.0), 0xFC00);
    assert_eq!(bf16::encode_f64(1e300), 0x7F80);
    assert_eq!(bf16::encode_f64(f64::NAN), bf16::NAN);
    assert_eq!(f16::encode_f64(-0.0), 0x8000);
    assert_eq!(f16::encode_f64(-1e-300), 0x8000);
}

#[test]
fn f64_rounds_to_the_nearer_neighbour() {
    let mut state = 7u64;
    for _ in 0..200_000 {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let bits = (state >> 33) as u16 & 0x7FFF;
        let (low, high) = (f64::from(f16::decode(bits % 0x7BFF)), f64::from(f16::decode(bits % 0x7BFF + 1)));
        let middle = (low + high) / 2.0;
        assert_eq!(f16::encode_f64(middle - middle * 1e-15), bits % 0x7BFF);
        assert_eq!(f16::encode_f64(middle + middle * 1e-15), bits % 0x7BFF + 1);
    }
}
