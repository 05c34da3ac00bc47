//! How far a long piece of work has come.

/// One step of the work; told often, shown as often as the caller likes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress {
    /// What is done, with its object: `copying /data/m1`.
    pub step: String,
    /// How much of it is done.
    pub done: u64,
    /// Of how much; 0 if that is not known.
    pub total: u64,
    /// What is counted.
    pub unit: &'static str,
}

/// Where progress goes.
pub(super) type Told<'a> = &'a mut dyn FnMut(&Progress);

impl Progress {
    /// The beginning of a step.
    pub(super) fn new(step: String, total: u64, unit: &'static str) -> Self {
        Self {
            step,
            done: 0,
            total,
            unit,
        }
    }

    /// Adds to what is done and tells.
    pub(super) fn advance(&mut self, amount: u64, told: Told<'_>) {
        self.done += amount;
        told(self);
    }
}
