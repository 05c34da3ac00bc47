//! Memory: small pages, so that an idle member stays small.

/// Keeps the kernel from backing sparsely used memory with huge pages.
///
/// Where they are on for everybody, each arena that the allocator has barely
/// touched takes 2 MiB steps: an idle member was measured at 64 MiB instead of
/// the 12 MiB it uses. Call before threads start; what was touched earlier
/// stays as it is.
pub fn use_small_pages() {
    // Refused by kernels without the feature: then there is nothing to avoid.
    let _ = rustix::thread::disable_transparent_huge_pages(true);
}
