//! The name of a container image: `registry.example:5000/shop/web:1.2@sha256:…`.

/// The longest tag, in bytes.
const TAG_LIMIT: usize = 128;

/// The tag of an image and its digest, which the name need not have; `None` if a part of the name is not valid
/// (`regexp.go` in `github.com/distribution/reference`). The API server and the runtime have accepted the
/// name before, so its repository is not checked.
pub(crate) fn tag_and_digest(image: &str) -> Option<(Option<&str>, Option<&str>)> {
    let (named, digest) = split_optional(image, '@');
    let last = named.rsplit('/').next().unwrap_or_default();
    let (name, tag) = split_optional(last, ':');
    let is_valid = !name.is_empty() && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
    is_valid.then_some((tag, digest))
}

fn split_optional(text: &str, separator: char) -> (&str, Option<&str>) {
    text.split_once(separator).map_or((text, None), |(before, after)| (before, Some(after)))
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    (1..=TAG_LIMIT).contains(&tag.len()) && !tag.starts_with(['.', '-']) && tag.bytes().all(is_word)
}

/// Whether it is an algorithm and hexadecimal digits: `sha256:0a…`.
fn is_digest(digest: &str) -> bool {
    digest.split_once(':').is_some_and(|(algorithm, digits)| {
        let is_algorithm =
            algorithm.starts_with("sha") && algorithm.bytes().all(|byte| byte.is_ascii_alphanumeric());
        is_algorithm && digits.len() >= 32 && digits.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_perhaps_a_tag_and_a_digest() {
        let digest = format!("sha256:{}", "f".repeat(64));
        for (name, tag, digest) in [
            ("nginx", None, None),
            ("nginx", Some("1.27"), None),
            ("nginx", Some("1.27"), Some(&*digest)),
            ("localhost:5000/app", None, None),
            ("localhost:5000/app", Some("Upper_Case-1.2"), Some(&*digest)),
            ("[2001:db8::1]:5000/repo", Some("tag"), None),
            ("[2001:db8::1]/repo", None, Some(&*digest)),
            ("app", Some("_"), None),
        ] {
            let mut image = name.to_owned();
            image.extend(tag.map(|tag| format!(":{tag}")));
            image.extend(digest.map(|digest| format!("@{digest}")));
            assert_eq!(tag_and_digest(&image), Some((tag, digest)), "{image}");
        }
    }

    #[test]
    fn names_that_are_not_valid() {
        let long = format!("app:{}", "t".repeat(129));
        for image in [
            "",
            ":tag",
            "app:",
            "app@",
            "app/",
            "app:-tag",
            "app:.tag",
            "app:t~g",
            "a:b:c",
            "app@sha256:abc",
            "app@md5",
            "host/app:a b",
            &long,
        ] {
            assert_eq!(tag_and_digest(image), None, "{image:?}");
        }
    }
}
