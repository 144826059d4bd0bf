//! Sorting. The standard library's sort takes six kilobytes of the WebAssembly module for every type of value. This one is compiled once, for the
//! numbers of the values.

use std::cmp::Ordering;

/// Sort, equal values in the order that they have.
pub(crate) fn sort_by<T>(items: &mut [T], compare: impl Fn(&T, &T) -> Ordering) {
    let mut order: Vec<u32> = (0..items.len() as u32).collect();
    sort_numbers(&mut order, &|one, other| compare(&items[one as usize], &items[other as usize]));
    // Along each cycle of the permutation, one exchange after another: a second list would take as much memory as the first.
    for start in 0..order.len() {
        let mut at = start;
        loop {
            let from = std::mem::replace(&mut order[at], at as u32) as usize;
            if from == start {
                break;
            }
            items.swap(at, from);
            at = from;
        }
    }
}

/// Sort, equal values in the order that they have.
pub(crate) fn sort<T: Ord>(items: &mut [T]) {
    sort_by(items, T::cmp);
}

/// Sort the numbers of things, in place. Equal things are ordered by number.
pub(crate) fn sort_numbers(numbers: &mut [u32], compare: &dyn Fn(u32, u32) -> Ordering) {
    numbers.sort_unstable_by(|&one, &other| compare(one, other).then(one.cmp(&other)));
}

#[cfg(test)]
mod tests {
    use super::{sort, sort_by};

    #[test]
    fn equal_values_stay_in_their_order() {
        let mut rows: Vec<(u32, u32)> = (0..500).map(|number| (number * 7919 % 13, number)).collect();
        let mut expected = rows.clone();
        expected.sort_by_key(|row| row.0);
        sort_by(&mut rows, |one, other| one.0.cmp(&other.0));
        assert_eq!(rows, expected);
        let mut names = vec!["b".to_string(), "a".into(), "b".into(), String::new()];
        sort(&mut names);
        assert_eq!(names, ["", "a", "b", "b"]);
    }
}
