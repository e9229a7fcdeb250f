//! Cargo.toml declares the version. Examples and documents that name an image use the same version.
//! `release/version X.Y.Z` sets all of them.

use std::fs;
use std::path::{Path, PathBuf};

/// Where an image is named by its tag.
const PLACES: [&str; 6] = ["Dockerfile", "README.md", "SECURITY.md", "docs", "examples", "tests"];

/// The files at and below `path`.
fn files(path: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(path) else { return vec![path.to_owned()] };
    let entries = entries.map(|entry| entry.unwrap().path()).filter(|path| !path.is_symlink());
    entries.flat_map(|path| files(&path)).collect()
}

/// The tags of the project's images in `text` that are versions: `1.2.3` of `introspod/introspod:1.2.3`.
fn versions(text: &str) -> Vec<&str> {
    let images = text.split("introspod/").skip(1);
    let tags = images.filter_map(|image| {
        let (name, tag) = image.split_once(':')?;
        name.chars().all(|letter| letter.is_ascii_alphabetic() || letter == '-').then_some(tag)
    });
    tags.map(|tag| {
        let end = tag.find(|letter: char| !letter.is_ascii_digit() && letter != '.').unwrap_or(tag.len());
        tag[..end].trim_end_matches('.')
    })
    .filter(|tag| tag.split('.').count() == 3)
    .collect()
}

#[test]
fn tags_of_the_projects_images_are_found() {
    let text = "image: ghcr.io/introspod/introspod:1.2.3\n`introspod/example-entrypoint:10.0.1`. introspod/introspod:latest \
                introspod/introspod@sha256:0 introspod/introspod:1.2.3.";
    assert_eq!(versions(text), ["1.2.3", "10.0.1", "1.2.3"]);
}

#[test]
fn every_image_is_named_with_the_version_of_this_build() {
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
    assert!(right >= 10, "only {right} images were found");
}
