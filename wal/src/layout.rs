//! Little-endian fields at fixed offsets, checked: a field that is not there is
//! `None`, so that decoding arbitrary bytes cannot panic.

/// The `N` bytes at `at`.
fn array_at<const N: usize>(bytes: &[u8], at: usize) -> Option<[u8; N]> {
    bytes.get(at..at.checked_add(N)?)?.try_into().ok()
}

/// The `u32` at `at`.
pub(crate) fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    array_at(bytes, at).map(u32::from_le_bytes)
}

/// The `u64` at `at`.
pub(crate) fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    array_at(bytes, at).map(u64::from_le_bytes)
}

/// Overwrites the bytes at `at`, which must exist.
pub(crate) fn put(target: &mut [u8], at: usize, field: &[u8]) {
    let range = target.get_mut(at..at + field.len());
    range
        .expect("the caller sized the target for the field")
        .copy_from_slice(field);
}

/// The next multiple of 8.
pub(crate) fn padded(length: usize) -> usize {
    length.next_multiple_of(8)
}
