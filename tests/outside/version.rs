//! Cargo.toml declares the version. Examples and documents that name an image or a file of a release use the same version.
//! `release/version X.Y.Z` sets all of them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where the version is named.
const PLACES: [&str; 6] = ["Dockerfile", "README.md", "SECURITY.md", "docs", "examples", "tests"];

/// The files at and below `path`.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return vec![path.to_owned()] };
    let entries = entries.map(|entry| entry.unwrap().path()).filter(|path| !path.is_symlink());
    entries.flat_map(|path| files(&path)).collect()
}

/// What comes before the version in text: `introspod/introspod:1.2.3`, `introspod-1.2.3-image.tar`.
const BEFORE: [&str; 5] = ["introspod:", "introspod-", "\nversion=", "newTag: ", "--branch v"];

/// The project's versions that `text` names.
fn versions(text: &str) -> Vec<&str> {
    let images = text.split("introspod/").skip(1).filter_map(|image| {
        let (name, tag) = image.split_once(':')?;
        name.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '-').then_some(tag)
    });
    let others = BEFORE.iter().flat_map(|before| text.split(before).skip(1));
    images
        .chain(others)
        .map(|version| {
            let end = version.find(|letter: char| !letter.is_ascii_digit() && letter != '.');
            version[..end.unwrap_or(version.len())].trim_end_matches('.')
        })
        .filter(|version| version.split('.').filter(|number| !number.is_empty()).count() == 3)
        .collect()
}

#[test]
fn versions_of_the_project_are_found() {
    let text = "image: ghcr.io/introspod/example-entrypoint:10.0.1. `introspod/example-entrypoint:latest` \
                introspod/introspod@sha256:0 newTag: 1.2.3\nversion=1.2.3 introspod-1.2.3-image.tar --branch v1.2.3 \
                example.com/introspod:1.2.3, introspod-v1.json";
    assert_eq!(versions(text), ["10.0.1", "1.2.3", "1.2.3", "1.2.3", "1.2.3", "1.2.3"]);
}

#[test]
fn every_place_names_the_version_of_this_build() {
    let top = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (mut right, mut wrong) = (0, Vec::new());
    for path in PLACES.iter().flat_map(|place| files(&top.join(place))) {
        if path.ends_with(file!()) {
            continue;
        }
        for version in fs::read_to_string(&path).as_deref().map_or(Vec::new(), versions) {
            if version == env!("CARGO_PKG_VERSION") {
                right += 1;
            } else {
                wrong.push(format!("{}: {version}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "run `release/version {}`: {wrong:#?}", env!("CARGO_PKG_VERSION"));
    assert!(right >= 10, "only {right} places were found");
}
