//! Numbers that look random and that a seed repeats.

/// A sequence of numbers, each of which can be had without those before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Draws {
    seed: u64,
}

/// The increment of `SplitMix64`: 2⁶⁴ by the golden ratio.
const GAMMA: u64 = 0x9e37_79b9_7f4a_7c15;

impl Draws {
    /// The sequence of a seed; another one for each `stream`.
    pub(crate) const fn new(seed: u64, stream: u64) -> Self {
        Self { seed: mixed(seed ^ mixed(stream)) }
    }

    /// The `number`th of the sequence (`SplitMix64`; Steele, Lea and Flood, 2014).
    pub(crate) const fn at(self, number: u64) -> u64 {
        mixed(self.seed.wrapping_add(GAMMA.wrapping_mul(number.wrapping_add(1))))
    }

    /// The same, below `end`; 0 if nothing is. Ends are far below 2⁶⁴, so that the bias of a remainder does not show.
    pub(crate) const fn below(self, number: u64, end: u64) -> u64 {
        match self.at(number).checked_rem(end) {
            Some(below) => below,
            None => 0,
        }
    }

    /// The same, above 0 and at most 1.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are what a number of this kind holds")]
    pub(crate) const fn fraction(self, number: u64) -> f64 {
        ((self.at(number) >> 11) + 1) as f64 / (1u64 << 53) as f64
    }
}

const fn mixed(state: u64) -> u64 {
    let state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    state ^ (state >> 31)
}

#[cfg(test)]
mod tests;
