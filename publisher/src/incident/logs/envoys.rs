//! Whether several Envoys wrote into one text whose lines name nobody. The number on Envoy's own lines is the thread's:
//! those of workers tell nothing, but the main thread of each process has one of its own.

/// As many main threads are remembered.
const MOST: usize = 64;

/// The main threads that wrote, in the order in which they began.
#[derive(Default)]
pub(super) struct Envoys {
    threads: Vec<u64>,
    /// Whether one wrote after a later one had begun.
    at_once: bool,
    /// Whether an Envoy took over from another, which writes until it has drained.
    is_hot_restart: bool,
}

impl Envoys {
    /// Takes a line in.
    pub(super) fn note(&mut self, line: &str) {
        let Some(thread) = main_thread(line) else { return };
        self.is_hot_restart |= line.contains("initializing epoch ") && !line.contains("initializing epoch 0");
        match self.threads.iter().position(|known| *known == thread) {
            Some(at) => self.at_once |= at + 1 < self.threads.len(),
            None if self.threads.len() < MOST => self.threads.push(thread),
            None => {}
        }
    }

    /// Whether several wrote at once.
    pub(super) fn are_at_once(&self) -> bool {
        self.at_once && !self.is_hot_restart
    }
}

/// The thread in `[2026-11-20 15:43:08.000][3513][info][main]`.
fn main_thread(line: &str) -> Option<u64> {
    let (before, _) = line.get(..line.len().min(120))?.split_once("][main]")?;
    let (_, after) = before.split_once("[20")?;
    let (_, rest) = after.split_once("][")?;
    rest.split_once(']')?.0.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn envoys_at_once_are_told_from_a_restart() {
        let at_once = |lines: &[(u64, &str)]| {
            let mut envoys = Envoys::default();
            for (thread, text) in lines {
                envoys.note(&format!("[2026-11-20 15:43:08.000][{thread}][info][main] [source/x.cc:1] {text}"));
                // A worker's.
                envoys.note("[2026-11-20 15:43:08.000][9][warning][wasm] [source/x.cc:1] x");
            }
            envoys.are_at_once()
        };
        assert!(at_once(&[(1, "initializing epoch 0"), (2, "initializing epoch 0"), (1, "x")]));
        assert!(!at_once(&[(1, "initializing epoch 0"), (1, "exiting"), (2, "initializing epoch 0"), (2, "x")]));
        assert!(!at_once(&[(1, "initializing epoch 0"), (2, "initializing epoch 1"), (1, "draining")]));
    }
}
