//! hot-switch's agent, and what it says.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use anyhow::{Context, Result};
use serde_json::Value;

use crate::programs::tools::Tool;
use crate::wait::eventually;

/// A running agent. It ends with this value.
#[derive(Debug)]
pub(super) struct Agent {
    folder: PathBuf,
    child: Child,
}

impl Agent {
    /// Starts it for the pods of a file in this folder.
    pub(super) fn start(folder: &Path) -> Result<Self> {
        let log = File::options().create(true).append(true).open(folder.join("agent.log"))?;
        let mut command = Command::new(Tool::HotSwitch.path()?);
        command.arg("agent").arg("--pods-file").arg(folder.join("pods.json"));
        // The drill would take an hour with a bypass that is held for as long as in earnest.
        command.args(["--node", "drill", "--hold", "12", "--grace", "3", "--own-delay", "1000"]);
        let child = command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log).spawn();
        let child = child.context("hot-switch cannot be started")?;
        Ok(Self { folder: folder.to_owned(), child })
    }

    /// Kills it, as a node that runs out of memory does.
    pub(super) fn kill(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    fn lines(&self) -> Result<Vec<String>> {
        Ok(fs::read_to_string(self.folder.join("agent.log"))?.lines().map(str::to_owned).collect())
    }

    /// Now: what was said before does not count.
    pub(super) fn mark(&self) -> Result<Mark> {
        Ok(Mark { at: Instant::now(), line: self.lines()?.len() })
    }

    /// The first event of this name after the mark.
    pub(super) fn event(&self, name: &str, after: Mark) -> Result<String> {
        eventually(&format!("the event {name}"), || {
            let lines = self.lines()?;
            Ok(lines.into_iter().skip(after.line).find(|line| is_event(line, name)))
        })
    }

    /// The names of all events after the mark.
    pub(super) fn names(&self, after: Mark) -> Result<Vec<String>> {
        let name =
            |line: &String| Some(serde_json::from_str::<Value>(line).ok()?.get("faultline")?.as_str()?.to_owned());
        Ok(self.lines()?.iter().skip(after.line).filter_map(name).collect())
    }
}

/// A moment in the drill, and how much the agent had said by then.
#[derive(Clone, Copy, Debug)]
pub(super) struct Mark {
    pub(super) at: Instant,
    line: usize,
}

fn is_event(line: &str, name: &str) -> bool {
    serde_json::from_str::<Value>(line).is_ok_and(|event| event.get("faultline").and_then(Value::as_str) == Some(name))
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}
