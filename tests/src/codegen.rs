//! Generates `proto/src/generated` from `proto/definitions`, in pure Rust.
//!
//! The result is committed, so that building Quoin runs no generator; the
//! tidy suite regenerates it and fails on drift, `UPDATE=1` rewrites it.
//! Clients get structured messages. Servers get the same services over
//! `quoin_proto::raw` where a reply carries stored key-value pairs, so that
//! they are sent as the bytes they are stored in.

use std::{collections::BTreeMap, fs, io, path::Path};

use prost_types::FileDescriptorSet;

/// The definition files, relative to `proto/definitions`.
const DEFINITIONS: [&str; 8] = [
    "kv.proto",
    "auth.proto",
    "rpc.proto",
    "lock.proto",
    "election.proto",
    "health.proto",
    "internal.proto",
    "repair.proto",
];

/// Packages whose messages are generated; each becomes one module.
const PACKAGES: [&str; 8] = [
    "mvccpb",
    "authpb",
    "etcdserverpb",
    "v3lockpb",
    "v3electionpb",
    "grpc.health.v1",
    "quoinpb",
    "quoinrepairpb",
];

/// Replies whose server side is written over stored bytes.
const RAW: [&str; 6] = [
    "RangeResponse",
    "RangeStreamResponse",
    "PutResponse",
    "DeleteRangeResponse",
    "TxnResponse",
    "WatchResponse",
];

/// Generates every file: path relative to `proto/src/generated`, content.
///
/// # Errors
/// A definition does not compile, or the temporary directory cannot be used.
pub fn generate(definitions: &Path) -> io::Result<BTreeMap<String, String>> {
    let descriptors = protox::compile(DEFINITIONS, [definitions]).map_err(io::Error::other)?;
    let mut files = BTreeMap::new();
    collect(&mut files, "", |out| clients(&descriptors, out))?;
    collect(&mut files, "server/", |out| servers(&descriptors, out))?;
    Ok(files)
}

fn clients(descriptors: &FileDescriptorSet, out: &Path) -> io::Result<()> {
    tonic_prost_build::configure()
        .build_server(false)
        .build_transport(false)
        .bytes(".")
        .out_dir(out)
        .compile_fds(descriptors.clone())
}

fn servers(descriptors: &FileDescriptorSet, out: &Path) -> io::Result<()> {
    let mut builder = tonic_prost_build::configure()
        .build_client(false)
        .build_transport(false)
        .bytes(".")
        .out_dir(out);
    for name in RAW {
        builder = builder.extern_path(
            format!(".etcdserverpb.{name}"),
            format!("crate::raw::{name}"),
        );
    }
    for package in PACKAGES {
        let module = package.replace('.', "::");
        builder = builder.extern_path(format!(".{package}"), format!("crate::{module}"));
    }
    builder.compile_fds(descriptors.clone())
}

fn collect(
    files: &mut BTreeMap<String, String>,
    prefix: &str,
    build: impl FnOnce(&Path) -> io::Result<()>,
) -> io::Result<()> {
    let out = tempfile::tempdir()?;
    build(out.path())?;
    for entry in fs::read_dir(out.path())? {
        let entry = entry?;
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path())?;
        if !text.trim().is_empty() {
            files.insert(format!("{prefix}{name}"), text);
        }
    }
    Ok(())
}
