//! Which numbers of a sequence have come: a bit for each, so that a day at full load fits in memory.

/// Numbers of a sequence that starts at 0.
#[derive(Debug, Clone, Default)]
pub(super) struct Marks {
    words: Vec<u64>,
    distinct: u64,
    doubled: u64,
}

impl Marks {
    /// A number has come.
    pub(super) fn note(&mut self, number: u64) {
        let (word, bit) = (usize::try_from(number / 64).unwrap_or(usize::MAX), 1 << (number % 64));
        if word >= self.words.len() {
            self.words.resize(word.saturating_add(1), 0);
        }
        match self.words.get_mut(word) {
            Some(marks) if *marks & bit == 0 => {
                *marks |= bit;
                self.distinct += 1;
            }
            _ => self.doubled += 1,
        }
    }

    /// How many different ones have come.
    pub(super) const fn distinct(&self) -> u64 {
        self.distinct
    }

    /// How often one came that had come before.
    pub(super) const fn doubled(&self) -> u64 {
        self.doubled
    }

    /// How many below `end` have not come.
    pub(super) fn missing_below(&self, end: u64) -> u64 {
        let (whole, rest) = (usize::try_from(end / 64).unwrap_or(usize::MAX), end % 64);
        let before: u32 = self.words.iter().take(whole).map(|word| word.count_ones()).sum();
        let last = self.words.get(whole).map_or(0, |word| (word & ((1 << rest) - 1)).count_ones());
        end.saturating_sub(u64::from(before) + u64::from(last))
    }
}

#[cfg(test)]
mod tests {
    use super::Marks;

    #[test]
    fn what_has_not_come_is_missing_and_what_came_twice_is_doubled() {
        let mut marks = Marks::default();
        for number in (0..200).rev().filter(|number| ![3, 64, 130].contains(number)).chain([199, 7]) {
            marks.note(number);
        }
        assert_eq!((marks.distinct(), marks.doubled()), (197, 2));
        let missing = [0, 3, 4, 64, 65, 130, 131, 200, 210].map(|end| marks.missing_below(end));
        assert_eq!(missing, [0, 0, 1, 1, 2, 2, 3, 3, 13]);
    }
}
