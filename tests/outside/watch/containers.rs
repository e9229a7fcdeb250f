//! Several containers: each has its own files, and one change causes one request.

use super::*;
use crate::server::{Response, Server, always};
use crate::world::pod_json;

#[test]
fn each_container_has_its_own_file_and_the_api_is_asked_once_for_all() {
    let pod: Value = serde_json::from_slice(&fs::read(pod_json("bare")).unwrap()).unwrap();
    let server = Server::start(always(Response::json(&pod)));
    let world = server.world("bare", "init");
    let mut volume = Volume::new(&world, "/etc/podinfo", &[("labels", "team=\"red\"")]);
    let url = server.url();
    let options = ["--container=web", "--container=side", "--set=ID=container.id", "--api-url", &url];
    let watching = Watching::start_with_files(&world, "{container}.json", options);
    let read = |name: &str, team: &str| {
        wait_for(name, || {
            let text = fs::read_to_string(watching.out.join(format!("{name}.json"))).ok()?;
            let document = crate::schema::checked(&text);
            (document["pod"]["labels"]["team"] == team).then_some(document)
        })
    };
    let statuses = pod["status"]["containerStatuses"].as_array().unwrap();
    for team in ["red", "blue"] {
        for name in ["web", "side"] {
            let document = read(name, team);
            let status = statuses.iter().find(|status| status["name"] == name).unwrap();
            let id = document["variables"]["ID"].as_str().unwrap();
            assert!(status["containerID"].as_str().unwrap().ends_with(id), "{name}");
            assert_eq!(document["container"]["name"], name);
        }
        if team == "red" {
            assert_eq!(server.requests().len(), 1, "not one for each container");
            volume.label("blue");
        }
    }
    assert_eq!(watching.end(Signal::SIGTERM), Some(0));
}
