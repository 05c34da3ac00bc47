//! What is written is read back, and damage is an error.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use proptest::collection::{btree_map, vec};
use proptest::prelude::*;

use super::page::{KEY_BYTES_MAX, PAGE_BYTES};
use super::*;

type Rows = BTreeMap<Vec<u8>, Vec<u8>>;
type Content = BTreeMap<Vec<u8>, Rows>;

fn fill(content: &Content) -> impl Fn(&mut Builder<'_>) -> Result<(), WriteError> {
    move |builder| {
        for (name, rows) in content {
            builder.bucket(name)?;
            for (key, value) in rows {
                builder.row(key, value)?;
            }
        }
        Ok(())
    }
}

fn written(content: &Content) -> Vec<u8> {
    let layout = measure(fill(content)).unwrap();
    let mut file = Vec::new();
    write(&layout, fill(content), &mut |bytes| {
        file.extend_from_slice(bytes);
        ControlFlow::Continue(())
    })
    .unwrap();
    assert_eq!(file.len() as u64, layout.image_bytes());
    file
}

fn read(file: Vec<u8>) -> Result<Content, ReadError> {
    let length = file.len() as u64;
    let database = Database::open(file, length)?;
    let mut content = Content::new();
    for bucket in database.buckets()? {
        let mut rows = Rows::new();
        database.for_each::<ReadError>(&bucket, &mut |key, value| {
            rows.insert(key.to_vec(), value.to_vec());
            Ok(())
        })?;
        assert_eq!(
            database.last_key(&bucket)?,
            rows.last_key_value().map(|(key, _)| key.clone())
        );
        content.insert(bucket.name().to_vec(), rows);
    }
    Ok(content)
}

/// Buckets from empty ones over such that stand in their value to large ones.
fn content() -> impl Strategy<Value = Content> {
    let key = vec(any::<u8>(), 1..40);
    let small = vec(any::<u8>(), 0..60);
    let value = prop_oneof![8 => small, 1 => vec(any::<u8>(), 0..9000)];
    let rows = prop_oneof![
        Just(Rows::new()),
        btree_map(key.clone(), vec(any::<u8>(), 0..20), 1..6),
        btree_map(key, value, 1..400),
    ];
    btree_map(vec(any::<u8>(), 1..20), rows, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_is_read_back(content in content()) {
        prop_assert_eq!(read(written(&content)).unwrap(), content);
    }

    #[test]
    fn damaged_files_do_not_panic(
        content in content(),
        damage in vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        cut in any::<Option<prop::sample::Index>>(),
    ) {
        let mut file = written(&content);
        for (place, byte) in damage {
            // Mostly where numbers are: the heads of pages.
            let place = place.index(file.len());
            let place = if byte % 4 == 0 { place } else { place - place % PAGE_BYTES + place % 80 };
            file[place] = byte;
        }
        if let Some(cut) = cut {
            file.truncate(cut.index(file.len()));
        }
        let _ = read(file);
    }
}

#[test]
fn every_flipped_bit_of_the_structure_is_harmless() {
    let rows = |count: u32| {
        (0..count)
            .map(|n| (n.to_be_bytes().to_vec(), vec![7; 30]))
            .collect()
    };
    let content = Content::from([(b"a".to_vec(), rows(300)), (b"b".to_vec(), rows(2))]);
    let file = written(&content);
    for page in 0..file.len() / PAGE_BYTES {
        for place in 0..96 {
            for bit in 0..8 {
                let mut bad = file.clone();
                bad[page * PAGE_BYTES + place] ^= 1 << bit;
                let _ = read(bad);
            }
        }
    }
}

#[test]
fn many_rows_make_a_tree_of_several_levels() {
    // Long keys, so that a branch holds few children.
    for count in [1_u32, 2, 3, 40, 41, 42, 300, 2000] {
        let key = |n: u32| [&n.to_be_bytes()[..], &[b'k'; 900]].concat();
        let rows = (0..count).map(|n| (key(n), vec![1; 200])).collect();
        let content = Content::from([(b"bucket".to_vec(), rows)]);
        assert_eq!(read(written(&content)).unwrap(), content, "{count} rows");
    }
    let key = |n: u8| [&[n][..], &[b'k'; KEY_BYTES_MAX - 1]].concat();
    let rows = (0..7).map(|n| (key(n), vec![n; 100_000])).collect();
    let content = Content::from([(b"bucket".to_vec(), rows)]);
    assert_eq!(read(written(&content)).unwrap(), content);
}

#[test]
fn the_older_meta_page_serves_when_the_newer_one_is_damaged() {
    let content = Content::from([(b"key".to_vec(), Rows::from([(vec![1], vec![2])]))]);
    for page in 0..2 {
        let mut file = written(&content);
        file[page * PAGE_BYTES + 20] ^= 1;
        assert_eq!(read(file.clone()).unwrap(), content);
        file[(1 - page) * PAGE_BYTES + 60] ^= 1;
        let error = read(file).unwrap_err().to_string();
        assert!(error.starts_with("not a bbolt file"), "{error}");
    }
}

#[test]
fn a_cycle_of_pages_ends() {
    let rows = (0..3000_u32)
        .map(|n| (n.to_be_bytes().to_vec(), vec![7; 30]))
        .collect();
    let content = Content::from([(b"a".to_vec(), rows)]);
    let file = written(&content);
    let branch = (2..file.len() / PAGE_BYTES).find(|page| file[page * PAGE_BYTES + 8] == 1);
    let branch = branch.unwrap();
    let mut bad = file;
    // The first child of the branch is the branch.
    let child = branch * PAGE_BYTES + 16 + 8;
    bad[child..child + 8].copy_from_slice(&(branch as u64).to_le_bytes());
    let error = read(bad).unwrap_err().to_string();
    assert!(error.contains(&format!("page {branch} ")), "{error}");
}

#[test]
fn a_short_file_says_what_is_missing() {
    let content = Content::from([(b"key".to_vec(), Rows::from([(vec![1], vec![2; 9000])]))]);
    let mut file = written(&content);
    file.truncate(file.len() - 1);
    let error = read(file).unwrap_err().to_string();
    assert!(error.contains("cut off"), "{error}");
}

#[test]
fn rows_out_of_order_and_changed_rows_are_refused() {
    let unordered = measure::<WriteError>(|builder| {
        builder.bucket(b"b")?;
        builder.row(b"2", b"")?;
        builder.row(b"2", b"")
    });
    assert_eq!(unordered, Err(WriteError::OutOfOrder));
    let unnamed = measure::<WriteError>(|builder| builder.row(b"2", b""));
    assert_eq!(unnamed, Err(WriteError::NoBucket));
    let content =
        |length| Content::from([(b"b".to_vec(), Rows::from([(vec![1], vec![2; length])]))]);
    let layout = measure(fill(&content(10))).unwrap();
    let changed = write(&layout, fill(&content(9000)), &mut |_| {
        ControlFlow::Continue(())
    });
    assert_eq!(changed, Err(WriteError::Changed));
    let stopped = write(&layout, fill(&content(10)), &mut |_| ControlFlow::Break(()));
    assert_eq!(stopped, Err(WriteError::Stopped));
}

#[test]
fn elements_that_share_bytes_are_refused() {
    let rows = Rows::from([(b"a".to_vec(), vec![b'x'; 3000]), (b"b".to_vec(), vec![])]);
    let mut file = written(&Content::from([(b"key".to_vec(), rows)]));
    let leaf = file.chunks(PAGE_BYTES).position(|page| {
        page.ends_with(&[0; 800]) && { page.windows(2900).any(|bytes| bytes == [b'x'; 2900]) }
    });
    // The second element: its key is an x of the first one's value, and so is its value.
    let second = leaf.unwrap() * PAGE_BYTES + 16 + 16;
    for (at, number) in [(4, 100_u32), (8, 1), (12, 2800)] {
        file[second + at..second + at + 4].copy_from_slice(&number.to_le_bytes());
    }
    let refused = read(file).unwrap_err().to_string();
    assert!(refused.contains("overlap"), "{refused}");
}
