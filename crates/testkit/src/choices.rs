//! Where every decision of a run comes from: a seed, or the recorded decisions of another run.

/// Decisions, drawn one after the other. Zero is always the quiet one: go on, no fault, the plain
/// operation. So a run gets simpler as its decisions get smaller, and shrinking needs to know
/// nothing of what they mean.
#[derive(Clone, Debug)]
pub struct Choices {
    source: Source,
    taken: Vec<u32>,
}

#[derive(Clone, Debug)]
enum Source {
    Random(fastrand::Rng),
    /// Behind the last one everything is zero.
    Recorded(std::vec::IntoIter<u32>),
}

impl Choices {
    /// Decisions that a seed makes.
    #[must_use]
    pub fn seeded(seed: u64) -> Self {
        Self { source: Source::Random(fastrand::Rng::with_seed(seed)), taken: Vec::new() }
    }

    /// The decisions of another run, and zeros behind them.
    #[must_use]
    pub fn recorded(taken: Vec<u32>) -> Self {
        Self { source: Source::Recorded(taken.into_iter()), taken: Vec::new() }
    }

    /// A number below `n`.
    pub fn below(&mut self, n: u32) -> u32 {
        let n = n.max(1);
        let value = match &mut self.source {
            Source::Random(random) => random.u32(..n),
            Source::Recorded(values) => values.next().unwrap_or(0).min(n - 1),
        };
        self.taken.push(value);
        value
    }

    /// True once in `n` times; never where `n` is zero.
    pub fn once_in(&mut self, n: u32) -> bool {
        n > 0 && self.below(n) == n - 1 && n > 1
    }

    /// One of these; the first is the quiet one.
    pub fn one_of<T: Copy>(&mut self, values: &[T]) -> T {
        values[self.below(u32::try_from(values.len()).unwrap_or(u32::MAX)) as usize]
    }

    /// Everything that was decided so far.
    #[must_use]
    pub fn taken(&self) -> &[u32] {
        &self.taken
    }
}
