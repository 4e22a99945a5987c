//! Network namespaces: each stands for a machine or a pod, with its own addresses, ports and iptables rules.
//!
//! Everything that a mesh starts runs in a namespace whose name begins with the mesh's, so whatever ends the mesh, an
//! end, a failure or a signal, finds all of it by that name (see [`remove_all`]) and nothing else.

use std::fs::File;
use std::os::fd::AsFd;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};

use crate::programs::run::stdout_of;

/// The names of all meshes' namespaces and folders begin with this; the process id of the program that made them
/// follows.
const MESHES: &str = "faultline-mesh-";

/// How long a namespace's processes may take to end after SIGKILL.
const AFTER_KILL: Duration = Duration::from_secs(60);

/// A network namespace.
#[derive(Clone, Debug)]
pub(crate) struct Namespace {
    name: String,
}

/// The name of this program's mesh.
pub(crate) fn mesh_name() -> String {
    format!("{MESHES}{}", std::process::id())
}

/// Held while something is made, so that a signal's clearing up comes before or after it.
pub(crate) fn gate() -> MutexGuard<'static, ()> {
    static GATE: Mutex<()> = Mutex::new(());
    GATE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs `ip` with these words.
pub(crate) fn ip(words: &[&str]) -> Result<String> {
    stdout_of(Command::new("ip").args(words), "")
}

impl Namespace {
    /// Makes a namespace; `part` is the rest of its name after the mesh's, empty for the mesh's own.
    pub(crate) fn create(part: &str) -> Result<Self> {
        let _gate = gate();
        let namespace = Self { name: format!("{}{part}", mesh_name()) };
        ip(&["netns", "add", &namespace.name])?;
        namespace.ip(&["link", "set", "lo", "up"])?;
        Ok(namespace)
    }

    /// The file by which other programs find it.
    pub(crate) fn path(&self) -> PathBuf {
        Path::new("/run/netns").join(&self.name)
    }

    /// Runs `ip` inside.
    pub(crate) fn ip(&self, words: &[&str]) -> Result<String> {
        let mut all = vec!["-n", &self.name];
        all.extend(words);
        ip(&all)
    }

    /// Connects `other`, with this address in a /16, to the bridge `br0` here.
    pub(crate) fn attach(&self, other: &Self, link: &str, address: &str, gateway: &str) -> Result<()> {
        let peer = ["peer", "name", "eth0", "netns", &other.name];
        ip(&[&["link", "add", link, "netns", &self.name, "type", "veth"][..], &peer].concat())?;
        self.ip(&["link", "set", link, "master", "br0", "up"])?;
        other.ip(&["addr", "add", &format!("{address}/16"), "dev", "eth0"])?;
        other.ip(&["link", "set", "eth0", "up"])?;
        other.ip(&["route", "add", "default", "via", gateway])?;
        Ok(())
    }

    /// A command that runs inside, with a mount namespace of its own. It gets no signals of the terminal, and of this
    /// program's environment only `PATH`.
    pub(crate) fn command(&self, program: &Path) -> Command {
        let mut command = Command::new("ip");
        command.args(["netns", "exec", &self.name]).arg(program).process_group(0).stdin(Stdio::null());
        command.env_clear().envs(std::env::var_os("PATH").map(|path| ("PATH", path)));
        command
    }

    /// Starts a command made by [`Namespace::command`]; its output is appended to `log`.
    pub(crate) fn start(command: &mut Command, log: &Path) -> Result<Child> {
        let _gate = gate();
        let out = File::options().create(true).append(true).open(log)?;
        let child = command.stdout(out.try_clone()?).stderr(out).spawn();
        child.context("it cannot be started")
    }

    /// Does `work` inside, on a thread of its own: sockets that it opens belong to the namespace, and so do the threads
    /// that it starts.
    pub(crate) fn inside<T: Send>(&self, work: impl FnOnce() -> Result<T> + Send) -> Result<T> {
        let entered = || {
            let file = File::open(self.path())?;
            move_into_link_name_space(file.as_fd(), Some(LinkNameSpaceType::Network))?;
            work()
        };
        let done = thread::scope(|scope| scope.spawn(entered).join());
        done.unwrap_or_else(|_| Err(anyhow!("what was done in {} panicked", self.name)))
    }

    /// Ends every process inside and removes the namespace.
    pub(crate) fn remove(&self) -> Result<()> {
        remove(&self.name)
    }
}

fn remove(name: &str) -> Result<()> {
    let started = Instant::now();
    loop {
        let processes = ip(&["netns", "pids", name])?;
        if processes.is_empty() {
            break;
        }
        ensure!(started.elapsed() < AFTER_KILL, "processes in {name} do not end: {processes}");
        for pid in processes.lines().filter_map(|line| Pid::from_raw(line.parse().ok()?)) {
            // One that has just ended cannot be killed, which is as good.
            let _ = kill_process(pid, Signal::KILL);
        }
        thread::sleep(Duration::from_millis(20));
    }
    ip(&["netns", "del", name]).map(drop)
}

/// Removes the mesh of this name: every process in its namespaces, the namespaces with their links and iptables rules,
/// and its folder. Complains about what it could not remove.
pub(crate) fn remove_all(mesh: &str) -> Result<()> {
    let list = ip(&["netns", "list"])?;
    let of_mesh = |name: &&str| name.strip_prefix(mesh).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let names = list.lines().filter_map(|line| line.split_whitespace().next()).filter(of_mesh);
    let failed: Vec<String> = names.filter_map(|name| Some(format!("{:#}", remove(name).err()?))).collect();
    ensure!(failed.is_empty(), "{mesh} is not all gone: {}", failed.join("; "));
    let folder = folder(mesh);
    let mounts = std::fs::read_to_string("/proc/self/mountinfo")?;
    if mounts.contains(&*folder.to_string_lossy()) {
        bail!("something is mounted below {}: unmount it, then remove the folder", folder.display());
    }
    match std::fs::remove_dir_all(&folder) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
            Err(error).with_context(|| format!("{} cannot be removed", folder.display()))
        }
        _ => Ok(()),
    }
}

/// The folder of the mesh of this name.
pub(crate) fn folder(mesh: &str) -> PathBuf {
    std::env::temp_dir().join(mesh)
}

/// Removes the meshes of programs that ended without doing so.
pub(crate) fn sweep() -> Result<()> {
    let list = ip(&["netns", "list"])?;
    let mut names: Vec<String> =
        list.lines().filter_map(|line| line.split_whitespace().next()).map(str::to_owned).collect();
    for entry in std::fs::read_dir(std::env::temp_dir())? {
        names.push(entry?.file_name().display().to_string());
    }
    let mut meshes: Vec<String> = names.iter().filter_map(|name| ended_mesh(name)).collect();
    meshes.sort();
    meshes.dedup();
    meshes.iter().try_for_each(|mesh| remove_all(mesh))
}

/// The mesh to which a namespace or folder of this name belongs, if its program has ended.
fn ended_mesh(name: &str) -> Option<String> {
    let digits: String = name.strip_prefix(MESHES)?.chars().take_while(char::is_ascii_digit).collect();
    let has_ended = !digits.is_empty() && !Path::new("/proc").join(&digits).exists();
    has_ended.then(|| format!("{MESHES}{digits}"))
}

/// Makes and removes a namespace, to see whether this machine allows it. Several threads may do so at once.
pub(crate) fn attempt() -> Result<()> {
    static ATTEMPTS: AtomicU32 = AtomicU32::new(0);
    Namespace::create(&format!("-attempt{}", ATTEMPTS.fetch_add(1, Ordering::Relaxed)))?.remove()
}
