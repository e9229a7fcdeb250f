//! The name of a container image: `registry.example:5000/shop/web:1.2@sha256:…`.
//!
//! The grammar is that of `github.com/distribution/reference` (`regexp.go`, `Parse` in
//! `reference.go`), which Kubernetes and the container runtimes use.

/// The longest path of a repository, in bytes (`RepositoryNameTotalLengthMax`).
const MAXIMUM_PATH_LENGTH: usize = 255;

/// The longest tag, in bytes.
const MAXIMUM_TAG_LENGTH: usize = 128;

/// The digest algorithms, each with its number of hexadecimal digits.
const DIGEST_ALGORITHMS: [(&str, usize); 3] = [("sha256", 64), ("sha384", 96), ("sha512", 128)];

/// The parts of an image's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ImageReference<'a> {
    /// The repository, with its registry if the name has one: `localhost:5000/app`.
    pub(crate) name: &'a str,
    /// The tag, without the `:` before it.
    pub(crate) tag: Option<&'a str>,
    /// The digest with its algorithm, without the `@` before it: `sha256:…`.
    pub(crate) digest: Option<&'a str>,
}

impl<'a> ImageReference<'a> {
    /// Splits the name of an image into its parts; none if it is not valid.
    pub(crate) fn parse(image: &'a str) -> Option<Self> {
        let (named, digest) = split_optional(image, '@');
        let component = named.rfind('/').map_or(0, |slash| slash + 1);
        let (last, tag) = split_optional(&named[component..], ':');
        let name = &named[..component + last.len()];
        let is_valid = is_name(name) && tag.is_none_or(is_tag) && digest.is_none_or(is_digest);
        is_valid.then_some(Self { name, tag, digest })
    }
}

fn split_optional(text: &str, separator: char) -> (&str, Option<&str>) {
    match text.split_once(separator) {
        Some((before, after)) => (before, Some(after)),
        None => (text, None),
    }
}

fn is_name(name: &str) -> bool {
    let path = match name.split_once('/') {
        Some((domain, path)) if is_domain(domain) => path,
        _ => name,
    };
    path.len() <= MAXIMUM_PATH_LENGTH && path.split('/').all(is_path_component)
}

fn is_domain(domain: &str) -> bool {
    let is_port = |port: &str| !port.is_empty() && port.bytes().all(|byte| byte.is_ascii_digit());
    let Some(address) = domain.strip_prefix('[') else {
        let (host, port) = split_optional(domain, ':');
        return host.split('.').all(is_domain_component) && port.is_none_or(is_port);
    };
    let Some((address, port)) = address.split_once(']') else {
        return false;
    };
    let is_address = |byte: u8| byte.is_ascii_hexdigit() || byte == b':';
    !address.is_empty()
        && address.bytes().all(is_address)
        && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

fn is_domain_component(component: &str) -> bool {
    !component.is_empty()
        && !component.starts_with('-')
        && !component.ends_with('-')
        && (component.bytes()).all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

/// Whether the text consists of groups of lower-case letters and digits, separated by a dot, one or two
/// underscores, or any number of hyphens.
fn is_path_component(component: &str) -> bool {
    let is_alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = component.as_bytes();
    let has_alphanumeric_ends =
        bytes.first().is_some_and(is_alphanumeric) && bytes.last().is_some_and(is_alphanumeric);
    let mut separators = bytes.split(is_alphanumeric);
    has_alphanumeric_ends
        && separators.all(|separator| {
            matches!(separator, b"" | b"." | b"_" | b"__") || separator.iter().all(|byte| *byte == b'-')
        })
}

fn is_tag(tag: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    (1..=MAXIMUM_TAG_LENGTH).contains(&tag.len())
        && !tag.starts_with(['.', '-'])
        && tag.bytes().all(|byte| is_word(byte) || matches!(byte, b'.' | b'-'))
}

fn is_digest(digest: &str) -> bool {
    let is_digit = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f');
    digest.split_once(':').is_some_and(|(algorithm, digits)| {
        DIGEST_ALGORITHMS.contains(&(algorithm, digits.len())) && digits.bytes().all(is_digit)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_has_a_name_and_perhaps_a_tag_and_a_digest() {
        let sha256 = format!("sha256:{}", "f".repeat(64));
        let sha512 = format!("sha512:{}", "0".repeat(128));
        let longest = format!("{}a", "a/".repeat(127));
        let beyond = format!("domain.example/{longest}");
        let tag = "t".repeat(128);
        for (name, tag, digest) in [
            ("nginx", None, None),
            ("nginx", Some("1.27"), None),
            ("nginx", None, Some(&*sha256)),
            ("nginx", Some("1.27"), Some(&*sha256)),
            ("test_com", None, None),
            ("test.com", Some("tag"), None),
            ("test.com", Some("5000"), None),
            ("localhost:5000/app", None, None),
            ("localhost:5000/app", Some("Upper_Case-1.2"), None),
            ("localhost:5000/app", Some("5050"), Some(&*sha512)),
            ("ghcr.io/org/team/app", Some("v1"), None),
            ("xn--n3h.com/myimage", Some("xn--n3h.com"), None),
            ("foo/foo_bar.com", Some("8080"), None),
            ("192.168.1.1", Some("5000"), None),
            ("192.168.1.1:5000/repo", Some("5050"), None),
            ("[2001:db8::1]/repo", None, None),
            ("[2001:db8::1]:5000/repo", Some("tag"), Some(&*sha256)),
            ("[::1]:5000/repo", None, None),
            ("Registry.Example/lower", None, None),
            ("a__b/c---d/e.f_g", None, None),
            (&longest, Some("tag-puts-this-over-max"), None),
            (&beyond, None, None),
            ("app", Some(&*tag), None),
            ("app", Some("_"), None),
        ] {
            let mut image = name.to_owned();
            image.extend(tag.map(|tag| format!(":{tag}")));
            image.extend(digest.map(|digest| format!("@{digest}")));
            let expected = ImageReference { name, tag, digest };
            assert_eq!(ImageReference::parse(&image), Some(expected));
        }
    }

    fn refuses(images: &[&str]) {
        for image in images {
            assert_eq!(ImageReference::parse(image), None, "{image:?}");
        }
    }

    #[test]
    fn names_that_are_not_valid() {
        refuses(&[
            "",
            ":justtag",
            "app:",
            "app@",
            "/app",
            "app/",
            "a//b",
            "App",
            "Uppercase:tag",
            "test:5000/Uppercase/lowercase:tag",
            "aa/asdf$$^/aa",
            "a:b:c",
            "a.-b",
            "a___b",
            "a..b",
            "-a",
            "a_",
            "a_b:5000/c",
            "host:/app",
            "host:port/app",
            "-host:5000/app",
            "été",
            " app",
            "app\n",
            "[2001:db8::1]",
            "[2001:db8::1]:5000",
            "[]/repo",
            "[::1/repo",
            "[::1]5000/repo",
            "[fe80::1%eth0]:5000/repo",
            "https://registry/app",
            &format!("domain.example/{}", "a".repeat(256)),
        ]);
    }

    #[test]
    fn tags_and_digests_that_are_not_valid() {
        refuses(&[
            "app:-tag",
            "app:.tag",
            "app:t~g",
            "app@sha256:abc",
            "repo@sha256:ffffffffffffffffffffffffffffffffff",
            &format!("app@sha256:{}", "F".repeat(64)),
            &format!("app@sha256:{}", "g".repeat(64)),
            &format!("app@sha512:{}", "f".repeat(64)),
            &format!("app@invaliddigest:{}", "f".repeat(64)),
            &format!("@sha256:{}", "f".repeat(64)),
            &format!("app:{}", "t".repeat(129)),
        ]);
    }
}
