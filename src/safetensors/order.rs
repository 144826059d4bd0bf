//! Sorting. (Each type that is sorted has the whole algorithm compiled once more: here that is numbers alone.)

use std::cmp::Ordering;

/// Sorts numbers of tensors by what `key` says of each; equal ones stay in order.
pub(crate) fn sort(order: &mut [usize], key: &dyn Fn(usize) -> [u64; 3]) {
    sort_by(order, &|a, b| key(a).cmp(&key(b)));
}

/// Sorts names.
pub(crate) fn sort_names(names: &mut Vec<&str>) {
    let mut order: Vec<usize> = (0..names.len()).collect();
    sort_by(&mut order, &|a, b| names[a].cmp(names[b]));
    *names = order.into_iter().map(|number| names[number]).collect();
}

fn sort_by(order: &mut [usize], compare: &dyn Fn(usize, usize) -> Ordering) {
    order.sort_unstable_by(|&a, &b| compare(a, b).then(a.cmp(&b)));
}
