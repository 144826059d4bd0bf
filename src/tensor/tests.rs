use super::*;
#[cfg(target_arch = "wasm32")]
use wasm_bindgen_test::wasm_bindgen_test as test;

/// A 16-bit type, with what IEEE 754 says of it.
struct Type {
    decode: fn(u16) -> f32,
    encode: fn(f32) -> u16,
    encode_f64: fn(f64) -> u16,
    nan: u16,
    /// The value of each code without a sign, by its exponent and fraction. Infinity, the last, counts as the power of two
    /// that would be next.
    values: Vec<f64>,
}

/// Both types.
fn types() -> [Type; 2] {
    let values = |fraction_bits: u32, bias: i32| -> Vec<f64> {
        let infinity = 0x7FFF >> fraction_bits << fraction_bits;
        let value = |code: u32| {
            let (exponent, fraction) = (code >> fraction_bits, code % (1 << fraction_bits));
            let implicit = if exponent > 0 { 1 << fraction_bits } else { 0 };
            f64::from(implicit + fraction) * 2f64.powi(exponent.max(1) as i32 - bias - fraction_bits as i32)
        };
        (0..=infinity).map(value).collect()
    };
    [
        Type {
            decode: f16::decode,
            encode: f16::encode,
            encode_f64: f16::encode_f64,
            nan: f16::NAN,
            values: values(10, 15),
        },
        Type {
            decode: bf16::decode,
            encode: bf16::encode,
            encode_f64: bf16::encode_f64,
            nan: bf16::NAN,
            values: values(7, 127),
        },
    ]
}

impl Type {
    fn infinity(&self) -> u16 {
        self.values.len() as u16 - 1
    }

    /// The code nearest to `value`, ties to even, by search.
    fn nearest(&self, value: f64) -> u16 {
        if value.is_nan() {
            return self.nan;
        }
        let magnitude = value.abs();
        let above = self.values.partition_point(|other| *other <= magnitude).min(self.values.len() - 1);
        // Near the middle both distances are exact.
        let [to_below, to_above] = [above - 1, above].map(|code| (magnitude - self.values[code]).abs());
        let is_below = to_below < to_above || to_below == to_above && above % 2 == 1;
        let code = if is_below && magnitude < self.values[above] { above - 1 } else { above };
        code as u16 | if value.is_sign_negative() { 0x8000 } else { 0 }
    }

    fn check(&self, value: f32) {
        assert_eq!((self.encode)(value), self.nearest(value.into()), "{value:e} = {:#010x}", value.to_bits());
    }
}

fn random_bits(seed: u64) -> impl Iterator<Item = u64> {
    let mut state = seed;
    std::iter::repeat_with(move || {
        state = state.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        state
    })
}

#[test]
fn every_16_bit_value_decodes_to_what_its_bits_mean() {
    for of in types() {
        for code in 0..=0x7FFF {
            let [positive, negative] = [code, code | 0x8000].map(of.decode);
            if code > of.infinity() {
                assert!(positive.is_nan() && negative.is_nan(), "{code:#06x}");
                continue;
            }
            let expected = if code == of.infinity() { f32::INFINITY } else { of.values[usize::from(code)] as f32 };
            assert_eq!([positive, negative].map(f32::to_bits), [expected, -expected].map(f32::to_bits), "{code:#06x}");
            assert_eq!([positive, negative].map(of.encode), [code, code | 0x8000]);
        }
    }
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
fn neighbours_and_middles_encode_to_the_nearest() {
    let types = types();
    for value in critical_f32s().chain(subnormal_middles()) {
        types.iter().for_each(|of| of.check(value));
    }
}

#[test]
fn random_bit_patterns_encode_to_the_nearest() {
    let types = types();
    for bits in random_bits(1).take(200_000) {
        types.iter().for_each(|of| of.check(f32::from_bits((bits >> 32) as u32)));
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
fn f64_encodes_to_the_nearest() {
    for of in types() {
        for bits in random_bits(7).take(100_000) {
            let low = (bits >> 33) as usize % (of.values.len() - 1);
            let middle = (of.values[low] + of.values[low + 1]) / 2.0;
            for value in [middle, middle.next_down(), middle.next_up(), -middle, f64::from_bits(bits)] {
                assert_eq!((of.encode_f64)(value), of.nearest(value), "{value:e}");
            }
        }
    }
}

#[test]
fn types_have_the_names_of_the_format() {
    let names = "BOOL F4 F6_E2M3 F6_E3M2 U8 I8 F8_E5M2 F8_E4M3 F8_E8M0 F8_E4M3FNUZ F8_E5M2FNUZ I16 U16 F16 BF16 I32 U32 F32 C64 F64 I64 U64";
    for name in names.split(' ') {
        assert_eq!(dtype_named(name).map(|dtype| dtype.to_string()).as_deref(), Some(name));
    }
    let numbered: Vec<String> = dtype::ALL.iter().map(Dtype::to_string).collect();
    assert_eq!(numbered.join(" "), names);
    for name in ["", "f32", "F99", "F32 "] {
        assert_eq!(dtype_named(name), None);
    }
    for float in [Float::F16, Float::Bf16, Float::F32, Float::F64] {
        assert_eq!(Float::of(float.dtype()), Some(float));
        assert_eq!(8 * float.bytes(), float.dtype().bitsize());
    }
    assert_eq!(Float::of(Dtype::F8_E4M3), None);
}
