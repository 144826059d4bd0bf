//! What a pickle of tensors holds: flat lists that refer to one another by number, so that nothing is nested.

use super::global::Global;
use super::refused;
use crate::container::limits;
use crate::error::Result;
use crate::tensor::Dtype;

/// A part of the pickle's bytes that is UTF-8.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Text {
    pub(super) start: u32,
    pub(super) end: u32,
}

/// A value that a pickle makes.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Value {
    None,
    Bool,
    Int(i64),
    Text(Text),
    Global(Global),
    /// A range of the machine's list of the parts of all tuples.
    Tuple {
        start: u32,
        end: u32,
    },
    /// The number that its items have.
    Dict(u32),
    /// The number of a storage.
    Storage(u32),
    /// The number of a tensor.
    Tensor(u32),
}

/// One storage, as a persistent id names it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Storage {
    /// The name of its entry in the archive.
    pub(super) key: Text,
    /// The type of its elements, or nothing if they are bytes.
    pub(super) dtype: Option<Dtype>,
    /// Number of elements.
    pub(super) elements: u64,
}

impl Storage {
    /// Its size in bytes, or nothing if that overflows.
    pub(super) fn bytes(&self) -> Option<u64> {
        self.elements.checked_mul(self.dtype.map_or(1, |dtype| dtype.bitsize() as u64 / 8))
    }
}

/// One tensor, as a view of a storage.
#[derive(Debug, Clone, Copy)]
pub(super) struct Tensor {
    /// Number of its storage.
    pub(super) storage: u32,
    pub(super) dtype: Dtype,
    /// First element, counted from the start of the storage.
    pub(super) offset: u64,
    /// Whether its elements follow one another as its shape says.
    pub(super) contiguous: bool,
    /// Its dimensions, as a part of [`State::dims`].
    pub(super) dims: [u32; 2],
}

/// What a pickle holds.
#[derive(Debug, Default)]
pub(super) struct State<'a> {
    pub(super) pickle: &'a [u8],
    pub(super) storages: Vec<Storage>,
    pub(super) tensors: Vec<Tensor>,
    /// The dimensions of every tensor, one tensor after the other.
    pub(super) dims: Vec<u64>,
    /// The items of all dictionaries.
    pub(super) items: Vec<Item>,
    /// The number of the outermost dictionary.
    pub(super) whole: u32,
}

/// An item of a dictionary.
#[derive(Debug, Clone, Copy)]
pub(super) struct Item {
    /// Number of the dictionary.
    pub(super) dict: u32,
    pub(super) key: Value,
    pub(super) value: Value,
}

impl<'a> State<'a> {
    /// The items of the outermost dictionary as (name, tensor), in order.
    ///
    /// # Errors
    /// `unsupported` for an item that is not a tensor with a name.
    pub(super) fn tensors(&self, file: &str) -> impl Iterator<Item = Result<(&'a str, &Tensor)>> {
        self.items.iter().filter(|item| item.dict == self.whole).map(move |item| {
            let Value::Text(key) = item.key else {
                return Err(refused(file, "an entry in it has a name that is not text"));
            };
            let name = self.text(key);
            let tensor = if let Value::Tensor(number) = item.value { self.tensors.get(number as usize) } else { None };
            tensor.map(|tensor| (name, tensor)).ok_or_else(|| {
                let name: String = name.chars().take(80).collect();
                refused(file, &format!("its entry {name:?} is not a tensor"))
                    .fix("save the tensors alone, as a state dict, without whatever is around them")
            })
        })
    }

    pub(super) fn storage(&self, tensor: &Tensor) -> Option<&Storage> {
        self.storages.get(tensor.storage as usize)
    }

    pub(super) fn shape(&self, tensor: &Tensor) -> &[u64] {
        self.dims.get(tensor.dims[0] as usize..tensor.dims[1] as usize).unwrap_or_default()
    }

    pub(super) fn text(&self, text: Text) -> &'a str {
        // This was checked when it was read.
        let bytes = self.pickle.get(text.start as usize..text.end as usize);
        bytes.and_then(|bytes| str::from_utf8(bytes).ok()).unwrap_or_default()
    }
}

/// Whole numbers, at most as many as a tensor may have dimensions, and their count.
pub(super) fn numbers(values: &[Value]) -> Option<([u64; limits::DIMENSIONS], usize)> {
    let mut numbers = [0; limits::DIMENSIONS];
    for (value, place) in values.iter().zip(numbers.get_mut(..values.len())?) {
        let Value::Int(number) = value else { return None };
        *place = u64::try_from(*number).ok()?;
    }
    Some((numbers, values.len()))
}

/// Whether elements with these `strides` follow one another in row-major order, as `shape` says: PyTorch's `is_contiguous`, which ignores the
/// stride of a dimension of size 1.
pub(super) fn is_contiguous(shape: &[u64], strides: &[u64]) -> bool {
    let mut expected = Some(1u64);
    let mut follows = |(&size, &stride): (&u64, &u64)| {
        let right = size == 1 || Some(stride) == expected;
        expected = expected.and_then(|expected| expected.checked_mul(size));
        right
    };
    shape.contains(&0) || shape.iter().zip(strides).rev().all(&mut follows)
}
