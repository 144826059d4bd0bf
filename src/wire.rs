//! Values as bytes, for another thread that runs the same version. The parts follow one another, with nothing between them. Reading trusts the
//! bytes.

use std::borrow::Cow;
use std::ops::Range;

/// A value that is written as bytes and read back.
pub(crate) trait Wire: Sized {
    /// Append the value.
    fn put(&self, out: &mut Vec<u8>);

    /// Take a value from the front of `from`. `None` if there is none.
    fn take(from: &mut &[u8]) -> Option<Self>;
}

/// [`Wire`] for a struct, field by field. Fields after `without` are not written, and are empty when read.
macro_rules! wire {
    ($name:ident { $($part:ident),* $(,)? } $(without { $($left:ident),* })?) => {
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                $($crate::wire::Wire::put(&self.$part, out);)*
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                // They are read in the order in which they are written.
                Some($name { $($part: $crate::wire::Wire::take(from)?,)* $($($left: Default::default(),)*)? })
            }
        }
    };
}
pub(crate) use wire;

/// [`Wire`] for an enum: the number of the variant, then its parts.
macro_rules! wire_enum {
    ($name:ident { $($(#[cfg($cfg:meta)])? $variant:ident $(($($part:ident),+))? $({ $($field:ident),* })?),* $(,)? }) => {
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                enum Tag { $($(#[cfg($cfg)])? $variant),* }
                match self {
                    $($(#[cfg($cfg)])? Self::$variant $(($($part),+))? $({ $($field),* })? => {
                        out.push(Tag::$variant as u8);
                        $($($crate::wire::Wire::put($part, out);)+)?
                        $($($crate::wire::Wire::put($field, out);)*)?
                    })*
                }
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                enum Tag { $($(#[cfg($cfg)])? $variant),* }
                let tag = <u8 as $crate::wire::Wire>::take(from)?;
                $($(#[cfg($cfg)])? if tag == Tag::$variant as u8 {
                    $($(let $part = $crate::wire::Wire::take(from)?;)+)?
                    return Some(Self::$variant $(($($part),+))? $({ $($field: $crate::wire::Wire::take(from)?),* })?);
                })*
                None
            }
        }
    };
}
pub(crate) use wire_enum;

/// [`Wire`] for a type that has a text: `$put` gives it, `$take` reads it.
macro_rules! wire_text {
    ($name:ty, $put:expr, $take:expr) => {
        impl $crate::wire::Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                let text: String = $put(self);
                $crate::wire::Wire::put(&text, out);
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let text: String = $crate::wire::Wire::take(from)?;
                $take(&text)
            }
        }
    };
}
pub(crate) use wire_text;

macro_rules! wire_numbers {
    ($($name:ty),*) => {
        $(impl Wire for $name {
            fn put(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            fn take(from: &mut &[u8]) -> Option<Self> {
                let (bytes, rest) = from.split_first_chunk()?;
                *from = rest;
                Some(Self::from_le_bytes(*bytes))
            }
        })*
    };
}
wire_numbers!(u8, u32, u64, f32, f64);

impl Wire for usize {
    fn put(&self, out: &mut Vec<u8>) {
        (*self as u64).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        usize::try_from(u64::take(from)?).ok()
    }
}

impl Wire for bool {
    fn put(&self, out: &mut Vec<u8>) {
        u8::from(*self).put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(u8::take(from)? != 0)
    }
}

impl Wire for String {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = usize::take(from)?;
        let (text, rest) = from.split_at_checked(length)?;
        *from = rest;
        Some(std::str::from_utf8(text).ok()?.into())
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.is_some().put(out);
        if let Some(value) = self {
            value.put(out);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        if bool::take(from)? { T::take(from).map(Some) } else { Some(None) }
    }
}

impl<T: Wire> Wire for Box<T> {
    fn put(&self, out: &mut Vec<u8>) {
        T::put(self, out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        T::take(from).map(Box::new)
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.len().put(out);
        for value in self {
            value.put(out);
        }
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let length = usize::take(from)?;
        // Every value has at least one byte, so that a wrong length reserves no memory.
        let mut values = Vec::with_capacity(length.min(from.len()));
        for _ in 0..length {
            values.push(T::take(from)?);
        }
        Some(values)
    }
}

impl<T: Wire> Wire for Range<T> {
    fn put(&self, out: &mut Vec<u8>) {
        self.start.put(out);
        self.end.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some(T::take(from)?..T::take(from)?)
    }
}

impl<T: Wire, const N: usize> Wire for [T; N] {
    fn put(&self, out: &mut Vec<u8>) {
        self.iter().for_each(|value| value.put(out));
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        let values: Option<Vec<T>> = (0..N).map(|_| T::take(from)).collect();
        values?.try_into().ok()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?))
    }
}

impl<A: Wire, B: Wire, C: Wire> Wire for (A, B, C) {
    fn put(&self, out: &mut Vec<u8>) {
        self.0.put(out);
        self.1.put(out);
        self.2.put(out);
    }

    fn take(from: &mut &[u8]) -> Option<Self> {
        Some((A::take(from)?, B::take(from)?, C::take(from)?))
    }
}

wire_text!(Cow<'static, str>, |text: &Cow<str>| text.to_string(), |text: &str| Some(Cow::Owned(text.into())));
