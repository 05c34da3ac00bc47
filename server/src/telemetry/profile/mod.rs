//! What the process does with its time and memory, on demand.
//!
//! Nothing here costs anything until it is asked: [`CpuSampling`] interrupts
//! the process at a fixed rate of its CPU time, [`threads`] and [`memory`] read
//! what the kernel and the allocator count anyway.

mod cpu;
mod memory;
mod pprof_format;
mod threads;

pub(crate) use cpu::{CpuProfile, CpuSampling, SamplingError};
pub(crate) use memory::memory;
pub(crate) use threads::threads;
