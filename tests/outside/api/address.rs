//! The address of the API server: `--api-url` or the variables of the Service, as an IP address or a name.

use std::net::{Ipv6Addr, SocketAddr, UdpSocket};

use super::*;
use crate::server::{Certificate, Response, Trap, always};

/// A world for a container whose environment has `address` as the address of the Service.
fn service(world: &World, address: SocketAddr) -> Outcome {
    let mut command = chrooted(world, &["print", "--labels", "--timeout", "5s"]);
    command.env("KUBERNETES_SERVICE_HOST", address.ip().to_string());
    command.env("KUBERNETES_SERVICE_PORT", address.port().to_string());
    without_token(run(command))
}

#[test]
fn the_service_in_the_environment() {
    if !may_chroot() {
        return;
    }
    let server = Server::start(always(Response::json(&pod("bare"))));
    let outcome = service(&server.world("bare", "web"), server.address()).expect_code(0);
    assert!(outcome.stdout.contains("POD_LABEL_APP='demo'"), "{outcome:#?}");
    let host = format!("127.0.0.1:{}", server.address().port());
    assert_eq!(server.requests()[0].header("host"), Some(host.as_str()));
}

/// A server at `::1`, if this machine has that address.
fn server_at_ipv6_loopback() -> Option<Server> {
    let server = Server::at(Ipv6Addr::LOCALHOST, always(Response::json(&pod("bare"))));
    needs("an IPv6 loopback address", || server.is_ok()).then(|| server.ok()).flatten()
}

#[test]
fn the_service_at_an_ipv6_address() {
    if !may_chroot() {
        return;
    }
    let Some(server) = server_at_ipv6_loopback() else { return };
    let outcome = service(&server.world("bare", "web"), server.address()).expect_code(0);
    assert!(outcome.stdout.contains("POD_LABEL_APP='demo'"), "{outcome:#?}");
    let host = format!("[::1]:{}", server.address().port());
    assert_eq!(server.requests()[0].header("host"), Some(host.as_str()));
}

#[test]
fn a_url_with_an_ipv6_address() {
    let Some(server) = server_at_ipv6_loopback() else { return };
    let outcome = exec(&server.world("bare", "web"), &server.url(), &["--labels"]).expect_code(0);
    assert_eq!(variable(&outcome, "POD_LABEL_APP"), Some("demo"), "{outcome:#?}");
}

#[test]
fn half_a_service_is_none() {
    if !may_chroot() {
        return;
    }
    let server = Server::start(always(Response::json(&pod("bare"))));
    let port = server.address().port().to_string();
    for (name, value, missing) in [
        ("KUBERNETES_SERVICE_HOST", "127.0.0.1", "KUBERNETES_SERVICE_PORT"),
        ("KUBERNETES_SERVICE_PORT", &port, "KUBERNETES_SERVICE_HOST"),
    ] {
        let world = server.world("bare", "web");
        let mut command = chrooted(&world, &["print", "--labels"]);
        command.env(name, value);
        let outcome = run(command).expect_code(0);
        assert_says(&outcome, &[missing, "--api-url"]);
    }
    assert_eq!(server.connections(), 0);
}

#[test]
fn a_trailing_slash_does_no_harm() {
    let server = Server::start(always(Response::json(&pod("bare"))));
    let url = format!("{}/", server.url());
    exec(&server.world("bare", "web"), &url, &["--labels"]).expect_code(0);
    assert_eq!(server.targets(), ["/api/v1/namespaces/default/pods/bare?resourceVersion=0"]);
}

#[test]
fn a_url_that_is_none_is_an_error_of_usage() {
    let world = World::recorded("bare", "web");
    for url in ["kubernetes.default.svc", "ftp://127.0.0.1", "https://", ""] {
        let outcome = print(&world, url, &["--labels"]).expect_code(2);
        assert_says(&outcome, &["api-url"]);
        let outcome = exec(&world, url, &["--labels"]).expect_code(125);
        assert!(!started(&outcome));
    }
}

#[test]
fn a_url_without_a_scheme_is_told_with_one() {
    let world = World::recorded("bare", "web");
    for (url, right) in [
        ("localhost:8001", "http://localhost:8001"),
        ("127.0.0.1:8001", "http://127.0.0.1:8001"),
        ("10.96.0.1:443", "https://10.96.0.1"),
        ("kubernetes.default.svc", "https://kubernetes.default.svc"),
        ("user:hunter2@kubernetes.default.svc:6443?token=hunter2", "https://kubernetes.default.svc:6443"),
    ] {
        let outcome = print(&world, url, &["--labels"]).expect_code(2);
        assert_says(&outcome, &["--api-url", &format!("missing scheme: use {right}")]);
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
    }
}

/// User information and queries may hold a password or a token.
#[test]
fn secrets_of_a_url_are_shown_nowhere() {
    for url in [
        "https://admin:hunter2@10.96.0.1",
        "https://hunter2@10.96.0.1",
        "https://10.96.0.1/?token=hunter2",
        "https://10.96.0.1/#hunter2",
        "http://admin:hunter2@10.0.0.1",
        "ftp://admin:hunter2@127.0.0.1",
        "https://admin:hunter2@[::1/",
        "https://admin:hunter2@127.0.0.1:99999",
        "admin:hunter2@127.0.0.1",
        "//admin:hunter2@127.0.0.1",
        "https://?hunter2': ",
    ] {
        let world = World::recorded("bare", "web");
        for subcommand in ["print", "get", "watch"] {
            let arguments: &[&str] = match subcommand {
                "get" => &["/version"],
                "watch" => &["--out", "/nowhere/x.env"],
                _ => &["--labels"],
            };
            let outcome = run(command(&world, url, subcommand, arguments)).expect_code(2);
            assert_says(&outcome, &["--api-url"]);
            assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
            let mut by_variable = world.command([&[subcommand], arguments].concat());
            by_variable.env("INTROSPOD_API_URL", url);
            let outcome = run(by_variable).expect_code(2);
            assert_says(&outcome, &["INTROSPOD_API_URL"]);
            assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
        }
    }
}

#[test]
fn secrets_of_the_services_address_are_shown_nowhere() {
    if !may_chroot() {
        return;
    }
    let world = Server::silent().world("bare", "web");
    for (host, port) in [("admin:hunter2@127.0.0.1", "443"), ("127.0.0.1", "hunter2"), ("a b", "443?hunter2")]
    {
        let mut command = chrooted(&world, &["print", "--labels", "--timeout", LIMIT]);
        command.env("KUBERNETES_SERVICE_HOST", host).env("KUBERNETES_SERVICE_PORT", port);
        let outcome = run(command).expect_code(0);
        assert_says(&outcome, &["KUBERNETES_SERVICE_HOST", "KUBERNETES_SERVICE_PORT"]);
        assert!(!outcome.stderr.contains("hunter2"), "{outcome:#?}");
        world.remove("introspod");
    }
}

#[test]
fn plain_http_beyond_the_loopback_is_refused() {
    let world = World::recorded("bare", "web");
    for url in ["http://10.0.0.1", "http://[fd00::1]:8001", "http://kubernetes.default.svc"] {
        let outcome = print(&world, url, &["--labels"]).expect_code(2);
        assert_says(&outcome, &["http://", "loopback", "https"]);
        let outcome = exec(&world, url, &["--labels"]).expect_code(125);
        assert!(!started(&outcome));
    }
}

/// `introspod print --labels` by name, in a root directory that knows the name from `etc/hosts`.
fn by_name(certificate: Certificate, nsswitch: Option<&str>) -> Outcome {
    let server = Server::presenting(certificate, always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    let hosts = std::fs::read_to_string(world.path().join("etc/hosts")).unwrap();
    // As `hostAliases` would put it there: after the pod's own lines.
    world.write("etc/hosts", format!("{hosts}\n127.0.0.1\tkubernetes.default.svc\n"));
    world.write("etc/resolv.conf", "nameserver 127.53.0.2\n");
    if let Some(nsswitch) = nsswitch {
        world.write("etc/nsswitch.conf", nsswitch);
    }
    let url = format!("https://kubernetes.default.svc:{}", server.address().port());
    let arguments = ["print", "--labels", "--api-url", &url, "--timeout", AMPLE];
    without_token(run(chrooted(&world, &arguments))).expect_code(0)
}

#[test]
fn a_name_from_the_hosts_file_in_an_empty_root() {
    if !may_chroot() {
        return;
    }
    let outcome = by_name(Certificate::Valid, None);
    assert!(outcome.stdout.contains("POD_LABEL_APP='demo'"), "{outcome:#?}");
}

#[test]
fn a_name_service_switch_of_the_image_does_no_harm() {
    if !may_chroot() {
        return;
    }
    for modules in ["hosts: mymachines resolve [!UNAVAIL=return] files myhostname dns\n", "hosts: dns\n"] {
        let outcome = by_name(Certificate::Valid, Some(modules));
        assert!(outcome.stdout.contains("POD_LABEL_APP='demo'"), "{modules}: {outcome:#?}");
    }
}

#[test]
fn the_certificate_is_checked_for_that_name() {
    if !may_chroot() {
        return;
    }
    let outcome = by_name(Certificate::OtherName, None);
    assert!(!outcome.stdout.contains("POD_LABEL_APP"), "{outcome:#?}");
    assert_says(&outcome, &["certificate", "kubernetes.default.svc"]);
}

/// The names of the Service stand for its address in the environment, with the port of the URL: the name
/// server here would give none.
#[test]
fn the_names_of_the_service_are_not_looked_up() {
    if !may_chroot() {
        return;
    }
    let server = Server::presenting(Certificate::OfTheService, always(Response::json(&pod("bare"))));
    let never = UdpSocket::bind("127.53.0.4:53").unwrap();
    for name in
        ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.a.example"]
    {
        let world = server.world("bare", "web");
        world
            .write("etc/resolv.conf", "nameserver 127.53.0.4\n")
            .write("etc/hosts", "127.53.0.5\tkubernetes\n");
        let url = format!("https://{name}:{}", server.address().port());
        let mut command = chrooted(&world, &["print", "--labels", "--api-url", &url, "--timeout", AMPLE]);
        command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", "1");
        let outcome = without_token(run(command)).expect_code(0);
        assert!(outcome.stdout.contains("POD_LABEL_APP='demo'"), "{name}: {outcome:#?}");
        let host = format!("{name}:{}", server.address().port());
        assert_eq!(server.requests().last().unwrap().header("host"), Some(host.as_str()));
    }
    never.set_nonblocking(true).unwrap();
    assert!(never.recv(&mut [0; 512]).is_err(), "a name server was asked");
}

#[test]
fn the_certificate_is_checked_for_the_name_of_the_service() {
    if !may_chroot() {
        return;
    }
    // It is for the address 127.0.0.1, to which the connection goes, but not for this name.
    let server = Server::start(always(Response::json(&pod("bare"))));
    let url = format!("https://kubernetes.default.svc.a.example:{}", server.address().port());
    let world = server.world("bare", "web");
    let mut command = chrooted(&world, &["print", "--labels", "--api-url", &url, "--timeout", AMPLE]);
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1").env("KUBERNETES_SERVICE_PORT", "1");
    let outcome = without_token(run(command)).expect_code(0);
    assert_says(&outcome, &["certificate", "kubernetes.default.svc.a.example"]);
    assert_eq!(server.requests().len(), 0);
}

/// `introspod print --labels` with a name that only the name server at `address` could tell.
fn with_name_server(address: &str) -> Outcome {
    let world = Server::silent().world("bare", "web");
    world.write("etc/resolv.conf", format!("nameserver {address}\n"));
    let url = "https://api.introspod.test:6443";
    let arguments = ["print", "--labels", "--api-url", url, "--timeout", LIMIT];
    let begun = Instant::now();
    let outcome = run(chrooted(&world, &arguments)).expect_code(0);
    assert!(begun.elapsed() < SOON, "{:?}", begun.elapsed());
    assert!(outcome.stdout.contains("POD_NAME='bare'"), "{outcome:#?}");
    assert_says(&outcome, &["DNS|name", "api.introspod.test", "by its IP address"]);
    outcome
}

#[test]
fn a_name_server_that_never_answers() {
    if may_chroot() {
        let _never_answering = UdpSocket::bind("127.53.0.1:53").unwrap();
        assert_says(&with_name_server("127.53.0.1"), &["DNS", LIMIT]);
    }
}

#[test]
fn a_name_server_that_is_not_there() {
    if may_chroot() {
        with_name_server("127.53.0.3");
    }
}

#[test]
fn nothing_is_asked_at_another_address() {
    let trap = Trap::new();
    let server = Server::start(always(Response::json(&pod("bare"))));
    let world = server.world("bare", "web");
    let mut command = exec_command(&world, &server.url(), &["--labels"]);
    command.env("KUBERNETES_SERVICE_HOST", "127.0.0.1");
    command.env("KUBERNETES_SERVICE_PORT", trap.address().port().to_string());
    run(command).expect_code(0);
    trap.assert_untouched();
    assert_eq!(server.requests().len(), 1);
}
