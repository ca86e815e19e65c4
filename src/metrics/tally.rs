//! Counts by a closed set of labels: each has a name in the code and one in the exposition.

use std::marker::PhantomData;

/// One of a closed set.
pub trait Label: Copy + 'static {
    /// All of them, in the order of their places.
    const ALL: &'static [Self];

    /// The value of the label in the exposition.
    fn label(self) -> &'static str;

    /// Its place among all.
    fn place(self) -> usize;
}

/// Declares a closed set of labels: each name with what stands in the exposition.
macro_rules! labels {
    ($(#[$of_set:meta])* $set:ident { $($(#[$of:meta])* $name:ident = $label:literal,)+ }) => {
        $(#[$of_set])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        #[repr(u8)]
        pub enum $set { $($(#[$of])* $name,)+ }

        impl $set {
            /// How many there are.
            pub const COUNT: usize = [$($label),+].len();
        }

        impl $crate::metrics::tally::Label for $set {
            const ALL: &'static [Self] = &[$(Self::$name),+];

            fn label(self) -> &'static str {
                match self { $(Self::$name => $label),+ }
            }

            fn place(self) -> usize {
                self as usize
            }
        }
    };
}
pub(crate) use labels;

/// A count for each of `N` labels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Tally<L, const N: usize> {
    counts: [u64; N],
    of: PhantomData<L>,
}

impl<L, const N: usize> Default for Tally<L, N> {
    fn default() -> Self {
        Self { counts: [0; N], of: PhantomData }
    }
}

impl<L: Label, const N: usize> Tally<L, N> {
    const COMPLETE: () = assert!(L::ALL.len() == N, "a count for each label");

    /// Counts one.
    #[inline]
    pub fn count(&mut self, label: L) {
        self.add(label, 1);
    }

    /// Counts so many.
    #[inline]
    pub fn add(&mut self, label: L, count: u64) {
        let () = Self::COMPLETE;
        if let Some(total) = self.counts.get_mut(label.place()) {
            *total += count;
        }
    }

    /// Makes the count of a label what it is by another's word.
    pub fn set(&mut self, label: L, count: u64) {
        let () = Self::COMPLETE;
        if let Some(total) = self.counts.get_mut(label.place()) {
            *total = count;
        }
    }

    /// Returns the count of a label.
    pub fn of(&self, label: L) -> u64 {
        self.counts.get(label.place()).copied().unwrap_or_default()
    }

    /// Returns the sum of all.
    pub fn total(&self) -> u64 {
        self.counts.iter().sum()
    }

    /// Returns all counts, in the order of their labels.
    pub fn counts(&self) -> &[u64] {
        &self.counts
    }
}

/// Returns the values of all labels of a set.
pub fn values<L: Label>() -> Vec<&'static str> {
    L::ALL.iter().map(|label| label.label()).collect()
}
