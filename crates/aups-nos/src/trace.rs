//! The way of single items, for those who look for one: events of level debug, off unless asked for.

/// The target of what is said of an item: `taken`, `permitted` or `withheld`, `sealed`, `published`, `acknowledged`,
/// `given up`, each with its `id`.
pub(crate) const ITEM: &str = "aups::item";
