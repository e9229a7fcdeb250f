//! `kubectl proxy` beside the application: plain HTTP on loopback, without token and certificate.

use std::io::{BufRead, BufReader};
use std::net::Ipv6Addr;
use std::process::{Child, Stdio};

use super::*;
use crate::needs::{has_kubectl, needs};
use crate::server::{Response, always, token};

/// A pod without a service account, which knows its name from its author.
fn without_service_account() -> World {
    let world = World::recorded("notoken", "main");
    world.environ(&[("POD_NAME", "notoken"), ("POD_NAMESPACE", "default")]);
    world
}

fn labelled() -> Response {
    let mut object = pod("notoken");
    object["metadata"]["labels"] = serde_json::json!({"app": "proxied"});
    Response::json(&object)
}

#[test]
fn neither_token_nor_certificate_is_needed() {
    let server = Server::plain(always(labelled()));
    let outcome = exec(&without_service_account(), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("proxied"), "{outcome:#?}");
    assert_eq!(server.targets(), ["/api/v1/namespaces/default/pods/notoken?resourceVersion=0"]);
}

#[test]
fn a_token_that_is_there_is_not_sent() {
    let server = Server::plain(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    let outcome = exec(&world, &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"));
    for request in server.requests() {
        assert_token_absent(&format!("{request:?}"));
        assert_eq!(request.header("authorization"), None);
    }
}

#[test]
fn get_needs_none_either() {
    let server = Server::plain(always(Response::recorded("kubectl-proxy-version")));
    let outcome = run(command(&World::empty(), &server.url(), "get", &["/version"]));
    assert!(outcome.expect_code(0).stdout.contains("v1.36.2"));
}

#[test]
fn the_loopback_has_other_addresses() {
    let server = Server::plain(always(labelled()));
    // Any of 127.0.0.0/8 is the loopback; nothing listens at this one.
    let url = format!("http://127.0.0.2:{}", server.address().port());
    let options = ["--labels", "--timeout", LIMIT];
    let outcome = exec(&without_service_account(), &url, &options).expect_code(0);
    assert_says(&outcome, &["127.0.0.2", "refused", "each start waits"]);
    let url = format!("http://[{}]:1", Ipv6Addr::LOCALHOST);
    let outcome = exec(&without_service_account(), &url, &options).expect_code(0);
    assert!(started(&outcome));
    assert_says(&outcome, &["[::1]:1"]);
}

/// `localhost` is the loopback, whatever the hosts file and DNS say (RFC 6761): musl has no other way without
/// a hosts file, and another address would write the environment by plain HTTP.
#[test]
fn localhost_is_never_looked_up() {
    if !may_chroot() {
        return;
    }
    let server = Server::plain(always(labelled()));
    let world = without_service_account();
    world.write("etc/hosts", "127.53.0.9\tlocalhost\n").write("etc/resolv.conf", "nameserver 127.53.0.2\n");
    let url = format!("http://localhost:{}", server.address().port());
    let mut command = chrooted(&world, &["print", "--labels", "--api-url", &url, "--timeout", AMPLE]);
    command.env("POD_NAME", "notoken").env("POD_NAMESPACE", "default");
    let outcome = run(command).expect_code(0);
    assert!(outcome.stdout.contains("POD_LABEL_APP='proxied'"), "{outcome:#?}");
}

#[test]
fn what_the_proxy_refuses_is_said() {
    let server = Server::plain(always(Response::recorded("kubectl-proxy-404")));
    let outcome = exec(&without_service_account(), &server.url(), &["--labels"]).expect_code(0);
    assert!(started(&outcome));
    assert_says(&outcome, &["404|not found"]);
}

/// A real `kubectl proxy`, ended when dropped.
struct Proxy {
    child: Child,
    url: String,
}

impl Proxy {
    /// Starts one in front of `server`.
    fn start(server: &Server, directory: &World) -> Self {
        let configuration = directory.path().join("kubeconfig");
        directory.write("ca.crt", server.ca()).write("kubeconfig", kubeconfig(server));
        let child = Command::new("kubectl")
            .args(["proxy", "--port=0", "--kubeconfig"])
            .arg(configuration)
            .env_clear()
            .env("HOME", directory.path())
            .stdout(Stdio::piped())
            .spawn();
        let mut child = child.unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
        let address = line.trim().rsplit(' ').next().unwrap();
        Proxy { child, url: format!("http://{address}") }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// The `bare` pod's token opens the server for whoever uses the proxy.
fn kubeconfig(server: &Server) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: it\n\
         contexts: [{{name: it, context: {{cluster: it, user: it}}}}]\n\
         clusters: [{{name: it, cluster: {{server: '{}', certificate-authority: ca.crt}}}}]\n\
         users: [{{name: it, user: {{token: {}}}}}]\n",
        server.url(),
        token("bare"),
    )
}

#[test]
fn through_the_real_kubectl_proxy() {
    if !needs("kubectl 1.21 or later, as .ci/run gets it", has_kubectl) {
        return;
    }
    let server = Server::start(always(labelled()));
    server.accept_token(&token("bare"));
    let directory = World::empty();
    let proxy = Proxy::start(&server, &directory);
    let outcome = exec(&without_service_account(), &proxy.url, &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("proxied"), "{outcome:#?}");
    // kubectl may have asked for the server's version on its own account.
    let pods = server.targets().into_iter().filter(|target| target.contains("/pods/"));
    let expected = "/api/v1/namespaces/default/pods/notoken?resourceVersion=0";
    assert_eq!(pods.collect::<Vec<_>>(), [expected]);
}
