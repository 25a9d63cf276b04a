//! Operations and crashes as an input says, on one journal with several owners, compared with a model
//! after each.
//!
//! An input is a sequence of operations, a byte each with its arguments behind it. The disk is in
//! memory: what was written stays, unless the tail behind the last sync is torn off. An owner can be
//! killed at any call to its disk, and its disk can be full; what became of an append in that moment
//! is looked up, whole or not at all, and must not change any more.

use super::model::Model;

const OPERATIONS_MAX: usize = 48;

/// Takes numbers off an input; zeros behind its end.
pub(crate) struct Numbers<'a>(&'a [u8]);

impl Numbers<'_> {
    /// An input at its end.
    pub(crate) fn none() -> Self {
        Self(&[])
    }

    pub(crate) fn next(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    pub(crate) fn below(&mut self, limit: usize) -> usize {
        usize::from(self.next()) % limit.max(1)
    }
}

/// See the module.
pub(crate) fn check(bytes: &[u8]) {
    let mut numbers = Numbers(bytes);
    let mut model = Model::new();
    for _ in 0..OPERATIONS_MAX {
        if numbers.0.is_empty() {
            break;
        }
        operate(&mut model, &mut numbers);
    }
    model.end();
}

fn operate(model: &mut Model, numbers: &mut Numbers<'_>) {
    let operation = numbers.next();
    let who = usize::from(operation / 32) % Model::OWNERS;
    match operation % 32 {
        0 | 1 => model.create(who),
        2..=5 => model.open(who, numbers),
        6..=9 => model.append(who, numbers),
        10..=13 => model.batch(who, numbers),
        14 | 15 => model.retry(who, numbers),
        16 | 17 => model.append_conditionally(who, numbers),
        18 => model.take_mark(who),
        19 => model.sync(who),
        20 => model.close(who),
        21 => model.drop_owner(who),
        22 => model.compact(who),
        23 => model.delete(who),
        24 => model.tear(numbers),
        25 => model.append_garbage(numbers),
        26 => model.quote(numbers),
        27 => model.flip_in_page(numbers),
        28 => model.doom(who, numbers),
        29 => model.fill_disk(who, numbers),
        30 => model.read_on(),
        _ => model.read(),
    }
}
