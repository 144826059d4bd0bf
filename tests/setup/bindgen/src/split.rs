//! `split MODULE.wasm LIST FIRST.wasm REST.wasm`: a module as two, of which a program loads the second when it first calls into it.
//!
//! LIST names paths of the crate, one a line: functions whose names have one of them go to the rest, with all that only they call. In their place
//! the first module has short ones that call the import `rest.load` once, and then what that has put into the table. Both share memory, table
//! and globals: the rest imports them from `first`, like the functions that it calls there. What it imports from JavaScript, it imports as the
//! first does. A line `data FILE` moves the bytes of this file, which the crate includes and only the rest reads; FILE is beside LIST or, with `../`, above
//! it. One of the names has a hash of the whole module, so that halves of different modules do not link.

use std::collections::{HashMap, HashSet};
use std::hash::{DefaultHasher, Hasher};
use std::path::Path;
use std::{env, fs};

use anyhow::{Context, Result, bail};
use walrus::ir::{Call, Value, Visitor, dfs_in_order};
use walrus::{
    ConstExpr, DataId, DataKind, ElementItems, ElementKind, ExportItem, FunctionBuilder, FunctionId, FunctionKind,
    GlobalKind, ImportedFunction, MemoryId, Module, TableId, ValType,
};

fn main() -> Result<()> {
    let given: Vec<String> = env::args().skip(1).collect();
    let [module, list, first, rest] = given.as_slice() else {
        bail!("usage: split MODULE.wasm LIST FIRST.wasm REST.wasm")
    };
    let bytes = fs::read(module)?;
    let folder = Path::new(list).parent().context("the list is in no folder")?;
    let list = fs::read_to_string(list)?;
    let lines = list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'));
    let (files, paths): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.starts_with("data "));
    let files =
        files.iter().map(|line| fs::read(folder.join(&line["data ".len()..])).with_context(|| line.to_string()));
    let files = files.collect::<Result<Vec<_>>>()?;
    // Identifiers are those of one parsed module: each half is made of one of its own, in which the same functions have the same order.
    let loaded = loaded_name(&bytes);
    let whole = Module::from_buffer(&bytes)?;
    fs::write(first, Split::of(&whole, &paths)?.first(whole, &loaded, &files)?)?;
    let whole = Module::from_buffer(&bytes)?;
    fs::write(rest, Split::of(&whole, &paths)?.rest(whole, &loaded, &files)?)?;
    Ok(())
}

/// What the global that says whether the rest is there is exported as.
fn loaded_name(module: &[u8]) -> String {
    let mut hash = DefaultHasher::new();
    hash.write(module);
    format!("$loaded-{:016x}", hash.finish())
}

/// What is where.
struct Split {
    /// Functions of the rest that the first module calls, each with its places in the table.
    slots: HashMap<FunctionId, Vec<u64>>,
    /// Places that the table has in the end.
    table_length: u64,
    table: TableId,
    /// What the rest calls in the first module, with the names it is exported under.
    shared: HashMap<FunctionId, String>,
}

impl Split {
    fn of(module: &Module, paths: &[&str]) -> Result<Split> {
        let table = module.tables.main_function_table()?.context("the module has no table of functions")?;
        let placed = placed(module, table)?;
        let calls: HashMap<FunctionId, Vec<FunctionId>> =
            module.funcs.iter_local().map(|(id, _)| (id, calls_of(module, id))).collect();
        let mut named = HashSet::new();
        for path in paths {
            let before = named.len();
            named.extend(module.funcs.iter_local().map(|(id, _)| id).filter(|id| has_path(module, *id, path)));
            if named.len() == before {
                bail!("no function is in {path}, or one above it in the list has them all");
            }
        }
        // What can be reached without entering a function of the list stays.
        let exported = module.exports.iter().filter_map(|export| match export.item {
            ExportItem::Function(id) => Some(id),
            _ => None,
        });
        let mut open: Vec<FunctionId> =
            exported.chain(placed.keys().copied()).chain(module.start).filter(|id| !named.contains(id)).collect();
        let mut stays: HashSet<FunctionId> = open.iter().copied().collect();
        while let Some(id) = open.pop() {
            for called in calls.get(&id).into_iter().flatten() {
                if !named.contains(called) && stays.insert(*called) {
                    open.push(*called);
                }
            }
        }
        let moved: HashSet<FunctionId> = calls.keys().copied().filter(|id| !stays.contains(id)).collect();
        let mut entered: Vec<FunctionId> = stays
            .iter()
            .flat_map(|id| calls.get(id).into_iter().flatten())
            .copied()
            .filter(|id| moved.contains(id))
            .collect();
        entered.extend(module.exports.iter().filter_map(|export| match export.item {
            ExportItem::Function(id) if moved.contains(&id) => Some(id),
            _ => None,
        }));
        entered.extend(placed.keys().filter(|id| moved.contains(id)));
        entered.sort();
        entered.dedup();
        let mut table_length = module.tables.get(table).initial;
        let mut slots = HashMap::new();
        for id in entered {
            let places = placed.get(&id).cloned().unwrap_or_else(|| {
                table_length += 1;
                vec![table_length - 1]
            });
            slots.insert(id, places);
        }
        let mut shared: Vec<FunctionId> = moved
            .iter()
            .flat_map(|id| &calls[id])
            .copied()
            .filter(|id| stays.contains(id) && calls.contains_key(id))
            .collect();
        shared.sort();
        shared.dedup();
        let shared = shared.into_iter().enumerate().map(|(number, id)| (id, format!("${}", digits(number)))).collect();
        Ok(Split { slots, table_length, table, shared })
    }

    /// What is loaded first.
    fn first(&self, mut module: Module, loaded_name: &str, files: &[Vec<u8>]) -> Result<Vec<u8>> {
        for file in files {
            take_out(&mut module, file)?;
        }
        let loaded = module.globals.add_local(ValType::I32, true, false, ConstExpr::Value(Value::I32(0)));
        let nothing = module.types.add(&[], &[]);
        let (load, _) = module.add_import_func("rest", "load", nothing);
        let mut slots: Vec<_> = self.slots.iter().map(|(id, places)| (*id, places[0])).collect();
        slots.sort();
        for (id, slot) in slots {
            let ty = module.funcs.get(id).ty();
            let (params, results) = module.types.params_results(ty);
            let (params, results) = (params.to_vec(), results.to_vec());
            let args: Vec<_> = params.iter().map(|param| module.locals.add(*param)).collect();
            let mut stub = FunctionBuilder::new(&mut module.types, &params, &results);
            let mut body = stub.func_body();
            body.global_get(loaded).if_else(
                None,
                |_| {},
                |missing| {
                    missing.call(load);
                },
            );
            for arg in &args {
                body.local_get(*arg);
            }
            body.i32_const(i32::try_from(slot)?).call_indirect(ty, self.table);
            module.funcs.get_mut(id).kind = FunctionKind::Local(stub.local_func(args));
        }
        let table = module.tables.get_mut(self.table);
        table.initial = self.table_length;
        table.maximum = None;
        module.exports.add(loaded_name, loaded);
        if module.exports.get_exported_table(self.table).is_none() {
            module.exports.add("$table", self.table);
        }
        for (number, global) in own_globals(&module, loaded).into_iter().enumerate() {
            module.exports.add(&format!("$global-{number}"), global);
        }
        let mut shared: Vec<_> = self.shared.iter().collect();
        shared.sort();
        for (id, name) in shared {
            module.exports.add(name, *id);
        }
        walrus::passes::gc::run(&mut module);
        Ok(module.emit_wasm())
    }

    /// What is loaded when it is called.
    fn rest(&self, mut module: Module, loaded_name: &str, files: &[Vec<u8>]) -> Result<Vec<u8>> {
        let places = files.iter().map(|file| place_of(&module, file)).collect::<Result<Vec<_>>>()?;
        let exported = |item: fn(&ExportItem) -> bool, module: &Module| {
            module.exports.iter().find(|export| item(&export.item)).map(|export| export.name.clone())
        };
        let memory = module.get_memory_id()?;
        let memory_name =
            exported(|item| matches!(item, ExportItem::Memory(_)), &module).context("the memory is not exported")?;
        let table_name =
            module.exports.get_exported_table(self.table).map_or("$table".into(), |export| export.name.clone());
        let tables: Vec<TableId> =
            module.tables.iter().map(|table| table.id()).filter(|id| *id != self.table).collect();
        for (number, global) in own_globals(&module, None).into_iter().enumerate() {
            let import = module.imports.add("first", &format!("$global-{number}"), global);
            module.globals.get_mut(global).kind = GlobalKind::Import(import);
        }
        let import = module.imports.add("first", &memory_name, memory);
        module.memories.get_mut(memory).import = Some(import);
        module.memories.get_mut(memory).data_segments.clear();
        let import = module.imports.add("first", &table_name, self.table);
        let table = module.tables.get_mut(self.table);
        table.import = Some(import);
        table.initial = self.table_length;
        table.maximum = None;
        table.elem_segments.clear();
        for id in tables {
            // Tables of references to JavaScript's objects.
            let name = module.exports.get_exported_table(id).context("a table is not exported")?.name.clone();
            let import = module.imports.add("first", &name, id);
            module.tables.get_mut(id).import = Some(import);
            module.tables.get_mut(id).elem_segments.clear();
        }
        let ids: Vec<_> = module.exports.iter().map(|export| export.id()).collect();
        ids.into_iter().for_each(|id| module.exports.delete(id));
        let ids: Vec<_> = module.data.iter().map(|data| data.id()).collect();
        ids.into_iter().for_each(|id| module.data.delete(id));
        for ((_, _, address), file) in places.into_iter().zip(files) {
            add_data(&mut module, memory, address, file)?;
        }
        let ids: Vec<_> = module.elements.iter().map(|element| element.id()).collect();
        ids.into_iter().for_each(|id| module.elements.delete(id));
        // The places of the table are filled by then.
        let (loaded, _) = module.add_import_global("first", loaded_name, ValType::I32, true, false);
        let mut start = FunctionBuilder::new(&mut module.types, &[], &[]);
        start.func_body().i32_const(1).global_set(loaded);
        module.start = Some(start.finish(Vec::new(), &mut module.funcs));
        let mut shared: Vec<_> = self.shared.iter().collect();
        shared.sort();
        for (id, name) in shared {
            let ty = module.funcs.get(*id).ty();
            let import = module.imports.add("first", name, *id);
            module.funcs.get_mut(*id).kind = FunctionKind::Import(ImportedFunction { import, ty });
        }
        // One segment for each run of places.
        let mut slots: Vec<_> =
            self.slots.iter().flat_map(|(id, places)| places.iter().map(|place| (*place, *id))).collect();
        slots.sort();
        for run in slots.chunk_by(|a, b| a.0 + 1 == b.0) {
            let offset = ConstExpr::Value(Value::I32(i32::try_from(run[0].0)?));
            let items = ElementItems::Functions(run.iter().map(|(_, id)| *id).collect());
            let element = module.elements.add(ElementKind::Active { table: self.table, offset }, items);
            module.tables.get_mut(self.table).elem_segments.insert(element);
        }
        walrus::passes::gc::run(&mut module);
        Ok(module.emit_wasm())
    }
}

/// The globals that are the module's own, as the stack's pointer is.
fn own_globals(module: &Module, but: impl Into<Option<walrus::GlobalId>>) -> Vec<walrus::GlobalId> {
    let but = but.into();
    module
        .globals
        .iter()
        .filter(|global| matches!(global.kind, GlobalKind::Local(_)) && Some(global.id()) != but)
        .map(|global| global.id())
        .collect()
}

/// Where the bytes of a file are: their segment, their place in it, and their address.
fn place_of(module: &Module, file: &[u8]) -> Result<(DataId, usize, u64)> {
    let mut places = module.data.iter().filter_map(|data| {
        let DataKind::Active { offset: ConstExpr::Value(Value::I32(offset)), .. } = data.kind else { return None };
        let at = data.value.windows(file.len()).position(|bytes| bytes == file)?;
        Some((data.id(), at, u64::from(offset as u32) + at as u64))
    });
    let place = places.next().context("the module does not hold the bytes of a file")?;
    if places.next().is_some() {
        bail!("the module holds the bytes of a file twice");
    }
    Ok(place)
}

/// Leave the bytes of a file out of the module's data.
fn take_out(module: &mut Module, file: &[u8]) -> Result<()> {
    let (id, at, address) = place_of(module, file)?;
    let memory = module.get_memory_id()?;
    let behind = module.data.get_mut(id).value.split_off(at).split_off(file.len());
    add_data(module, memory, address + file.len() as u64, &behind)
}

fn add_data(module: &mut Module, memory: MemoryId, address: u64, bytes: &[u8]) -> Result<()> {
    let offset = ConstExpr::Value(Value::I32(u32::try_from(address)? as i32));
    let data = module.data.add(DataKind::Active { memory, offset }, bytes.to_vec());
    module.memories.get_mut(memory).data_segments.insert(data);
    Ok(())
}

/// The functions of the table, with their places.
fn placed(module: &Module, table: TableId) -> Result<HashMap<FunctionId, Vec<u64>>> {
    let mut placed: HashMap<FunctionId, Vec<u64>> = HashMap::new();
    for element in module.elements.iter() {
        let ElementKind::Active { table: of, offset } = &element.kind else { continue };
        if *of != table {
            continue;
        }
        let (ConstExpr::Value(Value::I32(offset)), ElementItems::Functions(functions)) = (offset, &element.items)
        else {
            bail!("the table of functions is filled by what is no constant");
        };
        for (number, id) in functions.iter().enumerate() {
            placed.entry(*id).or_default().push(*offset as u64 + number as u64);
        }
    }
    Ok(placed)
}

/// Whether the function is in `path`: `lorafold::op::loha::f`, or `<lorafold::op::loha::X as Y>::f`. Code that others have for its types, as the
/// standard library drops them, is not. A path with `$` at its end is that function alone, without the closures in it.
fn has_path(module: &Module, id: FunctionId, path: &str) -> bool {
    let Some(name) = &module.funcs.get(id).name else { return false };
    // The optimiser has made one of those of several classes, under the name of any.
    if name.contains(" as wasm_bindgen::") {
        return false;
    }
    let name = name.trim_start_matches(['<', '&']);
    if let Some(function) = path.strip_suffix('$') {
        // Behind the path is a hash.
        return name.strip_prefix(function).is_some_and(|rest| rest.starts_with("::h") && !rest[3..].contains("::"));
    }
    name.strip_prefix(path).is_some_and(|rest| !rest.starts_with(|next: char| next.is_alphanumeric() || next == '_'))
}

/// What a function calls directly.
fn calls_of(module: &Module, id: FunctionId) -> Vec<FunctionId> {
    struct Calls(Vec<FunctionId>);
    impl<'a> Visitor<'a> for Calls {
        fn visit_call(&mut self, call: &Call) {
            self.0.push(call.func);
        }
        fn visit_return_call(&mut self, call: &walrus::ir::ReturnCall) {
            self.0.push(call.func);
        }
        fn visit_ref_func(&mut self, place: &walrus::ir::RefFunc) {
            self.0.push(place.func);
        }
    }
    let mut calls = Calls(Vec::new());
    if let FunctionKind::Local(function) = &module.funcs.get(id).kind {
        dfs_in_order(&mut calls, function, function.entry_block());
    }
    calls.0
}

/// A short name for a number.
fn digits(mut number: usize) -> String {
    const DIGITS: &[u8] = b"0123456789abcdefghijklmnopqrstuvwxyz";
    let mut text = Vec::new();
    loop {
        text.insert(0, DIGITS[number % DIGITS.len()]);
        number /= DIGITS.len();
        if number == 0 {
            return String::from_utf8_lossy(&text).into_owned();
        }
    }
}
