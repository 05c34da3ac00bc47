//! The committed protobuf code is what the definitions generate.

use std::{env, fs, path::Path};

#[test]
fn generated_code_matches_the_definitions() {
    let proto = Path::new(env!("CARGO_MANIFEST_DIR")).join("../proto");
    let files = quoin_tests::codegen::generate(&proto.join("definitions")).unwrap();
    assert!(
        files.len() > 6,
        "the generator found no packages: {:?}",
        files.keys()
    );
    for (name, expected) in files {
        let path = proto.join("src/generated").join(&name);
        if env::var_os("UPDATE").is_some() {
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, &expected).unwrap();
            continue;
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert_eq!(found, expected, "{name} drifted; rewrite it with UPDATE=1");
    }
}
