//! Which of the last 1,024 numbers of a counter came.

use aups_core::limits::WINDOW_MESSAGES;

const WORDS: usize = WINDOW_MESSAGES as usize / 64;

/// A window that ends at the highest number that came.
#[derive(Debug)]
pub(super) struct Window {
    highest: u32,
    /// Bit `n mod 1024` says whether `n` came, for the last 1,024 numbers.
    seen: [u64; WORDS],
    /// Jumps that nobody was told about.
    missed: u32,
}

/// Where a number stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// There is no window yet: what came before is not known.
    First,
    /// Above the highest.
    Ahead,
    /// In the window, and new: out of order.
    Between,
    /// In the window, and not new.
    Seen,
    /// Below the window: nobody can tell.
    Below,
}

impl Window {
    /// A window that begins with a number, which came.
    pub(super) fn new(number: u32) -> Self {
        let mut window = Self { highest: number, seen: [0; WORDS], missed: 0 };
        window.set(number, true);
        window
    }

    /// Bytes of what it has seen.
    pub(super) const BYTES: usize = WORDS * 8;

    /// The highest number, jumps that nobody was told about, and what came.
    pub(super) fn to_parts(&self) -> (u32, u32, [u8; Self::BYTES]) {
        let mut seen = [0; Self::BYTES];
        for (bytes, word) in seen.chunks_exact_mut(8).zip(self.seen) {
            bytes.copy_from_slice(&word.to_be_bytes());
        }
        (self.highest, self.missed, seen)
    }

    /// The window of these parts.
    pub(super) fn from_parts(highest: u32, missed: u32, parts: &[u8; Self::BYTES]) -> Self {
        let mut seen = [0; WORDS];
        for (word, bytes) in seen.iter_mut().zip(parts.as_chunks::<8>().0) {
            *word = u64::from_be_bytes(*bytes);
        }
        let mut window = Self { highest, seen, missed };
        window.set(highest, true);
        window
    }

    /// A number came that may be anywhere: below the window it changes nothing.
    pub(super) fn mark_again(&mut self, number: u32) {
        if self.place(number) != Place::Below {
            self.mark(number);
        }
    }

    /// Where a number stands.
    pub(super) fn place(&self, number: u32) -> Place {
        match self.highest.checked_sub(number) {
            None => Place::Ahead,
            Some(behind) if behind >= WINDOW_MESSAGES => Place::Below,
            Some(_) if self.has(number) => Place::Seen,
            Some(_) => Place::Between,
        }
    }

    /// A number came that is not below the window.
    pub(super) fn mark(&mut self, number: u32) {
        if number > self.highest {
            self.missed = self.missed.saturating_add(number - self.highest - 1);
            // Numbers that the window moves over have not come.
            for moved_over in (self.highest + 1..number).rev().take(WORDS * 64) {
                self.set(moved_over, false);
            }
            self.highest = number;
        }
        self.set(number, true);
    }

    /// How far the numbers jumped since this was last asked.
    pub(super) fn take_missed(&mut self) -> u32 {
        std::mem::take(&mut self.missed)
    }

    fn has(&self, number: u32) -> bool {
        let (word, bit) = place_of(number);
        self.seen.get(word).is_some_and(|word| word & bit != 0)
    }

    fn set(&mut self, number: u32, came: bool) {
        let (word, bit) = place_of(number);
        if let Some(word) = self.seen.get_mut(word) {
            *word = if came { *word | bit } else { *word & !bit };
        }
    }
}

const fn place_of(number: u32) -> (usize, u64) {
    let at = number % WINDOW_MESSAGES;
    (at as usize / 64, 1 << (at % 64))
}

#[cfg(test)]
mod tests;
