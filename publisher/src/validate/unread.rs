//! What is neither a resource nor a plugin configuration (FL007), and resources that are there several times (FL120).

use super::finding::{Draft, Finding, Severity};
use super::rules;
use mesh::{Mesh, Resource, Unread};

/// Every finding about what was given.
pub(super) fn check(mesh: &Mesh) -> Vec<Finding> {
    let mut found: Vec<Finding> = mesh.unread.iter().filter(|unread| unread.is_meant).map(not_read).collect();
    for versions in mesh.versions() {
        let Some((last, older)) = versions.split_last() else { continue };
        if older.iter().all(|older| older.node.json() == last.node.json()) {
            continue;
        }
        let place = format!("{}:{}", last.file, last.node.position.line);
        for older in older {
            let problem = format!("is there again, with another content, at {place}");
            let words = [
                problem.as_str(),
                "it is one object: in one cluster the version that is applied last holds. Each was checked; where \
                    another resource was compared with it, with the last",
                "if they are for different clusters, check the files of each by themselves; else remove one",
            ];
            found.push(Draft::new(rules::FL120, Severity::Note, "metadata.name".into(), words).in_resource(older));
        }
    }
    found.extend(mesh.other_mesh_configs().into_iter().map(|config| other_mesh(config).in_resource(config)));
    found
}

/// FL120: the MeshConfig of another control plane.
fn other_mesh(config: &Resource) -> Draft {
    let problem = format!("{} says otherwise than another MeshConfig here how rules are read", config.title());
    let words = [
        problem.as_str(),
        "each is of a control plane of its own; here they are read as one, and of what both say the first counts",
        "check the rules with the MeshConfig of one control plane at a time",
    ];
    Draft::new(rules::FL120, Severity::Note, ".".into(), words)
}

fn not_read(unread: &Unread) -> Finding {
    let problem = format!("is {}: neither a resource nor a plugin configuration", unread.what);
    let says_all =
        ["neither", "a ConfigMap", "a resource", "a list"].iter().any(|start| unread.what.starts_with(start));
    let problem = if says_all { format!("is {}", unread.what) } else { problem };
    let at_run_time = match unread.what.starts_with("a list that") || unread.what.starts_with("a list with ") {
        true => "what is missing was not checked, and rules that need it were judged without it",
        false => "nothing in it was checked",
    };
    let words = [problem.as_str(), at_run_time, unread.remedy.as_str()];
    Draft::new(rules::FL007, Severity::Error, ".".into(), words).at(&unread.file, None, unread.position)
}
