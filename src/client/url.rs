//! The URLs of the API server and of the application to notify.
//!
//! A URL may contain a password or a token, so messages show URLs only with [`shown`]. No error contains user
//! information or a query.

use std::net::IpAddr;

use reqwest::Url;

use crate::kubernetes::names::is_subdomain;
use crate::system::environment::Environment;

/// Examples for messages.
const API_SERVER: &str = "https://10.96.0.1:443";
const APPLICATION: &str = "http://127.0.0.1:9090/-/reload";

/// The variables of the API server's Service do not have its address.
#[derive(Debug, thiserror::Error)]
pub(crate) enum UrlError {
    #[error("{0} is not set")]
    NotSet(&'static str),
    #[error("KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT do not make a usable URL: {0}")]
    OfService(String),
}

/// The URL of the API server.
#[derive(Clone, Debug)]
pub(crate) struct ApiUrl(Url);

impl ApiUrl {
    /// Whether the URL belongs to a `kubectl proxy`, which has its own credentials.
    pub(super) fn is_plain(&self) -> bool {
        self.0.scheme() == "http"
    }

    /// The host: a name, or an IP address without brackets.
    pub(super) fn host(&self) -> &str {
        host(&self.0)
    }

    pub(super) fn port(&self) -> u16 {
        self.0.port_or_known_default().unwrap_or(443)
    }

    /// Whether the host is a name of the API server's Service, from `kubernetes` to
    /// `kubernetes.default.svc.DOMAIN`.
    pub(super) fn names_service(&self) -> bool {
        let name = self.host().trim_end_matches('.');
        matches!(name, "kubernetes" | "kubernetes.default" | "kubernetes.default.svc")
            || name.starts_with("kubernetes.default.svc.")
    }

    /// Host and port, for messages.
    pub(super) fn address(&self) -> String {
        format!("{}:{}", self.0.host_str().unwrap_or_default(), self.port())
    }

    /// The URL of `path`, which may have a query, on this server.
    pub(super) fn join(&self, path: &str) -> Url {
        let mut url = self.0.clone();
        let base = url.path().trim_end_matches('/').to_owned();
        let (path, query) = path.split_once('?').map_or((path, None), |(path, query)| (path, Some(query)));
        url.set_path(&(base + path));
        url.set_query(query);
        url
    }

    /// The URL of the cluster's API server, from the variables that the kubelet sets in every container
    /// (`k8s.io/client-go/rest/config.go`, `InClusterConfig`).
    ///
    /// # Errors
    /// A variable is not set, or their values are not an address.
    pub(super) fn in_cluster(environment: &Environment) -> Result<Self, UrlError> {
        let variable = |name| environment.get_nonempty(name).ok_or(UrlError::NotSet(name));
        let host = variable("KUBERNETES_SERVICE_HOST")?;
        let port = variable("KUBERNETES_SERVICE_PORT")?;
        let url = match host.parse::<IpAddr>() {
            Ok(IpAddr::V6(address)) => format!("https://[{address}]:{port}"),
            _ => format!("https://{host}:{port}"),
        };
        ApiUrl::parse(&url).map_err(UrlError::OfService)
    }

    /// Parses the value of `--api-url`.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let url = parse(text, API_SERVER)?;
        match url.scheme() {
            "https" => {}
            "http" if is_loopback(&url) => {}
            "http" => {
                return Err("plain http:// is only for a kubectl proxy on a loopback address, such as \
                            http://127.0.0.1:8001; use https://"
                    .to_owned());
            }
            scheme => return Err(format!("the scheme {scheme}:// is not supported: use https://")),
        }
        if has_credentials(&url) {
            return Err("must not contain credentials: the service account's token is used".to_owned());
        }
        if url.query().is_some() || url.fragment().is_some() {
            return Err("must not have a query or a fragment: use only the server's address".to_owned());
        }
        Ok(ApiUrl(url))
    }
}

/// Parses the URL of the application. The containers of a pod share the loopback interface.
pub(super) fn application(text: &str) -> Result<Url, String> {
    let url = parse(text, APPLICATION)?;
    if url.scheme() != "http" || !is_loopback(&url) {
        return Err(format!("must be an http:// URL with a loopback address, such as {APPLICATION}"));
    }
    if has_credentials(&url) {
        return Err("must not contain credentials: notifications are sent without them".to_owned());
    }
    Ok(url)
}

/// A URL with a scheme and a host, such as `example`.
fn parse(text: &str, example: &str) -> Result<Url, String> {
    let incomplete = || format!("must be a full URL, such as {example}");
    let parsed = Url::parse(text);
    // `localhost:8001` parses as a URL with the scheme `localhost`. `10.96.0.1:443` does not parse.
    let is_opaque = parsed.as_ref().is_ok_and(Url::cannot_be_a_base);
    if is_opaque || (parsed.is_err() && !text.contains("://")) {
        return Err(suggestion(text).map_or_else(incomplete, |url| format!("missing scheme: use {url}")));
    }
    match parsed {
        Err(error) if !text.ends_with("://") => Err(format!("not a valid URL: {error}")),
        Ok(url) if !host(&url).is_empty() => Ok(url),
        _ => Err(incomplete()),
    }
}

/// `text` with a scheme, if it starts with the name or address of a host.
fn suggestion(text: &str) -> Option<String> {
    let with = |scheme: &str| Url::parse(&format!("{scheme}://{text}")).ok();
    let url = with("http").filter(is_loopback).or_else(|| with("https"))?;
    let host = url.host_str()?;
    // The parser reads a single number as an IPv4 address, but the user probably means a port.
    let is_host = text.contains(|letter: char| letter.is_ascii_alphabetic() || matches!(letter, '.' | '['));
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    is_host.then(|| format!("{}://{host}{port}", url.scheme()))
}

fn host(url: &Url) -> &str {
    url.host_str().unwrap_or_default().trim_matches(['[', ']'])
}

/// The host of the API server's Service, as the kubelet sets it in every container: an IP address, and in
/// some clusters a name.
pub(super) fn service_host(environment: &Environment) -> Option<&str> {
    let host = environment.get_nonempty("KUBERNETES_SERVICE_HOST")?;
    (host.parse::<IpAddr>().is_ok() || is_subdomain(host)).then_some(host)
}

/// Whether the URL's host is this machine: `localhost` is never looked up.
fn is_loopback(url: &Url) -> bool {
    let host = host(url);
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

fn has_credentials(url: &Url) -> bool {
    !url.username().is_empty() || url.password().is_some()
}

/// The URL without user information, query and fragment, which may contain secrets.
pub(super) fn shown(url: &Url) -> String {
    let port = url.port().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{}://{}{port}{}", url.scheme(), url.host_str().unwrap_or_default(), url.path())
}

/// A path of the API server without its query, which may contain a secret.
pub(crate) fn shown_path(path: &str) -> &str {
    path.split(['?', '#']).next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_cluster(host: &str, port: &str) -> Result<String, String> {
        let entries = format!("KUBERNETES_SERVICE_HOST={host}\0KUBERNETES_SERVICE_PORT={port}\0");
        let url = ApiUrl::in_cluster(&Environment::new(entries));
        url.map(|url| url.0.to_string()).map_err(|error| error.to_string())
    }

    #[test]
    fn both_variables_must_be_set_and_ipv6_gets_brackets() {
        assert_eq!(in_cluster("10.96.0.1", "443").unwrap(), "https://10.96.0.1/");
        assert_eq!(in_cluster("fd00::1", "6443").unwrap(), "https://[fd00::1]:6443/");
        assert!(in_cluster("", "443").unwrap_err().contains("KUBERNETES_SERVICE_HOST is not set"));
        assert!(in_cluster("10.96.0.1", "").unwrap_err().contains("KUBERNETES_SERVICE_PORT is not set"));
        assert!(in_cluster("10.96.0.1", "http").is_err());
    }

    #[test]
    fn plain_http_is_for_loopback_only() {
        for url in ["http://127.0.0.1:8001", "http://[::1]:8001", "http://localhost:8001", "https://a.b"] {
            assert!(ApiUrl::parse(url).is_ok(), "{url}");
        }
        for (url, why) in [
            ("http://10.0.0.1", "loopback"),
            ("http://localhost.evil.example", "loopback"),
            ("http://127.0.0.1.evil.example", "loopback"),
            ("ftp://127.0.0.1", "https"),
            ("https://user:password@a.b", "credentials"),
            ("https://a.b/?x=1", "query"),
            ("10.96.0.1:443", "missing scheme: use https://10.96.0.1"),
            ("localhost:8001", "missing scheme: use http://localhost:8001"),
            ("8001", "must be a full URL, such as https://"),
            ("https://", "must be a full URL, such as https://"),
            ("", "must be a full URL, such as https://"),
            ("https://[::1", "not a valid URL: invalid IPv6 address"),
        ] {
            let error = ApiUrl::parse(url).unwrap_err();
            assert!(error.contains(why), "{url}: {error}");
        }
    }

    #[test]
    fn the_service_has_four_names() {
        for name in
            ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "KUBERNETES.default.svc.a.b."]
        {
            assert!(ApiUrl::parse(&format!("https://{name}:6443")).unwrap().names_service(), "{name}");
        }
        for name in ["kubernetes.shop", "kubernetes.default.svcs", "kubernetes.default.example", "10.96.0.1"]
        {
            assert!(!ApiUrl::parse(&format!("https://{name}")).unwrap().names_service(), "{name}");
        }
    }

    #[test]
    fn only_loopback_is_notified() {
        for url in ["http://127.0.0.1:9090/-/reload", "http://[::1]/x?y=1", "http://localhost:1/"] {
            assert!(application(url).is_ok(), "{url}");
        }
        let with_credentials = "http://user:password@127.0.0.1/";
        for url in
            ["http://10.0.0.1/", "https://127.0.0.1/", "http://localhost.example/", with_credentials, "x", ""]
        {
            assert!(application(url).is_err(), "{url}");
        }
    }

    #[test]
    fn secrets_are_not_shown() {
        let url = Url::parse("https://user:password@a.b:8443/c/d?token=e#f").unwrap();
        assert_eq!(shown(&url), "https://a.b:8443/c/d");
        assert_eq!(shown_path("/c/d?token=e"), "/c/d");
    }
}
