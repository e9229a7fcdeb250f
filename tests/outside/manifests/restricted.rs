//! The `restricted` Pod Security Standard.

use serde_json::Value;

use super::examples::list;

/// What keeps a pod from the `restricted` standard; and its root file system has to be read-only.
pub fn unrestricted(pod: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    for key in ["hostNetwork", "hostPID", "hostIPC"] {
        if !pod[key].is_null() {
            problems.push(key.to_owned());
        }
    }
    for volume in list(&pod["volumes"]) {
        let kind = volume.as_object().unwrap().keys().find(|key| *key != "name").unwrap();
        if !["configMap", "downwardAPI", "emptyDir", "image", "projected"].contains(&&**kind) {
            problems.push(format!("volume {kind}"));
        }
    }
    for key in ["initContainers", "containers"] {
        for container in list(&pod[key]) {
            let own = &container["securityContext"];
            let inherited = |field: &str| match &own[field] {
                Value::Null => pod["securityContext"][field].clone(),
                value => value.clone(),
            };
            let facts = [
                ("runAsNonRoot", inherited("runAsNonRoot") == true),
                ("runAsUser", inherited("runAsUser") != 0),
                ("seccompProfile", inherited("seccompProfile")["type"] == "RuntimeDefault"),
                ("allowPrivilegeEscalation", own["allowPrivilegeEscalation"] == false),
                ("capabilities", own["capabilities"] == serde_json::json!({"drop": ["ALL"]})),
                ("readOnlyRootFilesystem", own["readOnlyRootFilesystem"] == true),
                ("privileged", own["privileged"].is_null()),
                ("procMount", own["procMount"].is_null()),
                ("seLinuxOptions", inherited("seLinuxOptions").is_null()),
                ("appArmorProfile", inherited("appArmorProfile").is_null()),
                ("sysctls", pod["securityContext"]["sysctls"].is_null()),
                ("hostPort", list(&container["ports"]).iter().all(|port| port["hostPort"].is_null())),
            ];
            problems.extend(
                facts
                    .iter()
                    .filter(|(_, kept)| !kept)
                    .map(|(field, _)| format!("{}: {field}", container["name"])),
            );
        }
    }
    problems
}
