//! A pickle machine that can make nothing but dictionaries of tensors.
//!
//! It knows the opcodes that `torch.save` uses for tensors (Python's protocol 2, `pickletools`) and the names of [`Global`]. It refuses every
//! other one, and calls nothing. Its values are flat, so that neither reading nor freeing them recurses. Memory is reserved before it is
//! used: at most a few dozen bytes for an opcode, and a pickle has at most [`limits::PICKLE_BYTES`].

use super::bytes::Bytes;
use super::global::{self, Global};
use super::state::{Item, State, Storage, Tensor, Text, Value, is_contiguous, numbers};
use super::{opcode, refused};
use crate::container::limits;
use crate::container::memory::reserve;
use crate::error::{Error, ErrorKind, Result};
use crate::tensor::Dtype;

/// Read `pickle`, which is a part of `file`.
///
/// # Errors
/// `unsupported` for whatever tensors do not need, `bad-header` for what is not a pickle, `limit-exceeded` when there is not enough memory.
pub(super) fn read<'a>(file: &'a str, pickle: &'a [u8]) -> Result<State<'a>> {
    let mut machine = Machine {
        file,
        rest: Bytes(pickle),
        stack: Vec::new(),
        marks: Vec::new(),
        memo: Vec::new(),
        parts: Vec::new(),
        dicts: 0,
        state: State { pickle, ..State::default() },
    };
    while machine.step()? {}
    Ok(machine.state)
}

struct Machine<'a> {
    file: &'a str,
    rest: Bytes<'a>,
    stack: Vec<Value>,
    /// Lengths of the stack.
    marks: Vec<u32>,
    memo: Vec<Value>,
    /// The parts of all tuples.
    parts: Vec<Value>,
    /// Number of dictionaries so far.
    dicts: u32,
    state: State<'a>,
}

impl<'a> Machine<'a> {
    /// Execute one opcode. Returns whether there are more.
    fn step(&mut self) -> Result<bool> {
        let at = self.position();
        let opcode = self.need(|rest| rest.u8())?;
        match opcode {
            0x80 => self.protocol(at)?,
            b'.' => return self.stop().map(|()| false),
            b'(' => {
                reserve(self.file, &mut self.marks, 1)?;
                self.marks.push(self.stack.len() as u32);
            }
            b'N' => self.push(Value::None)?,
            0x88 | 0x89 => self.push(Value::Bool)?,
            b'J' => {
                let number = self.need(|rest| rest.array().map(i32::from_le_bytes))?;
                self.push(Value::Int(number.into()))?;
            }
            b'K' => {
                let number = self.need(|rest| rest.u8())?;
                self.push(Value::Int(number.into()))?;
            }
            b'M' => {
                let number = self.need(|rest| rest.u16())?;
                self.push(Value::Int(number.into()))?;
            }
            0x8a => self.long()?,
            b'X' => self.text()?,
            b'c' => self.global()?,
            b')' => self.tuple(self.stack.len())?,
            0x85..=0x87 => {
                let count = usize::from(opcode - 0x84);
                self.tuple(self.stack.len().checked_sub(count).ok_or_else(|| self.broken())?)?;
            }
            b't' => {
                let start = self.mark()?;
                self.tuple(start)?;
            }
            b'}' => self.dict()?,
            b's' => {
                let start = self.stack.len().checked_sub(2).ok_or_else(|| self.broken())?;
                self.set_items(start)?;
            }
            b'u' => {
                let start = self.mark()?;
                self.set_items(start)?;
            }
            b'q' => {
                let number = self.need(|rest| rest.u8())?;
                self.put(number.into())?;
            }
            b'r' => {
                let number = self.need(|rest| rest.u32())?;
                self.put(number)?;
            }
            b'h' => {
                let number = self.need(|rest| rest.u8())?;
                self.get(number.into())?;
            }
            b'j' => {
                let number = self.need(|rest| rest.u32())?;
                self.get(number)?;
            }
            b'Q' => self.storage()?,
            b'R' => self.reduce()?,
            b'b' => self.build()?,
            _ => {
                return Err(match opcode::refused(opcode) {
                    Some(name) => {
                        pickled(self.file, &format!("its pickle has the opcode {name}, which tensors do not need"))
                    }
                    None => {
                        Error::bad_header(self.file, format!("byte {at} of its pickle, {opcode:#04x}, is no opcode"))
                    }
                });
            }
        }
        Ok(true)
    }

    fn position(&self) -> usize {
        self.state.pickle.len() - self.rest.0.len()
    }

    /// What `read` takes from the rest of the bytes.
    fn need<T>(&mut self, read: impl FnOnce(&mut Bytes<'a>) -> Option<T>) -> Result<T> {
        read(&mut self.rest).ok_or_else(|| Error::bad_header(self.file, "its pickle is cut off"))
    }

    /// The error for opcodes that do not fit together.
    fn broken(&self) -> Error {
        Error::bad_header(self.file, format!("its pickle is not valid before byte {}", self.position()))
    }

    /// The error for values that do not make a tensor.
    fn unusual(&self, what: &str) -> Error {
        pickled(self.file, &format!("its pickle makes {what} in a way that tensors do not need"))
    }

    fn push(&mut self, value: Value) -> Result<()> {
        if self.stack.len() == limits::PICKLE_STACK {
            let reason = format!("its pickle has more than {} values at once", limits::PICKLE_STACK);
            return Err(Error::limit_exceeded(self.file, reason).file(self.file));
        }
        reserve(self.file, &mut self.stack, 1)?;
        self.stack.push(value);
        Ok(())
    }

    /// Take the last value, which must be above the last mark.
    fn pop(&mut self) -> Result<Value> {
        let floor = self.floor();
        let value = if self.stack.len() > floor { self.stack.pop() } else { None };
        value.ok_or_else(|| self.broken())
    }

    /// The value that stays on top of the stack.
    fn top(&self) -> Result<Value> {
        let value = if self.stack.len() > self.floor() { self.stack.last() } else { None };
        value.copied().ok_or_else(|| self.broken())
    }

    /// Where the values above the last mark begin.
    fn floor(&self) -> usize {
        self.marks.last().map_or(0, |&mark| mark as usize)
    }

    /// Remove the last mark. Returns where the values above it begin.
    fn mark(&mut self) -> Result<usize> {
        self.marks.pop().map(|mark| mark as usize).ok_or_else(|| self.broken())
    }

    fn protocol(&mut self, at: usize) -> Result<()> {
        match self.need(|rest| rest.u8())? {
            2 if at == 0 => Ok(()),
            2 => Err(self.broken()),
            other => Err(refused(self.file, &format!("its pickle is of protocol {other}, where torch.save writes 2"))),
        }
    }

    fn stop(&mut self) -> Result<()> {
        let whole = self.pop()?;
        if !self.stack.is_empty() || !self.marks.is_empty() || !self.rest.0.is_empty() {
            return Err(self.broken());
        }
        let Value::Dict(whole) = whole else {
            return Err(refused(self.file, "it holds no dictionary of tensors").fix("save a state dict"));
        };
        self.state.whole = whole;
        Ok(())
    }

    /// An integer of any length; here at most 64 bits.
    fn long(&mut self) -> Result<()> {
        let bytes = self.need(|rest| {
            let count = rest.u8()?;
            rest.take(count.into())
        })?;
        let mut wide = [if bytes.last().is_some_and(|byte| byte & 0x80 != 0) { 0xff } else { 0 }; 8];
        let Some(low) = wide.get_mut(..bytes.len()) else { return Err(self.unusual("a number")) };
        low.copy_from_slice(bytes);
        self.push(Value::Int(i64::from_le_bytes(wide)))
    }

    fn text(&mut self) -> Result<()> {
        let bytes = self.need(|rest| {
            let count = rest.u32()?;
            rest.take(usize::try_from(count).ok()?)
        })?;
        if str::from_utf8(bytes).is_err() {
            return Err(self.broken());
        }
        let end = self.position();
        self.push(Value::Text(Text { start: (end - bytes.len()) as u32, end: end as u32 }))
    }

    fn global(&mut self) -> Result<()> {
        let [module, name] = self.need(|rest| Some([rest.line()?, rest.line()?]))?;
        let global = Global::of(module, name).ok_or_else(|| global::refused(self.file, module, name))?;
        self.push(Value::Global(global))
    }

    /// Make one tuple of the values from number `start` on.
    fn tuple(&mut self, start: usize) -> Result<()> {
        if start < self.floor() || start > self.stack.len() {
            return Err(self.broken());
        }
        reserve(self.file, &mut self.parts, self.stack.len() - start)?;
        let first = self.parts.len() as u32;
        self.parts.extend(self.stack.drain(start..));
        self.push(Value::Tuple { start: first, end: self.parts.len() as u32 })
    }

    fn parts(&self, value: Value) -> Option<&[Value]> {
        let Value::Tuple { start, end } = value else { return None };
        self.parts.get(start as usize..end as usize)
    }

    fn dict(&mut self) -> Result<()> {
        let number = self.dicts;
        self.dicts += 1;
        self.push(Value::Dict(number))
    }

    /// Put the values from number `start` on, keys and values in turn, into the dictionary before them.
    fn set_items(&mut self, start: usize) -> Result<()> {
        let dict = start.checked_sub(1).filter(|&at| at >= self.floor()).and_then(|at| self.stack.get(at));
        let (Some(&Value::Dict(dict)), 0) = (dict, (self.stack.len() - start) % 2) else { return Err(self.broken()) };
        reserve(self.file, &mut self.state.items, (self.stack.len() - start) / 2)?;
        let pairs = self.stack.get(start..).unwrap_or_default().as_chunks().0.iter();
        self.state.items.extend(pairs.map(|&[key, value]| Item { dict, key, value }));
        self.stack.truncate(start);
        Ok(())
    }

    /// Remember the last value as number `number`: the next one, or one that is there already.
    fn put(&mut self, number: u32) -> Result<()> {
        let value = self.top()?;
        let number = number as usize;
        if number == self.memo.len() {
            reserve(self.file, &mut self.memo, 1)?;
            self.memo.push(value);
            return Ok(());
        }
        *self.memo.get_mut(number).ok_or_else(|| Error::bad_header(self.file, "its pickle's memo has gaps"))? = value;
        Ok(())
    }

    fn get(&mut self, number: u32) -> Result<()> {
        let value = self.memo.get(number as usize).copied().ok_or_else(|| self.broken())?;
        self.push(value)
    }

    /// A persistent id: ("storage", class, key, location, number of elements).
    fn storage(&mut self) -> Result<()> {
        let id = self.pop()?;
        let Some(
            &[
                Value::Text(kind),
                Value::Global(Global::Storage(dtype)),
                Value::Text(key),
                Value::Text(_),
                Value::Int(elements),
            ],
        ) = self.parts(id)
        else {
            return Err(self.unusual("a storage"));
        };
        let (Ok(elements), "storage") = (u64::try_from(elements), self.state.text(kind)) else {
            return Err(self.unusual("a storage"));
        };
        reserve(self.file, &mut self.state.storages, 1)?;
        let number = self.state.storages.len() as u32;
        self.state.storages.push(Storage { key, dtype, elements });
        self.push(Value::Storage(number))
    }

    fn reduce(&mut self) -> Result<()> {
        let (arguments, function) = (self.pop()?, self.pop()?);
        let Some(arguments) = self.parts(arguments) else { return Err(self.broken()) };
        let made = match (function, arguments) {
            (Value::Global(Global::OrderedDict), []) => return self.dict(),
            (Value::Global(Global::Parameter), &[tensor @ Value::Tensor(_), Value::Bool, Value::Dict(_)]) => tensor,
            (
                Value::Global(Global::Tensor),
                &[Value::Storage(storage), Value::Int(offset), shape, strides, Value::Bool, Value::Dict(_)],
            ) => {
                let dtype = self.state.storages.get(storage as usize).and_then(|storage| storage.dtype);
                self.tensor(storage, dtype, offset, [shape, strides])?
            }
            (
                Value::Global(Global::TypedTensor),
                &[
                    Value::Storage(storage),
                    Value::Int(offset),
                    shape,
                    strides,
                    Value::Bool,
                    Value::Dict(_),
                    Value::Global(Global::Dtype(dtype)),
                ],
            ) => self.tensor(storage, Some(dtype), offset, [shape, strides])?,
            _ => return Err(self.unusual("a tensor")),
        };
        self.push(made)
    }

    /// A view of a storage: the offset of its first element, its shape, and how far apart its elements are.
    fn tensor(
        &mut self,
        storage: u32,
        dtype: Option<Dtype>,
        offset: i64,
        [shape, strides]: [Value; 2],
    ) -> Result<Value> {
        let numbers = |value| self.parts(value).and_then(numbers);
        let (Some(shape), Some(strides)) = (numbers(shape), numbers(strides)) else {
            return Err(self.unusual("a tensor's shape"));
        };
        let (Some(dtype), Ok(offset), true) = (dtype, u64::try_from(offset), shape.1 == strides.1) else {
            return Err(self.unusual("a tensor"));
        };
        let (shape, strides) = (&shape.0[..shape.1], &strides.0[..strides.1]);
        reserve(self.file, &mut self.state.dims, shape.len())?;
        reserve(self.file, &mut self.state.tensors, 1)?;
        let dims = [self.state.dims.len() as u32, (self.state.dims.len() + shape.len()) as u32];
        self.state.dims.extend_from_slice(shape);
        let number = self.state.tensors.len() as u32;
        let contiguous = is_contiguous(shape, strides);
        self.state.tensors.push(Tensor { storage, dtype, offset, contiguous, dims });
        Ok(Value::Tensor(number))
    }

    /// Set attributes of the dictionary on top. torch keeps versions in them; they say nothing about tensors.
    fn build(&mut self) -> Result<()> {
        match (self.pop()?, self.top()?) {
            (Value::Dict(_), Value::Dict(_)) => Ok(()),
            _ => Err(self.unusual("an object")),
        }
    }
}

/// The error for a pickle that needs more than tensors.
fn pickled(file: &str, reason: &str) -> Error {
    refused(file, reason).kind(ErrorKind::Pickle)
}
